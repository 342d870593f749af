"""The step program: below every plan of its number of micro-batches and its boxes."""

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import UsageError
from mapc.models.sequence.bounds import aggregate, area, step
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


def highs(program: Program) -> Solution:
    return registry.solve(program, "highs")


@settings(max_examples=40, deadline=None)
@given(problem=small_sequence_problems(max_sequences=5))
def test_the_best_plan_is_a_point_of_the_program(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    q = int(best.plan.micro_batch.max()) + 1
    makespan = _makespans(problem, best.plan) - area.least_fixed(problem)
    narrow = np.stack([makespan * 0.95, makespan * 1.05 + 1.0])
    for box in (None, narrow):
        program, lift = step.lower(problem, q, box=box, known=best.ticks + 1)
        solution = highs(program)
        assert solution.status is Status.OPTIMAL
        assert lift.bound(solution.bound) <= best.ticks


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


def test_a_box_without_steps_below_the_known_one_is_closed() -> None:
    problem = problem_of([8, 8, 3])
    low, high = step.boxes(problem, 3, known=1)
    assert (low > high).any()
    assert step.bound(problem, 3, solve=highs, known=1) == 1


def test_no_program_is_solved_after_a_stop() -> None:
    problem = problem_of([8, 8, 3])
    known = 1 << 50

    def never(program: Program) -> Solution:
        raise AssertionError(program)

    bound = step.bound(problem, 2, solve=never, known=known, stop=lambda: True)
    assert bound == int(area.step_bounds(problem, 2, 2)[0])


def test_a_relaxation_has_no_plan() -> None:
    program, lift = step.lower(problem_of([3, 5]))
    with pytest.raises(UsageError, match="relaxation"):
        lift(highs(program))


def test_makespans_of_nothing_are_no_trouble_to_solvers() -> None:
    modes = [(1, ULYSSES, 0.0, 0.0, 0.0, 1), (2, ULYSSES, 0.0, 0.0, 1.0, 2)]
    program, lift = step.lower(problem_of([1], modes, n_ranks=2), known=1)
    solution = highs(program)
    assert solution.status is Status.OPTIMAL
    assert lift.bound(solution.bound) == 0


def test_memory_is_lifted_by_time_in_a_narrow_box() -> None:
    problem = problem_of([8, 8, 1, 1, 1])
    wide = step.boxes(problem, 2)
    narrow = wide.copy()
    narrow[1, 0] = 17.6 / problem.tick
    found = []
    for box in (wide, narrow):
        program, _ = step.lower(problem, 2, box=box)
        row = next(block.start for block in program.row_blocks if block.name == "memory") + 1
        matrix = program.matrix
        found.append(matrix.coefficients[matrix.indptr[row] : matrix.indptr[row + 1]].max())
    # degree 2: 14 ms for 8 tokens, 0.875 for 1; the group has time for 17.6 / 0.875 of the latter
    pace = 14 / 0.875 - 8 - (17.6 / 0.875 - 16)
    assert found == pytest.approx([8 / 16, (8 + pace) / 16])


class Search:
    """Knows one objective and collects bounds; no clock."""

    seed, deterministic = 0, True

    def __init__(self, objective: float | None) -> None:
        self.objective = objective
        self.proven: list[float] = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return float("inf")

    def prove(self, bound: float, source: str) -> None:
        self.proven.append(bound)

    def solve(self, program: Program, **limits: object) -> Solution:
        return highs(program)


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


def _makespans(problem: SequenceProblem, plan: SequencePlan) -> np.ndarray:
    """float64[q]: ticks of every micro-batch, falling."""
    mode = plan.mode[plan.group]
    load = problem.fixed_ticks[plan.mode].copy()
    np.add.at(load, plan.group, problem.ticks[mode, np.arange(problem.n_sequences)])
    longest = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, plan.micro_batch, load)
    return np.sort(longest)[::-1].astype(np.float64)
