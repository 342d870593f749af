from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc import api
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

CHECKED = settings(max_examples=25, deadline=None, derandomize=True)


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


def test_the_worst_layers_and_ranks_are_listed() -> None:
    problem = api.generate("placement", layers=14, experts=12, ranks=4, seed=3)
    problem = problem.replace(layer_ids=np.arange(3, 17), model_layers=17)
    plan = random_order(problem)
    load = figures(sections(view_of(problem, plan)))["load"]
    heat = cells(load)
    assert load.table is not None
    assert len(load.table.rows) == 10
    assert load.table.note == "10 of 14 layers."
    worst = sorted(heat.max(axis=1), reverse=True)[:10]
    for (layer, rank, above), most in zip(load.table.rows, worst, strict=True):
        row = heat[int(str(layer)) - 3]
        assert row.max() == most
        assert above == most - 1
        assert rank == problem.cluster.names[int(row.argmax())]
    assert load.table.rows[0][1] in load.summary
    assert f"in layer {load.table.rows[0][0]}." in load.summary


def random_order(problem: PlacementProblem) -> PlacementPlan:
    """Every expert once, in random order."""
    rng = np.random.default_rng(0)
    order = [rng.permutation(problem.n_experts) for _ in range(problem.n_layers)]
    return PlacementPlan(np.stack(order).reshape(problem.n_layers, problem.n_ranks, -1))


@CHECKED
@given(problems(profiles=2), st.integers(0, 2**20))
def test_profiles_are_listed(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    verdict = verify(problem, plan)
    (table,) = sections(view_of(problem, plan))[0].tables
    balance = {row[0]: row[2] for row in table.rows}
    assert balance == verdict.facts["balancedness_by_profile"]
    steps = [float(str(row[3])) for row in table.rows]
    total = max(steps) if problem.cost.profiles == WORST else sum(steps)
    assert total == pytest.approx(verdict.objective, rel=1e-12)


def test_many_ranks_are_merged_by_the_largest() -> None:
    problem = api.generate("placement", layers=40, experts=128, ranks=128, seed=1)
    shown = figures(sections(view_of(problem, random_order(problem))))
    for key, most in (("load", 4_096), ("after", 2_048), ("before-contiguous", 2_048)):
        (rects,) = shown[key].marks
        assert isinstance(rects, Rects)
        assert rects.values is not None
        assert most / 3 < len(rects.values) <= most
        assert "largest value" in shown[key].note
    (fine,) = shown["load"].marks
    (coarse,) = shown["after"].marks
    assert isinstance(fine, Rects)
    assert isinstance(coarse, Rects)
    assert fine.values is not None
    assert coarse.values is not None
    assert fine.values.max() == coarse.values.max()


def test_a_scale_close_to_one_says_where_it_ends() -> None:
    problem = api.generate("placement", layers=1, experts=2, ranks=2, seed=0)
    plan = random_order(problem)
    for counts, label in (
        ([10_001, 10_000], "load / mean of the layer, up to 1.00005"),
        ([3, 1], "load / mean of the layer"),
        ([1, 1], "load / mean of the layer"),
    ):
        near = problem.replace(counts=np.array([[counts]]))
        scale = figures(sections(view_of(near, plan)))["load"].scale
        assert scale is not None
        assert scale.label == label
