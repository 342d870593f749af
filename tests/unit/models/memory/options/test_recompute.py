"""Operators that run again: optima by hand, the program of further runs, the whole road."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options import Options
from mapc.models.memory.options.choice_model import ChoiceModel
from mapc.models.memory.options.relaxed import relaxations, scaled
from mapc.models.memory.options.rerun import extended, of_use
from mapc.models.memory.options.rerun_model import RerunModel
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import dijkstra
from oracles.memory_options import least_cost, optioned_problems


def long_skip(cost: int, capacity: int = 10) -> MemoryProblem:
    """x (1) -> a (5) -> b (4) -> c (4), and y (1) from c and a: a cheap operator and a long skip.

    At o2, b and c take 8 bytes: a does not stay beside them in 10, but x does.
    """
    graph = OperatorGraph(
        name="skip",
        operator_names=("o0", "o1", "o2", "o3"),
        operator_kinds=("relu", "conv", "conv", "add"),
        workspace=np.zeros(4, dtype=np.int64),
        inputs=Ragged.of([[0], [1], [2], [3, 1]]),
        outputs=Ragged.of([[1], [2], [3], [4]]),
        tensor_names=("x", "a", "b", "c", "y"),
        tensor_bytes=np.array([1, 5, 4, 4, 1]),
        is_output=np.array([False, False, False, False, True]),
        is_constant=np.zeros(5, dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity, options=Options(recompute=((0, cost),)))


@pytest.mark.parametrize(("cost", "extra"), [(0, 0), (3, 3), (9, 9), (10, 10), (50, 10)])
def test_a_cheap_operator_runs_again_where_that_saves_a_write_and_a_load(
    cost: int, extra: int
) -> None:
    problem = long_skip(cost)
    assert mapc.solve(replace(problem, options=Options()), time_limit=None).objective == 10
    result = mapc.solve(problem, time_limit=None)
    assert (result.objective, result.status) == (extra, Status.OPTIMAL)
    assert result.objective == least_cost(problem)
    assert mapc.check(problem, result.plan) == []
    again = cost < 10
    assert result.plan.order.tolist() == ([0, 1, 2, 0, 3] if again else [0, 1, 2, 3])
    assert result.facts["recomputed_bytes"] == 5 * again
    assert result.facts["spilled_bytes"] == 5 * (not again)


def test_inputs_that_do_not_stay_are_loaded_for_the_further_run() -> None:
    """With x of 3 bytes beside 8 at o2, x leaves and comes back: 3 bytes beside the cost of 2.

    o0 then needs x, a and c: 12 bytes.
    """
    problem = long_skip(2, capacity=10)
    sizes = np.array([3, 5, 4, 4, 1])
    wide = replace(problem, graph=replace(problem.graph, tensor_bytes=sizes))
    assert mapc.solve(wide, time_limit=None).objective == least_cost(wide) == 10
    wider = replace(wide, capacity=12)
    assert mapc.solve(wider, time_limit=None).objective == least_cost(wider) == 2
    dear = replace(wider, options=Options(recompute=((0, 9),)))
    assert mapc.solve(dear, time_limit=None).objective == least_cost(dear) == 9


@settings(max_examples=40, deadline=None)
@given(problem=optioned_problems(max_operators=4, recompute=True), seed=st.integers(0, 3))
def test_plans_are_verified_and_bounds_are_sound(problem: MemoryProblem, seed: int) -> None:
    least = least_cost(problem)
    result = mapc.solve(problem, time_limit=None, seed=seed)
    assert not any("failed" in note or "refused" in note for note in result.notes)
    if result.plan is None:
        assert problem.options.prefetch  # nothing else may come out without a plan
        return
    assert least is not None
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective
    assert 0 <= result.bound <= least <= result.objective
    assert (result.status is Status.OPTIMAL) == (result.bound == result.objective)


@settings(max_examples=40, deadline=None)
@given(problem=optioned_problems(max_operators=5, prefetch=False, recompute=True))
def test_the_program_finds_the_best_set_of_further_runs(problem: MemoryProblem) -> None:
    start = Timeline(problem, problem.graph.given_order)
    order, optional, carried = extended(start, start.at_least())
    steps = np.flatnonzero(optional)
    assume(0 < len(steps) <= 4)
    assert not carried.any()

    def best(some: tuple[int, ...]) -> int:
        real = ~optional
        real[list(some)] = True
        program = ChoiceModel(Timeline(problem, order[real])).program
        solution = registry.solve(program, "highs", limits=Limits(workers=1))
        assert solution.status is Status.OPTIMAL
        assert solution.objective is not None
        return round(solution.objective)

    subsets = [some for k in range(len(steps) + 1) for some in combinations(steps.tolist(), k)]
    model = RerunModel(Timeline(problem, order), optional, problem.room)
    solution = registry.solve(model.program, "highs", limits=Limits(workers=1))
    assert solution.status is Status.OPTIMAL
    timeline, choice = model.chosen(solution.values)
    assert timeline.cost(choice) <= round(solution.objective)
    assert (timeline.occupancy(choice) <= problem.room).all()
    assert round(solution.objective) == min(best(some) for some in subsets)


@settings(max_examples=40, deadline=None)
@given(problem=optioned_problems(max_operators=4, recompute=True))
def test_relaxations_cost_no_more_than_their_part(problem: MemoryProblem) -> None:
    least = least_cost(problem)
    if least is None:
        return
    for relaxed, part, whole in relaxations(problem):
        moved = dijkstra(relaxed)
        assert moved is not None
        assert -(-scaled(moved, problem.options) * part // whole) <= least


@settings(max_examples=30, deadline=None)
@given(problem=optioned_problems(max_operators=4, prefetch=False, recompute=True))
def test_operators_of_no_use_change_nothing(problem: MemoryProblem) -> None:
    useful = of_use(problem)
    some = tuple(pair for pair in problem.options.recompute if pair[0] in useful)
    other = replace(problem, options=replace(problem.options, recompute=some))
    assert least_cost(other) == least_cost(problem)
