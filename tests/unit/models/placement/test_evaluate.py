from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.evaluate import flows, layer_ticks, loads, objective_ticks
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    SUM,
    WORST,
    PlacementProblem,
)
from mapc.models.placement.rows import tables_of
from mapc.models.placement.verify import replay, verify
from oracles.placement_cases import problems, random_plan, random_problem

CHECKED = settings(max_examples=60, deadline=None, derandomize=True)
COMBINATIONS = [
    (traffic, dispatch, links, overlap, goal)
    for traffic in (NONE, HOME, CHAIN)
    for dispatch in (EQUAL, LOCAL, ADAPTIVE)
    for links in (SUM, BUSIEST)
    for overlap in (False, True)
    for goal in (EXPECTED, WORST)
    if (traffic, dispatch) != (CHAIN, ADAPTIVE)
]


def agrees(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    objective = verify(problem, plan).objective
    assert objective is not None
    expected, found = objective / problem.tick, objective_ticks(problem, plan)
    # work and transfers of a layer are rounded; the sums before have 53 bits
    layers = 2 * problem.n_profiles * problem.n_layers
    assert abs(found - expected) <= layers + expected * 2.0**-50
    if problem.n_slots == problem.n_experts and problem.traffic != HOME and not problem.cost.expert:
        assert found == expected


@pytest.mark.parametrize(("traffic", "dispatch", "links", "overlap", "goal"), COMBINATIONS)
def test_it_agrees_with_the_verifier_in_every_combination(
    traffic: str, dispatch: str, links: str, overlap: bool, goal: str
) -> None:
    for seed in range(6):
        problem = random_problem(
            seed,
            traffic=traffic,
            dispatch=dispatch,
            links=links,
            overlap=overlap,
            goal=goal,
            profiles=1 + seed % 2,
            layers=2 + seed % 2,
            dead=seed % 3 // 2,
            experts=4,
        )
        agrees(problem, seed)


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_it_agrees_with_the_verifier(problem: PlacementProblem, seed: int) -> None:
    agrees(problem, seed)


@CHECKED
@given(problems(dispatch=EQUAL), st.integers(0, 2**20))
def test_loads_are_those_of_the_replay(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    found = loads(problem, tables_of(problem, plan))
    speed = problem.cluster.speed[problem.live]
    assert found == pytest.approx(replay(problem, plan).load * speed)
    assert found.sum(axis=2) == pytest.approx(problem.counts.sum(axis=2))


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_flows_are_those_of_the_replay(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    tables = tables_of(problem, plan)
    whole = replay(problem, type(plan)(plan.slots)).flow
    for layer in range(problem.n_layers):
        expected = whole[:, layer][:, problem.live[:, None], problem.live]
        assert flows(problem, tables, layer) == pytest.approx(expected, abs=1e-9)


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_layers_add_up(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    ticks = layer_ticks(problem, plan)
    assert ticks.shape == (problem.n_profiles, problem.n_layers)
    assert np.array_equal(ticks, np.rint(ticks))
    total = ticks.sum() if problem.cost.profiles == EXPECTED else ticks.sum(axis=1).max()
    assert objective_ticks(problem, plan) == total


@pytest.mark.parametrize("dispatch", [EQUAL, LOCAL])
def test_layers_beyond_the_last_are_refused(dispatch: str) -> None:
    problem = random_problem(3, traffic=HOME, dispatch=dispatch)
    tables = tables_of(problem, random_plan(problem))
    with pytest.raises(IndexError, match="layer 9 of"):
        flows(problem, tables, 9)
