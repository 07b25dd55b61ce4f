"""From a text as it was copied to lines that can be read: continuations are joined, the broken ones too."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

IsFlag = Callable[[str], bool]  # whether this whole word is the name of a flag, of today or of old

SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\uff07", "'"),
        **dict.fromkeys("\u00a0\u1680\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"),
        **dict.fromkeys(map(chr, [*range(0, 9), 11, 12, *range(14, 32), 127])),
        "\u2011": "-",
        "\u2010": "-",
        "\u2212": "-",
    }
)
ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,20}[ -/]{0,4}[@-~]|[@-Z\\-_])")
DASHES = re.compile(r"(?<![^\s])[\u2013\u2014\u2015]-?(?=[A-Za-z])")
FENCE = re.compile(r"^ {0,8}(?:>\s?)?(?:`{3,}|~{3,}).*$", re.MULTILINE)
PROMPT = re.compile(
    r"^\s{0,20}(?:\([\w. -]{1,40}\)\s{0,4})?"
    r"(?:(?:\[?[\w.-]{1,40}@[\w.-]{1,60}[: ][^\s$#%>]{0,80}\]?\s?)?[$#%❯➜]\s{1,4}(?=\S)"
    r"|PS [A-Za-z]:[^\n>]{0,100}>\s?|[A-Za-z]:\\[^\n>]{0,100}>\s?|In ?\[\d{0,4}\]: ?!|%%bash\s|!(?=\w))"
)
COMMENTED = re.compile(r"\\ {1,8}#[^\\]*$")  # a comment behind a backslash
MOST_EMPTY = 6  # lines that may stand empty inside a command
WRAPPED = "A line was broken by a terminal; it was joined with the next one."
WIDE = 60  # columns from which a line may have been wrapped by a terminal
COMMANDS = frozenset(
    """vllm docker podman python python3 export cd source curl echo sudo nohup env uv uvx pip git mkdir set exec
    huggingface-cli hf nvidia-smi bash sh conda systemctl kubectl wget cat tail sleep services""".split()
)


def cleaned(text: str, notes: list[str]) -> str:
    """Without what copying brings: escapes, typographic quotes and dashes, blanks of odd kinds, fences."""
    text = ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "&quot;" in text or "&#39;" in text or "&amp;&amp;" in text:
        text = html.unescape(text)
    plain = DASHES.sub("--", text.translate(SIGNS))
    if plain.count('"') + plain.count("'") > text.count('"') + text.count("'"):
        notes.append("Typographic quotes were read as plain ones.")
    return _without_quoting(_out_of_fences(plain))


def _out_of_fences(text: str) -> str:
    """What stands between Markdown fences, where they hold something that could be meant."""
    marks = list(FENCE.finditer(text))
    if not marks:
        stripped = text.strip()
        return stripped.strip("`") if stripped[:1] == stripped[-1:] == "`" and "\n" not in stripped else text
    blocks = []
    for at in range(0, len(marks), 2):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        blocks.append(text[marks[at].end() : end])
    inside = "\n\n".join(blocks)
    worth = re.search(r"vllm|--\w|docker|command", inside)
    return inside if worth else FENCE.sub("", text)


def _without_quoting(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    if lines and all(line.lstrip().startswith(">") for line in lines):
        return re.sub(r"(?m)^\s*> ?", "", text)
    return text


def joined_lines(text: str, is_flag: IsFlag, notes: list[str]) -> list[str]:
    """Logical lines. A blank line or a comment inside a command does not end it when flags follow."""
    lines = _unwrapped([_without_prompt(line) for line in text.split("\n")], notes)
    logical: list[str] = []
    at = 0
    while at < len(lines):
        parts = [lines[at]]
        at += 1
        while at < len(lines) and (ahead := _next_of(lines, at, parts, is_flag, notes)):
            glue, at = ahead
            parts[-1] = _unmarked(parts[-1]).rstrip() + glue
            parts.append(lines[at].lstrip())
            at += 1
        parts[-1] = _unmarked(parts[-1])
        logical.append("".join(parts))
    return logical


def _unwrapped(lines: list[str], notes: list[str]) -> list[str]:
    """Commands that a terminal broke at its width, anywhere: two or more lines as wide as each other, then the rest."""
    whole: list[str] = []
    at = 0
    while at < len(lines):
        width, end = len(lines[at]), at + 1
        while end < len(lines) and len(lines[end]) == width:
            end += 1
        rest = lines[end] if end < len(lines) else ""
        block = [*lines[at:end], *([rest] if 0 < len(rest) < width else [])]
        if width >= WIDE and end - at > 1 and _is_one_command(block):
            notes.append(WRAPPED)
            whole.append("".join(block))
            at += len(block)
        else:
            whole += lines[at:end]
            at = end
    return whole


def _is_one_command(block: Sequence[str]) -> bool:
    first, *others = block
    return (
        "vllm" in first
        and not any(_mark(line) >= 0 or line.lstrip().startswith("#") for line in block)
        and not any(_first(line).rpartition("/")[2] in COMMANDS for line in others)
    )


def _without_prompt(line: str) -> str:
    found = PROMPT.match(line)
    if found is None or (found[0].strip() == "#"):  # a comment, or the prompt of root: the caller asks again
        return line
    return line[found.end() :]


def without_comment_signs(text: str) -> str:
    """Comments as if they were commands, for a text in which nothing else was found."""
    return re.sub(r"(?m)^\s*(?:#|//|REM |rem )\s*", "", text)


def _mark(line: str) -> int:
    """Where the sign begins that says the line goes on; -1 where it ends."""
    bare = line.rstrip()
    if not bare or bare.lstrip().startswith("#"):
        return -1
    if found := COMMENTED.search(bare[-400:]):
        return len(bare) - len(bare[-400:]) + found.start()
    if bare.endswith("\\"):
        return len(bare.rstrip("\\"))
    return len(bare) - 1 if bare.endswith((" ^", " `")) else -1


def _unmarked(line: str) -> str:
    mark = _mark(line)
    return line if mark < 0 else line[:mark]


def _begins_flag(line: str) -> bool:
    return re.match(r"\s*--?[A-Za-z]", line) is not None


def _next_of(
    lines: list[str], at: int, parts: Sequence[str], is_flag: IsFlag, notes: list[str]
) -> tuple[str, int] | None:
    """What to put between the last part and the line that belongs to it, and where that is; None: the command ends."""
    line = parts[-1]
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    ahead = at
    while ahead < len(lines) and ahead < at + MOST_EMPTY and _is_empty(lines[ahead]):
        ahead += 1
    following = lines[ahead] if ahead < len(lines) else ""
    mark = _mark(line)
    if mark >= 0:
        if ahead > at:  # an empty line ends it for a shell, but more flags after it are meant to be its own
            if not _begins_flag(following):
                return None
            notes.append(
                "An empty line or a comment stood between the flags; the flags after it were taken too."
            )
            return " ", ahead
        if line.rstrip() != line:
            notes.append("Blanks stood behind a backslash; the next line was taken all the same.")
        lines[ahead] = following = re.sub(r"^ {0,8}> ", "", following)
        tight = line[mark - 1 : mark].strip() and following[:1].strip() and not following.startswith("-")
        return ("" if tight else " "), ahead
    if not _has_engine(parts):
        return None
    if _begins_flag(following) and ahead - at < 2 and not following.lstrip().startswith("---"):
        if ahead == at and is_flag(_last(line) + _first(following)):
            return "", ahead
        notes.append("A line ended without a backslash before more flags; they were taken too.")
        return " ", ahead
    return (
        _wrapped(line, following, lines[ahead + 1 : ahead + 2], is_flag, notes, ahead)
        if ahead == at
        else None
    )


def _wrapped(
    line: str, following: str, after: Sequence[str], is_flag: IsFlag, notes: list[str], ahead: int
) -> tuple[str, int] | None:
    """A terminal's line wrap, which may stand inside a word."""
    words = following.split()
    if (
        len(line) < WIDE
        or not words
        or words[0].rpartition("/")[2] in COMMANDS
        or "=" in words[0][:40].split("-")[0]
    ):
        return None
    last, first = _last(line), words[0]
    whole = last.startswith("-") and is_flag(last + first.partition("=")[0])
    more = any(re.match(r"--?[A-Za-z]", word) for word in words[1:4])
    alone = len(words) < 3 and not any(one.strip() for one in after)
    if not (whole or more or alone):
        return None
    notes.append(WRAPPED)
    apart = not whole and (line[-1:].isspace() or is_flag(last) or last in ("serve", "run", "-m"))
    return (" " if apart else ""), ahead


def _is_empty(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#") or line.strip() in ("\\", "^")


def _has_engine(parts: Sequence[str]) -> bool:
    return any("vllm" in part or part.lstrip().startswith("--") for part in parts)


def _last(line: str) -> str:
    return line.rsplit(maxsplit=1)[-1] if line.strip() else ""


def _first(line: str) -> str:
    return (line.split(maxsplit=1) or [""])[0].partition("=")[0]
