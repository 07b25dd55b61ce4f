"""What says that bells cannot be heard. It stands alone, so that who never meets a Redis need not load its client."""


class LayerAway(Exception):
    """Redis does not answer."""
