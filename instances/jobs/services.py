"""What people decide about jobs: that one is wanted, and that it is not wanted any more."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_event
from instances import announce
from instances.catalog.cache import is_revision
from instances.model_paths import OutsideRoots, origin, resolve
from instances.models import Job, JobKind, Launch

VERBS = {JobKind.MODEL: "asked for the download of", JobKind.ENGINE: "asked for the installation of"}
CANCELLED = {JobKind.MODEL: "cancelled the download of", JobKind.ENGINE: "cancelled the installation of"}


class NotFetchable(ValueError):
    """There is nothing to fetch by this name; carries a sentence."""


def request_download(*, actor: User, model: str, revision: str = "") -> Job:
    """The download of a model as configurations name it. Raises NotFetchable."""
    if not model:
        raise NotFetchable(_("Say which model, as Qwen/Qwen3-8B."))
    try:
        resolve(model)
    except OutsideRoots as wrong:
        raise NotFetchable(str(wrong)) from None
    if origin(model).kind == "local":
        raise NotFetchable(
            _("%(model)s is a folder of this machine: there is nothing to fetch.") % {"model": model}
        )
    if revision and not is_revision(revision):
        raise NotFetchable(_("A revision is a branch, a tag or a commit."))
    options = {"revision": revision} if revision else {}
    return request_job(actor=actor, kind=JobKind.MODEL, subject=model, options=options)


def request_job(
    *,
    actor: User | None,
    kind: JobKind,
    subject: str,
    options: dict[str, Any] | None = None,
    launch: Launch | None = None,
) -> Job:
    """The job that is under way for this subject, or a new one. One that is being cancelled is wanted again."""
    try:
        with transaction.atomic():
            facts = {"kind": kind, "subject": subject, "options": options or {}}
            job = Job.objects.create(**facts, asked_by=actor, launch=launch)
            while job.directory.exists():  # another database's: its number is used up, its folder left alone
                job.delete()
                job = Job.objects.create(**facts, asked_by=actor, launch=launch)
            _record(actor, VERBS, job)
    except IntegrityError:
        job = Job.objects.open().here().of(kind, subject).first() or request_job(
            actor=actor, kind=kind, subject=subject, options=options, launch=launch
        )
        if launch is None and (job.launch_id or not job.wanted):
            Job.objects.filter(pk=job.pk).update(launch=None, wanted=True)  # a person wants it for itself now
    announce.job_decided(job.pk)
    return job


@transaction.atomic
def cancel_job(*, actor: User | None, job: Job) -> None:
    """Ask for its end; what it has fetched stays, and another one goes on from there."""
    if Job.objects.open().filter(pk=job.pk, wanted=True).update(wanted=False):
        _record(actor, CANCELLED, job)
        announce.job_decided(job.pk)


def _record(actor: User | None, verbs: dict[JobKind, str], job: Job) -> None:
    if actor is not None and (verb := verbs.get(JobKind(job.kind))):
        record_event(
            actor=actor, verb=verb, subject=f"job:{job.pk}", subject_name=job.subject[:200], detail=""
        )
