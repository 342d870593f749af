"""What searches compute of flows, beside what the verifier replays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.topology.propagation import (
    choose_local,
    imbalance,
    propagate,
    step_ticks,
)
from mapc.models.placement.verify import verify


@st.composite
def cases(draw):
    """Draw a small problem with traffic and a plan of it."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    nodes, per_node = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    ranks = nodes * per_node
    slots = draw(st.integers(1, 4))
    layers = draw(st.integers(1, 4))
    experts = draw(st.integers(slots, ranks * slots))
    profiles = draw(st.integers(1, 2))
    traffic = draw(st.sampled_from(["chain", "home"]))
    counts = rng.integers(0, 30, (profiles, layers, experts))
    counts[:, :, 0] += 1
    sources = transitions = None
    if traffic == "chain":
        transitions = rng.integers(0, 9, (profiles, layers - 1, experts, experts))
        transitions *= rng.random(transitions.shape) < 0.6
    else:
        q = draw(st.sampled_from([None, nodes, ranks]))
        if q is not None:
            sources = rng.integers(0, 9, (profiles, layers, q, experts))
            sources[:, :, :, 0] += 1
            counts = sources.sum(axis=2)
    dead = np.zeros(ranks, dtype=np.bool_)
    problem = PlacementProblem(
        name="case",
        counts=counts,
        profiles=tuple(f"p{i}" for i in range(profiles)),
        weight=rng.random(profiles) + 0.1,
        scale=np.ones(profiles),
        cluster=DeviceGraph.cluster([per_node] * nodes, 10**9, 4.0, 1.0),
        slots=slots,
        cost=StepTime(
            token=draw(st.sampled_from([0.0, 1.0])),
            expert=draw(st.sampled_from([0.0, 2.0])),
            layer=0.5,
            transfer=1.0,
            links=draw(st.sampled_from(["sum", "busiest"])),
            overlap=draw(st.booleans()),
            profiles=draw(st.sampled_from(["expected", "worst"])),
        ),
        traffic=traffic,
        dispatch=draw(st.sampled_from(["equal", "local"])),
        transitions=transitions,
        sources=sources,
        dead=dead,
    )
    tables = np.stack([_table(rng, experts, ranks, slots) for _ in range(layers)])
    return problem, PlacementPlan(tables)


def _table(rng, experts, ranks, slots):
    """Fill slots at random, every expert somewhere and none twice on a rank."""
    order = rng.permutation(experts)
    flat = order[np.arange(ranks * slots) % experts]
    return flat.reshape(ranks, slots)


def crossings_of(flows, node):
    """The parts of token pairs that change rank, and node."""
    moved = flows.moved.sum(axis=0)
    total = max(moved.sum(), np.finfo(float).tiny)
    apart = ~np.eye(len(node), dtype=bool), node[:, None] != node
    return [moved[other].sum() / total for other in apart]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_steps_and_figures_are_those_of_the_verifier(case):
    problem, plan = case
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    flows = propagate(problem, plan)
    # one tick of rounding where a sum of quotients is a half
    ours = step_ticks(problem, flows) * problem.tick
    slack = 2 * problem.n_layers * problem.n_profiles * problem.tick
    assert ours == pytest.approx(verdict.objective, rel=1e-12, abs=slack)
    crossings = np.array([crossings_of(flow, problem.node) for flow in flows])
    mean = problem.weight @ crossings
    assert mean[0] == pytest.approx(verdict.facts["cross_rank"], abs=1e-9)
    assert mean[1] == pytest.approx(verdict.facts["cross_node"], abs=1e-9)
    worst = 1 / verdict.facts["min_layer_balancedness"]
    assert imbalance(problem, flows) == pytest.approx(worst, rel=1e-12)


def test_a_token_stays_then_goes_to_its_node_then_anywhere():
    wanted = np.array([[12.0, 0.0], [12.0, 4.0], [0.0, 0.0]])
    has = np.array([[True, False, True], [False, False, True]])
    mass, moved = choose_local(wanted, has, np.array([0, 0, 1]))
    assert mass.tolist() == [[24.0, 0.0, 0.0], [0.0, 0.0, 4.0]]
    assert moved.tolist() == [[12.0, 0.0, 0.0], [12.0, 0.0, 4.0], [0.0, 0.0, 0.0]]


def test_tokens_without_a_copy_in_their_node_spread_over_all():
    has = np.array([[False, True, True]])
    mass, moved = choose_local(np.array([[6.0], [0.0], [0.0]]), has, np.array([0, 1, 1]))
    assert mass.tolist() == [[0.0, 3.0, 3.0]]
    assert moved[0].tolist() == [0.0, 3.0, 3.0]


def test_problems_without_traffic_have_no_flows():
    problem = PlacementProblem(
        name="still",
        counts=np.ones((1, 1, 2), dtype=np.int64),
        profiles=("p",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([2], 1, 1.0, 1.0),
        slots=1,
    )
    with pytest.raises(ValueError, match="still: neither chain nor home"):
        propagate(problem, PlacementPlan(np.array([[[0], [1]]])))
    with pytest.raises(ValueError, match="without all experts"):
        propagate(problem, PlacementPlan(np.array([[[0], [0]]])))
