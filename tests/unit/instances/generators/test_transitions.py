import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.instances.generators.transitions import mutual_information, synthesise

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[5] / "shared" / "data")
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
needs_counts = pytest.mark.skipif(not COUNTS.exists(), reason="no recorded counts; set MAPC_DATA")


@st.composite
def loads(draw):
    layers, experts = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    total = draw(st.integers(1, 5000))
    rows = []
    for _ in range(layers):
        cuts = draw(st.lists(st.integers(0, total), min_size=experts - 1, max_size=experts - 1))
        rows.append(np.diff([0, *sorted(cuts), total]))
    return np.array(rows, dtype=np.int64)


@settings(max_examples=60, deadline=None)
@given(loads(), st.floats(0, 1), st.sampled_from(["successors", "communities"]), st.integers(0, 9))
def test_rows_and_columns_are_the_loads(counts, eta, kind, seed):
    experts = counts.shape[1]
    pairs = synthesise(
        counts, eta=eta, kind=kind, successors=min(2, experts), communities=min(2, experts),
        seed=seed,
    )  # fmt: skip
    assert pairs.shape == (len(counts) - 1, experts, experts)
    assert (pairs >= 0).all()
    assert np.array_equal(pairs.sum(axis=2), counts[:-1])
    assert np.array_equal(pairs.sum(axis=1), counts[1:])


def test_communities_that_cannot_hold_their_tokens_leave_no_entry_below_0():
    counts = np.array([[0, 0, 0, 1, 3], [0, 1, 1, 1, 1]])
    pairs = synthesise(counts, eta=1.0, kind="communities", communities=2, seed=2)
    assert (pairs >= 0).all()
    assert pairs.sum(axis=2).tolist() == counts[:1].tolist()
    assert pairs.sum(axis=1).tolist() == counts[1:].tolist()


def test_layers_of_unequal_tokens_are_scaled_to_the_earlier_one():
    pairs = synthesise(np.array([[6, 4], [30, 70]]), successors=1, communities=1)
    assert pairs.sum(axis=2).tolist() == [[6, 4]]
    assert pairs.sum(axis=1).tolist() == [[3, 7]]


def test_tokens_set_the_number_of_pairs():
    pairs = synthesise(np.array([[6, 4], [30, 70]]), successors=1, communities=1, tokens=1000)
    assert pairs.sum(axis=2).tolist() == [[600, 400]]
    assert pairs.sum(axis=1).tolist() == [[300, 700]]


def test_no_affinity_is_no_information_and_more_is_more():
    counts = np.full((3, 16), 2**14)
    bits = [mutual_information(synthesise(counts, eta=eta)).mean() for eta in (0.0, 0.1, 0.5)]
    assert bits[0] < 1e-6
    assert bits[0] < bits[1] < bits[2]


def test_mutual_information_of_a_bijection_is_the_entropy():
    assert mutual_information(np.eye(8, dtype=np.int64)) == pytest.approx(3.0)
    assert mutual_information(np.zeros((2, 3, 3), dtype=np.int64)).tolist() == [0.0, 0.0]


def test_seeds_decide():
    counts = np.full((2, 12), 1000)
    assert np.array_equal(synthesise(counts, seed=3), synthesise(counts, seed=3))
    assert not np.array_equal(synthesise(counts, seed=3), synthesise(counts, seed=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eta": 1.5}, "eta 1.5: expected 0 to 1"),
        ({"eta": float("nan")}, "eta nan: expected 0 to 1"),
        ({"kind": "random"}, "kind 'random': expected successors or communities"),
        ({"successors": 0}, "successors 0: expected 1 to 4"),
        ({"kind": "communities", "communities": 5}, "communities 5: expected 1 to 4"),
        ({"successors": 4, "tokens": 0}, "tokens 0: expected 1 to 2**53 - 1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(UsageError) as caught:
        synthesise(np.ones((2, 4), dtype=np.int64), **arguments)
    assert str(caught.value) == message


def test_layers_without_tokens_are_refused():
    with pytest.raises(UsageError, match="tokens in every layer"):
        synthesise(np.array([[1, 2], [0, 0]]), successors=1, communities=1)


@needs_counts
@pytest.mark.parametrize(
    ("kind", "eta", "bits"),
    [("successors", 0.1, 0.165), ("communities", 0.17, 0.195)],
)
def test_real_loads_get_the_information_that_is_documented(kind, eta, bits):
    counts = np.load(COUNTS)["prefill_in4096"][:20]
    pairs = synthesise(counts, eta=eta, kind=kind)
    assert mutual_information(pairs).mean() == pytest.approx(bits, abs=0.01)
