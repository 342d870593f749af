"""Every way to answer a memory problem agrees: models, backends, oracles, and the whole road."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.models.memory import cosma
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.gap import GapModel
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from mapc.models.memory.verify import verify
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import Split, all_orders, brute_force, dijkstra, small_problems
from oracles.memory_cases import chain_with_skip

ONE_WORKER = Limits(workers=1)


def optimum(program: Program, backend: str) -> int:
    if not program.n_columns:
        return int(program.offset)
    solution = registry.solve(program, backend, limits=ONE_WORKER)
    assert solution.status is Status.OPTIMAL, solution
    return int(solution.objective)


@settings(max_examples=25, deadline=None)
@given(problem=small_problems(max_operators=5, max_links=6, max_slack=3))
def test_gap_model_published_ilp_and_brute_force_agree_over_all_orders(
    problem: MemoryProblem,
) -> None:
    orders = [np.array(order) for order in all_orders(problem.graph)]
    gap = min(optimum(GapModel(Schedule(problem, order)).program, "highs") for order in orders)
    assert gap == brute_force(problem) == dijkstra(problem)
    published, _ = cosma.lower(problem)
    with_addresses = brute_force(problem, addresses=True, split_adjacent=Split.COPIED)
    solution = registry.solve(published, "highs", limits=ONE_WORKER)
    if with_addresses is None:
        assert solution.status is Status.INFEASIBLE
    else:
        assert solution.objective == with_addresses >= gap


@settings(max_examples=40, deadline=None)
@given(problem=small_problems(), backend=st.sampled_from(["cpsat", "pyomo:highs"]))
def test_backends_agree_on_the_family_s_programs(problem: MemoryProblem, backend: str) -> None:
    for program in (
        GapModel(Schedule(problem, problem.graph.given_order)).program,
        ForcedSpans(problem).program(),
    ):
        assert optimum(program, backend) == optimum(program, "highs")


@settings(max_examples=40, deadline=None)
@given(problem=small_problems(), seed=st.integers(0, 3))
def test_the_whole_road_returns_verified_plans_and_sound_bounds(
    problem: MemoryProblem, seed: int
) -> None:
    result = mapc.solve(problem, time_limit=None, seed=seed)
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective
    best = brute_force(problem, addresses=True)
    assert result.bound <= dijkstra(problem) <= best <= result.objective
    assert (result.status is Status.OPTIMAL) == (result.bound == result.objective)
    assert not any("failed" in note or "refused" in note for note in result.notes)


@settings(max_examples=10, deadline=None)
@given(problem=small_problems())
def test_same_seed_same_answer_without_a_clock(problem: MemoryProblem) -> None:
    first, second = (mapc.solve(problem, time_limit=None, seed=7) for _ in range(2))
    assert (first.objective, first.bound, first.method) == (
        second.objective,
        second.bound,
        second.method,
    )
    assert first.plan == second.plan


@settings(max_examples=20, deadline=None)
@given(problem=small_problems())
def test_below_the_largest_working_set_nothing_is_feasible(problem: MemoryProblem) -> None:
    tight = replace(problem, capacity=problem.smallest_capacity - 1)
    result = mapc.solve(tight, time_limit=None)
    assert result.status is Status.INFEASIBLE
    assert result.plan is None
    assert "operator" in result.reason
    assert dijkstra(tight) is None


@pytest.mark.parametrize("formulation", ["gap", "cosma"])
def test_lifted_plans_are_valid_at_the_claimed_cost(formulation: str) -> None:
    problem = chain_with_skip(capacity=9)
    program, lift = mapc.lower(problem, formulation)
    solution = registry.solve(program, "highs", limits=ONE_WORKER)
    plan = lift(solution)
    assert mapc.check(problem, plan) == []
    assert verify(problem, plan).objective == solution.objective == dijkstra(problem)
