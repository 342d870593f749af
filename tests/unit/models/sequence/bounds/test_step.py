"""The bound on the whole step, and the method that proves it and looks for plans."""

from unittest import mock

import pytest
from hypothesis import given, settings

from mapc.models.sequence.bounds import aggregate, area, step
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.published.baselines import best_homogeneous
from mapc.models.sequence.verify import verify
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Solution
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


def highs(program: Program) -> Solution:
    return registry.solve(program, "highs")


@settings(max_examples=15, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4))
def test_boxes_bound_every_number_of_micro_batches(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    q = int(best.plan.micro_batch.max()) + 1
    for known in (best.ticks + 1, 2 * best.ticks + 1):
        bound = step.bound(problem, q, solve=highs, known=known, nodes=5)
        assert int(area.step_bounds(problem, q, q)[0]) <= bound <= best.ticks


def test_boxes_prove_more_than_the_area() -> None:
    # the long ones keep two of three ranks for 8 ms each, so there is no room for both at a time
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 2), (2, ULYSSES, 0.0, 1.0, 0.0, 8)]
    problem = problem_of([8, 8, 1], modes, n_ranks=3, node_ranks=3)
    best = brute_force(problem)
    assert best is not None
    assert best.step_ms == 16.0
    known = best.ticks + 1
    assert area.step_bound(problem) * problem.tick == pytest.approx(11.0)
    one = step.bound(problem, 2, solve=highs, known=known, nodes=1)
    some = step.bound(problem, 2, solve=highs, known=known, nodes=9)
    assert 11.0 / problem.tick <= one < some <= best.ticks
    assert some * problem.tick > 15.0


def test_no_program_is_solved_after_a_stop() -> None:
    problem = problem_of([8, 8, 3])
    known = 1 << 50

    def never(program: Program) -> Solution:
        raise AssertionError(program)

    bound = step.bound(problem, 2, solve=never, known=known, stop=lambda: True)
    assert bound == int(area.step_bounds(problem, 2, 2)[0])


def test_a_box_without_steps_below_the_known_one_is_closed() -> None:
    assert step.bound(problem_of([8, 8, 3]), 3, solve=highs, known=1) == 1


class Search:
    """Knows one objective, collects bounds and better plans; no clock."""

    seed, deterministic = 0, True

    def __init__(self, objective: float | None) -> None:
        self.objective = objective
        self.proven: list[float] = []
        self.plans: list[SequencePlan] = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return float("inf")

    def prove(self, bound: float, source: str) -> None:
        self.proven.append(bound)

    def propose(self, plan: SequencePlan, source: str) -> bool:
        self.plans.append(plan)
        return True

    def solve(self, program: Program, **limits: object) -> Solution:
        return highs(program)


@mock.patch.object(step, "LOOKS", 5_000)
@mock.patch.object(step, "EACH", 2)
@mock.patch.object(step, "STEPS", 4)
@settings(max_examples=12, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4))
def test_methods_prove_nothing_above_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    for objective in (None, best.step_ms, best.step_ms * 1.5):
        for method in (area.run, aggregate.run, step.run):
            search = Search(objective)
            method(problem, search)
            assert max(search.proven, default=0.0) <= best.step_ms
    search = Search(best.step_ms)
    for method in (area.run, aggregate.run, step.run):
        method(object(), search)
    assert search.proven == []


@mock.patch.object(step, "LOOKS", 200_000)
@mock.patch.object(step, "EACH", 3)
def test_plans_are_looked_for_where_the_bound_is_least() -> None:
    modes = [
        (1, ULYSSES, 0.25, 1.0, 4.0, 16),
        (2, ULYSSES, 0.125, 0.75, 4.0, 32),
        (4, ULYSSES, 0.0625, 0.5, 4.0, 64),
    ]
    problem = problem_of([30, 24, 17, 11, 9, 9, 8, 6, 5, 5, 4, 3, 3, 2, 2, 1], modes, n_ranks=4)
    start = best_homogeneous(problem)
    assert start is not None
    known = verify(problem, start).objective
    assert known is not None
    search = Search(known)
    step.run(problem, search)
    assert search.plans
    for plan in search.plans:
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        assert verdict.objective is not None
        assert max(search.proven) <= verdict.objective < known


@mock.patch.object(step, "LOOKS", 50_000)
@mock.patch.object(step, "STEPS", 15)
def test_equal_runs_without_a_clock_are_equal() -> None:
    problem = problem_of(
        [31, 22, 16, 12, 9, 9, 8, 6, 5, 4, 4, 3],
        n_ranks=8,
        modes=[
            (1, ULYSSES, 0.25, 1.0, 4.0, 8),
            (2, ULYSSES, 0.125, 0.75, 4.0, 16),
            (4, ULYSSES, 0.0625, 0.5, 4.0, 32),
        ],
    )
    runs = []
    for _ in range(2):
        search = Search(120.0)
        step.run(problem, search)
        runs.append((search.proven, [plan.group.tolist() for plan in search.plans]))
    assert runs[0] == runs[1]
    assert runs[0][0][-1] > area.step_bound(problem) * problem.tick
