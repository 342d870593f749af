"""Pyomo: its conditions in our words, and both of its interfaces."""

from types import SimpleNamespace

import numpy as np
import pytest

from mapc.program.model import Program
from mapc.solvers import catalogue, pyomo, registry
from mapc.solvers.base import Limits, Status, Stop

pytest.importorskip("pyomo")
needs_highs = pytest.mark.skipif(
    bool(catalogue.missing("pyomo:highs")), reason=catalogue.missing("pyomo:highs")
)


def read(condition, found, bound=-3.0):
    variables = [SimpleNamespace(value=1.0), SimpleNamespace(value=None), SimpleNamespace(value=2)]
    answer = pyomo._Answer(condition, bound, found)
    return pyomo._read(answer, variables, 2)


@pytest.mark.parametrize(
    ("condition", "found", "status", "stop"),
    [
        ("convergenceCriteriaSatisfied", True, Status.OPTIMAL, Stop.PROVEN),
        ("optimal", True, Status.OPTIMAL, Stop.PROVEN),
        ("convergenceCriteriaSatisfied", False, Status.UNKNOWN, Stop.ERROR),
        ("maxTimeLimit", True, Status.FEASIBLE, Stop.TIME),
        ("maxTimeLimit", False, Status.UNKNOWN, Stop.TIME),
        ("iterationLimit", True, Status.FEASIBLE, Stop.WORK),
        ("provenInfeasible", False, Status.INFEASIBLE, Stop.PROVEN),
        ("infeasible", False, Status.INFEASIBLE, Stop.PROVEN),
        ("locallyInfeasible", False, Status.UNKNOWN, Stop.ERROR),
        ("unbounded", False, Status.UNKNOWN, Stop.UNBOUNDED),
        ("licensingProblems", False, Status.UNKNOWN, Stop.UNAVAILABLE),
        ("error", False, Status.UNKNOWN, Stop.ERROR),
    ],
)
def test_conditions(condition, found, status, stop):
    solution = read(condition, found)
    assert (solution.status, solution.stop) == (status, stop)
    assert (solution.values is not None) == found
    if stop in (Stop.TIME, Stop.WORK):
        assert solution.bound == -3.0
    if stop is Stop.UNBOUNDED:
        assert solution.bound is None


def test_values_are_the_programs_own_columns():
    assert read("optimal", True).values.tolist() == [1.0, 0.0]


@needs_highs
def test_the_classic_interface():
    program, optimum = registry.probe()
    best = np.repeat([0.0, 10.0], 10)
    solution = registry.solve(program, "pyomo:appsi_highs", limits=Limits(time=120.0), start=best)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, optimum)
    assert solution.bound == optimum
    program = Program()
    x = program.variables(2)
    program.rows([x.columns], 1.0, 3.0)
    solution = registry.solve(program, "pyomo:appsi_highs", limits=Limits(time=120.0))
    assert (solution.status, solution.stop) == (Status.INFEASIBLE, Stop.PROVEN)


@needs_highs
def test_nodes_are_counted():
    program, _ = registry.probe()
    assert registry.solve(program, "pyomo:highs").nodes == 0
