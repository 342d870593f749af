"""Bounds from sums by mode: below every plan, and how they compare."""

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import InfeasibleError, UsageError
from mapc.models.sequence.bounds import aggregate, area
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.solvers import registry
from mapc.solvers.base import Solution
from oracles.sequence_cases import (
    best_micro_batch,
    brute_force,
    problem_of,
    small_sequence_problems,
)


def highs(program: object) -> Solution:
    return registry.solve(program, "highs")  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(problem=small_sequence_problems())
def test_without_a_solver_bounds_lie_below_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is not None:
        bound = aggregate.step_bound(problem)
        assert area.step_bound(problem) <= bound <= best.ticks
        assert aggregate.step_bound(problem, known=best.ticks) <= best.ticks


@pytest.mark.parametrize("integer", [False, True])
@settings(max_examples=6, deadline=None)
@given(problem=small_sequence_problems(one_micro_batch=True))
def test_programs_bound_one_micro_batch(integer: bool, problem: SequenceProblem) -> None:
    best = best_micro_batch(problem, range(problem.n_sequences))
    if best is not None:
        bound = aggregate.aggregate_bound(problem, solve=highs, integer=integer)
        assert aggregate.density_bound(problem) <= bound <= best[0]


def test_makespans_of_plans_are_not_refuted_and_shorter_ones_are() -> None:
    problem = problem_of([8, 8, 8, 8], [(1, ULYSSES, 0.0, 1.0, 4.0, 16)], n_ranks=2)
    for ms, possible in ((20.0, True), (19.9, False)):
        for integer in (False, True):
            program, lift = aggregate.lower(problem, ms, integer=integer)
            assert lift.refutes(highs(program)) is not possible
    assert aggregate.density_bound(problem) * problem.tick == pytest.approx(20.0, rel=1e-3)


def test_whole_groups_prove_more_than_fractions() -> None:
    # two sequences need degree 4, 4 ms each, and six ranks are one and a half groups
    modes = [(1, ULYSSES, 0.0, 2.0, 0.0, 1), (4, ULYSSES, 0.0, 0.5, 0.0, 16)]
    problem = problem_of([8, 8], modes, n_ranks=6, node_ranks=6)
    fractions = aggregate.aggregate_bound(problem, solve=highs, integer=False)
    whole = aggregate.aggregate_bound(problem, solve=highs)
    assert fractions * problem.tick == pytest.approx(8 / 1.5, rel=1e-3)
    assert aggregate.density_bound(problem) * problem.tick == pytest.approx(8 / 1.5, rel=1e-3)
    assert whole * problem.tick == pytest.approx(8.0, rel=1e-3)


def test_what_no_micro_batch_holds_ends() -> None:
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 16), (4, ULYSSES, 0.0, 1.0, 0.0, 20)]
    problem = problem_of([20, 20], modes, n_ranks=4)
    # 40 tokens of room for 64 by ranks, but each of these needs all ranks
    assert area.least_micro_batches(problem) == 1
    ticks = aggregate.density_bound(problem)
    assert ticks > 40.0 / problem.tick
    best = brute_force(problem)
    assert best is not None
    assert aggregate.step_bound(problem) == best.ticks


def test_a_relaxation_has_no_plan() -> None:
    program, lift = aggregate.lower(problem_of([3, 5]))
    with pytest.raises(UsageError, match="relaxation"):
        lift(highs(program))


def test_more_micro_batches_than_allowed_are_refused() -> None:
    problem = problem_of([4, 4, 4], [(1, ULYSSES, 0.0, 1.0, 0.0, 4)], n_ranks=2, most=1)
    with pytest.raises(InfeasibleError):
        aggregate.step_bound(problem)


def test_the_bound_of_part_of_the_sequences() -> None:
    problem = problem_of([2, 8, 8, 3])
    some = np.array([1, 2])
    best = best_micro_batch(problem, some.tolist())
    assert best is not None
    bound = aggregate.density_bound(problem, some)
    assert aggregate.density_bound(problem, some[:1]) <= bound <= best[0]
