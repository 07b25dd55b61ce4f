"""From a pasted text to a configuration: a command line, or a file in which one stands. Knows no Django.

Nothing is executed, expanded or looked up on this machine: the text is data, and all is read from it alone.
"""

from .reading import Pasted, masked, read

__all__ = ["Pasted", "masked", "read"]
