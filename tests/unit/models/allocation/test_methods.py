from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError, UsageError
from mapc.models import family, family_of
from mapc.models.allocation import FAMILY, methods
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import BOUND, EXACT, HEURISTIC
from oracles.allocation_bruteforce import ABOVE_LOAD, BareSearch, problem_of, small_problems
from oracles.allocation_bruteforce import smallest_peak as oracle

CASES = pytest.mark.parametrize(("buffers", "load", "best"), ABOVE_LOAD)
Rows = list[tuple[int, int, int]]


def run(
    problem: AllocationProblem, *, missing: tuple[str, ...] = (), without: str = ""
) -> BareSearch:
    search = BareSearch(problem, missing=missing)
    FAMILY.precheck(problem)
    for method in FAMILY.methods:
        if method.name != without and not search.done():
            method.run(problem, search)
    return search


def loose(problem: AllocationProblem, *_: object) -> AllocationPlan:
    """Every buffer above all others: valid, and as bad as can be."""
    return AllocationPlan((np.cumsum(problem.padded) - problem.padded) * (problem.padded > 0))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems())
def test_all_methods_end_with_the_optimum_proven(problem: AllocationProblem) -> None:
    search = run(problem)
    assert search.objective == search.bound == oracle(problem)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(small_problems(alignments=(1, 4)), st.integers(0, 6))
def test_a_solver_mends_what_greedy_leaves(problem: AllocationProblem, extra: int) -> None:
    best = oracle(problem)
    rows = np.stack([problem.lower, problem.upper, problem.size], axis=1).tolist()
    for capacity, wanted in ((None, best), (best + extra, 0)):
        case = problem_of(rows, capacity, problem.alignment)
        search = BareSearch(case)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(methods, "greedy", loose)
            methods.bound(case, search)
            methods.place_exactly(case, search)
        assert search.objective == search.bound == wanted


@CASES
def test_the_bound_rises_above_the_load(buffers: Rows, load: int, best: int) -> None:
    # a second, lighter part must not be touched: it lies below what the first one needs
    problem = problem_of([*buffers, (50, 52, load)])
    search = run(problem, without="search")
    assert search.objective == search.bound == best
    assert search.solved == ["cpsat"]
    search = run(problem)
    assert search.objective == search.bound == best
    assert search.solved == []


@CASES
def test_proven_not_to_fit(buffers: Rows, load: int, best: int) -> None:
    problem = problem_of(buffers, capacity=load)
    for without in ("", "search", "no-overlap-2d"):
        with pytest.raises(InfeasibleError, match=f"no placement in {load} bytes"):
            run(problem, without=without)
    assert run(problem_of(buffers, capacity=best)).objective == 0


def test_a_mip_solver_is_asked_where_cpsat_is_missing() -> None:
    search = run(problem_of(ABOVE_LOAD[1][0]), missing=("cpsat",), without="search")
    assert search.solved == ["cpsat", "highs"]
    assert search.objective == search.bound == 7


def test_without_any_solver_the_greedy_plan_stands() -> None:
    search = run(problem_of(ABOVE_LOAD[0][0]), missing=("cpsat", "highs"), without="search")
    assert (search.objective, search.bound) == (9, 8)


def test_too_small_a_capacity_names_time_and_bytes() -> None:
    problem = problem_of([(0, 4, 8), (3, 6, 8)], capacity=15)
    with pytest.raises(InfeasibleError, match=r"16 bytes are alive at time 3.* has 15.*least 16"):
        FAMILY.precheck(problem)
    FAMILY.precheck(problem_of([(0, 4, 8), (3, 6, 8)], capacity=16))
    # 15 bytes aligned to 8 are 8
    with pytest.raises(InfeasibleError, match="has 8"):
        FAMILY.precheck(problem_of([(0, 4, 8), (3, 6, 8)], capacity=15, alignment=8))


def test_family() -> None:
    problem = problem_of([(0, 4, 8), (3, 6, 7)], capacity=64, alignment=4)
    assert family("allocation") is family_of(problem) is FAMILY
    assert [method.stage for method in FAMILY.methods] == [
        BOUND,
        EXACT,
        HEURISTIC,
        HEURISTIC,
        EXACT,
    ]
    assert FAMILY.facts(problem) == {
        "name": "case",
        "buffers": 2,
        "capacity_bytes": 64,
        "alignment": 4,
        "max_load_bytes": 16,
    }
    assert FAMILY.details(problem) == {"greedy_peak_bytes": 16, "independent_parts": 1}
    assert FAMILY.with_capacity(problem, "1KiB").capacity == 1024
    assert FAMILY.with_capacity(problem, "M_R").capacity == 16
    assert FAMILY.with_capacity(problem, "M_P").capacity is None
    with pytest.raises(UsageError, match="M_H"):
        FAMILY.with_capacity(problem, "M_H")
    assert FAMILY.phrase(2048) == "a peak of 2 KiB"
    assert FAMILY.phrase(0) == "everything fits"
    assert FAMILY.verify(problem, greedy(problem)).violations == ()
