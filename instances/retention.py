"""Old logs make room for new ones. Rows, diagnoses and the records of how a launch went stay."""

from __future__ import annotations

import os
import re
from pathlib import Path

from django.db.models import F, OuterRef, Q, Subquery, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from .models import Launch
from .states import ENDED, State

AT_ONCE = 200  # launches of one call; the next call takes the next ones
_FILE = re.compile(r"log(\.\d+-\d+)?")


def drop_old_logs(keep: int) -> list[int]:
    """Delete the logs of this host's ended launches but for the newest `keep` of each instance; which launches.

    The first failure of a crash loop, the one that we answered with a first attempt of our own, is kept for
    good: what follows it is often only its echo. One query, and one more if something was dropped.
    """
    following = Launch.objects.filter(instance=OuterRef("instance"), pk__gt=OuterRef("pk")).order_by("pk")
    ended = Launch.objects.here().filter(state__in=ENDED, log_dropped_at=None)
    newest_first = Window(RowNumber(), partition_by="instance", order_by=F("pk").desc())
    old = (
        ended.annotate(rank=newest_first, next_attempt=Subquery(following.values("attempt")[:1]))
        .filter(rank__gt=keep)
        .exclude(Q(state=State.ERROR) & Q(next_attempt=1))
        .order_by("pk")
    )
    dropped = [launch.pk for launch in old[:AT_ONCE] if _delete_log(launch.directory)]
    if dropped:
        Launch.objects.filter(pk__in=dropped, state__in=ENDED).update(log_dropped_at=timezone.now())
    return dropped


def _delete_log(directory: Path) -> bool:
    """Delete the files of a log and nothing else; returns whether none is left."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        for name in os.listdir(folder):
            if _FILE.fullmatch(name):
                os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True
