import pytest

from instances.logs.clean import CUT, LONGEST, clean


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain text", "plain text"),
        ("模型已加载 █▄".encode(), "模型已加载 █▄"),
        (b"a\ttab stays", "a\ttab stays"),
        (b"\x1b[1;31mred\x1b[0m and \x1b[38;2;1;2;3mmore\x1b[K", "red and more"),
        (b"\x1b]8;;http://evil.example\x07click\x1b]8;;\x07 me", "click me"),
        (b"\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        (b"\x1b]0;title never ended", ""),
        (b"\x1bPq#0device\x1b\\text", "text"),
        (b"cut off \x1b[1;3", "cut off "),
        (b"lone \x1b", "lone "),
        ("\x9b31mC1\x9d0;title\x9c".encode(), "C1"),
        (b"bad \xff\xfe bytes \xe4\xb8", "bad \ufffd\ufffd bytes \ufffd"),
        (b"n\0u\0l", "nul"),
        (b"bell\x07 back\x08 del\x7f", "bell\u2407 back\u2408 del\u2421"),
        ("\u202egnp.exe\u2066\u200f".encode(), "<U+202E>gnp.exe<U+2066><U+200F>"),
        ("a\u2028b\u0085c\ufeff\U000e0041".encode(), "a<U+2028>b<U+0085>c<U+FEFF><U+E0041>"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),  # escaping is the page's work
    ],
)
def test_it_keeps_the_text_and_nothing_that_acts(line: bytes, text: str) -> None:
    # row 16: invalid UTF-8, NUL, ANSI, OSC 8, bidi
    assert clean(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"10%\r20%\r30%", "30%"),
        (b"\r10%\r20%", "20%"),
        (b"100%\r", "100%"),
        (b"100%\r\x1b[K", "100%"),
        (b"100%\r    \r", "100%"),
        (b"inner 3/4\x1b[A", "inner 3/4"),
        (b"\r\r", ""),
        (b"  indented", "  indented"),
    ],
)
def test_the_newest_state_of_a_bar_that_shows_anything_stays(line: bytes, text: str) -> None:
    assert clean(line) == text


def test_a_very_long_line_is_cut_for_display() -> None:
    assert clean(b"x" * 60_000) == "x" * LONGEST + CUT
    assert clean(b"x" * LONGEST) == "x" * LONGEST
