"""The step program: the makespans of plans are points of it, in every box that has them."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.step_program import (
    PAD,
    SHAVED,
    StepPrograms,
    boxes,
    lower,
    narrowed,
    pools_of,
)
from mapc.models.sequence.classes import pooled_classes
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import RING, ULYSSES, SequenceProblem
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status
from oracles.sequence_cases import Mode, brute_force, problem_of, small_sequence_problems


def highs(program: Program) -> Solution:
    return registry.solve(program, "highs")


@settings(max_examples=40, deadline=None)
@given(
    problem=small_sequence_problems(max_sequences=5),
    ratio=st.sampled_from((1.0, 2.0, 8.0)),
    share=st.floats(0, 1),
)
def test_the_best_plan_is_a_point_of_the_program(
    problem: SequenceProblem, ratio: float, share: float
) -> None:
    best = brute_force(problem)
    if best is None:
        return
    q = int(best.plan.micro_batch.max()) + 1
    makespan = makespans(problem, best.plan) - area.least_fixed(problem)
    known = best.ticks + 1
    root = boxes(problem, q, known)
    assert (root[0] <= makespan).all()
    assert (makespan <= root[1]).all()
    narrow = np.stack([root[0] + (makespan - root[0]) * share, makespan])
    for programs in (
        StepPrograms(problem, pools_of(problem)),
        StepPrograms(problem, pooled_classes(problem, 1 << 40, ratio)),
    ):
        for box in (root, narrow):
            for integer in (True, False):
                program, lift = programs.program(box, known, integer=integer)
                solution = highs(program)
                # not always optimal: costs are no whole numbers, and HiGHS may stop 1e-6 away
                assert solution.values is not None
                assert solution.bound is not None
                assert lift.bound(solution.bound) <= best.ticks


@settings(max_examples=60, deadline=None)
@given(
    makespan=st.lists(st.integers(0, 1 << 50), min_size=1, max_size=4),
    below=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    above=st.lists(st.floats(0, 2), min_size=4, max_size=4),
)
def test_narrowing_loses_no_point(
    makespan: list[int], below: list[float], above: list[float]
) -> None:
    point = np.sort(np.array(makespan, dtype=np.float64))[::-1]
    q, total = len(point), float(sum(makespan))
    box = np.stack([point * (1 - np.array(below[:q])), point * (1 + np.array(above[:q]))])
    low, high = narrowed(box, total, total)
    assert (low <= point).all()
    assert (point <= high).all()
    assert (box[0] <= low).all()
    assert (high <= box[1]).all()


def test_narrowing_takes_what_the_others_need() -> None:
    low, high = narrowed(np.array([[4.0, 1.0], [9.0, 8.0]]), 10.0, 9.0)
    assert low.tolist() == pytest.approx([4.0, 1.0])
    assert high.tolist() == pytest.approx([9.0, 6.0])
    low, high = narrowed(np.array([[4.0, 1.0], [5.0, 8.0]]), 10.0, 9.0)
    assert low.tolist() == pytest.approx([4.0, 4.0])
    assert high.tolist() == pytest.approx([5.0, 5.0])


def test_a_box_without_steps_below_the_known_one_is_empty() -> None:
    low, high = boxes(problem_of([8, 8, 3]), 3, known=1)
    assert (low > high).any()


def test_the_longest_lengths_stand_alone() -> None:
    cost = [(1, ULYSSES, 0.0, 1.0, 0.0, 10_000)]
    pools = pools_of(problem_of(list(range(1000, 1100)), cost))
    assert pools.length.tolist() == [1000, *range(1076, 1100)]
    assert pools.size.tolist() == [76] + [1] * 24
    # the longest of a pool is at most a tenth longer than its shortest
    pools = pools_of(problem_of([*range(100, 200), *range(1000, 1024)], cost))
    assert pools.length.tolist()[:8] == [100, 111, 123, 136, 150, 166, 183, 1000]


def test_a_relaxation_has_no_plan() -> None:
    program, lift = lower(problem_of([3, 5]))
    with pytest.raises(UsageError, match="relaxation"):
        lift(highs(program))


def test_makespans_of_nothing_are_no_trouble_to_solvers() -> None:
    modes = [(1, ULYSSES, 0.0, 0.0, 0.0, 1), (2, ULYSSES, 0.0, 0.0, 1.0, 2)]
    program, lift = lower(problem_of([1], modes, n_ranks=2), known=1)
    solution = highs(program)
    assert solution.status is Status.OPTIMAL
    assert solution.bound is not None
    assert lift.bound(solution.bound) == 0


def test_memory_is_lifted_by_time_in_a_narrow_box() -> None:
    problem = problem_of([8, 8, 1, 1, 1])
    wide = boxes(problem, 2)
    narrow = wide.copy()
    narrow[1, 0] = 17.6 / problem.tick
    found = []
    for box in (wide, narrow):
        program, lift = lower(problem, 2, box=box)
        row = next(block.start for block in program.row_blocks if block.name == "memory") + 1
        matrix = program.matrix
        found.append(matrix.coefficients[matrix.indptr[row] : matrix.indptr[row + 1]].max())
    # degree 2: 14 ms for 8 tokens, 0.875 for 1; the group has time for 17.6 / 0.875 of the latter
    rate = 0.875
    room_by_time = (17.6 + PAD * lift.unit * problem.tick) / rate - 16
    low = 1.0 - SHAVED
    assert found == pytest.approx([8 * low / 16, (14 * low / rate - room_by_time) / 16], rel=1e-9)


def makespans(problem: SequenceProblem, plan: SequencePlan) -> np.ndarray:
    """float64[q]: ticks of every micro-batch, falling."""
    mode = plan.mode[plan.group]
    load = problem.fixed_ticks[plan.mode].copy()
    np.add.at(load, plan.group, problem.ticks[mode, np.arange(problem.n_sequences)])
    longest = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, plan.micro_batch, load)
    return np.sort(longest)[::-1].astype(np.float64)


RINGS = (
    (1, RING, 1e-6, 1.0, 0.0038147, 500_000),
    (2, ULYSSES, 4.76837158e-13, 0.125, 2.38418579, 500_000),
)
NARROW = (
    (1, RING, 0.01237166, 1.0, 135.05026, 6),
    (2, ULYSSES, 0.025, 1.1920929e-07, 7.4505806e-11, 40),
    (2, RING, 0.0, 0.5, 1.22070313e-06, 20),
    (4, ULYSSES, 0.0125, 0.0, 9.81153442e-03, 20_000),
    (4, RING, 0.0125, 0.25, 0.0, 100),
)
UNEVEN = ((8, ULYSSES, 0.05, 0.0, 0.0, 20), (8, RING, 0.0, 3.7252903e-09, 0.0, 6))


@pytest.mark.parametrize(
    ("lengths", "modes", "n_ranks", "below", "above"),
    [
        # shaved by 1e-6, the tolerance on whole numbers, HiGHS 1.13.1 rounds memory rows wrongly
        ([250_000, 165_906, 500_000], RINGS, 3, [0.0885, 0.0636], [0.2132, 0.2463]),
        # makespans 10**8 times as long as others: so did it where those had whole groups
        ([3, 6, 7], UNEVEN, 12, [0.0067, 0.0067, 0.0067], [0.0026, 0.0026, 0.0026]),
        # and where a box was narrower than its tolerance
        ([35, 10_000], NARROW, 5, [1e-5, 1e-5], [1e-5, 1e-5]),
    ],
)
@pytest.mark.parametrize("integer", [True, False])
def test_no_plan_is_lost_to_the_tolerances_of_a_solver(
    lengths: list[int],
    modes: Sequence[Mode],
    n_ranks: int,
    below: list[float],
    above: list[float],
    integer: bool,
) -> None:
    problem = problem_of(lengths, modes, n_ranks=n_ranks, least=len(below))
    best = brute_force(problem)
    assert best is not None
    makespan = makespans(problem, best.plan) - area.least_fixed(problem)
    box = np.stack([makespan * (1 - np.array(below)), makespan * (1 + np.array(above))])
    for known in (best.ticks + 1, 2 * best.ticks):
        program, lift = lower(problem, len(below), box=box, known=known, integer=integer)
        solution = highs(program)
        assert solution.status is Status.OPTIMAL
        assert solution.bound is not None
        assert lift.bound(solution.bound) <= best.ticks


def test_rounding_of_long_boxes_does_not_narrow() -> None:
    # the sum of the most is 2**52 and more, where floats have no halves
    box = np.array([[0.0, 0.0], [2.0**52 + 1, 2.0**52 + 1]])
    low, high = narrowed(box, 2.0**54, 2.0**52 + 2)
    assert (low <= 1.0).all()
    assert (high == box[1]).all()
