import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.topology import home, traffic_bounds
from mapc.models.placement.topology.home import nearest_split
from mapc.models.placement.topology.home_model import FORMULATIONS_HOME
from mapc.models.placement.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.placement_cases import brute_force, problems, random_plan

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[6] / "shared" / "data")
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
lower = FORMULATIONS_HOME["home"].lower


class Recorder:
    """A search without a clock that keeps what verifies."""

    seed, deterministic, bound = 0, True, -np.inf

    def __init__(self, problem):
        self.problem, self.found, self.refused = problem, [], []

    def done(self):
        return False

    def prove(self, bound, source):
        self.bound = max(self.bound, bound)

    def propose(self, plan, source):
        verdict = verify(self.problem, plan)
        (self.refused if verdict.violations else self.found).append((verdict, plan))
        return not verdict.violations


def run(problem):
    recorder = Recorder(problem)
    home.run(problem, recorder)
    assert recorder.refused == []
    return [verdict for verdict, _ in recorder.found]


def make(sources, slots, ranks=(1, 1), **changes):
    """One profile and layer, tokens that cost nothing, unless told otherwise."""
    sources = np.asarray(sources)[None, None]
    given = {
        "name": "home",
        "counts": sources.sum(axis=2),
        "profiles": ("p",),
        "weight": np.ones(1),
        "scale": np.ones(1),
        "cluster": DeviceGraph.cluster(ranks, 10**9, 2.0**40, 1.0),
        "slots": slots,
        "cost": StepTime(token=0.0, transfer=1.0),
        "traffic": "home",
        "dispatch": "local",
        "sources": sources,
    }
    return PlacementProblem(**{**given, **changes})


@settings(max_examples=40, deadline=None)
@given(problem=problems(traffic="home", transfer=True, rules=False))
def test_plans_keep_all_rules(problem):
    run(problem)


@settings(max_examples=40, deadline=None)
@given(
    problem=problems(traffic="home", transfer=True, rules=False, links="sum", overlap=False,
                     goal="expected", profiles=1, slots=1, layers=1, dead=0)
)  # fmt: skip
def test_without_work_and_spare_slots_it_is_exact(problem):
    problem = problem.replace(
        cost=StepTime(token=0.0, transfer=1.0),
        dispatch="local",
        max_imbalance=None,
        current=None,
        max_moves=None,
    )
    if problem.n_slots > problem.n_experts or problem.n_ranks < 2:
        return
    best = brute_force(problem)
    assert min(verdict.objective for verdict in run(problem)) == best.objective


def test_copies_go_where_tokens_live():
    problem = make([[9, 9, 1, 0], [9, 1, 9, 8]], slots=3)
    (verdict, plan), *_ = _found(problem)
    assert verdict.objective == 1.0  # experts 0 and 2 on both, one token wants 1
    assert sorted(plan.slots[0, 0].tolist()) == [0, 1, 2] or sorted(plan.slots[0, 1].tolist()) == [
        0,
        2,
        3,
    ]


def _found(problem):
    recorder = Recorder(problem)
    home.run(problem, recorder)
    return sorted(recorder.found, key=lambda pair: pair[0].objective)


def test_a_load_limit_is_met_by_sending_tokens_away():
    sources = np.array([[40, 30, 20, 10, 0, 0, 0, 0], [0, 0, 0, 0, 4, 3, 2, 1]]) + 1
    free = make(sources, slots=4)
    limited = free.replace(max_imbalance=1.2)
    loose, tight = run(free), run(limited)
    assert min(v.objective for v in loose) < min(v.objective for v in tight)
    assert min(v.facts["min_layer_balancedness"] for v in tight) >= 1 / 1.2 - 1e-9


@settings(max_examples=40, deadline=None)
@given(problem=problems(traffic="home", dispatch="adaptive", transfer=True), seed=st.integers(0, 9))
def test_splits_hand_out_every_token_near_home(problem, seed):
    if problem.sources is None:
        return
    plan = random_plan(problem.replace(dispatch="equal"), seed)
    split = nearest_split(problem, plan.slots)
    by_source = split.sum(axis=(3, 4))
    assert (split >= 0).all()
    assert np.array_equal(by_source, problem.sources.sum(axis=3))
    has_near = _near_tokens(problem, plan.slots)
    handled_near = _handled_near(problem, split)
    assert np.array_equal(handled_near, has_near)


def _near_tokens(problem, slots):
    """Tokens of every source whose expert is in its node, int64[P, L, Q]."""
    found = np.zeros(problem.sources.shape[:3], dtype=np.int64)
    for p, layer, q, e in np.ndindex(*problem.sources.shape):
        ranks = np.flatnonzero((slots[layer] == e).any(axis=1))
        node = q if problem.sources.shape[2] < problem.n_ranks else problem.node[q]
        if (problem.node[ranks] == node).any():
            found[p, layer, q] += problem.sources[p, layer, q, e]
    return found


def _handled_near(problem, split):
    found = np.zeros(split.shape[:3], dtype=np.int64)
    for q in range(split.shape[2]):
        node = q if split.shape[2] < problem.n_ranks else problem.node[q]
        found[:, :, q] = split[:, :, q][:, :, problem.node == node].sum(axis=(2, 3))
    return found


# -- the program -----------------------------------------------------------------------------------


def small(limit=None, seed=0):
    rng = np.random.default_rng(seed)
    sources = rng.integers(1, 60, (2, 6))
    return make(sources, slots=2, ranks=(2, 2), max_imbalance=limit)


@pytest.mark.parametrize("limit", [None, 1.3])
def test_the_program_is_a_bound_and_makes_a_plan(limit):
    problem = small(limit)
    program, lift = lower(problem)
    solution = registry.solve(program, "highs", limits=Limits(time=20))
    assert solution.status is Status.OPTIMAL
    tokens = float(problem.counts.sum())
    plans = [verdict.facts["cross_node"] for verdict in run(problem)]
    assert min(plans) >= solution.bound - 1e-6
    verdict = verify(problem.replace(max_imbalance=None), lift(solution))
    assert verdict.violations == ()
    if limit is None:
        assert verdict.facts["cross_node"] == pytest.approx(solution.objective)
        assert min(plans) == pytest.approx(solution.objective)
        recorder = Recorder(problem)
        traffic_bounds.run(problem, recorder)
        assert recorder.bound == pytest.approx(solution.objective * tokens, rel=1e-6)


def test_load_rows_only_ever_cost():
    problem = small(1.05, seed=3)
    values = []
    for balanced in (True, False):
        program, _ = lower(problem, balanced=balanced)
        values.append(registry.solve(program, "highs", limits=Limits(time=20)).objective)
    assert values[0] >= values[1] - 1e-9


def test_other_traffic_is_refused():
    problem = small().replace(traffic="none", sources=None, dispatch="equal")
    with pytest.raises(UsageError, match="traffic is none; expected home"):
        lower(problem)


def test_only_all_layers_make_a_plan():
    problem = small()
    problem = problem.replace(
        counts=np.repeat(problem.counts, 2, axis=1), sources=np.repeat(problem.sources, 2, axis=1),
        layer_ids=np.arange(2), model_layers=2,
    )  # fmt: skip
    program, lift = lower(problem, layers=np.array([1]))
    solution = registry.solve(program, "highs", limits=Limits(time=20))
    with pytest.raises(UsageError, match="only a solution of all layers"):
        lift(solution)


@pytest.mark.skipif(not COUNTS.exists(), reason="no recorded counts; set MAPC_DATA")
def test_real_loads_come_within_half_a_percent_of_the_bound():
    table = np.load(COUNTS)
    names = ("prefill_in4096", "prefill_in512", "prefill_in2048", "prefill_in1000out1000")
    loads = [table[name][10:20] / table[name][10:20].sum(axis=1, keepdims=True) for name in names]
    sources = np.rint(np.stack(loads, axis=1) * 1e6).astype(np.int64)
    problem = make(sources[0], slots=9, ranks=(8,) * 4).replace(
        counts=sources.sum(axis=1)[None], sources=sources[None], max_imbalance=1 / 0.98,
        layer_ids=np.arange(10), model_layers=10,
    )  # fmt: skip
    recorder = Recorder(problem)
    traffic_bounds.run(problem, recorder)
    best = min(run(problem), key=lambda verdict: verdict.objective)
    assert best.facts["min_layer_balancedness"] >= 0.98
    assert recorder.bound >= best.objective * 0.995
