"""The dual of several budgets: against an LP, and never above a feasible choice."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.instances.generators.bits import generate
from mapc.models.bits.formulations import choice_of
from mapc.models.bits.grid import Grid, exact_sum, lagrangian
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import reduce
from mapc.program import Program
from mapc.solvers import registry
from oracles.bits_bruteforce import brute_force, small_bits_problems


def relaxed(program: Program) -> Program:
    matrix = program.matrix
    copy = Program("relaxation")
    copy.variables(matrix.n_columns, 0.0, 1.0, integer=False, cost=matrix.cost)
    copy.ragged_rows(
        matrix.indptr,
        matrix.indices,
        matrix.coefficients,
        matrix.row_lower,
        matrix.row_upper,
    )
    return copy


@pytest.mark.parametrize("budgets", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_dual_is_the_linear_relaxation(budgets: int, seed: int) -> None:
    reduced = reduce(generate(120, 5, budgets, seed))
    grid = Grid.of(reduced)
    dual = maximise(GridOracle(grid))
    program, lift = choice_of(reduced)
    solution = registry.solve(relaxed(program), "highs")
    # a unit per group is what rounding the losses down can take away
    relaxation = lift.offset + lift.unit * solution.objective
    bound = lagrangian(grid, dual.multipliers)
    assert relaxation * (1 - 1e-6) <= bound <= relaxation * (1 + 1e-6) + 120 * lift.unit
    assert dual.rounds < 60


@settings(max_examples=80, deadline=None)
@given(problem=small_bits_problems(edges=False, pairwise=False, objectives=("sum",), slack=False))
def test_every_multiplier_on_the_way_gives_a_bound(problem: BitsProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    grid = Grid.of(reduce(problem))
    dual = maximise(GridOracle(grid))
    for multipliers in dual.trail:
        assert Fraction(lagrangian(grid, multipliers)) * Fraction(problem.quantum) <= best[0]


def test_a_start_near_the_best_multipliers_ends_at_the_same_bound() -> None:
    grid = Grid.of(reduce(generate(2000, 5, 3, 0)))
    oracle = GridOracle(grid)
    cold = maximise(oracle)
    warm = maximise(oracle, start=cold.multipliers * 1.01)
    ours, theirs = (lagrangian(grid, d.multipliers) for d in (warm, cold))
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_sums_beyond_int64_are_exact() -> None:
    values = np.array([2**62, 2**62, 2**62, -1, 5])
    assert exact_sum(values) == 3 * 2**62 + 4
