"""Coordinate descent: its costs are the verifier's, and it never gets worse."""

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.kernels import load
from mapc.models.placement.chains import coordinate
from mapc.models.placement.chains.coordinate import Descent
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import CHAIN, EXPECTED, PlacementProblem, StepTime
from mapc.models.placement.rows import plan_of
from mapc.models.placement.verify import verify
from oracles.placement_states import Recorder, brute_force, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
needs_trace = pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")


@pytest.fixture(scope="module")
def modules() -> tuple[ModuleType, ModuleType]:
    names = ("coordinate_kernels", "assignment_kernels")
    found = [load(f"mapc.models.placement.chains.{name}") for name in names]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


class Plain:
    """The kernels as plain Python, one level deep."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name: str) -> object:
        found = getattr(self.module, name)
        return getattr(found, "py_func", found)


def verified(problem: PlacementProblem, rank: np.ndarray) -> float:
    """Return the verifier's objective of ranks, int64[L, E], rules aside."""
    tables = np.argsort(rank, axis=1, kind="stable")
    shape = (problem.n_layers, len(problem.live), problem.slots)
    return verify(problem, plan_of(problem, tables.reshape(shape))).objective


def shuffled(problem: PlacementProblem, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    order = [rng.permutation(problem.n_experts) for _ in range(problem.n_layers)]
    return np.stack(order) // problem.slots


@pytest.mark.parametrize("plain", [False, True])
@settings(max_examples=30, deadline=None)
@given(problem=small_problems(), seed=st.integers(0, 99))
def test_tracked_costs_are_those_of_the_verifier(
    modules: tuple[ModuleType, ModuleType], plain: bool, problem: PlacementProblem, seed: int
) -> None:
    kernels = Plain(modules[0]) if plain else modules[0]
    descent = Descent(problem, kernels, modules[1])
    place = descent.place(shuffled(problem, seed))
    rounding = 2.0 * problem.n_layers * problem.n_profiles  # ticks: work and transfers are rounded
    start = descent.objective(place)
    assert abs(start - verified(problem, place.rank) / problem.tick) <= rounding
    search, rng = Recorder(problem), np.random.default_rng(seed)
    coordinate.settle(descent, place, range(problem.n_layers), rng, search)
    end = descent.objective(place)
    assert end <= start
    assert abs(end - verified(problem, place.rank) / problem.tick) <= rounding
    assert (np.apply_along_axis(np.bincount, 1, place.rank) == problem.slots).all()
    fresh = descent.place(place.rank.copy())
    assert np.allclose(fresh.work, place.work, rtol=1e-12, atol=0.5)
    assert np.allclose(fresh.moved, place.moved, rtol=1e-12, atol=0.5)


@settings(max_examples=20, deadline=None)
@given(problem=small_problems(rules=False), seed=st.integers(0, 99))
def test_plans_hold_and_are_no_worse_than_the_start(problem: PlacementProblem, seed: int) -> None:
    table = np.argsort(shuffled(problem, seed), axis=1)
    start = PlacementPlan(table.reshape(problem.n_layers, problem.n_ranks, problem.slots))
    first = verify(problem, start)
    search = Recorder(problem, seed=seed)
    if not first.violations:
        search.propose(start, "start")
    coordinate.run(problem, search)  # the recorder refuses plans that break a rule
    best = brute_force(problem)
    if search.objective is None:
        assert problem.max_imbalance is not None
        return
    assert best is not None
    rounding = 2.0 * problem.n_layers * problem.n_profiles * problem.tick
    assert best <= search.objective
    if search.offered and not first.violations:
        assert search.objective <= first.objective
        assert search.offered[1] <= first.objective + rounding


@settings(max_examples=20, deadline=None)
@given(problem=small_problems(traffic=(CHAIN,), profiles=EXPECTED), seed=st.integers(0, 9))
def test_rules_are_kept(problem: PlacementProblem, seed: int) -> None:
    search = Recorder(problem, seed=seed)
    coordinate.run(problem, search)
    if search.objective is not None:
        assert verify(problem, search.plan).violations == ()


def test_equal_seeds_give_equal_plans() -> None:
    problem = random_chain(24, 6, 4, 1)
    found = []
    for _ in range(2):
        search = Recorder(problem, seed=3)
        coordinate.run(problem, search)
        found.append(search.plan.slots)
    assert np.array_equal(found[0], found[1])


def test_replicas_are_left_alone() -> None:
    problem = random_chain(6, 3, 3, 2).replace(slots=3)
    search = Recorder(problem)
    coordinate.run(problem, search)
    assert search.plan is None


def test_it_stops_when_told_to() -> None:
    problem = random_chain(24, 6, 4, 4)
    search = Recorder(problem, patience=4)
    coordinate.run(problem, search)
    assert len(search.offered) <= 1


@needs_trace
def test_the_mixtral_trace_comes_within_half_a_percent() -> None:
    with np.load(TRACE) as data:
        counts, transitions = data["counts"][None], data["transitions"][None]
    problem = chain_of(counts, transitions, 4)
    search = Recorder(problem)
    coordinate.run(problem, search)
    assert search.objective <= 51072 * 1.005  # 51072: proven by the chain


def random_chain(experts: int, ranks: int, layers: int, seed: int) -> PlacementProblem:
    rng = np.random.default_rng(seed)
    transitions = rng.integers(0, 30, (1, layers - 1, experts, experts))
    return chain_of(rng.integers(1, 99, (1, layers, experts)), transitions, ranks)


def chain_of(counts: np.ndarray, transitions: np.ndarray, ranks: int) -> PlacementProblem:
    return PlacementProblem(
        name="chain",
        counts=counts.astype(np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([ranks], 1 << 40, 1.0, 1.0),
        slots=counts.shape[2] // ranks,
        cost=StepTime(token=4.0, transfer=1.0),
        traffic=CHAIN,
        transitions=transitions.astype(np.int64),
        top_k=2,
    )
