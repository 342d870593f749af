from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.problem import (
    PlacementProblem,
)
from mapc.models.placement.verify import verify
from mapc.visual.figure import Rects, Steps
from mapc.visual.pictures import sections
from oracles.placement_cases import problems, random_plan, random_problem
from oracles.placement_pictures import cells, figures, view_of

CHECKED = settings(max_examples=25, deadline=None, derandomize=True)


@CHECKED
@given(problems(current=True), st.integers(0, 2**20))
def test_moves_are_those_of_the_verifier(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    shown = figures(sections(view_of(problem, plan)))
    drawn = np.nan_to_num(cells(shown["moves"]))
    assert drawn.sum() == verify(problem, plan).facts["moves"]
    assert problem.current is not None
    for layer, rank in np.ndindex(drawn.shape):
        new = set(plan.slots[layer, rank].tolist()) - set(problem.current[layer, rank].tolist())
        assert drawn[layer, rank] == len(new - {-1})
    total = shown["moves-total"].marks[0]
    assert isinstance(total, Steps)
    np.testing.assert_array_equal(total.y, drawn.sum(axis=1).cumsum())
    budgets = [mark.at for mark in shown["moves-total"].marks if getattr(mark, "axis", "") == "y"]
    assert budgets == ([] if problem.max_moves is None else [problem.max_moves])


@pytest.mark.parametrize("memory", [10_000, 2**40])
def test_memory_of_ranks(memory: int) -> None:
    problem = random_problem(
        2, experts=4, ranks=3, slots=2, layers=2, dead=1, rules=False, current=False
    )
    cluster = problem.cluster
    sized = type(cluster)(
        cluster.names, np.full(4, memory), cluster.node, cluster.speed, cluster.link_source,
        cluster.link_target, cluster.bandwidth, cluster.latency,
    )  # fmt: skip
    plan = random_plan(problem, 0)
    assert "memory" not in figures(sections(view_of(problem, plan)))
    problem = problem.replace(cluster=sized, expert_bytes=1_000)
    figure = figures(sections(view_of(problem, plan)))["memory"]
    bars, *rest = figure.marks
    assert isinstance(bars, Rects)
    assert bars.y1.tolist() == [0 if dead else 4_000 for dead in problem.dead]
    capacity = [mark.y.tolist() for mark in rest if isinstance(mark, Steps)]
    assert capacity == ([[10_000] * 4] if memory == 10_000 else [])
    assert bool(figure.note) == (memory != 10_000)
