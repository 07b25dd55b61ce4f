from __future__ import annotations

from datetime import timedelta

import pytest

from instances.vllm.lines import Clock, line_of


@pytest.mark.parametrize(
    ("line", "process", "level", "message"),
    [
        ("(EngineCore_DP0 pid=1) ERROR 09-28 15:47:24 [core.py:718] x: y", "EngineCore_DP0", "ERROR", "x: y"),
        ("INFO 12-13 02:09:14 model_runner.py:1094] took", "", "INFO", "took"),
        ("ERROR:    [Errno 98] in use", "", "ERROR", "[Errno 98] in use"),
        ("ERROR:asyncio:Task", "", "ERROR", "Task"),
        ("(Worker pid=9) (Worker_TP3 pid=9)   Value error, x", "Worker_TP3", "", "  Value error, x"),
        ("(VllmWorker rank=2 pid=9) x", "VllmWorker", "", "x"),
        ("(pid=9) x", "", "", "x"),
        ("[rank1]: ValueError: x", "rank1", "", "ValueError: x"),
        ("W1125 04:28:54.874000 26868 torch/_library/triton.py:53] x", "", "WARNING", "x"),
        ("2025-11-21 10:26:22,420 - INFO - autotuner.py:256 - x", "", "INFO", "autotuner.py:256 - x"),
        ("2025-11-21 10:26:22.420 | ERROR    | a.b:c:1 - x", "", "ERROR", "a.b:c:1 - x"),
        ("2025-06-06T09:52:01.729Z ERROR multiproc.main: x", "", "ERROR", "multiproc.main: x"),
        ("h:1:2 [0] NCCL INFO proxy.cc:1329 -> 2", "", "INFO", "proxy.cc:1329 -> 2"),
        ("h:1:2 [0] a/b.cc:129 NCCL WARN No space", "", "", "No space"),
        ("    | OSError: x", "", "", "OSError: x"),
        ("plain text: 1", "", "", "plain text: 1"),
        ("", "", "", ""),
    ],
)
def test_it_tells_a_message_from_what_stands_before_it(
    line: str, process: str, level: str, message: str
) -> None:
    read = line_of(line)
    assert (read.process, read.level, read.message, read.whole) == (process, level, message, line)


@pytest.mark.parametrize(
    "line",
    [
        "    raise ValueError(x)",
        '  File "x.py", line 1, in y',
        "raise ValueError",
        "(E pid=1)     x = y",
        'ValueError("x")'.join(['"', '"']),
        "INFO 11-25 03:00:00 [a.py:1] If out-of-memory error occurs",
        "WARNING 11-25 03:00:00 [a.py:1] OSError: [Errno 24]",
        "          ^^^^",
        "h:1:2 [0] NCCL INFO No space left on device",
    ],
)
def test_source_and_advice_are_no_complaints(line: str) -> None:
    assert not line_of(line).is_complaint


def test_strange_lines_are_read_in_short_time() -> None:
    for text in (
        "(" * 100_000,
        "(a=" + "b=" * 50_000,
        "[" * 100_000,
        "a " * 50_000,
        "a: " * 50_000,
        "| " * 50_000,
    ):
        assert line_of(text).whole == text


@pytest.mark.parametrize(
    ("first", "second", "seconds"),
    [
        ("2026-11-25T03:54:48.000Z a", "2026-11-25T03:54:49.500Z b", 1.5),
        ("INFO 11-25 03:54:48 [a.py:1] a", "INFO 11-25 03:56:48 [a.py:1] b", 120),
        ("INFO 12-31 23:59:50 [a.py:1] a", "INFO 01-01 00:00:10 [a.py:1] b", 20),
        ("Aug 18 14:14:59 h p[1]: a", "Aug 18 14:15:09 h p[1]: b", 10),
        ("vllm  | INFO 11-25 03:54:48 [a.py:1] a", "vllm  | INFO 11-25 03:54:50 [a.py:1] b", 2),
        ("W1125 03:54:48.500000 1 torch/a.py:5] a", "INFO 11-25 03:54:50 [a.py:1] b", 1.5),
        ("[2025-06-06 09:52:01] h:1:2 [0] x", "INFO 06-06 09:52:03 [a.py:1] b", 2),
        ("2025-06-06T09:52:01.123456789Z a", "2025-06-06T09:52:02.123456789Z a", 1),
        ("2024-12-31T23:59:59.000Z a", "2025-01-01T00:00:01.000Z b", 2),
    ],
)
def test_it_reads_the_time_between_two_lines(first: str, second: str, seconds: float) -> None:
    clock = Clock()
    before, after = clock.at(first), clock.at(second)
    assert before and after and after - before == timedelta(seconds=seconds)


def test_the_engines_own_clock_does_not_mix_with_the_one_around_it() -> None:
    clock = Clock()
    around = "2026-11-25T03:54:48.000Z INFO 11-25 12:54:48 [a.py:1] in another time zone"
    assert clock.at(around) is not None
    assert clock.at("INFO 11-25 12:54:49 [a.py:1] without the stamp") is None


@pytest.mark.parametrize("line", ["", "x", "INFO 99-99 03:54:48 [a.py:1] x", "INFO:     x"])
def test_what_is_no_time_has_none(line: str) -> None:
    assert Clock().at(line) is None
