"""The view that all exporters of steps share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import brute_force, problem_of, small_sequence_problems

from mapc.deploy.steps import (
    check_divides,
    cost_hash,
    every_range,
    lines_of,
    micro_batches,
    ranges_of,
    sample_names,
)
from mapc.errors import InstanceError, UsageError
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.verify import verify


@settings(max_examples=50, deadline=None)
@given(small_sequence_problems(max_sequences=4))
def test_the_view_says_what_the_plan_says(problem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    batches = micro_batches(problem, best.plan)
    facts = verify(problem, best.plan).facts
    assert [batch.ms for batch in batches] == facts["micro_batch_ms"]
    seen = [k for batch in batches for group in batch.groups for k in group.members.tolist()]
    assert sorted(seen) == list(range(problem.n_sequences))
    for batch in batches:
        busy = [rank for group in batch.groups for rank in group.ranks]
        assert sorted([*busy, *batch.idle_ranks]) == list(range(problem.n_ranks))
        for rank in range(problem.n_ranks):
            group = batch.of_rank(rank)
            assert (group is None) == (rank in batch.idle_ranks)
            assert group is None or rank in group.ranks
        for group in batch.groups:
            assert np.array_equal(group.lengths, problem.lengths[group.members])
            assert np.array_equal(np.diff(group.cu_seqlens), group.padded)
            assert group.tokens == group.padded.sum() <= group.max_tokens
            assert group.first_rank % group.degree == 0
    assert set(ranges_of(batches)) <= set(every_range(problem))


@given(st.integers(1, 40), st.sets(st.integers(0, 4), min_size=1))
def test_there_are_few_ranges(n_ranks: int, exponents) -> None:
    degrees = sorted(2**e for e in exponents if 2**e <= n_ranks) or [1]
    modes = [(d, "ring", 0.0, 1.0, 1.0, 8) for d in degrees]
    found = every_range(problem_of([1], modes, n_ranks=n_ranks))
    assert len(found) == len(set(found)) == sum(n_ranks // d for d in degrees) < 2 * n_ranks
    assert all(first % d == 0 and first + d <= n_ranks for first, d in found)


def plan_of(micro_batch, mode, first_rank, group) -> SequencePlan:
    columns = (
        np.array(column, dtype=np.int64) for column in (micro_batch, mode, first_rank, group)
    )
    return SequencePlan(*columns)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (plan_of([0], [0], [0], [0]), "groups of 1 sequences; expected 2"),
        (plan_of([0], [3], [0], [0, 0]), r"mode 3; expected 0 to 2"),
        (plan_of([0], [0], [0], [0, 1]), r"plan, group\[1\]: group 1; expected 0 to 0"),
        (plan_of([0], [0], [0], [-1, 0]), r"plan, group\[0\]: group -1"),
    ],
)
def test_plans_of_other_problems_are_refused(plan, message: str) -> None:
    with pytest.raises(InstanceError, match=message):
        micro_batches(problem_of([2, 3]), plan)


def test_lengths_that_do_not_split_evenly_are_refused() -> None:
    problem = problem_of([6, 7])
    batches = micro_batches(problem, plan_of([0], [1], [2], [0, 0]))
    check_divides(batches, lambda group: 1)
    message = (
        "sequence 1: 7 padded tokens on the 2 ranks of its group in micro-batch 0; expected a "
        "multiple of 2: plan with a padding of 2"
    )
    with pytest.raises(UsageError, match=message):
        check_divides(batches, lambda group: group.degree)


def test_sample_ids_are_one_for_each() -> None:
    problem = problem_of([2, 3])
    assert sample_names(problem, None) == [0, 1]
    assert sample_names(problem, np.array([7, 5])) == [7, 5]
    with pytest.raises(UsageError, match="3 sample ids; expected 2"):
        sample_names(problem, [1, 2, 3])
    with pytest.raises(UsageError, match="sample id 4: stands 2 times; expected every id once"):
        sample_names(problem, [4, 4])
    with pytest.raises(UsageError, match=r"sample ids: 'float' .*; expected whole numbers"):
        sample_names(problem, [4.5, 4])


def test_the_hash_is_of_costs() -> None:
    one, same, other = problem_of([2, 3]), problem_of([5]), problem_of([2, 3], n_ranks=8)
    dear = problem_of([2], [(1, "ring", 0.5, 1.0, 4.0, 8)])
    assert cost_hash(one) == cost_hash(same) == cost_hash(other) != cost_hash(dear)


def test_json_has_a_line_for_every_mapping_of_a_list() -> None:
    document = {"a": 1, "rows": [{"x": [1, 2]}, {"x": []}], "none": [], "flat": [1, 2]}
    text = lines_of(document)
    assert json.loads(text) == document
    assert [line.strip() for line in text.splitlines()] == [
        "{", '"a": 1,', '"rows": [', '{"x": [1, 2]},', '{"x": []}', "],", '"none": [],',
        '"flat": [1, 2]', "}",
    ]  # fmt: skip
