"""Bounds on steps with transfers, against random plans and complete enumeration."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.topology.traffic_bounds import excess_intervals, prices, run
from mapc.models.placement.verify import verify
from oracles.placement_cases import brute_force, problems, random_plan


class Recorder:
    """The part of a search that bounds use."""

    seed, bound = 0, -np.inf

    def __init__(self, stop=False):
        self.stop = stop

    def done(self):
        return self.stop

    def prove(self, bound, source):
        self.bound = max(self.bound, bound)


def bound_of(problem):
    recorder = Recorder()
    run(problem, recorder)
    return recorder.bound


@settings(max_examples=60, deadline=None)
@given(problems(transfer=True), st.integers(0, 99))
def test_no_plan_costs_less(problem, seed):
    verdict = verify(problem, random_plan(problem, seed))
    assume(not verdict.violations)
    assert bound_of(problem) <= verdict.objective


@settings(max_examples=25, deadline=None)
@given(
    problems(transfer=True, rules=False),
)
def test_no_plan_of_all_costs_less(problem):
    try:
        best = brute_force(problem, 5000)
    except ValueError:
        assume(False)
    assume(best is not None)
    assert bound_of(problem) <= best.objective


def two_nodes(slots=2, limit=None, **changes):
    given = {
        "name": "pair",
        "counts": np.full((1, 2, 4), 10),
        "profiles": ("p",),
        "weight": np.ones(1),
        "scale": np.ones(1),
        "cluster": DeviceGraph.cluster([1, 1], 10**9, 8.0, 1.0),
        "slots": slots,
        "cost": StepTime(token=1.0, transfer=1.0),
        "traffic": "chain",
        "transitions": np.full((1, 1, 4, 4), 3),
        "max_imbalance": limit,
    }
    return PlacementProblem(**{**given, **changes})


def test_without_affinity_and_with_even_loads_half_travels():
    assert bound_of(two_nodes(limit=1.0)) == pytest.approx(40 + 24, rel=1e-6)


def test_loads_that_may_be_uneven_are_weighed_against_work():
    # all on one rank would save 24 transfers and cost 40 of work; slots do not allow it either
    assert bound_of(two_nodes()) > 40 + 20


def test_home_traffic_is_exact_where_experts_have_one_slot():
    sources = np.array([[[[9, 1, 5, 0], [1, 9, 5, 7]]]])
    problem = two_nodes(
        counts=sources.sum(axis=2), sources=sources, traffic="home", transitions=None,
        cost=StepTime(token=0.0, transfer=1.0),
    )  # fmt: skip
    best = brute_force(problem)
    assert bound_of(problem) == best.objective == 7.0


def test_copies_keep_what_lives_on_their_node():
    problem = two_nodes(
        slots=3, counts=np.full((1, 1, 4), 12), traffic="home", transitions=None, dispatch="local",
        cost=StepTime(token=0.0, transfer=1.0),
    )  # fmt: skip
    # two spare copies of a quarter each: 1 - (1 + 1/2) / 2 of 48 tokens
    assert bound_of(problem) == pytest.approx(12.0)


def test_prices_add_up_to_the_cheapest_link():
    price = prices(two_nodes(cluster=DeviceGraph.cluster([2, 2], 10**9, 4.0, 1.0), slots=1), 0)
    assert price.node == pytest.approx(3 * price.rank)


def test_intervals_reach_the_limit_and_not_far_beyond():
    edges = excess_intervals(two_nodes(limit=1.05))
    assert edges[0] == 1.0
    assert edges[-1] == pytest.approx(1.05)
    assert (np.diff(edges) > 0).all()
    assert excess_intervals(two_nodes())[-1] == pytest.approx(2.0)


def test_out_of_time_it_still_says_what_work_costs():
    recorder = Recorder(stop=True)
    run(two_nodes(), recorder)
    assert recorder.bound == pytest.approx(40.0)


def test_problems_without_traffic_are_left_alone():
    assert bound_of(two_nodes(traffic="none", transitions=None)) == -np.inf
