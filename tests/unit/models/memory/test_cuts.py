"""Least bytes live beside an operator, against all orders."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.cuts import Network, least_live, peak_bound, traffic_bound
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from oracles.memory_bruteforce import all_orders, dijkstra, small_problems


def live_at(problem: MemoryProblem, order: tuple[int, ...], operator: int, weight) -> int:
    """Weight of what the operator does not touch, used before its step and read after it."""
    graph = problem.graph
    step = {o: at for at, o in enumerate(order)}
    total = 0
    for t in range(graph.n_tensors):
        readers = [step[o] for o in graph.consumers[t].tolist()]
        made = graph.producer[t]
        first = step[int(made)] if made >= 0 else min(readers, default=len(order))
        touched = t in graph.touched[operator].tolist()
        if not touched and first < step[operator] < max(readers, default=-1):
            total += int(weight[t])
    return total


@settings(max_examples=60, deadline=None)
@given(problem=small_problems(), paying=st.booleans())
def test_no_order_has_less_live_and_some_order_has_as_much(
    problem: MemoryProblem, paying: bool
) -> None:
    weight = problem.loss_cost if paying else problem.sizes
    orders = list(all_orders(problem.graph))
    for o in range(problem.graph.n_operators):
        least = min(live_at(problem, order, o, weight) for order in orders)
        found, before = least_live(problem, o, weight)
        assert found == least
        # what it says should run before is an order, with no more live
        first = [p for p in problem.graph.given_order.tolist() if before[p]]
        rest = [p for p in problem.graph.given_order.tolist() if not before[p] and p != o]
        order = (*first, o, *rest)
        assert problem.graph.is_topological(np.array(order))
        assert live_at(problem, order, o, weight) == least


@settings(max_examples=40, deadline=None)
@given(problem=small_problems())
def test_no_order_beats_the_bounds(problem: MemoryProblem) -> None:
    spans = ForcedSpans(problem)
    given_order = [problem.graph.given_order]
    optimum = dijkstra(problem)
    assert optimum is not None
    assert spans.single_operator_bound() <= traffic_bound(problem, given_order).bound <= optimum
    peaks = [Schedule(problem, np.array(o)).peak for o in all_orders(problem.graph)]
    lower = spans.smallest_peak
    assert lower <= peak_bound(problem, given_order, lower).bound <= min(peaks)


@settings(max_examples=30, deadline=None)
@given(problem=small_problems())
def test_known_orders_only_say_where_to_look(problem: MemoryProblem) -> None:
    orders = [np.array(o) for o in all_orders(problem.graph)]
    assert peak_bound(problem, orders).bound == peak_bound(problem, orders[-1:]).bound
    assert traffic_bound(problem, orders).bound == traffic_bound(problem, orders[-1:]).bound


def branches() -> MemoryProblem:
    """A heavy operator beside a branch: one of its two tensors is live there, neither is forced.

    stem: s; split: s -> a (1), c (3); wide: c -> w (50, workspace 100); grow: a -> b (20);
    join: w, b -> y.
    """
    graph = OperatorGraph(
        name="branches",
        operator_names=("stem", "split", "wide", "grow", "join"),
        operator_kinds=("any",) * 5,
        workspace=np.array([0, 0, 100, 0, 0]),
        inputs=Ragged.of([[], [0], [2], [1], [3, 4]]),
        outputs=Ragged.of([[0], [1, 2], [3], [4], [5]]),
        tensor_names=("s", "a", "c", "w", "b", "y"),
        tensor_bytes=np.array([4, 1, 3, 50, 20, 1]),
        is_output=np.array([False, False, False, False, False, True]),
        is_constant=np.zeros(6, dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity=153)


def test_what_is_live_for_every_choice_but_forced_for_none() -> None:
    problem = branches()
    order = [problem.graph.given_order]
    assert ForcedSpans(problem).live_bytes[2] == 0
    assert ForcedSpans(problem).smallest_peak == 153
    assert least_live(problem, 2, problem.sizes)[0] == 1
    assert peak_bound(problem, order).bound == 154
    assert ForcedSpans(problem).single_operator_bound() == 0
    assert traffic_bound(problem, order).bound == dijkstra(problem) == 2


def test_what_is_larger_than_the_room_is_off_as_a_whole() -> None:
    problem = branches()
    sizes = problem.graph.tensor_bytes.copy()
    sizes[1] = 3
    wider = replace(problem, graph=replace(problem.graph, tensor_bytes=sizes), capacity=155)
    # two bytes of room do not keep two of a's three
    assert traffic_bound(wider, [wider.graph.given_order]).bound == dijkstra(wider) == 6


def test_a_deadline_leaves_what_was_known() -> None:
    problem = branches()
    order = [problem.graph.given_order]
    stopped = peak_bound(problem, order, lower=7, done=lambda: True)
    assert (stopped.bound, stopped.order) == (7, None)
    stopped = traffic_bound(problem, order, done=lambda: True)
    assert (stopped.bound, stopped.order) == (0, None)


@pytest.mark.parametrize(("room", "cut"), [(4, 6), (3, 6), (1, 4), (0, 3)])
def test_minimum_cut_of_a_network_with_a_detour(room: int, cut: int) -> None:
    net = Network()
    a, b = net.node(), net.node()
    for tail, head, most in ((0, a, 4), (0, b, 2), (a, b, room), (a, 1, 1), (b, 1, 6)):
        net.arc(tail, head, most)
    assert net.cut() == cut
