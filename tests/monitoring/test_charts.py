import pytest

from monitoring.charts import Chart, Line, Mark, Range, draw, nice, spark

BEGIN, STEP = 1_900_000_000, 10


def chart(*lines: list[float | None], marks: tuple[Mark, ...] = (), top: float | None = None) -> Chart:
    named = [Line(f"l{number}", values) for number, values in enumerate(lines)]
    return draw("x", "X", "W", named, begin=BEGIN, step=STEP, marks=marks, top=top, text="{:.1f}".format)


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, 1), (0.3, 0.4), (1, 1), (1.01, 2), (99, 100), (101, 200), (158, 200), (410, 600), (7000, 10000)],
)
def test_the_upper_edge_is_round(most: float, top: float) -> None:
    assert nice(most) == pytest.approx(top)


def test_amounts_begin_at_zero() -> None:
    drawn = chart([150.0, 160.0])
    assert [text for _, text in drawn.ticks] == ["0", "100", "200"]
    assert drawn.lines[0].path == "M150 25L450 20"
    assert drawn.lines[0].area == "M150 25L450 20L450 100L150 100Z"


def test_a_gap_stays_a_gap_and_a_single_point_is_a_dot() -> None:
    drawn = chart([1.0, 1.0, None, 1.0, None, None])
    assert drawn.lines[0].path == "M50 0L150 0M350 0h0"
    assert drawn.lines[0].area.count("Z") == 1


def test_only_the_first_line_is_filled() -> None:
    first, second = chart([1.0, 2.0], [2.0, 2.0]).lines
    assert first.area and not second.area
    assert (first.css, second.css) == ("s1", "s2")


def test_a_top_that_is_given_stays_unless_it_is_passed() -> None:
    assert chart([3.0, 3.0], top=100).ticks[-1][1] == "100"
    assert chart([120.0, 3.0], top=100).ticks[-1][1] == "120"


def test_the_newest_value_is_that_of_now_or_of_just_before() -> None:
    assert chart([1.0, 2.0, 3.0]).lines[0].now == "3.0"
    assert chart([1.0, 2.0, None]).lines[0].now == "2.0"
    assert chart([1.0, None, None]).lines[0].now == "–"


def test_without_values_it_is_empty_and_has_its_axes() -> None:
    drawn = chart([None, None])
    assert drawn.empty and drawn.flat and drawn.table == []
    assert (drawn.least, drawn.most, len(drawn.axis), len(drawn.ticks)) == ("–", "–", 4, 3)


def test_the_table_has_the_same_values_newest_first() -> None:
    drawn = chart([1.0, None, 3.0], [4.0, None, None])
    assert [(row.at.timestamp(), row.values) for row in drawn.table] == [
        (BEGIN + 2 * STEP, ["3.0", "–"]),
        (BEGIN, ["1.0", "4.0"]),
    ]
    assert drawn.values == "1.0 – 3.0|4.0 – –"


def test_marks_stand_at_their_time_and_labels_never_on_one_another() -> None:
    def at(seconds: float, kind: str = "launch") -> Mark:
        return Mark(BEGIN + seconds, kind, kind)

    drawn = chart([None] * 10, marks=(at(10), at(12), at(50), at(60, "crash"), at(95), at(300), at(-5)))
    assert [(one.x, one.label_shown) for one in drawn.marks] == [
        ("10.0%", True),
        ("12.0%", False),
        ("50.0%", True),
        ("60.0%", False),
        ("95.0%", False),
    ]
    (late,) = chart([None] * 10, marks=(at(95),)).marks
    assert late.turned and late.label_shown


def test_the_last_point_is_the_one_that_is_now_being_measured() -> None:
    span = Range("x", "x", 10, 6)
    begin = span.begin(BEGIN + 7)
    assert (begin + span.seconds, begin) == (BEGIN + 10, BEGIN - 50)


def test_a_spark_has_no_axes_and_none_without_values() -> None:
    assert spark([None, None]) is None and spark([None, 1.0]) is None
    drawn = spark([1.0, 1.0])
    assert drawn is not None and drawn.path == "M150 0L450 0"
