"""Axes, heights and choices of address pictures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapc.visual.pictures.extents import (
    address_axis,
    covered,
    largest,
    limit_note,
    limit_rule,
    short,
    tops,
)

ROWS = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 5), st.integers(0, 9)), max_size=8)


@given(rows=ROWS)
def test_sums_and_heights_are_those_of_each_step(rows: list[tuple[int, int, int]]) -> None:
    low, life, size = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    here = [[s for at, n, s in rows if at <= step < at + n] for step in range(12)]
    assert covered(low, low + life, size, 12).tolist() == [sum(some) for some in here]
    assert tops(low, low + life, size, 12).tolist() == [max(some, default=0) for some in here]


@given(rows=ROWS, most=st.integers(0, 12))
def test_the_largest_are_kept_as_long_as_there_is_room(
    rows: list[tuple[int, int, int]], most: int
) -> None:
    marks = np.array([1 + row[1] % 3 for row in rows], dtype=np.int64)
    weight = np.array([row[2] for row in rows], dtype=np.float64)
    keep = largest(weight, marks, most)
    assert marks[keep].sum() <= most
    if not keep.all():
        assert marks.sum() > most
        assert weight[keep].min(initial=np.inf) >= weight[~keep].max()
        heaviest = np.flatnonzero(~keep & (weight == weight[~keep].max()))[0]
        assert marks[keep].sum() + marks[heaviest] > most


def test_a_capacity_is_on_the_axis_unless_it_is_far() -> None:
    near, far = address_axis(100, 300, "address"), address_axis(100, 301, "address")
    assert near.high > 300
    assert [rule.at for rule in limit_rule(300, near)] == [300.0]
    assert limit_note(300, near) == ""
    assert 100 < far.high < 110
    assert limit_rule(301, far) == ()
    assert "301 B" in limit_note(301, far)


def test_an_empty_picture_has_an_axis() -> None:
    axis = address_axis(0, None, "address")
    assert axis.low < axis.high
    assert limit_rule(None, axis) == ()


def test_short_names() -> None:
    assert short("x" * 80) == "x" * 80
    assert short("x" * 81) == "x" * 79 + "…"
