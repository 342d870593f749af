import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import InfeasibleError
from mapc.instances.generators.bits import generate
from mapc.models.bits.front import certify, points, whole
from mapc.models.bits.reduction import reduce
from oracles.knapsack_bruteforce import (
    all_points,
    core_of,
    least,
    lower_left_hull,
    pareto,
    small_knapsacks,
)

many = settings(max_examples=120, deadline=None, derandomize=True)


def pairs(front):
    return list(zip(front.cost.tolist(), front.quanta.tolist(), strict=True))


def check_choices(core, front):
    for point in range(len(front)):
        choice = front.choice(point)
        assert (choice >= core.start[:-1]).all()
        assert (choice < core.start[1:]).all()
        assert core.cost[0][choice].sum() == front.cost[point]
        assert core.quanta[choice].sum() == front.quanta[point]


@many
@given(small_knapsacks())
def test_supported_points_are_the_hull_of_all_choices(case):
    groups, _ = case
    core = core_of(groups)
    front = points(core)
    everything = all_points(groups)
    hull = lower_left_hull(everything)
    assert lower_left_hull(pairs(front)) == hull
    assert set(hull) <= set(pairs(front)) <= set(pareto(everything))
    check_choices(core, front)


@many
@given(small_knapsacks())
def test_the_whole_front_is_that_of_all_choices(case):
    groups, _ = case
    core = core_of(groups)
    front = whole(core)
    assert pairs(front) == pareto(all_points(groups))
    check_choices(core, front)


@many
@given(small_knapsacks())
def test_certified_points_are_optimal(case):
    groups, budget = case
    high = sum(max(c for c, _ in group) for group in groups)
    budgets = [budget, high, (budget + high) // 2]
    results = certify(core_of(groups), budgets)
    assert [r.quanta for r in results] == [least(groups, b) for b in budgets]
    assert [r.bound for r in results] == [r.quanta for r in results]


def test_certified_points_lie_on_the_whole_front():
    core = reduce(generate(40, sizes="continuous", seed=2))
    front = whole(core)
    supported = points(core)
    assert len(front) > 10 * len(supported)
    budgets = np.linspace(supported.cost[0], supported.cost[-1], 12).astype(np.int64).tolist()
    for budget, result in zip(budgets, certify(core, budgets), strict=True):
        assert result.quanta == result.bound == front.quanta[front.within(budget)]


def test_a_point_within_a_budget():
    front = points(core_of([[(2, 9), (5, 1)], [(1, 4), (9, 0)]]))
    assert pairs(front) == [(3, 13), (6, 5), (14, 1)]
    assert [front.within(budget) for budget in (3, 5, 6, 13, 99)] == [0, 0, 1, 1, 2]
    with pytest.raises(InfeasibleError, match="budget 2: the cheapest choice costs 3"):
        front.within(2)
    assert front.choice(-1).tolist() == front.choice(2).tolist() == [1, 3]
    with pytest.raises(IndexError):
        front.choice(3)


def test_too_many_states_are_refused():
    core = reduce(generate(40, sizes="continuous", seed=2))
    assert whole(core, state_limit=1000) is None


def test_all_supported_points_of_a_large_problem():
    core = reduce(generate(44_000, sizes="continuous", seed=1))
    front = points(core)
    assert len(front) > 150_000
    assert (np.diff(front.cost) > 0).all()
    assert (np.diff(front.quanta) < 0).all()
    middle = len(front) // 2
    choice = front.choice(middle)
    assert core.cost[0][choice].sum() == front.cost[middle]
    assert core.quanta[choice].sum() == front.quanta[middle]
