"""Operators in the given order: the chained problem, its methods, its formulations, its files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph import OperatorGraph, Ragged
from mapc.models.memory.kept_order import chained, unchained
from mapc.models.memory.methods import candidate_orders
from mapc.models.memory.options import Options
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import brute_force, small_graphs, small_problems
from oracles.memory_options import least_cost, small_options


def kept(problem: MemoryProblem) -> MemoryProblem:
    return replace(problem, options=replace(problem.options, keep_order=True))


def two_branches(capacity: int | None = None) -> MemoryProblem:
    """Two branches of an input, interleaved in the file: one after the other takes less room.

    Together x, a and b take 10 bytes; branch by branch a is 1 byte before b is made, and 7 do.
    """
    graph = OperatorGraph(
        name="branches",
        operator_names=("wide_a", "wide_b", "narrow_a", "narrow_b", "join"),
        operator_kinds=("any",) * 5,
        workspace=np.zeros(5, dtype=np.int64),
        inputs=Ragged.of([[0], [0], [1], [2], [3, 4]]),
        outputs=Ragged.of([[1], [2], [3], [4], [5]]),
        tensor_names=("x", "a", "b", "c", "d", "y"),
        tensor_bytes=np.array([2, 4, 4, 1, 1, 1]),
        is_output=np.array([False] * 5 + [True]),
        is_constant=np.zeros(6, dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity)


def test_the_order_costs_what_another_one_would_save() -> None:
    free = two_branches(capacity=9)
    assert mapc.solve(free, time_limit=None).objective == 0
    result = mapc.solve(kept(free), time_limit=None)
    # wide_b beside a needs 10: a leaves and comes back
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, 8, 8)
    assert result.plan.order.tolist() == [0, 1, 2, 3, 4]
    assert result.plan.tensor.max() < free.graph.n_tensors


def test_the_verifier_names_the_first_operator_out_of_order() -> None:
    free = two_branches(capacity=9)
    plan = mapc.solve(free, time_limit=None).plan
    assert not verify(free, plan).violations
    found = verify(kept(free), plan).violations
    assert found == ("order: runs operator 'narrow_a' where operator 'wide_b' is next",)


@settings(max_examples=40, deadline=None)
@given(problem=small_problems())
def test_the_chained_problem_has_one_order_and_the_same_steps(problem: MemoryProblem) -> None:
    chain = chained(kept(problem))
    (order,) = candidate_orders(chain).values()
    assert order.tolist() == problem.graph.given_order.tolist()
    assert (chain.working_set == problem.working_set).all()
    assert chained(problem) is problem


@settings(max_examples=30, deadline=None)
@given(problem=small_problems(max_operators=6))
def test_the_optimum_is_that_of_the_order(problem: MemoryProblem) -> None:
    order = problem.graph.given_order.tolist()
    best = brute_force(problem, order=order, addresses=True)
    result = mapc.solve(kept(problem), time_limit=None, backends=["highs", "cpsat"])
    assert "failed" not in " ".join(result.notes)
    if best is None:
        assert result.plan is None
        return
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, best, best)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), graph=small_graphs(max_operators=5, max_links=6))
def test_with_options_bounds_hold_for_the_order(data: st.DataObject, graph: OperatorGraph) -> None:
    options = data.draw(small_options(graph, prefetch=False))
    problem = MemoryProblem(graph, options=options)
    slack = data.draw(st.integers(0, 4))
    problem = kept(replace(problem, capacity=problem.smallest_capacity + slack))
    best = least_cost(chained(problem))
    result = mapc.solve(problem, time_limit=None)
    assert "failed" not in " ".join(result.notes)
    assert result.plan is not None
    assert result.plan.order.tolist() == graph.given_order.tolist()
    assert result.bound <= best <= result.objective
    assert result.bound == best  # the model of the order leaves nothing out but addresses


@pytest.mark.parametrize("name", ["gap", "cosma", "forced-spans"])
def test_formulations_keep_it(name: str) -> None:
    problem = kept(two_branches(capacity=9))
    program, lift = mapc.lower(problem, name)
    solution = registry.solve(program, "highs", limits=Limits(workers=1))
    assert solution.objective == 8
    if name != "forced-spans":
        verdict = verify(problem, lift(solution))
        assert (verdict.violations, verdict.objective) == ((), 8)


def test_references_are_those_of_the_order() -> None:
    free = two_branches()
    assert mapc.api.family_of(free).with_capacity(free, "M_P").capacity == 7
    problem = mapc.api.family_of(free).with_capacity(kept(free), "M_P")
    assert (problem.capacity, problem.options.keep_order) == (10, True)
    assert mapc.api.family_of(free).details(problem)["m_p_lower_bytes"] == 10


def test_files_carry_it(tmp_path) -> None:
    problem = kept(two_branches(capacity=9))
    result = mapc.solve(problem, time_limit=None)
    mapc.write(result, tmp_path / "plan.json", problem=problem)
    document = json.loads((tmp_path / "plan.json").read_text())
    assert '"keep_order":true' in json.dumps(document).replace(" ", "")
    assert mapc.read(tmp_path / "plan.json").options == Options(keep_order=True)


def test_columns_by_residency_lose_the_same_rows() -> None:
    problem = kept(two_branches(capacity=9))
    plan = MemoryPlan(
        order=np.arange(5),
        tensor=np.array([0, 6, 1]),
        start=np.array([0, 1, 2]),
        stop=np.array([1, 2, 3]),
        address=np.array([0, 4, 8]),
        written=np.array([False, True, False]),
        workspace_address=np.full(5, -1),
    )
    left = unchained(problem, plan)
    assert (left.tensor.tolist(), left.start.tolist(), left.address.tolist()) == (
        [0, 1],
        [0, 2],
        [0, 8],
    )
    assert left.order is plan.order
