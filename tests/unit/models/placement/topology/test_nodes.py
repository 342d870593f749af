import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.instances.generators.placement import generate
from mapc.instances.generators.transitions import synthesise
from mapc.models.placement.topology import nodes
from mapc.models.placement.topology.node_search import (
    State,
    anneal_nodes,
    hottest_first,
    nodes_of,
    used_slots,
)
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[6] / "shared" / "data")
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"


class Recorder:
    """A search without a clock that keeps what verifies."""

    seed, deterministic = 0, True

    def __init__(self, problem, most=100):
        self.problem, self.found, self.refused, self.most = problem, [], [], most

    def done(self):
        return len(self.found) >= self.most

    def propose(self, plan, source):
        verdict = verify(self.problem, plan)
        (self.refused if verdict.violations else self.found).append((verdict, plan))
        return not verdict.violations


def run(problem, most=100):
    recorder = Recorder(problem, most)
    nodes.run(problem, recorder)
    assert recorder.refused == []
    return recorder.found


@pytest.fixture
def short(monkeypatch):
    """A hundredth of the moves: these tests are about rules, not about quality."""
    monkeypatch.setattr(nodes, "QUICK", 5)
    monkeypatch.setattr(nodes, "STEPS_PER_EXPERT", 10)
    monkeypatch.setattr(nodes, "SETTLING", 50)


@settings(max_examples=30, deadline=None)
@given(problem=problems(traffic="chain", transfer=True, rules=False))
def test_plans_keep_all_rules(problem):
    steps = nodes.QUICK, nodes.STEPS_PER_EXPERT, nodes.SETTLING
    nodes.QUICK, nodes.STEPS_PER_EXPERT, nodes.SETTLING = 5, 10, 50
    try:
        run(problem)
    finally:
        nodes.QUICK, nodes.STEPS_PER_EXPERT, nodes.SETTLING = steps


@pytest.mark.parametrize("limit", [None, 1.2])
@pytest.mark.parametrize("slots", [4, 5])
@pytest.mark.parametrize("n", [1, 2])
def test_it_finds_plans_that_travel_less_than_at_random(limit, slots, n):
    problem = generate(4, 16, 4, slots=slots, nodes=n, transitions=0.5, seed=4)
    found = run(problem.replace(max_imbalance=limit))
    assert found
    verdict, _ = min(found, key=lambda pair: pair[0].objective)
    assert verdict.facts["cross_rank"] < 0.75
    if n == 2:
        assert verdict.facts["cross_node"] < 0.5


def test_problems_of_other_kinds_are_left_alone(short):
    problem = generate(2, 8, 4, transitions=0.3, nodes=2)
    for other in (
        generate(2, 8, 4, nodes=2),
        problem.replace(dead=np.array([True, False, False, False]), slots=3),
        problem.replace(pinned=np.array([[0, 0, 0]])),
        generate(1, 8, 4, nodes=2, transitions=0.3),
    ):
        assert run(other) == []


def test_equal_seeds_give_equal_plans(short):
    problem = generate(3, 12, 4, slots=4, nodes=2, transitions=0.3)
    one, two = run(problem)[-1][1], run(problem)[-1][1]
    assert np.array_equal(one.slots, two.slots)


# -- states ----------------------------------------------------------------------------------------


def state_of(seed, layers=4, experts=10, n=3, spare=4):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 99, (layers, experts))
    counts = np.rint(counts / counts.sum(axis=1, keepdims=True) * 1e6).astype(np.int64)
    counts[:, 0] += 10**6 - counts.sum(axis=1)
    pairs = synthesise(counts, eta=0.4, successors=3, communities=2, seed=seed) / 1e6
    slots = np.full(n, (experts + spare + n - 1) // n)
    mass = counts / 1e6
    return State.start(pairs, mass, hottest_first(mass, slots, np.full(n, 1 / n), spare))


def brute_crossing(state):
    """Tokens that change node, token by token kind."""
    on = state.on.astype(bool)
    share = on[0] / on[0].sum(axis=1, keepdims=True)
    crossing = 0.0
    for layer, pairs in enumerate(state.pairs.astype(np.float64)):
        arrived = np.zeros(on[layer].shape)
        for e, f in np.ndindex(*pairs.shape):
            for n in range(on.shape[2]):
                tokens = pairs[e, f] * share[e, n]
                if on[layer + 1, f, n]:
                    arrived[f, n] += tokens
                else:
                    crossing += tokens
                    arrived[f] += tokens * on[layer + 1, f] / on[layer + 1, f].sum()
        share = arrived / arrived.sum(axis=1, keepdims=True)
    return crossing


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 6))
def test_annealing_keeps_its_books(seed, spare):
    state = state_of(seed, spare=spare)
    before = state.used.copy()
    limit = np.full(state.load.shape, 0.5)
    crossing = anneal_nodes(state, limit, steps=2000, seed=seed, hot=1e-2, cold=1e-3, batches=4)
    assert crossing == pytest.approx(brute_crossing(state), rel=1e-5)
    assert np.array_equal(state.on.sum(axis=2), state.copies)
    assert (state.copies >= 1).all()
    assert (state.on.sum(axis=1) == before).all()
    for layer, n in np.ndindex(*state.load.shape):
        listed = state.slots[layer, n, : before[n]]
        assert sorted(listed) == np.flatnonzero(state.on[layer, :, n]).tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_annealing_lowers_what_travels(seed):
    state = state_of(seed)
    start = state.renew()
    limit = np.full(state.load.shape, 1.0)
    assert anneal_nodes(state, limit, steps=4000, seed=seed, hot=1e-3, cold=1e-5) <= start * 1.02


def test_prices_are_what_a_token_costs_further_on():
    state = state_of(3, layers=3, spare=3)
    state.renew()
    base = state.share[1].copy()
    expert = int(np.argmax(state.copies[1]))
    total = []
    for n in np.flatnonzero(state.on[1, expert]):
        share = base.copy()
        share[expert] = 0.0
        share[expert, n] = 1.0
        wanted = state.pairs_t[1] @ share
        total.append(float((wanted * (1 - state.on[2])).sum()))
    prices = state.price[1, expert][state.on[1, expert] > 0]
    assert np.diff(total) == pytest.approx(np.diff(prices), abs=1e-7)


def test_hot_experts_start_everywhere():
    mass = np.array([[0.4, 0.2, 0.1, 0.1, 0.1, 0.1]])
    on = hottest_first(mass, np.array([4, 4]), np.array([0.5, 0.5]), 2)
    assert on[0].sum(axis=1).tolist() == [2, 2, 1, 1, 1, 1]
    assert on[0].sum(axis=0).tolist() == [4, 4]


def test_slots_of_a_node_are_given_back_down_to_those_of_a_rank():
    assert used_slots(np.array([8, 8]), 10, 2, 4).tolist() == [6, 6]
    assert used_slots(np.array([8, 8]), 6, 0, 4).tolist() == [4, 4]


def test_ranks_of_a_single_node_are_nodes_of_their_own():
    problem = generate(2, 8, 4, transitions=0.1)
    assert [ranks.tolist() for ranks in nodes_of(problem).ranks] == [[0], [1], [2], [3]]
    problem = generate(2, 8, 4, nodes=2, transitions=0.1)
    assert nodes_of(problem).capacity.tolist() == [0.5, 0.5]


SCRIPT = """
import functools
import numpy as np
from mapc.models.placement.topology import nodes
from mapc.models.placement.topology.selection import best_copies
from mapc.instances.generators.placement import generate
nodes.QUICK, nodes.STEPS_PER_EXPERT, nodes.SETTLING = 3, 3, 20
nodes.balance_tables = functools.partial(nodes.balance_tables, rounds=0)
problem = generate(3, 8, 4, slots=3, nodes=2, transitions=0.5)
class Search:
    seed, deterministic = 0, True
    def done(self): return False
    def propose(self, plan, source): print(plan.slots.tolist())
nodes.run(problem, Search())
print(best_copies(problem.counts[0].T, np.array([4, 3, 3])).tolist())
"""


def test_kernels_run_as_plain_python_just_the_same():
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "NUMBA_DISABLE_JIT": disable},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disable in ("0", "1")
    ]
    assert said[0].count("\n") >= 2
    assert said[0] == said[1]


@pytest.mark.skipif(not COUNTS.exists(), reason="no recorded counts; set MAPC_DATA")
def test_real_loads_travel_less_than_three_in_five():
    from mapc.graph.devices import DeviceGraph
    from mapc.models.placement.problem import PlacementProblem, StepTime

    counts = np.load(COUNTS)["prefill_in4096"]
    problem = PlacementProblem(
        name="four nodes",
        counts=counts[None],
        profiles=("prefill",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([8] * 4, 10**12, 10.0, 1.0),
        slots=9,
        cost=StepTime(transfer=1.0),
        traffic="chain",
        dispatch="local",
        transitions=synthesise(counts, eta=0.1)[None],
        max_imbalance=1 / 0.98,
    )
    facts = run(problem, most=1)[0][0].facts  # the first, quick plan will do
    assert facts["min_layer_balancedness"] >= 0.98
    assert facts["cross_node"] <= 0.60
