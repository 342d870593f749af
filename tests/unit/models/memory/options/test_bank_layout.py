"""Several scratchpads: verified plans, sound bounds, and what is proven to have no plan."""

from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import InfeasibleError
from mapc.models.memory import FAMILY
from mapc.models.memory.options.bank_layout import nothing_kept
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Status
from oracles.memory_banks import banked_memory, least_cost


@settings(max_examples=40, deadline=None)
@given(problem=banked_memory(), seed=st.integers(0, 3))
def test_plans_are_verified_and_bounds_are_sound(problem: MemoryProblem, seed: int) -> None:
    least = least_cost(problem)
    result = mapc.solve(problem, time_limit=None, seed=seed)
    assert not any("failed" in note or "refused" in note for note in result.notes)
    assert (result.plan is None) == (least is None)
    if least is None:
        assert result.status is Status.INFEASIBLE
        return
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective
    assert 0 <= result.bound <= least <= result.objective


@settings(max_examples=60, deadline=None)
@given(problem=banked_memory(prefetch=True))
def test_what_is_refused_has_no_plan_and_else_nothing_need_be_kept(problem: MemoryProblem) -> None:
    least = least_cost(problem)
    try:
        FAMILY.precheck(problem)
    except InfeasibleError:
        assert least is None
        return
    plan = nothing_kept(Timeline(problem, problem.graph.given_order))
    if problem.options.prefetch:
        assert plan is None
    elif not problem.options.pinned:
        assert plan is not None
    if plan is not None:
        assert verify(problem, plan).violations == ()
        assert least is not None
