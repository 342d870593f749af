"""Greedy orders and moves keep producers first; local search only ever improves."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.memory.localsearch import improve, score
from mapc.models.memory.orders import RULES, greedy_order, pull, push
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from oracles.memory_bruteforce import small_problems


@settings(max_examples=60, deadline=None)
@given(problem=small_problems(), rule=st.sampled_from(sorted(RULES)))
def test_greedy_orders_are_topological_and_repeatable(problem: MemoryProblem, rule: str) -> None:
    order = greedy_order(problem, rule)
    assert problem.graph.is_topological(order)
    assert order.tolist() == greedy_order(problem, rule).tolist()


@settings(max_examples=100, deadline=None)
@given(problem=small_problems(), data=st.data())
def test_moves_keep_the_order_topological(problem: MemoryProblem, data: st.DataObject) -> None:
    graph, order = problem.graph, problem.graph.given_order
    n = len(order)
    last = data.draw(st.integers(0, n - 1))
    first = data.draw(st.integers(-1, last - 1))
    pulled = pull(graph, order, first, last)
    assert graph.is_topological(pulled)
    # whatever stands between the two steps afterwards is needed by the operator that moved
    at = pulled.tolist().index(int(order[last]))
    assert all(graph.precedes[o, order[last]] for o in pulled[first + 1 : at])
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    pushed = push(graph, order, first, last)
    assert graph.is_topological(pushed)
    at = pushed.tolist().index(int(order[first]))
    assert all(graph.precedes[order[first], o] for o in pushed[at + 1 : last])


class Counting:
    """A search that stops after counted looks."""

    deterministic = True
    objective = None

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.looks = 0

    def remaining(self) -> float:
        return float("inf")

    def done(self) -> bool:
        self.looks += 1
        return self.looks > 200


@pytest.mark.parametrize("seed", [0, 1])
@settings(max_examples=20, deadline=None)
@given(problem=small_problems(min_operators=6))
def test_local_search_hands_over_ever_better_orders(problem: MemoryProblem, seed: int) -> None:
    start = Schedule(problem, problem.graph.given_order)
    found: list[int] = []

    def accept(schedule: Schedule) -> None:
        assert problem.graph.is_topological(schedule.order)
        found.append(score(schedule)[1])

    improve(start, Counting(seed), accept)
    costs = [score(start)[1], *found]
    assert all(b < a for a, b in pairwise(costs))
    again: list[int] = []
    improve(start, Counting(seed), lambda schedule: again.append(score(schedule)[1]))
    assert again == found


def test_depth_first_finishes_a_branch_before_the_next(chain: MemoryProblem) -> None:
    assert greedy_order(chain, "depth-first").tolist() == [0, 1, 2, 3]
    assert np.array_equal(chain.graph.given_order, np.arange(4))
