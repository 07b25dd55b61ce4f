"""Shell text as commands and words. Quotes are read, variables are kept apart, and nothing is run.

What a shell would refuse is read as it was probably meant: a quote that never closes ends with its line.
"""

from __future__ import annotations

import ast
import json
import re

from .words import Command, Token, Variable

PLAIN = re.compile(r"[^\s'\"\\$`;&|<>(){}\[\]]+")
DOUBLE = re.compile(r"[^\"\\$`]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DEFAULT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):?-(.*)", re.DOTALL)
REDIRECTION = re.compile(r"(?:\d{0,2}|&)(?:>>|>\||>&|>|<<<|<<-?|<&|<)")
PLACEHOLDER = re.compile(r"<[A-Za-z][^<>|&;\n\"']{0,60}>")
TARGET = re.compile(r"&?[^\s;&|<>]*")
OPERATOR = re.compile(r"&&|\|\||\|&|;;|[;&|()]")
SPANNING = re.compile(r"vllm|docker|podman|(?:^|\s)-\w*c\s*$|\bssh\b|=$")  # before a quote over several lines
LONGEST_JSON = 4000
MOST_TRIES = 60  # of reading bare JSON in one text


def commands_in(text: str, *, operators: bool = True) -> tuple[list[Command], list[str]]:
    """All commands of a text, and sentences about what was put right. Without `operators`, `;` and `>` are text."""
    reader = Reader(text, operators)
    reader.read()
    return reader.commands, list(dict.fromkeys(reader.notes))


class Reader:
    """One pass over a text. Every step moves on by at least one character."""

    def __init__(self, text: str, operators: bool) -> None:
        self.text = text
        self.operators = operators
        self.at = 0
        self.commands: list[Command] = []
        self.notes: list[str] = []
        self._now = Command()
        self._begun = 0  # where the command begins
        self._tries = MOST_TRIES
        self._no_double_after = len(text) + 1  # no double quote closes from here on

    def read(self) -> None:
        text, size = self.text, len(self.text)
        while self.at < size:
            sign = text[self.at]
            if sign == "\n":
                self._end("\n")
                self.at += 1
            elif sign.isspace():
                self.at += 1
            elif sign == "#":
                end = text.find("\n", self.at)
                self.at = size if end < 0 else end
            elif self.operators and self._is_operator(sign):
                continue
            else:
                self._word()
        self._end("\n")

    def _end(self, sign: str) -> None:
        if self._now.tokens or self._now.redirections:
            self._now.end = sign
            self.commands.append(self._now)
            self._now = Command()
        self._begun = self.at + len(sign)

    def _is_operator(self, sign: str) -> bool:
        """Read an operator or a redirection, if one stands here."""
        if sign == "<" and (found := PLACEHOLDER.match(self.text, self.at)):
            self._now.tokens.append(Token(found[0], (found[0],)))
            self.at = found.end()
            return True
        if sign in "<>&" or sign.isdecimal():
            found = REDIRECTION.match(self.text, self.at)
            if found:
                return self._redirection(found)
        found = OPERATOR.match(self.text, self.at)
        if found is None:
            return False
        self._end(found[0])
        self.at = found.end()
        return True

    def _redirection(self, found: re.Match[str]) -> bool:
        self.at = found.end()
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1
        target = TARGET.match(self.text, self.at)
        if target:
            self.at = target.end()
        self._now.redirections.append(self.text[found.start() : self.at].strip())
        return True

    def _word(self) -> None:
        text, begin = self.text, self.at
        pieces: list[str | Variable] = []
        quoted = False
        while self.at < len(text):
            sign = text[self.at]
            if sign.isspace():
                break
            if found := PLAIN.match(text, self.at):
                pieces.append(found[0])
                self.at = found.end()
            elif sign == "'":
                quoted = True
                self._single(pieces)
            elif sign == '"':
                quoted = True
                self._double(pieces)
            elif sign == "\\":
                pieces.append(text[self.at + 1 : self.at + 2] or "\\")
                self.at += 2
            elif sign in "$`":
                if text.startswith("$'", self.at):
                    self.at += 1
                    continue
                pieces.append(self.variable())
            elif sign in "{[":
                bare = self._bare_json() if self.at == begin or text[self.at - 1] == "=" else ""
                pieces.append(bare or sign)
                self.at += len(bare) or 1
            elif sign in "}]" or not self.operators:
                pieces.append(sign)
                self.at += 1
            else:
                break
        self.at = max(self.at, begin + 1)
        raw = text[begin : self.at].replace("\n", " ")
        merged: list[str | Variable] = []
        for piece in pieces:
            if merged and isinstance(piece, str) and isinstance(last := merged[-1], str):
                merged[-1] = last + piece
            else:
                merged.append(piece)
        self._now.tokens.append(Token(raw, tuple(merged), quoted))

    def _single(self, pieces: list[str | Variable]) -> None:
        end = self.text.find("'", self.at + 1)
        end = self._closing("'", end)
        pieces.append(self.text[self.at + 1 : end])
        self.at = end + 1 if self.text[end : end + 1] == "'" else end

    def _closing(self, quote: str, end: int) -> int:
        """Where a quoted text ends: at its quote, or else with its line."""
        line = self.text.find("\n", self.at)
        line = len(self.text) if line < 0 else line
        if 0 <= end <= line:
            return end
        if end > line and SPANNING.search(self.text[max(self._begun, self.at - 4000) : self.at]):
            return end
        self.notes.append(f"A quote ({quote}) does not close; it is read up to the end of its line.")
        return line

    def _double(self, pieces: list[str | Variable]) -> None:
        end = self._closing('"', self._double_end())
        text = self.text
        self.at += 1
        while self.at < end:
            if found := DOUBLE.match(text, self.at, end):
                pieces.append(found[0])
                self.at = found.end()
            elif text[self.at] == "\\":
                following = text[self.at + 1 : self.at + 2]
                pieces.append(following if following in tuple('"\\$`') else "\\" + following)
                self.at += 2
            else:
                pieces.append(self.variable(end))
        self.at = min(end + 1, len(text)) if text[end : end + 1] == '"' else end
        pieces.append("")

    def _double_end(self) -> int:
        if self.at >= self._no_double_after:
            return -1
        at = self.at + 1
        while True:
            quote = self.text.find('"', at)
            if quote < 0:
                self._no_double_after = min(self._no_double_after, self.at)
                return -1
            before = quote - 1
            while before > self.at and self.text[before] == "\\":
                before -= 1
            if (quote - 1 - before) % 2 == 0:
                return quote
            at = quote + 1

    def variable(self, limit: int | None = None) -> str | Variable:
        """What begins with a dollar sign or a backtick here."""
        text, begin = self.text, self.at
        line = text.find("\n", begin)
        end = min(len(text) if line < 0 else line, len(text) if limit is None else limit, begin + 4000)
        if text[begin] == "`":
            close = text.find("`", begin + 1, end)
            self.at = end if close < 0 else close + 1
            return Variable(text[begin : self.at])
        following = text[begin + 1 : begin + 2]
        if following in ("(", "{"):
            self.at = _matching(text, begin + 1, end)
            raw = text[begin : self.at]
            inside = raw[2:-1]
            if following == "{":
                if found := DEFAULT.fullmatch(inside):
                    return Variable(raw, found[1], found[2].strip("'\""))
                if NAME.fullmatch(inside.removesuffix("[@]").removesuffix("[*]")):
                    return Variable(raw, inside.partition("[")[0])
            return Variable(raw)
        if found := NAME.match(text, begin + 1, max(end, begin + 1)):
            self.at = found.end()
            return Variable(text[begin : self.at], found[0])
        self.at = begin + 2 if following and following in "@*#?!$0123456789" else begin + 1
        return Variable(text[begin : self.at]) if self.at > begin + 1 else "$"

    def _bare_json(self) -> str:
        """JSON that stands without quotes around it, which a shell would tear apart; empty where there is none."""
        if self._tries <= 0:
            return ""
        self._tries -= 1
        end = _matching(self.text, self.at, min(len(self.text), self.at + LONGEST_JSON))
        bare = self.text[self.at : end]
        if "'" not in bare and '"' not in bare:
            return ""
        try:
            json.loads(bare)
        except (ValueError, RecursionError):
            try:
                ast.literal_eval(bare)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                return ""
        return bare


def _matching(text: str, at: int, end: int) -> int:
    """One past the bracket that closes the one at `at`; `end` where none does. Quoted brackets do not count."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opening, closing = text[at], pairs[text[at]]
    depth, quote = 0, ""
    while at < end:
        sign = text[at]
        if sign == "\\":
            at += 2
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == opening:
            depth += 1
        elif sign == closing:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return end
