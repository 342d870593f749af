"""Experts in order and EPLB as plans: they hold the rules, or stay silent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.baselines.eplb import rebalance
from mapc.models.placement.baselines.layouts import (
    contiguous,
    eplb_global,
    eplb_hierarchical,
    mean_load,
    without_duplicates,
)
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
BASELINES = (contiguous, eplb_hierarchical, eplb_global)


class Recorder:
    """Keeps what is proposed; a plan that breaks a rule is a failure."""

    seed = 0

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem, self.plans = problem, {}

    def propose(self, plan: PlacementPlan, source: str) -> bool:
        assert verify(self.problem, plan).violations == ()
        self.plans[source] = plan
        return True


def proposed(problem: PlacementProblem) -> dict[str, PlacementPlan]:
    search = Recorder(problem)
    for method in BASELINES:
        method(problem, search)
    return search.plans


def placement(counts, ranks, slots, *, nodes=1, **more) -> PlacementProblem:
    counts = np.asarray(counts, dtype=np.int64)
    counts = counts.reshape(-1, *counts.shape[-2:])
    n_profiles = len(counts)
    return PlacementProblem(
        "toy",
        counts,
        tuple(f"p{p}" for p in range(n_profiles)),
        more.pop("weight", np.ones(n_profiles)),
        more.pop("scale", np.ones(n_profiles)),
        more.pop("cluster", DeviceGraph.cluster([ranks // nodes] * nodes, 1 << 40, 2.0, 1.0)),
        slots,
        **more,
    )


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_every_plan_holds_the_rules(problem: PlacementProblem) -> None:
    plans = proposed(problem)
    if not (len(problem.pinned) or len(problem.forbidden) or problem.max_imbalance) and (
        problem.max_moves is None
    ):
        assert {"contiguous", "eplb-global"} <= set(plans)
    for plan in plans.values():
        assert (plan.slots[:, problem.dead] == -1).all()


def test_contiguous_fills_spare_slots_from_the_first_expert_on() -> None:
    plan = proposed(placement([[1, 2, 3, 4]], 3, 2))["contiguous"]
    assert plan.slots.tolist() == [[[0, 1], [2, 3], [0, 1]]]


def test_dead_ranks_are_left_out() -> None:
    dead = np.array([False, True, False])
    plans = proposed(placement([[9, 1, 1, 1]], 3, 2, dead=dead))
    assert plans["contiguous"].slots.tolist() == [[[0, 1], [-1, -1], [2, 3]]]
    assert plans["eplb-global"].slots[0, 1].tolist() == [-1, -1]


def test_groups_stay_on_a_node_whatever_the_order_of_ranks() -> None:
    cluster = DeviceGraph.cluster([2, 2], 1 << 40, 2.0, 1.0)
    mixed = DeviceGraph(**{**vars(cluster), "node": np.array([0, 1, 0, 1])})
    counts = [[8, 1, 1, 2, 5, 5, 3, 1]]
    plan = proposed(placement(counts, 4, 2, cluster=mixed, groups=4))["eplb"]
    for node in (0, 1):
        held = plan.slots[0, mixed.node == node].ravel() // 2
        assert sorted(np.bincount(held, minlength=4)) == [0, 0, 2, 2]


def test_nodes_of_unequal_size_are_not_for_the_hierarchical_rule() -> None:
    cluster = DeviceGraph.cluster([1, 2], 1 << 40, 2.0, 1.0)
    counts = [[8, 1, 1, 2, 5, 5]]
    assert "eplb" not in proposed(placement(counts, 3, 2, cluster=cluster, groups=2))
    # three groups do not divide over two nodes: EPLB falls back to its global rule
    plans = proposed(placement(counts, 3, 2, cluster=cluster, groups=3))
    assert plans["eplb"] == plans["eplb-global"]


def test_profiles_count_by_their_factor() -> None:
    counts = np.array([[[4, 0]], [[0, 3]]])
    problem = placement(counts, 1, 2, weight=np.array([3.0, 1.0]), scale=np.array([1.0, 4.0]))
    assert mean_load(problem).tolist() == [[3.0, 3.0]]


def test_rules_that_a_baseline_breaks_silence_it() -> None:
    counts = [[4, 3, 2, 1]]
    pinned = np.array([[0, 3, 0]])
    assert proposed(placement(counts, 2, 2, pinned=pinned)).keys() == {"eplb", "eplb-global"}
    assert proposed(placement(counts, 2, 2, max_imbalance=1.0)).keys() == {"eplb", "eplb-global"}
    current = np.array([[[2, 3], [0, 1]]])
    assert proposed(placement(counts, 2, 2, current=current, max_moves=0)) == {}


# -- duplicates --------------------------------------------------------------------------------


def duplicates(tables) -> int:
    ordered = np.sort(tables, axis=2)
    return int((ordered[:, :, 1:] == ordered[:, :, :-1]).sum())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    ranks=st.integers(1, 4),
    slots=st.integers(1, 4),
    nodes=st.sampled_from([1, 2]),
)
def test_mended_tables_hold_every_expert_once_a_rank(
    seed: int, ranks: int, slots: int, nodes: int
) -> None:
    rng = np.random.default_rng(seed)
    ranks *= nodes
    experts = int(rng.integers(slots, ranks * slots + 1))
    load = rng.pareto(1.0, (2, experts))
    tables = rebalance(load, ranks * slots, 1, 1, ranks).phy2log.reshape(2, ranks, slots)
    before = tables.copy()
    mended = without_duplicates(tables, load, np.arange(ranks) // (ranks // nodes))
    assert (tables == before).all()
    assert duplicates(mended) == 0
    for layer in range(2):
        assert set(mended[layer].ravel().tolist()) == set(range(experts))
        if duplicates(tables[layer : layer + 1]) == 0:
            assert (mended[layer] == tables[layer]).all()
        changed = (mended[layer] != tables[layer]).sum()
        assert changed <= 2 * duplicates(tables[layer : layer + 1])


def test_the_exchange_that_raises_loads_least_is_taken() -> None:
    # expert 0 is twice on rank 0; four slots of the other ranks could take it
    tables = np.array([[[0, 0], [1, 4], [2, 3]]])
    load = np.array([[8.0, 6.0, 5.0, 4.0, 6.0]])
    mended = without_duplicates(tables, load, np.zeros(3, dtype=np.int64))
    options = []
    for rank, slot in ((1, 0), (1, 1), (2, 0), (2, 1)):
        table = tables[0].copy()
        table[0, 1], table[rank, slot] = table[rank, slot], 0
        each = load[0] / np.bincount(table.ravel(), minlength=5)
        options.append(max(each[table[0]].sum(), each[table[rank]].sum()))
    each = load[0] / np.bincount(mended.ravel(), minlength=5)
    assert duplicates(mended) == 0
    touched = [g for g in range(3) if (mended[0, g] != tables[0, g]).any()]
    assert len(touched) == 2
    assert max(each[mended[0, g]].sum() for g in touched) == min(options)


def test_a_partner_in_the_node_is_preferred() -> None:
    tables = np.array([[[0, 0], [1, 2], [3, 4], [5, 6]]])
    load = np.array([[8.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0]])
    mended = without_duplicates(tables, load, np.array([0, 0, 1, 1]))
    assert (mended[0, 2:] == tables[0, 2:]).all()
    assert duplicates(mended) == 0


def test_an_expert_with_more_replicas_than_ranks_loses_some() -> None:
    tables = np.array([[[0, 0], [0, 1]]])
    mended = without_duplicates(tables, np.array([[9.0, 1.0]]), np.zeros(2, dtype=np.int64))
    assert np.sort(mended[0], axis=1).tolist() == [[0, 1], [0, 1]]


@pytest.mark.skipif(not COUNTS.exists(), reason="no real expert counts; set MAPC_DATA")
def test_mending_real_tables_costs_little() -> None:
    counts = np.load(COUNTS)["prefill_in4096"]
    problem = placement(counts, 32, 9, nodes=4, groups=8)
    plan = proposed(problem)["eplb-global"]
    verdict = verify(problem, plan)
    assert verdict.facts["balancedness"] == pytest.approx(0.9939, abs=1e-3)
    raw = rebalance(counts, 288, 1, 1, 32).phy2log.reshape(58, 32, 9)
    assert 0 < (plan.slots != raw).sum() <= 2 * duplicates(raw)
