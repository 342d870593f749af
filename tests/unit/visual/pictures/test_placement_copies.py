from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.problem import (
    EQUAL,
    HOME,
    PlacementProblem,
)
from mapc.visual.figure import Rects
from mapc.visual.pictures import sections
from oracles.placement_cases import problems, random_plan, random_problem
from oracles.placement_pictures import cells, figures, holders, view_of

CHECKED = settings(max_examples=25, deadline=None, derandomize=True)


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_copies_sum_to_the_slots(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    shown = figures(sections(view_of(problem, plan)))
    if problem.n_slots == problem.n_experts:
        assert "replicas" not in shown
        assert "copies" not in shown
        return
    drawn = cells(shown["replicas"])
    assert np.nanmin(drawn) > 1
    np.testing.assert_array_equal(np.nan_to_num(drawn, nan=1.0).sum(axis=1), problem.n_slots)
    for layer, expert in np.ndindex(drawn.shape):
        held = holders(problem, plan, layer, expert)
        assert drawn[layer, expert] == len(held) or (
            np.isnan(drawn[layer, expert]) and len(held) == 1
        )
    table = shown["copies"].table
    assert table is not None
    (bars,) = shown["copies"].marks
    assert isinstance(bars, Rects)
    number = {int(x): y for x, y in zip(bars.x0 + 1, bars.y1, strict=True)}
    assert sum(k * n for k, n in number.items()) == problem.n_layers * problem.n_slots
    assert {k: n for k, n in number.items() if n} == {row[0]: row[1] for row in table.rows}


def test_the_hottest_experts() -> None:
    problem = random_problem(
        4, experts=4, ranks=3, slots=2, layers=2, profiles=1, traffic=HOME, dispatch=EQUAL
    )
    plan = random_plan(problem, 0)
    (section,) = [one for one in sections(view_of(problem, plan)) if one.key == "replicas"]
    rows = section.tables[0].rows
    assert len(rows) == 8
    assert not section.tables[0].note
    for layer, expert, load, copies, each in rows:
        counts = problem.counts[0, int(str(layer))]
        assert load == pytest.approx(counts[int(str(expert))] / counts.mean())
        assert copies == len(holders(problem, plan, int(str(layer)), int(str(expert))))
        assert isinstance(load, float)
        assert isinstance(copies, int)
        assert each == load / copies
    loads = [row[2] for row in rows]
    assert loads == sorted(loads, reverse=True)  # type: ignore[type-var]
