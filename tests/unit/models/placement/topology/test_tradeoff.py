import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.instances.generators.placement import generate
from mapc.models.placement.topology import nodes
from mapc.models.placement.topology.tradeoff import front
from mapc.models.placement.verify import verify


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(nodes, "STEPS_PER_EXPERT", 100)


def chain():
    return generate(3, 16, 4, slots=5, nodes=2, transitions=0.4, seed=4)


def test_looser_limits_cost_no_more_and_every_point_keeps_to_its_own():
    problem = chain()
    points = front(problem, (2.0, 1.2, 1.5))
    assert [point.limit for point in points] == [1.2, 1.5, 2.0]
    objectives = [point.objective for point in points]
    assert objectives == sorted(objectives, reverse=True)
    for point in points:
        verdict = verify(problem.replace(max_imbalance=point.limit), point.plan)
        assert verdict.violations == ()
        assert verdict.objective == point.objective
        assert verdict.facts["cross_node"] == point.cross_node
        assert point.bound <= point.objective
        assert point.min_layer_balancedness >= 1 / point.limit - 1e-9


def test_home_traffic_has_a_front_too():
    problem = chain().replace(traffic="home", transitions=None)
    points = front(problem, (1.1, 2.0))
    assert [point.limit for point in points] == [1.1, 2.0]
    assert all(point.bound <= point.objective for point in points)


def test_limits_that_nothing_keeps_are_left_out():
    problem = generate(2, 8, 4, nodes=2, transitions=0.4, seed=3)
    hottest = problem.counts.max() * 4 / problem.counts.sum(axis=2).max()
    points = front(problem, (1.0, float(np.ceil(hottest)) + 1))
    assert [point.limit for point in points] == [np.ceil(hottest) + 1]


def test_it_can_be_stopped():
    assert front(chain(), (1.2, 1.5), done=lambda: True) == []


def test_what_cannot_be_traded_is_refused():
    with pytest.raises(UsageError, match="nothing to trade"):
        front(generate(1, 8, 4))
    with pytest.raises(UsageError, match=r"limit 0\.9: expected a multiple of the mean load"):
        front(chain(), (0.9,))
