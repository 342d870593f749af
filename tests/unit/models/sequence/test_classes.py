"""Classes of like sequences and buckets."""

import itertools
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.sequence.classes import Rounding, buckets_of, classes_of, pooled_classes
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from oracles.sequence_cases import problem_of, small_sequence_problems

WIDE = [(1, ULYSSES, 0.5, 1.0, 4.0, 1000)]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9), n_buckets=st.integers(1, 9))
def test_buckets_add_as_few_tokens_as_any_cut(lengths: list[int], n_buckets: int) -> None:
    classes = buckets_of(problem_of(lengths, WIDE), n_buckets=n_buckets)
    unique = sorted(set(lengths))
    tops = itertools.combinations(unique[:-1], min(n_buckets, len(unique)) - 1)
    best = min(sum(min(t for t in (*top, unique[-1]) if t >= s) for s in lengths) for top in tops)
    assert classes.tokens == best
    assert len(classes.length) <= n_buckets


@settings(max_examples=30, deadline=None)
@given(problem=small_sequence_problems())
def test_classes_hold_every_sequence_once(problem: SequenceProblem) -> None:
    for classes in (classes_of(problem), buckets_of(problem), buckets_of(problem, n_buckets=2)):
        assert sorted(classes.members.tolist()) == list(range(problem.n_sequences))
        assert (np.diff(classes.length) > 0).all()
        counts_as = np.repeat(classes.length, classes.count)
        assert (problem.padded[classes.members] <= counts_as).all()
        assert (np.repeat(classes.ticks, classes.count, axis=1) >= 0).all()
        alike = np.repeat(classes.fits, classes.count, axis=1)
        assert (alike <= problem.fits[:, classes.members]).all()
    exact = classes_of(problem)
    assert np.array_equal(
        np.repeat(exact.ticks, exact.count, axis=1), problem.ticks[:, exact.members]
    )


def test_members_of_a_micro_batch_alone() -> None:
    classes = classes_of(problem_of([5, 3, 5, 9, 3], WIDE), np.array([4, 0, 2]))
    assert classes.length.tolist() == [3, 5]
    assert classes.count.tolist() == [1, 2]
    assert classes.members.tolist() == [4, 0, 2]


def test_more_than_sixteen_buckets_where_rounding_asks_for_too_much_memory() -> None:
    lengths = (2 ** np.arange(20)).tolist()
    tokens = sum(lengths)
    roomy = problem_of(lengths, [(1, ULYSSES, 0.0, 1.0, 0.0, tokens)], n_ranks=4)
    tight = problem_of(lengths, [(1, ULYSSES, 0.0, 1.0, 0.0, 2**19)], n_ranks=2)
    # 16 buckets of 20 lengths: 1, 2, 4 count as 8 and 16 as 32
    assert buckets_of(roomy).tokens == tokens + 7 + 6 + 4 + 16
    # room for 2**20 against 2**20 - 1 tokens: half a token more is too much already
    assert len(buckets_of(tight).length) == 20


def test_more_buckets_never_add_tokens() -> None:
    rng = np.random.default_rng(0)
    length, count = np.unique(rng.integers(1, 500, 80), return_counts=True)
    rounding, seen = Rounding(length, count), []
    for _ in range(len(length) + 2):
        seen.append(rounding.tokens)
        ends = rounding.ends()
        top = length[ends[np.searchsorted(ends, np.arange(len(length)))]]
        assert int(top @ count) == rounding.tokens
        rounding.grow()
    assert (np.diff(seen) <= 0).all()
    assert seen[-1] == int(length @ count)


@settings(max_examples=50, deadline=None)
@given(
    problem=small_sequence_problems(max_sequences=8),
    keep=st.integers(-1, 40),
    ratio=st.floats(1.0, 4.0),
)
def test_pools_keep_tokens_and_take_no_more_time(
    problem: SequenceProblem, keep: int, ratio: float
) -> None:
    pools = pooled_classes(problem, keep, ratio)
    assert sorted(pools.members.tolist()) == list(range(problem.n_sequences))
    assert (np.diff(pools.length) > 0).all()
    for at, members in enumerate(np.split(pools.members, pools.start[1:-1])):
        lengths, s = problem.padded[members], int(pools.length[at])
        assert s == lengths.min()
        assert lengths.max() <= max(ratio * s, s)
        assert lengths.max() <= keep or lengths.max() == s
        assert pools.count[at] == lengths.sum() / s
        assert (problem.fits[:, members] <= pools.fits[:, [at]]).all()
        for j in range(problem.n_modes):
            for k in members.tolist():
                share = Fraction(int(problem.padded[k]), s)
                assert share * int(pools.ticks[j, at]) <= int(problem.ticks[j, k])


def test_pools_of_steady_times_per_token_are_as_their_shortest() -> None:
    problem = problem_of([10, 11, 12, 13, 40, 41, 41], WIDE)
    pools = pooled_classes(problem, 30, 1.2)
    assert pools.length.tolist() == [10, 13, 40, 41]
    assert pools.count.tolist() == [3.3, 1.0, 1.0, 2.0]
    assert pools.size.tolist() == [3, 1, 1, 2]
    assert pools.ticks.tolist() == problem.ticks[:, [0, 3, 4, 5]].tolist()


def test_nothing_to_pool_gives_the_classes_themselves() -> None:
    problem = problem_of([5, 3, 5, 9, 3], WIDE)
    exact = classes_of(problem)
    for pools in (pooled_classes(problem, -1, 9.0), pooled_classes(problem, 9, 1.0)):
        assert pools.length.tolist() == exact.length.tolist()
        assert pools.count.tolist() == exact.count.tolist()
        assert np.array_equal(pools.ticks, exact.ticks)
