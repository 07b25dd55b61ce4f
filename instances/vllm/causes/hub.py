"""The Hugging Face hub: the model's name, the right to it, and the way there."""

from __future__ import annotations

import re

from .cause import Cause, Groups

# An engine's own answers to its clients say "401 Unauthorized" as well; those lines end there.
EARLY = ("", "import", "download", "weights")  # later the hub is asked for nothing that the engine needs
NAME_ADVICE = "Check the model's name; for a local model give a folder inside the model roots."
REPOSITORY = re.compile(r"(?:huggingface\.co|hf\.co)/(?:api/models/)?([\w.-]+/[\w.-]*\w)")


def _page(groups: Groups) -> dict[str, str]:
    """The page where the licence is accepted."""
    model = groups.get("model", "").strip("'\"`.")
    if found := REPOSITORY.search(groups.get("url", "")):
        model = found[1]
    named = re.fullmatch(r"[\w.-]+/[\w.-]+", model)
    return {"page": f"https://huggingface.co/{model}" if named else "the model's page"}


HUB: tuple[Cause, ...] = (
    Cause(
        "gated-model",
        (
            r"Access to model (?P<model>\S+) is restricted and you are not in the authorized list",
            r"[Yy]our request to access (?:model )?(?P<model>\S+) (?:is awaiting|has been rejected)",
        ),
        "The model is gated, and the owner of the token has not been given access to it.",
        "Ask for access at {page}, and start it again when it was given.",
        final=True,
        phases=EARLY,
        derive=_page,
    ),
    Cause(
        "gated-model",
        (
            r"Access to model (?P<model>\S+) is restricted",
            r"Repo model (?P<model>\S+) is gated",
            r"Cannot access gated repo for url (?P<url>\S+)",
            r"Make sure to have access to it at (?P<url>\S+)",
            r"(?<!\S)(?P<model>\S+) is a gated repo",
            r"[Yy]ou are trying to access a gated repo",
            r"GatedRepoError",
        ),
        "The model is gated, and no valid token with access to it was sent.",
        "Accept its licence at {page}, then start the console with HF_TOKEN set; a model that is "
        "already here can be given as a folder.",
        final=True,
        phases=EARLY,
        derive=_page,
    ),
    Cause(
        "token-refused",
        (
            r"Invalid user token|Invalid username or password|Invalid credentials in Authorization header",
            r"Illegal header value b'Bearer",
        ),
        "The Hugging Face hub refused the token.",
        "Set HF_TOKEN to a valid token, or take it away for public models.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "rate-limited",
        (r"429 Client Error|'429 Too Many Requests'|Too Many Requests(?: for url|:)",),
        "The Hugging Face hub answered that there were too many requests (429).",
        "Wait some minutes; with HF_TOKEN set the limit is higher.",
        phases=EARLY,
    ),
    Cause(
        "not-downloaded",
        (
            r"OfflineModeIsEnabled",
            r"outgoing traffic has been disabled",
            r"offline mode is enabled",
        ),
        "The model is not on this machine, and the engine runs in offline mode.",
        "Download the model first, or take HF_HUB_OFFLINE away.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "revision-not-found",
        (
            r"(?<!\S)(?P<revision>\S+) is not a valid git identifier",
            r"Revision Not Found for url",
            r"RevisionNotFoundError",
        ),
        "The model has no such revision: {revision}.",
        "Check the flag revision, or take it out.",
        final=True,
        phases=EARLY,
        change={"args": {"revision": None}},
    ),
    Cause(
        "model-not-found",
        (
            r"(?:HFValidationError: )?Repo id must .*?: '(?P<model>[^']+)'",
            r"(?<!\S)(?P<model>[^\s:]+) is not a local folder (?:and is not a valid model identifier"
            r"|or a valid repository name)",
            r"Incorrect path_or_model_id: '(?P<model>[^']+)'",
            r"Invalid repository ID or local directory specified: '(?P<model>[^']+)'",
            r"No supported config format found in (?P<model>\S+\w)",
        ),
        "{model} is neither a model's folder on this machine nor a model of the Hugging Face hub.",
        NAME_ADVICE + " A private model needs a token.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "model-not-found",
        (
            r"Repository Not Found for url: (?P<url>\S+)",
            r"RepositoryNotFoundError",
            r"404 Client Error",
            r"Invalid repository ID or local directory specified",
        ),
        "The model was not found.",
        NAME_ADVICE + " A private model needs a token.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "token-refused",
        (r"401 Client Error|'401 Unauthorized'|401 Unauthorized(?: for url|:)",),
        "The Hugging Face hub asked for a valid token (401).",
        "Set HF_TOKEN to a valid token that may read the model.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "token-not-allowed",
        (
            r"403 Client Error|'403 Forbidden'|403 Forbidden(?: for url|:)|Access to this resource is disabled",
        ),
        "The Hugging Face hub does not let this token read the model (403).",
        "Give the token the right to read it, or ask for access on the model's page.",
        final=True,
        phases=EARLY,
    ),
    Cause(
        "certificate-refused",
        (
            r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|self.signed certificate",
            r"SSLError|SSL: [A-Z_]+",
        ),
        "The certificate of the Hugging Face hub, or of a proxy before it, is not trusted here.",
        "Set SSL_CERT_FILE (and REQUESTS_CA_BUNDLE) to your organisation's certificates.",
        phases=EARLY,
    ),
    Cause(
        "proxy",
        (r"ProxyError|[Cc]annot connect to proxy|407 Proxy Authentication|Unable to connect to proxy",),
        "The proxy on the way to the Hugging Face hub did not let the engine through.",
        "Check HTTPS_PROXY and NO_PROXY.",
        phases=EARLY,
    ),
    Cause(
        "hub-failed",
        (r"\b5\d\d Server Error|Server error '5\d\d\b",),
        "The Hugging Face hub failed to answer.",
        "Try again later, or choose a model that is already here.",
        phases=EARLY,
    ),
    Cause(
        "hub-unreachable",
        (
            r"We couldn't connect to '(?P<host>[^']+)'",
            r"LocalEntryNotFoundError",
            r"specific connection error when trying to load",
            r"Temporary failure in name resolution|Name or service not known|nodename nor servname",
            r"Network is unreachable|No route to host",
            r"Max retries exceeded with url",
            r"(?:httpx|httpcore|requests\.exceptions)\.\w*(?:ConnectError|ConnectionError|Timeout|ReadError)",
        ),
        "The Hugging Face hub could not be reached, and the model is not on this machine.",
        "Check the network and proxy, or choose a model that is already here.",
        phases=EARLY,
    ),
)
