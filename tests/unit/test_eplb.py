"""The drop-in answers as EPLB does, and balances at least as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.eplb import EplbPolicy, rebalance_experts
from mapc.models.placement.baselines import eplb
from mapc.models.placement.baselines.layouts import without_duplicates

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[3] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
README = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]


def balancedness(weight, phy2log, gpus: int):
    """Mean load of the ranks of each layer, as part of the busiest one's."""
    weight = np.asarray(weight, dtype=np.float64)
    found = []
    for load, row in zip(weight, phy2log, strict=True):
        count = np.bincount(row, minlength=len(load))
        ranks = (load / np.maximum(count, 1))[row].reshape(gpus, -1).sum(axis=1)
        found.append(ranks.mean() / ranks.max() if ranks.any() else 1.0)
    return np.array(found)


def check_tables(weight, tables, num_replicas: int) -> None:
    phy2log, log2phy, logcnt = tables
    n_layers, n_experts = np.shape(weight)
    assert {table.dtype for table in tables} == {np.dtype(np.int64)}
    assert phy2log.shape == (n_layers, num_replicas)
    assert log2phy.shape == (n_layers, n_experts, num_replicas - n_experts + 1)
    assert logcnt.shape == (n_layers, n_experts)
    assert (logcnt.sum(axis=1) == num_replicas).all()
    assert (logcnt >= 1).all()
    for layer in range(n_layers):
        for expert, own in enumerate(log2phy[layer]):
            assert (own >= 0).sum() == logcnt[layer, expert]
            assert (own[logcnt[layer, expert] :] == -1).all()
            assert (phy2log[layer, own[own >= 0]] == expert).all()


def distinct(phy2log, gpus: int) -> bool:
    ranks = np.sort(np.asarray(phy2log).reshape(len(phy2log), gpus, -1), axis=2)
    return bool((ranks[:, :, 1:] != ranks[:, :, :-1]).all())


def test_the_example_of_the_readme() -> None:
    tables = rebalance_experts(README, 16, 4, 2, 8)
    check_tables(README, tables, 16)
    phy2log = tables[0]
    assert distinct(phy2log, 8)
    theirs = eplb.rebalance(README, 16, 4, 2, 8).phy2log
    assert (balancedness(README, phy2log, 8) >= balancedness(README, theirs, 8)).all()
    for row in phy2log.reshape(2, 2, 8) // 3:  # two whole groups on each node
        assert sorted(len(set(node)) for node in row.tolist()) == [2, 2]
        assert not set(row[0].tolist()) & set(row[1].tolist())


@st.composite
def inputs(draw):
    nodes, per_node = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    groups = nodes * per_node if draw(st.booleans()) else draw(st.integers(1, 4))
    size, gpus = draw(st.integers(1, 3)), nodes * draw(st.integers(1, 3))
    experts = groups * size
    slots = -(-experts // gpus) * gpus + gpus * draw(st.integers(0, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    weight = rng.pareto(1.0, (draw(st.integers(1, 2)), experts)) * 100
    if draw(st.booleans()):
        weight = np.rint(weight)
    return weight, slots, groups, nodes, gpus


@settings(max_examples=50, deadline=None)
@given(given_=inputs())
def test_all_sizes_that_eplb_takes(given_) -> None:
    weight, slots, groups, nodes, gpus = given_
    tables = rebalance_experts(*given_)
    check_tables(weight, tables, slots)
    hierarchical = groups % nodes == 0
    inside = weight.shape[1] // nodes if hierarchical else weight.shape[1]
    theirs = eplb.rebalance(*given_).phy2log
    if slots // gpus > inside:  # duplicates cannot be avoided
        assert (tables[0] == theirs).all()
        return
    assert distinct(tables[0], gpus)
    kept = nodes if hierarchical else 1
    shaped = theirs.reshape(len(weight), gpus, -1)
    mended = without_duplicates(shaped, weight, np.arange(gpus) // (gpus // kept))
    mended = mended.reshape(theirs.shape)
    least = balancedness(weight, mended, gpus) * (1 - 1e-12)
    assert (balancedness(weight, tables[0], gpus) >= least).all()
    if hierarchical:
        for row in tables[0].reshape(len(weight), nodes, -1) // (weight.shape[1] // groups):
            assert [len(set(node)) for node in row.tolist()] == [groups // nodes] * nodes


@pytest.mark.skipif(not COUNTS.exists(), reason="no real expert counts; set MAPC_DATA")
@pytest.mark.parametrize(("slots", "gpus", "least"), [(288, 32, 0.999), (320, 64, 0.998)])
def test_real_loads_are_balanced_better_than_by_eplb(slots: int, gpus: int, least: float) -> None:
    weight = np.load(COUNTS)["prefill_in4096"]
    tables = rebalance_experts(weight, slots, 1, 4, gpus)
    check_tables(weight, tables, slots)
    assert distinct(tables[0], gpus)
    ours = balancedness(weight, tables[0], gpus).mean()
    theirs = balancedness(weight, eplb.rebalance(weight, slots, 1, 4, gpus).phy2log, gpus).mean()
    assert ours > max(theirs, least)


def test_wrong_sizes_are_value_errors() -> None:
    for arguments, message in (
        ((README, 16, 4, 2, 7), "num_replicas 16; expected a multiple of 7 GPUs"),
        ((README, 16, 5, 1, 8), "12 experts; expected a multiple of 5 groups"),
        (([["a"]], 1, 1, 1, 1), "no table of numbers"),
        (([[1], [2, 3]], 1, 1, 1, 1), "no table of numbers"),
        (([1], 1, 1, 1, 1), r"expected \[layers, experts\]"),
    ):
        with pytest.raises(ValueError, match=message):
            rebalance_experts(*arguments)


# -- tensors ---------------------------------------------------------------------------------------


class Tensor:
    """As much of a torch tensor as is used, on no device."""

    def __init__(self, array, floating: bool = True) -> None:
        self.array, self.floating = np.asarray(array), floating

    def detach(self):
        return self

    cpu = detach

    def double(self):
        return Tensor(self.array.astype(np.float64))

    def is_floating_point(self) -> bool:
        return self.floating

    def numpy(self):
        return self.array


@pytest.fixture
def torch(monkeypatch):
    """A module in the place of torch, whether torch is installed or not."""
    fake = SimpleNamespace(Tensor=Tensor, from_numpy=lambda array: Tensor(array, False))
    monkeypatch.setitem(sys.modules, "torch", fake)


@pytest.mark.parametrize("floating", [True, False])
@pytest.mark.usefixtures("torch")
def test_tensors_give_tensors(floating: bool) -> None:
    weight = np.array(README, dtype=np.float16 if floating else np.int32)
    found = rebalance_experts(Tensor(weight, floating), 16, 4, 2, 8)
    assert all(isinstance(table, Tensor) for table in found)
    for table, expected in zip(found, rebalance_experts(README, 16, 4, 2, 8), strict=True):
        assert (table.array == expected).all()
    placed = EplbPolicy.rebalance_experts(Tensor(weight, floating), 16, 4, 2, 8, found[0])
    assert isinstance(placed, Tensor)
    assert (placed.array == found[0].array).all()


def test_real_tensors_give_tensors() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float32, torch.int64):
        found = rebalance_experts(torch.tensor(README, dtype=dtype), 16, 4, 2, 8)
        assert [table.dtype for table in found] == [torch.int64] * 3


# -- vLLM's policy ---------------------------------------------------------------------------------


def test_a_policy_places_as_the_drop_in_does() -> None:
    placed = EplbPolicy.rebalance_experts(np.array(README), 16, 1, 1, 8)
    assert (placed == rebalance_experts(README, 16, 1, 1, 8)[0]).all()


@settings(max_examples=30, deadline=None)
@given(given_=inputs(), seed=st.integers(0, 2**20))
def test_a_policy_copies_fewer_experts(given_, seed: int) -> None:
    weight, slots, groups, nodes, gpus = given_
    rng = np.random.default_rng(seed)
    plain = EplbPolicy.rebalance_experts(*given_)
    shape = (len(weight), gpus, slots // gpus)
    # what is in force is much the same, but for the order of slots and ranks of a node
    kept = nodes if groups % nodes == 0 else 1
    old = plain.reshape(len(weight), kept, gpus // kept, -1).copy()
    for layer in old:
        for node in layer:
            rng.shuffle(node)
            for rank in node:
                rng.shuffle(rank)
    old = old.reshape(len(weight), slots)
    if distinct(plain, gpus):  # then every rank is found again
        assert (EplbPolicy.rebalance_experts(*given_, old) == old).all()
    old = np.where(rng.random(old.shape) < 0.3, rng.integers(-1, weight.shape[1], old.shape), old)
    placed = EplbPolicy.rebalance_experts(*given_, old)
    assert (np.sort(placed, axis=1) == np.sort(plain, axis=1)).all()
    assert balancedness(weight, placed, gpus) == pytest.approx(balancedness(weight, plain, gpus))
    assert [sorted(map(sorted, layer.tolist())) for layer in placed.reshape(shape)] == [
        sorted(map(sorted, layer.tolist())) for layer in plain.reshape(shape)
    ]


def test_an_old_placement_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"old placement has shape \(1, 2\); expected \(2, 16\)"):
        EplbPolicy.rebalance_experts(README, 16, 4, 2, 8, [[0, 1]])
