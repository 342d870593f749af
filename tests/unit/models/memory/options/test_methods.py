"""The whole road with options: verified plans, sound bounds, and optima by hand."""

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.options import Options
from mapc.models.memory.options.relaxed import relaxation, scaled
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import dijkstra
from oracles.memory_options import least_cost, optioned_problems

SHORT_REUSE = MemoryProblem(
    OperatorGraph(
        name="short reuse",
        operator_names=("o0", "o1", "o2"),
        operator_kinds=("any",) * 3,
        workspace=np.array([0, 1, 0]),
        inputs=Ragged.of([[0], [0, 1], [1, 2]]),
        outputs=Ragged.of([[1], [2], [3]]),
        tensor_names=("t0", "t1", "t2", "t3"),
        tensor_bytes=np.array([2, 4, 2, 2]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.zeros(4, dtype=np.bool_),
    ),
    capacity=6,
    options=Options(streamable=((0, 0), (1, 0), (1, 1), (2, 1)), prefetch=2),
)
"""t2 is read at the step after its own: at distance 2 it cannot leave in between."""


@settings(max_examples=40, deadline=None)
@example(problem=SHORT_REUSE, seed=0)
@given(problem=optioned_problems(), seed=st.integers(0, 3))
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


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems(), backend=st.sampled_from(["highs", "cpsat"]))
def test_no_order_beats_the_bounds(problem: MemoryProblem, backend: str) -> None:
    least = least_cost(problem)
    if least is None:
        return
    spans = ForcedSpans(problem)
    program = spans.program()
    bound = 0
    if program.n_columns:
        solution = registry.solve(program, backend, limits=Limits(workers=1))
        assert solution.status is Status.OPTIMAL
        bound = round(solution.objective)
    assert 0 <= spans.single_operator_bound() <= bound <= least


@settings(max_examples=60, deadline=None)
@given(problem=optioned_problems())
def test_below_m_r_and_below_the_bracket_of_m_p_there_is_no_plan(problem: MemoryProblem) -> None:
    smallest = problem.smallest_capacity
    if smallest > 0:
        assert least_cost(replace(problem, capacity=smallest - problem.alignment)) is None
    if problem.options.prefetch == 0:
        assert least_cost(replace(problem, capacity=smallest)) is not None
    peak = ForcedSpans(problem).smallest_peak
    if peak > 0:
        assert least_cost(replace(problem, capacity=peak - problem.alignment)) != 0


@settings(max_examples=40, deadline=None)
@given(problem=optioned_problems())
def test_the_relaxation_costs_no_more(problem: MemoryProblem) -> None:
    relaxed, least = relaxation(problem), least_cost(problem)
    if relaxed is None or least is None:
        return
    moved = dijkstra(relaxed)
    assert moved is not None
    assert scaled(moved, problem.options) <= least
