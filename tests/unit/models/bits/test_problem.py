from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.operators import Ragged
from mapc.models.bits.problem import MAX_TOTAL, BitsProblem, Pairwise
from oracles.bits_bruteforce import choices, costs_of, feasible, problem_of, small_bits_problems

few = settings(max_examples=100, deadline=None, derandomize=True)

GROUPS = [[(0, 4.0, (4,)), (1, 1.0, (8,))], [(0, 2.0, (4,)), (1, 0.5, (8,)), (2, 0.0, (16,))]]


def small(**changes: Any) -> BitsProblem:
    return replace(problem_of(GROUPS, [20], edges=[(0, 1, 0.5)]), **changes)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def pair(table: np.ndarray, first: int = 0, second: int = 1) -> Pairwise:
    return Pairwise(ints(first), ints(second), (table,))


def test_shape_and_names() -> None:
    problem = small()
    assert (problem.n_groups, problem.n_options) == (2, 5)
    assert problem.group_of.tolist() == [0, 0, 1, 1, 1]
    assert problem.option_name(4) == "g1 as fp16"
    assert problem.limited.tolist() == [0]
    assert not problem.separable
    assert problem_of(GROUPS).separable
    assert not problem_of(GROUPS, objective="max").separable


def test_columns_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().loss[0] = 1.0


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: problem_of([]), "case: no groups; expected at least one"),
    (lambda: problem_of([[(0, 1.0, (1,))], []]), "group 'g1': no options"),
    (lambda: small(groups=("a", "a")), "group 'a': name used twice"),
    (lambda: small(formats=("int4", "int4", "x")), "format 'int4': name used twice"),
    (lambda: small(units=()), "units: 0 entries; expected 1"),
    (lambda: small(objective="mean"), "case: objective 'mean'; expected sum or max"),
    (lambda: small(loss=ints(1, 2, 3, 4, 5)), "loss: int64; expected an array of floats"),
    (lambda: small(cost=np.ones((1, 5))), "cost: float64; expected an array of whole numbers"),
    (lambda: small(cost=np.ones((2, 5), np.int64)), "cost: shape (2, 5); expected (1, 5)"),
    (lambda: small(weights=ints(1)), "weights: shape (1,); expected (2,)"),
    (lambda: small(allowed=ints(1, 1, 1, 1, 1)), "allowed: int64; expected an array of booleans"),
    (lambda: small(start=ints(0, 2, 4)), "start: runs from 0 to 4; expected 0 to 5"),
    (lambda: small(format_of=ints(0, 1, 0, 1, 9)), "group 'g1': format 9; expected 0 to 5"),
    (lambda: small(format_of=ints(0, 1, 2, 1, 2)), "group 'g1': format 'fp16' twice"),
    (
        lambda: small(loss=np.array([0, 0, 0, -0.5, 0])),
        "group 'g1', format 'int8': loss -0.5; expected a finite number >= 0",
    ),
    (lambda: small(loss=np.array([0, np.nan, 0, 0, 0])), "group 'g0', format 'int8': loss nan"),
    (lambda: small(loss=np.array([0, 0, 0, 0, np.inf])), "group 'g1', format 'fp16': loss inf"),
    (lambda: small(loss=np.full(5, 1e300)), "losses add up to 2e+300"),
    (
        lambda: small(cost=ints(1, 1, -3, 1, 1)[None]),
        "group 'g1', format 'int4': r0 cost -3; expected 0 to 1125899906842624",
    ),
    (lambda: small(cost=ints(1, 2**50 + 1, 1, 1, 1)[None]), "group 'g0', format 'int8': r0 cost"),
    (lambda: small(budget=(-1,)), "resource 'r0': budget -1; expected none, or a whole number"),
    (lambda: small(budget=(1.5,)), "resource 'r0': budget 1.5"),
    (lambda: small(budget=(True,)), "resource 'r0': budget True"),
    (lambda: small(budget=(MAX_TOTAL + 1,)), "resource 'r0': budget"),
    (lambda: small(budget=()), "budget: 0 entries; expected 1"),
    (lambda: small(weights=ints(1, -1)), "group 'g1': weights -1"),
    (
        lambda: small(allowed=np.array([False, False, True, True, True])),
        "group 'g0': every option is forbidden; expected one allowed",
    ),
    (lambda: small(ties=Ragged.of([[0, 2]])), "ties: group 2; expected 0 to 1"),
    (
        lambda: problem_of([[(0, 1.0, (1,))], [(1, 1.0, (1,))]], ties=[[0, 1]]),
        "tied groups 'g0', 'g1': no allowed format in common",
    ),
    (
        lambda: problem_of(GROUPS, ties=[[0, 1]], forbidden=[0, 3]),
        "tied groups 'g0', 'g1': no allowed format in common",
    ),
    (lambda: small(edges=np.array([[0, 2]])), "edge 0: groups [0, 2]; expected two of 0 to 1"),
    (lambda: small(edges=np.array([[1, 1]])), "edge 0: joins group 'g1' to itself"),
    (lambda: small(switch_loss=np.array([-1.0])), "edge 'g0' - 'g1': switch loss -1.0"),
    (lambda: small(switch_loss=np.zeros(2)), "edges: shape (1, 2); expected (2, 2)"),
    (lambda: small(objective="max"), "case: objective 'max' with edges or pairwise terms"),
    (lambda: small(pairwise=pair(np.zeros((2, 3)), 1, 0)), "pairwise term 0: groups 1 and 0"),
    (
        lambda: small(pairwise=pair(np.zeros((2, 2)))),
        "pairwise term of 'g0' and 'g1': shape (2, 2); expected (2, 3)",
    ),
    (lambda: small(pairwise=pair(np.full((2, 3), np.nan))), "a value that is not finite"),
    (
        lambda: small(pairwise=Pairwise(ints(0, 0), ints(1, 1), (np.zeros((2, 3)),) * 2)),
        "pairwise: a pair stands there twice",
    ),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_line(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_costs_that_leave_int64_are_refused() -> None:
    top = 2**50
    groups = [[(0, 0.0, (top,))]] * 2**12
    assert problem_of(groups).cost_range[1].tolist() == [2**62]
    with pytest.raises(InstanceError, match=r"resource 'r0': .*more than 2\*\*62"):
        problem_of([*groups, [(0, 0.0, (1,))]])


def test_ties_over_three_groups_need_one_format_for_all() -> None:
    pairwise_only = [[(0, 0.0, (1,)), (1, 0.0, (1,))], [(1, 0.0, (1,)), (2, 0.0, (1,))]]
    problem_of(pairwise_only, ties=[[0, 1]])
    third = [(0, 0.0, (1,)), (2, 0.0, (1,))]
    with pytest.raises(InstanceError, match="no allowed format in common"):
        problem_of([*pairwise_only, third], ties=[[0, 1], [1, 2]])


@few
@given(st.integers(1, 12), st.lists(st.lists(st.integers(0, 11), max_size=4), max_size=8))
def test_roots_are_those_of_the_connected_components(n: int, rows: list[list[int]]) -> None:
    rows = [[group % n for group in row] for row in rows]
    problem = problem_of([[(0, 0.0, (1,))]] * n, ties=rows)
    graph: nx.Graph[int] = nx.empty_graph(n)
    for row in rows:
        nx.add_path(graph, row)
    for component in nx.connected_components(graph):
        assert {int(problem.root_of[group]) for group in component} == {min(component)}


@few
@given(small_bits_problems(resources=(1, 3)))
def test_cost_range_is_reached_and_never_left(problem: BitsProblem) -> None:
    free = problem.with_budget([None] * len(problem.resources))
    seen = np.array([costs_of(free, choice) for choice in choices(free)])
    low, high = problem.cost_range
    assert low.tolist() == seen.min(axis=0).tolist()
    assert high.tolist() == seen.max(axis=0).tolist()


# -- quanta --------------------------------------------------------------------------------------

losses = st.floats(0, 1e290, allow_subnormal=True)


@few
@given(st.lists(st.lists(losses, min_size=1, max_size=3), min_size=1, max_size=5))
def test_quanta_lose_at_most_half_a_quantum_and_never_overflow(rows: list[list[float]]) -> None:
    problem = problem_of([[(f, loss, (1,)) for f, loss in enumerate(row)] for row in rows])
    step = Fraction(problem.quantum)
    assert step > 0
    for loss, quanta in zip(problem.loss.tolist(), problem.quanta.tolist(), strict=True):
        assert abs(Fraction(loss) - quanta * step) <= step / 2
    top = sum(max(row) for row in rows)
    assert sum(problem.quanta.tolist()) >= 0
    assert Fraction(top) < 2**53 * step
    assert problem.quantum == 5e-324 or Fraction(top) >= 2**50 * step or top == 0


def test_a_forbidden_loss_does_not_coarsen_the_others() -> None:
    rows = [[(0, 0.125, (1,)), (1, 1e200, (1,))]]
    assert problem_of(rows, forbidden=[1]).quantum == problem_of([rows[0][:1]]).quantum
    assert problem_of(rows, forbidden=[1]).quanta[1] == 2**53


# -- other budgets -------------------------------------------------------------------------------


@few
@given(small_bits_problems(resources=(1, 3)), st.data())
def test_with_budget_is_the_problem_built_anew(problem: BitsProblem, data: st.DataObject) -> None:
    budget = [data.draw(st.none() | st.integers(0, 30)) for _ in problem.resources]
    quick, slow = problem.with_budget(budget), replace(problem, budget=tuple(budget))
    assert quick.budget == slow.budget == tuple(budget)
    choice = [
        data.draw(st.integers(a, b - 1))
        for a, b in zip(problem.start, problem.start[1:], strict=False)
    ]
    assert feasible(quick, choice) == feasible(slow, choice)
    assert quick.quantum == slow.quantum
    assert quick.limited.tolist() == slow.limited.tolist()


def test_with_budget_checks_budgets_and_leaves_the_original() -> None:
    problem = small()
    with pytest.raises(InstanceError, match="budget -1"):
        problem.with_budget([-1])
    assert problem.with_budget([None]).budget == (None,)
    assert problem.budget == (20,)
