from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

from mapc.visual.figure import Axis, Figure, Line, Points, Rects, Rule, Scale, column
from mapc.visual.plots import draw
from mapc.visual.plots_layout import x_ticks
from mapc.visual.words import ticks
from oracles.plot_samples import rects


def axes_of(*marks, x=None, y=None, scale=None, **options):
    figure = Figure("k", "A title", "", x or Axis("x", 0, 10), y or Axis("y", 0, 100), marks, scale)
    drawing = draw(figure, **options)
    drawing.draw_without_rendering()
    return drawing.axes[0]


def shown(axis_artist):
    names = [label.get_text() for label in axis_artist.get_ticklabels()]
    return list(zip(axis_artist.get_ticklocs().tolist(), names, strict=True))


@pytest.mark.parametrize(
    "axis",
    [
        Axis("bytes", 0, 3 * 2**20, "bytes"),
        Axis("part", 0, 1, "share"),
        Axis("loss", 1e-4, 1e3, "loss", log=True),
        Axis("steps", 5, 5000, "count"),
    ],
)
def test_ticks_are_those_of_the_reports(axis):
    found = axes_of(x=axis, width=7)
    wanted = [(at, name) for at, name in ticks(axis, 8)]
    assert shown(found.xaxis) == [(pytest.approx(at), name) for at, name in wanted]
    assert found.get_xlim() == (axis.low, axis.high)
    assert found.get_xscale() == ("log" if axis.log else "linear")
    assert found.get_xlabel() == axis.label


def test_categories_stand_at_their_middle():
    names = Axis.of_names("rank", ["a", "b", "c"])
    found = axes_of(x=names)
    assert shown(found.xaxis) == [(0.5, "a"), (1.5, "b"), (2.5, "c")]
    assert found.get_xlim() == (0, 3)
    many = Axis.of_names("group", [f"blk.{i}.attn_q.weight" for i in range(40)])
    found = axes_of(x=many)
    assert shown(found.xaxis) == x_ticks(many, 7)[0]
    assert {label.get_rotation() for label in found.get_xticklabels()} == {90}


@pytest.mark.parametrize("down", [False, True])
def test_low_values_are_at_the_top_where_asked(down):
    found = axes_of(y=Axis("y", 2, 8, down=down))
    assert found.get_ylim() == ((8, 2) if down else (2, 8))


def test_rules_are_named_beside_themselves():
    rules = (
        Rule("capacity", "limit", "y", 90.0),
        Rule("peak", "mark", "x", 4.0),
        Rule("outside", "mark", "x", 40.0),
        Rule("", "mark", "x", 5.0),
    )
    found = axes_of(*rules)
    assert {text.get_text(): text.xy for text in found.texts} == {
        "capacity": (1.0, 90.0),
        "peak": (4.0, 1.0),
    }
    inside = found.get_window_extent()
    places = {text.get_text(): text.get_window_extent() for text in found.texts}
    assert places["capacity"].x0 >= inside.x1
    assert places["peak"].y0 >= inside.y1


def test_names_are_no_formulas():
    name = "$\\frac{1}{0}$"
    line = Line(name, "plan", column([0, 1]), column([0, 1]))
    rule = Rule(name, "limit", "y", 50.0)
    found = axes_of(
        line, rule, rects(3, "heat", heat=True), x=Axis.of_names(name, [name, name]),
        y=Axis(name, 0, 100), scale=Scale(name, 0, 1),
    )  # fmt: skip
    drawing = found.figure
    words = drawing.findobj(lambda artist: hasattr(artist, "get_parse_math"))
    formulas = [text for text in words if "$" in text.get_text()]
    assert len(formulas) >= 6
    assert not any(text.get_parse_math() for text in formulas)


@pytest.mark.parametrize("scale", [Scale("load", 0.5, 2.5), Scale("load", 1.0, 1.0)])
def test_the_scale_says_what_colours_mean(scale):
    found = axes_of(rects(4, "heat", heat=True), scale=scale)
    _, bar = found.figure.axes
    names = [label.get_text() for label in bar.get_yticklabels()]
    axis = Axis("", scale.low, scale.high)
    assert names == [name for _, name in ticks(axis, 5)]
    assert bar.get_ylabel() == "load"


def test_no_scale_where_nothing_needs_one():
    assert len(axes_of(rects(4, "c1")).figure.axes) == 1
    assert len(axes_of(rects(4, "heat", heat=True)).figure.axes) == 2


def test_marks_at_zero_on_a_logarithmic_axis():
    bars = Rects("", "c1", column([1]), column([2]), column([0]), column([50]), ("",))
    dots = Points("", "c2", column([1]), column([0]), ("",))
    found = axes_of(bars, dots, y=Axis("y", 1, 100, log=True))
    assert found.get_ylim() == (1, 100)
    assert all(math.isfinite(side) for side in found.get_window_extent().extents)


def test_what_is_around_the_axes_stays_on_the_page():
    rules = (Rule("lower bound of the capacity", "limit", "y", 90.0), Rule("p", "mark", "x", 9.9))
    line = Line("a name for the legend", "plan", column([0, 1]), column([0, 1]))
    names = Axis.of_names("group", [f"blk.{i}.attn_q.weight" for i in range(40)])
    for width in (3.4, 7.0):
        found = axes_of(line, *rules, x=names, width=width)
        page = found.figure.bbox
        every = [found.xaxis.label, found.yaxis.label, *found.texts, found.figure.legends[0]]
        every += [*found.get_xticklabels(), *found.get_yticklabels(), found.figure._suptitle]
        for one in every:
            box = one.get_window_extent()
            assert box.width == 0 or (box.x0 >= -1 and box.x1 <= page.x1 + 1), one
            assert box.height == 0 or (box.y0 >= -1 and box.y1 <= page.y1 + 1), one
        assert found.get_window_extent().height > 72  # and there is an inch for the picture
