"""The tightest step of every order, against all orders and single moves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.models.memory.exact import engine as engine_module
from mapc.models.memory.exact.floor import tightest_step
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from oracles.memory_branches import branches
from oracles.memory_bruteforce import all_orders, dijkstra, small_problems
from oracles.memory_cases import chain_with_skip
from oracles.plain_python import both_ways

cases = st.one_of(branches(), small_problems())


def of_order(problem: MemoryProblem, order: tuple[int, ...]) -> int:
    """What the tightest step of one order costs, by its links."""
    schedule = Schedule(problem, np.array(order))
    tensor, before, after = schedule.links
    unit, worst = int(np.gcd.reduce(problem.sizes)), 0
    for step, needed in enumerate(schedule.needed.tolist()):
        idle = tensor[(before < step) & (step < after)]
        excess = needed + int(problem.sizes[idle].sum()) - problem.room
        cost = 0
        for t in sorted(idle.tolist(), key=lambda t: problem.pays_write[t]):
            part = min(max(0, excess), int(problem.sizes[t]))
            excess -= part
            cost += part * (1 + int(problem.pays_write[t]))
        worst = max(worst, -(-cost // unit) * unit)
    return worst


@settings(max_examples=60, deadline=None)
@given(problem=cases)
def test_it_is_the_least_over_all_orders_and_no_plan_costs_less(problem: MemoryProblem) -> None:
    floor = tightest_step(problem)
    assert floor.complete
    assert floor.bound == min(of_order(problem, order) for order in all_orders(problem.graph))
    optimum = dijkstra(problem)
    assert optimum is not None
    assert floor.bound <= optimum


@settings(max_examples=40, deadline=None)
@given(problem=cases, more=st.integers(0, 3), lower=st.integers(0, 3))
def test_with_bounds_at_hand(problem: MemoryProblem, more: int, lower: int) -> None:
    optimum, free = dijkstra(problem), tightest_step(problem).bound
    assert optimum is not None
    floor = tightest_step(problem, lower=max(0, optimum - lower), known=optimum + more)
    assert max(free, optimum - lower) <= floor.bound <= optimum + more
    if more == 0:
        assert floor.bound <= optimum


@settings(max_examples=40, deadline=None)
@given(problem=cases, states=st.integers(1, 5))
def test_at_a_limit_the_bound_still_holds(problem: MemoryProblem, states: int) -> None:
    whole = tightest_step(problem).bound
    assert 0 <= tightest_step(problem, states=states, done=lambda: True).bound <= whole


def test_by_hand() -> None:
    # t0 of 5 bytes is live beside the 5 of o2; M = 9, 8 or 7: 1, 2 or 3 bytes do not fit, at 2 each
    bounds = [tightest_step(chain_with_skip(capacity)).bound for capacity in (10, 9, 8, 7)]
    assert bounds == [0, 2, 4, 6]


def test_what_is_too_much_is_a_multiple_of_what_divides_all_sizes() -> None:
    problem = chain_with_skip(capacity=90)
    graph = replace(problem.graph, tensor_bytes=problem.graph.tensor_bytes * 10)
    assert tightest_step(MemoryProblem(graph, 97)).bound == 10
    assert tightest_step(MemoryProblem(graph, 93)).bound == 20


def test_a_limit_of_memory_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "STEPS", 1)
    monkeypatch.setattr(engine_module, "MEMORY", 0)
    floor = tightest_step(chain_with_skip(capacity=9))
    assert not floor.complete
    assert floor.bound <= 2


def test_randomly_wired_networks() -> None:
    for seed, bound in ((0, 611_520), (1, 244_608)):
        problem = mapc.generate("memory", network="randwire", seed=seed, fuse=True)
        problem = replace(problem, capacity=problem.smallest_capacity)
        assert tightest_step(problem).bound == bound


PLAIN = """
import json
from hypothesis import given, settings
from mapc.models.memory.exact.floor import tightest_step
from oracles.memory_branches import branches

answers = []

@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(problem=branches())
def ask(problem):
    floor = tightest_step(problem)
    answers.append([floor.bound, floor.states])

ask()
print(json.dumps(answers))
"""


def test_kernels_do_the_same_as_plain_python() -> None:
    answers = [json.loads(printed) for printed in both_ways(PLAIN)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 25
