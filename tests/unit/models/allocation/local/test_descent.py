from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.instances.generators.packings import perfect_packing
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.local import method
from mapc.models.allocation.local.descent import Descent, suits
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of
from mapc.models.allocation.verify import verify
from oracles.allocation_bruteforce import (
    BareSearch,
    held_problems,
    problem_of,
    small_problems,
    smallest_peak,
)


def piled(problem: AllocationProblem) -> np.ndarray:
    """Every buffer above all others: valid, and as bad as can be."""
    return (np.cumsum(problem.padded) - problem.padded) * (problem.padded > 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems(), st.integers(0, 2**20))
def test_small_problems_come_to_the_least_peak_or_stay_valid(
    problem: AllocationProblem, seed: int
) -> None:
    descent = Descent(problem, piled(problem), seed)
    descent.go_on(600)
    found = replace(problem, capacity=None)
    assert verify(found, AllocationPlan(descent.offset)).violations == ()
    best = smallest_peak(problem)
    assert descent.peak >= best
    if best == lower_bound(problem):
        assert descent.peak == best
        assert descent.settled


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems(), st.integers(-2, 4))
def test_a_capacity_is_met_where_it_can_be(problem: AllocationProblem, extra: int) -> None:
    best = smallest_peak(problem)
    case = replace(problem, capacity=max(0, best + extra * problem.alignment))
    descent = Descent(case, piled(case))
    descent.go_on(600)
    if descent.peak <= (case.room or 0):
        assert verify(case, AllocationPlan(descent.offset)).violations == ()
    assert (descent.peak <= (case.room or 0)) == (extra >= 0 or best == 0)


def test_equal_seeds_give_equal_placements_however_rounds_are_cut() -> None:
    problem = replace(perfect_packing(120, seed=3), capacity=None)
    found = []
    for _ in range(2):
        descent = Descent(problem, piled(problem), 7)
        for _ in range(4):
            descent.go_on(300)
        found.append(descent.offset)
    assert found[0].tolist() == found[1].tolist()


def test_more_rounds_get_lower_and_lower() -> None:
    problem = replace(perfect_packing(150, seed=1), capacity=None)
    descent = Descent(problem, piled(problem))
    above = []
    for rounds in (10, 1000, 5000):
        descent.go_on(rounds)
        above.append(descent.peak - 1024)
    assert above[0] > above[1] > above[2]
    assert verify(problem, AllocationPlan(descent.offset)).violations == ()


def test_it_ends_at_once_where_there_is_nothing_to_do() -> None:
    problem = problem_of([(0, 4, 8), (3, 6, 8)])
    descent = Descent(problem, np.array([0, 8]))
    assert descent.settled
    assert descent.go_on()
    assert descent.rounds == 0
    hopeless = Descent(replace(problem, capacity=15), np.array([0, 8]))
    assert hopeless.settled
    assert hopeless.go_on()
    assert hopeless.rounds == 0
    nothing = Descent(problem_of([(0, 4, 0)]), np.array([0]))
    assert nothing.settled


def test_it_stops_when_it_is_told_to() -> None:
    problem = replace(perfect_packing(120, seed=3), capacity=None)
    asked = []

    def done() -> bool:
        asked.append(1)
        return len(asked) > 40

    descent = Descent(problem, piled(problem))
    descent.go_on(done=done)
    assert 0 < descent.rounds < 40 * 200


@settings(max_examples=30, deadline=None, derandomize=True)
@given(held_problems())
def test_what_does_not_move_is_left_to_others(problem: AllocationProblem) -> None:
    search = BareSearch(problem)
    moves = (problem.held < 0).all() and not len(problem.walls)
    assert suits(problem) == moves
    method.run(problem, search)
    if not moves:
        assert search.plan is None


@settings(max_examples=30, deadline=None, derandomize=True)
@given(small_problems(), st.none() | st.integers(0, 3))
def test_method(problem: AllocationProblem, extra: int | None) -> None:
    best = smallest_peak(problem)
    if extra is not None:
        problem = replace(problem, capacity=best + extra * problem.alignment)
    search = BareSearch(problem)
    search.prove(lower_bound(problem) if extra is None else 0, "test")
    method.run(problem, search)
    assert search.objective is not None
    if extra is not None:
        assert search.objective == 0
    elif best == lower_bound(problem):
        assert search.objective == best


@pytest.mark.parametrize("capacity", [None, 560])
def test_the_method_ends_without_a_clock(capacity: int | None) -> None:
    problem = replace(perfect_packing(80, capacity=512, seed=2), capacity=capacity)
    search = BareSearch(problem)
    start = greedy(problem, 0, 1)
    if capacity is None:
        search.propose(start, "greedy")
    method.run(problem, search)
    assert search.objective is not None
    if capacity is None:
        assert search.objective <= peak_of(start.offset, problem.padded)
