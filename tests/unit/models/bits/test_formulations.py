"""Programs: what they hold, what they leave out, how their bounds are read."""

import numpy as np
import pytest

import mapc
from mapc.errors import UsageError
from mapc.instances.generators.bits import generate
from mapc.models.bits.formulations import LARGEST, equal_formats
from mapc.models.bits.reduction import reduce
from mapc.models.bits.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status, Stop
from oracles.bits_bruteforce import problem_of

ROWS = [(0, 4.0, (2,)), (1, 1.0, (5,))]
EDGE = [(0, 1, 0.5)]
TERM = [(0, 1, [[0.0, 1.0], [1.0, -2.0]])]


@pytest.mark.parametrize(
    ("formulation", "extra", "right"),
    [
        ("choice", {"edges": EDGE}, "edge-flow"),
        ("choice", {"terms": TERM}, "pairwise"),
        ("edge-flow", {"terms": TERM}, "pairwise"),
        ("choice", {"objective": "max"}, "'max'"),
        ("pairwise", {"objective": "max"}, "'max'"),
        ("max", {}, "choice"),
    ],
)
def test_formulations_refuse_what_they_leave_out(formulation: str, extra: dict, right: str) -> None:
    with pytest.raises(UsageError, match=right):
        mapc.lower(problem_of([ROWS, ROWS], [9], **extra), formulation)


def test_losses_are_rounded_down_to_what_solvers_tell_apart() -> None:
    problem = generate(50, 5, 2, 0)
    program, lift = mapc.lower(problem, "choice")
    reduced = reduce(problem)
    assert lift.unit > 1
    assert program.matrix.cost.max() <= LARGEST
    assert program.integral
    least = np.minimum.reduceat(reduced.quanta, reduced.start[:-1])
    above = reduced.quanta - least[reduced.group_of]
    lost = above - lift.unit * program.matrix.cost.astype(np.int64)
    assert lost.min() >= 0
    assert lost.max() < lift.unit
    assert lift.bound(0.0) == int(least.sum())
    assert lift.bound(2.0) == int(least.sum()) + 2 * lift.unit


def test_a_bound_of_the_program_is_at_most_a_unit_per_group_below_the_best() -> None:
    problem = generate(50, 5, 2, 0)
    exact = mapc.solve(problem, time_limit=None, backends=())
    assert exact.status is Status.OPTIMAL
    program, lift = mapc.lower(problem, "choice")
    solution = registry.solve(program, "highs")
    bound = lift.bound(solution.bound) * problem.quantum
    assert bound <= exact.objective == verify(problem, lift(solution)).objective
    # every group can lose less than a unit to rounding
    assert bound > exact.objective - 50 * lift.unit * problem.quantum


def test_budgets_that_cannot_bind_have_no_row() -> None:
    tight, _ = mapc.lower(problem_of([ROWS, ROWS], [9]), "choice")
    loose, _ = mapc.lower(problem_of([ROWS, ROWS], [10]), "choice")
    names = [[block.name for block in program.row_blocks] for program in (tight, loose)]
    assert names[0] == ["one option", "budget 0"]
    assert "budget 0" not in names[1]


def test_edge_flow_pays_for_what_switches_and_nothing_else() -> None:
    problem = problem_of([ROWS, ROWS, ROWS], [12], edges=[(0, 1, 2.0), (2, 1, 2.0)])
    program, lift = mapc.lower(problem, "edge-flow", unit=1)
    ends, edge = equal_formats(reduce(problem))
    assert len(ends) == 4
    assert edge.tolist() == [0, 0, 1, 1]
    solution = registry.solve(program, "cpsat")
    plan = lift(solution)
    # two of the three can be better, but only one end of the chain can be without switching twice
    assert plan.option.tolist() in ([1, 3, 4], [0, 3, 5])
    assert lift.bound(solution.objective) * problem.quantum == 4.0 + 1.0 + 1.0 + 2.0


def test_ranks_stand_for_losses() -> None:
    problem = problem_of([ROWS, [(0, 9.0, (1,)), (1, 3.0, (4,))]], [6], objective="max")
    program, lift = mapc.lower(problem, "max")
    solution = registry.solve(program, "cpsat")
    assert lift.bound(solution.bound) * problem.quantum == 4.0
    assert verify(problem, lift(solution)).objective == 4.0


def test_a_solution_without_values_has_no_plan() -> None:
    _, lift = mapc.lower(problem_of([ROWS], [9]))
    with pytest.raises(UsageError, match="infeasible"):
        lift(Solution(Status.INFEASIBLE, Stop.PROVEN))


def test_costs_beyond_exact_floats_still_give_a_bound() -> None:
    huge = 2**49
    rows = [[(0, 8.0, (0,)), (1, 1.0, (huge + i,))] for i in range(8)]
    problem = problem_of(rows, [4 * huge + 5])
    program, lift = mapc.lower(problem, "choice", unit=1)
    solution = registry.solve(program, "cpsat")
    result = mapc.solve(problem, time_limit=None)
    # three of the costs 0 to 7 added up to 5 leave no fourth: 0 + 1 + 2 + 3 is already 6
    assert result.objective == result.bound == 5 * 8.0 + 3 * 1.0
    assert lift.bound(solution.bound) * problem.quantum <= result.objective
