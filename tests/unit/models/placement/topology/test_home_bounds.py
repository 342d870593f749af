import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.topology.home_bounds import least_remote, priced_remote
from mapc.models.placement.topology.home_model import lower
from mapc.solvers import registry
from mapc.solvers.base import Limits


def never():
    return False


def random_lives(seed, experts, n):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 40, (experts, n)) ** rng.integers(1, 3) + 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 6), st.integers(2, 3), st.integers(0, 3))
def test_no_random_copies_within_both_limits_leave_less(seed, experts, n, spare):
    lives = random_lives(seed, experts, n)
    rng = np.random.default_rng(seed)
    on = np.eye(n, dtype=bool)[rng.integers(0, n, experts)]
    free = np.argwhere(~on)
    for e, node in free[rng.permutation(len(free))][:spare]:
        on[e, node] = True
    stay = lives * on
    away = (lives * ~on).sum(axis=1, keepdims=True)
    load = stay + on * away / on.sum(axis=1, keepdims=True)
    most = np.full(n, load.sum(axis=0).max() / lives.sum())
    slots = on.sum(axis=0)
    leave = float(away.sum())
    assert priced_remote(lives[None], slots, most, never)[0] <= leave
    assert least_remote(lives, slots, never) <= leave


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_close_to_the_program_and_stays_below(seed):
    lives = random_lives(seed, 8, 2).astype(np.int64)
    problem = PlacementProblem(
        name="case",
        counts=lives.sum(axis=1)[None, None],
        profiles=("p",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([1, 1], 10**9, 2.0, 1.0),
        slots=5,
        cost=StepTime(transfer=1.0),
        traffic="home",
        dispatch="local",
        sources=lives.T[None, None],
        max_imbalance=1.1,
    )
    program, _ = lower(problem)
    best = registry.solve(program, "highs", limits=Limits(time=20)).objective * lives.sum()
    found = priced_remote(lives[None].astype(float), np.array([5, 5]), np.full(2, 0.55), never)[0]
    assert 0.9 * best <= found <= best * (1 + 1e-9)


def test_limits_that_do_not_bind_leave_the_flow_problem():
    lives = random_lives(5, 8, 3)
    slots = np.array([4, 4, 4])
    exact = least_remote(lives, slots, never)
    found = priced_remote(lives[None], slots, np.ones(3), never)[0]
    assert found <= exact
    assert found == pytest.approx(exact, rel=0.01)


def test_a_binding_limit_is_felt():
    lives = np.array([[[30.0, 0.0], [20.0, 0.0], [10.0, 1.0], [0.0, 9.0]]])
    slots = np.array([3, 3])
    tight = priced_remote(lives, slots, np.full(2, 0.5), never)[0]
    assert least_remote(lives[0], slots, never) == 0.0
    assert tight >= 24.9  # 60 tokens live on node 0, which may handle 35
