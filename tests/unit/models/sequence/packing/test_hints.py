"""Hints: shares of a step, kept from one step to the next."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import problem_of, small_sequence_problems

from mapc.errors import InfeasibleError
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.packing.hints import Hint, area_step, hint_of
from mapc.models.sequence.published.baselines import best_homogeneous


@settings(max_examples=40, deadline=None)
@given(small_sequence_problems())
def test_targets_of_a_plan_are_its_makespans(problem) -> None:
    plan = best_homogeneous(problem)
    if plan is None:
        return
    hint = hint_of(problem, plan)
    assert len(hint.target) == plan.micro_batch.max() + 1
    assert (np.diff(hint.target) <= 0).all()
    assert (hint.target >= 1.0).all()
    assert hint.target.sum() == max(step_ticks(problem, plan), hint.target.sum())
    if (hint.target > 1.0).all():
        assert hint.target.sum() == step_ticks(problem, plan)


def test_scaling_to_the_same_problem_changes_nothing() -> None:
    problem = problem_of([8, 7, 5, 5, 4, 3, 2, 2] * 3)
    hint = hint_of(problem, best_homogeneous(problem))
    again = hint.scaled(problem)
    assert again.target == pytest.approx(hint.target, rel=1e-9)


@given(st.integers(2, 6))
def test_steps_grow_with_the_work(times: int) -> None:
    problem = problem_of([8, 7, 5, 5, 4, 3, 2, 2] * 3)
    more = dataclasses.replace(problem, lengths=np.tile(problem.lengths, times))
    hint = hint_of(problem, best_homogeneous(problem)).scaled(more)
    assert hint.target.sum() == pytest.approx(hint.slack * area_step(more, len(hint.target)))


def test_memory_may_ask_for_more_micro_batches() -> None:
    problem = problem_of([8] * 32)  # eight of 32 tokens
    hint = Hint(np.array([3.0, 1.0])).scaled(problem)
    assert len(hint.target) == 8
    assert hint.target[0] == pytest.approx(3 * hint.target[1])
    assert hint.target[2:] == pytest.approx(np.full(6, hint.target[:2].mean()))


def test_fewer_may_be_allowed() -> None:
    hint = Hint(np.array([1.0, 4.0, 3.0])).scaled(problem_of([4] * 4, most=2))
    assert hint.target[0] / hint.target[1] == pytest.approx(4 / 3)
    assert len(hint.target) == 2


def test_no_plan_no_hint() -> None:
    with pytest.raises(InfeasibleError):
        Hint(np.ones(1)).scaled(problem_of([8] * 9, most=2))
