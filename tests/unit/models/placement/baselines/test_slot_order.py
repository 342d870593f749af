"""Experts that stay keep their slots; ranks are renamed inside nodes only."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.baselines.slot_order import keep_slots, match_ranks


@st.composite
def tables(draw, distinct: bool):
    """Two tables of the same shape, the old one with empty slots."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    shape = tuple(int(n) for n in rng.integers(1, 4, 3))
    if distinct:
        experts = shape[2] + int(rng.integers(3))
        new = np.argsort(rng.random((*shape[:2], experts)), axis=2)[:, :, : shape[2]]
    else:
        new = rng.integers(0, 3, shape)
        experts = 3
    old = rng.integers(-1, experts, shape)
    return old, new


@settings(max_examples=60, deadline=None)
@given(given_=st.booleans().flatmap(lambda distinct: tables(distinct)))
def test_as_few_slots_change_as_can(given_) -> None:
    old, new = given_
    kept = keep_slots(old, new)
    assert (np.sort(kept, axis=2) == np.sort(new, axis=2)).all()
    for was, now, wanted in zip(
        old.reshape(-1, old.shape[2]),
        kept.reshape(-1, old.shape[2]),
        new.reshape(-1, old.shape[2]),
        strict=True,
    ):
        least = min((np.array(order) != was).sum() for order in permutations(wanted.tolist()))
        assert (now != was).sum() == least


def test_experts_that_arrive_fill_free_slots_in_their_order() -> None:
    kept = keep_slots(np.array([[[4, 1, -1, 7]]]), np.array([[[9, 8, 7, 1]]]))
    assert kept.tolist() == [[[9, 1, 8, 7]]]


@settings(max_examples=40, deadline=None)
@given(given_=tables(distinct=True), nodes=st.integers(1, 2))
def test_ranks_are_renamed_inside_their_node(given_, nodes: int) -> None:
    old, new = given_
    node = np.sort(np.arange(new.shape[1]) % nodes)
    matched = match_ranks(old, new, node)
    for layer in range(len(new)):
        for n in range(nodes):
            rows, wanted = matched[layer, node == n], new[layer, node == n]
            assert sorted(rows.tolist()) == sorted(wanted.tolist())
    again = match_ranks(new, new, node)
    assert (np.sort(again, axis=2) == np.sort(new, axis=2)).all()


def test_ranks_that_share_most_are_matched() -> None:
    old = np.array([[[0, 1], [2, 3], [4, 5]]])
    new = np.array([[[4, 5], [0, 2], [3, 1]]])
    assert match_ranks(old, new, np.zeros(3, dtype=np.int64))[0, 2].tolist() == [4, 5]
    apart = match_ranks(old, new, np.array([0, 1, 1]))
    assert apart[0, 0].tolist() == [4, 5]
