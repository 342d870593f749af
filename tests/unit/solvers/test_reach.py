"""Implied bounds hold for every solution."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.program.model import Program
from mapc.solvers.reach import hopeless, implied_reach

small = st.integers(-3, 3)


@st.composite
def programs(draw):
    """Three integer columns, some without bounds, and up to three rows."""
    program = Program()
    lower = draw(st.lists(st.sampled_from([-np.inf, -2, 0]), min_size=3, max_size=3))
    upper = draw(st.lists(st.sampled_from([np.inf, 1, 4]), min_size=3, max_size=3))
    x = program.variables(3, lower, upper, cost=draw(st.lists(small, min_size=3, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        sides = sorted(draw(st.tuples(small, small)))
        low = draw(st.sampled_from([-np.inf, sides[0]]))
        program.rows([x.columns], draw(st.lists(small, min_size=3, max_size=3)), low, sides[1] + 3)
    return program


@settings(max_examples=60)
@given(programs(), st.one_of(st.none(), st.integers(-6, 6)))
def test_no_solution_lies_outside(program, objective):
    matrix = program.matrix
    lower, upper = implied_reach(matrix, objective)
    grid = np.array(list(itertools.product(range(-7, 8), repeat=3)), dtype=np.float64)
    inside = ((grid >= matrix.lower) & (grid <= matrix.upper)).all(axis=1)
    if matrix.n_rows:
        activity = np.array([matrix.activity(point) for point in grid[inside]])
        rows = (activity >= matrix.row_lower) & (activity <= matrix.row_upper)
        solutions = grid[inside][rows.all(axis=1)]
    else:
        solutions = grid[inside]
    if objective is not None:
        solutions = solutions[solutions @ matrix.cost <= objective]
    assert (solutions >= lower - 1e-6).all()
    assert (solutions <= upper + 1e-6).all()


def test_bounds_pass_from_row_to_row():
    program = Program()
    x = program.variables(3, 0, [4.0, np.inf, np.inf])
    program.rows([[0, 1], [1, 2]], [1.0, -1.0], lower=0.0)  # x0 >= x1 >= x2
    _, upper = implied_reach(program.matrix)
    assert upper == pytest.approx([4.0, 4.0, 4.0], abs=1e-6)
    assert x.size == 3


def test_an_objective_bounds_what_costs():
    program = Program()
    program.variables(2, 0, np.inf, cost=[2.0, 0.0])
    _, upper = implied_reach(program.matrix, 10.0)
    assert upper[0] == pytest.approx(5.0, abs=1e-6)
    assert np.isinf(upper[1])


@pytest.mark.parametrize(
    ("low", "up", "expected"), [(1, np.inf, True), (-np.inf, -1, True), (0, 0, False)]
)
def test_hopeless_rows(low, up, expected):
    program = Program()
    program.ragged_rows([0, 0], [], [], low, up)
    assert hopeless(program.matrix) == expected


@pytest.mark.parametrize(
    ("low", "up", "integer", "expected"),
    [
        (0.4, 0.6, True, True),
        (0.4, 0.6, False, False),
        (0.4, 1.0, True, False),
        (0.1 + 0.2, 3 * 0.1, False, False),
        (3.0000000004, 3.0000000006, True, False),
    ],
)
def test_hopeless_columns(low, up, integer, expected):
    program = Program()
    program.variables(1, min(low, up), max(low, up), integer=integer)
    assert hopeless(program.matrix) == expected
