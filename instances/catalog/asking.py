"""One question to a hub: short time-outs, a bounded answer, and every failure a sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .failures import CatalogFailure, Gated, NotAHub, NotFound, RateLimited, Unreachable

LIMIT = 20 * 2**20  # bytes of an answer
AGENT = "llmops-center"
LATER = "Try again later, or choose a model that is already here."


@dataclass(frozen=True)
class Hub:
    """Whom we ask, and as whom."""

    title: str  # in sentences
    endpoint: str  # its address, without a slash at the end
    token: str | None = None
    patience: float = 5.0  # seconds, for the whole of one answer

    def page(self, model: str) -> str:
        """Where a person reads of a model; never with a password of the address in it."""
        return f"{httpx.URL(self.endpoint).copy_with(username='', password='')}".rstrip("/") + f"/{model}"

    @property
    def headers(self) -> dict[str, str]:
        """httpx sends the token to no other host, wherever a redirect leads."""
        headers = {"user-agent": AGENT, "accept-encoding": "identity"}
        return headers | {"authorization": f"Bearer {self.token}"} if self.token else headers


def ask(hub: Hub, path: str, model: str = "", params: Mapping[str, Any] | None = None) -> bytes:
    """The answer's bytes. Raises one of the failures."""
    until = time.monotonic() + hub.patience
    try:
        with (
            client(hub, hub.patience) as web,
            web.stream("GET", f"{hub.endpoint}/{path}", params=params) as response,
        ):
            if not response.is_success:
                raise refusal(hub, response, model)
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LIMIT or time.monotonic() > until:
                    raise Unreachable(f"{hub.title} took too long to answer.", LATER)
            return bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise of_http_error(hub, error) from error


def ask_json(hub: Hub, path: str, model: str = "", params: Mapping[str, Any] | None = None) -> Any:
    try:
        return json.loads(ask(hub, path, model, params))
    except (ValueError, RecursionError) as error:
        raise not_a_hub(hub) from error


def client(hub: Hub, patience: float) -> httpx.Client:
    """Raises NotAHub for an address that is none, Gated for a token that no header can carry."""
    if hub.token and not (hub.token.isascii() and hub.token.isprintable()):
        raise Gated(
            f"The token for {hub.title} holds characters that no token has.", "Enter it again under Models."
        )
    try:
        if httpx.URL(hub.endpoint).scheme not in ("http", "https"):
            raise not_a_hub(hub)
        return httpx.Client(follow_redirects=True, timeout=patience, headers=hub.headers)
    except (httpx.InvalidURL, ValueError) as error:  # also a proxy's address that is none
        raise not_a_hub(hub) from error


def refusal(hub: Hub, response: httpx.Response, model: str) -> CatalogFailure:
    """What a status other than success means, of a model's page or file."""
    status, code = response.status_code, response.headers.get("x-error-code", "")
    if code == "RevisionNotFound":
        return NotFound(f"{model} has no such revision.", "Check the flag revision, or take it out.")
    if code == "EntryNotFound":
        return NotFound(
            f"{model} lacks a file that its list names.", "Try again; it may just have been changed."
        )
    if code == "GatedRepo":
        return _gated(hub, model, "is gated, and its licence was not accepted by the owner of a token")
    if status == 404 or code == "RepoNotFound":
        hint = "" if hub.token else " A private model needs a token, under Models."
        return NotFound(f"{hub.title} has no model {model}.", f"Check its name.{hint}")
    if status == 401 and hub.token:
        return Gated(f"{hub.title} refused the token.", "Enter a valid token under Models, or remove it.")
    if status in (401, 403):
        return _gated(hub, model, f"is not open to {'this token' if hub.token else 'everybody'}")
    if status == 429:
        after = response.headers.get("retry-after", "")
        wait = float(after) if after.isdecimal() else None
        more = "" if hub.token else " With a token, under Models, the limit is higher."
        return RateLimited(f"{hub.title} had too many requests (429).", f"Wait some minutes.{more}", wait)
    if status >= 500:
        return Unreachable(f"{hub.title} failed to answer ({status}).", LATER)
    return not_a_hub(hub, status)


def _gated(hub: Hub, model: str, why: str) -> Gated:
    mend = f"Accept its licence at {hub.page(model)}, and give a token of that account under Models."
    return Gated(f"{model} {why}.", mend)


def not_a_hub(hub: Hub, status: int | None = None) -> NotAHub:
    said = f"answered {status}, as no hub does" if status else "did not answer as a hub does"
    host = _host(hub)
    return NotAHub(f"{host} {said}.", "Check HF_ENDPOINT or MODELSCOPE_ENDPOINT, and the proxy.")


def of_http_error(hub: Hub, error: Exception) -> CatalogFailure:
    """The words of the error itself are left out: they may name a proxy with its password."""
    host, said = _host(hub), str(error)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.TooManyRedirects):
        return not_a_hub(hub)
    if isinstance(error, httpx.ProxyError):
        return Unreachable(f"The proxy did not let us through to {host}.", "Check HTTPS_PROXY and NO_PROXY.")
    if "CERTIFICATE" in said.upper():
        mend = "Set SSL_CERT_FILE to the certificates of your network."
        return Unreachable(f"The certificate of {host} is not trusted here.", mend)
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"{host} did not answer in time.", f"Check the network. {LATER}")
    return Unreachable(f"{host} could not be reached.", f"Check the network and the proxy. {LATER}")


def _host(hub: Hub) -> str:
    try:
        return httpx.URL(hub.endpoint).host or hub.title
    except httpx.InvalidURL:
        return hub.title
