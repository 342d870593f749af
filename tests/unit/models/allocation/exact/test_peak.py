from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.allocation.exact import Lowering, least_peak
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from oracles.allocation_bruteforce import ABOVE_LOAD, problem_of, small_problems, smallest_peak


def loose(problem: AllocationProblem) -> np.ndarray:
    """Every buffer above all others."""
    return (np.cumsum(problem.padded) - problem.padded) * (problem.padded > 0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(small_problems(), st.booleans())
def test_ends_with_the_smallest_peak_proven(problem: AllocationProblem, far: bool) -> None:
    best = smallest_peak(problem)
    found = least_peak(problem, start=loose(problem) if far else None)
    assert found.proven
    assert found.peak == found.bound == best
    verdict = verify(problem, AllocationPlan(found.offset))
    assert verdict.violations == ()
    assert verdict.objective == best


@pytest.mark.parametrize(("buffers", "load", "best"), ABOVE_LOAD)
def test_the_bound_rises(buffers: list[tuple[int, int, int]], load: int, best: int) -> None:
    problem = problem_of(buffers)
    assert problem.max_load == load
    assert least_peak(problem).bound == best
    wide = replace(problem, size=problem.size * 1000, capacity=1)  # the capacity plays no part
    assert least_peak(wide).bound == best * 1000


@pytest.mark.parametrize("nodes", [1, 5, 40])
def test_what_is_known_early_holds(nodes: int) -> None:
    problem = problem_of(ABOVE_LOAD[0][0])
    found = least_peak(problem, start=loose(problem), nodes=nodes)
    assert found.bound <= 9 <= found.peak
    assert verify(problem, AllocationPlan(found.offset)).objective == found.peak
    assert found.nodes <= nodes


def test_done_ends_it_and_bounds_are_rounded_up() -> None:
    problem = problem_of([(0, 2, 8), (1, 3, 8)], alignment=4)
    found = least_peak(problem, start=loose(problem), bound=9, done=lambda: True)
    assert (found.bound, found.nodes) == (16, 0)
    assert Lowering(problem_of([])).found.proven
