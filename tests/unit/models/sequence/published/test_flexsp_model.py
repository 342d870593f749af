"""FlexSP's program against complete enumeration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.published.flexsp_model import lower, one_micro_batch
from mapc.models.sequence.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status, Stop
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


@pytest.mark.parametrize("backend", ["highs", "cpsat"])
@settings(max_examples=15, deadline=None)
@given(
    problem=small_sequence_problems(one_micro_batch=True, max_sequences=5),
    symmetry=st.booleans(),
    tight=st.booleans(),
)
def test_the_optimum_is_that_of_enumeration(
    backend: str, problem: SequenceProblem, symmetry: bool, tight: bool
) -> None:
    program, lift = lower(problem, symmetry=symmetry, tight=tight)
    solution = registry.solve(program, backend)
    best = brute_force(problem)
    if best is None:
        assert solution.status is Status.INFEASIBLE
        return
    verdict = verify(problem, lift(solution))
    assert verdict.violations == ()
    assert lift.bound(solution.bound) <= best.ticks <= verdict.objective / problem.tick
    # each sequence and each fixed part lose less than a unit, and the solver 1e-6 of the sum
    slack = lift.unit * (problem.n_sequences + 2) + 2e-6 * best.ticks
    assert verdict.objective / problem.tick <= best.ticks + slack


def test_all_ranks_used_or_not() -> None:
    problem = problem_of([8], most=1)
    loose, lift = lower(problem)
    solution = registry.solve(loose, "cpsat")
    assert verify(problem, lift(solution)).objective == 4.0 + 64 / 16 + 8 / 2
    three = problem_of([1, 1], [(1, ULYSSES, 0.0, 1.0, 0.0, 4)], n_ranks=4)
    strict, _ = lower(three, equality=True)
    assert registry.solve(strict, "cpsat").status is Status.INFEASIBLE


def test_plans_from_buckets_hold_for_the_true_lengths() -> None:
    rng = np.random.default_rng(0)
    problem = problem_of(rng.integers(1, 17, 12).tolist(), n_ranks=16, most=1)
    program, lift = lower(problem, buckets=3, symmetry=True)
    assert lift.given.shape[0] == 3
    solution = registry.solve(program, "cpsat")
    verdict = verify(problem, lift(solution))
    assert verdict.violations == ()
    assert verdict.objective <= (solution.objective + 13) * lift.unit * problem.tick


def test_a_part_of_a_problem_is_a_problem() -> None:
    problem = problem_of([3, 9, 5, 7], least=2)
    with pytest.raises(UsageError, match="at least 2"):
        lower(problem)
    part = one_micro_batch(problem, np.array([1, 3]))
    assert part.lengths.tolist() == [9, 7]
    program, lift = lower(part)
    best = brute_force(part)
    assert best is not None
    assert verify(part, lift(registry.solve(program, "cpsat"))).objective == best.step_ms


def test_no_plan_without_values() -> None:
    _, lift = lower(problem_of([3, 9]))
    with pytest.raises(UsageError, match="infeasible"):
        lift(Solution(Status.INFEASIBLE, Stop.PROVEN))


def test_virtual_groups_as_published() -> None:
    problem = problem_of([8] * 20, n_ranks=4)
    program, lift = lower(problem)
    assert lift.mode.tolist() == [0, 0, 0, 0, 1, 1, 2]
    names = [block.name for block in program.row_blocks]
    assert names == [
        "every sequence somewhere",
        "memory",
        "time",
        "used is not empty",
        "unused is empty",
        "ranks",
    ]


def test_a_bound_is_not_rounded_up_for_what_solvers_lose() -> None:
    _, lift = lower(problem_of([8], most=1))
    assert lift.bound(7.4) == 8 * lift.unit
    assert lift.bound(7.0 + 1e-7) == 7 * lift.unit
    assert lift.bound(1e7 + 1e-2) == 10**7 * lift.unit
