"""Figures of the contiguous layout on real loads, as other code has measured them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import CHAIN, PlacementProblem, StepTime
from mapc.models.placement.verify import verify

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
needs_counts = pytest.mark.skipif(not COUNTS.exists(), reason="no real counts; set MAPC_DATA")
needs_trace = pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")


def contiguous(problem: PlacementProblem) -> PlacementPlan:
    table = np.arange(problem.n_experts).reshape(problem.n_ranks, -1)
    return PlacementPlan(np.tile(table, (problem.n_layers, 1, 1)))


@needs_counts
@pytest.mark.parametrize(
    ("profile", "ranks", "expected"),
    [
        ("prefill_in4096", 8, 0.540),
        ("prefill_in4096", 16, 0.456),
        ("prefill_in4096", 32, 0.384),
        ("prefill_in4096", 64, 0.302),
        ("decode_in1000out1000", 32, 0.404),
        ("decode_in1000out1000", 64, 0.343),
    ],
)
def test_balancedness_of_deepseek_v3(profile: str, ranks: int, expected: float) -> None:
    with np.load(COUNTS) as file:
        counts = file[profile].astype(np.int64)[None]
    problem = PlacementProblem(
        name=profile,
        counts=counts,
        profiles=(profile,),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([ranks], 1 << 40, 1.0, 1.0),
        slots=256 // ranks,
    )
    verdict = verify(problem, contiguous(problem))
    assert verdict.facts["balancedness"] == pytest.approx(expected, abs=5e-4)


@needs_trace
@pytest.mark.parametrize("nodes", [1, 2])
def test_step_of_mixtral(nodes: int) -> None:
    """Four times the largest load of every layer, and token pairs that change their rank.

    A pair between nodes counts four times. With experts in order both are sums of blocks.
    """
    with np.load(TRACE) as file:
        counts, pairs = (file[name].astype(np.int64) for name in ("counts", "transitions"))
    problem = PlacementProblem(
        name="mixtral",
        counts=counts[None],
        profiles=("humaneval",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([4 // nodes] * nodes, 1 << 40, 4.0, 1.0),
        slots=2,
        cost=StepTime(token=4.0, transfer=4.0),
        traffic=CHAIN,
        transitions=pairs[None],
    )
    loads = counts.reshape(32, 4, 2).sum(axis=2)
    flow = pairs.reshape(31, 4, 2, 4, 2).sum(axis=(0, 2, 4))
    rank = np.arange(4)
    price = np.where(rank[:, None] // 2 == rank // 2, 1, 4) if nodes == 2 else np.ones((4, 4))
    np.fill_diagonal(price, 0)
    verdict = verify(problem, contiguous(problem))
    assert verdict.objective == 4 * loads.max(axis=1).sum() + (flow * price).sum()
    assert verdict.facts["cross_rank"] == pytest.approx(1 - np.trace(flow) / flow.sum())
