"""Beams: what they find is a plan, who leaves, limits, and the same as plain Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.kernels import load
from mapc.models.memory.exact import engine as engine_module
from mapc.models.memory.exact import least_traffic
from mapc.models.memory.exact.beam import Beam, Swept, sweep
from mapc.models.memory.exact.engine import HERE, load_kernels
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from oracles.memory_branches import branches
from oracles.memory_bruteforce import small_problems
from oracles.memory_cases import chain_with_skip
from oracles.plain_python import both_ways

cases = st.one_of(branches(), small_problems())


def check(problem: MemoryProblem, found: Swept) -> None:
    """The order runs, and its kept links fit and cost what is claimed."""
    assert problem.graph.is_topological(found.order)
    schedule = Schedule(problem, found.order)
    assert schedule.cost(found.keep) == found.cost
    assert (schedule.needed + schedule.held(found.keep) <= problem.room).all()


def plans(problem: MemoryProblem, known: int | None = None, widths: int = 4) -> list[Swept]:
    """What wider and wider beams find, each cheaper than the one before."""
    found: list[Swept] = []
    order = problem.graph.given_order
    for k in range(widths):
        one = sweep(problem, order, width=4**k, known=known)
        if one.order is not None:
            known, order = one.cost, one.order
            found.append(one)
    return found


@settings(max_examples=40, deadline=None)
@given(problem=cases)
def test_every_beam_has_a_plan_cheaper_than_the_one_before(problem: MemoryProblem) -> None:
    found = plans(problem)
    for one in found:
        check(problem, one)
    costs = [one.cost for one in found]
    assert costs == sorted(set(costs), reverse=True)
    assert costs[-1] >= int(least_traffic(problem).cost or 0)


@settings(max_examples=40, deadline=None)
@given(problem=cases, more=st.integers(0, 3))
def test_nothing_as_dear_as_what_is_known_is_found(problem: MemoryProblem, more: int) -> None:
    optimum = int(least_traffic(problem).cost or 0)
    found = plans(problem, known=optimum + more)
    assert all(optimum <= one.cost < optimum + more for one in found)


def test_a_graph_of_many_operators_is_planned_far_better_than_by_eviction() -> None:
    problem = mapc.generate("memory", network="layered", operators=120)
    problem = mapc.models.memory.FAMILY.with_capacity(problem, "M_R")
    schedule = Schedule(problem, problem.graph.given_order)
    found = plans(problem)
    check(problem, found[-1])
    assert 2 * found[-1].cost < schedule.cost(evict_by_next_use(schedule))


def beam_of(problem: MemoryProblem, width: int = 1) -> Beam:
    kernels, beam = load_kernels(), load(f"{HERE}.beam_kernels")
    assert kernels is not None
    assert beam is not None
    order = problem.graph.given_order
    return Beam(problem, kernels, beam, width=width, lean=16, reference=order)


def test_who_leaves() -> None:
    beam = beam_of(chain_with_skip(capacity=9)).beam
    # tensor, bytes, cost
    pick = np.zeros((4, 5), dtype=np.int64)
    pick[:, :3] = [[7, 2, 4], [5, 6, 12], [3, 3, 3], [1, 1, 2]]

    def leaving(need: int, way: int) -> list[int]:
        number = beam.choose(pick, 4, need, way)
        return pick[pick[:, 3] > 0, 0].tolist() if number else []

    assert leaving(2, beam.FARTHEST) == [7]
    assert leaving(7, beam.FARTHEST) == [7, 5]
    assert leaving(6, beam.FARTHEST) == [5]  # the first need not leave once the second does
    assert leaving(13, beam.FARTHEST) == []
    assert leaving(2, beam.ALONE) == [3]
    assert leaving(4, beam.ALONE) == [5]
    assert leaving(7, beam.ALONE) == []


def test_the_farthest_leave_first_or_those_that_cost_least_for_it() -> None:
    problem = chain_with_skip(capacity=9)
    one = beam_of(problem)
    pick = np.zeros((3, 5), dtype=np.int64)
    # t0 is read next at steps 1 and 3, t1 at 2, t2 at 3; losing t2 costs a byte for a byte
    pick[:, :3] = [[0, 5, 10], [1, 2, 4], [2, 3, 3]]
    one.beam.sort(*one.graph, one.step, pick, 3, one.beam.FARTHEST)
    assert pick[:, 0].tolist() == [2, 1, 0]
    one.layout.ops[1, one.state.DONE] = 1
    one.beam.sort(*one.graph, one.step, pick, 3, one.beam.FARTHEST)
    assert set(pick[:2, 0].tolist()) == {0, 2}
    one.beam.sort(*one.graph, one.step, pick, 3, one.beam.CHEAPEST)
    assert pick[0].tolist()[:3] == [2, 3, 3]


def test_no_level_holds_more_than_its_width() -> None:
    problem = mapc.generate("memory", network="layered", operators=60)
    one = beam_of(mapc.models.memory.FAMILY.with_capacity(problem, "M_R"), width=3)
    assert one.run()
    assert int(one.filled.max()) == 3
    assert one.found


@settings(max_examples=40, deadline=None)
@given(problem=cases, percent=st.integers(0, 100))
def test_with_less_room_it_holds_no_more_unless_an_operator_needs_it(
    problem: MemoryProblem, percent: int
) -> None:
    room = problem.room * percent // 100
    found = sweep(problem, problem.graph.given_order, width=8, room=room)
    assert found.order is not None
    assert found.keep is not None
    assert found.cost is not None
    check(problem, found)
    schedule = Schedule(problem, found.order)
    used = schedule.needed + schedule.held(found.keep)
    assert (used <= np.maximum(room, schedule.needed)).all()


@pytest.mark.parametrize("limit", ["STEPS", "MEMORY"])
def test_a_limit_ends_it(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    problem = chain_with_skip(capacity=9)
    monkeypatch.setattr(engine_module, "STEPS", 1)
    one = beam_of(problem)
    if limit == "MEMORY":
        monkeypatch.setattr(engine_module, "MEMORY", 0)
        assert not one.run()
    else:
        assert not one.run(done=lambda: True)
        assert not beam_of(problem).run(states=1)
    assert not one.found


def test_a_call_that_is_over_before_it_begins_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "STEPS", 1)
    problem = chain_with_skip(capacity=9)
    found = sweep(problem, problem.graph.given_order, width=2, done=lambda: True)
    assert found.order is None


PLAIN = """
import json
from hypothesis import given, settings
from mapc.models.memory.exact.beam import sweep
from oracles.memory_branches import branches

answers = []

@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(problem=branches())
def ask(problem):
    for width in (1, 5):
        one = sweep(problem, problem.graph.given_order, width=width)
        answers.append([one.order.tolist(), one.keep.tolist(), one.cost, one.moves])

ask()
print(json.dumps(answers))
"""


def test_kernels_do_the_same_as_plain_python() -> None:
    answers = [json.loads(printed) for printed in both_ways(PLAIN)]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 15
