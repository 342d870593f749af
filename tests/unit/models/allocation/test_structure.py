from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import (
    address_unit,
    alive,
    clique_times,
    components,
    load_of,
    overlap_matrix,
)
from oracles.allocation_bruteforce import problem_of, small_problems

many = settings(max_examples=100, deadline=None, derandomize=True)


def live_sets(problem: AllocationProblem) -> set[frozenset[int]]:
    """Live sets at every time at which something may change, without proper subsets."""
    ends = zip(problem.lower.tolist(), problem.upper.tolist(), strict=True)
    lives = list(ends)
    sets = {
        frozenset(i for i, (low, up) in enumerate(lives) if low <= time < up)
        for time in range(-5, 12)
    }
    return {s for s in sets if s and not any(s < other for other in sets)}


@many
@given(small_problems())
def test_cliques_are_the_maximal_live_sets(problem: AllocationProblem) -> None:
    rows = alive(problem.lower, problem.upper, clique_times(problem.lower, problem.upper))
    found = [frozenset(np.flatnonzero(row).tolist()) for row in rows]
    assert len(found) == len(set(found))
    assert set(found) == live_sets(problem)


@many
@given(small_problems())
def test_components_share_no_time_and_split_no_further(problem: AllocationProblem) -> None:
    parts = components(problem.lower, problem.upper)
    assert sorted(np.concatenate([*parts, []]).tolist()) == list(range(problem.n_buffers))
    matrix = overlap_matrix(problem.lower, problem.upper)
    assert (matrix == matrix.T).all()
    for part in parts:
        outside = np.setdiff1d(np.arange(problem.n_buffers), part)
        assert not matrix[np.ix_(part, outside)].any()
        reached = {int(part[0])}
        while True:
            wider = reached | set(np.flatnonzero(matrix[sorted(reached)].any(axis=0)).tolist())
            if wider == reached:
                break
            reached = wider
        assert reached == set(part.tolist())


@many
@given(small_problems())
def test_load_of_is_the_largest_sum_alive(problem: AllocationProblem) -> None:
    loads = [sum(int(problem.padded[i]) for i in s) for s in live_sets(problem)]
    assert load_of(problem.lower, problem.upper, problem.padded) == max(loads, default=0)


def test_unit_divides_sizes_and_is_a_multiple_of_the_alignment() -> None:
    problem = problem_of([(0, 1, 20), (0, 1, 0), (0, 2, 33)], alignment=8)
    assert address_unit(problem.padded, 8) == 8  # 24, 0, 40
    assert address_unit(np.array([12, 18, 0])) == 6
    assert address_unit(np.zeros(2, dtype=np.int64), 4) == 4
