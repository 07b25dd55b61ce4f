"""The words of a text, in pieces as they were written, and with their variables put in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variable:
    """`$NAME`, `${NAME:-default}`, or with an empty name what a shell would run or compute."""

    raw: str
    name: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Token:
    """One word as it was written, in pieces."""

    raw: str
    pieces: tuple[str | Variable, ...]
    quoted: bool = False

    @property
    def literal(self) -> str:
        """The text, with variables as they were written."""
        return "".join(piece if isinstance(piece, str) else piece.raw for piece in self.pieces)


@dataclass(frozen=True)
class Word:
    """A word with its variables put in as far as the text tells them."""

    text: str
    raw: str = ""
    unknown: tuple[str, ...] = ()  # variables and placeholders whose value the text does not have

    @property
    def shown(self) -> str:
        return self.raw or self.text


@dataclass
class Command:
    """The words up to a line's end, a `;`, `&&`, `|` or `&`."""

    tokens: list[Token] = field(default_factory=list)
    redirections: list[str] = field(default_factory=list)
    end: str = "\n"

    @property
    def raw(self) -> str:
        return " ".join(token.raw for token in self.tokens)
