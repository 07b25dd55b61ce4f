"""The last lines of history in words, for the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Event

LINES = 6
MODELS = ("deployed", "saved")  # verbs whose detail is a model: of a folder its last name says enough here

# verb -> the state that gives the line its shape and tone, and the sentence after the person's name
PEOPLE: dict[str, tuple[str, str | Promise]] = {
    "deployed": ("starting", gettext_lazy("deployed %(name)s, %(detail)s")),
    "saved": ("info", gettext_lazy("saved %(name)s, %(detail)s")),
    "changed": ("info", gettext_lazy("changed %(name)s, %(detail)s")),
    "started": ("starting", gettext_lazy("started %(name)s")),
    "restarted": ("starting", gettext_lazy("restarted %(name)s")),
    "stopped": ("stopped", gettext_lazy("stopped %(name)s")),
    "forced the stop of": ("stopped", gettext_lazy("forced the stop of %(name)s")),
    "removed": ("stopped", gettext_lazy("removed %(name)s")),
    "became administrator": ("info", gettext_lazy("became administrator")),
    "made the API key": ("info", gettext_lazy("made the API key “%(name)s”")),
    "revoked the API key": ("info", gettext_lazy("revoked the API key “%(name)s”")),
}
OBSERVED: dict[str, tuple[str, str | Promise]] = {
    "saw ready": ("running", gettext_lazy("%(name)s is ready")),
    "saw fail": ("error", gettext_lazy("%(name)s failed: %(detail)s")),
    "took up": ("info", gettext_lazy("%(name)s was taken up again: %(detail)s")),
}


@dataclass(frozen=True)
class Line:
    state: str
    actor: str  # empty: nobody did it, it was observed
    text: str
    at: datetime
    url: str


def lines(limit: int = LINES) -> list[Line]:
    return [_line(event) for event in Event.objects.all()[:limit]]


def _line(event: Event) -> Line:
    observed = event.verb in OBSERVED
    known = OBSERVED.get(event.verb) or PEOPLE.get(event.verb)
    name = event.subject_name or event.subject
    detail = event.detail
    if detail.startswith("/") and event.verb in MODELS:
        detail = PurePosixPath(detail).name
    if known is None:
        state, text = "info", f"{_(event.verb)} {name}"
    else:
        state, text = known[0], str(known[1]) % {"name": name, "detail": detail}
    return Line(
        state=state,
        actor="" if observed else event.actor_name,
        text=text.rstrip(" ,:"),
        at=event.at,
        url=_url(event.subject),
    )


def _url(subject: str) -> str:
    kind, _colon, key = subject.partition(":")
    return reverse("instance", args=[int(key)]) if kind == "instance" and key.isdigit() else ""
