from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError, InstanceError
from mapc.models.allocation import FAMILY
from mapc.models.allocation.bounds import heights, lower_bound
from mapc.models.allocation.exact import least_peak, place
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.allocation.held import disjoint
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.solvers.base import Status
from oracles.allocation_bruteforce import (
    ABOVE_LOAD,
    BareSearch,
    cpsat,
    held_problems,
    holding,
    problem_of,
    small_problems,
    smallest_peak,
)


def reserving(problem: AllocationProblem, *rows: tuple[int, int, int, int]) -> AllocationProblem:
    return replace(problem, reserved=np.array(rows, dtype=np.int64).reshape(-1, 4))


ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 9), st.integers(1, 5)),
    max_size=4,
).map(lambda rows: [(a, a + b, c, c + d) for a, b, c, d in rows])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROWS, st.sampled_from([1, 4]))
def test_disjoint_rectangles_cover_the_same_cells(
    rows: list[tuple[int, int, int, int]], alignment: int
) -> None:
    def cells(some: list[tuple[int, ...]]) -> list[tuple[int, int]]:
        return [
            (time, at)
            for begin, end, base, top in some
            for time in range(begin, end)
            for at in range(base // alignment, -(-top // alignment))
        ]

    made = disjoint(np.array(rows, dtype=np.int64).reshape(-1, 4), alignment)
    covered = cells([tuple(row) for row in made.tolist()])
    assert len(set(covered)) == len(covered)
    assert set(covered) == set(cells(rows))
    assert not (made[:, 2:] % alignment).any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(held_problems(), st.integers(0, 3), st.booleans())
def test_search_finds_the_smallest_peak(problem: AllocationProblem, seed: int, table: bool) -> None:
    best = smallest_peak(problem)
    found = least_peak(problem, seed=seed, table=table)
    assert found.proven
    assert found.peak == best
    assert verify(problem, AllocationPlan(found.offset)).violations == ()
    if best:
        answer = place(problem, capacity=best - 1, seed=seed, table=table)
        assert answer.proven_infeasible


@settings(max_examples=60, deadline=None, derandomize=True)
@given(held_problems())
def test_bound_and_greedy_enclose_the_smallest_peak(problem: AllocationProblem) -> None:
    best = smallest_peak(problem)
    verdict = verify(problem, greedy(problem, iterations=2))
    assert verdict.violations == ()
    assert verdict.objective is not None
    assert lower_bound(problem) <= best <= verdict.objective


@settings(max_examples=30, deadline=None, derandomize=True)
@given(held_problems())
def test_a_solver_agrees(problem: AllocationProblem) -> None:
    best = smallest_peak(problem)
    program, lift = no_overlap_2d(problem)
    solution = cpsat(program)
    assert verify(problem, lift(solution)).violations == ()
    assert verify(problem, lift(solution)).objective == best
    if best > lower_bound(problem):
        program, _ = no_overlap_2d(replace(problem, capacity=best - 1))
        assert cpsat(program).status is Status.INFEASIBLE


@settings(max_examples=40, deadline=None, derandomize=True)
@given(held_problems(), st.sampled_from([None, -1, 0, 3]))
def test_all_methods_end_with_the_optimum_proven(
    problem: AllocationProblem, extra: int | None
) -> None:
    best = smallest_peak(problem)
    capacity = None if extra is None else max(0, best + extra)
    search = BareSearch(replace(problem, capacity=capacity))

    def run() -> None:
        FAMILY.precheck(search.problem)
        for method in FAMILY.methods:
            if not search.done():
                method.run(search.problem, search)

    if capacity is not None and capacity // problem.alignment * problem.alignment < best:
        with pytest.raises(InfeasibleError):
            run()
        return
    run()
    assert search.objective == search.bound == (best if capacity is None else 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems(), st.data())
def test_fixing_what_a_best_placement_does_changes_nothing(
    problem: AllocationProblem, data: st.DataObject
) -> None:
    found = least_peak(problem)
    mask = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))[: problem.n_buffers]
    held = np.where(np.array(mask, dtype=np.bool_), found.offset, -1).astype(np.int64)
    again = least_peak(replace(problem, fixed=held))
    assert again.peak == again.bound == found.peak


def test_a_fixed_address_changes_the_peak_by_hand() -> None:
    """64 bytes in the middle of 160 leave 48 above and below: a buffer of 64 goes above all."""
    problem = problem_of([(0, 4, 64), (1, 3, 64), (1, 2, 32)])
    assert least_peak(problem).peak == 160
    assert least_peak(replace(problem, fixed=np.array([48, -1, -1]))).peak == 176
    assert least_peak(replace(problem, fixed=np.array([32, -1, -1]))).peak == 160
    # reserved, not fixed: 80 bytes below it, but then nothing counts above 80
    assert least_peak(reserving(problem_of([(0, 4, 64)]), (2, 9, 64, 999))).peak == 64
    assert least_peak(reserving(problem_of([(0, 4, 64)]), (2, 9, 63, 999))).peak == 999 + 64


def test_heights_by_hand() -> None:
    problem = reserving(problem_of([(0, 4, 8), (2, 6, 8)]), (1, 3, 4, 6), (1, 9, 20, 30))
    times, need = heights(problem)
    assert dict(zip(times.tolist(), need.tolist(), strict=True)) == {
        **{0: 8, 1: 10, 2: 18, 3: 16, 4: 8, 6: 0, 9: 0},
    }


def test_what_is_fixed_beyond_the_free_ones_counts() -> None:
    problem = replace(problem_of([(0, 2, 4), (5, 7, 4)]), fixed=np.array([-1, 16]))
    search = BareSearch(problem)
    for method in FAMILY.methods:
        method.run(problem, search)
    assert search.objective == search.bound == 20
    only = replace(problem, fixed=np.array([0, 16]), capacity=20)
    search = BareSearch(only)
    for method in FAMILY.methods:
        method.run(only, search)
    assert search.objective == 0
    with pytest.raises(InfeasibleError, match=r"20 bytes are taken.* at time 5"):
        FAMILY.precheck(replace(only, capacity=19))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": np.array([0, 4])}, r"fixed addresses of buffers 'b0' and 'b1' overlap"),
        ({"fixed": np.array([-2, 0])}, r"buffer 'b0': fixed address -2; expected -1 or a mult"),
        ({"fixed": np.array([0])}, r"fixed: 1 entries; expected 2"),
        ({"fixed": np.array([-1, 6]), "alignment": 4}, r"'b1': fixed address 6; expected .* of 4"),
        (
            {"fixed": np.array([-1, 8]), "reserved": np.array([[5, 9, 15, 16]])},
            r"buffer 'b1': fixed address 8 is in a reserved range",
        ),
        ({"reserved": np.array([[5, 5, 0, 1]])}, r"reserved\[0\]: range \[5, 5, 0, 1\]"),
        ({"reserved": np.array([[0, 9, 3, 3]])}, r"0 <= base < top"),
        ({"reserved": np.array([[0, 9, 3]])}, r"reserved: shape \(1, 3\)"),
    ],
)
def test_bad_options_are_named_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(InstanceError, match=message) as caught:
        replace(problem_of([(0, 4, 8), (2, 6, 8)]), **options)
    assert "\n" not in str(caught.value)


def test_the_verifier_sees_broken_options() -> None:
    problem = replace(problem_of([(0, 4, 8), (2, 6, 8)]), fixed=np.array([8, -1]))
    told = verify(problem, AllocationPlan(np.array([0, 8]))).violations
    assert told == ("buffer 'b0': address 0 instead of the fixed 8",)
    problem = reserving(problem_of([(0, 4, 8), (4, 6, 0)]), (3, 9, 7, 9))
    told = verify(problem, AllocationPlan(np.array([0, 7]))).violations
    assert told == ("buffer 'b0' [0, 8) is in the range [7, 9) reserved during [3, 9)",)
    assert verify(problem, AllocationPlan(np.array([9, 7]))).violations == ()


def test_holding_leaves_out_what_cannot_be() -> None:
    made = holding(problem_of([(0, 4, 8), (2, 6, 8)]), [0, 4])
    assert made.held.tolist() == [0, -1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems(max_buffers=5, alignments=(1,)), st.integers(1, 14), st.integers(1, 14))
def test_a_reserved_range_between_two_banks(
    problem: AllocationProblem, first: int, second: int
) -> None:
    """They fit if and only if some choice of a bank for each fits bank by bank."""
    rows = np.stack([problem.lower, problem.upper, problem.size], axis=1)
    picks = [np.array([i >> k & 1 for k in range(len(rows))], dtype=bool) for i in range(32)]
    fits = any(
        smallest_peak(problem_of(rows[pick].tolist())) <= first
        and smallest_peak(problem_of(rows[~pick].tolist())) <= second
        for pick in picks
    )
    both = reserving(problem, (-9, 99, first, first + 1))
    answer = place(both, capacity=first + 1 + second)
    assert (answer.offset is not None) == fits
    assert answer.proven_infeasible == (not fits)


def test_plain_python_searches_alike() -> None:
    problem = replace(problem_of(ABOVE_LOAD[0][0]), fixed=np.array([-1, 2, *[-1] * 6]))
    compiled = place(reserving(problem, (1, 3, 8, 9)), capacity=12, seed=2)
    code = (
        "import numpy as np, dataclasses\n"
        "from mapc.models.allocation.exact import place\n"
        "from oracles.allocation_bruteforce import ABOVE_LOAD, problem_of\n"
        "p = problem_of(ABOVE_LOAD[0][0])\n"
        "p = dataclasses.replace(p, fixed=np.array([-1, 2, *[-1] * 6]),"
        " reserved=np.array([[1, 3, 8, 9]]))\n"
        "r = place(p, capacity=12, seed=2)\n"
        "print(r.nodes, r.restarts, None if r.offset is None else r.offset.tolist())\n"
    )
    tests = Path(__file__).parents[3]
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    offset = None if compiled.offset is None else compiled.offset.tolist()
    assert out.strip() == f"{compiled.nodes} {compiled.restarts} {offset}"
