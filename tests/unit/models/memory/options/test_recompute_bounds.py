"""Bounds over all orders, where operators may run again, beside the least cost there is."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.memory.bounds import ForcedSpans, least_cover
from mapc.models.memory.options import Options
from mapc.models.memory.problem import NEVER, MemoryProblem
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_cases import chain_with_skip
from oracles.memory_options import least_cost, optioned_problems


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems(recompute=True))
def test_no_plan_beats_the_bounds(problem: MemoryProblem) -> None:
    least = least_cost(problem)
    if least is None:
        return
    spans = ForcedSpans(problem)
    program = spans.program()
    bound = 0
    if program.n_columns:
        solution = registry.solve(program, "highs", limits=Limits(workers=1))
        assert solution.status is Status.OPTIMAL
        bound = round(solution.objective)
    assert 0 <= spans.single_operator_bound() <= bound <= least


@settings(max_examples=30, deadline=None)
@given(problem=optioned_problems(max_operators=4, recompute=True))
def test_m_r_and_the_lower_end_of_m_p_hold_with_further_runs(problem: MemoryProblem) -> None:
    smallest = problem.smallest_capacity
    if smallest > 0:
        assert least_cost(replace(problem, capacity=smallest - problem.alignment)) is None
    if problem.options.prefetch == 0:
        assert least_cost(replace(problem, capacity=smallest)) is not None
    peak = ForcedSpans(problem).smallest_peak
    if peak > 0:
        assert least_cost(replace(problem, capacity=peak - problem.alignment)) != 0


@settings(max_examples=30, deadline=None)
@given(problem=optioned_problems(max_operators=4, recompute=True))
def test_running_again_never_costs_more_than_not_being_allowed_to(problem: MemoryProblem) -> None:
    without = least_cost(replace(problem, options=replace(problem.options, recompute=())))
    least = least_cost(problem)
    if without is not None:
        assert least is not None
        assert least <= without


@pytest.mark.parametrize("cost", [0, 1, 4, 5, 6, 9, 10, 11])
def test_what_a_loss_costs(cost: int) -> None:
    """t0, 5 bytes: transfers cost 5 each and 5 once; one that is made again, its cost each time."""
    problem = replace(chain_with_skip(9), options=Options(recompute=((0, cost),)))
    assert problem.remake_cost.tolist() == [cost, NEVER, NEVER, NEVER]
    assert problem.return_cost[0] == min(5, cost)
    assert problem.loss_cost[0] == min(10, cost)
    for times in range(1, 5):
        ways = [cost * made + 5 * (times - made) + 5 * (made < times) for made in range(times + 1)]
        bound = times * problem.return_cost[0] + problem.loss_cost[0] - problem.return_cost[0]
        assert bound <= min(ways)
        assert times > 1 or bound == min(ways)


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=7),
    data=st.data(),
)
def test_no_set_of_items_costs_less_than_its_cover(
    items: list[tuple[int, int]], data: st.DataObject
) -> None:
    cost, size = (np.array(column) for column in zip(*items, strict=True))
    amount = data.draw(st.integers(1, int(size.sum())))
    chosen = np.array(list(product([0, 1], repeat=len(items))))
    least = int((chosen @ cost)[chosen @ size >= amount].min())
    bound = least_cover(cost, size, amount)
    assert 0 <= bound <= least
    by = sorted(zip(cost.tolist(), size.tolist(), strict=True), key=lambda one: one[0] / one[1])
    fractional, left = 0.0, amount
    for price, each in by:
        fractional += price * min(1.0, left / each)
        left -= min(left, each)
    assert bound == np.ceil(fractional - 1e-9)
