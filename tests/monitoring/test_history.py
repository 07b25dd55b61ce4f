from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError

from monitoring import folds, history
from monitoring.engine_metrics import EngineReading, Gained
from monitoring.history import KEPT, MOST_WAITING, Recorder, Writer
from monitoring.host import HostReading
from monitoring.models import HOUR, MINUTE, TEN_MINUTES, TICK, Sample, Snapshot, Subject
from monitoring.sampler import Readings, TargetReading

pytestmark = pytest.mark.django_db
START = 1_900_000_800  # a full hour
ENGINE = EngineReading(1, 0, 10.0, 0.0, 0.0, 0.0, 0.0, None)


def reading(second: float, cpu: float = 50.0, tokens: float = 0.0) -> Readings:
    at = datetime.fromtimestamp(START + second, UTC)
    host = HostReading(at, cpu, 2, 0.5, 100, 200, 0, 0, 1, 1, 2, 7)
    target = TargetReading(None, ENGINE, gained=Gained({"generation_tokens": tokens} if tokens else {}, {}))
    return Readings(host, None, {"launch:1": target}, at)


def ticks(seconds: range, **figures: float) -> list[history.Tick]:
    recorder = Recorder()
    for second in seconds:
        recorder.take(reading(second, **figures))
    return recorder.due()


def written(seconds: range, **figures: float) -> None:
    Writer(lambda: START).write(ticks(seconds, **figures), "{}")


def clock(monkeypatch: pytest.MonkeyPatch, second: float) -> None:
    monkeypatch.setattr("time.time", lambda: START + second)


def test_a_tick_is_made_of_the_readings_of_its_seconds() -> None:
    ((at, values),) = ticks(range(TICK + 1), tokens=3.0)
    assert at == START
    assert values["host"]["cpu"] == [TICK, 50.0 * TICK, 50.0, 50.0]
    assert (values["launch:1"]["s"], values["launch:1"]["generation_tokens"]) == (TICK, 3 * TICK)


def test_a_silence_is_not_counted_as_measured_time() -> None:
    recorder = Recorder()
    for second in (0, 1, 600, 601, 605):
        recorder.take(reading(second))
    assert [values["host"]["s"] for _, values in recorder.due()] == [2, 6]


def test_ticks_that_could_not_be_written_wait_in_order_and_not_without_end() -> None:
    recorder = Recorder()
    for second in range(0, 3 * TICK + 1):
        recorder.take(reading(second))
    due = recorder.due()
    recorder.give_back(due)
    recorder.take(reading(4 * TICK))
    assert [at - START for at, _ in recorder.due()] == [0, TICK, 2 * TICK, 3 * TICK]
    recorder.give_back(due * MOST_WAITING)
    assert len(recorder.due()) == MOST_WAITING


def test_a_tick_is_one_transaction(django_assert_num_queries: Any) -> None:
    writer = Writer(lambda: START)
    writer.write(ticks(range(TICK + 1)), "{}")  # learns the subjects
    with django_assert_num_queries(4):  # begin, the samples, the snapshot, end
        writer.write(ticks(range(TICK, 2 * TICK + 1)), "{}")
    assert Sample.objects.count() == 4
    assert Snapshot.objects.count() == 1


def test_nothing_is_written_when_a_part_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(Snapshot.objects, "bulk_create", fail)
    with pytest.raises(DatabaseError):
        written(range(TICK + 1))
    assert Sample.objects.count() == 0


def test_finished_minutes_and_hours_are_rolled_up() -> None:
    written(range(HOUR + 2 * MINUTE + 1), cpu=20.0, tokens=2.0)
    history.roll_up(START + HOUR + 2 * MINUTE)
    minutes = Sample.objects.filter(step=MINUTE, subject__name="launch:1")
    assert minutes.count() == 62
    assert minutes[5].values["generation_tokens"] == 2 * MINUTE
    tens = Sample.objects.filter(step=TEN_MINUTES, subject__name="launch:1")
    assert [one.values["generation_tokens"] for one in tens] == [2 * TEN_MINUTES] * 6
    (hour,) = Sample.objects.filter(step=HOUR, subject__name="launch:1")
    assert (hour.at, hour.values["s"], hour.values["generation_tokens"]) == (START, HOUR, 2 * HOUR)
    before = list(Sample.objects.order_by("pk").values_list("pk", "values"))
    history.roll_up(START + HOUR + 2 * MINUTE)
    assert list(Sample.objects.order_by("pk").values_list("pk", "values")) == before


def test_minutes_that_were_missed_are_rolled_up_later() -> None:
    written(range(3 * MINUTE + 1))
    history.roll_up(START + MINUTE)
    history.roll_up(START + 3 * MINUTE)
    found = Sample.objects.filter(step=MINUTE, subject__name="host").values_list("at", flat=True)
    assert [at - START for at in found] == [0, MINUTE, 2 * MINUTE]


def test_a_clock_that_was_set_back_writes_the_same_stretch_anew() -> None:
    written(range(TICK + 1), cpu=20.0)
    written(range(TICK + 1), cpu=80.0)
    (sample,) = Sample.objects.filter(subject__name="host")
    assert folds.mean(sample.values["cpu"]) == 80


def test_what_is_too_old_goes_and_what_is_young_stays() -> None:
    host, gone = (Subject.objects.create(name=name) for name in ("host", "launch:1"))
    for step, age in {**KEPT, HOUR: 40 * 24 * HOUR}.items():
        for at in (START - age - step, START - age + step):
            Sample.objects.create(subject=host, step=step, at=at, values={})
    Sample.objects.create(subject=gone, step=TICK, at=0, values={})
    history.prune(START)
    assert sorted(Sample.objects.values_list("step", flat=True)) == [TICK, MINUTE, TEN_MINUTES, HOUR]
    assert list(Subject.objects.values_list("name", flat=True)) == ["host"]


def test_a_clock_an_hour_ahead_costs_no_chart_its_points() -> None:  # row 19
    written(range(2 * TICK + 1))
    history.prune(START + HOUR)
    assert Sample.objects.filter(step=TICK).count() == 4


def test_points_are_read_with_what_is_not_rolled_up_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    end = HOUR + 90
    clock(monkeypatch, end)
    written(range(end + 1), tokens=1.0)
    history.roll_up(START + end)
    points = history.read(["launch:1"], START, START + end, HOUR)
    assert [(at - START, one["launch:1"]["s"]) for at, one in sorted(points.items())] == [
        (0, HOUR),
        (HOUR, 90),
    ]
    assert points[START + HOUR]["launch:1"]["generation_tokens"] == 90
    fine = history.read(["launch:1", "host"], START, START + 60, 20, frozenset({"cpu"}))
    assert [at - START for at in sorted(fine)] == [0, 20, 40]
    assert fine[START]["host"] == {"s": 20, "cpu": [20, 1000.0, 50.0, 50.0]}


def test_a_gap_has_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 600)
    written(range(TICK + 1))
    written(range(300, 300 + TICK + 1))
    assert sorted(at - START for at in history.read(["host"], START, START + 600, 20)) == [0, 300]


@pytest.mark.parametrize("step", [TICK, 20, 480, HOUR, 4 * HOUR])
def test_a_chart_is_few_queries(
    step: int, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    clock(monkeypatch, HOUR + 90)
    written(range(MINUTE))
    with django_assert_max_num_queries(3):
        history.read([f"launch:{number}" for number in range(200)], START, START + HOUR + 90, step)
