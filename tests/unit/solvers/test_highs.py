"""HiGHS: what is handed over, and what half a unit proves."""

import numpy as np
import pytest

from mapc.program.model import Program
from mapc.solvers import highs, registry
from mapc.solvers.base import Limits, Status, Stop

pytest.importorskip("highspy")


def program_of_all_kinds():
    program = Program()
    x = program.variables(2, cost=[1.0, -2.0])
    y = program.variables(2, -np.inf, [np.inf, 3.5], integer=False, cost=[0.5, 0.0])
    program.rows([[x[0], y[0]], [x[1], y[1]]], [[1.0, -1.0], [2.0, 4.0]], [1.0, -np.inf], 7.0)
    program.ragged_rows([0, 0, 3], [0, 2, 3], [1.0, 2.0, 3.0], [-1.0, 2.0], [1.0, 2.0])
    program.minimise([], [], 2.5)
    return program


def test_load_hands_over_every_array():
    matrix = program_of_all_kinds().matrix
    lp = highs.load(matrix).getLp()
    assert (lp.num_col_, lp.num_row_, lp.offset_) == (4, 4, 2.5)
    for ours, theirs in (
        (matrix.cost, lp.col_cost_),
        (matrix.lower, lp.col_lower_),
        (matrix.upper, lp.col_upper_),
        (matrix.row_lower, lp.row_lower_),
        (matrix.row_upper, lp.row_upper_),
    ):
        assert ours.tolist() == list(theirs)
    assert [kind.value for kind in lp.integrality_] == [1, 1, 0, 0]
    dense = np.zeros((4, 4))
    rows = np.repeat(np.arange(4), np.diff(matrix.indptr))
    dense[rows, matrix.indices] = matrix.coefficients
    loaded = highs.load(matrix)
    for column in range(4):
        _, index, values = loaded.getColEntries(column)
        found = np.zeros(4)
        found[np.asarray(index)] = values
        assert found.tolist() == dense[:, column].tolist()


@pytest.mark.parametrize(
    ("cost", "upper", "offset", "expected"),
    [
        (3.0, 10.0, 0.0, True),
        (3.5, 10.0, 0.0, False),  # objectives are not whole
        (3.0, np.inf, 0.0, False),  # nothing says how large they are
        (1e7, 11.0, 0.0, False),  # a bound's rounding is as large as a unit
        (3.0, 10.0, 0.5, False),
        (0.0, np.inf, 0.0, True),
    ],
)
def test_when_half_a_unit_is_proof(cost, upper, offset, expected):
    program = Program()
    program.variables(1, 0, upper, cost=cost)
    program.minimise([], [], offset)
    assert highs._whole_units(program) == expected


def test_an_option_that_is_refused_is_named():
    program, _ = registry.probe()
    solution = registry.solve(program, "highs", limits=Limits(seed=-1))
    assert solution.stop is Stop.REFUSED
    assert "random_seed" in solution.message


def test_the_number_of_threads_can_change_between_solves():
    program, optimum = registry.probe()
    for workers in (1, 2, 1):
        solution = registry.solve(program, "highs", limits=Limits(workers=workers))
        assert (solution.status, solution.objective) == (Status.OPTIMAL, optimum)


def test_the_search_of_a_large_model_under_a_small_cap_is_out_of_memory():
    program = Program()
    x = program.variables((3000, 100), cost=1.0)
    program.rows(x.columns, 1.0, 1.0)
    solution = registry.solve(program, "highs", limits=Limits(memory=120_000_000))
    assert solution.stop is Stop.MEMORY
    again = registry.solve(program, "highs")
    assert (again.status, again.objective) == (Status.OPTIMAL, 3000.0)
