"""MoETuner's two stages: exact where they claim to be, and the same as models and as a method."""

from __future__ import annotations

import os
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.baselines import moetuner
from mapc.models.placement.baselines.moetuner import (
    MAX,
    SUM,
    balanced_clusters,
    cluster_transitions,
    count_partitions,
    link_costs,
    map_by_swaps,
    map_exactly,
    partitions,
    tables_of,
)
from mapc.models.placement.baselines.moetuner_models import (
    FORMULATIONS_MOETUNER,
    lower_balance,
    lower_mapping,
)
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Solution, Status, Stop
from oracles.placement_cases import problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"


class Recorder:
    """Keeps what is proposed; a plan that breaks a rule is a failure."""

    seed, deterministic = 0, True

    def __init__(self, problem: PlacementProblem, solver: bool = True) -> None:
        self.problem, self.solver = problem, solver
        self.plans: dict[str, PlacementPlan] = {}
        self.objectives: dict[str, float] = {}
        self.notes: list[str] = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return float("inf")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def propose(self, plan: PlacementPlan, source: str) -> bool:
        verdict = verify(self.problem, plan)
        assert verdict.violations == ()
        self.plans[source], self.objectives[source] = plan, verdict.objective
        return True

    def solve(self, program, *, work=None, time=None, **rest) -> Solution:
        assert work is not None
        if not self.solver:
            return Solution(Status.UNKNOWN, Stop.UNAVAILABLE)
        return solved(program)


def solved(program) -> Solution:
    return registry.solve(program, "highs", limits=Limits(time=20, workers=1))


def random_chain(
    seed: int, experts: int, ranks: int, layers: int, *, live: int | None = None, profiles: int = 1
) -> PlacementProblem:
    """A chain with one slot per expert and links of any cost."""
    rng = np.random.default_rng(seed)
    live = ranks if live is None else live
    dead = np.zeros(ranks, dtype=np.bool_)
    dead[rng.permutation(ranks)[: ranks - live]] = True
    source, target = np.nonzero(~np.eye(ranks, dtype=np.bool_))
    cluster = DeviceGraph(
        tuple(f"rank{g}" for g in range(ranks)),
        np.full(ranks, 1 << 40),
        np.zeros(ranks, dtype=np.int64),
        np.ones(ranks),
        source,
        target,
        rng.choice([1.0, 2.0, 4.0], len(source)),
        np.zeros(len(source)),
    )
    return PlacementProblem(
        f"chain {seed}",
        rng.integers(1, 60, (profiles, layers, experts)),
        tuple(f"p{p}" for p in range(profiles)),
        np.ones(profiles),
        np.ones(profiles),
        cluster,
        experts // live,
        cost=StepTime(transfer=4.0),
        traffic="chain",
        transitions=rng.integers(0, 40, (profiles, layers - 1, experts, experts)),
        dead=dead,
    )


def real(ranks: tuple[int, ...], slots: int, layers: int = 32) -> PlacementProblem:
    with np.load(TRACE) as trace:
        counts, transitions = trace["counts"][None, :layers], trace["transitions"][None]
    return PlacementProblem(
        "mixtral",
        counts,
        ("humaneval",),
        np.ones(1),
        np.ones(1),
        DeviceGraph.cluster(ranks, 1 << 40, 4.0, 1.0),
        slots,
        cost=StepTime(token=4.0, transfer=4.0),
        traffic="chain",
        transitions=transitions[:, : layers - 1],
        top_k=2,
    )


# -- clusters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "clusters"), [(4, 2), (6, 3), (6, 2), (8, 4), (3, 3), (4, 1)])
def test_every_partition_is_listed_once(experts: int, clusters: int) -> None:
    size = experts // clusters
    expected = set()
    for order in permutations(range(experts)) if experts < 8 else ():
        parts = [frozenset(order[at : at + size]) for at in range(0, experts, size)]
        expected.add(frozenset(parts))
    found = [
        frozenset(frozenset(np.flatnonzero(way == c).tolist()) for c in range(clusters))
        for way in partitions(experts, clusters)
    ]
    assert len(set(found)) == len(found) == count_partitions(experts, clusters)
    assert not expected or set(found) == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), shape=st.sampled_from([(4, 2), (6, 3), (6, 2)]))
def test_clusters_are_as_even_as_can_be(seed: int, shape: tuple[int, int]) -> None:
    problem = random_chain(seed, *shape, layers=2)
    clusters, exact = balanced_clusters(problem)
    assert exact
    for load, chosen in zip(problem.counts[0], clusters, strict=True):
        assert (np.bincount(chosen) == shape[0] // shape[1]).all()
        every = {tuple(way) for way in permutations(np.sort(chosen))}
        assert off_mean(load, chosen) == min(off_mean(load, np.array(way)) for way in every)


def off_mean(load, cluster) -> float:
    total = np.bincount(cluster, weights=load)
    return float(np.abs(total - load.sum() / len(total)).sum())


def test_many_experts_are_packed_greedily() -> None:
    problem = random_chain(0, 32, 4, 2)
    clusters, exact = balanced_clusters(problem)
    assert not exact
    assert (np.bincount(clusters[0]) == 8).all()
    search = Recorder(problem, solver=False)
    moetuner.run(problem, search)
    assert set(search.plans) == {"moetuner", "moetuner-sum"}


@pytest.mark.parametrize("seed", range(4))
def test_the_balance_model_agrees(seed: int) -> None:
    problem = random_chain(seed, 8, 4, 2, live=4, profiles=2)
    clusters, _ = balanced_clusters(problem)
    load = problem.counts[:, 1].T @ problem.factor
    program, lift = lower_balance(problem, layer=1, start=clusters[1])
    solution = solved(program)
    assert solution.status is Status.OPTIMAL
    found = lift(solution)
    assert (np.bincount(found, minlength=4) == 2).all()
    assert off_mean(load, found) == pytest.approx(off_mean(load, clusters[1]), rel=1e-6)
    assert solution.objective * lift.unit == pytest.approx(off_mean(load, found), rel=1e-6)


def test_clusters_of_unequal_size_balance_better() -> None:
    problem = random_chain(0, 6, 2, 2)
    problem = problem.replace(counts=np.array([[[50, 10, 10, 10, 10, 10]] * 2]))
    program, lift = lower_balance(problem, equal=False)
    solution = solved(program)
    assert solution.objective == pytest.approx(0.0, abs=1e-6)
    assert sorted(np.bincount(lift(solution))) == [1, 5]
    equal, _ = lower_balance(problem)
    assert solved(equal).objective > 0.1


def test_a_hint_for_the_balance_is_a_solution() -> None:
    problem = random_chain(3, 6, 3, 2)
    start = np.array([2, 0, 2, 1, 0, 1])
    program, _ = lower_balance(problem, start=start)
    columns, values = program.start_values
    x = np.zeros(program.n_columns)
    x[columns] = values
    rows = x[program.blocks[0].columns]
    assert (rows.argmax(axis=0) == [0, 1, 0, 2, 1, 2]).all()
    upper = program.matrix.upper[program.blocks[0].columns]
    assert (rows <= upper).all()


# -- mapping ---------------------------------------------------------------------------------------


def price(between, link, ranks, kind: str) -> float:
    total = 0.0
    for layer, pairs in enumerate(between):
        cost = pairs * link[np.ix_(ranks[layer], ranks[layer + 1])]
        total += float(cost.max() if kind == MAX else cost.sum())
    return total


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    shape=st.sampled_from([(2, 2, 4), (3, 3, 3), (6, 3, 3), (4, 2, 1)]),
    kind=st.sampled_from([MAX, SUM]),
)
def test_mapping_is_the_best_of_all(seed: int, shape: tuple[int, int, int], kind: str) -> None:
    experts, ranks, layers = shape
    problem = random_chain(seed, experts, ranks, layers)
    clusters, _ = balanced_clusters(problem)
    between, link = cluster_transitions(problem, clusters), link_costs(problem)
    found = map_exactly(between, link, kind)
    assert (np.sort(found, axis=1) == np.arange(ranks)).all()
    every = product(permutations(range(ranks)), repeat=layers)
    best = min(price(between, link, np.array(ways), kind) for ways in every)
    assert price(between, link, found, kind) == pytest.approx(best, rel=1e-12)
    swapped = map_by_swaps(between, link)
    assert (np.sort(swapped, axis=1) == np.arange(ranks)).all()
    start = np.tile(np.arange(ranks), (layers, 1))
    assert price(between, link, swapped, SUM) <= price(between, link, start, SUM) * (1 + 1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), kind=st.sampled_from([MAX, SUM]))
def test_the_mapping_model_agrees(seed: int, kind: str) -> None:
    problem = random_chain(seed, 3, 3, 3)
    clusters, _ = balanced_clusters(problem)
    between, link = cluster_transitions(problem, clusters), link_costs(problem)
    best = map_exactly(between, link, kind)
    program, lift = lower_mapping(problem, transfers=kind, start=best)
    solution = solved(program)
    expected = price(between, link, best, kind)
    found = lift.ranks(solution)
    assert price(between, link, found, kind) == pytest.approx(expected, rel=1e-5)
    assert solution.objective * lift.unit == pytest.approx(expected, rel=1e-5)
    plan = lift(solution)
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    if kind == SUM:
        assert verdict.facts["transfers"] == pytest.approx(expected, rel=1e-5)


def test_what_is_paid_for_is_what_the_verifier_counts() -> None:
    problem = random_chain(5, 8, 4, 3, profiles=2)
    clusters, _ = balanced_clusters(problem)
    between, link = cluster_transitions(problem, clusters), link_costs(problem)
    ranks = map_exactly(between, link, SUM)
    search = Recorder(problem)
    moetuner.run(problem, search)
    verdict = verify(problem, search.plans["moetuner-sum"])
    assert verdict.facts["transfers"] == pytest.approx(price(between, link, ranks, SUM))


UNEQUAL = np.array([[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]])


def test_unequal_clusters_can_leave_the_published_model_without_an_answer() -> None:
    problem = random_chain(1, 4, 2, 3)  # three layers of 1 and 3 experts: no rank can have 6
    strict, _ = lower_mapping(problem, UNEQUAL, slack=False)
    assert solved(strict).status is Status.INFEASIBLE
    program, lift = lower_mapping(problem, UNEQUAL)
    solution = solved(program)
    assert solution.status is Status.OPTIMAL
    held = np.zeros(2, dtype=np.int64)
    for clusters, ranks in zip(UNEQUAL, lift.ranks(solution), strict=True):
        np.add.at(held, ranks[clusters], 1)
    assert sorted(held) == [5, 7]
    with pytest.raises(UsageError, match="clusters of unequal size make no plan"):
        lift(solution)
    pair, _ = lower_mapping(random_chain(1, 4, 2, 2), UNEQUAL[:2], slack=False)
    assert solved(pair).status is Status.OPTIMAL


# -- the method ------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(problem=problems(slots=1))
def test_it_never_raises_and_its_plans_hold_the_rules(problem: PlacementProblem) -> None:
    search = Recorder(problem, solver=False)
    moetuner.run(problem, search)
    if problem.n_slots != problem.n_experts:
        assert search.plans == {}
    elif problem.free:
        assert search.plans


def test_dead_ranks_hold_nothing() -> None:
    problem = random_chain(2, 6, 4, 3, live=3)
    search = Recorder(problem)
    moetuner.run(problem, search)
    assert set(search.plans) == {"moetuner", "moetuner-sum"}
    for plan in search.plans.values():
        assert (plan.slots[:, problem.dead] == -1).all()


def test_more_ranks_than_permutations_can_be_listed(monkeypatch) -> None:
    monkeypatch.setattr(moetuner, "MAX_RANKS", 2)
    problem = random_chain(4, 3, 3, 3)
    search = Recorder(problem)
    moetuner.run(problem, search)
    assert set(search.plans) == {"moetuner", "moetuner-sum"}
    between = cluster_transitions(problem, balanced_clusters(problem)[0])
    best = price(between, link_costs(problem), map_exactly(between, link_costs(problem), MAX), MAX)
    ranks = search.plans["moetuner"].slots[:, :, 0].argsort(axis=1)
    assert price(between, link_costs(problem), ranks, MAX) == pytest.approx(best, rel=1e-5)
    monkeypatch.setattr(moetuner, "MAX_PRODUCTS", 1)
    search = Recorder(problem)
    moetuner.run(problem, search)
    assert set(search.plans) == {"moetuner-sum"}
    assert search.notes == [
        "moetuner: too many ranks for its mapping model, mapped by swaps instead"
    ]


def test_a_solver_balances_where_partitions_are_too_many(monkeypatch) -> None:
    monkeypatch.setattr(moetuner, "MAX_PARTITIONS", 1)
    problem = random_chain(6, 8, 2, 2)
    search = Recorder(problem)
    moetuner.run(problem, search)
    monkeypatch.undo()
    exact, _ = balanced_clusters(problem)
    for layer, load in enumerate(problem.counts[0]):
        rank = np.empty(8, dtype=np.int64)
        for g, experts in enumerate(search.plans["moetuner"].slots[layer]):
            rank[experts] = g
        assert off_mean(load, rank) == pytest.approx(off_mean(load, exact[layer]), rel=1e-5)


def test_without_transitions_clusters_stay_in_order() -> None:
    problem = random_chain(0, 4, 2, 2)
    loads = problem.replace(traffic="none", transitions=None)
    search = Recorder(loads)
    moetuner.run(loads, search)
    expected = tables_of(loads, balanced_clusters(loads)[0])
    assert (search.plans["moetuner"].slots == expected).all()


@pytest.mark.skipif(not TRACE.exists(), reason="no real trace; set MAPC_DATA")
def test_the_real_trace_on_two_nodes() -> None:
    problem = real((2, 2), 2)
    search = Recorder(problem)
    moetuner.run(problem, search)
    assert balanced_clusters(problem)[1]
    order = PlacementPlan(np.broadcast_to(np.arange(8).reshape(4, 2), (32, 4, 2)))
    contiguous = verify(problem, order).objective
    # the sum of transfers is what the objective pays for, so its second stage is the better one
    assert search.objectives["moetuner-sum"] < search.objectives["moetuner"] < contiguous


def test_what_the_models_do_not_take() -> None:
    problem = random_chain(0, 4, 2, 2)
    spare = problem.replace(slots=3)
    loads = problem.replace(traffic="none", transitions=None)
    for call, message in (
        (lambda: lower_balance(spare), "without replicas; the problem has 6 slots per layer"),
        (lambda: lower_balance(problem, 2), "layer 2: expected 0 to 1"),
        (lambda: lower_mapping(spare), "without replicas"),
        (lambda: lower_mapping(loads), "no transitions; expected token pairs"),
        (lambda: lower_mapping(problem, transfers="mean"), "'mean': expected max or sum"),
        (lambda: lower_mapping(problem, UNEQUAL), r"clusters: expected int\[2, 4\], 0 to 1"),
        (lambda: lower_mapping(problem, UNEQUAL[:2] + 1), "clusters: expected"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
    _, lift = lower_mapping(problem)
    with pytest.raises(UsageError, match="no placement in a solution that is unknown"):
        lift(Solution(Status.UNKNOWN, Stop.TIME))


def test_formulations_are_listed_by_name() -> None:
    assert {name: one.name for name, one in FORMULATIONS_MOETUNER.items()} == {
        "moetuner-balance": "moetuner-balance",
        "moetuner-mapping": "moetuner-mapping",
    }
    for formulation in FORMULATIONS_MOETUNER.values():
        program, _ = formulation.lower(random_chain(0, 4, 2, 2))
        assert program.n_rows
