"""Bounds on the step: below every plan, and what they are on cases worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import InfeasibleError
from mapc.models.sequence.bounds import area
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.verify import verify
from oracles.sequence_cases import brute_force, every_plan, problem_of, small_sequence_problems


@settings(max_examples=60, deadline=None)
@given(problem=small_sequence_problems())
def test_bounds_lie_below_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    assert area.step_bound(problem) <= best.ticks
    assert area.most_micro_batches(problem, best.ticks + 1) >= len(set(best.plan.micro_batch))


@settings(max_examples=40, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4, max_ranks=4))
def test_bounds_of_each_number_of_micro_batches_lie_below_its_plans(
    problem: SequenceProblem,
) -> None:
    most = problem.n_sequences
    bound = area.step_bounds(problem, 1, most)
    assert (np.diff(bound) >= 0).all()
    room = area.micro_batch_tokens(problem)
    for plan in itertools.islice(every_plan(problem), 2000):
        q = int(plan.micro_batch.max()) + 1
        assert verify(problem, plan).objective >= bound[q - 1] * problem.tick
        assert problem.padded.sum() <= q * room
        assert q >= area.least_micro_batches(problem)


def test_equal_sequences_on_single_ranks_meet_the_area_bound() -> None:
    problem = problem_of([4, 4, 4, 4], [(1, ULYSSES, 0.0, 1.0, 3.0, 4)], n_ranks=2)
    # two ranks of 4 tokens each: two micro-batches of 3 + 4 ms
    assert area.least_micro_batches(problem) == 2
    assert area.step_bound(problem) * problem.tick == 14.0
    best = brute_force(problem)
    assert best is not None
    assert best.step_ms == 14.0


def test_the_longest_sequence_and_the_shortest_of_other_micro_batches() -> None:
    problem = problem_of([1, 2, 8], [(1, ULYSSES, 1.0, 0.0, 0.0, 8)], n_ranks=8)
    step = area.step_bounds(problem, 1, 3) * problem.tick
    assert step.tolist() == [64.0, 65.0, 69.0]


def test_a_fixed_part_is_charged_by_share_of_memory() -> None:
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 2), (2, ULYSSES, 0.0, 0.5, 8.0, 8)]
    problem = problem_of([4, 4, 1], modes, n_ranks=2)
    # the long ones need degree 2 and half its room each: 2 ranks x (8 / 2 + 2 ms), and 1 ms
    exact = (2 * 12.0 + 1.0) / problem.tick
    assert exact - 4 <= area.area_ticks(problem) <= exact
    assert area.step_bound(problem) * problem.tick == pytest.approx(12.5, rel=1e-12)


def test_ranks_that_no_group_can_use_do_not_count() -> None:
    problem = problem_of([4, 4], [(2, ULYSSES, 0.0, 1.0, 0.0, 8)], n_ranks=3, node_ranks=3)
    assert area.usable_ranks(problem) == 2
    assert area.step_bound(problem) * problem.tick == 8.0


def test_room_is_counted_over_all_choices_of_groups() -> None:
    modes = [
        (1, ULYSSES, 0.0, 1.0, 0.0, 5),
        (2, ULYSSES, 0.0, 1.0, 0.0, 9),
        (4, ULYSSES, 0.0, 1.0, 0.0, 24),
    ]
    rooms = [
        area.micro_batch_tokens(problem_of([1], modes, n_ranks=n)) for n in (4, 5, 6, 7, 8, 11)
    ]
    assert rooms == [24, 29, 34, 39, 48, 63]


def test_too_few_micro_batches_for_the_memory_are_refused() -> None:
    problem = problem_of([4, 4, 4], [(1, ULYSSES, 0.0, 1.0, 0.0, 4)], n_ranks=2, most=1)
    with pytest.raises(InfeasibleError, match="need 2 micro-batches of at most 8"):
        area.step_bound(problem)


def test_products_beyond_64_bits_are_exact() -> None:
    modes = [(4096, ULYSSES, 0.0, 2.0**-20, 0.0, 1 << 40)]
    wide = problem_of([(1 << 40) - 1, 1], modes, n_ranks=4096)
    ticks = int(wide.ticks.sum())
    assert int(wide.ticks.max()) * 4096 >= area.WIDEST // 2
    assert area.area_ticks(wide) == 4096 * ticks


def test_shares_of_fixed_parts_beyond_64_bits_are_exact() -> None:
    wide = 1 << 15
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 8), (wide, ULYSSES, 0.0, 0.0, 8.0, 8)]
    problem = problem_of([8], modes, n_ranks=wide)
    assert int(problem.fixed_ticks[1]) * wide > 2**63
    assert area.area_ticks(problem) == problem.ticks[0, 0]
    # of a mode that a sequence does not fit, its share is of no interest and may be anything
    modes = [(1, ULYSSES, 0.0, 2.0**-20, 1.0, 1), (2, ULYSSES, 0.0, 2.0**-20, 0.0, 1 << 40)]
    problem = problem_of([1 << 40, 1], modes)
    assert area.area_ticks(problem) == 2 * problem.ticks[1, 0] + min(
        int(problem.fixed_ticks[0] + problem.ticks[0, 1]), 2 * int(problem.ticks[1, 1])
    )
