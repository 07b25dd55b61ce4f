"""Charts as numbers for an SVG: paths, ticks, marks, and the same data as rows of a table. Pure.

A gap stays a gap: where nothing was measured no line is drawn, and amounts begin at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

WIDTH, HEIGHT = 600, 100  # of the inner drawing, which is stretched to its card
FLOOR, CEILING = 97, 9  # percent of the outer height between which it lies
NICE = (1, 2, 4, 6, 10)
ROOM = 0.3  # of the width that a mark's label takes
AXIS = 4  # times under the chart, evenly spread
UNKNOWN = "–"


@dataclass(frozen=True)
class Range:
    """What a chart spans: `points` of `step` seconds each."""

    slug: str
    label: str
    step: int
    points: int

    @property
    def days(self) -> bool:
        """Whether its times need their day."""
        return self.seconds > 24 * 3600

    @property
    def seconds(self) -> int:
        return self.step * self.points

    def begin(self, now: float) -> int:
        """Of the first point, so that the last one is the one that is now being measured."""
        return (int(now) // self.step + 1 - self.points) * self.step


@dataclass(frozen=True)
class Mark:
    """Something that happened, on the time axis."""

    at: float  # seconds since 1970
    label: str
    kind: str  # launch, stop, crash


@dataclass(frozen=True)
class Line:
    name: str
    values: Sequence[float | None]  # one a point


@dataclass(frozen=True)
class DrawnLine:
    name: str
    css: str
    path: str
    area: str  # "" but for the first line
    now: str  # the newest value as text


@dataclass(frozen=True)
class DrawnMark:
    x: str  # percent
    label: str
    kind: str
    turned: bool  # its label stands on the left, because on the right there is no room
    label_shown: bool  # not where the one before would be under it


@dataclass(frozen=True)
class Row:
    at: datetime
    values: list[str]


@dataclass(frozen=True)
class Chart:
    slug: str
    title: str
    unit: str
    lines: list[DrawnLine]
    ticks: list[tuple[str, str]]  # percent from the top, text
    axis: list[datetime]
    marks: list[DrawnMark]
    rows: list[Row]  # oldest first
    least: str
    most: str
    highest: float
    begin: int  # of the first point, seconds since 1970
    step: int

    @property
    def empty(self) -> bool:
        return not any(line.path for line in self.lines)

    @property
    def flat(self) -> bool:
        """Nothing but zeros, or nothing at all."""
        return self.highest == 0

    @property
    def names(self) -> str:
        return "|".join(line.name for line in self.lines)

    @property
    def values(self) -> str:
        """For the script that shows them under the pointer: lines divided by `|`, values by spaces."""
        return "|".join(
            " ".join(row.values[number] for row in self.rows) for number in range(len(self.lines))
        )

    @property
    def table(self) -> list[Row]:
        """Newest first, without the points at which nothing was measured."""
        return [row for row in reversed(self.rows) if any(value != UNKNOWN for value in row.values)]


@dataclass(frozen=True)
class Spark:
    """A line without axes."""

    path: str
    area: str


def spark(values: Sequence[float | None]) -> Spark | None:
    """None with less than two values: a dot says nothing."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    runs = list(_runs(values, nice(max(known))))
    return Spark("".join(map(_path, runs)), "".join(map(_area, runs)))


def draw(
    slug: str,
    title: str,
    unit: str,
    lines: Sequence[Line],
    *,
    begin: int,
    step: int,
    marks: Iterable[Mark] = (),
    top: float | None = None,
    text: Callable[[float], str] = str,
) -> Chart:
    """`top`: the value at the upper edge, where it is given by nature; else a round number above all values."""
    count = len(lines[0].values)
    known = [value for line in lines for value in line.values if value is not None]
    top = max(top or 0.0, max(known, default=0.0)) if top else nice(max(known, default=0.0))
    end = begin + count * step
    return Chart(
        slug=slug,
        title=title,
        unit=unit,
        lines=[_drawn(line, number, top, text) for number, line in enumerate(lines)],
        ticks=[(_y(share), _tick(share * top)) for share in (0.0, 0.5, 1.0)],
        axis=[_moment(begin + (end - begin) * number / (AXIS - 1)) for number in range(AXIS)],
        marks=_marks([mark for mark in marks if begin <= mark.at <= end], begin, end),
        rows=[
            Row(
                _moment(begin + number * step),
                [UNKNOWN if one is None else text(one) for one in (line.values[number] for line in lines)],
            )
            for number in range(count)
        ],
        least=text(min(known)) if known else UNKNOWN,
        most=text(max(known)) if known else UNKNOWN,
        highest=max(known, default=0.0),
        begin=begin,
        step=step,
    )


def nice(most: float) -> float:
    """The least round number that is not below, so that its half is round as well."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next((one * power for one in NICE if one * power >= most), 10 * power)


def _drawn(line: Line, number: int, top: float, text: Callable[[float], str]) -> DrawnLine:
    runs = list(_runs(line.values, top))
    newest = line.values[-1] if line.values[-1] is not None else (line.values[-2:] or [None])[0]
    return DrawnLine(
        name=line.name,
        css=f"s{number + 1}",
        path="".join(_path(run) for run in runs),
        area="".join(_area(run) for run in runs) if number == 0 else "",
        now=UNKNOWN if newest is None else text(newest),
    )


def _runs(values: Sequence[float | None], top: float) -> Iterable[list[tuple[float, float]]]:
    """Points that follow one another without a gap."""
    width = WIDTH / len(values)
    run: list[tuple[float, float]] = []
    for number, value in enumerate([*values, None]):
        if value is not None:
            run.append((round((number + 0.5) * width, 1), round(HEIGHT * (1 - min(value / top, 1.0)), 1)))
        elif run:
            yield run
            run = []


def _path(run: list[tuple[float, float]]) -> str:
    """A single point is a line of no length, which round caps show as a dot."""
    (x, y), *rest = run
    return f"M{x:g} {y:g}" + ("".join(f"L{x:g} {y:g}" for x, y in rest) or "h0")


def _area(run: list[tuple[float, float]]) -> str:
    return f"{_path(run)}L{run[-1][0]:g} {HEIGHT}L{run[0][0]:g} {HEIGHT}Z" if len(run) > 1 else ""


def _y(share: float) -> str:
    return f"{FLOOR - (FLOOR - CEILING) * share:g}%"


def _tick(value: float) -> str:
    """`0`, `0.5`, `120`, `4,000`."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"


def _marks(marks: Sequence[Mark], begin: int, end: int) -> list[DrawnMark]:
    """Of launches the label is written out where there is room for it; of all it is said on hover."""
    drawn: list[DrawnMark] = []
    free_from = 0.0
    for mark in sorted(marks, key=lambda one: one.at):
        share = (mark.at - begin) / (end - begin)
        turned = share > 0.7
        left = share - ROOM if turned else share
        shown = mark.kind == "launch" and left >= free_from
        if shown:
            free_from = left + ROOM
        drawn.append(DrawnMark(f"{100 * share:.1f}%", mark.label, mark.kind, turned, shown))
    return drawn


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
