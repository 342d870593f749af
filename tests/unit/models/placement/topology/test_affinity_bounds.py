"""Bounds on tokens that stay, against shares and copies drawn at random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.topology.affinity_bounds import (
    Places,
    density,
    load_overlap,
    mass_cap,
    replicated_density,
    replicated_mass_cap,
    spectral,
    stay_bounds,
)

EXPERTS = st.integers(4, 8)
SEEDS = st.integers(0, 10**6)


def draw_pairs(rng, experts):
    pairs = rng.random((experts, experts)) ** rng.integers(1, 8)
    pairs *= rng.random(pairs.shape) < rng.choice([0.3, 1.0])
    pairs[0, 0] += 0.01
    return pairs * 100


def shares(rng, experts, places, single):
    """Parts of every expert on places; whole for single copies."""
    if single:
        return np.eye(places)[rng.integers(0, places, experts)]
    return rng.dirichlet(np.full(places, 0.3), experts)


@settings(max_examples=60, deadline=None)
@given(SEEDS, EXPERTS, st.integers(2, 4), st.booleans())
def test_no_shares_let_more_tokens_stay(seed, experts, n, single):
    rng = np.random.default_rng(seed)
    pairs = draw_pairs(rng, experts)
    mass, after = pairs.sum(axis=1) / pairs.sum(), pairs.sum(axis=0) / pairs.sum()
    places = Places(rng.dirichlet(np.full(n, 5.0)))
    here, there = shares(rng, experts, n, single), shares(rng, experts, n, single)
    stay = float(np.einsum("ef,en,fn->", pairs, here, there))
    x = max((mass @ here / places.capacity).max(), (after @ there / places.capacity).max())
    excess = np.array([x, 2 * x])
    overlap = load_overlap(places.capacity, excess)
    assert float((mass @ here) @ (after @ there)) <= overlap[0, 0] * (1 + 1e-9)
    most = excess * places.capacity.max()
    found = [
        density(pairs, mass, after, overlap)[0, 0],
        mass_cap(pairs, after, most)[0],
        mass_cap(pairs.T, mass, most)[0],
        spectral(pairs, mass, after, places, excess)[0, 0],
        stay_bounds(pairs, mass, after, places, excess)[0, 0],
    ]
    assert min(found) >= stay * (1 - 1e-9)
    both = stay_bounds(pairs, mass, after, places, excess)
    assert (np.diff(both, axis=0) >= -1e-9).all()
    assert (np.diff(both, axis=1) >= -1e-9).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, EXPERTS, st.integers(2, 3), st.integers(1, 6))
def test_no_copies_let_more_tokens_stay(seed, experts, n, spare):
    rng = np.random.default_rng(seed)
    pairs = draw_pairs(rng, experts)
    mass = rng.dirichlet(np.ones(experts))
    weight = pairs.sum(axis=0) / pairs.sum()
    held = np.eye(n, dtype=bool)[rng.integers(0, n, experts)]
    free = np.argwhere(~held)
    for e, place in free[rng.permutation(len(free))][:spare]:
        held[e, place] = True
    here = shares(rng, experts, n, False)
    places = Places(np.full(n, 1 / n), spare)
    excess = np.array([(mass @ here).max() * n])
    stay = float(np.einsum("ef,en,fn->", pairs, here, held))
    assert replicated_density(pairs, mass, weight, places, excess)[0] >= stay * (1 - 1e-9)
    assert replicated_mass_cap(pairs, mass, places, excess)[0] >= stay * (1 - 1e-9)
    assert stay_bounds(pairs, mass, weight, places, excess)[0, 0] >= stay * (1 - 1e-9)


def test_communities_that_fit_their_places_may_stay_altogether():
    pairs = np.kron(np.eye(2), np.full((2, 2), 5.0))
    half = np.full(4, 0.25)
    places = Places(np.full(2, 0.5))
    assert stay_bounds(pairs, half, half, places, np.ones(1))[0, 0] == pytest.approx(40.0)


def test_without_affinity_even_loads_keep_one_in_n():
    pairs, even = np.ones((8, 8)), np.full(8, 0.125)
    places = Places(np.full(4, 0.25))
    assert stay_bounds(pairs, even, even, places, np.ones(1))[0, 0] == pytest.approx(16.0)
    more = stay_bounds(pairs, even, even, Places(places.capacity, 4), np.ones(1))[0, 0]
    assert more == pytest.approx(16.0 * 1.5)  # four copies of weight 1/8


def test_one_layer_may_be_uneven_if_the_other_is_not():
    overlap = load_overlap(np.full(4, 0.25), np.array([1.0, 4.0]))
    assert overlap[0, 0] == pytest.approx(0.25)
    assert overlap[0, 1] == pytest.approx(0.5)
    assert overlap[1, 1] == pytest.approx(1.0)
