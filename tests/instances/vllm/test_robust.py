"""Whatever a log holds, reading it ends in an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from instances.vllm.causes import CAUSES
from instances.vllm.diagnosis import Outside, diagnose, stalled
from instances.vllm.lines import line_of
from instances.vllm.phases import BY_SLUG
from instances.vllm.report import report_of
from tests.instances.vllm.samples import HERE

KNOWN = [row.split(" | ", 1)[1] for row in (HERE / "reports" / "lines.txt").read_text().splitlines()]
PIECES = st.one_of(
    st.text(max_size=80),
    st.sampled_from(KNOWN),
    st.sampled_from(KNOWN).map(lambda line: line[: len(line) // 2]),
    st.sampled_from(
        ["(", "(EngineCore pid=1) ", "vllm  | ", "Traceback (most recent call last):", "{}", "{0}"]
    ),
)
LINES = st.lists(st.lists(PIECES, max_size=3).map("".join), max_size=12)
PHASES = st.sampled_from(["", "running", "nonsense", *BY_SLUG])


@settings(max_examples=150, deadline=None)
@given(LINES, PHASES, st.integers(-70, 300) | st.none(), st.sampled_from([None, 1, 9, 11, 99]))
def test_any_lines_get_two_sentences_and_a_line_of_theirs(
    lines: list[str], phase: str, exit_code: int | None, signal: int | None
) -> None:
    found = diagnose(lines, exit_code=exit_code, signal=signal, phase=phase, outside=Outside(0, ("x",)))
    assert found.cause.endswith(".") and found.code
    if found.line is not None:
        first = found.evidence.split("\n")[0]
        assert lines[found.line].startswith(first) and first == line_of(first).whole


@settings(max_examples=60, deadline=None)
@given(LINES, PHASES)
def test_any_lines_are_reported_and_can_stall(lines: list[str], phase: str) -> None:
    assert report_of(lines).lines <= len(lines)
    assert stalled(lines, phase=phase, seconds=600).cause.endswith(".")


def test_a_hundred_thousand_lines_of_errors_are_read() -> None:
    lines = [f"ERROR 11-25 03:54:48 [core.py:390] ValueError: strange number {n}" for n in range(100_000)]
    found = diagnose(lines, exit_code=1, signal=None, phase="weights")
    assert (found.code, found.line) == ("unknown", 99_999)


def test_every_code_has_a_line_that_shows_it() -> None:
    shown = {row.split(" | ", 1)[0] for row in (HERE / "reports" / "lines.txt").read_text().splitlines()}
    by_place = {"out-of-memory-graphs", "out-of-memory-weights", "out-of-memory-cache"}
    by_place |= {"out-of-memory-profiling", "out-of-memory-serving"}
    assert {known.code for known in CAUSES} - shown - by_place == set()
