from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.visual.figure import Axis, Figure, Line, Rects, Rule, column
from mapc.visual.plots_layout import (
    LABEL,
    TICK,
    across,
    along,
    domain,
    height_around,
    legend_columns,
    legend_names,
    title_lines,
    x_ticks,
    y_label,
    y_ticks,
)
from mapc.visual.plots_style import RULE_SIZE

CHECKED = settings(max_examples=60, deadline=None, derandomize=True)
WIDTHS = st.floats(1, 20)


def figure(*marks, x=None, y=None, title="t"):
    return Figure("k", title, "", x or Axis("x", 0, 10), y or Axis("y", 0, 100), marks)


@CHECKED
@given(st.text(max_size=400), WIDTHS)
def test_titles_take_two_lines_at_most(text, width):
    lines = title_lines(text, width)
    assert 1 <= len(lines) <= 2
    assert all("\n" not in line and "\x00" not in line for line in lines)
    assert all(len(line) <= max(20, 14 * width) for line in lines)


@pytest.mark.parametrize(
    ("names", "width", "shown", "upright"),
    [
        (["a", "b"], 7, 2, False),
        ([str(i) for i in range(256)], 7, None, False),  # numbers are left out
        ([f"blk.{i}.attn_q.weight" for i in range(30)], 7, 30, True),
        ([f"blk.{i}.attn_q.weight" for i in range(300)], 7, None, True),
        ([f"blk.{i}.attn_q.weight" for i in range(3)], 7, 3, False),
    ],
)
def test_names_stand_upright_where_they_do_not_fit(names, width, shown, upright):
    found, turned = x_ticks(Axis.of_names("x", names), width)
    assert turned == upright
    assert len(found) == (shown or len(found)) <= len(names)
    assert [at for at, _ in found] == sorted({at for at, _ in found})
    assert all(names[int(at)] == text for at, text in found)


@CHECKED
@given(st.lists(st.text(max_size=60), min_size=1, max_size=300), WIDTHS, st.floats(0.3, 20))
def test_ticks_of_any_names_are_few_and_short(names, width, height):
    axis = Axis.of_names("x", names)
    for found in (x_ticks(axis, width)[0], y_ticks(axis, height)):
        assert 1 <= len(found) <= len(names)
        assert all(len(text) <= TICK and "\x00" not in text for _, text in found)
    assert len(x_ticks(axis, width)[0]) <= 8 * width + 1
    assert len(y_ticks(axis, height)) <= max(2, 8 * height)


@CHECKED
@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.booleans(), st.floats(0.5, 5))
def test_names_beside_the_axes_do_not_meet(places, down, height):
    rules = [Rule(f"rule {i}", "limit", "y", at) for i, at in enumerate(places)]
    shown = across(figure(*rules, y=Axis("y", 0, 100, down=down)), 7, height)
    assert len(shown) == len(rules)
    parts = [(mark.at / 100, up) for mark, _, up in shown]
    middles = sorted(72 * height * (1 - p if down else p) + up for p, up in parts)
    gaps = [b - a for a, b in itertools.pairwise(middles)]
    assert all(gap >= 1.25 * RULE_SIZE - 1e-6 for gap in gaps)
    assert min(up for _, up in parts) == 0  # what is lowest stays


def test_names_above_the_axes_do_not_meet():
    rules = [Rule("a name of some length", "limit", "x", at) for at in (5.0, 5.1, 9.9)]
    levels = [level for _, level in along(figure(*rules), 7)]
    assert levels == [0, 1, 0]
    assert [level for _, level in along(figure(*rules), 1)] == [0, 1, 2]
    outside = Rule("outside", "limit", "x", 11.0)
    assert along(figure(outside), 7) == []
    assert across(figure(Rule("", "limit", "y", 1.0)), 7, 1) == []


def test_what_surrounds_the_axes_is_counted():
    line = Line("a", "plan", column([0, 1]), column([0, 1]))
    least = height_around(figure(), 7, False)
    assert least < height_around(figure(), 7, True)
    assert least < height_around(figure(line), 7, False)
    assert least < height_around(figure(Rule("r", "limit", "x", 5.0)), 7, False)
    names = Axis.of_names("x", [f"blk.{i}.attn_q.weight" for i in range(30)])
    assert least + 0.5 < height_around(figure(x=names), 7, False)


def test_the_legend_lists_names_once_in_as_many_columns_as_fit():
    heat = Rects("heat", "heat", *[column([0])] * 4, ("",), column([1]))
    marks = (
        Line("a", "plan", column([0]), column([0])),
        Line("b", "plan", column([0]), column([0])),
    )
    shown = legend_names(figure(*marks, *marks, heat, Rule("r", "limit", "x", 1.0)))
    assert shown == ["a", "b"]
    assert legend_columns(shown, 7) == 2
    assert legend_columns(["n" * 40] * 5, 3.4) == 1
    assert legend_columns([], 7) == 1


def test_a_long_name_of_the_vertical_axis_takes_lines():
    assert y_label("loss", 1) == "loss"
    assert "\n" in y_label("largest load over the mean of the layer", 1)
    assert len(y_label("x" * 10_000, 1).replace("\n", "")) <= LABEL


def test_a_domain_without_extent_is_widened():
    assert domain(Axis("x", 3, 3)) == (3, 4)
    assert domain(Axis("x", 3, 3, log=True)) == (3, 6)
    assert domain(Axis("x", 3, 5)) == (3, 5)


@CHECKED
@given(
    st.floats(-1e6, 1e6),
    st.sampled_from([1e-6, 1e-3, 1.0, 1e4]),
    st.sampled_from(["", "share", "ms", "s", "loss"]),
)
def test_ticks_close_together_are_told_apart(low, span, unit):
    names = [name for _, name in y_ticks(Axis("load", low, low + span, unit), 3)]
    assert len(set(names)) == len(names)
