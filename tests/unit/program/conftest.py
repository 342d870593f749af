"""Small random programs, the truth about them, and three ways to solve them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import strategies as st

from mapc.program import ALWAYS, NO_COLUMN, Program
from mapc.program.cpsat import to_cp_model
from mapc.program.linearise import linearise
from mapc.program.records import (
    AtMostOne,
    Cumulative,
    Element,
    ExactlyOne,
    Implication,
    NoOverlap,
    NoOverlap2D,
)

KINDS = (
    "exactly_one",
    "at_most_one",
    "implication",
    "no_overlap",
    "no_overlap_2d",
    "cumulative",
    "element",
)
COEFFICIENTS = (-3, -2, -1, 1, 2, 4, 0.5, -0.1, 0.3, 1.25, -1 / 3)


COLUMNS = ((0, 1, True), (0, 3, True), (-2, 4, True), (-3.5, 2.25, False), (2, 2, True))
OPEN_COLUMNS = ((0, math.inf), (-1.5, math.inf), (-math.inf, 3), (-math.inf, math.inf))


@st.composite
def mixed_programs(draw):
    """Draw a bounded program with columns and rows of every kind, continuous ones too."""
    program = Program(draw(st.sampled_from(["p", "a name; with *signs*", ""])))
    for _ in range(draw(st.integers(1, 4))):
        low, up, whole = draw(st.sampled_from(COLUMNS))
        cost = draw(st.sampled_from((0, 1, -1, 2.5, -1 / 3)))
        name = draw(st.sampled_from(["x", "inf", "e1", "two words", "free", ""]))
        shape = draw(st.sampled_from([1, (1, 2)]))
        program.variables(shape, low, up, integer=whole, cost=cost, name=name)
    for low, up in draw(st.lists(st.sampled_from(OPEN_COLUMNS), max_size=2)):
        # the cost pulls away from the side that is open
        cost = 0 if low == -math.inf and up == math.inf else 1 if up == math.inf else -1
        program.variables(1, low, up, integer=draw(st.booleans()), cost=cost, name="open")
    n = program.n_columns
    program.minimise([], [], offset=draw(st.sampled_from((0, 3.5, -1e6))))
    for _ in range(draw(st.integers(0, 4))):
        members = draw(st.lists(st.integers(0, n - 1), max_size=n, unique=True))
        k = len(members)
        factors = draw(st.lists(st.sampled_from(COEFFICIENTS), min_size=k, max_size=k))
        side = draw(st.sampled_from((-1, 0, 0.3, 2.5)))
        either = [(-math.inf, side), (side, math.inf), (side - 2.1, side), (side, side)]
        low, up = draw(st.sampled_from([*either, (-math.inf, math.inf)]))
        columns = np.array([members], dtype=np.int64).reshape(1, k)
        program.rows(columns, np.array([factors]).reshape(1, k), low, up, name="row")
    if draw(st.booleans()):
        binaries = [c for c in range(n) if program.matrix.upper[c] == 1]
        if binaries:
            program.at_most_one(binaries, name="row")
    return program


def literals_of(columns):
    return st.sampled_from([*columns, *(~c for c in columns)])


@st.composite
def small_programs(draw, kinds=KINDS, rows=True):
    """Draw a program with at most some 400 points and one to three records."""
    program = Program("random")
    binaries = program.variables(draw(st.integers(2, 4)), name="flag")
    program.variables(1, *draw(st.sampled_from([(0, 0), (1, 1), (0, 1)])), name="maybe")
    whole = []
    for i in range(draw(st.integers(1, 2))):
        low = draw(st.integers(-2, 2))
        block = program.variables(1, low, low + draw(st.integers(0, 4)), name=f"int{i}")
        whole.append(block.start)
    n = program.n_columns
    price = st.sampled_from((0, 0, 1, -1, 2, -3, 0.5, 0.1))
    program.minimise(range(n), draw(st.lists(price, min_size=n, max_size=n)), draw(price))
    literals = literals_of([*binaries.columns.tolist(), binaries.start + binaries.size])
    for _ in range(draw(st.integers(0, 2)) if rows else 0):
        members = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
        size = len(members)
        factors = draw(st.lists(st.sampled_from(COEFFICIENTS), min_size=size, max_size=size))
        side = draw(st.sampled_from((-2, 0, 0.3, 1, 2.5, 3)))
        sides = draw(st.sampled_from([(-math.inf, side), (side, math.inf), (side - 2, side)]))
        program.rows([members], [factors], *sides)
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
        _add_record(draw, program, kind, literals, binaries.columns.tolist(), whole)
    return program


def _add_record(draw, program, kind, literals, binaries, whole):
    if kind in ("exactly_one", "at_most_one"):
        members = draw(st.lists(st.sampled_from(binaries), min_size=1, unique=True))
        getattr(program, kind)([c if draw(st.booleans()) else ~c for c in members])
    elif kind == "implication":
        program.implication([draw(literals)], [draw(literals)])
    elif kind == "element":
        values = draw(st.lists(st.integers(-3, 3), max_size=4))
        program.element(draw(st.sampled_from(whole)), values, draw(st.sampled_from(whole)))
    else:
        size = draw(st.integers(1, 4))
        x = _add_intervals(draw, program, size, literals, whole)
        if kind == "no_overlap":
            program.no_overlap(x)
        elif kind == "no_overlap_2d":
            program.no_overlap_2d(x, _add_intervals(draw, program, size, literals, whole))
        else:
            demands = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
            program.cumulative(x, demands, draw(st.integers(0, 5)))


def _add_intervals(draw, program, n, literals, whole):
    def column(strategy):
        return draw(st.lists(strategy, min_size=n, max_size=n))

    return program.intervals(
        column(st.integers(0, 3)),
        start=column(st.sampled_from([NO_COLUMN, *whole])),
        offset=column(st.integers(-1, 3)),
        presence=column(st.one_of(st.just(int(ALWAYS)), literals)),
    ).indices


def holds(point, literal):
    if literal == ALWAYS:
        return True
    return point[literal] == 1 if literal >= 0 else point[~literal] == 0


def cells(program, point, member):
    """Return the whole points that an interval covers, none where it is absent."""
    block = program.all_intervals
    if not holds(point, int(block.presence[member])):
        return range(0)
    start = int(block.offset[member])
    if block.start_column[member] != NO_COLUMN:
        start += int(point[block.start_column[member]])
    return range(start, start + int(block.size[member]))


def satisfied(program, point, record):
    """Judge a record by its words: literal by literal, cell by cell."""
    if isinstance(record, ExactlyOne):
        return all(sum(holds(point, x) for x in row) == 1 for row in record.literals.tolist())
    if isinstance(record, AtMostOne):
        return all(sum(holds(point, x) for x in row) <= 1 for row in record.literals.tolist())
    if isinstance(record, Implication):
        pairs = zip(record.premise.tolist(), record.conclusion.tolist(), strict=True)
        return all(holds(point, q) or not holds(point, p) for p, q in pairs)
    if isinstance(record, Element):
        index = point[record.index]
        return 0 <= index < len(record.values) and record.values[index] == point[record.target]
    if isinstance(record, NoOverlap):
        covered = [c for m in record.intervals.tolist() for c in cells(program, point, m)]
        return len(covered) == len(set(covered))
    if isinstance(record, NoOverlap2D):
        covered = [
            cell
            for a, b in zip(record.x.tolist(), record.y.tolist(), strict=True)
            for cell in itertools.product(cells(program, point, a), cells(program, point, b))
        ]
        return len(covered) == len(set(covered))
    assert isinstance(record, Cumulative)
    load = {}
    for member, demand in zip(record.intervals.tolist(), record.demands.tolist(), strict=True):
        for cell in cells(program, point, member):
            load[cell] = load.get(cell, 0) + demand
    return max(load.values(), default=0) <= record.capacity


def points_of(program):
    """Return all whole points within the bounds of the columns, int[points, columns]."""
    m = program.matrix
    bounds = zip(m.lower.tolist(), m.upper.tolist(), strict=True)
    ranges = [range(math.ceil(low), math.floor(up) + 1) for low, up in bounds]
    return np.array(list(itertools.product(*ranges)), dtype=np.int64).reshape(-1, len(ranges))


@pytest.fixture(scope="session")
def programs():
    return small_programs


@pytest.fixture(scope="session")
def mixed():
    return mixed_programs


@pytest.fixture(scope="session")
def feasible_points():
    def enumerate_points(program):
        m, points = program.matrix, points_of(program)
        dense = np.zeros((m.n_rows, m.n_columns))
        row = np.repeat(np.arange(m.n_rows), np.diff(m.indptr))
        np.add.at(dense, (row, m.indices), m.coefficients)
        activity = points @ dense.T
        inside = (activity >= m.row_lower - 1e-9) & (activity <= m.row_upper + 1e-9)
        points = points[inside.all(axis=1)]
        keep = [all(satisfied(program, p, r) for r in program.records) for p in points.tolist()]
        return points[np.array(keep, dtype=bool)]

    return enumerate_points


@pytest.fixture(scope="session")
def brute_force(feasible_points):
    """Return the optimum, or None where there is no feasible point."""

    def solve(program):
        points = feasible_points(program)
        m = program.matrix
        return float((points @ m.cost).min() + m.offset) if len(points) else None

    return solve


@pytest.fixture(scope="session")
def highs():
    """Return optimum and values of the linearised program, or (None, None)."""
    highspy = pytest.importorskip("highspy")

    def solve(program, path=None):
        solver = highspy.Highs()
        solver.silent()
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("mip_rel_gap", 0.0)
        solver.setOptionValue("mip_abs_gap", 0.0)
        if path is not None:
            assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
        else:
            assert solver.passModel(_highs_lp(highspy, program)) != highspy.HighsStatus.kError
        solver.run()
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None, None
        if status != highspy.HighsModelStatus.kModelEmpty:
            assert status == highspy.HighsModelStatus.kOptimal, status
        return solver.getInfo().objective_function_value, np.array(solver.getSolution().col_value)

    return solve


def _highs_lp(highspy, program):
    m = linearise(program).matrix
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_, lp.offset_ = m.n_columns, m.n_rows, m.offset
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = m.cost, m.lower, m.upper
    lp.row_lower_, lp.row_upper_ = m.row_lower, m.row_upper
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[int(whole)] for whole in m.integer]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = m.indptr, m.indices
    lp.a_matrix_.value_ = m.coefficients
    return lp


@pytest.fixture(scope="session")
def scip():
    """Return the optimum of a model file, None where there is no feasible point."""
    pyscipopt = pytest.importorskip("pyscipopt")

    def solve(path):
        model = pyscipopt.Model()
        model.hideOutput()
        model.readProblem(str(path))
        model.optimize()
        if model.getStatus() == "infeasible":
            return None
        assert model.getStatus() == "optimal"
        return model.getObjVal()

    return solve


@pytest.fixture(scope="session")
def cpsat():
    """Return optimum, bound and values on CP-SAT, or None three times."""
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")

    def solve(program):
        form = to_cp_model(program)
        assert form.model.validate() == ""
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        status = solver.solve(form.model)
        if status == cp_model.INFEASIBLE:
            return None, None, None
        assert status == cp_model.OPTIMAL
        values = np.array(list(solver.response_proto.solution), dtype=np.float64)
        bound = form.bound(solver.best_objective_bound)
        return form.objective(solver.objective_value), bound, values

    return solve
