from datetime import UTC, datetime, timedelta

import pytest

from monitoring import latest
from monitoring.models import Snapshot
from monitoring.sampler import Readings


@pytest.fixture(autouse=True)
def nothing_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "_heard", None)


def readings(age: float = 0.0) -> Readings:
    return Readings(None, None, {}, datetime.now(UTC) - timedelta(seconds=age))


def test_what_all_who_listen_are_sent_is_read_once() -> None:
    text = readings().to_text()
    assert latest.hear(text) is latest.hear(text)
    assert latest.hear(readings().to_text()) is latest.readings()


def test_old_readings_are_no_numbers_of_now() -> None:
    latest.hear(readings(age=60).to_text())
    assert latest.readings() is None


@pytest.mark.django_db
def test_a_process_that_has_heard_nothing_finds_them_in_the_database() -> None:
    assert latest.newest() is None
    Snapshot.objects.create(pk=1, readings=(kept := readings(age=3)).to_text())
    assert latest.newest() == kept
    Snapshot.objects.update(readings=readings(age=60).to_text())
    assert latest.newest() is None
    latest.hear((heard := readings()).to_text())
    assert latest.newest() == heard
