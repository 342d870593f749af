"""Every record means the same to every backend: the optimum is that of enumeration."""

import itertools

import numpy as np
import pytest

from mapc.program.model import Program
from mapc.solvers import catalogue, registry
from mapc.solvers.base import Limits, Status, Stop
from mapc.solvers.check import broken_record

GUARD = Limits(time=120.0)

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(bool(catalogue.missing(name)), reason=catalogue.missing(name)),
    )
    for name in registry.NAMES
]


def exactly_one():
    program = Program()
    x = program.variables((2, 3), cost=[[3.0, 1.0, 2.0], [2.0, 5.0, 4.0]])
    program.exactly_one(x.columns)
    program.exactly_one([x[0, 1], ~x[1, 0]])
    return program


def at_most_one():
    program = Program()
    x = program.variables(4, cost=[-3.0, -2.0, -4.0, 1.0])
    program.at_most_one([[x[0], x[1], ~x[3]], [x[1], x[2], x[3]]])
    return program


def implication():
    program = Program()
    x = program.variables(4, cost=[-3.0, 2.0, 2.0, -1.0])
    program.implication([x[0], x[0], ~x[3]], [x[1], ~x[2], x[2]])
    return program


def no_overlap():
    program = Program()
    start = program.variables(3, 0, 4, cost=[1.0, 2.0, 3.0], name="start")
    used = program.variables(3, cost=-7.0, name="used")
    spans = program.intervals([2, 3, 2], start=start.columns, presence=used.columns)
    program.no_overlap(spans.indices)
    return program


def no_overlap_2d():
    program = Program()
    left = program.variables(3, 0, 3, cost=[1.0, 1.0, 2.0], name="left")
    low = program.variables(3, 0, 2, cost=[2.0, 1.0, 1.0], name="low")
    x = program.intervals([2, 2, 1], start=left.columns)
    y = program.intervals([1, 2, 3], start=low.columns)
    program.no_overlap_2d(x.indices, y.indices)
    return program


def fixed_times_2d():
    """The shape of address assignment: one axis is given."""
    program = Program()
    low = program.variables(4, 0, 4, cost=[1.0, 1.0, 1.0, 1.0], name="address")
    time = program.intervals([3, 2, 2, 4], offset=[0, 1, 3, 2])
    room = program.intervals([2, 1, 2, 1], start=low.columns)
    program.no_overlap_2d(time.indices, room.indices)
    return program


def cumulative():
    program = Program()
    start = program.variables(4, 0, 3, cost=[1.0, 2.0, 3.0, 1.0], name="start")
    spans = program.intervals([2, 2, 1, 3], start=start.columns)
    program.cumulative(spans.indices, [2, 1, 3, 1], 3)
    return program


def fixed_cumulative():
    """The shape of residency: given times, chosen presence."""
    program = Program()
    kept = program.variables(5, cost=[-4.0, -3.0, -5.0, -2.0, -3.0], name="kept")
    spans = program.intervals([3, 2, 4, 2, 3], offset=[0, 1, 2, 4, 3], presence=kept.columns)
    program.cumulative(spans.indices, [3, 2, 3, 2, 1], 5)
    return program


def element():
    program = Program()
    index = program.variables(1, 0, 5, cost=1.0, name="index")
    target = program.variables(1, -9, 9, cost=2.0, name="target")
    program.element(index[0], [4, 2, -3, -3, -4], target[0])
    program.rows([[index[0], target[0]]], 1.0, 0.0)
    return program


def contradiction():
    program = Program()
    start = program.variables(2, 0, 1, name="start")
    spans = program.intervals([2, 2], start=start.columns)
    program.no_overlap(spans.indices)
    return program


CASES = [
    exactly_one,
    at_most_one,
    implication,
    no_overlap,
    no_overlap_2d,
    fixed_times_2d,
    cumulative,
    fixed_cumulative,
    element,
    contradiction,
]


def by_enumeration(program):
    """Return the least objective over all points, or None without a feasible one."""
    matrix = program.matrix
    ranges = [
        range(int(low), int(up) + 1) for low, up in zip(matrix.lower, matrix.upper, strict=True)
    ]
    points = np.array(list(itertools.product(*ranges)), dtype=np.float64)
    points = points[np.argsort(points @ matrix.cost, kind="stable")]
    for point in points:
        activity = matrix.activity(point)
        if (activity < matrix.row_lower).any() or (activity > matrix.row_upper).any():
            continue
        if not broken_record(program, point):
            return float(point @ matrix.cost)
    return None


OPTIMA = {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_record(backend, case):
    program = case()
    if case not in OPTIMA:
        OPTIMA[case] = by_enumeration(program)
    optimum = OPTIMA[case]
    solution = registry.solve(program, backend, limits=GUARD)
    if optimum is None:
        assert (solution.status, solution.stop) == (Status.INFEASIBLE, Stop.PROVEN)
    else:
        assert solution.status is Status.OPTIMAL, solution.message
        assert solution.objective == solution.bound == optimum


def test_the_cases_are_not_trivial():
    """Without its records every case has a better, or a first, solution."""
    for case in CASES:
        program = case()
        optimum = OPTIMA.get(case, by_enumeration(program))
        free = by_enumeration(program.without_records())
        assert free is not None
        assert optimum is None or free < optimum, case.__name__
