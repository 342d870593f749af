"""EPLB's restatement beside a loop over its description, its README, and figures on real loads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.baselines.eplb import (
    group_members,
    pack,
    rebalance,
    replicate,
    tables_from,
)

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"

README = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
README_MAP = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]


def balancedness(weight, phy2log, logcnt, gpus):
    each = np.take_along_axis(np.asarray(weight) / logcnt, phy2log, axis=1)
    load = each.reshape(len(each), gpus, -1).sum(axis=2)
    return load.mean(axis=1) / load.max(axis=1)


def test_the_example_of_the_readme() -> None:
    phy2log, log2phy, logcnt = rebalance(README, 16, 4, 2, 8)
    assert phy2log.tolist() == README_MAP
    assert {table.dtype for table in (phy2log, log2phy, logcnt)} == {np.dtype(np.int64)}
    assert log2phy.shape == (2, 12, 5)
    assert balancedness(README, phy2log, logcnt, 8).round(3).tolist() == [0.828, 0.805]
    phy2log, _, logcnt = rebalance(README, 16, 1, 2, 8)
    assert balancedness(README, phy2log, logcnt, 8).round(3).tolist() == [0.932, 0.84]


@pytest.mark.skipif(not COUNTS.exists(), reason="no real expert counts; set MAPC_DATA")
@pytest.mark.parametrize(
    ("profile", "slots", "groups", "nodes", "gpus", "expected", "duplicates"),
    [
        ("prefill_in4096", 288, 1, 1, 32, 0.9939, 23),
        ("decode_in1000out1000", 288, 1, 1, 32, 0.9930, 23),
        ("prefill_in4096", 320, 1, 1, 64, 0.9845, 29),
        ("decode_in1000out1000", 320, 1, 1, 64, 0.9792, 18),
        ("prefill_in4096", 256, 8, 4, 32, 0.7371, 0),
        ("prefill_in4096", 256, 1, 1, 32, 0.8406, 0),
        ("decode_in1000out1000", 320, 8, 8, 64, 0.5250, 132),
    ],
)
def test_figures_on_real_loads(
    profile: str, slots: int, groups: int, nodes: int, gpus: int, expected: float, duplicates: int
) -> None:
    """Those that EPLB's own code gave on the same loads."""
    weight = np.load(COUNTS)[profile]
    phy2log, _, logcnt = rebalance(weight, slots, groups, nodes, gpus)
    found = balancedness(weight, phy2log, logcnt, gpus).mean()
    assert found == pytest.approx(expected, abs=5e-5)
    ranks = np.sort(phy2log.reshape(-1, slots // gpus), axis=1)
    assert (ranks[:, 1:] == ranks[:, :-1]).sum() == duplicates


# -- beside a plain loop ---------------------------------------------------------------------------


def lightest_first(load: list[float], packs: int) -> list[tuple[int, int]]:
    """Step 1 and 3 for one row: pack and place of every item."""
    most = len(load) // packs
    if most == 1:
        return [(item, 0) for item in range(len(load))]
    total, held = [0.0] * packs, [0] * packs
    where = [(0, 0)] * len(load)
    for item in sorted(range(len(load)), key=lambda item: -load[item]):
        to = min((p for p in range(packs) if held[p] < most), key=lambda p: total[p])
        where[item] = (to, held[to])
        total[to] += load[item]
        held[to] += 1
    return where


def replicas(load: list[float], slots: int) -> tuple[list[int], list[int]]:
    count = [1] * len(load)
    expert = list(range(len(load)))
    while len(expert) < slots:
        hottest = max(range(len(load)), key=lambda e: load[e] / count[e])
        expert.append(hottest)
        count[hottest] += 1
    return expert, count


loads = st.integers(0, 1000).map(float)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), packs=st.integers(1, 4), each=st.integers(1, 4), rows=st.integers(1, 3))
def test_packing_is_longest_processing_time(data, packs: int, each: int, rows: int) -> None:
    n = packs * each
    load = np.array([data.draw(st.lists(loads, min_size=n, max_size=n)) for _ in range(rows)])
    found = np.stack(pack(load, packs), axis=2)
    assert found.tolist() == [[list(at) for at in lightest_first(list(row), packs)] for row in load]


@settings(max_examples=60, deadline=None)
@given(load=st.lists(loads, min_size=1, max_size=6), spare=st.integers(0, 8))
def test_spare_slots_go_to_the_hottest(load: list[float], spare: int) -> None:
    expert, nth, count = replicate(np.array([load]), len(load) + spare)
    assert (expert[0].tolist(), count[0].tolist()) == replicas(load, len(load) + spare)
    for e in range(len(load)):
        assert sorted(nth[expert == e]) == list(range(count[0, e]))


@st.composite
def inputs(draw):
    nodes, per_node = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    groups = nodes * per_node if draw(st.booleans()) else draw(st.integers(1, 4))
    size, gpus = draw(st.integers(1, 3)), nodes * draw(st.integers(1, 3))
    experts = groups * size
    slots = -(-experts // gpus) * gpus + gpus * draw(st.integers(0, 2))
    rows = draw(st.integers(1, 3))
    row = st.lists(loads, min_size=experts, max_size=experts)
    return np.array([draw(row) for _ in range(rows)]), slots, groups, nodes, gpus


@settings(max_examples=60, deadline=None)
@given(given_=inputs())
def test_tables_belong_together(given_) -> None:
    weight, slots, groups, nodes, _ = given_
    phy2log, log2phy, logcnt = rebalance(*given_)
    n_layers, n_experts = weight.shape
    assert phy2log.shape == (n_layers, slots)
    assert log2phy.shape == (n_layers, n_experts, slots - n_experts + 1)
    for layer in range(n_layers):
        for expert in range(n_experts):
            own = log2phy[layer, expert]
            assert (own[: logcnt[layer, expert]] >= 0).all()
            assert (own[logcnt[layer, expert] :] == -1).all()
            assert sorted(own[own >= 0]) == np.flatnonzero(phy2log[layer] == expert).tolist()
    assert (logcnt >= 1).all()
    if groups % nodes == 0:  # groups stay whole on a node
        node = phy2log.reshape(n_layers, nodes, -1) // (n_experts // groups)
        for layer in node:
            held = [set(groups_held.tolist()) for groups_held in layer]
            assert [len(found) for found in held] == [groups // nodes] * nodes
            assert set().union(*held) == set(range(groups))


@settings(max_examples=30, deadline=None)
@given(given_=inputs())
def test_tables_of_a_placement_are_the_same_but_for_order(given_) -> None:
    phy2log, log2phy, logcnt = rebalance(*given_)
    again = tables_from(phy2log, logcnt.shape[1])
    assert (again.logcnt == logcnt).all()
    assert (np.sort(again.log2phy, axis=2) == np.sort(log2phy, axis=2)).all()
    slots = np.where(again.log2phy < 0, phy2log.shape[1], again.log2phy)
    assert (np.diff(slots, axis=2) >= 0).all()


def test_members_are_experts_of_whole_groups() -> None:
    members = group_members(np.array(README, dtype=float), 4, 2)
    assert members.shape == (2, 2, 6)
    assert members[0].tolist() == [[3, 4, 5, 6, 7, 8], [9, 10, 11, 0, 1, 2]]


WRONG = {
    "one layer flat": ([1.0, 2.0], 2, 1, 1, 1, r"shape \(2,\); expected \[layers, experts\]"),
    "no layer": (np.zeros((0, 4)), 4, 1, 1, 1, r"expected \[layers, experts\]"),
    "not a number": ([[1.0, float("nan")]], 2, 1, 1, 1, "not all finite and >= 0"),
    "negative": ([[1.0, -1.0]], 2, 1, 1, 1, "not all finite and >= 0"),
    "too few": ([[1.0, 2.0]], 1, 1, 1, 1, "num_replicas 1; expected at least 2, the experts"),
    "replicas": ([[1.0, 2.0]], 3, 1, 1, 2, "num_replicas 3; expected a multiple of 2 GPUs"),
    "groups": ([[1.0, 2.0, 3.0]], 4, 2, 2, 2, "3 experts; expected a multiple of 2 groups"),
    "gpus": ([[1.0, 2.0]], 3, 2, 2, 3, "num_gpus 3; expected a multiple of 2 nodes"),
    "none": ([[1.0, 2.0]], 2, 1, 0, 1, "num_nodes 0; expected at least 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_eplb_does_not_take(name: str) -> None:
    *arguments, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        rebalance(*arguments)
