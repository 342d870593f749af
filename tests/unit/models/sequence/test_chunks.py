"""Consecutive cuts against every cut there is."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import brute_force, problem_of, small_sequence_problems

from mapc.models.sequence.chunks import consecutive, fewest, limit


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.data())
def test_the_largest_part_is_as_small_as_any_cut_makes_it(tokens, data) -> None:
    count = data.draw(st.integers(1, len(tokens)))
    cut = consecutive(np.array(tokens), count).tolist()
    assert (cut[0], cut[-1], len(cut)) == (0, len(tokens), count + 1)
    assert all(a < b for a, b in itertools.pairwise(cut))

    def largest(ends) -> int:
        return max(sum(tokens[a:b]) for a, b in itertools.pairwise(ends))

    inner = itertools.combinations(range(1, len(tokens)), count - 1)
    assert largest(cut) == min(largest((0, *ends, len(tokens))) for ends in inner)


def test_tokens_ask_for_micro_batches() -> None:
    assert fewest(problem_of([8] * 4)) == 1  # 32 tokens on 4 ranks of 8
    assert fewest(problem_of([8] * 5)) == 2
    assert fewest(problem_of([1], least=1)) == 1
    assert fewest(problem_of([1, 1, 1], least=3)) == 3
    assert limit(problem_of([1, 1, 1])) == 3
    assert limit(problem_of([1, 1, 1], most=2)) == 2


@settings(max_examples=30, deadline=None)
@given(small_sequence_problems(max_sequences=4))
def test_no_plan_has_fewer_micro_batches(problem) -> None:
    best = brute_force(problem)
    if best is not None:
        assert fewest(problem) <= best.plan.micro_batch.max() + 1 <= limit(problem)
