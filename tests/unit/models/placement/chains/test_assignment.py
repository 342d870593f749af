"""One expert per rank: assignments equal brute force, and the kernels the best permutation."""

import os
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.kernels import load
from mapc.models.placement.chains import assignment, chain
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    EXPECTED,
    HOME,
    SUM,
    PlacementProblem,
    StepTime,
)
from oracles.placement_states import Recorder, brute_force, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
needs_trace = pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")
ONE_EACH = [(3, 3, 3), (4, 4, 2), (2, 2, 4)]


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    module = load("mapc.models.placement.chains.assignment_kernels")
    assert module is not None
    return module


def compiled(name: str) -> Callable[[ModuleType], Callable[..., bool]]:
    return lambda module: getattr(module, name)


def plain(name: str) -> Callable[[ModuleType], Callable[..., bool]]:
    return lambda module: getattr(getattr(module, name), "py_func", getattr(module, name))


@pytest.mark.parametrize("form", [compiled, plain])
@pytest.mark.parametrize(("name", "total"), [("assign", sum), ("assign_bottleneck", max)])
@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 6), seed=st.integers(0, 10**6), hole=st.sampled_from([0.0, 0.3]))
def test_kernels_find_the_best_permutation(
    kernels: ModuleType, form: Callable, name: str, total: Callable, n: int, seed: int, hole: float
) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(-9, 10, (n, n)).astype(np.float64)
    cost[rng.random((n, n)) < hole] = np.inf
    best = min(total(cost[np.arange(n), list(order)]) for order in permutations(range(n)))
    column = np.empty(n, dtype=np.int64)
    assert form(name)(kernels)(cost, column) == np.isfinite(best)
    if np.isfinite(best):
        assert sorted(column) == list(range(n))
        assert total(cost[np.arange(n), column]) == best


@settings(max_examples=40, deadline=None)
@given(problem=small_problems(sizes=ONE_EACH, traffic=(CHAIN, HOME), transfer=1.0))
def test_what_is_proven_is_the_optimum(problem: PlacementProblem) -> None:
    search = Recorder(problem)
    assignment.run(problem, search)
    if search.bound is None:
        return
    best = brute_force(problem)
    assert best is not None
    # rounded sums of quotients: half a tick for each layer and profile, either way
    doubt = 0.0
    if problem.traffic == HOME:
        doubt = 2.0 * problem.n_layers * problem.n_profiles * problem.tick
    assert best <= search.objective <= best + doubt
    assert best - doubt <= search.bound <= best + doubt


@pytest.mark.parametrize(
    ("traffic", "links", "overlap"),
    [(CHAIN, SUM, False), (CHAIN, SUM, True), (CHAIN, BUSIEST, False), (HOME, SUM, True)],
)
def test_cases_it_is_for_are_proven(traffic: str, links: str, overlap: bool) -> None:
    rng = np.random.default_rng(7)
    transitions = rng.integers(0, 9, (1, 1, 4, 4))
    sources = rng.integers(1, 9, (1, 2, 4, 4))
    problem = PlacementProblem(
        name="one each",
        counts=sources.sum(axis=2),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([4], 1 << 40, 1.0, 1.0),
        slots=1,
        cost=StepTime(token=0.5, transfer=1.0, links=links, overlap=overlap),
        traffic=traffic,
        transitions=transitions if traffic == CHAIN else None,
        sources=sources if traffic == HOME else None,
    )
    search = Recorder(problem)
    assignment.run(problem, search)
    assert search.objective == search.bound == brute_force(problem)


@pytest.mark.parametrize("traffic", [CHAIN, HOME])
def test_a_single_rank_that_lives_is_proven(traffic: str) -> None:
    problem = PlacementProblem(
        name="one",
        counts=np.array([[[3], [4]]]),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([1, 1], 1 << 40, 4.0, 1.0),
        slots=1,
        cost=StepTime(transfer=1.0),
        traffic=traffic,
        transitions=np.full((1, 1, 1, 1), 3),
        dead=np.array([False, True]),
    )
    search = Recorder(problem)
    assignment.run(problem, search)
    assert search.objective == search.bound == 7


def test_unequal_ranks_and_links_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    transitions = rng.integers(0, 9, (1, 1, 4, 4))
    for cluster in (
        DeviceGraph.cluster([2, 2], 1 << 40, 4.0, 1.0),
        DeviceGraph.cluster([4], 1 << 40, 1.0, 1.0),
    ):
        if cluster.bandwidth.max() == 1.0:
            cluster.speed[0] = 2.0
        problem = PlacementProblem(
            name="unequal",
            counts=rng.integers(1, 9, (1, 2, 4)),
            profiles=("all",),
            weight=np.ones(1),
            scale=np.ones(1),
            cluster=cluster,
            slots=1,
            cost=StepTime(transfer=1.0),
            traffic=CHAIN,
            transitions=transitions,
        )
        search = Recorder(problem)
        assignment.run(problem, search)
        assert search.bound is None
        assert search.plan is None


@pytest.mark.parametrize("links", [SUM, BUSIEST])
def test_many_experts_take_the_kernel(links: str) -> None:
    rng = np.random.default_rng(5)
    n = 48
    transitions = rng.integers(0, 50, (1, 3, n, n))
    problem = PlacementProblem(
        name="many",
        counts=rng.integers(1, 90, (1, 4, n)),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([n], 1 << 40, 1.0, 1.0),
        slots=1,
        cost=StepTime(transfer=2.0, links=links),
        traffic=CHAIN,
        transitions=transitions,
    )
    search = Recorder(problem)
    assignment.run(problem, search)
    assert search.objective == search.bound


@needs_trace
def test_the_mixtral_trace_on_eight_ranks_is_proven() -> None:
    with np.load(TRACE) as data:
        counts, transitions = data["counts"][None], data["transitions"][None]
    problem = PlacementProblem(
        name="mixtral",
        counts=counts.astype(np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([8], 1 << 40, 1.0, 1.0),
        slots=1,
        cost=StepTime(token=4.0, transfer=1.0, profiles=EXPECTED),
        traffic=CHAIN,
        transitions=transitions.astype(np.int64),
        top_k=2,
    )
    one, other = Recorder(problem), Recorder(problem)
    assignment.run(problem, one)
    chain.run(problem, other)
    assert one.objective == one.bound == 48648.0 == other.objective == other.bound
