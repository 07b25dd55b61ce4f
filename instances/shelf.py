"""The models of this machine and of the hubs, as pages and programs are shown them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from django.conf import settings
from django.core.cache import cache

from . import tokens
from .catalog import hub, modelscope, space
from .catalog.failures import CatalogFailure
from .catalog.hub import Hit
from .catalog.origins import SMOLLM2, modelscope_path
from .catalog.scan import Here, scan
from .model_paths import models_dir, origin
from .models import Job, JobKind, JobState

SOURCES: dict[str, ModuleType] = {"huggingface": hub, "modelscope": modelscope}
REMEMBERED = 60  # seconds, of one search
RECENT = 6  # downloads shown, those under way apart
SHORTEST = 2  # letters that are worth a question

TONES = {
    JobState.WAITING: "initializing",
    JobState.RUNNING: "starting",
    JobState.DONE: "running",
    JobState.FAILED: "error",
    JobState.CANCELLED: "stopped",
}


@dataclass(frozen=True)
class Found:
    """One answer of a hub, and what of it is here."""

    hit: Hit
    model: str  # as a configuration names it
    is_here: bool
    job: Job | None  # its download, while it goes on


@dataclass(frozen=True)
class Search:
    text: str
    source: str
    found: tuple[Found, ...] = ()
    trouble: CatalogFailure | None = None

    @property
    def title(self) -> str:
        return tokens.HUBS[self.source].title

    @property
    def is_short(self) -> bool:
        return len(self.text) < SHORTEST


def here() -> list[Here]:
    return scan(settings.LLMOPS_MODEL_ROOTS, settings.HF_CACHE)


def free_space() -> int | None:
    """Bytes on the disk of the Hugging Face cache, where most downloads go; None where nothing can be asked."""
    try:
        return space.free_of(Path(settings.HF_CACHE))
    except OSError:
        return None


def smollm2_path() -> str:
    """How a configuration names the model that comes as a Python package."""
    return str(models_dir() / SMOLLM2)


def search(text: str, source: str) -> Search:
    """What a hub has; an answer is remembered for a minute, since people type and correct themselves."""
    text = text.strip()
    if len(text) < SHORTEST:
        return Search(text, source)
    try:
        hits = _hits(text, source)
    except CatalogFailure as failure:
        return Search(text, source, trouble=failure)
    complete = {one.model for one in here() if not one.missing}
    fetching = {job.subject: job for job in Job.objects.open().here().filter(kind=JobKind.MODEL)}
    names = [(hit, named(hit.model, source)) for hit in hits]
    found = tuple(Found(hit, name, name in complete, fetching.get(name)) for hit, name in names)
    return Search(text, source, found)


def _hits(text: str, source: str) -> list[Hit]:
    """Raises CatalogFailure."""
    asked = SOURCES[source]
    endpoint, key = asked.endpoint_of(), f"hub-search:{source}:{hash(text)}"
    known: tuple[str, str, list[Hit]] | None = cache.get(key)
    if known is not None and known[:2] == (endpoint, text):
        return known[2]
    hits: list[Hit] = asked.search(endpoint, text, tokens.to_ask(source))
    cache.set(key, (endpoint, text, hits), REMEMBERED)
    return hits


def named(model: str, source: str) -> str:
    """How a configuration names a model of this hub."""
    return modelscope_path(model, models_dir()) if source == "modelscope" else model


def title_of(model: str, *, short: bool = True) -> str:
    """How people call what a configuration names: the hub's name also of what lies in a folder of ours.

    A folder of somebody's own is its last part, or not `short` the whole path.
    """
    found = origin(model)
    if found.kind == "package":
        return "SmolLM2 135M Instruct"
    return Path(model).name if short and found.kind == "local" else found.id


@dataclass(frozen=True)
class Download:
    """A job as a page shows it."""

    job: Job

    @property
    def title(self) -> str:
        return title_of(self.job.subject)

    @property
    def source(self) -> str:
        kinds = {"hub": "Hugging Face", "modelscope": "ModelScope", "package": "PyPI"}
        return kinds.get(origin(self.job.subject).kind, "")

    @property
    def text(self) -> str:
        return str(self.job.progress.get("text") or "")

    @property
    def figures(self) -> dict[str, Any]:
        """Bytes, bytes a second, seconds; what is not known is None."""
        return {name: self.job.progress.get(name) for name in ("done", "total", "speed", "eta")}

    @property
    def tone(self) -> str:
        """The state of a launch that looks alike."""
        return TONES[JobState(self.job.state)]


def downloads() -> list[Download]:
    """Those under way, then the last ones that ended, each model once."""
    jobs = Job.objects.here().filter(kind=JobKind.MODEL).select_related("asked_by").order_by("-pk")
    return [Download(job) for job in _newest(jobs[:100])]


def _newest(jobs: Iterable[Job]) -> list[Job]:
    by_subject: dict[str, Job] = {}
    for job in jobs:
        by_subject.setdefault(job.subject, job)
    under_way = [job for job in by_subject.values() if job.is_open]
    return under_way + [job for job in by_subject.values() if not job.is_open][:RECENT]
