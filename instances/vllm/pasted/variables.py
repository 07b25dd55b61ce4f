"""What `$NAME` and `${NAME:-default}` stand for, as far as the text itself tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .quoting import PLACEHOLDER, Reader, commands_in
from .secrets import MASK, is_secret_name
from .words import Token, Variable, Word

DEEPEST = 4  # of defaults inside defaults
LONGEST = 20_000  # characters that one word may come to; names that stand for names would double without end
MOST_TIMES = 500  # that names are replaced in one command


def resolved(token: Token, known: Mapping[str, str], notes: list[str]) -> list[Word]:
    """The words that a token stands for: one, or several where an unquoted variable holds several."""
    pieces = [piece for piece in token.pieces if piece]
    if len(pieces) == 1 and isinstance(only := pieces[0], Variable) and _may_be_several(only, token):
        value = known.get(only.name)
        if value is not None and re.search(r"\s", value) and len(notes) < MOST_TIMES:
            notes.append(_stands_for(only, value))
            inner = [one for command in commands_in(value)[0] for one in command.tokens]
            return [Word(one.literal, one.raw) for one in inner]
    if token.literal[:1] == "<" and PLACEHOLDER.fullmatch(token.literal):
        return [Word(token.literal, token.raw, (token.literal,))]
    unknown: list[str] = []
    text = _joined(token.pieces, known, notes, unknown)
    return [Word(text, token.raw, tuple(unknown))]


def _may_be_several(variable: Variable, token: Token) -> bool:
    return not token.quoted or variable.raw.endswith("[@]}")


def interpolated(text: str, known: Mapping[str, str], notes: list[str]) -> Word:
    """A text of a compose file, in which `${NAME:-default}` stands for a value and `$$` for a dollar sign."""
    reader = Reader(text.replace("$$", "\0"), operators=False)
    pieces: list[str | Variable] = []
    while reader.at < len(reader.text):
        at = reader.text.find("$", reader.at)
        if at < 0:
            at = len(reader.text)
        pieces.append(reader.text[reader.at : at])
        reader.at = at
        if at < len(reader.text):
            pieces.append(reader.variable())
    unknown: list[str] = []
    value = _joined(pieces, known, notes, unknown)
    return Word(value.replace("\0", "$"), text, tuple(unknown))


def _joined(
    pieces: Iterable[str | Variable], known: Mapping[str, str], notes: list[str], unknown: list[str]
) -> str:
    """What the pieces stand for. From where it would become too long on, they stay as they are written."""
    out: list[str] = []
    size = 0
    for piece in pieces:
        value = _value(piece, known, notes, unknown)
        if isinstance(piece, Variable) and size + len(value) > LONGEST:
            unknown.append(piece.raw)
            value = piece.raw
        out.append(value)
        size += len(value)
    return "".join(out)


def _value(
    piece: str | Variable, known: Mapping[str, str], notes: list[str], unknown: list[str], depth: int = 0
) -> str:
    if isinstance(piece, str):
        return piece
    if piece.name in known and len(notes) < MOST_TIMES:
        notes.append(_stands_for(piece, known[piece.name]))
        return known[piece.name]
    if piece.default is None or depth > DEEPEST:
        unknown.append(piece.raw)
        return piece.raw
    value = piece.default
    if "$" in value or "`" in value:
        inner = [token for command in commands_in(value)[0] for token in command.tokens]
        value = " ".join(
            "".join(_value(one, known, notes, unknown, depth + 1) for one in token.pieces) for token in inner
        )
    shown = MASK if value and is_secret_name(piece.name, value) else value[:200] or "nothing"
    notes.append(f"${piece.name} is taken as its default: {shown}.")
    return value


def _stands_for(variable: Variable, value: str) -> str:
    shown = MASK if value and is_secret_name(variable.name, value) else value[:200] or "nothing"
    return f"${variable.name} stands for {shown}, as the text says."
