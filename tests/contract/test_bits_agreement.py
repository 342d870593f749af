"""Every way to answer a bits problem agrees: methods, models, backends, oracle."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import InfeasibleError
from mapc.models.bits.problem import MAX, BitsProblem
from mapc.models.bits.reduction import reduce
from mapc.models.bits.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.bits_bruteforce import brute_force, small_bits_problems

ONE_WORKER = Limits(workers=1)


def formulations_for(problem: BitsProblem) -> list[str]:
    if problem.objective == MAX:
        return ["max"]
    if problem.pairwise is not None:
        return ["pairwise"]
    if len(problem.edges):
        return ["edge-flow", "pairwise"]
    return ["choice", "edge-flow", "pairwise"]


@settings(max_examples=200, deadline=None)
@given(problem=small_bits_problems())
def test_the_whole_road_finds_and_proves_the_optimum(problem: BitsProblem) -> None:
    best = brute_force(problem)
    result = mapc.solve(problem, time_limit=None)
    if best is None:
        assert result.status is Status.INFEASIBLE
        assert result.plan is None
        return
    assert result.status is Status.OPTIMAL, result
    assert Fraction(result.objective) == Fraction(result.bound) == best[0]
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective
    assert not any("failed" in note or "refused" in note for note in result.notes), result.notes


@settings(max_examples=80, deadline=None)
@given(problem=small_bits_problems())
def test_without_a_solver_plans_hold_and_bounds_stay_below(problem: BitsProblem) -> None:
    best = brute_force(problem)
    result = mapc.solve(problem, time_limit=None, backends=())
    if best is None:
        assert result.plan is None
        return
    if result.plan is not None:
        assert mapc.check(problem, result.plan) == []
        assert Fraction(result.objective) >= best[0]
    assert result.status is not Status.INFEASIBLE
    assert result.bound is None or Fraction(result.bound) <= best[0]


@settings(max_examples=60, deadline=None)
@given(
    problem=small_bits_problems(),
    backend=st.sampled_from(["highs", "cpsat"]),
    unit=st.sampled_from([None, 1]),
)
def test_formulations_agree_with_the_oracle_on_every_backend(
    problem: BitsProblem, backend: str, unit: int | None
) -> None:
    best = brute_force(problem)
    for name in formulations_for(problem):
        options = {} if name == "max" or backend == "highs" else {"unit": unit}
        try:
            program, lift = mapc.lower(problem, name, **options)
        except InfeasibleError:
            assert best is None
            continue
        solution = registry.solve(program, backend, limits=ONE_WORKER)
        if best is None:
            assert solution.status is Status.INFEASIBLE
            continue
        assert solution.status is Status.OPTIMAL, solution
        plan = lift(solution)
        assert mapc.check(problem, plan) == []
        objective = verify(problem, plan).objective
        bound = lift.bound(solution.bound) * problem.quantum
        assert bound <= best[0] <= objective
        if options.get("unit") == 1 or name == "max":
            assert bound == best[0] == objective
        else:
            # losses here are eighths: what rounding to a unit gives away is far less
            assert objective == best[0]


@settings(max_examples=20, deadline=None)
@given(problem=small_bits_problems())
def test_same_seed_same_answer_without_a_clock(problem: BitsProblem) -> None:
    first, second = (mapc.solve(problem, time_limit=None, seed=3) for _ in range(2))
    assert (first.status, first.objective, first.bound) == (
        second.status,
        second.objective,
        second.bound,
    )
    assert first.plan == second.plan


@pytest.mark.parametrize("method", ["cutting", "switches", "threshold"])
def test_methods_that_do_not_apply_say_nothing(method: str) -> None:
    from oracles.bits_bruteforce import problem_of

    objective = "sum" if method == "threshold" else "max"
    problem = problem_of([[(0, 1.0, (1,))]], [3], objective=objective)
    result = mapc.solve(problem, time_limit=None, methods=[method])
    assert result.plan is None
    assert result.bound is None


@settings(max_examples=60, deadline=None)
@given(problem=small_bits_problems(resources=(2, 3), slack=False, objectives=("sum",)))
def test_reduced_prices_never_rule_the_optimum_out(problem: BitsProblem) -> None:
    from mapc.models.bits.grid import Grid
    from mapc.models.bits.multipliers import GridOracle, maximise
    from mapc.models.bits.proving import Prices

    best = brute_force(problem)
    if best is None or not problem.separable:
        return
    reduced = reduce(problem)
    grid = Grid.of(reduced)
    prices = Prices(grid, maximise(GridOracle(grid)).trail)
    quanta = int(best[0] / Fraction(problem.quantum))
    open_ = prices.open_options(quanta)
    assert max(prices.bound) <= quanta
    for choice in np.ndindex(*np.diff(reduced.start)):
        options = reduced.start[:-1] + np.array(choice)
        costs = reduced.cost[:, options].sum(axis=1)
        if (costs <= reduced.budget).all() and reduced.quanta[options].sum() == quanta:
            assert open_[np.array(choice), np.arange(len(choice))].all()
