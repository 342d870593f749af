"""Choices, their model and the greedy, against single moves over all orders."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.memory.options.choice_model import ChoiceModel
from mapc.models.memory.options.greedy import fit, spare_pairs, take_all
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.problem import MemoryProblem
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import all_orders, dijkstra, small_problems
from oracles.memory_options import least_cost, optioned_problems

ONE_WORKER = Limits(workers=1)


def best(timeline: Timeline, backend: str) -> tuple[int, Choice] | None:
    model = ChoiceModel(timeline)
    if not model.program.n_columns:
        fits = (timeline.occupancy(timeline.at_ease()) <= timeline.problem.room).all()
        return (0, timeline.at_ease()) if fits else None
    solution = registry.solve(model.program, backend, limits=ONE_WORKER)
    if solution.status is Status.INFEASIBLE:
        return None
    assert solution.status is Status.OPTIMAL, solution
    return round(solution.objective), model.chosen(solution.values)


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems(max_operators=5), backend=st.sampled_from(["highs", "cpsat"]))
def test_best_choice_over_all_orders_is_the_least_cost(
    problem: MemoryProblem, backend: str
) -> None:
    costs = []
    for order in all_orders(problem.graph):
        timeline = Timeline(problem, np.array(order))
        found = best(timeline, backend)
        if found is not None:
            cost, choice = found
            assert timeline.cost(choice) == cost
            assert (timeline.occupancy(choice) <= problem.room).all()
            costs.append(cost)
    assert min(costs, default=None) == least_cost(problem)


@settings(max_examples=60, deadline=None)
@given(problem=small_problems(max_operators=6))
def test_without_options_single_moves_agree_with_the_plain_oracle(problem: MemoryProblem) -> None:
    assert least_cost(problem) == dijkstra(problem)


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems())
def test_greedy_choices_fit_and_cost_no_less_than_the_optimum(problem: MemoryProblem) -> None:
    timeline = Timeline(problem, problem.graph.given_order)
    choice = fit(timeline, problem.room)
    if choice is None:
        assert problem.options.prefetch
        return
    optimum = best(timeline, "highs")
    assert optimum is not None
    for variant in (
        choice,
        spare_pairs(timeline, choice, problem.room),
        take_all(timeline, choice),
    ):
        assert (timeline.occupancy(variant) <= problem.room).all()
        assert timeline.cost(variant) >= optimum[0] >= 0


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems())
def test_a_choice_at_ease_costs_nothing_and_one_at_least_takes_the_working_sets(
    problem: MemoryProblem,
) -> None:
    timeline = Timeline(problem, problem.graph.given_order)
    assert timeline.cost(timeline.at_ease()) == 0
    if problem.options.prefetch == 0:
        least = timeline.occupancy(timeline.at_least())
        assert least.tolist() == problem.working_set[timeline.order].tolist()
