import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mapc.visual.figure import Axis, Figure, Line, Points, Rects, Rule, Scale, Steps, column
from mapc.visual.palette import heat_step
from mapc.visual.svg_marks import EDGE_SHARE, LARGE, MANY, MOST, WIDTH, Span, draw_marks, number

UNIT = Span.of(Axis("", 0, 1))
HEIGHT = 300
VALUES = st.floats(allow_nan=True, allow_infinity=True)


def drawn(mark, x=UNIT, y=UNIT, scale=None):
    """The group of one mark, parsed."""
    axis = Axis("", 0, 1)  # spans are given apart
    figure = Figure("key", "", "", axis, axis, (mark,), scale=scale, height=HEIGHT)
    return ET.fromstring(draw_marks(figure, x, y, [0]))


def rects(x0, x1, y0, y1, role="c1", values=None, titles=None):
    titles = titles or tuple(f"t{i}" for i in range(len(x0)))
    columns = (column(part) for part in (x0, x1, y0, y1))
    return Rects("name", role, *columns, titles, None if values is None else column(values))


# -- coordinates -----------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(value):
    assert float(number(value)) == value


@given(VALUES, VALUES, st.booleans())
@example(1.7976913371709786e308, 0.0, False)
@example(-1.7e308, 1.7e308, False)
def test_every_domain_has_a_length_that_browsers_can_draw(low, high, log):
    span = Span.of(Axis("", low, high, log=log))
    assert span.low < span.high
    assert max(abs(span.low), abs(span.high)) <= LARGE
    assert math.isfinite(span.factor)
    assert span.factor > 0
    assert math.log2(span.factor).is_integer()


@given(st.integers(0, 10**7), st.integers(1000, 5 * 10**6), st.floats(0, 1))
def test_places_of_usual_domains_are_the_values(low, length, part):
    axis = Axis("", low, low + length)
    span = Span.of(axis)
    assert (span.factor, span.offset) == (1, 0)
    value = low + part * length
    assert float(span.at(column([value]))[0]) == value


@given(st.integers(30, 50), st.integers(0, 2**50))
def test_places_of_large_domains_read_back_exactly(power, value):
    span = Span.of(Axis("", 0, 2.0**power))
    assert span.factor > 1
    assert span.at(column([value]))[0] * span.factor + span.offset == value


def test_a_domain_far_off_is_moved():
    span = Span.of(Axis("", 448605.35, 448605.36))
    assert span.offset == 448605.35
    at = span.at(column([448605.355]))[0]
    assert at * span.factor + span.offset == pytest.approx(448605.355, rel=1e-15)
    assert span.share(448605.355) == pytest.approx(0.5, abs=1e-6)


def test_logarithms_and_what_has_none():
    span = Span.of(Axis("", 1e-2, 1e4, log=True))
    assert span.at(column([0.01, 100, 0, -3, math.inf])).tolist() == [-2, 2, -2, -2, 4]
    assert math.isnan(span.at(column([math.nan]))[0])


# -- rectangles ------------------------------------------------------------------------------------

COLUMN = st.lists(st.integers(0, 2**22), min_size=4, max_size=4)


@given(st.lists(COLUMN, max_size=30))
def test_rectangles_read_back(corners):
    corners = [(*sorted(c[:2]), *sorted(c[2:])) for c in corners]
    x0, x1, y0, y1 = (list(part) for part in zip(*corners, strict=True)) if corners else [[]] * 4
    span = Span.of(Axis("", 0, 2**22))
    found = drawn(rects(x0, x1, y0, y1), span, span)
    read = [[float(r.get(k)) for k in ("x", "y", "width", "height")] for r in found]
    assert [(x, x + w, y, y + h) for x, y, w, h in read] == corners
    assert [r.find("title").text for r in found] == [f"t{i}" for i in range(len(corners))]


@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=10), st.booleans())
def test_nothing_breaks_rectangles(rows, log):
    x0, x1, y0, y1 = (list(part) for part in zip(*rows, strict=True)) if rows else [[]] * 4
    found = drawn(rects(x0, x1, y0, y1), Span.of(Axis("", 1, 9, log=log)))
    for rect in found:
        assert all(math.isfinite(float(rect.get(k))) for k in ("x", "y", "width", "height"))
    assert len(found) <= len(rows)


def test_a_rectangle_with_an_unknown_side_is_left_out_with_its_title():
    found = drawn(rects([0, 1, 2], [1, math.nan, 3], [0] * 3, [1] * 3))
    assert [rect.find("title").text for rect in found] == ["t0", "t2"]


def test_colours_say_values():
    values = [0.0, 0.25, 1.0, math.nan, math.inf]
    mark = rects([0] * 5, [1] * 5, [0] * 5, [1] * 5, "heat", values)
    found = drawn(mark, scale=Scale("", 0, 1))
    expected = [f"q{heat_step(v, 0, 1)}" for v in (0.0, 0.25, 1.0)] + ["none", "q31"]
    assert [rect.get("class") for rect in found] == expected
    read = [float(rect.get("data-v")) for rect in found]
    assert np.array_equal(read, values, equal_nan=True)


def test_only_rectangles_with_room_have_edges():
    x = Span.of(Axis("", 0, 1 / EDGE_SHARE))
    assert "edged" in drawn(rects([0, 2], [1, 3], [0] * 2, [1] * 2), x).get("class").split()
    thin = drawn(rects([0, 2], [0.5, 2.5], [0] * 2, [1] * 2), x)
    assert "edged" not in thin.get("class").split()
    assert float(thin.get("data-w")) == pytest.approx(EDGE_SHARE / 2)


def test_rectangles_that_are_hardly_seen_have_a_hairline():
    x = Span.of(Axis("", 0, WIDTH))
    y = Span.of(Axis("", 0, HEIGHT))
    few = drawn(rects([0, 0, 0], [1, 9, 9], [0, 0, 0], [9, 1, 9]), x, y)
    assert "thin" in few.get("class").split()
    assert [rect.get("class") for rect in few] == [None] * 3
    one = drawn(rects([0, 0, 0], [1, 20, 20], [0, 0, 0], [9, 9, 9]), x, y)
    assert "thin" not in one.get("class").split()
    assert [rect.get("class") for rect in one] == ["thin", None, None]


# -- lines, points, rules --------------------------------------------------------------------------


def test_steps_go_along_and_up_and_leave_gaps():
    mark = Steps("s", "plan", column([0, 1, 2, 3, 4]), column([5, 7, math.nan, 1]), fill=True)
    under, way = drawn(mark)
    assert way.get("d") == "M0 5H1V7H2M3 1H4"
    assert under.get("d") == "M0 0V5H1V7H2V0zM3 0V1H4V0z"
    assert way.find("title").text == "s"


@given(st.lists(VALUES, max_size=12))
def test_steps_and_lines_read_back_and_hold_only_numbers(levels):
    x = column(range(len(levels) + 1))
    wide = Span.of(Axis("", 0, 2**20))
    tall = Span.of(Axis("", -1, 1e6))
    for mark in (
        Steps("s", "c1", x, column(levels)),
        Line("l", "c1", x[:-1], column(levels), dashed=True),
    ):
        group = drawn(mark, wide, tall)
        numbers = [
            float(part)
            for path in group
            for part in re.findall(r"[-+.\d]+(?:e[-+]?\d+)?", path.get("d"))
        ]
        assert all(map(math.isfinite, numbers))
        assert bool(len(group)) == any(not math.isnan(level) for level in levels)
        known = [level for level in levels if math.isfinite(level)]
        assert set(known) <= set(numbers)


def test_a_line_is_broken_where_a_point_is_unknown():
    (way,) = drawn(Line("l", "c1", column([0, 1, 2, 3]), column([1, 2, math.nan, 4])))
    assert way.get("d") == "M0 1L1 2M3 4"


def test_points_are_strokes_without_length():
    mark = Points("p", "mark", column([1, 2]), column([3, math.nan]), ("a", "b"), "square")
    group = drawn(mark)
    assert "square" in group.get("class").split()
    assert [(p.get("d"), p.find("title").text) for p in group] == [("M1 3h0", "a")]


def test_rules_go_from_end_to_end():
    x, y = Span.of(Axis("", 2, 8)), Span.of(Axis("", 0, 10))
    (line,) = drawn(Rule("r", "limit", "y", 4.5), x, y)
    assert [line.get(k) for k in ("x1", "x2", "y1", "y2")] == ["2", "8", "4.5", "4.5"]
    (line,) = drawn(Rule("r", "limit", "x", 3, dashed=True), x, y)
    assert [line.get(k) for k in ("x1", "x2", "y1", "y2")] == ["3", "3", "0", "10"]


@pytest.mark.parametrize("at", [math.nan, math.inf, -1, 11])
def test_a_rule_outside_the_picture_is_not_drawn(at):
    assert len(drawn(Rule("r", "limit", "y", at), UNIT, Span.of(Axis("", 0, 10)))) == 0


@pytest.mark.parametrize(
    ("count", "name"), [(MANY, None), (MANY + 1, "many"), (MOST, "many"), (MOST + 1, "most")]
)
def test_many_dots_are_smaller(count, name):
    at = column(range(count))
    classes = drawn(Points("p", "c1", at, at, ("",) * count)).get("class").split()
    assert [one for one in classes if one in ("many", "most")] == ([name] if name else [])


def test_equal_neighbours_are_one_step():
    mark = Steps("s", "c1", column(range(7)), column([1, 1, 2, math.nan, 3, 3]), fill=True)
    under, way = drawn(mark)
    assert way.get("d") == "M0 1H2V2H3M4 3H6"
    assert under.get("d") == "M0 0V1H2V2H3V0zM4 0V3H6V0z"


@pytest.mark.parametrize(("count", "many"), [(int(WIDTH), False), (int(WIDTH) + 1, True)])
def test_more_steps_than_pixels_are_thin_lines(count, many):
    found = drawn(Steps("s", "c1", column(range(count + 1)), column(range(count))))
    assert ("many" in found.get("class").split()) is many


def test_large_rectangles_have_edges_among_thin_ones():
    x, y = Span.of(Axis("", 0, WIDTH)), Span.of(Axis("", 0, HEIGHT))
    most_thin = drawn(rects([0] * 3, [1, 1, 50], [0] * 3, [50] * 3), x, y)
    assert [rect.get("class") for rect in most_thin] == [None, None, "edged"]
    narrow = drawn(rects([0] * 4, [5, 5, 50, 1], [0] * 4, [50] * 4), x, y)
    assert [rect.get("class") for rect in narrow] == [None, None, "edged", "thin"]
