"""Losses between groups: bounds on forests and cycles, proof to the last quantum."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc.errors import InfeasibleError
from mapc.instances.generators.bits import generate
from mapc.models.bits.multipliers import maximise
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import reduce
from mapc.models.bits.switches import ForestOracle, Related, floor
from mapc.solvers.base import Status
from oracles.bits_bruteforce import brute_force, small_bits_problems


def related_chain(groups: int, budgets: int, *, skips: int = 0, seed: int = 0) -> BitsProblem:
    """A generated problem with switch costs on a chain, and on some edges that skip two groups."""
    problem = generate(groups, 5, budgets, seed)
    ends = [(i, i + 1) for i in range(groups - 1)] + [(3 * i, 3 * i + 3) for i in range(skips)]
    weight = np.random.default_rng(seed).random(len(ends))
    typical = problem.loss.reshape(groups, 5)[:, 2].mean()
    return replace(
        problem,
        edges=np.array(ends, dtype=np.int64),
        switch_loss=0.3 * typical * weight,
    )


def formats_and_loss(problem: BitsProblem, option: np.ndarray) -> int:
    form = problem.format_of[option]
    switched = form[problem.edges[:, 0]] != form[problem.edges[:, 1]]
    return int(problem.quanta[option].sum() + problem.switch_quanta[switched].sum())


@settings(max_examples=100, deadline=None)
@given(problem=small_bits_problems(objectives=("sum",)))
def test_bounds_stay_below_and_losses_are_those_of_the_plan(problem: BitsProblem) -> None:
    best = brute_force(problem)
    try:
        reduced = reduce(problem)
    except InfeasibleError:
        assert best is None
        return
    related = Related(reduced)
    oracle = ForestOracle(related)
    dual = maximise(oracle)
    row = np.diff(reduced.start) - 1
    plan = reduced.lift(problem, related.grid.options(row))
    if problem.pairwise is None:
        assert related.loss(row) == formats_and_loss(problem, plan.option)
    assert related.loss(row) <= related.most()
    assert floor(reduced) <= related.loss(row)
    assert oracle.bound(np.zeros(len(reduced.budget))) <= related.loss(row)
    if best is not None:
        for multipliers in dual.trail:
            assert Fraction(oracle.bound(multipliers)) * Fraction(problem.quantum) <= best[0]
    free = related.with_neighbours(row)
    other = row.copy()
    other[0] = 0
    step = free[0, 0] - free[row[0], 0]
    assert related.loss(other) - related.loss(row) == step


@pytest.mark.parametrize(("groups", "budgets", "skips"), [(40, 1, 0), (40, 3, 0), (20, 1, 6)])
def test_switch_costs_are_proven_to_the_last_quantum(groups: int, budgets: int, skips: int) -> None:
    problem = related_chain(groups, budgets, skips=skips)
    result = mapc.solve(problem, time_limit=None)
    assert result.status is Status.OPTIMAL
    assert mapc.check(problem, result.plan) == []
    assert formats_and_loss(problem, result.plan.option) * problem.quantum == result.bound


def test_without_budgets_a_forest_needs_no_solver() -> None:
    problem = replace(related_chain(300, 1), budget=(None,))
    result = mapc.solve(problem, time_limit=None, backends=())
    assert result.status is Status.OPTIMAL
    # nothing is gained by switching where every group may take its best format
    assert result.facts["switches"] == 0


def test_a_chain_of_a_thousand_is_close_without_a_solver() -> None:
    result = mapc.solve(related_chain(1000, 1), time_limit=None, backends=())
    assert result.gap < 0.01
