"""Parts of a problem: where it is split, and that they add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory import reduction
from mapc.models.memory.exact import stages
from mapc.models.memory.exact.search import least_traffic
from mapc.models.memory.exact.stages import least_traffic_by_stages
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.reduction import parting_steps, split
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from oracles.memory_branches import branches
from oracles.memory_bruteforce import all_orders, dijkstra, small_problems
from oracles.memory_cases import chain_with_skip


@st.composite
def in_a_row(draw: st.DrawFn) -> MemoryProblem:
    """Draw two small problems, the last outputs of the first being what the second begins with.

    Sometimes a tensor of the first is read in the second as well, which forbids the split.
    """
    one, two = draw(branches()).graph, draw(branches()).graph
    shared = int(one.outputs[int(one.given_order[-1])][0])
    sources = np.flatnonzero(two.is_source)
    first = int(sources[np.argmax(two.consumers.lengths[sources])])
    base, m = one.n_operators, one.n_tensors
    number = [shared if t == first else m + t - (t > first) for t in range(two.n_tensors)]
    inputs = [one.inputs[o].tolist() for o in range(base)]
    inputs += [[number[t] for t in two.inputs[o].tolist()] for o in range(two.n_operators)]
    if draw(st.integers(0, 4)) == 4:
        inputs[-1] = sorted({*inputs[-1], draw(st.integers(0, m - 1))})
    rest = np.arange(two.n_tensors) != first
    output = np.concatenate([one.is_output, two.is_output[rest]])
    graph = OperatorGraph(
        name="in a row",
        operator_names=tuple(f"o{i}" for i in range(base + two.n_operators)),
        operator_kinds=("any",) * (base + two.n_operators),
        workspace=np.concatenate([one.workspace, two.workspace]),
        inputs=Ragged.of(inputs),
        outputs=Ragged.of(
            [one.outputs[o].tolist() for o in range(base)]
            + [[number[t] for t in two.outputs[o].tolist()] for o in range(two.n_operators)]
        ),
        tensor_names=tuple(f"t{i}" for i in range(m + two.n_tensors - 1)),
        tensor_bytes=np.concatenate([one.tensor_bytes, two.tensor_bytes[rest]]),
        is_output=output,
        is_constant=np.zeros(len(output), dtype=np.bool_),
    )
    smallest = MemoryProblem(graph).smallest_capacity
    return MemoryProblem(graph, smallest + draw(st.integers(0, 2)))


def used_across(graph: OperatorGraph, order: tuple[int, ...], step: int) -> set[int]:
    """Tensors used at or before a step and read after it, but outputs of its operator."""
    before = {t for o in order[: step + 1] for t in graph.touched[o].tolist()}
    after = {t for o in order[step + 1 :] for t in graph.inputs[o].tolist()}
    return (before & after) - set(graph.outputs[order[step]].tolist())


@settings(max_examples=60, deadline=None)
@given(problem=st.one_of(branches(), small_problems()))
def test_an_operator_parts_if_it_has_one_step_and_nothing_else_passes(
    problem: MemoryProblem,
) -> None:
    graph = problem.graph
    orders = list(all_orders(graph))
    expected = [
        step
        for step, o in enumerate(graph.given_order.tolist())
        if all(order[step] == o and not used_across(graph, order, step) for order in orders)
    ]
    assert parting_steps(graph).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(problem=st.one_of(branches(), small_problems()))
def test_the_parts_cost_what_the_whole_costs(problem: MemoryProblem) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "FEWEST", 1)
        found = least_traffic_by_stages(problem, [problem.graph.given_order])
    assert found.proven
    assert found.cost == found.bound == dijkstra(problem)
    assert found.order is not None
    assert found.keep is not None
    check(problem, found.order, found.keep, found.cost)


def check(problem: MemoryProblem, order: object, keep: object, cost: int) -> None:
    """The links kept fit at every step of a valid order, and cost what is said."""
    assert isinstance(order, np.ndarray)
    assert isinstance(keep, np.ndarray)
    assert problem.graph.is_topological(order)
    schedule = Schedule(problem, order)
    assert schedule.cost(keep) == cost
    assert int((schedule.needed + schedule.held(keep)).max()) <= problem.room


@settings(max_examples=50, deadline=None)
@given(problem=in_a_row(), known=st.integers(-2, 2), least=st.sampled_from([1, 3]))
def test_two_networks_in_a_row(problem: MemoryProblem, known: int, least: int) -> None:
    whole = least_traffic(problem)
    assert whole.proven
    assert whole.cost is not None
    limit = max(0, whole.cost + known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "FEWEST", least)
        found = least_traffic_by_stages(problem, [problem.graph.given_order], known=limit)
        parts = split(problem)
    assert found.proven
    assert found.bound == min(whole.cost, limit)
    if known <= 0:
        assert found.order is None
    else:
        assert found.order is not None
        assert found.keep is not None
        check(problem, found.order, found.keep, whole.cost)
    bounds = sum(least_traffic(part.problem).bound for part in parts.parts)
    assert bounds == whole.cost


@settings(max_examples=40, deadline=None)
@given(problem=in_a_row(), states=st.integers(1, 30))
def test_at_a_limit_bound_and_plan_still_hold(problem: MemoryProblem, states: int) -> None:
    whole = least_traffic(problem)
    assert whole.cost is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "FEWEST", 1)
        patch.setattr(stages, "WIDTHS", (1, 2))
        found = least_traffic_by_stages(problem, [problem.graph.given_order], states=states)
    assert found.order is not None
    assert found.keep is not None
    assert found.cost is not None
    check(problem, found.order, found.keep, found.cost)
    assert found.bound <= whole.cost <= found.cost
    assert not found.proven or found.cost == whole.cost


@settings(max_examples=40, deadline=None)
@given(problem=in_a_row())
def test_joined_links_are_those_of_the_parts(problem: MemoryProblem) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "FEWEST", 1)
        parts = split(problem)
    orders = [part.problem.graph.given_order for part in parts.parts]
    keeps, cost = [], 0
    for part, order in zip(parts.parts, orders, strict=True):
        schedule = Schedule(part.problem, order)
        keeps.append(evict_by_next_use(schedule, True))
        cost += schedule.cost(keeps[-1])
    order, keep = parts.join(orders, keeps)
    check(problem, order, keep, cost)
    for part, own in zip(parts.parts, orders, strict=True):
        assert part.order_of(order).tolist() == own.tolist()


def test_stop_at_once() -> None:
    problem = mapc.generate("memory", network="gpt", fuse=True)
    problem = replace(problem, capacity=problem.smallest_capacity)
    given_order = problem.graph.given_order
    found = least_traffic_by_stages(problem, [given_order], done=lambda: True)
    assert found.bound == 0
    assert found.order is not None
    assert found.keep is not None
    assert found.cost is not None
    check(problem, found.order, found.keep, found.cost)


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # o0's output passes o1 and o2; what follows o3 is a chain, where nothing passes by
    problem = chain_with_skip(capacity=8)
    assert parting_steps(problem.graph).tolist() == [0, 3]
    monkeypatch.setattr(reduction, "FEWEST", 1)
    above, below = split(problem).parts
    assert above.operators.tolist() == [0]
    assert below.operators.tolist() == [0, 1, 2, 3]
    assert below.problem.room == 8
    monkeypatch.undo()
    assert len(split(problem).parts) == 1


def test_problems_with_options_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduction, "FEWEST", 1)
    problem = chain_with_skip(capacity=8)
    free = mapc.with_rules(problem, ["write-cost=3"])
    assert isinstance(free, MemoryProblem)
    assert not free.plain
    assert len(split(free).parts) == 1
    assert len(split(problem).parts) == 2


def test_a_randomly_wired_network_is_split_into_its_stages() -> None:
    problem = mapc.generate("memory", network="randwire", seed=2, fuse=True)
    problem = replace(problem, capacity=problem.smallest_capacity)
    sizes = [part.problem.graph.n_operators for part in split(problem).parts]
    assert sizes == [98, 98, 101]
