"""Boxes of makespans: what they prove, for one number of micro-batches and for all."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.step_search import BoxSearch, cut
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status, Stop
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


def highs(program: Program, effort: int) -> Solution:
    return registry.solve(program, "highs")


@settings(max_examples=20, deadline=None)
@given(problem=small_sequence_problems(max_sequences=5))
def test_bounds_rise_and_stay_below_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    known = best.ticks + 1
    least, most = area.least_micro_batches(problem), area.most_micro_batches(problem, known)
    search = BoxSearch(problem, least, most, known, 10_000)
    last = search.bound
    assert last >= area.step_bound(problem)
    for _ in range(6):
        if search.closed:
            break
        search.step(highs)
        assert last <= search.bound <= best.ticks
        last = search.bound


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=4),
    at=st.floats(0, 1),
    point=st.lists(st.integers(0, 100), min_size=4, max_size=4),
)
def test_the_halves_of_a_box_have_all_its_points(
    ends: list[tuple[int, int]], at: float, point: list[int]
) -> None:
    q = len(ends)
    low = np.sort(np.array([min(e) for e in ends], dtype=np.float64))[::-1]
    high = np.maximum(np.sort(np.array([max(e) for e in ends], dtype=np.float64))[::-1], low)
    where = np.clip(np.sort(np.array(point[:q], dtype=np.float64))[::-1], low, high)
    halves = cut(np.stack([low, high]), low + at * (high - low), 5)
    assert any((h[0] <= where).all() and (where <= h[1]).all() for h in halves)
    for half in halves:
        assert (half[0] >= low).all()
        assert (half[1] <= high).all()


def test_all_numbers_of_micro_batches_count() -> None:
    # two of 8 tokens on two ranks: together in 16 ms, or one after the other in 8 + 8 ms
    modes = [(1, ULYSSES, 0.0, 2.0, 0.0, 8), (2, ULYSSES, 0.0, 1.0, 0.0, 16)]
    problem = problem_of([8, 8], modes, n_ranks=2)
    best = brute_force(problem)
    assert best is not None
    assert best.step_ms == 16.0
    search = BoxSearch(problem, 1, 2, best.ticks, 10_000)
    assert search.bound == best.ticks
    assert search.closed


def test_boxes_that_are_too_large_keep_their_bound() -> None:
    problem = problem_of([8, 8, 3, 5, 5, 5])
    search = BoxSearch(problem, 2, 3, 4 * area.step_bound(problem), 10)
    assert search.closed
    assert search.bound == area.step_bound(problem)


def test_a_solver_without_an_answer_proves_nothing() -> None:
    problem = problem_of([8, 8, 3, 5, 5, 5])

    def nothing(program: Program, effort: int) -> Solution:
        return Solution(Status.UNKNOWN, Stop.TIME)

    search = BoxSearch(problem, 2, 3, 4 * area.step_bound(problem), 10_000)
    for _ in range(5):
        search.step(nothing)
    assert search.bound == area.step_bound(problem)
    assert not search.closed
