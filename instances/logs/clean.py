"""A line of engine output as a page may show it: text only, nothing that acts.

What programs send to terminals is taken out: colours, cursor moves, titles, links. Of a progress bar the
newest state stays. What could hide or reorder text is made visible. Pure functions of the bytes.
"""

import re

LONGEST = 16 * 1024  # characters shown of one line
KEPT = 64 * 1024  # bytes looked at between two carriage returns
CUT = "… cut"

_ESCAPE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and their like
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor moves
    r"|\x1b[ -/]*[0-~]?"  # every other escape sequence, and a lone escape
    r"|\x00"
)
_UNSAFE = re.compile(
    "[\x01-\x08\x0a-\x1f\x7f-\x9f]"  # controls
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # what changes the direction of writing
    "|[\u2028\u2029\ufeff\U000e0000-\U000e007f]"  # other ends of lines, and what has no width
)


def clean(line: bytes) -> str:
    """The text of one line, given without its newline; carriage returns in it rewrite what stood before."""
    shown = ""
    for rewrite in line.split(b"\r"):
        text = _text(rewrite)
        if text.strip() or not shown.strip():
            shown = text
    return shown


def _text(data: bytes) -> str:
    text = data[:KEPT].decode("utf-8", "replace")
    if not text.isprintable():
        text = _UNSAFE.sub(_visible, _ESCAPE.sub("", text))
    return text if len(text) <= LONGEST else text[:LONGEST] + CUT


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
