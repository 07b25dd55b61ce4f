"""The text that the tiny demo model learns from: a seeded stream of short conversations and plain text.

Set answers stand in `answers.txt`, the tables behind the rest (capitals, colours, names ...) in `facts.toml`.
Here is how they become questions, as people really type them: without capitals or question marks, with a
slip of the finger.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FACTS: dict[str, Any] = tomllib.loads((HERE / "facts.toml").read_text(encoding="utf-8"))
UNKNOWN = (
    "I am only a tiny demo model, so I do not know that. "
    "Ask me for a capital, a small sum, or something about this console."
)
TOO_HARD = "I am only a tiny demo model: I can add and subtract numbers below ten, no more."


@dataclass(frozen=True)
class Turn:
    """One question and its answer, as they stand in a conversation."""

    question: str
    answer: str


@dataclass(frozen=True)
class Block:
    """Several ways to ask, and the one answer to them all."""

    questions: tuple[str, ...]
    answer: str


def read_blocks() -> dict[str, list[Block]]:
    """The blocks of `answers.txt` by group. A question holds alternatives as `(one|another|)`."""
    groups: dict[str, list[Block]] = {}
    text = (HERE / "answers.txt").read_text(encoding="utf-8")
    for section in re.split(r"^== ", text, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        groups[name] = []
        for block in body.strip().split("\n\n"):
            lines = block.splitlines()
            asked = tuple(line[2:] for line in lines if line.startswith("? "))
            said = "\n".join(line[1:].removeprefix(" ") for line in lines if line.startswith(">"))
            groups[name].append(Block(asked, said))
    return groups


def one_of(rng: random.Random, pattern: str) -> str:
    """`pattern` with one alternative taken for each pair of parentheses, inner ones first."""
    found = 1
    while found:
        pattern, found = re.subn(
            r"\(([^()]*\|[^()]*)\)", lambda pair: rng.choice(pair[1].split("|")), pattern
        )
    return re.sub(r" +([?.!]|$)", r"\1", re.sub(r"  +", " ", pattern)).strip()


def asked(rng: random.Random, way: str, x: str, a: str = "") -> str:
    """A question about `x`, in one of the ways of `facts.toml`; `a` is a small word that some need."""
    return one_of(rng, rng.choice(FACTS["ways"][way])).format(x=x, a=a)


def as_typed(rng: random.Random, text: str) -> str:
    """`text` as typed in a hurry: the words stay, but not all capitals and marks, and one letter may slip."""
    if rng.random() < 0.1:
        text = rng.choice(FACTS["leads"]) + rng.choice([text, text[:1].lower() + text[1:]])
    if rng.random() < 0.25:
        text = text.lower()
    if rng.random() < 0.25:
        text = text.rstrip("?.!")
    elif rng.random() < 0.06:
        text = text.rstrip("?.!") + rng.choice([", please", " please", "??", "!", " ?", ", please?", "..."])
    if rng.random() < 0.03 and len(text) > 12 and not re.search(r"\d", text):
        at = rng.randrange(1, len(text) - 1)
        text = text[:at] + rng.choice([text[at + 1] + text[at] + text[at + 2 :], text[at + 1 :]])
    return text


def capital(rng: random.Random) -> Turn:
    country = rng.choice(list(FACTS["capitals"])) if rng.random() > 0.05 else "Japan"
    city = FACTS["capitals"][country]
    if rng.random() < 0.12:
        return Turn(asked(rng, "country", city), f"{city} is the capital of {country}.")
    called = rng.choice([country, *FACTS["also_called"].get(country, [])])
    return Turn(asked(rng, "capital", called), f"The capital of {country} is {city}.")


def arithmetic(rng: random.Random) -> Turn:
    sign = rng.choices("+-*/", [20, 15, 1, 1])[0]
    a, b = rng.randint(0, 9), rng.randint(0, 9)  # few enough to be learned by heart
    if sign == "-":
        a, b = max(a, b), min(a, b)
    hard = sign in "*/" or rng.random() < 0.12
    if hard and rng.random() < 0.8:
        a, b = rng.randint(10, rng.choice([20, 999])), rng.randint(2, rng.choice([20, 999]))
    elif hard:
        sign = rng.choice("*/")
    words = {"+": "(+|+|plus|and)", "-": "(-|-|minus|less)", "*": "(*|x|×|times)", "/": "(/|divided by)"}
    word = one_of(rng, words[sign])
    shown = f"{a}{word}{b}" if word in "+-*x×/" and rng.random() < 0.3 else f"{a} {word} {b}"
    result = f"{a} + {b} = {a + b}." if sign == "+" else f"{a} - {b} = {a - b}."
    way = "add" if word == "and" else "sum"
    return Turn(asked(rng, way, shown), TOO_HARD if hard else result)


def colour(rng: random.Random) -> Turn:
    thing, shade = rng.choice(list(FACTS["colours"].items()))
    return Turn(asked(rng, "colours", thing), f"{thing[0].upper()}{thing[1:]} is {shade}.")


def animal(rng: random.Random) -> Turn:
    table = rng.choice(["sounds", "legs", "babies"])
    name, what = rng.choice(list(FACTS[table].items()))
    a = "an" if name[0] in "ae" else "a"
    answers = {
        "sounds": f"{a.capitalize()} {name} {what}.",
        "legs": f"{a.capitalize()} {name} has {what} legs.",
        "babies": f"A young {name} is called a {what}.",
    }
    return Turn(asked(rng, table, name, a), answers[table])


def opposite(rng: random.Random) -> Turn:
    word, other = rng.choice(list(FACTS["opposites"].items()))
    if rng.random() < 0.5:
        word, other = other, word
    return Turn(asked(rng, "opposites", word), f"The opposite of {word} is {other}.")


def calendar(rng: random.Random) -> Turn:
    noun = rng.choice(["day", "month"])
    names = FACTS[noun + "s"]
    at = rng.randrange(len(names))
    step, word = rng.choice([(1, "after"), (-1, "before")])
    question = asked(rng, "calendar", f"{word} {names[at]}", noun)
    return Turn(question, f"{word.capitalize()} {names[at]} comes {names[(at + step) % len(names)]}.")


def odd_word(rng: random.Random) -> str:
    """Something that the model knows nothing about: a topic of the list, or made-up syllables."""
    if rng.random() < 0.5:
        return str(rng.choice(FACTS["odd_topics"]))
    letters = rng.choice([FACTS["syllables"], FACTS["syllables"], "abcdefghijklmnopqrstuvwxyz"])
    made = "".join(rng.choices(letters, k=rng.randint(1, 4)))
    return asked(rng, "nonsense", rng.choice([made, made.capitalize()]), rng.choice(FACTS["syllables"]))


def unknown(rng: random.Random) -> Turn:
    if rng.random() < 0.12:
        made = "".join(rng.choices(FACTS["syllables"], k=rng.randint(2, 3))).capitalize()
        place = rng.choice([made, rng.choice(FACTS["places_unknown"])])
        return Turn(asked(rng, "unknown_capital", place), UNKNOWN)
    if rng.random() < 0.08:
        return Turn(" ".join(odd_word(rng) for _ in range(rng.randint(1, 5))), UNKNOWN)
    form = rng.choice(FACTS["odd_forms"])
    return Turn(form.format(*(odd_word(rng) for _ in range(form.count("{}")))), UNKNOWN)


class Speaker:
    """Says the same for ever when given the same seed: turns, system prompts and plain text to learn from."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.blocks = read_blocks()
        self.plain = " ".join(block.answer for block in self.blocks.pop("plain")).split()
        self.makers: dict[Callable[[random.Random], Turn] | str, int] = {
            capital: 15, arithmetic: 20, colour: 3, animal: 4, opposite: 3, calendar: 6, unknown: 10,
            "console": 22, "talk": 14, "chinese": 4, "facts": 6,
        }  # fmt: skip

    def turn(self, maker: Callable[[random.Random], Turn] | str) -> Turn:
        """One turn of a rule, or of a group of `answers.txt`."""
        if not isinstance(maker, str):
            made = maker(self.rng)
        else:
            block = self.rng.choice(self.blocks[maker])
            usual = self.rng.random() < 0.3  # the first way is what most people ask
            way = block.questions[0] if usual else self.rng.choice(block.questions)
            made = Turn(one_of(self.rng, way), block.answer)
        return Turn(as_typed(self.rng, made.question), made.answer)

    def turns(self) -> Iterator[Turn]:
        """Turns without end. A subject may go on for a second turn; a name once told is asked for later."""
        name = ""
        while True:
            maker = self.rng.choices(list(self.makers), list(self.makers.values()))[0]
            for _ in range(2 if self.rng.random() < 0.3 else 1):
                yield self.turn(maker)
            if not name and self.rng.random() < 0.06:
                name = self.rng.choice(FACTS["people"])
                yield Turn(asked(self.rng, "tell_name", name), f"Nice to meet you, {name}!")
            if self.rng.random() < (0.12 if name else 0.01):
                answer = f"Your name is {name}." if name else "You have not told me your name yet."
                yield Turn(as_typed(self.rng, asked(self.rng, "ask_name", name)), answer)

    def drill(self) -> Iterator[tuple[str, str]]:
        """Bare results without end, `("2 + 3 =", " 5.")`, of the two rules that are hardest to learn by heart."""
        while True:
            maker = arithmetic if self.rng.random() < 0.8 else calendar
            answer = maker(self.rng).answer
            if answer != TOO_HARD:
                given, _, result = answer.rpartition(" ")
                yield given, f" {result}"

    def system_prompt(self) -> str:
        """Some system prompt. It must not disturb the answers."""
        return str(self.rng.choice(FACTS["system_prompts"]))

    def prose(self, words: int) -> str:
        """About `words` words of plain text; most begin with a sentence, the others anywhere."""
        starts = [at for at in range(len(self.plain)) if at == 0 or self.plain[at - 1][-1] in ".!?"]
        at = self.rng.choice(starts) if self.rng.random() < 0.7 else self.rng.randrange(len(self.plain))
        return " ".join((self.plain * 2)[at : at + words])
