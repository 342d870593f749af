"""Bounds given the micro-batches: below every plan that has them, and how sharp."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.given import given_micro_batches
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from oracles.sequence_cases import best_micro_batch, every_plan, problem_of, small_sequence_problems


@settings(max_examples=40, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4, max_ranks=4))
def test_no_grouping_of_the_micro_batches_is_faster(problem: SequenceProblem) -> None:
    for plan in itertools.islice(every_plan(problem), 40):
        bound = given_micro_batches(problem, plan)
        batch = plan.micro_batch[plan.group]
        parts = [np.flatnonzero(batch == m).tolist() for m in range(int(batch.max()) + 1)]
        best = [best_micro_batch(problem, part) for part in parts]
        assert all(one is not None for one in best)
        assert bound <= sum(one[0] for one in best if one is not None) <= step_ticks(problem, plan)
        assert given_micro_batches(problem, plan, done=lambda: True) <= bound


def test_it_may_exceed_the_bound_on_the_step() -> None:
    # 18 ms of work on both ranks and 1 ms a micro-batch: two are enough, four are given
    modes = [(1, ULYSSES, 0.0, 1.0, 1.0, 2), (2, ULYSSES, 0.0, 0.5, 1.0, 18)]
    problem = problem_of([16, 16, 2, 2], modes, n_ranks=2)
    mode = np.array([1, 1, 0, 1])  # the third is on one rank: 3 ms instead of 2
    plan = assemble(problem, np.arange(4), mode, np.arange(4))
    assert step_ticks(problem, plan) * problem.tick == 23.0
    assert given_micro_batches(problem, plan) * problem.tick == pytest.approx(22.0, rel=1e-3)
    assert area.step_bound(problem) * problem.tick == 20.0
