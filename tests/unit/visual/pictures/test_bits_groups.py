"""Bars of groups: their height is the loss, their title what the next formats would do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.markup import LIMIT
from mapc.models.bits.heuristics import uniform_table
from mapc.models.bits.problem import BitsProblem
from mapc.visual.figure import Figure, Points, Rects
from mapc.visual.pictures import bits_groups
from mapc.visual.pictures.bits_groups import group_titles, groups, neighbours
from mapc.visual.pictures.bits_terms import hues, measures, ranked
from oracles.bits_bruteforce import problem_of, small_bits_problems

ROWS = [
    [(0, 4.0, (16, 1)), (1, 1.0, (32, 2)), (2, 0.25, (64, 5))],
    [(0, 0.5, (16, 1)), (1, 0.0, (32, 2))],
]


def drawn(problem: BitsProblem, option: list[int]) -> tuple[Figure, ...]:
    chosen = np.array(option, dtype=np.int64)
    order = ranked(problem, uniform_table(problem))
    return groups(problem, chosen, hues(problem, order, chosen), measures(problem))


def heights(figure: Figure) -> dict[int, float]:
    """Loss of every group, as drawn."""
    found = {}
    for mark in figure.marks:
        if isinstance(mark, Rects):
            assert (mark.y0 == figure.y.low).all()
            found |= dict(
                zip(np.floor(mark.x0).astype(int).tolist(), mark.y1.tolist(), strict=True)
            )
        elif isinstance(mark, Points):
            assert (mark.y == figure.y.low).all()
            found |= dict.fromkeys(np.floor(mark.x).astype(int).tolist(), 0.0)
    return found


@st.composite
def choices(draw: st.DrawFn) -> tuple[BitsProblem, list[int]]:
    problem = draw(small_bits_problems())
    bounds = zip(problem.start[:-1].tolist(), problem.start[1:].tolist(), strict=True)
    return problem, [draw(st.integers(a, b - 1)) for a, b in bounds]


@given(choices())
@settings(max_examples=50)
def test_heights_are_losses(case: tuple[BitsProblem, list[int]]) -> None:
    problem, option = case
    [figure] = drawn(problem, option)
    assert heights(figure) == dict(enumerate(problem.loss[option].tolist()))


@given(choices())
@settings(max_examples=50)
def test_neighbours_are_the_next_allowed_ones(case: tuple[BitsProblem, list[int]]) -> None:
    problem, option = case
    better, worse = neighbours(problem, np.array(option))
    for i, at in enumerate(option):
        own = range(int(problem.start[i]), int(problem.start[i + 1]))
        others = {o: float(problem.loss[o]) for o in own if problem.allowed[o]}
        now = float(problem.loss[at])
        less = [v for v in others.values() if v < now]
        more = [v for v in others.values() if v > now]
        assert (others[int(better[i])] if better[i] >= 0 else None) == max(less, default=None)
        assert (others[int(worse[i])] if worse[i] >= 0 else None) == min(more, default=None)


def test_titles_say_what_a_group_has_and_could_have() -> None:
    problem = problem_of(ROWS, [99, None], units=["bits", "us"])
    titles = group_titles(problem, np.array([1, 4]), measures(problem))
    assert titles == (
        "g0: int8, loss 1, r0 4 B, r1 2 us; better: fp16, loss 0.25, r0 8 B; "
        "worse: int4, loss 4, r0 2 B",
        "g1: int8, loss 0, r0 4 B, r1 2 us; worse: int4, loss 0.5, r0 2 B",
    )


def test_titles_leave_resources_out_before_they_are_cut() -> None:
    costs = (10**14, 10**14, 10**14)
    rows = [[(0, 1.0, costs), (1, 0.5, costs), (2, 2.0, costs)]]
    units = ["multiplications", "additions", "transfers"]
    problem = problem_of(rows, [None] * 3, units=units)
    [title] = group_titles(problem, np.array([0]), measures(problem))
    assert len(title) <= LIMIT
    assert "worse: fp16, loss 2" in title
    assert "r2" not in title


def test_one_entry_of_the_legend_for_each_format_in_use() -> None:
    [figure] = drawn(problem_of(ROWS, [None, None]), [0, 4])
    assert [(m.name, type(m)) for m in figure.marks if not isinstance(m, str)] == [
        ("int4", Rects),
        ("int8", Points),
    ]
    assert figure.note == "Squares on the lower edge: 1 lose nothing."
    assert figure.summary.endswith("int4: 1; int8: 1.")


def test_losses_far_below_the_others_are_on_the_edge() -> None:
    rows = [[(0, loss, (1,))] for loss in (1.0, 1e-30, 0.0, 1e-3)]
    [figure] = drawn(problem_of(rows, [None]), [0, 1, 2, 3])
    assert figure.y.log
    assert figure.note == "Squares on the lower edge: 1 lose nothing, 1 lose less than 1e-12."
    assert heights(figure) == {0: 1.0, 1: 0.0, 2: 0.0, 3: 1e-3}


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_many_groups_share_bars(monkeypatch: pytest.MonkeyPatch, objective: str) -> None:
    monkeypatch.setattr(bits_groups, "MOST", 4)
    monkeypatch.setattr(bits_groups, "_BLOCKS", 3)
    rows = [[(0, float(i), (1,)), (1, 0.0, (2,))] for i in range(7)]
    problem = problem_of(rows, [None], objective=objective)
    option = [0, 2, 5, 6, 8, 11, 12]
    formats, losses = drawn(problem, option)
    int4, int8 = (mark for mark in formats.marks if isinstance(mark, Rects))
    assert int4.x0.tolist() == [0.0, 3.0, 6.0]
    assert int4.x1.tolist() == [3.0, 6.0, 7.0]
    assert int4.y1.tolist() == [2 / 3, 2 / 3, 1.0]
    assert (int8.y0.tolist(), int8.y1.tolist()) == ([2 / 3, 2 / 3], [1.0, 1.0])
    assert int8.titles[0] == "groups 1 to 3 (g0 to g2): int8, 1 of 3 groups"
    bars = losses.marks[0]
    assert isinstance(bars, Rects)
    expected = [1.0, 7.0, 6.0] if objective == "sum" else [1.0, 4.0, 6.0]
    assert bars.y1.tolist() == expected
    assert losses.note == "7 groups; 3 neighbours share a bar."
