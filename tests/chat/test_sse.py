from __future__ import annotations

import pytest

from chat import sse
from chat.sse import EventReader, EventTooLong, format_event

STREAM = """: a comment

data: {"a": "你好🌍"}

event: x
id: 7
data: one
data: two

data:bare

data: [DONE]

"""
EVENTS = ['{"a": "你好🌍"}', "one\ntwo", "bare", "[DONE]"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_it_reads_events_cut_at_every_byte(line_end: str) -> None:
    stream = STREAM.replace("\n", line_end).encode()
    for cut in range(len(stream) + 1):
        reader = EventReader()
        assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == EVENTS


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_it_reads_a_stream_of_single_bytes(line_end: str) -> None:
    reader = EventReader()
    events: list[str] = []
    for byte in STREAM.replace("\n", line_end).encode():
        events += reader.feed(bytes([byte]))
    assert events == EVENTS


def test_it_reads_a_line_of_nine_megabytes() -> None:
    text = "x" * 9_000_000
    reader = EventReader()
    stream = f"data: {text}\n\n".encode()
    events: list[str] = []
    for start in range(0, len(stream), 65536):
        events += reader.feed(stream[start : start + 65536])
    assert events == [text]


def test_it_gives_up_on_an_event_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_EVENT", 1000)
    reader = EventReader()
    with pytest.raises(EventTooLong):
        for _ in range(100):
            reader.feed(b"data: " + b"x" * 90)


def test_it_gives_up_on_an_event_of_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_EVENT", 1000)
    reader = EventReader()
    with pytest.raises(EventTooLong):
        for _ in range(100):
            reader.feed(b"data: " + b"x" * 90 + b"\n")


@pytest.mark.parametrize("data", ["a\n\nevent: x\ndata: y", "a\r\revent: x", "a\r\nb", "\n", "", "a\n"])
def test_it_writes_data_that_stays_data(data: str) -> None:  # row 26: the model writes an event of its own
    event = format_event("text", data)
    assert event.count(b"event:") - data.count("event:") == 1
    lines = event.decode().split("\n")
    assert lines[0] == "event: text"
    assert all(line.startswith("data: ") for line in lines[1:-2])
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert EventReader().feed(event) == [expected]
