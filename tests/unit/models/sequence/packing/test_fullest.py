"""Groups filled by subset sums: full where that is possible, and valid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import problem_of, small_sequence_problems

from mapc.errors import InfeasibleError
from mapc.models.sequence.packing import fullest as module
from mapc.models.sequence.packing.fullest import fullest
from mapc.models.sequence.packing.search import pack
from mapc.models.sequence.verify import verify

FREE = [(2**e, "ulysses", 0.0, 0.0, 0.0, 9 * 2**e) for e in range(3)]
"""Modes that cost nothing and hold 9 tokens a rank."""


def free(lengths: list[int], most: int):
    return problem_of(lengths, FREE, n_ranks=4, node_ranks=2, most=most)


def test_memory_that_is_just_enough_is_filled() -> None:
    lengths = [1, 2, 2, 5, 6, 6, 6, 6, 6, 7, 8, 8, 9]  # twice 36
    plan = fullest(free(lengths, 2))
    assert np.bincount(plan.group, weights=lengths).tolist() == [36, 36]
    assert not verify(free(lengths, 2), plan).violations
    assert not verify(free(lengths, 2), pack(free(lengths, 2), work=1000)).violations


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 36), min_size=1, max_size=9))
def test_two_micro_batches_are_found_whenever_there_are_two(lengths: list[int]) -> None:
    halves = itertools.product((False, True), repeat=len(lengths))
    total = sum(lengths)
    possible = any(
        total - 36 <= sum(itertools.compress(lengths, chosen)) <= 36 for chosen in halves
    )
    try:
        plan = fullest(free(lengths, 2))
    except InfeasibleError:
        plan = None
    assert (plan is not None) == possible
    if plan is not None:
        assert not verify(free(lengths, 2), plan).violations


@settings(max_examples=40, deadline=None)
@given(small_sequence_problems(max_sequences=6))
def test_plans_are_valid(problem) -> None:
    try:
        plan = fullest(problem)
    except InfeasibleError:
        return
    if plan is not None:
        assert not verify(problem, plan).violations


def test_sums_that_are_too_many_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 10)
    assert fullest(free([3, 4, 5], 2)) is None
