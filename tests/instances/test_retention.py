from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from instances import retention
from instances.models import Instance, Launch
from instances.retention import drop_old_logs
from instances.states import State

from .made import make_instance, make_launch

RECORDS = ("spec.json", "shim.json", "exit.json", "lock", "log.txt", "log.old", "catalog.1-2")


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> None:
    settings.LLMOPS_DATA = tmp_path


@pytest.fixture
def tiny(mia: User) -> Instance:
    return make_instance(mia)


def ended(instance: Instance, state: State = State.STOPPED, **facts: Any) -> Launch:
    launch = make_launch(instance, state, ended_at=timezone.now(), **facts)
    launch.directory.mkdir(parents=True)
    for name in ("log", "log.0-10", "log.20-30", *RECORDS):
        (launch.directory / name).write_text("text")
    return launch


def has_log(launch: Launch) -> bool:
    return any((launch.directory / name).exists() for name in ("log", "log.0-10", "log.20-30"))


def test_the_newest_logs_of_each_instance_are_kept(mia: User, tiny: Instance) -> None:
    other = ended(make_instance(mia, "other"))
    launches = [ended(tiny) for _ in range(5)]
    assert drop_old_logs(2) == [launch.pk for launch in launches[:3]]
    assert [has_log(launch) for launch in launches] == [False, False, False, True, True]
    assert has_log(other)
    assert drop_old_logs(2) == []


def test_the_log_goes_and_the_row_its_diagnosis_and_all_records_stay(tiny: Instance) -> None:
    old = ended(tiny, State.ERROR, error="Out of memory.", exit_code=1)
    ended(tiny)
    drop_old_logs(1)
    assert sorted(path.name for path in old.directory.iterdir()) == sorted(RECORDS)
    before = (old.state, old.error, old.exit_code)
    old.refresh_from_db()
    assert (old.state, old.error, old.exit_code) == before and old.log_dropped_at is not None


def test_the_first_failure_of_each_crash_loop_is_kept_for_good(tiny: Instance) -> None:
    first = ended(tiny, State.ERROR)
    echoes = [ended(tiny, State.ERROR, attempt=attempt) for attempt in (1, 2)]
    later_loop = ended(tiny, State.ERROR, attempt=3)  # after it had run for long the count began anew
    echoes.append(ended(tiny, State.ERROR, attempt=1))
    alone = ended(tiny, State.ERROR)
    ended(tiny)
    assert drop_old_logs(1) == [*(launch.pk for launch in echoes), alone.pk]
    assert has_log(first) and has_log(later_loop)
    assert drop_old_logs(0) and has_log(first)


def test_a_launch_that_lives_or_is_of_another_host_is_never_touched(mia: User, tiny: Instance) -> None:
    elsewhere = ended(tiny)
    Launch.objects.filter(pk=elsewhere.pk).update(host="other-host")
    lives = ended(tiny, State.LOST)
    assert drop_old_logs(0) == []
    assert has_log(elsewhere) and has_log(lives)


def test_nothing_outside_its_folder_is_deleted(tiny: Instance, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "log").write_text("precious")
    linked_file, linked_folder, gone = ended(tiny), make_launch(tiny, State.STOPPED), ended(tiny)
    (linked_file.directory / "log").unlink()
    (linked_file.directory / "log").symlink_to(outside / "log")
    linked_folder.directory.symlink_to(outside)
    for path in gone.directory.iterdir():
        path.unlink()
    gone.directory.rmdir()
    assert drop_old_logs(0) == [linked_file.pk, gone.pk]
    assert (outside / "log").read_text() == "precious"


def test_it_asks_twice_however_many_there_are_and_takes_a_share_at_a_time(
    tiny: Instance, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 4)
    launches = [ended(tiny).pk for _ in range(10)]
    with django_assert_num_queries(2):
        assert drop_old_logs(0) == launches[:4]
    assert drop_old_logs(0) == launches[4:8]
    drop_old_logs(0)
    with django_assert_num_queries(1):
        assert drop_old_logs(0) == []
