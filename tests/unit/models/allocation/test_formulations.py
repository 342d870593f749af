from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError, UsageError
from mapc.models.allocation import formulations
from mapc.models.allocation.formulations import independent_parts, no_overlap_2d, part_of
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.program.linearise import linearise
from mapc.program.records import NoOverlap, NoOverlap2D
from mapc.solvers.base import Solution, Status, Stop
from oracles.allocation_bruteforce import (
    ABOVE_LOAD,
    cpsat,
    problem_of,
    small_problems,
    smallest_peak,
)

some = settings(max_examples=40, deadline=None, derandomize=True)


def with_capacity(problem: AllocationProblem, capacity: int) -> AllocationProblem:
    rows = np.stack([problem.lower, problem.upper, problem.size], axis=1).tolist()
    return problem_of(rows, capacity, problem.alignment)


@some
@given(small_problems())
def test_smallest_peak(problem: AllocationProblem) -> None:
    program, lift = no_overlap_2d(problem)
    solution = cpsat(program)
    assert solution.status is Status.OPTIMAL
    verdict = verify(problem, lift(solution))
    assert verdict.violations == ()
    assert verdict.objective == solution.objective == smallest_peak(problem)


@some
@given(small_problems(), st.integers(-5, 5), st.booleans())
def test_fits_exactly_from_the_smallest_peak_on(
    problem: AllocationProblem, extra: int, cliques: bool
) -> None:
    best = smallest_peak(problem)
    capacity = max(0, best + extra)
    problem = with_capacity(problem, capacity)
    try:
        program, lift = no_overlap_2d(problem, cliques=cliques)
    except InfeasibleError:
        assert capacity < best
        return
    solution = cpsat(program)
    assert solution.status is (Status.OPTIMAL if capacity >= best else Status.INFEASIBLE)
    if capacity >= best:
        verdict = verify(problem, lift(solution))
        assert (verdict.violations, verdict.objective) == ((), 0)


@pytest.mark.parametrize(("buffers", "load", "best"), ABOVE_LOAD)
def test_above_the_load(buffers: list[tuple[int, int, int]], load: int, best: int) -> None:
    worst = AllocationPlan(np.cumsum([0] + [size for *_, size in buffers])[:-1])
    program, _ = no_overlap_2d(problem_of(buffers), start=worst)
    assert cpsat(program).objective == best
    program, _ = no_overlap_2d(problem_of(buffers, capacity=load))
    assert cpsat(program).status is Status.INFEASIBLE


def test_addresses_are_counted_in_units() -> None:
    problem = problem_of([(0, 2, 6144), (1, 3, 2048), (1, 2, 0)], capacity=9000, alignment=64)
    program, lift = no_overlap_2d(problem)
    assert program.n_columns == 2  # the empty buffer needs no address
    assert program.matrix.upper.tolist() == [1.0, 3.0]  # 4 units of 2048 bytes fit
    values = np.array([1.0, 0.0])
    plan = lift(Solution(Status.FEASIBLE, Stop.PROVEN, values=values))
    assert plan.offset.tolist() == [2048, 0, 0]


def test_lift_needs_values() -> None:
    _, lift = no_overlap_2d(problem_of([(0, 1, 4)]))
    with pytest.raises(UsageError, match="infeasible"):
        lift(Solution(Status.INFEASIBLE, Stop.PROVEN))


def test_fitting_needs_a_capacity() -> None:
    with pytest.raises(UsageError, match="capacity"):
        no_overlap_2d(problem_of([(0, 1, 4)]), peak=False)


def test_peak_can_be_asked_for_beside_a_capacity() -> None:
    problem = problem_of([(0, 2, 4), (0, 2, 4)], capacity=20)
    program, _ = no_overlap_2d(problem, peak=True)
    assert cpsat(program).objective == 8


def test_start_is_hinted_only_where_it_fits() -> None:
    rows = [(0, 2, 4), (1, 3, 4), (2, 4, 4)]
    plan = AllocationPlan(np.array([4, 0, 4]))
    for capacity, hinted in ((8, 3), (12, 3)):
        program, _ = no_overlap_2d(problem_of(rows, capacity), start=plan)
        assert len(program.start_values[0]) == hinted
    tall = AllocationPlan(np.array([0, 4, 8]))
    program, _ = no_overlap_2d(problem_of(rows, 8), start=tall)
    assert len(program.start_values[0]) == 0
    program, _ = no_overlap_2d(problem_of(rows), start=tall)
    columns, values = program.start_values
    assert columns.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [0, 1, 2, 3]  # units of 4 bytes; the last is the peak


def test_records_are_per_part_and_per_clique(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of([(0, 2, 3), (1, 3, 2), (2, 4, 1), (9, 11, 2), (9, 10, 2), (20, 21, 1)])
    program, _ = no_overlap_2d(problem)
    kinds = [type(record) for record in program.records]
    assert kinds.count(NoOverlap2D) == 2  # the last part is a single buffer
    assert kinds.count(NoOverlap) == 3
    for alone, _ in (
        no_overlap_2d(problem, cliques=False),
        (monkeypatch.setattr(formulations, "CLIQUE_LIMIT", 5), no_overlap_2d(problem)[0])[::-1],
    ):
        assert [type(record) for record in alone.records] == [NoOverlap2D] * 2


def test_rows_for_mip_solvers_have_the_same_optimum() -> None:
    for buffers, _, best in ABOVE_LOAD[1:]:
        program, lift = no_overlap_2d(problem_of(buffers), cliques=False)
        solution = cpsat(linearise(program))
        assert solution.objective == best
        assert solution.values is not None
        assert verify(problem_of(buffers), lift(solution)).objective == best


def test_parts_heaviest_first_without_empty_buffers() -> None:
    problem = problem_of([(0, 2, 3), (5, 7, 4), (1, 3, 2), (5, 6, 4), (2, 6, 0)], capacity=9)
    parts = independent_parts(problem)
    assert [part.tolist() for part in parts] == [[1, 3], [0, 2]]
    part = part_of(problem, parts[0])
    assert part.names == ("b1", "b3")
    assert (part.capacity, part.max_load) == (9, 8)


def test_no_buffers() -> None:
    for rows in ([], [(0, 1, 0)]):
        problem = problem_of(rows)
        program, lift = no_overlap_2d(problem, start=greedy(problem))
        solution = cpsat(program)
        assert solution.objective == 0
        assert lift(solution).offset.tolist() == [0] * len(rows)
