from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.verify import verify
from oracles.allocation_bruteforce import pairs_in_conflict, problem_of, small_problems

BUFFERS = [(0, 4, 8), (2, 6, 4), (4, 8, 8), (1, 3, 0)]


def plan(*offset: int) -> AllocationPlan:
    return AllocationPlan(np.array(offset, dtype=np.int64))


def test_valid_plan_and_its_figures() -> None:
    verdict = verify(problem_of(BUFFERS), plan(0, 8, 0, 0))
    assert verdict.violations == ()
    assert verdict.objective == 12
    assert verdict.facts == {
        "peak_bytes": 12,
        "max_load_bytes": 12,
        "capacity_bytes": None,
        "buffers": 4,
    }


def test_lifetimes_are_half_open() -> None:
    problem = problem_of([(0, 4, 8), (4, 8, 8)])
    assert verify(problem, plan(0, 0)).violations == ()
    assert verify(problem_of([(0, 5, 8), (4, 8, 8)]), plan(0, 0)).violations != ()


@pytest.mark.parametrize("offset", [(0, 7, 20, 0), (5, 8, 0, 0), (0, 8, 8, 0), (3, 0, 4, 0)])
def test_overlap_names_both_buffers(offset: tuple[int, ...]) -> None:
    problem = problem_of(BUFFERS)
    (violation,) = verify(problem, plan(*offset)).violations
    ((i, j),) = pairs_in_conflict(problem, offset)
    assert f"'b{i}'" in violation
    assert f"'b{j}'" in violation


def test_capacity() -> None:
    fits = verify(problem_of(BUFFERS, capacity=12), plan(0, 8, 0, 0))
    assert (fits.violations, fits.objective) == ((), 0)
    over = verify(problem_of(BUFFERS, capacity=11), plan(0, 8, 0, 0))
    assert over.objective == 1
    assert len(over.violations) == 1
    assert "'b1'" in over.violations[0]
    assert "above the capacity 11" in over.violations[0]


def test_capacity_counts_down_to_the_alignment_and_sizes_up() -> None:
    # 5 bytes take 8; of 15 only 8 can be used
    problem = problem_of([(0, 1, 5), (0, 1, 3)], capacity=15, alignment=8)
    verdict = verify(problem, plan(0, 8))
    assert verdict.facts["peak_bytes"] == 16
    assert verdict.objective == 8
    assert any("'b1'" in line for line in verdict.violations)


def test_negative_address() -> None:
    verdict = verify(problem_of(BUFFERS), plan(-8, 8, 0, 0))
    assert any("'b0'" in line and "negative" in line for line in verdict.violations)


def test_misaligned_address_even_of_an_empty_buffer() -> None:
    problem = problem_of(BUFFERS, alignment=4)
    verdict = verify(problem, plan(0, 8, 0, 2))
    assert len(verdict.violations) == 1
    assert "'b3'" in verdict.violations[0]
    assert "no multiple of 4" in verdict.violations[0]


@pytest.mark.parametrize(
    "offset",
    [np.zeros(3, np.int64), np.zeros((4, 1), np.int64), np.zeros(4), np.zeros(4, np.bool_)],
)
def test_wrong_shape_or_type_has_no_objective(offset: np.ndarray) -> None:
    verdict = verify(problem_of(BUFFERS), AllocationPlan(offset))
    assert len(verdict.violations) == 1
    assert verdict.objective is None


def test_huge_addresses_do_not_wrap() -> None:
    top = np.iinfo(np.int64).max
    verdict = verify(problem_of([(0, 2, 8), (1, 3, 8)], capacity=16), plan(0, top))
    assert verdict.objective == top + 8 - 16
    assert "above the capacity" in verdict.violations[0]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(small_problems(alignments=(1, 2)), st.data())
def test_agrees_with_looking_at_every_pair(problem, data) -> None:  # type: ignore[no-untyped-def]
    n = problem.n_buffers
    offset = data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    offset = [value * problem.alignment for value in offset]
    verdict = verify(problem, plan(*offset))
    conflicts = pairs_in_conflict(problem, offset)
    assert bool(verdict.violations) == bool(conflicts)
    named = {
        (i, j)
        for i in range(n)
        for j in range(i)
        if any(f"'b{i}'" in line and f"'b{j}'" in line for line in verdict.violations)
    }
    assert named <= conflicts
    assert verdict.facts["max_load_bytes"] == problem.max_load
