"""What programs can ask before they deploy. Nothing is saved here."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from instances import fitting
from instances.configuration import clean_configuration

from .shapes import DeployBody, Json, user_of

tools = Router(tags=["models"])


@tools.post("/fit")
def fit(request: HttpRequest, body: DeployBody) -> Json:
    """Whether a deploy would fit: weights, KV cache, need and room of each GPU (or of RAM), the largest context.

    `verdict` is `fits`, `tight`, `no` or `unknown`; `reasons` are sentences, `recommendation` a change of the body.
    """
    given = body.model_dump(exclude_unset=True)
    wanted = clean_configuration({"name": "fit", **given}, user=user_of(request))
    return fitting.fit_of(wanted.config, ask=fitting.ask_hub()).as_json()
