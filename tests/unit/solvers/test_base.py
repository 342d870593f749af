"""Nothing is lost or invented between a solver's figures and ours."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.program.model import Program
from mapc.solvers.base import (
    Solution,
    Status,
    Stop,
    polish,
    relative_gap,
    safe_bound,
    settle,
)

PROVEN = {"status": Status.OPTIMAL, "stop": Stop.PROVEN}


def knapsack(**options):
    """Min -5 x0 - 4 x1 - 3 x2 with 2 x0 + 3 x1 + x2 <= 4: -8 at (1, 0, 1)."""
    program = Program("knapsack")
    x = program.variables(3, cost=[-5.0, -4.0, -3.0], **options)
    program.rows([x.columns], [2.0, 3.0, 1.0], upper=4.0, name="weight", labels=["truck"])
    return program


# -- bounds --------------------------------------------------------------------------------------


@given(st.integers(-(10**12), 10**12), st.floats(-0.9, 0.9))
def test_safe_bound_never_passes_a_whole_optimum(optimum, error):
    program = knapsack()
    noise = error * min(0.5, max(1e-6, abs(optimum) * 1e-9))
    assert safe_bound(program, optimum + noise) <= optimum


@given(st.integers(-(10**8), 10**8), st.floats(0.2, 0.999))
def test_safe_bound_moves_up_to_whole_objectives(below, part):
    assert safe_bound(knapsack(), below + part) == below + 1


def test_safe_bound_leaves_continuous_objectives():
    program = knapsack(integer=False)
    assert safe_bound(program, -8.25) == -8.25


@pytest.mark.parametrize("bound", [None, np.inf, -np.inf, np.nan])
def test_safe_bound_of_nothing_is_none(bound):
    assert safe_bound(knapsack(), bound) is None


def test_relative_gap():
    assert relative_gap(-8.0, -10.0) == 0.25
    assert relative_gap(5.0, 5.0) == 0.0
    assert relative_gap(None, 5.0) is relative_gap(5.0, None) is None


# -- values --------------------------------------------------------------------------------------


def test_polish_agrees_with_enumeration():
    program = knapsack()
    for point in itertools.product([0.0, 1.0], repeat=3):
        feasible = 2 * point[0] + 3 * point[1] + point[2] <= 4
        _, objective, broken = polish(program, point)
        assert (objective is not None) == feasible == (broken == "")
        if feasible:
            assert objective == -5 * point[0] - 4 * point[1] - 3 * point[2]


def test_polish_rounds_and_clips():
    values, objective, _ = polish(knapsack(), [1.0000004, -1e-9, 0.9999999])
    assert values.tolist() == [1.0, 0.0, 1.0]
    assert objective == -8.0


@pytest.mark.parametrize("values", [[1.0, 0.0], [np.nan, 0.0, 1.0], [np.inf, 0.0, 0.0]])
def test_polish_refuses_what_is_no_point(values):
    assert polish(knapsack(), values)[1:] == (None, "values are missing or not finite")


def test_whole_rows_are_held_exactly():
    program = Program()
    x = program.variables(1, 0, 2e9, integer=True)
    program.rows([x.columns], 1.0, upper=1e9, name="budget")
    assert polish(program, [1e9])[1] is not None
    # a relative tolerance of 1e-6 would let a thousand units pass
    assert polish(program, [1e9 + 1])[1] is None


def test_other_rows_are_held_within_the_tolerance():
    program = Program()
    x = program.variables(2, integer=[True, False])
    program.rows([x.columns], [1.0, 0.5], upper=1.0)
    assert polish(program, [1.0, 1e-7])[1] is not None
    assert polish(program, [1.0, 1e-4])[1] is None


def test_clipping_does_not_make_integers_fractional():
    program = Program()
    program.variables(2, [0.4, -0.5], [0.6, 0.5])
    assert "x[0]" in polish(program, [0.0, 0.0])[2]
    program = Program()
    program.variables(1, -0.5, 1.5)
    assert polish(program, [7.0])[0].tolist() == [1.0]


def test_records_are_checked():
    program = Program()
    x = program.variables(2)
    program.at_most_one(x.columns, name="either")
    assert polish(program, [1.0, 1.0])[2] == "breaks AtMostOne 'either'"


# -- settling ------------------------------------------------------------------------------------


def test_an_optimum_stays_optimal():
    solution = settle(knapsack(), Solution(**PROVEN, bound=-8.0000001, values=[1, 0, 1]))
    assert (solution.status, solution.objective, solution.bound) == (Status.OPTIMAL, -8.0, -8.0)
    assert solution.gap == 0.0


def test_a_limit_that_met_the_bound_is_proof():
    raw = Solution(Status.FEASIBLE, Stop.TIME, bound=-8.4, values=[1, 0, 1])
    solution = settle(knapsack(), raw)
    assert (solution.status, solution.stop) == (Status.OPTIMAL, Stop.PROVEN)


def test_optimal_without_a_bound_is_only_feasible():
    solution = settle(knapsack(), Solution(**PROVEN, values=[1, 0, 1]))
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.GAP)
    assert solution.gap is None


def test_optimal_within_a_tolerance_is_only_feasible():
    solution = settle(knapsack(), Solution(**PROVEN, bound=-9.0, values=[1, 0, 1]))
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.GAP)
    assert solution.gap == pytest.approx(1 / 8)


def test_values_that_break_a_row_take_the_status_with_them():
    solution = settle(knapsack(), Solution(**PROVEN, bound=-9.0, values=[1, 1, 0]))
    assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.ERROR)
    assert solution.values is solution.objective is None
    assert solution.bound == -9.0
    assert "weight[truck]" in solution.message


def test_a_bound_above_a_checked_solution_is_dropped():
    solution = settle(knapsack(), Solution(**PROVEN, bound=-5.0, values=[1, 0, 1]))
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.ERROR)
    assert solution.bound is None


def test_infeasible_needs_no_values_and_keeps_no_bound():
    solution = settle(knapsack(), Solution(Status.INFEASIBLE, Stop.PROVEN, bound=np.inf))
    assert (solution.status, solution.bound) == (Status.INFEASIBLE, None)


@pytest.mark.parametrize("status", [Status.OPTIMAL, Status.FEASIBLE, Status.UNKNOWN])
def test_without_values_nothing_is_known_but_the_bound(status):
    solution = settle(knapsack(), Solution(status, Stop.TIME, bound=-9.5))
    assert (solution.status, solution.stop, solution.bound) == (Status.UNKNOWN, Stop.TIME, -9.0)


def test_a_failure_that_met_the_bound_is_still_told():
    raw = Solution(Status.UNKNOWN, Stop.CRASHED, bound=-8.0, values=[1, 0, 1])
    solution = settle(knapsack(), raw)
    assert (solution.status, solution.stop) == (Status.OPTIMAL, Stop.CRASHED)
