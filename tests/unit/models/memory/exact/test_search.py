"""The exact search: optima against single moves, each rule against doing without, limits, plans."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.exact import Found, least_traffic
from mapc.models.memory.exact import engine as engine_module
from mapc.models.memory.exact.engine import Engine, load_kernels
from mapc.models.memory.exact.layout import Rules
from mapc.models.memory.methods import search_states
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from oracles.memory_branches import branches
from oracles.memory_bruteforce import dijkstra, small_problems
from oracles.memory_cases import chain_with_skip
from oracles.plain_python import both_ways

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
NASNET = DATA / "memory" / "graphs" / "timm_nasnetalarge.json"
needs_nasnet = pytest.mark.skipif(not NASNET.exists(), reason="no NASNet-A; set MAPC_DATA")

NO_RULES = Rules(closure=False, dominance=False, gaps=False, forced=False, tokens=False)
RULES = ("closure", "dominance", "gaps", "forced", "tokens")
cases = st.one_of(branches(), branches(), small_problems())


def check(problem: MemoryProblem, found: Found) -> None:
    """The order runs, and its kept links fit and cost what is claimed."""
    assert found.order is not None
    assert found.keep is not None
    assert problem.graph.is_topological(found.order)
    schedule = Schedule(problem, found.order)
    assert schedule.cost(found.keep) == found.cost
    assert (schedule.needed + schedule.held(found.keep) <= problem.room).all()


@settings(max_examples=60, deadline=None)
@given(problem=cases)
def test_the_optimum_over_all_orders_is_found_and_proven(problem: MemoryProblem) -> None:
    found = least_traffic(problem)
    assert found.proven
    assert found.cost == found.bound == dijkstra(problem)
    check(problem, found)


@settings(max_examples=60, deadline=None)
@given(problem=cases)
def test_without_any_one_of_the_rules_the_optimum_is_the_same(problem: MemoryProblem) -> None:
    plain = least_traffic(problem, rules=NO_RULES)
    assert plain.proven
    check(problem, plain)
    for rule in RULES:
        alone = least_traffic(problem, rules=replace(NO_RULES, **{rule: True}))
        without = least_traffic(problem, rules=Rules(**{rule: False}))
        assert (alone.cost, alone.bound) == (without.cost, without.bound) == (plain.cost,) * 2


@settings(max_examples=40, deadline=None)
@given(problem=cases, data=st.data())
def test_no_completion_of_a_state_costs_less_than_its_bound(
    problem: MemoryProblem, data: st.DataObject
) -> None:
    kernels = load_kernels()
    assert kernels is not None
    engine = Engine(problem, kernels)
    engine.run()
    rows = st.integers(0, engine.states - 1)
    for q in data.draw(st.lists(rows, min_size=1, max_size=5, unique=True)):
        if engine.pool[q, engine.table.LEAST] != engine.table.NEEDLESS:
            assert engine.pool[q, engine.table.LEAST] <= completion(problem, engine, q)


def completion(problem: MemoryProblem, engine: Engine, q: int) -> int:
    """Least cost of a whole plan that goes through a state, by the search without rules."""
    k, now = engine.state, engine.layout.now
    engine.table.enter(*engine.graph, engine.nodes, engine.lives, engine.pool, q, now)
    plain = Engine(problem, load_kernels(), rules=NO_RULES)
    dynamic = [k.LEFT, k.HELD, k.SAVED, k.AT, k.LIVE]
    plain.layout.ts[:, dynamic] = engine.layout.ts[:, dynamic]
    plain.layout.ops[:, [k.DONE, k.WAIT]] = engine.layout.ops[:, [k.DONE, k.WAIT]]
    live = engine.layout.ts[: now[k.N_LIVE], k.LIVE]
    off = live[engine.layout.ts[live, k.HELD] == 0]
    for entry in (k.N_LIVE, k.HASH, k.DEPTH, k.USED, k.COST):
        plain.layout.now[entry] = now[entry]
    plain.layout.now[k.REST] = problem.sizes[off].sum()
    plain.layout.now[k.WORDS :] = now[k.WORDS :]
    plain.layout.now[k.N_HEAP] = 0  # the empty state is not wanted
    plain.offer_start()
    plain.run()
    return plain.cost


@settings(max_examples=40, deadline=None)
@given(problem=cases)
def test_what_is_kept_up_move_by_move_equals_its_definition(problem: MemoryProblem) -> None:
    kernels = load_kernels()
    assert kernels is not None
    engine = Engine(problem, kernels)
    engine.run()
    k, now, ts = engine.state, engine.layout.now, engine.layout.ts
    for q in range(engine.states):
        engine.table.enter(*engine.graph, engine.nodes, engine.lives, engine.pool, q, now)
        live = ts[: now[k.N_LIVE], k.LIVE]
        held = ts[live, k.HELD] > 0
        assert now[k.USED] == problem.sizes[live[held]].sum() <= problem.room
        gaps = sum(k.gap(*engine.graph, t) for t in range(problem.graph.n_tensors))
        assert now[k.REST] == problem.sizes[live[~held]].sum() + gaps
        done = engine.layout.ops[:, k.DONE] > 0
        left = [int((~done[readers]).sum()) for readers in map(problem.graph.consumers.__getitem__,
                range(problem.graph.n_tensors))]  # fmt: skip
        assert ts[: problem.graph.n_tensors, k.LEFT].tolist() == left
        assert all(ts[t, k.SAVED] for t in live[~held])


@settings(max_examples=40, deadline=None)
@given(problem=cases, weight=st.sampled_from([1.25, 1.5, 3.0]))
def test_a_weighted_search_keeps_within_its_weight_and_claims_nothing(
    problem: MemoryProblem, weight: float
) -> None:
    found = least_traffic(problem, weight=weight)
    optimum = least_traffic(problem).cost
    check(problem, found)
    assert optimum <= found.cost <= weight * optimum
    assert (found.bound, found.proven) == (0, False)


@settings(max_examples=40, deadline=None)
@given(problem=cases, states=st.integers(1, 12))
def test_at_a_limit_the_bound_still_holds(problem: MemoryProblem, states: int) -> None:
    kernels = load_kernels()
    assert kernels is not None
    engine = Engine(problem, kernels)
    while engine.states < states and engine.advance(steps=1) == engine.search.MORE:
        assert engine.bound <= least_traffic(problem).cost


@settings(max_examples=30, deadline=None)
@given(problem=cases, more=st.integers(0, 3))
def test_what_is_known_is_a_limit(problem: MemoryProblem, more: int) -> None:
    optimum = least_traffic(problem).cost
    assert optimum is not None
    found = least_traffic(problem, known=optimum + more)
    assert found.proven
    assert found.bound == optimum
    assert (found.order is None) == (more == 0)
    below = least_traffic(problem, known=max(0, optimum - 1))
    assert (below.order, below.bound) == (None, max(0, optimum - 1))


def test_a_search_that_is_told_to_stop_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "STEPS", 1)
    found = least_traffic(wide(12), done=lambda: True)
    assert not found.proven
    assert found.order is None
    assert found.bound == least_traffic(wide(12)).cost == 0


@pytest.mark.parametrize("limit", ["MEMORY", "CROWD"])
def test_limits_of_memory_and_of_moves_leave_a_valid_bound(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    problem = chain_with_skip(capacity=9)
    monkeypatch.setattr(engine_module, "STEPS", 1)
    monkeypatch.setattr(engine_module, limit, 0)
    found = least_traffic(problem)
    assert not found.proven
    assert found.bound <= least_traffic(problem, rules=NO_RULES).bound <= 10
    monkeypatch.undo()
    assert least_traffic(problem).bound == 10


@pytest.mark.parametrize("method", ["exact-short", "exact"])
def test_each_method_alone_has_a_plan_and_the_proof(method: str) -> None:
    problem = chain_with_skip(capacity=9)
    result = mapc.solve(problem, time_limit=None, methods=[method])
    assert (result.objective, result.bound, result.status.value) == (10, 10, "optimal")
    assert mapc.check(problem, result.plan) == []


def wide(branches: int, capacity: int | None = None) -> MemoryProblem:
    """Operators that all read one tensor, and one that reads all they write."""
    n = branches + 1
    graph = OperatorGraph(
        name="wide",
        operator_names=tuple(f"o{i}" for i in range(n)),
        operator_kinds=("any",) * n,
        workspace=np.zeros(n, dtype=np.int64),
        inputs=Ragged.of([[0]] * branches + [list(range(1, n))]),
        outputs=Ragged.of([[i + 1] for i in range(n)]),
        tensor_names=tuple(f"t{i}" for i in range(n + 1)),
        tensor_bytes=np.ones(n + 1, dtype=np.int64),
        is_output=np.array([False] * n + [True]),
        is_constant=np.zeros(n + 1, dtype=np.bool_),
    )
    return MemoryProblem(graph, branches + 1 if capacity is None else capacity)


def test_more_live_tensors_than_a_mask_has_bits() -> None:
    found = least_traffic(wide(80), states=20_000)
    assert (found.cost, found.bound, found.proven) == (0, 0, True)
    check(wide(80), found)


@pytest.mark.parametrize("operators", [1, 3])
def test_a_graph_without_tensors_costs_nothing(operators: int) -> None:
    nothing = Ragged.of([[]] * operators)
    graph = OperatorGraph(
        name="no tensors",
        operator_names=tuple(f"o{i}" for i in range(operators)),
        operator_kinds=("any",) * operators,
        workspace=np.arange(3, 3 + operators),
        inputs=nothing,
        outputs=nothing,
        tensor_names=(),
        tensor_bytes=np.zeros(0, dtype=np.int64),
        is_output=np.zeros(0, dtype=np.bool_),
        is_constant=np.zeros(0, dtype=np.bool_),
    )
    problem = MemoryProblem(graph, 2 + operators)
    found = least_traffic(problem)
    assert (found.cost, found.bound, found.proven) == (0, 0, True)
    assert mapc.solve(problem, time_limit=None).objective == 0


def test_the_method_proposes_plans_with_addresses_and_proves_them() -> None:
    problem = mapc.read(NASNET) if NASNET.exists() else wide(6)
    problem = replace(problem, capacity=problem.smallest_capacity)
    result = mapc.solve(problem, time_limit=None, methods=["exact"])
    assert result.status.value == "optimal"
    assert mapc.check(problem, result.plan) == []
    assert result.method.startswith("exact search")


class Refusing:
    """A search that is over before it begins."""

    seed, objective, plan, bound, deterministic = 0, None, None, None, False

    def __init__(self) -> None:
        self.proven: list[int] = []

    def remaining(self) -> float:
        return 0.0

    def done(self) -> bool:
        return True

    def prove(self, bound: int, source: str) -> None:
        self.proven.append(bound)

    def propose(self, plan: object, source: str) -> bool:
        raise AssertionError("no time for that")


def test_the_method_keeps_to_a_search_that_is_over() -> None:
    search = Refusing()
    search_states(wide(40, 42), search)  # type: ignore[arg-type]
    assert search.proven == [0]


@needs_nasnet
@pytest.mark.parametrize(
    ("capacity", "extra"),
    [(5_420_736, 15_961_380), (6_984_234, 10_454_400), (8_547_731, 578_676), (8_547_732, 0)],
)
def test_nasnet(capacity: int, extra: int) -> None:
    problem = replace(mapc.read(NASNET), capacity=capacity)
    found = least_traffic(problem)
    assert (found.cost, found.bound, found.proven) == (extra, extra, True)
    check(problem, found)


PLAIN = """
import json, sys
import numpy as np
from dataclasses import replace
from hypothesis import given, settings
from mapc.models.memory.exact import least_peak, least_traffic
from oracles.memory_branches import branches

answers = []

@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(problem=branches())
def ask(problem):
    one, two = least_traffic(problem), least_peak(problem)
    answers.append([one.order.tolist(), one.keep.tolist(), one.cost, one.bound, one.states,
                    two.order.tolist(), two.bytes, two.bound, two.states])

ask()
print(json.dumps(answers))
"""


def test_kernels_do_the_same_as_plain_python() -> None:
    answers = [json.loads(printed) for printed in both_ways(PLAIN)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 25
