from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.verify import MAX_LINES, verify
from oracles.bits_bruteforce import (
    costs_of,
    feasible,
    objective_of,
    problem_of,
    small_bits_problems,
)

GROUPS = [
    [(0, 4.0, (4, 1)), (1, 1.0, (8, 1))],
    [(0, 2.0, (4, 1)), (1, 0.5, (8, 1)), (2, 0.0, (16, 1))],
    [(1, 1.5, (8, 1)), (0, 3.0, (4, 1))],
]


def plan(*option: int) -> BitsPlan:
    return BitsPlan(np.array(option, dtype=np.int64))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(small_bits_problems(), st.data())
def test_agrees_with_the_oracle(problem: BitsProblem, data: st.DataObject) -> None:
    ranges = itertools.pairwise(problem.start.tolist())
    choice = [data.draw(st.integers(a, b - 1)) for a, b in ranges]
    verdict = verify(problem, plan(*choice))
    assert (not verdict.violations) == feasible(problem, choice)
    assert Fraction(verdict.objective or 0) == objective_of(problem, choice)
    assert list(verdict.facts["cost"].values()) == costs_of(problem, choice)
    assert sum(verdict.facts["formats"].values()) == problem.n_groups


def test_facts() -> None:
    problem = problem_of(
        GROUPS,
        [20, None],
        resources=("size", "time"),
        units=("bytes", "us"),
        weights=[10, 20, 2],
        edges=[(0, 1, 0.25), (1, 2, 0.5), (0, 2, 8.0)],
    )
    verdict = verify(problem, plan(1, 2, 5))
    assert verdict.violations == ()
    assert verdict.objective == 1.0 + 2.0 + 1.5 + 0.25 + 0.5
    assert verdict.facts == {
        "loss": 5.25,
        "cost": {"size": 20, "time": 3},
        "bits_per_weight": 5.0,
        "formats": {"int4": 1, "int8": 2},
        "switches": 2,
    }


def test_bits_per_weight_counts_groups_with_weights_only() -> None:
    named = {"resources": ("size", "time"), "units": ("bits", "us")}
    problem = problem_of(GROUPS, [None, None], weights=[2, 1, 0], **named)
    assert verify(problem, plan(0, 2, 6)).facts["bits_per_weight"] == (4 + 4) / 3
    for other in (
        problem_of(GROUPS, [None, None], weights=[0, 0, 0], **named),
        problem_of(GROUPS, [None, None], resources=("size", "t"), units=("pages", "us")),
        problem_of(GROUPS, [None, None]),
    ):
        assert verify(other, plan(0, 2, 6)).facts["bits_per_weight"] is None


def test_the_largest_loss() -> None:
    problem = problem_of(GROUPS, [None, None], objective="max")
    assert verify(problem, plan(1, 2, 6)).objective == 3.0


def test_every_rule_is_named() -> None:
    problem = problem_of(GROUPS, [11, None], ties=[[0, 1], [2]], forbidden=[6])
    lines = verify(problem, plan(1, 2, 6)).violations
    assert lines == (
        "group 'g2': format 'int4' is forbidden",
        "groups 'g0' and 'g1' are tied: 'int8' is not 'int4'",
        "resource 'r0': 16 bits, above the budget 11",
    )


def test_a_budget_may_be_used_up() -> None:
    assert verify(problem_of(GROUPS, [16, 3]), plan(1, 2, 6)).violations == ()
    assert len(verify(problem_of(GROUPS, [15, 2]), plan(1, 2, 6)).violations) == 2


@pytest.mark.parametrize("option", [2, 1, -1, 7])
def test_an_option_of_another_group(option: int) -> None:
    verdict = verify(problem_of(GROUPS, [None, None]), plan(0, 2, option))
    assert verdict.objective is None
    assert verdict.violations == (f"group 'g2': option {option} is none of its own, 5 to 6",)


@pytest.mark.parametrize("option", [np.zeros(2, np.int64), np.zeros(3), np.zeros((3, 1), np.int64)])
def test_wrong_shape_or_type_has_no_objective(option: np.ndarray) -> None:
    verdict = verify(problem_of(GROUPS, [None, None]), BitsPlan(option))
    assert len(verdict.violations) == 1
    assert "expected 3 whole numbers" in verdict.violations[0]
    assert verdict.objective is None


def test_many_violations_are_counted_not_listed() -> None:
    n = MAX_LINES + 30
    problem = problem_of([[(0, 1.0, (1,)), (1, 0.0, (1,))]] * n, forbidden=range(0, 2 * n, 2))
    lines = verify(problem, plan(*range(0, 2 * n, 2))).violations
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == "and 30 more"


def test_costs_add_up_beyond_floats() -> None:
    top = 2**50
    problem = problem_of([[(0, 0.0, (top,))]] * 9 + [[(0, 0.0, (1,))]], [9 * top])
    verdict = verify(problem, plan(*range(10)))
    assert verdict.facts["cost"] == {"r0": 9 * top + 1}
    assert verdict.violations == (f"resource 'r0': {9 * top + 1} bits, above the budget {9 * top}",)


def test_losses_add_up_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    rows = [[(0, float(loss), (1,))] for loss in rng.lognormal(0, 4, 200)]
    forward = verify(problem_of(rows), plan(*range(200))).objective
    assert verify(problem_of(rows[::-1]), plan(*range(200))).objective == forward
