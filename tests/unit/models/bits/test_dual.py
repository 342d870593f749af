import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import InfeasibleError
from mapc.instances.generators.bits import generate
from mapc.models.bits.dual import fill, hull_steps, relax
from mapc.models.bits.reduction import reduce
from mapc.program.model import Program
from mapc.solvers.base import Status
from mapc.solvers.registry import solve
from oracles.knapsack_bruteforce import core_of, least, small_knapsacks

many = settings(max_examples=120, deadline=None, derandomize=True)


def dual_maximum(groups, budget) -> Fraction:
    """Largest value of the dual function; it is concave and breaks only at slopes."""
    slopes = {Fraction(0)}
    for group in groups:
        for (a, p), (b, q) in itertools.permutations(group, 2):
            if b > a and p > q:
                slopes.add(Fraction(p - q, b - a))
    return max(
        sum(min(q + s * c for c, q in group) for group in groups) - s * budget for s in slopes
    )


@many
@given(small_knapsacks())
def test_the_relaxation_is_the_maximum_of_the_dual(case):
    groups, budget = case
    relaxation = relax(hull_steps(core_of(groups)), budget)
    assert relaxation.value == dual_maximum(groups, budget)


@many
@given(small_knapsacks())
def test_the_bound_is_the_value_rounded_up_and_below_the_optimum(case):
    groups, budget = case
    relaxation = relax(hull_steps(core_of(groups)), budget)
    assert relaxation.bound - 1 < relaxation.value <= relaxation.bound
    assert relaxation.bound <= least(groups, budget) <= relaxation.quanta


@many
@given(small_knapsacks())
def test_slopes_fall_and_every_point_is_the_choice_it_says(case):
    groups, _ = case
    core = core_of(groups)
    steps = hull_steps(core)
    slopes = [Fraction(int(g), int(c)) for g, c in zip(steps.gain, steps.cost, strict=True)]
    assert slopes == sorted(slopes, reverse=True)
    for taken in range(len(steps) + 1):
        choice = steps.choice(taken)
        assert (np.searchsorted(core.start, choice, side="right") - 1).tolist() == list(
            range(len(groups))
        )
        assert core.cost[0][choice].sum() == steps.total_cost[taken]
        assert core.quanta[choice].sum() == steps.total_quanta[taken]


def test_slopes_that_float64_cannot_tell_apart_are_in_order():
    """Slopes 1 + 1/c for c near 2**50: float64 sees one number."""
    base = 2**50 - 64
    groups = [[(0, base + i + 1), (base + i, 0)] for i in range(57, -1, -3)]
    steps = hull_steps(core_of(groups))
    assert steps.cost.tolist() == sorted(steps.cost.tolist())


@many
@given(small_knapsacks())
def test_filling_keeps_the_budget_and_the_order_of_each_hull(case):
    groups, budget = case
    core = core_of(groups)
    steps = hull_steps(core)
    relaxation = relax(steps, budget)
    more = fill(steps, relaxation)
    taken = set(range(relaxation.taken)) | set(more.tolist())
    assert len(taken) == relaxation.taken + len(more)
    room = relaxation.room - int(steps.cost[more].sum())
    assert room >= 0
    closed = set()
    for step, group in enumerate(steps.group.tolist()):
        if step in taken:
            assert group not in closed
        elif group not in closed:
            closed.add(group)
            assert steps.cost[step] > room, "the next step of a group would still fit"


def test_filling_skips_what_is_too_large():
    groups = [[(0, 100), (10, 0)], [(0, 60), (8, 0)], [(0, 20), (3, 0)], [(0, 5), (1, 0)]]
    steps = hull_steps(core_of(groups))
    relaxation = relax(steps, 14)
    assert (relaxation.taken, relaxation.room) == (1, 4)
    assert steps.group[fill(steps, relaxation)].tolist() == [2, 3]


def test_filling_does_not_step_over_a_step_that_was_too_large():
    """A cannot take its cheap second step; B takes the room that C would need; D still fits."""
    groups = [
        [(0, 514), (50, 14), (52, 0)],
        [(0, 72), (8, 0)],
        [(0, 56), (7, 0)],
        [(0, 18), (3, 0)],
    ]
    steps = hull_steps(core_of(groups))
    assert steps.group.tolist() == [0, 1, 2, 0, 3]
    assert fill(steps, relax(steps, 14)).tolist() == [1, 4]


def test_a_budget_that_does_not_bind():
    relaxation = relax(hull_steps(core_of([[(2, 7), (5, 1)], [(1, 1)]])), 1000)
    assert (relaxation.multiplier, relaxation.bound, relaxation.quanta) == (0, 2, 2)


def test_an_infeasible_budget_names_the_cheapest_choice():
    with pytest.raises(InfeasibleError, match="budget 2: the cheapest choice costs 3"):
        relax(hull_steps(core_of([[(2, 7), (5, 1)], [(1, 1)]])), 2)


def test_several_budgets_are_refused():
    with pytest.raises(ValueError, match="2 budgets; expected one"):
        hull_steps(reduce(generate(4, budgets=2)))


@pytest.mark.parametrize("sizes", ["llm", "continuous"])
def test_the_relaxation_is_that_of_an_lp_solver(sizes):
    core = reduce(generate(300, sizes=sizes, seed=3))
    relaxation = relax(hull_steps(core), int(core.budget[0]))
    scale = float(relaxation.value) / 1000
    program = Program("relaxation")
    x = program.variables(len(core.quanta), 0.0, 1.0, integer=False)
    program.ragged_rows(core.start, np.asarray(x), np.ones(len(core.quanta)), 1.0, 1.0)
    weights = core.cost / float(core.budget[0])
    program.rows(np.asarray(x)[None], weights, -np.inf, 1.0)
    program.minimise(x, core.quanta / scale)
    solution = solve(program, "highs")
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(1000, rel=1e-7)
