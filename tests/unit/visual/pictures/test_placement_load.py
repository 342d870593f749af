from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    WORST,
    PlacementProblem,
)
from mapc.models.placement.verify import verify
from mapc.visual.figure import Rects, Steps
from mapc.visual.pictures import sections
from oracles.placement_cases import problems, random_plan
from oracles.placement_pictures import cells, figures, ratios, view_of

CHECKED = settings(max_examples=40, deadline=None, derandomize=True)


@CHECKED
@given(
    problems(dispatch=EQUAL, goal=EXPECTED) | problems(dispatch=LOCAL, traffic=HOME, goal=EXPECTED),
    st.integers(0, 2**20),
)
def test_the_heat_is_that_of_plain_loops(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    shown = figures(sections(view_of(problem, plan)))
    expected = sum(w * ratios(problem, plan, p) for p, w in enumerate(problem.weight))
    np.testing.assert_allclose(cells(shown["load"]), expected, rtol=1e-12)
    np.testing.assert_allclose(cells(shown["after"]), expected, rtol=1e-12)
    assert shown["load"].scale is not None
    assert shown["load"].scale.low == 1
    assert shown["load"].scale.high == pytest.approx(np.nanmax(expected), rel=1e-12)
    dead = [m for m in shown["load"].marks if isinstance(m, Rects) and m.role == "quiet"]
    assert [x for m in dead for x in m.x0] == np.flatnonzero(problem.dead).tolist()


@CHECKED
@given(problems(profiles=1), st.integers(0, 2**20))
def test_the_pictures_agree_with_the_verifier(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    facts = verify(problem, plan).facts
    shown = figures(sections(view_of(problem, plan)))
    heat = cells(shown["load"])[:, problem.live]
    np.testing.assert_allclose(heat.mean(axis=1), 1.0, rtol=1e-12)
    balance = 1 / heat.max(axis=1)
    assert balance.mean() == pytest.approx(facts["balancedness"], rel=1e-12)
    assert balance.min() == pytest.approx(facts["min_layer_balancedness"], rel=1e-12)
    line = shown["imbalance"].marks[-1]
    assert isinstance(line, Steps)
    assert line.role == "plan"
    np.testing.assert_allclose(line.y, heat.max(axis=1), rtol=1e-12)


@CHECKED
@given(problems(goal=WORST, profiles=2), st.integers(0, 2**20))
def test_the_slowest_profile_is_shown(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    alone = [
        problem.replace(
            counts=problem.counts[p : p + 1],
            profiles=problem.profiles[p : p + 1],
            weight=np.ones(1),
            scale=problem.scale[p : p + 1],
            transitions=None if problem.transitions is None else problem.transitions[p : p + 1],
            sources=None if problem.sources is None else problem.sources[p : p + 1],
        )
        for p in range(2)
    ]
    split = [None if plan.split is None else plan.split[p : p + 1] for p in range(2)]
    plans = [PlacementPlan(plan.slots, split[p]) for p in range(2)]
    step = [verify(alone[p], plans[p]).objective for p in range(2)]
    assert step[0] is not None
    assert step[1] is not None
    if abs(step[0] - step[1]) < 1e-9 * max(step):
        return  # either of the two is the slowest
    slowest = int(step[1] > step[0])
    shown = figures(sections(view_of(problem, plan)))
    expected = figures(sections(view_of(alone[slowest], plans[slowest])))
    np.testing.assert_array_equal(cells(shown["load"]), cells(expected["load"]))
    assert problem.profiles[slowest] in shown["load"].note


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_ranks_by_other_numbers_are_other_columns(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    order = np.random.default_rng(seed).permutation(problem.n_ranks)
    if problem.sources is not None and problem.sources.shape[2] != problem.n_ranks:
        order = np.arange(problem.n_ranks)  # sources by node: nodes must keep their numbers
    other, moved_plan = permuted(problem, plan, order)
    shown = figures(sections(view_of(problem, plan)))
    again = figures(sections(view_of(other, moved_plan)))
    for key in ("load", "after", "moves"):
        if key in shown:
            np.testing.assert_allclose(cells(again[key]), cells(shown[key])[:, order], rtol=1e-12)


def permuted(
    problem: PlacementProblem, plan: PlacementPlan, order: Any
) -> tuple[PlacementProblem, PlacementPlan]:
    """Number ranks otherwise: the new rank g is the old one order[g]."""
    back = np.argsort(order)
    old = problem.cluster
    cluster = type(old)(
        names=tuple(old.names[g] for g in order),
        memory=old.memory[order],
        node=old.node[order],
        speed=old.speed[order],
        link_source=back[old.link_source],
        link_target=back[old.link_target],
        bandwidth=old.bandwidth,
        latency=old.latency,
    )

    def triples(given: Any) -> Any:
        return np.column_stack([given[:, :2], back[given[:, 2]]]) if len(given) else given

    by_rank = problem.sources is not None and problem.sources.shape[2] == problem.n_ranks
    sources = problem.sources
    if by_rank and sources is not None:
        sources = np.ascontiguousarray(sources[:, :, order])
    other = problem.replace(
        cluster=cluster,
        sources=sources,
        dead=problem.dead[order],
        current=None if problem.current is None else problem.current[:, order],
        pinned=triples(problem.pinned),
        forbidden=triples(problem.forbidden),
    )
    split = plan.split
    if split is not None:
        split = split[:, :, :, order]
        if split.shape[2] > 1 and by_rank:
            split = split[:, :, order]
    return other, PlacementPlan(plan.slots[:, order], split)
