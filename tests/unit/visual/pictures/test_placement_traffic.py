from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.problem import (
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    PlacementProblem,
)
from mapc.models.placement.verify import verify
from mapc.visual.pictures import sections
from oracles.placement_cases import problems, random_plan
from oracles.placement_pictures import cells, figures, moved, view_of

CHECKED = settings(max_examples=25, deadline=None, derandomize=True)


@CHECKED
@given(
    problems(dispatch=EQUAL, goal=EXPECTED, transfer=True, traffic=CHAIN)
    | problems(dispatch=EQUAL, goal=EXPECTED, transfer=True, traffic=HOME)
    | problems(dispatch=LOCAL, goal=EXPECTED, transfer=True, traffic=HOME),
    st.integers(0, 2**20),
)
def test_the_matrix_is_that_of_plain_loops(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    shown = figures(sections(view_of(problem, plan)))["traffic"]
    expected = sum(
        problem.weight[p] * problem.scale[p] * moved(problem, plan, p, layer)
        for p in range(problem.n_profiles)
        for layer in range(problem.n_layers)
    )
    names = problem.cluster.names
    order = [names.index(name) for name in shown.y.names]
    assert sorted(order) == problem.live.tolist()
    assert (np.diff(problem.node[order]) >= 0).all()
    assert shown.x.names == shown.y.names
    assert isinstance(expected, np.ndarray)
    matrix = expected[np.ix_(order, order)]
    np.testing.assert_allclose(cells(shown), matrix, rtol=1e-12, atol=1e-12)


@CHECKED
@given(
    problems(profiles=1, transfer=True, traffic=CHAIN)
    | problems(profiles=1, transfer=True, traffic=HOME),
    st.integers(0, 2**20),
)
def test_shares_of_the_matrix_are_the_facts(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    facts = verify(problem, plan).facts
    shown = figures(sections(view_of(problem, plan)))["traffic"]
    matrix = cells(shown)
    node = problem.node[[problem.cluster.names.index(name) for name in shown.y.names]]
    total = matrix.sum()
    leave_node = matrix[node[:, None] != node].sum()
    leave_rank = total - np.trace(matrix)
    assert leave_rank == pytest.approx(facts["cross_rank"] * total, rel=1e-12, abs=1e-9)
    assert leave_node == pytest.approx(facts["cross_node"] * total, rel=1e-12, abs=1e-9)
    assert shown.table is not None
    tokens = [row[1] for row in shown.table.rows]
    assert sum(tokens) == pytest.approx(total)  # type: ignore[arg-type]
    if len(tokens) == 3:
        assert tokens[2] == pytest.approx(leave_node, abs=1e-9)
    rules = [mark.at for mark in shown.marks if getattr(mark, "axis", None) == "x"]
    assert rules == (np.flatnonzero(np.diff(node)) + 1).tolist()


@CHECKED
@given(problems(transfer=False), st.integers(0, 2**20))
def test_traffic_that_costs_nothing_is_not_drawn(problem: PlacementProblem, seed: int) -> None:
    found = sections(view_of(problem, random_plan(problem, seed)))
    assert "traffic" not in [section.key for section in found]
