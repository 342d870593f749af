"""Banks and alignments, through every road: the search, the greedy one, the solver, enumeration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import InfeasibleError, InstanceError, UsageError
from mapc.models.allocation import FAMILY
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact import place
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.allocation.heuristics import greedy
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
@given(problem=banked_problems())
def test_greedy_plans_that_fit_are_valid_and_bounds_are_sound(problem: AllocationProblem) -> None:
    plan = greedy(problem, iterations=2)
    room = problem.room
    assert room is not None
    offset = problem.on_line(plan)
    if int((offset + problem.padded).max(initial=0, where=problem.padded > 0)) <= room:
        if lower_bound(problem) <= room:
            assert verify(problem, plan).violations == ()
    if lower_bound(problem) > room:
        assert not fits(problem)
