"""Every backend on the same programs: statuses, objectives and bounds agree."""

import threading

import numpy as np
import pytest

from mapc.program.model import Program
from mapc.solvers import catalogue, registry
from mapc.solvers.base import Limits, Status, Stop

GUARD = Limits(time=120.0)
"""Stops a backend that hangs; nothing here takes a second."""

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(bool(catalogue.missing(name)), reason=catalogue.missing(name)),
    )
    for name in registry.NAMES
]
pytestmark = pytest.mark.parametrize("backend", BACKENDS)


def takes_continuous(backend):
    return "continuous" in catalogue.entry(backend).supports


# -- programs with known answers -----------------------------------------------------------------


def probe():
    return registry.probe()


def equality():
    program = Program("assignment")
    cost = np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    x = program.variables((3, 3), cost=cost)
    program.rows(x.columns, 1.0, 1.0, 1.0)
    program.rows(x.columns.T, 1.0, 1.0, 1.0)
    return program, 5.0


def free_integer():
    """Min |y - 7| + offset 2 by two rows, with 3 z = y + 1 and no bounds on y and z."""
    program = Program("free")
    y = program.variables(2, -np.inf, np.inf)
    d = program.variables(1, 0, np.inf, cost=1.0)
    program.rows([[y[0], d[0]], [y[0], d[0]]], [[1.0, 1.0], [1.0, -1.0]], [7, -np.inf], [np.inf, 7])
    program.rows([[y[1], y[0]]], [3.0, -1.0], 1.0, 1.0)
    program.minimise([], [], 2.0)
    return program, 3.0


def negative_costs():
    program = Program("negative")
    x = program.variables(4, -3, 5, cost=[-2.0, 1.0, -1.0, 3.0])
    program.rows([x.columns], 1.0, -2.0, 4.0)
    return program, -27.0


def fractions():
    program = Program("fractions")
    x = program.variables(3, 0, 10, cost=[0.25, 0.75, 1.5])
    program.rows([x.columns], [0.1, 0.4, 1.2], 1.3)
    return program, 1.75


def no_objective():
    program = Program("any")
    x = program.variables(3)
    program.rows([x.columns], 1.0, 2.0, 2.0)
    program.minimise([], [], 4.0)
    return program, 4.0


def no_rows():
    program = Program("no rows")
    program.variables(3, -1, 2, cost=[1.0, -2.0, 0.0])
    return program, -5.0


def empty():
    program = Program("empty")
    program.minimise([], [], 3.0)
    return program, 3.0


def unused_columns():
    program = Program("unused")
    program.variables(3, 2, 5)
    y = program.variables(2, cost=1.0)
    program.rows([y.columns], 1.0, 1.0)
    return program, 1.0


FEASIBLE = [
    probe,
    equality,
    free_integer,
    negative_costs,
    fractions,
    no_objective,
    no_rows,
    empty,
    unused_columns,
]


@pytest.mark.parametrize("case", FEASIBLE, ids=lambda case: case.__name__)
def test_optimum(backend, case):
    program, optimum = case()
    solution = registry.solve(program, backend, limits=GUARD)
    assert (solution.status, solution.stop) == (Status.OPTIMAL, Stop.PROVEN), solution.message
    assert solution.objective == pytest.approx(optimum, abs=1e-9)
    assert solution.bound == pytest.approx(optimum, rel=1e-6)
    assert solution.gap == pytest.approx(0.0, abs=1e-6)
    assert solution.values.shape == (program.n_columns,)
    assert (solution.backend, solution.version) == (backend, catalogue.version(backend))


def wide_row():
    program = Program()
    x = program.variables(3)
    program.rows([x.columns], 1.0, 4.0)
    return program


def parity():
    """Feasible as an LP, infeasible in integers."""
    program = Program()
    x = program.variables(3, 0, 50, cost=1.0)
    program.rows([x.columns], [2.0, 4.0, 6.0], 7.0, 7.0)
    return program


def empty_row():
    program = Program()
    program.variables(1)
    program.ragged_rows([0, 0], [], [], 1.0)
    return program


def only_an_empty_row():
    program = Program()
    program.ragged_rows([0, 0], [], [], 1.0)
    return program


def no_integer_in_bounds():
    program = Program()
    program.variables(1, 0.4, 0.6)
    return program


def infeasible_and_unbounded_relaxation():
    program = Program()
    x = program.variables(3, 0, [np.inf, 1, 1], cost=[-1.0, 0.0, 0.0])
    program.rows([x[1:]], 1.0, 3.0)
    return program


INFEASIBLE = [
    wide_row,
    parity,
    empty_row,
    only_an_empty_row,
    no_integer_in_bounds,
    infeasible_and_unbounded_relaxation,
]


@pytest.mark.parametrize("case", INFEASIBLE, ids=lambda case: case.__name__)
def test_infeasible(backend, case):
    solution = registry.solve(case(), backend, limits=GUARD)
    assert (solution.status, solution.stop) == (Status.INFEASIBLE, Stop.PROVEN), solution.message
    assert solution.values is solution.objective is solution.bound is None


def test_unbounded_is_neither_optimal_nor_infeasible(backend):
    program = Program()
    x = program.variables(3, 0, np.inf, cost=[-1.0, 2.0, 3.0])
    program.rows([x.columns], [2.0, 3.0, 5.0], 17.0)
    solution = registry.solve(program, backend, limits=GUARD)
    assert solution.stop is Stop.UNBOUNDED
    assert solution.status in (Status.FEASIBLE, Status.UNKNOWN)
    assert solution.bound is None


def test_linear_program(backend):
    program = Program()
    x = program.variables(3, 0, 10, cost=[1.0, 2.0, 3.0], integer=False)
    program.rows([x.columns], [2.0, 3.0, 5.0], 17.0)
    solution = registry.solve(program, backend, limits=GUARD)
    if not takes_continuous(backend):
        assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.REFUSED)
        assert "x[0]" in solution.message
        return
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(8.5)
    assert solution.bound == pytest.approx(8.5)


def test_mixed_program(backend):
    if not takes_continuous(backend):
        pytest.skip("takes integers only")
    program = Program()
    x = program.variables(2, 0, 3, cost=1.0)
    y = program.variables(1, 0, 10, cost=0.5, integer=False)
    program.rows([[x[0], x[1], y[0]]], [2.0, 3.0, 1.0], 7.5)
    solution = registry.solve(program, backend, limits=GUARD)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(2.75)  # two of the second, 1.5 of the third


def test_unbounded_linear_program(backend):
    if not takes_continuous(backend):
        pytest.skip("takes integers only")
    program = Program()
    program.variables(2, -np.inf, np.inf, cost=[1.0, 0.0], integer=False)
    solution = registry.solve(program, backend, limits=GUARD)
    assert solution.stop is Stop.UNBOUNDED
    assert solution.bound is None


# -- searches that end early ---------------------------------------------------------------------


def hard():
    """A multi-dimensional knapsack that takes every backend thousands of nodes."""
    rng = np.random.default_rng(5)
    program = Program("hard")
    weight = rng.integers(20, 100, (6, 60)).astype(float)
    x = program.variables(60, cost=-np.round(weight.sum(axis=0) / 6 + rng.integers(0, 9, 60)))
    program.rows(np.broadcast_to(x.columns, (6, 60)), weight, upper=np.floor(weight.sum(1) / 2))
    return program


@pytest.fixture(scope="module")
def known():
    """Return a good point of the hard program: float64[60]."""
    return registry.solve(hard(), "highs", limits=Limits(nodes=100)).values


EARLY = Limits(time=600.0, nodes=20, deterministic=0.2, seed=3)
"""Reproducible: HiGHS and SCIP count nodes, CP-SAT counts work."""


@pytest.fixture(scope="module")
def first_runs():
    """Cache one early-stopped run a backend."""
    runs = {}

    def run(backend):
        if backend not in runs:
            runs[backend] = registry.solve(hard(), backend, limits=EARLY)
        return runs[backend]

    return run


def test_early_end_keeps_both_sides(backend, first_runs):
    solution = first_runs(backend)
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.WORK), solution.message
    assert solution.bound < solution.objective
    assert solution.gap > 0


def test_bounds_of_one_hold_for_the_plans_of_all(backend, first_runs):
    for other in BACKENDS:
        if not other.marks[0].args[0]:
            assert first_runs(backend).bound <= first_runs(other.values[0]).objective


def test_equal_seeds_give_equal_runs(backend, first_runs):
    first, second = first_runs(backend), registry.solve(hard(), backend, limits=EARLY)
    assert first.objective == second.objective
    assert first.bound == second.bound
    assert first.nodes == second.nodes
    assert (first.values == second.values).all()


def test_trajectory_only_improves(backend, first_runs):
    solution = first_runs(backend)
    objectives = [e.objective for e in solution.trajectory if e.kind == "incumbent"]
    bounds = [e.bound for e in solution.trajectory if e.kind == "bound"]
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)
    assert (objectives[-1], bounds[-1]) == (solution.objective, solution.bound)
    assert [e.time for e in solution.trajectory] == sorted(e.time for e in solution.trajectory)


def test_a_gap_that_was_asked_for_ends_the_search(backend):
    limits = Limits(time=600.0, gap=0.5)
    solution = registry.solve(hard(), backend, limits=limits)
    assert solution.status in (Status.FEASIBLE, Status.OPTIMAL)
    assert 0.0 <= solution.gap <= 0.5
    if solution.status is Status.FEASIBLE:
        assert solution.stop is Stop.GAP


def test_a_good_start_is_used(backend, known):
    if "start" not in catalogue.entry(backend).supports:
        pytest.skip("takes no start")
    program = hard()
    limits = Limits(time=600.0, nodes=0, deterministic=0.02)
    given = registry.solve(program, backend, limits=limits, start=known)
    program.hint(np.arange(program.n_columns), known)
    hinted = registry.solve(program, backend, limits=limits)
    worth = program.matrix.cost @ known
    assert given.objective <= worth
    assert hinted.objective <= worth


def test_a_hint_that_is_infeasible_does_no_harm(backend):
    program, optimum = equality()
    program.hint(np.arange(9), 1.0)
    solution = registry.solve(program, backend, limits=GUARD)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, optimum)


def test_cancellation_returns_what_was_found(backend):
    if "stream" not in catalogue.entry(backend).supports:
        pytest.skip("does not stream")
    cancel = threading.Event()
    seen = []

    def watch(event):
        seen.append(event)
        if event.kind == "incumbent":
            cancel.set()

    limits = Limits(grace=60.0)
    solution = registry.solve(hard(), backend, limits=limits, on_event=watch, cancel=cancel)
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.CANCELLED)
    assert "killed" not in solution.message
    first = next(event.objective for event in seen if event.kind == "incumbent")
    assert solution.objective <= first


def test_a_time_limit_of_nothing_ends_without_a_plan_or_with_a_true_one(backend, known):
    program = hard()
    registry.solve(program, backend, limits=Limits(nodes=0, deterministic=0.0, time=60.0))
    solution = registry.solve(program, backend, limits=Limits(time=0.0, grace=60.0))
    assert solution.status in (Status.UNKNOWN, Status.FEASIBLE)
    assert solution.stop is Stop.TIME
    assert solution.bound is None or solution.bound <= program.matrix.cost @ known


def test_a_probe_passes(backend):
    found = registry.availability(backend)
    assert found.works, found.reason
    assert found.version
