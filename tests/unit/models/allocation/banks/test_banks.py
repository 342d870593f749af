"""Banks and alignments, through every road: the search, the greedy one, the solver, enumeration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc import instances
from mapc.errors import InfeasibleError, InstanceError, UsageError
from mapc.models.allocation import FAMILY
from mapc.models.allocation.banks.formulation import bank_by_bank
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact import place
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.solvers.base import Status
from oracles.allocation_banks import banked_problems, fits
from oracles.allocation_bruteforce import cpsat, problem_of


@settings(max_examples=100, deadline=None)
@given(problem=banked_problems(), seed=st.integers(0, 3), table=st.booleans())
def test_the_search_finds_a_placement_exactly_where_there_is_one(
    problem: AllocationProblem, seed: int, table: bool
) -> None:
    answer = place(problem, seed=seed, table=table)
    assert answer.proven_infeasible == (not fits(problem))
    if answer.offset is not None:
        assert verify(problem, problem.plan(answer.offset)).violations == ()


@settings(max_examples=60, deadline=None)
@given(problem=banked_problems())
def test_the_solver_agrees(problem: AllocationProblem) -> None:
    expected = fits(problem)
    try:
        program, lift = no_overlap_2d(problem)
    except InfeasibleError:
        assert not expected
        return
    solution = cpsat(program)
    assert (solution.status is Status.INFEASIBLE) == (not expected)
    if expected:
        assert verify(problem, lift(solution)).violations == ()


@settings(max_examples=60, deadline=None)
@given(problem=banked_problems().filter(lambda problem: problem.banks != ()))
def test_optional_rectangles_agree(problem: AllocationProblem) -> None:
    expected = fits(problem)
    try:
        program, lift = bank_by_bank(problem)
    except InfeasibleError:
        assert not expected
        return
    solution = cpsat(program)
    assert (solution.status is Status.INFEASIBLE) == (not expected)
    if expected:
        assert verify(problem, lift(solution)).violations == ()


def random_banks(seed: int, n: int = 14) -> AllocationProblem:
    """More buffers than enumeration can do, in banks that hold them with little to spare."""
    rng = np.random.default_rng(seed)
    start, life = rng.integers(0, 12, n), rng.integers(1, 7, n)
    rows = list(zip(start, start + life, rng.integers(1, 9, n), strict=True))
    problem = problem_of([(int(a), int(b), int(c)) for a, b, c in rows])
    total = problem.max_load + int(rng.integers(0, 3))
    first = int(rng.integers(total // 3, total - total // 3))
    problem = replace(problem, banks=(("a", first), ("b", total - first)))
    if seed % 2:
        problem = replace(problem, alignments=rng.choice([1, 1, 2, 4], n))
    if seed % 3:
        allowed = rng.random((n, 2)) < 0.8
        allowed[~allowed.any(axis=1)] = True
        problem = replace(problem, allowed=allowed)
    return problem


def test_search_and_both_programs_agree_where_it_is_tight() -> None:
    infeasible = 0
    for seed in range(40):
        problem = random_banks(seed)
        answer = place(problem, seed=seed, table=seed % 3 > 0)
        known = []
        for lower in (no_overlap_2d, bank_by_bank):
            try:
                program, lift = lower(problem)
            except InfeasibleError:
                known.append(False)
                continue
            solution = cpsat(program)
            assert solution.status is not Status.UNKNOWN
            known.append(solution.status is not Status.INFEASIBLE)
            if known[-1]:
                assert verify(problem, lift(solution)).violations == ()
        assert known == [answer.offset is not None] * 2
        assert answer.proven_infeasible == (answer.offset is None)
        infeasible += answer.proven_infeasible
    assert 8 <= infeasible <= 32


@settings(max_examples=40, deadline=None)
@given(problem=banked_problems(max_buffers=4), seed=st.integers(0, 3))
def test_the_whole_road(problem: AllocationProblem, seed: int) -> None:
    result = mapc.solve(problem, time_limit=None, seed=seed)
    assert result.status is (Status.OPTIMAL if fits(problem) else Status.INFEASIBLE)
    if result.plan is not None:
        assert result.objective == 0
        assert mapc.check(problem, result.plan) == []


def test_two_banks_hold_less_than_one_as_large() -> None:
    """Three buffers of 4 bytes alive together: 12 bytes in one, but 6 + 6 hold one each."""
    three = problem_of([(0, 2, 4)] * 3)
    assert mapc.solve(replace(three, capacity=12), time_limit=None).status is Status.OPTIMAL
    split = replace(three, banks=(("a", 6), ("b", 6)))
    result = mapc.solve(split, time_limit=None)
    assert result.status is Status.INFEASIBLE
    uneven = replace(three, banks=(("a", 8), ("b", 4)))
    plan = mapc.solve(uneven, time_limit=None).plan
    assert np.bincount(plan.bank).tolist() == [2, 1]
    assert verify(uneven, plan).facts["bank_peak_bytes"] == {"a": 8, "b": 4}


def test_an_alignment_of_one_buffer_leaves_a_hole() -> None:
    """1 byte below, then the next multiple of 4: a peak of 8, or 5 the other way round."""
    rows = problem_of([(0, 2, 4), (0, 2, 1)])
    problem = replace(rows, alignments=np.array([4, 1]))
    result = mapc.solve(problem, time_limit=None)
    assert (result.status, result.objective) == (Status.OPTIMAL, 5)
    below = replace(problem, fixed=np.array([-1, 0]))
    result = mapc.solve(below, time_limit=None)
    assert (result.status, result.objective) == (Status.OPTIMAL, 8)
    assert result.plan.offset.tolist() == [4, 0]


def test_a_buffer_that_no_bank_takes_is_named() -> None:
    problem = problem_of([(0, 2, 4), (0, 2, 7)])
    banks = replace(problem, banks=(("a", 8), ("b", 6)))
    only = replace(banks, allowed=np.array([[True, True], [False, True]]))
    result = mapc.solve(only, time_limit=None)
    assert result.status is Status.INFEASIBLE
    assert "buffer 'b1' of 7 bytes fits none of the banks that take it" in result.reason
    assert place(only).proven_infeasible
    plan = mapc.solve(banks, time_limit=None).plan
    assert plan.bank.tolist() == [1, 0]


def test_the_verifier_says_what_is_wrong_in_banks() -> None:
    problem = replace(
        problem_of([(0, 2, 4), (0, 2, 4)]),
        banks=(("a", 6), ("b", 6)),
        allowed=np.array([[True, False], [True, True]]),
        alignments=np.array([2, 1]),
    )
    at = np.array
    assert verify(problem, AllocationPlan(at([0, 1]), at([0, 1]))).violations == ()
    for offset, bank, said in (
        ([0, 0], [1, 0], "'b0': in bank 'b', not allowed"),
        ([0, 2], [0, 0], "overlap at time 0"),
        ([1, 0], [0, 1], "address 1 is no multiple of 2"),
        ([0, 3], [0, 1], "ends at 7, above the capacity 6"),
        ([0, 0], [0, 2], "'b1': in bank 2, there are 2"),
    ):
        verdict = verify(problem, AllocationPlan(at(offset), at(bank)))
        assert any(said in line for line in verdict.violations), said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"banks": (("a", 8), ("a", 8))}, "bank 'a'.*names, each once"),
        ({"banks": (("a", -8),)}, "bank 'a' of -8 bytes"),
        ({"banks": (("a", 8),), "capacity": 9}, "capacity 9 beside banks.*none, or 8"),
        ({"banks": (("a", 8),), "allowed": np.zeros((2, 1), bool)}, "'b0'.*at least one bank"),
        ({"banks": (("a", 8),), "allowed": np.ones((2, 2), bool)}, "2 buffers, 1 banks"),
        ({"banks": (("a", 8), ("b", 8)), "fixed": np.array([0, -1])}, "'b0'.*one bank that takes"),
        ({"alignments": np.array([4, 3]), "alignment": 2}, "'b1'.*a multiple of 2"),
        ({"alignments": np.array([2**29, 2**29 - 1])}, "least common multiple up to"),
        ({"reserved": np.array([[0, 1, 0, 1]]), "reserved_bank": np.array([1])}, "0 to 0"),
    ],
)
def test_malformed_banks_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InstanceError, match=said):
        replace(problem_of([(0, 2, 4), (0, 2, 4)]), **change)


def test_banks_have_no_other_capacity() -> None:
    problem = replace(problem_of([(0, 2, 4)]), banks=(("a", 8),))
    for text in ("8", "M_P"):
        with pytest.raises(UsageError, match="the problem has banks"):
            FAMILY.with_capacity(problem, text)


@settings(max_examples=30, deadline=None)
@given(problem=banked_problems())
def test_files_bring_it_all_back(
    tmp_path_factory: pytest.TempPathFactory, problem: AllocationProblem
) -> None:
    path = tmp_path_factory.mktemp("banks") / "problem.json"
    instances.write_instance(problem, path)
    again = mapc.read(path)
    assert again.banks == problem.banks
    assert again.grain.tolist() == problem.grain.tolist()
    assert again.obstacles.tolist() == problem.obstacles.tolist()
    assert fits(again) == fits(problem)
    assert instances.content_hash(again) == instances.content_hash(problem)
    answer = place(problem)
    if answer.offset is not None:
        plan = problem.plan(answer.offset)
        instances.write_plan(problem, plan, path.with_name("plan.json"))
        assert instances.read_plan(path.with_name("plan.json"))[1] == plan


@settings(max_examples=60, deadline=None)
@given(problem=banked_problems())
def test_greedy_plans_that_fit_are_valid_and_bounds_are_sound(problem: AllocationProblem) -> None:
    plan = greedy(problem, iterations=2)
    room = problem.room
    assert room is not None
    offset = problem.on_line(plan)
    top = int((offset + problem.padded).max(initial=0, where=problem.padded > 0))
    if max(top, lower_bound(problem)) <= room:
        assert verify(problem, plan).violations == ()
    if lower_bound(problem) > room:
        assert not fits(problem)
