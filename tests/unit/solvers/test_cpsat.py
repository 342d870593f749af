"""CP-SAT: bounds that are none, columns that had to be cut, starts."""

import numpy as np
import pytest

from mapc.program.model import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status, Stop

pytest.importorskip("ortools")


def solve(program, **options):
    return registry.solve(program, "cpsat", **options)


def test_a_search_that_ends_at_once_has_no_bound():
    """The solver's response says 0 then, which is above this optimum."""
    rng = np.random.default_rng(0)
    program = Program()
    x = program.variables(40, cost=-rng.integers(1, 9, 40))
    weight = rng.integers(1, 20, (3, 40))
    program.rows(np.broadcast_to(x.columns, (3, 40)), weight, upper=weight.sum(1) // 2)
    solution = solve(program, limits=Limits(deterministic=0.0))
    assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.WORK)
    assert solution.bound is None


def test_rows_that_bound_columns_keep_the_proof():
    program = Program()
    x = program.variables(2, -np.inf, np.inf, cost=[1.0, -1.0])
    program.rows([[x[0], x[1]], [x[0], x[1]]], [[1.0, 1.0], [1.0, -1.0]], [-4.0, -6.0], [4.0, 2.0])
    program.rows([[x[0]]], 1.0, -3.0, 3.0)
    solution = solve(program)
    assert (solution.status, solution.objective, solution.bound) == (Status.OPTIMAL, -6.0, -6.0)


def test_costs_that_bound_columns_keep_the_proof():
    program = Program()
    x = program.variables(2, 0, np.inf, cost=[3.0, 2.0])
    program.rows([x.columns], [2.0, 1.0], 7.0)
    solution = solve(program)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, 11.0)


def test_columns_in_no_row_do_not_cost_the_proof():
    program = Program()
    x = program.variables(2, cost=1.0)
    program.variables(3, [-np.inf, 0, -np.inf], [np.inf, np.inf, 5], cost=[0.0, 2.0, -1.0])
    program.rows([x.columns], 1.0, 1.0)
    solution = solve(program)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, -4.0)


def test_an_optimum_of_the_cut_program_is_no_proof():
    program = Program()
    x = program.variables(2, -np.inf, np.inf)
    y = program.variables(1, cost=1.0)
    program.rows([[x[0], x[1], y[0]]], [2.0, -2.0, 1.0], 1.0, 1.0)
    solution = solve(program)
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.GAP)
    assert solution.objective == 1.0
    assert solution.bound is None
    assert "cut" in solution.message


def test_infeasibility_of_the_cut_program_is_no_proof():
    program = Program()
    x = program.variables(2, -np.inf, np.inf)
    program.rows([x.columns], [2.0, -2.0], 1.0, 1.0)
    solution = solve(program)
    assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.REFUSED)
    assert "cut" in solution.message


@pytest.mark.parametrize("value", [-1e30, 0.4, 1e30])
def test_a_start_out_of_range_does_no_harm(value):
    program = Program()
    x = program.variables(2, [0, -np.inf], [9, np.inf], cost=[1.0, 0.0])
    program.rows([x.columns], 1.0, 3.0, 3.0)
    solution = solve(program, start=np.full(2, value))
    assert solution.objective == 0.0
