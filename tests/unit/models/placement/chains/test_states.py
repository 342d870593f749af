"""Balanced states of a layer, and which of them differ by names of ranks only."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.chains.states import (
    classify,
    count_states,
    enumerate_states,
    permitted,
    states_of,
    symmetries,
)
from oracles.placement_states import small_problems


@pytest.mark.parametrize(("experts", "ranks", "n"), [(8, 4, 2520), (8, 2, 70), (16, 2, 12870)])
def test_states_are_counted_and_listed(experts: int, ranks: int, n: int) -> None:
    rank = enumerate_states(np.ones((experts, ranks), dtype=bool), experts // ranks, n)
    assert rank is not None
    assert len(rank) == n == count_states(experts, experts // ranks)
    assert (np.apply_along_axis(np.bincount, 1, rank) == experts // ranks).all()
    assert len(np.unique(rank, axis=0)) == n


def test_too_many_states_are_not_listed() -> None:
    assert enumerate_states(np.ones((8, 4), dtype=bool), 2, 2519) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), density=st.sampled_from([0.5, 0.8, 1.0]))
def test_states_are_those_that_rules_allow(seed: int, density: float) -> None:
    allowed = np.random.default_rng(seed).random((6, 3)) < density
    found = enumerate_states(allowed, 2, 10_000)
    expected = {
        order
        for order in set(permutations((0, 0, 1, 1, 2, 2)))
        if all(allowed[e, g] for e, g in enumerate(order))
    }
    assert found is not None
    assert [tuple(row) for row in found.tolist()] == sorted(expected)


@pytest.mark.parametrize(
    ("moves", "classes"),
    [
        ([[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]], 105),
        ([[1, 0, 2, 3], [0, 1, 3, 2], [2, 3, 0, 1]], 315),
        ([[1, 0, 2, 3]], 1260),
    ],
)
def test_classes_divide_states_by_their_relabellings(moves: list[list[int]], classes: int) -> None:
    rank = enumerate_states(np.ones((8, 4), dtype=bool), 2, 2520)
    assert rank is not None
    states = classify(rank, np.array(moves))
    assert len(states.first) == classes
    origin = rank[states.first[states.member]]
    assert np.array_equal(np.take_along_axis(states.relabel, origin.astype(int), axis=1), rank)


def test_without_relabellings_every_state_is_its_own_class() -> None:
    rank = enumerate_states(np.ones((4, 2), dtype=bool), 2, 6)
    assert rank is not None
    states = classify(rank, np.zeros((0, 2), dtype=np.int64))
    assert states.first.tolist() == states.member.tolist() == list(range(6))
    assert (states.relabel == [0, 1]).all()


@settings(max_examples=60, deadline=None)
@given(problem=small_problems())
def test_tables_numbers_and_relabellings_fit_the_problem(problem) -> None:
    states = states_of(problem, 1000)
    allowed = permitted(problem)
    if states is None:
        return
    moves = symmetries(problem, allowed)
    live = problem.live
    pair = problem.pair_ticks[:, live][:, :, live]
    for move in moves:
        assert np.array_equal(pair[:, move][:, :, move], pair)
        assert np.array_equal(problem.token_ticks[:, live][:, move], problem.token_ticks[:, live])
    for layer, found in enumerate(states):
        n = np.arange(len(found))
        assert np.array_equal(found.index(found.rank), n)
        assert allowed[layer][np.arange(problem.n_experts), found.rank].all()
        sits = np.take_along_axis(found.rank, found.table.reshape(len(found), -1), axis=1)
        expected = np.repeat(np.arange(len(live)), problem.slots)
        assert (sits == expected).all()
        assert np.array_equal(
            found.columns.reshape(len(found), problem.n_experts, -1), found.one_hot()[:, :, :-1]
        )
