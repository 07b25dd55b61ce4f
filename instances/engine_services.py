"""What people decide about engines: that one is installed beside the others, and that one goes."""

from __future__ import annotations

import psutil
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_event

from .engine_rows import flags_folder, users_of
from .jobs.services import request_job
from .models import Job, JobKind
from .vllm import engines, removal
from .vllm.accelerators import accelerator as of_machine
from .vllm.resolution import version_of


class NotInstallable(ValueError):
    """There is nothing to install by this name; carries a sentence."""


class Stays(Exception):
    """The engine cannot be removed; carries a sentence."""


def request_engine(*, actor: User, version: str, accelerator: str = "") -> Job:
    """The installation of a version, or the one that is under way. Raises NotInstallable.

    Without an accelerator the machine decides.
    """
    plain = version_of(version)
    if not plain:
        raise NotInstallable(_("A version looks like 0.31.0."))
    kind = accelerator or of_machine()
    if here := next((one for one in engines.every() if _is(one, plain, kind)), None):
        words = {"version": here.version, "path": here.path}
        raise NotInstallable(_("vLLM %(version)s is here already: %(path)s.") % words)
    under_way = Job.objects.open().here().of(JobKind.ENGINE, plain).first()
    if under_way and under_way.options.get("accelerator", kind) != kind:
        other = str(under_way.options["accelerator"]).upper()
        raise NotInstallable(
            _("vLLM %(version)s for %(other)s is being installed. Wait for that, or cancel it.")
            % {"version": plain, "other": other}
        )
    return request_job(actor=actor, kind=JobKind.ENGINE, subject=plain, options={"accelerator": kind})


def remove_engine(*, actor: User, slug: str) -> None:
    """Take it off the disk. Raises Stays, and LookupError where there is none of that name."""
    known = engines.every()
    found = next((one for one in known if one.slug == slug), None)
    if found is None:
        raise LookupError(slug)
    if users := users_of(known).get(slug):
        raise Stays(
            _("%(names)s runs on it. Move that to another engine first.") % {"names": ", ".join(users)}
        )
    if found.removable and (pid := _process_of(found)):
        raise Stays(_("Process %(pid)s runs from its folder. End that first.") % {"pid": pid})
    try:
        removal.remove(slug)
    except removal.NotRemovable as reason:
        raise Stays(str(reason)) from reason
    except OSError as error:
        words = {"why": error.strerror, "what": error.filename}
        raise Stays(_("It could not be removed whole: %(why)s (%(what)s).") % words) from error
    (flags_folder() / f"{slug}.json").unlink(missing_ok=True)
    record_event(
        actor=actor, verb="removed the engine", subject=f"engine:{slug}", subject_name=f"vLLM {found.version}"
    )


def _is(found: engines.Found, version: str, kind: str) -> bool:
    """Whether it works and is that version, for that, and in one of our own folders."""
    engine = found.engine
    same = engine is not None and (engine.plain_version, engine.accelerator) == (version, kind)
    return same and found.slug != engines.OWN


def _process_of(found: engines.Found) -> int:
    """The pid of some program that was started from its folder, whoever did so; 0 where there is none."""
    inside = f"{found.path}/"
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(inside) for word in (process.info["cmdline"] or [])[:2]):
            return int(process.pid)
    return 0
