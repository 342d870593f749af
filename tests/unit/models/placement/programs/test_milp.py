"""The programs as a method: silent where too large, bounds and plans that hold elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc.errors import UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import CHAIN, NONE, PlacementProblem, StepTime
from mapc.models.placement.programs import milp
from mapc.models.placement.programs.chain_models import lower_chain
from mapc.solvers.base import Status
from oracles.placement_states import Recorder, brute_force, small_problems


@settings(max_examples=6, deadline=None)
@given(problem=small_problems(sizes=[(4, 2, 2), (3, 3, 2)], token=4.0, expert=0.0, layer=0.0))
def test_the_method_ends_between_bound_and_optimum(problem: PlacementProblem) -> None:
    best = brute_force(problem)
    result = mapc.solve(problem, methods=["milp"], time_limit=30)
    if best is None:
        assert result.plan is None
        return
    assert result.objective is not None
    assert result.bound is not None
    assert result.bound <= best <= result.objective
    assert result.objective <= best * (1 + 1e-6)
    assert result.objective - result.bound <= best * 1e-6


def test_replicas_are_balanced_layer_by_layer() -> None:
    rng = np.random.default_rng(2)
    problem = _problem(rng.integers(1, 30, (1, 2, 4)), [2], 3)
    result = mapc.solve(problem, methods=["milp"], time_limit=30)
    best = brute_force(problem)
    assert result.objective == best
    assert best * (1 - 1e-6) <= result.bound <= best


def test_columns_are_counted_and_large_programs_left_alone() -> None:
    rng = np.random.default_rng(2)
    transitions = rng.integers(0, 9, (1, 2, 8, 8))
    for nodes in ([4], [2, 2]):
        problem = _problem(rng.integers(1, 9, (1, 3, 8)), nodes, 2, transitions)
        program, _ = lower_chain(problem, "degree", degree=True)
        counted = milp.columns(problem)
        assert program.n_columns <= 1.2 * counted
        assert counted <= 2.5 * program.n_columns
    large = _problem(np.ones((1, 2, 256)), [64], 4, np.ones((1, 1, 256, 256)))
    search = Recorder(large)  # has no solve(): asking for it would raise
    milp.run(large, search)
    assert search.bound is None


def test_replicas_are_refused_by_programs_of_single_copies() -> None:
    rng = np.random.default_rng(4)
    work_alone = _problem(rng.integers(1, 9, (1, 2, 4)), [2], 3)
    with pytest.raises(UsageError, match=r"takes no replicas; try 'balance'$"):
        mapc.lower(work_alone, formulation="degree")
    assert mapc.lower(work_alone, formulation="balance")[0].n_columns
    chain = _problem(work_alone.counts, [2], 3, rng.integers(0, 9, (1, 1, 4, 4)))
    with pytest.raises(UsageError, match=r"takes no replicas$"):
        mapc.lower(chain, formulation="degree")


def test_one_layer_keeps_its_rules() -> None:
    rng = np.random.default_rng(4)
    problem = _problem(rng.integers(1, 9, (1, 3, 4)), [2], 3).replace(
        pinned=np.array([[1, 2, 0], [2, 0, 1]]), forbidden=np.array([[1, 0, 1]])
    )
    layer = milp.one_layer(problem, 1)
    assert layer.counts.tolist() == problem.counts[:, 1:2].tolist()
    assert layer.pinned.tolist() == [[0, 2, 0]]
    assert layer.forbidden.tolist() == [[0, 0, 1]]
    assert layer.traffic == NONE


def test_the_mapping_of_a_problem_without_plan_is_refused() -> None:
    rng = np.random.default_rng(4)
    problem = _problem(rng.integers(1, 9, (1, 2, 4)), [2], 2).replace(
        forbidden=np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0]])
    )
    result = mapc.solve(problem, methods=["milp"], time_limit=10)
    assert result.plan is None
    assert result.status in (Status.INFEASIBLE, Status.UNKNOWN)


def _problem(
    counts: np.ndarray, nodes: list[int], slots: int, transitions: np.ndarray | None = None
) -> PlacementProblem:
    return PlacementProblem(
        name="small",
        counts=counts.astype(np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster(nodes, 1 << 40, 4.0 if len(nodes) > 1 else 1.0, 1.0),
        slots=slots,
        cost=StepTime(token=4.0, transfer=1.0),
        traffic=NONE if transitions is None else CHAIN,
        transitions=None if transitions is None else transitions.astype(np.int64),
    )
