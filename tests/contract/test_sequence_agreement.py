"""Every way to answer a sequence problem agrees: programs, backends, bounds, enumeration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc import generate
from mapc.errors import InfeasibleError, UsageError
from mapc.models.sequence.bounds import aggregate, area
from mapc.models.sequence.formulations import FORMULATIONS
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.program import Program
from mapc.solvers import catalogue, registry
from mapc.solvers.base import Limits, Solution, Status
from oracles.sequence_cases import Best, brute_force, problem_of, small_sequence_problems

ONE_WORKER = Limits(workers=1, time=60)
BACKENDS = ("highs", "cpsat", "pyomo:highs")
EXAMPLES = {"highs": 15, "cpsat": 10, "pyomo:highs": 6}

one_micro_batch = small_sequence_problems(one_micro_batch=True, max_sequences=5)


def backend_or_skip(name: str) -> str:
    missing = catalogue.missing(name)
    if missing:
        pytest.skip(f"{name}: {missing}")
    return name


def solved(program: Program, backend: str = "highs") -> Solution:
    return registry.solve(program, backend, limits=ONE_WORKER)


def agree(problem: SequenceProblem, name: str, backend: str) -> None:
    """FlexSP's program has the optimum of enumeration, up to its unit and a solver's tolerance."""
    best = brute_force(problem)
    program, lift = FORMULATIONS[name].lower(problem)
    answer = solved(program, backend)
    if best is None:
        assert answer.status is Status.INFEASIBLE
        return
    assert answer.status is Status.OPTIMAL, (answer.status, answer.message)
    verdict = verify(problem, lift(answer))
    assert verdict.violations == ()
    assert verdict.objective is not None
    # every sequence and every fixed part is rounded down by less than a unit
    slack = lift.unit * (problem.n_sequences + 2) + 2e-6 * best.ticks
    assert lift.bound(answer.bound) <= best.ticks
    assert best.ticks <= verdict.objective / problem.tick <= best.ticks + slack


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["flexsp", "flexsp-tight"])
def test_flexsp_s_program_agrees_with_enumeration(name: str, backend: str) -> None:
    backend_or_skip(backend)

    @settings(max_examples=EXAMPLES[backend], deadline=None, derandomize=True, database=None)
    @given(problem=one_micro_batch)
    def check(problem: SequenceProblem) -> None:
        agree(problem, name, backend)

    check()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(problem=one_micro_batch)
def test_buckets_cost_what_they_round_up(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    assume(best is not None)
    assert best is not None
    try:
        program, lift = FORMULATIONS["flexsp-buckets"].lower(problem)
    except InfeasibleError:
        return  # rounded up, a sequence may fit no group
    answer = solved(program)
    if answer.status is Status.INFEASIBLE:
        return
    verdict = verify(problem, lift(answer))
    assert verdict.violations == ()
    assert verdict.objective is not None
    assert verdict.objective >= best.step_ms


# -- bounds on one micro-batch ---------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(problem=one_micro_batch)
def test_bounds_on_one_micro_batch_follow_each_other(problem: SequenceProblem) -> None:
    """Area, sums by mode relaxed, and whole: each at least the one before, none above the best."""
    best = brute_force(problem)
    assume(best is not None)
    assert best is not None
    density = aggregate.density_bound(problem)
    whole = aggregate.aggregate_bound(problem, solve=solved, known=best.ticks)
    assert area.step_bound(problem) <= best.ticks
    assert density <= whole <= best.ticks


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problem=one_micro_batch, share=st.floats(0.3, 1.5))
def test_the_aggregate_program_never_refutes_a_makespan_that_is_reached(
    problem: SequenceProblem, share: float
) -> None:
    best = brute_force(problem)
    assume(best is not None)
    assert best is not None
    program, lift = FORMULATIONS["aggregate"].lower(problem, makespan=share * best.step_ms)
    if lift.refutes(solved(program)):
        assert share * best.step_ms < best.step_ms


def test_a_makespan_that_is_far_too_short_is_refuted() -> None:
    problem = problem_of([9, 7, 5, 3, 2, 2], most=1)
    best = brute_force(problem)
    assert best is not None
    program, lift = FORMULATIONS["aggregate"].lower(problem, makespan=best.step_ms / 2)
    assert lift.refutes(solved(program))


# -- the whole step --------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(problem=small_sequence_problems(limits=False))
def test_the_step_program_is_a_relaxation_of_its_number_of_micro_batches(
    problem: SequenceProblem,
) -> None:
    least, most = area.least_micro_batches(problem), problem.n_sequences
    for q in range(least, min(most, least + 2) + 1):
        best = _with(problem, q)
        program, lift = FORMULATIONS["step"].lower(problem, q)
        answer = solved(program)
        if best is not None:
            assert answer.status is not Status.INFEASIBLE
            assert lift.bound(answer.bound) <= best.ticks


def _with(problem: SequenceProblem, q: int) -> Best | None:
    return brute_force(replace(problem, least=q, most=q))


@pytest.mark.parametrize("name", ["aggregate", "step"])
def test_relaxations_have_no_plan_to_give(name: str) -> None:
    program, lift = FORMULATIONS[name].lower(problem_of([9, 7, 5, 3]))
    with pytest.raises(UsageError, match="is a relaxation and has no plan to give"):
        lift(solved(program))


@pytest.mark.parametrize("name", FORMULATIONS)
def test_programs_are_the_same_for_relabelled_sequences(name: str) -> None:
    lengths = [20, 9, 9, 7, 5, 3, 2, 2]
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for order in (range(8), rng.permutation(8)):
        program, _ = FORMULATIONS[name].lower(problem_of([lengths[k] for k in order]))
        found.append((program.statistics(), solved(program).objective))
    assert found[0] == found[1]


def test_tighter_rows_do_not_weaken_the_relaxation() -> None:
    """Groups used by a fraction hold a fraction; the published rows let them hold it all."""
    problem = problem_of([8] * 6, n_ranks=8, most=1)
    relaxed = {}
    for name in ("flexsp", "flexsp-tight"):
        program, _ = FORMULATIONS[name].lower(problem)
        m = program.matrix
        loose = Program(name)
        x = loose.variables(m.n_columns, m.lower, m.upper, integer=False, cost=m.cost)
        loose.ragged_rows(m.indptr, x.columns[m.indices], m.coefficients, m.row_lower, m.row_upper)
        relaxed[name] = solved(loose).objective
    assert relaxed["flexsp"] is not None
    assert relaxed["flexsp-tight"] >= relaxed["flexsp"] - 1e-6


def test_highs_keeps_its_own_tolerance_on_whole_numbers() -> None:
    """At 1e-9, HiGHS 1.13.1 loses the optimum: it proves 8891588 here."""
    problem = generate("sequence", sequences=4, ranks=16, max_length="16K", seed=0)
    program, _ = FORMULATIONS["flexsp"].lower(problem)
    found = [solved(program, name) for name in ("highs", "cpsat")]
    assert [one.status for one in found] == [Status.OPTIMAL] * 2
    assert [one.objective for one in found] == [5768274.0] * 2
