"""Several budgets: exchange, joins, listing, branching."""

import numpy as np
import pytest

import mapc
from mapc.instances.generators.bits import generate
from mapc.models.bits.branching import Branching, Part
from mapc.models.bits.exchange import State, exchanged, feasible_near
from mapc.models.bits.formulations import choice_of
from mapc.models.bits.grid import Grid, lagrangian, restricted, subproblem
from mapc.models.bits.joining import improved
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.proving import Prices, listed
from mapc.models.bits.reduction import Reduced, reduce
from mapc.solvers import registry
from mapc.solvers.base import Status

CASES = [(30, 2, "llm"), (60, 3, "llm"), (60, 3, "continuous"), (90, 1, "continuous")]


def reduced_of(groups: int, budgets: int, sizes: str, seed: int = 0) -> Reduced:
    return reduce(generate(groups, 5, budgets, seed, sizes=sizes))


def by_cpsat(reduced: Reduced) -> int:
    """The optimum in quanta, by a solver that counts each of them."""
    program, lift = choice_of(reduced, unit=1)
    solution = registry.solve(program, "cpsat")
    assert solution.status is Status.OPTIMAL
    return int(reduced.quanta[lift.choice(solution.values)].sum())


@pytest.mark.parametrize(("groups", "budgets", "sizes"), CASES)
def test_every_step_keeps_the_budgets_and_lowers_the_loss(
    groups: int, budgets: int, sizes: str
) -> None:
    grid = Grid.of(reduced_of(groups, budgets, sizes))
    dual = maximise(GridOracle(grid))
    bound = lagrangian(grid, dual.multipliers)
    state = feasible_near(grid, dual.multipliers)
    losses = []
    for step in (State, exchanged, improved):
        state = State(grid, state.row) if step is State else step(state, dual.multipliers)
        choice = grid.options(state.row)
        assert (grid.reduced.cost[:, choice].sum(axis=1) <= grid.reduced.budget).all()
        assert int(grid.reduced.quanta[choice].sum()) == state.quanta >= bound
        assert state.slack.tolist() == list(grid.slack(state.row))
        losses.append(state.quanta)
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(("groups", "budgets", "sizes"), CASES)
def test_branching_without_a_solver_ends_at_the_optimum(
    groups: int, budgets: int, sizes: str
) -> None:
    reduced = reduced_of(groups, budgets, sizes)
    grid = Grid.of(reduced)
    dual = maximise(GridOracle(grid))
    found = []
    start = feasible_near(grid, dual.multipliers)
    root = Part(grid, dual.multipliers, lagrangian(grid, dual.multipliers))
    search = Branching(start, root, lambda state: found.append(state.quanta), lambda: False)
    assert search.run(200)
    assert search.bound == search.best.quanta == by_cpsat(reduced)
    assert found == sorted(found, reverse=True)


def test_a_cut_short_branching_keeps_a_bound_below_the_optimum() -> None:
    reduced = reduced_of(60, 3, "llm", seed=1)
    grid = Grid.of(reduced)
    dual = maximise(GridOracle(grid))
    root = Part(grid, dual.multipliers, lagrangian(grid, dual.multipliers))
    start = feasible_near(grid, dual.multipliers)
    for parts in range(4):
        search = Branching(start, root, lambda state: None, lambda: False)
        search.run(parts)
        assert root.bound <= search.bound <= by_cpsat(reduced) <= search.best.quanta


def test_listing_is_complete_or_says_so() -> None:
    reduced = reduced_of(40, 2, "llm")
    grid = Grid.of(reduced)
    dual = maximise(GridOracle(grid))
    prices = Prices(grid, dual.trail)
    state = feasible_near(grid, dual.multipliers)
    short = State(grid, state.row)
    assert not listed(short, prices, states=1)
    assert short.feasible
    assert listed(state, prices)
    assert state.quanta == by_cpsat(reduced) <= short.quanta


def test_a_part_of_a_problem_has_what_the_rest_leaves() -> None:
    reduced = reduced_of(12, 2, "continuous")
    choice = reduced.start[:-1] + 1
    groups = np.array([2, 3, 7])
    part, options = subproblem(reduced, groups, choice)
    assert part.n_groups == 3
    widths = np.diff(reduced.start)[groups]
    assert (reduced.group_of[options] == np.repeat(groups, widths)).all()
    others = np.setdiff1d(np.arange(12), groups)
    left = reduced.budget - reduced.cost[:, choice[others]].sum(axis=1)
    assert part.budget.tolist() == left.tolist()
    keep = np.ones(len(part.quanta), dtype=np.bool_)
    keep[[0, -1]] = False
    fewer = restricted(part, keep)
    assert np.diff(fewer.start).tolist() == [widths[0] - 1, widths[1], widths[2] - 1]
    assert fewer.members.values.tolist() == part.members.values[keep].tolist()


def test_a_thousand_groups_under_three_budgets_without_a_solver() -> None:
    problem = generate(1000, 5, 3, 0)
    result = mapc.solve(problem, time_limit=None, backends=(), gap=1e-4)
    assert result.gap <= 1e-4
    assert mapc.check(problem, result.plan) == []
