"""The front of traffic against capacity: against brute force at every capacity, and its logic."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import UsageError
from mapc.graph.operators import OperatorGraph
from mapc.models.memory.front import (
    NO_PLAN,
    Chooser,
    Span,
    Staircase,
    brought_down,
    front,
)
from mapc.models.memory.options import Options
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Status
from mapc.solvers.result import Result
from oracles.memory_bruteforce import brute_force, dijkstra, small_graphs
from oracles.memory_cases import chain_with_skip

# -- bounds and plans ------------------------------------------------------------------------------

facts = st.lists(st.tuples(st.booleans(), st.integers(3, 20), st.integers(0, 30)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(facts=facts)
def test_a_staircase_says_what_all_facts_together_say(facts: list[tuple[bool, int, int]]) -> None:
    stairs = Staircase(low=3)
    for is_plan, capacity, traffic in facts:
        (stairs.add_plan if is_plan else stairs.add_bound)(capacity, traffic)
    for c in range(3, 25):
        plans = [t for is_plan, p, t in facts if is_plan and p <= c]
        bounds = [t for is_plan, p, t in facts if not is_plan and p >= c]
        assert stairs.upper(c) == min(plans, default=NO_PLAN)
        assert stairs.lower(c) == max(bounds, default=0)
    assert stairs.peaks == sorted(set(stairs.peaks))
    assert stairs.traffic == sorted(set(stairs.traffic), reverse=True)
    assert stairs.capacities == sorted(set(stairs.capacities))
    assert stairs.bounds == sorted(set(stairs.bounds), reverse=True)
    last = stairs.peaks[-1] if stairs.peaks else 2
    wide = {c for span in stairs.open_spans() for c in range(span.first, span.last + 1)}
    assert wide == {c for c in range(3, last + 1) if stairs.lower(c) < stairs.upper(c)}
    for span in stairs.open_spans():
        assert {(stairs.upper(c), stairs.lower(c)) for c in range(span.first, span.last + 1)} == {
            (span.upper, span.lower)
        }
    for traffic in (0, 5, 29):
        possible = [c for c in range(3, 25) if stairs.lower(c) <= traffic]
        assert stairs.least(traffic) == min(possible)


def steps(draw_traffic: list[int]) -> dict[int, int]:
    """A step function that never rises, from capacity 5 on, 0 at last."""
    falling = sorted(draw_traffic, reverse=True)
    return {5 + i: traffic for i, traffic in enumerate([*falling, 0])}


@settings(max_examples=60, deadline=None)
@given(traffic=st.lists(st.integers(0, 12), min_size=1, max_size=30), data=st.data())
def test_every_step_is_found_and_little_is_asked(traffic: list[int], data: st.DataObject) -> None:
    """Answers that are optimal, by plans that may be taller than they need to be."""
    truth = steps(traffic)
    stairs = Staircase(low=5)
    stairs.add_plan(max(truth), 0)

    def answer(capacity: int) -> None:
        equal = [c for c in truth if truth[c] == truth[capacity] and c <= capacity]
        stairs.add_plan(data.draw(st.sampled_from(equal)), truth[capacity])
        stairs.add_bound(capacity, truth[capacity])

    answer(5)
    chooser, asked = Chooser(stairs, gap=0.0), []
    while (capacity := chooser.next()) is not None:
        assert capacity not in asked
        asked.append(capacity)
        answer(capacity)
        chooser.left[capacity] = 0
    assert not stairs.open_spans()
    assert not chooser.open_again()
    assert {c: stairs.upper(c) for c in truth} == truth
    assert {c: stairs.lower(c) for c in truth} == truth
    assert stairs.peaks == [c for c in truth if c == 5 or truth[c] < truth[c - 1]]


@settings(max_examples=60, deadline=None)
@given(traffic=st.lists(st.integers(0, 12), min_size=1, max_size=20), data=st.data())
def test_answers_that_prove_little_end_it_all_the_same(
    traffic: list[int], data: st.DataObject
) -> None:
    truth = steps(traffic)
    stairs = Staircase(low=5)
    stairs.add_plan(max(truth), 0)
    stairs.add_plan(5, truth[5] + 3)
    chooser, asked = Chooser(stairs, gap=0.0), []
    while (capacity := chooser.next()) is not None:
        assert capacity not in asked
        asked.append(capacity)
        stairs.add_plan(capacity, truth[capacity] + data.draw(st.integers(0, 3)))
        stairs.add_bound(capacity, max(0, truth[capacity] - data.draw(st.integers(0, 3))))
        chooser.left[capacity] = stairs.upper(capacity) - stairs.lower(capacity)
    assert all(stairs.lower(c) <= truth[c] <= stairs.upper(c) for c in truth)
    assert set(chooser.open_again()) == {c for c in asked if stairs.lower(c) < stairs.upper(c)}


def test_one_step_takes_one_question() -> None:
    stairs = Staircase(low=100)
    stairs.add_plan(1_000_000, 0)
    stairs.add_plan(100, 7)
    chooser = Chooser(stairs, gap=0.0)
    assert stairs.open_spans() == [Span(100, 999_999, 7, 0)]
    assert chooser.next() == 999_999
    stairs.add_bound(999_999, 7)
    assert chooser.next() is None


def test_a_gap_that_is_good_enough_is_not_asked_about() -> None:
    stairs = Staircase(low=10)
    stairs.add_plan(10, 100)
    stairs.add_plan(50, 0)
    stairs.add_bound(49, 91)
    assert Chooser(stairs, gap=0.1).next() is None
    assert Chooser(stairs, gap=0.05).next() == 49


# -- against brute force ---------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(graph=small_graphs(max_operators=5, max_links=6), alignment=st.sampled_from([1, 1, 2]))
def test_the_front_of_a_graph_is_that_of_brute_force(graph: OperatorGraph, alignment: int) -> None:
    problem = MemoryProblem(graph, alignment=alignment)
    found = mapc.front(problem, time_limit=None)
    points = list(zip(*(found.columns[name] for name in NAMES), strict=True))
    assert points[0][0] >= problem.smallest_capacity
    for capacity in range(problem.smallest_capacity, points[-1][0] + 3):
        at = replace(problem, capacity=capacity)
        best = brute_force(at, addresses=True)
        upper = min((t for cost, t, *_ in points if cost <= capacity), default=None)
        if found.kind == "all":
            assert upper == best
        elif upper is not None:
            assert best is not None
            assert best <= upper
    for cost, traffic, bound, _gap, status, least in points:
        at = replace(problem, capacity=cost)
        assert bound <= dijkstra(at) <= traffic
        assert (status == "optimal") == (bound == traffic)
        assert least <= cost
        if least > problem.smallest_capacity:
            assert dijkstra(replace(problem, capacity=least - 1)) > traffic


NAMES = ("cost", "traffic", "bound", "gap", "status", "least")


@settings(max_examples=15, deadline=None)
@given(graph=small_graphs(max_operators=5, max_links=6), n=st.integers(2, 4))
def test_points_at_given_capacities(graph: OperatorGraph, n: int) -> None:
    problem = MemoryProblem(graph)
    found = mapc.front(problem, points=n, time_limit=None)
    assert (found.kind, len(found)) == ("certified", n)
    budgets = found.columns["budget"]
    assert budgets == sorted(budgets)
    assert found.columns["traffic"][-1] == 0
    for budget, cost, traffic, bound in zip(
        *(found.columns[name] for name in ("budget", "cost", "traffic", "bound")), strict=True
    ):
        best = dijkstra(replace(problem, capacity=budget))
        assert bound <= best <= traffic
        assert cost <= budget


# -- the rest --------------------------------------------------------------------------------------


def test_an_order_that_is_kept_has_a_front_of_its_own() -> None:
    problem = replace(chain_with_skip(), options=Options(keep_order=True))
    found = mapc.front(problem, time_limit=None)
    assert found.columns["cost"] == [9, 10]
    assert found.columns["traffic"] == [10, 0]


def test_costs_are_not_bytes() -> None:
    problem = replace(chain_with_skip(), options=Options(write_cost=3))
    assert mapc.front(problem, time_limit=None).columns["traffic"] == [20, 0]


def test_no_time_leaves_what_there_is() -> None:
    found = mapc.front(chain_with_skip(), time_limit=1e-9)
    assert found.kind == "open"
    assert len(found) <= 1
    assert found.notes


class Interrupted:
    """A sweep whose every answer is an interrupt, with a plan or without."""

    gap = 0.0

    def __init__(self, found: Result) -> None:
        self.found = replace(found, interrupted=True)

    def solve(self, problem: MemoryProblem, **options: object) -> Result:
        return self.found

    def stop(self) -> bool:
        return False

    def remaining(self) -> float:
        return math.inf

    def say(self, text: str) -> None:
        raise AssertionError(text)


def test_an_interrupt_before_a_first_plan_is_one() -> None:
    with pytest.raises(KeyboardInterrupt):
        front(chain_with_skip(), None, Interrupted(Result("memory", Status.UNKNOWN)))


def test_an_interrupt_leaves_what_is_known() -> None:
    peak = mapc.solve(chain_with_skip(), minimize="peak", time_limit=None)
    found = front(chain_with_skip(), None, Interrupted(peak))
    assert (found.kind, found.columns["cost"], found.columns["traffic"]) == ("open", [10], [0])


def test_an_interrupt_while_a_plan_is_brought_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mapc.models.memory.front.brought_down", interrupt)
    found = mapc.front(chain_with_skip(), time_limit=None)
    assert (found.kind, found.columns["cost"], found.columns["traffic"]) == ("open", [10], [0])
    assert "1 span" in found.notes[1]


def test_several_banks_are_refused() -> None:
    options = SimpleNamespace(banks=(("a", 4), ("b", 4)))

    with pytest.raises(UsageError, match="--front sweeps one capacity"):
        front(SimpleNamespace(options=options), None, None)


def test_a_plan_comes_down_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    # whether or not the kernels have been compiled before
    monkeypatch.setattr("mapc.models.memory.front.exact.ready", lambda: True)
    problem = chain_with_skip(capacity=30)
    plan = mapc.solve(problem, time_limit=None).plan
    high = replace(plan, address=plan.address + 20)
    lower, peak = brought_down(problem, high, 30, lambda: False)
    assert peak == 10
    verdict = verify(problem, lower)
    assert (verdict.violations, verdict.facts["peak_bytes"]) == ((), 10)
