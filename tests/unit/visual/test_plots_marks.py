from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

from mapc.visual.figure import Axis, Figure, Line, Points, Rects, Rule, Scale, Steps, column
from mapc.visual.palette import HEAT, heat_step
from mapc.visual.plots import draw
from mapc.visual.plots_marks import corners, runs, scale_of, stairs
from oracles.plot_samples import of_all_marks, rects

CHECKED = settings(max_examples=15, deadline=None, derandomize=True)


def artists(drawing):
    found = {a.get_gid(): a for a in drawing.axes[0].get_children() if a.get_gid()}
    return [found[f"mark-{i}"] for i in range(len(found))]


def box(path):
    """The sides of a rectangle on the picture."""
    (x0, y0), _, (x1, y1), _ = path.vertices[:4]
    return x0, x1, y0, y1


@CHECKED
@given(st.integers(0, 2**20), st.integers(2, 40))
def test_artists_have_the_numbers_of_the_marks(seed, n):
    figure = of_all_marks(seed, n)
    drawing = draw(figure)
    found = artists(drawing)
    assert len(found) == len(figure.marks)
    assert [a.get_zorder() for a in found] == sorted(a.get_zorder() for a in found)
    for mark, artist in zip(figure.marks, found, strict=True):
        if isinstance(mark, Rects):
            sides = [box(path) for path in artist.get_paths()]
            np.testing.assert_array_equal(
                sides, np.stack([mark.x0, mark.x1, mark.y0, mark.y1], axis=1)
            )
            if mark.values is not None:
                np.testing.assert_array_equal(artist.get_array(), mark.values)
        elif isinstance(mark, Points):
            np.testing.assert_array_equal(artist.get_offsets(), np.stack([mark.x, mark.y], axis=1))
        elif isinstance(mark, Rule):
            (ends,) = artist.get_segments()
            assert {point[mark.axis == "y"] for point in ends.tolist()} == {mark.at}
            assert {point[mark.axis == "x"] for point in ends.tolist()} == {0.0, 1.0}
        elif isinstance(mark, Steps):
            assert levels(artist) == steps(mark)
        else:
            there = np.isfinite(mark.y)
            points = np.concatenate(artist.get_segments())
            np.testing.assert_array_equal(points[:, 0], mark.x[there])
            np.testing.assert_array_equal(points[:, 1], mark.y[there])


def levels(artist):
    """Level pieces of the stairs on the picture, as (from, to, level)."""
    found = []
    for piece in artist.get_segments():
        for (a, y), (b, same) in zip(piece[::2], piece[1::2], strict=True):
            assert y == same
            found.append((a, b, y))
    return found


def steps(mark):
    rows = zip(mark.x[:-1].tolist(), mark.x[1:].tolist(), mark.y.tolist(), strict=True)
    return [row for row in rows if np.isfinite(row[2])]


@CHECKED
@given(st.lists(st.one_of(st.just(np.nan), st.floats(-5, 5)), max_size=12))
def test_gaps_cut_lines_and_stairs(values):
    y = column(values)
    x = column(np.arange(len(values) + 1))
    pieces = 1 + int((np.diff(np.isfinite(y).astype(int)) == 1).sum()) if len(y) else 0
    pieces -= bool(len(y)) and not np.isfinite(y[0])
    assert len(runs(x[:-1], y)) == pieces
    found = stairs(x, y)
    assert len(found) == pieces
    assert sum(len(piece) for piece in found) == 2 * np.isfinite(y).sum()
    for piece in found:
        assert np.isfinite(piece).all()
        across = np.diff(piece, axis=0)
        assert (across[::2, 1] == 0).all()  # along a step
        assert (across[1::2, 0] == 0).all()  # up or down to the next


@CHECKED
@given(st.integers(0, 2**20), st.floats(-2, 3), st.floats(0, 4))
def test_values_have_the_colours_of_the_reports(seed, low, span):
    heat = rects(30, "heat", seed, heat=True)
    scale = Scale("", low, low + span)
    drawing = draw(
        Figure("k", "t", "", Axis("x", 0, 10), Axis("y", 0, 100), (heat,), scale), width=3
    )
    (cells,) = artists(drawing)
    cells.update_scalarmappable()
    shown = (cells.get_facecolors()[:, :3] * 255).round().astype(int).tolist()
    steps_ = [heat_step(v, scale.low, scale.high) for v in heat.values.tolist()]
    # at the border of two colours rounding may choose either
    near = [
        {max(0, k - 1), k, min(31, k + 1)} if border(v, scale) else {k}
        for k, v in zip(steps_, heat.values.tolist(), strict=True)
    ]
    wanted = [[rgb(HEAT[0][k]) for k in ks] for ks in near]
    assert all(one in those for one, those in zip(shown, wanted, strict=True))


def border(value, scale):
    if scale.high <= scale.low:
        return False
    part = 32 * (value - scale.low) / (scale.high - scale.low)
    return abs(part - round(part)) < 1e-9


def rgb(text):
    return [int(text[at : at + 2], 16) for at in (1, 3, 5)]


def test_a_value_that_is_none_has_the_lightest_colour():
    heat = rects(3, "heat", heat=True)
    heat.values[1] = np.nan
    drawing = draw(Figure("k", "t", "", Axis("x", 0, 10), Axis("y", 0, 100), (heat,)))
    (cells,) = artists(drawing)
    cells.update_scalarmappable()
    shown = (cells.get_facecolors()[1, :3] * 255).round().astype(int).tolist()
    assert shown == rgb(HEAT[0][0])


def test_without_a_scale_it_is_that_of_the_values():
    one, other = rects(5, "heat", 1, heat=True), rects(5, "heat", 2, heat=True)
    one.values[0] = np.nan
    both = np.concatenate([one.values[1:], other.values])
    scale = scale_of([one, other])
    assert (scale.low, scale.high) == (both.min(), both.max())
    assert (scale_of([]).low, scale_of([]).high) == (0, 0)


def test_an_area_is_filled_down_to_zero():
    mark = Steps("", "plan", column([0, 1, 2, 3]), column([4, 5, np.nan]), fill=True)
    drawing = draw(Figure("k", "t", "", Axis("x", 0, 3), Axis("y", 0, 9), (mark,)))
    (area,) = [a for a in drawing.axes[0].collections if a.get_gid() is None]
    (path,) = area.get_paths()
    outline = [[0, 0], [0, 4], [1, 4], [1, 5], [2, 5], [2, 0], [0, 0]]
    assert path.vertices.tolist() == outline
    plain = Steps("", "plan", mark.x, mark.y)
    drawing = draw(Figure("k", "t", "", Axis("x", 0, 3), Axis("y", 0, 9), (plain,)))
    assert len(drawing.axes[0].collections) == 1


def test_rectangles_of_like_lightness_differ_by_hatches_and_lines_by_dashes():
    drawing = draw(of_all_marks())
    heat, reload_, spill, live, other, front, _, capacity, bound, peak = artists(drawing)
    assert [one.get_hatch() for one in (heat, reload_, spill)] == [None, None, "//////"]
    styles = [str(one.get_linestyles()) for one in (live, capacity, peak)]
    assert len(set(styles)) == 3  # all three are dark
    assert str(front.get_linestyles()) == styles[0]  # and this one is light
    assert len({*styles, *(str(one.get_linestyles()) for one in (other, bound))}) >= 4


@pytest.mark.parametrize("dashed", [False, True])
def test_bounds_are_dashed(dashed):
    marks = (Rule("", "bound", "y", 1.0, dashed), Rule("", "limit", "y", 2.0))
    bound, limit = artists(draw(Figure("k", "t", "", Axis("x"), Axis("y", 0, 9), marks)))
    assert limit.get_linestyles() == [(0, None)]
    assert bound.get_linestyles() != limit.get_linestyles()


@pytest.mark.parametrize(("side", "edged"), [(1.0, True), (0.001, False)])
def test_rectangles_have_edges_where_there_is_room(side, edged):
    at = column(np.arange(5))
    mark = Rects("", "c1", at, at + side, at * 0, at * 0 + 50, ("",) * 5)
    (artist,) = artists(draw(Figure("k", "t", "", Axis("x", 0, 10), Axis("y", 0, 100), (mark,))))
    same = np.array_equal(artist.get_edgecolors(), artist.get_facecolors())
    assert same != edged


def test_corners_go_around():
    mark = Rects("", "c1", column([1]), column([3]), column([2]), column([7]), ("",))
    assert corners(mark).tolist() == [[[1, 2], [3, 2], [3, 7], [1, 7]]]


def test_the_legend_has_every_name_once():
    marks = (
        Line("same", "plan", column([0, 1]), column([0, 1])),
        Line("same", "plan", column([1, 2]), column([0, 1])),
        Points("dots", "mark", column([1]), column([1]), ("",)),
        Rule("a rule is named where it is", "limit", "x", 1.0),
        Line("", "plan", column([0, 1]), column([0, 1])),
    )
    drawing = draw(Figure("k", "t", "", Axis("x", 0, 3), Axis("y", 0, 9), marks))
    (legend,) = drawing.legends
    assert [text.get_text() for text in legend.get_texts()] == ["same", "dots"]
