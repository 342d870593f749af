"""Bounds from pairs of adjacent layers stay below the optimum; partners are the best graph."""

import os
from itertools import combinations, product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.kernels import load
from mapc.models.placement.chains import pair_bounds
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import CHAIN, PlacementProblem, StepTime
from mapc.models.placement.verify import verify
from oracles.placement_states import Recorder, brute_force, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
needs_trace = pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    module = load("mapc.models.placement.chains.pair_bounds_kernels")
    assert module is not None
    return module


@pytest.mark.parametrize("plain", [False, True])
@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 4), degree=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_partners_are_the_cheapest(
    kernels: ModuleType, plain: bool, n: int, degree: int, seed: int
) -> None:
    degree = min(degree, n)
    cost = np.random.default_rng(seed).integers(0, 12, (n, n)).astype(np.float64)
    rows = list(combinations(range(n), degree))
    best = min(
        sum(cost[i, list(row)].sum() for i, row in enumerate(chosen))
        for chosen in product(rows, repeat=n)
        if (np.bincount(np.concatenate(chosen), minlength=n) == degree).all()
    )
    used = np.empty((n, n), dtype=np.bool_)
    kernel = getattr(kernels.partners, "py_func", kernels.partners) if plain else kernels.partners
    assert kernel(cost, degree, used) == best == cost[used].sum()
    assert (used.sum(axis=0) == degree).all()
    assert (used.sum(axis=1) == degree).all()
    weight = 12.0 - cost
    assert pair_bounds.heaviest(weight, degree) >= weight[used].sum()


@settings(max_examples=30, deadline=None)
@given(problem=small_problems(traffic=(CHAIN,)), exactly=st.booleans())
def test_bounds_stay_below_the_optimum(problem: PlacementProblem, exactly: bool) -> None:
    search = Recorder(problem)
    with pytest.MonkeyPatch.context() as patch:
        if not exactly:
            patch.setattr(pair_bounds, "WORK", 0.0)
        pair_bounds.run(problem, search)
    best = brute_force(problem)
    if search.bound is not None and best is not None:
        assert search.bound <= best


@settings(max_examples=30, deadline=None)
@given(
    nodes=st.sampled_from([[2, 1], [1, 3], [1, 1, 2]]), slots=st.integers(1, 2),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_nodes_of_different_size_may_keep_all_their_pairs(
    nodes: list[int], slots: int, seed: int
) -> None:
    # tokens of a node never leave it: one of degree `largest` only would have to break pairs
    rng = np.random.default_rng(seed)
    home = np.repeat(np.arange(len(nodes)), nodes).repeat(slots)
    pairs = rng.integers(1, 9, (1, 1, len(home), len(home))) * (home[:, None] == home)
    problem = _chain(np.ones((1, 2, len(home))), pairs, nodes)
    search = Recorder(problem)
    pair_bounds.run(problem, search)
    plan = PlacementPlan(np.tile(np.arange(len(home)).reshape(-1, slots), (2, 1, 1)))
    assert search.bound <= verify(problem, plan).objective
    if slots == 1:
        assert search.bound <= brute_force(problem)


def test_replicas_and_other_traffic_are_left_alone() -> None:
    problem = _chain(np.ones((1, 2, 4)), np.ones((1, 1, 4, 4)), [2])
    search = Recorder(problem)
    pair_bounds.run(problem.replace(slots=3), search)
    pair_bounds.run(problem.replace(traffic="none", transitions=None), search)
    assert search.bound is None
    pair_bounds.run(problem, search)
    assert search.bound is not None


@needs_trace
@pytest.mark.parametrize(
    ("nodes", "optimum", "part"), [([4], 51072, 0.94), ([2, 2], 103154, 0.88), ([8], 48648, 1.0)]
)
def test_the_mixtral_trace_is_bounded_closely(nodes: list[int], optimum: int, part: float) -> None:
    with np.load(TRACE) as data:
        counts, transitions = data["counts"][None], data["transitions"][None]
    search = Recorder(_chain(counts, transitions, nodes))
    pair_bounds.run(search.problem, search)
    assert part * optimum <= search.bound <= optimum


def _chain(counts: np.ndarray, transitions: np.ndarray, nodes: list[int]) -> PlacementProblem:
    inside = 4.0 if len(nodes) > 1 else 1.0
    return PlacementProblem(
        name="chain",
        counts=counts.astype(np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster(nodes, 1 << 40, inside, 1.0),
        slots=counts.shape[2] // sum(nodes),
        cost=StepTime(token=4.0, transfer=inside),
        traffic=CHAIN,
        transitions=transitions.astype(np.int64),
    )
