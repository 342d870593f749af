"""Exact chains: equal to brute force, the same under other names, fast on the real trace."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.kernels import load
from mapc.models.placement.chains import chain
from mapc.models.placement.problem import BUSIEST, CHAIN, EXPECTED, PlacementProblem, StepTime
from oracles.placement_states import Recorder, brute_force, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
needs_trace = pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")


@settings(max_examples=30, deadline=None)
@given(problem=small_problems(profiles=EXPECTED))
def test_the_chain_is_the_optimum_and_proves_it(problem: PlacementProblem) -> None:
    search = Recorder(problem)
    chain.run(problem, search)
    best = brute_force(problem)
    if best is None:
        assert search.plan is None
        return
    assert search.objective == best
    assert search.bound is not None
    # a sum of thirds may be rounded either way: the bound then gives one tick a layer away
    doubt = problem.n_layers * problem.n_profiles * problem.tick if problem.traffic == "home" else 0
    assert best - doubt <= search.bound <= best


def test_a_limit_on_loads_tells_ranks_apart_that_cost_the_same() -> None:
    cluster = DeviceGraph.cluster([2], 1 << 40, 1.0, 1.0)
    problem = PlacementProblem(
        name="speeds",
        counts=np.array([[[10, 20], [20, 10]]]),
        profiles=("p",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=replace(cluster, speed=np.array([1.0, 2.0])),
        slots=1,
        cost=StepTime(token=0.0, transfer=1.0),
        traffic=CHAIN,
        transitions=np.array([[[[5, 1], [1, 7]]]]),
        max_imbalance=1.2,
    )
    search = Recorder(problem)
    chain.run(problem, search)
    # the hot expert has to be on the fast rank in both layers
    assert search.bound == search.objective == brute_force(problem) == 12.0


@settings(max_examples=20, deadline=None)
@given(problem=small_problems(profiles="worst"))
def test_the_slowest_profile_is_bounded_from_below(problem: PlacementProblem) -> None:
    search = Recorder(problem)
    chain.run(problem, search)
    best = brute_force(problem)
    if best is None:
        assert search.plan is None
        return
    assert search.objective is not None
    assert search.bound is not None
    assert search.bound <= best <= search.objective
    if problem.n_profiles == 1 and problem.traffic != "home":
        assert search.bound == best == search.objective


@settings(max_examples=20, deadline=None)
@given(problem=small_problems(rules=False, profiles=EXPECTED), moves=st.integers(0, 6))
def test_a_budget_of_moves_is_kept_and_the_bound_holds(
    problem: PlacementProblem, moves: int
) -> None:
    table = np.arange(problem.n_experts).reshape(1, problem.n_ranks, problem.slots)
    current = np.repeat(table, problem.n_layers, axis=0)
    problem = problem.replace(current=current, max_moves=moves)
    search = Recorder(problem)  # refuses what breaks the budget
    chain.run(problem, search)
    best = brute_force(problem)
    assert search.bound is not None
    assert search.bound <= best


@settings(max_examples=20, deadline=None)
@given(
    problem=small_problems(traffic=(CHAIN,), profiles=EXPECTED),
    seed=st.integers(0, 100),
)
def test_other_names_change_nothing(problem: PlacementProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    new = np.stack([rng.permutation(problem.n_experts) for _ in range(problem.n_layers)])
    layer = np.arange(problem.n_layers)[:, None]
    transitions = problem.transitions[:, layer[:-1, :, None], new[:-1, :, None], new[1:, None, :]]
    old = np.argsort(new, axis=1)
    rules = {
        name: np.stack([rule[:, 0], old[rule[:, 0], rule[:, 1]], rule[:, 2]], axis=1)
        for name in ("pinned", "forbidden")
        for rule in [getattr(problem, name)]
    }
    other = problem.replace(counts=problem.counts[:, layer, new], transitions=transitions, **rules)
    one, two = Recorder(problem), Recorder(other)
    chain.run(problem, one)
    chain.run(other, two)
    assert one.objective == two.objective
    assert one.bound == two.bound


@settings(max_examples=15, deadline=None)
@given(problem=small_problems(traffic=(CHAIN,), profiles=EXPECTED), seed=st.integers(0, 100))
def test_other_numbers_of_ranks_change_nothing(problem: PlacementProblem, seed: int) -> None:
    old = np.random.default_rng(seed).permutation(problem.n_ranks)
    new = np.argsort(old)
    cluster = problem.cluster
    moved = replace(
        cluster,
        node=cluster.node[old],
        speed=cluster.speed[old],
        link_source=new[cluster.link_source],
        link_target=new[cluster.link_target],
    )
    rules = {
        name: np.column_stack([rule[:, :2], new[rule[:, 2]]])
        for name in ("pinned", "forbidden")
        for rule in [getattr(problem, name)]
    }
    other = problem.replace(cluster=moved, dead=problem.dead[old], **rules)
    one, two = Recorder(problem), Recorder(other)
    chain.run(problem, one)
    chain.run(other, two)
    assert one.objective == two.objective
    assert one.bound == two.bound


def test_the_kernel_does_the_same_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    counts, transitions = rng.integers(1, 9, (1, 3, 4)), rng.integers(0, 9, (1, 2, 4, 4))
    problem = _problem(counts, transitions, [2], 2, BUSIEST)
    kernels = load("mapc.models.placement.chains.chain_kernels")
    found = []
    for plain in (False, True):
        if plain:
            function = kernels.cheapest_before
            function = getattr(function, "py_func", function)
            plainly = SimpleNamespace(cheapest_before=function)
            monkeypatch.setattr(chain, "load", lambda name, done, found=plainly: found)
        search = Recorder(problem)
        chain.run(problem, search)
        assert search.objective == search.bound
        found.append(search.bound)
    assert found[0] == found[1] == brute_force(problem)


def test_layers_with_replicas_or_many_states_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    transitions = rng.integers(0, 9, (1, 2, 16, 16))
    counts = rng.integers(1, 9, (1, 3, 16))
    for ranks, slots in ((4, 4), (2, 9)):
        problem = _problem(counts, transitions, [ranks], slots)
        search = Recorder(problem)
        chain.run(problem, search)
        assert search.plan is None
        assert search.bound is None


def test_a_search_that_is_over_gets_nothing() -> None:
    rng = np.random.default_rng(0)
    problem = _problem(rng.integers(1, 9, (1, 3, 6)), rng.integers(0, 9, (1, 2, 6, 6)), [3], 2)
    for patience in range(3):
        search = Recorder(problem, patience=patience)
        chain.run(problem, search)
        assert search.bound is None


@needs_trace
@pytest.mark.parametrize(
    ("nodes", "links", "optimum"),
    [
        ((4,), "sum", 51072.0),
        ((2, 2), "sum", 103154.0),
        ((4, 4), "sum", 100203.0),
        ((2,), BUSIEST, 52234.0),
    ],
)
def test_the_mixtral_trace_is_proven(nodes: tuple[int, ...], links: str, optimum: float) -> None:
    with np.load(TRACE) as data:
        counts, transitions = data["counts"][None], data["transitions"][None]
    slots = 8 // sum(nodes)
    problem = _problem(counts, transitions, list(nodes), slots, links)
    search = Recorder(problem)
    chain.run(problem, search)
    assert search.objective == search.bound == optimum


def _problem(
    counts: np.ndarray, transitions: np.ndarray, nodes: list[int], slots: int, links: str = "sum"
) -> PlacementProblem:
    """Tokens cost 4; transfers 1 inside a node and 4 between nodes."""
    inside = 4.0 if len(nodes) > 1 else 1.0
    return PlacementProblem(
        name="chain",
        counts=counts.astype(np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster(nodes, 1 << 40, inside, 1.0),
        slots=slots,
        cost=StepTime(token=4.0, transfer=inside, links=links),
        traffic=CHAIN,
        transitions=transitions.astype(np.int64),
        top_k=2,
    )
