"""HiGHS through highspy: arrays in, incumbents and bounds out while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mapc.program.linearise import linearise
from mapc.program.model import Matrix, Program
from mapc.solvers.backend import Report
from mapc.solvers.base import FloatArray, Limits, Solution, Status, Stop
from mapc.solvers.reach import hopeless

if TYPE_CHECKING:
    from highspy import Highs

FEASIBLE = 2
"""``primal_solution_status`` of a feasible point."""
EXACT_RANGE = 1e8
"""Objectives up to here are told apart by whole units in spite of rounding in the solver."""
LOOK = 0.01
"""Seconds between two looks at the bound."""

_threads: int | None = None


def load(matrix: Matrix) -> Highs:
    """Hand a program's arrays to a new, silent HiGHS.

    Raises
    ------
    ValueError
        When HiGHS refuses the arrays, or there are more than 2**31 coefficients.
    """
    import highspy

    if matrix.nnz > np.iinfo(np.int32).max:
        raise ValueError(f"HiGHS takes at most 2**31 coefficients, not {matrix.nnz}")
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    arrays = [
        matrix.cost,
        matrix.lower,
        matrix.upper,
        matrix.row_lower,
        matrix.row_upper,
        matrix.indptr[:-1].astype(np.int32),
        matrix.indices,
        matrix.coefficients,
        matrix.integer.astype(np.int32),
    ]
    status = highs.passModel(
        matrix.n_columns,
        matrix.n_rows,
        matrix.nnz,
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        matrix.offset,
        *arrays,
    )
    if status == highspy.HighsStatus.kError:
        raise ValueError("HiGHS refuses the arrays of this program")
    return highs


def solve(program: Program, limits: Limits, start: FloatArray | None, report: Report) -> Solution:
    """Solve with HiGHS; CP records are linearised. See `mapc.solvers.backend.Backend`.

    ``limits.deterministic`` does not apply: HiGHS has no deterministic time, its reproducible
    limit is ``nodes``.
    """
    flat = linearise(program)
    if hopeless(flat.matrix):
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    highs = load(flat.matrix)
    _configure(highs, flat, limits)
    if start is not None:
        _suggest(highs, start)
    _listen(highs, program, report)
    return _run(highs, flat, program.n_columns, report)


def _configure(highs: Highs, program: Program, limits: Limits) -> None:
    import highspy

    global _threads
    if _threads != limits.workers:
        # the scheduler is global to the process and keeps its first number of threads
        highspy.Highs.resetGlobalScheduler(True)
        _threads = limits.workers
    options: dict[str, Any] = {
        "threads": limits.workers,
        "parallel": "on" if limits.workers > 1 else "off",
        "random_seed": limits.seed,
        "mip_rel_gap": limits.gap,
        "mip_abs_gap": 0.5 if _whole_units(program) else 0.0,
        # HiGHS 1.13.1 with symmetry detection and a restart calls 8493463 optimal on a program of
        # the placement family whose optimum is 8388607
        "mip_detect_symmetry": False,
    }
    if limits.nodes is not None:
        options["mip_max_nodes"] = limits.nodes
    for name, value in options.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise ValueError(f"HiGHS refuses the option {name} = {value!r}")


def _whole_units(program: Program) -> bool:
    """Whether half a unit between objective and bound is proof, rounding included."""
    matrix = program.matrix
    with np.errstate(invalid="ignore"):
        reach = np.abs(matrix.cost) * np.maximum(np.abs(matrix.lower), np.abs(matrix.upper))
    total = np.where(matrix.cost == 0, 0.0, reach).sum() + abs(matrix.offset)
    return program.integral and bool(total <= EXACT_RANGE)


def _suggest(highs: Highs, start: FloatArray) -> None:
    """Give a start, complete or not; HiGHS solves a small sub-MIP for what is missing."""
    given = np.flatnonzero(np.isfinite(start)).astype(np.int32)
    if len(given):
        highs.setSolution(len(given), given, start[given])


def _listen(highs: Highs, program: Program, report: Report) -> None:
    """Stream better points and bounds, and stop when cancelled."""
    last = -np.inf

    def improved(event: Any) -> None:
        report.incumbent(np.asarray(event.data_out.mip_solution))

    def look(event: Any) -> None:
        nonlocal last
        if report.cancelled:
            event.interrupt()
        now = time.monotonic()
        if now - last >= LOOK:
            last = now
            report.bound(event.data_out.mip_dual_bound)

    def stop(event: Any) -> None:
        if report.cancelled:
            event.interrupt()

    if program.matrix.integer.any():
        highs.cbMipImprovingSolution += improved
        highs.cbMipInterrupt += look
    else:
        highs.cbSimplexInterrupt += stop
        highs.cbIpmInterrupt += stop


def _run(highs: Highs, flat: Program, n_columns: int, report: Report) -> Solution:
    import highspy

    state = highspy.HighsModelStatus
    status = _step(highs, report)
    if status == state.kUnboundedOrInfeasible:
        return _undecided(highs, flat, n_columns, report)
    if status == state.kModelEmpty:
        point = np.zeros(n_columns)
        return Solution(Status.OPTIMAL, Stop.PROVEN, bound=flat.matrix.offset, values=point)
    if status == state.kInfeasible:
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    info = highs.getInfo()
    mixed = bool(flat.matrix.integer.any())
    values = _values(highs, n_columns)
    bound = info.mip_dual_bound if mixed else None
    if status == state.kOptimal:
        bound = bound if mixed else info.objective_function_value
        proof = Status.OPTIMAL
    else:
        proof = Status.FEASIBLE if values is not None else Status.UNKNOWN
    stop = Stop.CANCELLED if report.cancelled else _STOPS.get(status.name, Stop.ERROR)
    if status == state.kOptimal:
        stop = Stop.PROVEN
    return Solution(
        proof,
        stop,
        bound=None if stop is Stop.UNBOUNDED else bound,
        values=values,
        nodes=int(info.mip_node_count) if mixed else None,
        message="" if stop is Stop.PROVEN else highs.modelStatusToString(status),
    )


_STOPS = {
    "kUnbounded": Stop.UNBOUNDED,
    "kTimeLimit": Stop.TIME,
    "kIterationLimit": Stop.WORK,
    "kSolutionLimit": Stop.WORK,  # nodes and leaves count as solutions here
    "kObjectiveBound": Stop.WORK,
    "kObjectiveTarget": Stop.WORK,
    "kInterrupt": Stop.CANCELLED,
    "kHighsInterrupt": Stop.CANCELLED,
    "kMemoryLimit": Stop.MEMORY,
}


def _step(highs: Highs, report: Report) -> Any:
    left = report.remaining()
    if np.isfinite(left):
        # the clock of this object may have run before
        highs.setOptionValue("time_limit", highs.getRunTime() + left)
    highs.run()
    return highs.getModelStatus()


def _values(highs: Highs, n_columns: int) -> FloatArray | None:
    if highs.getInfo().primal_solution_status != FEASIBLE:
        return None
    return np.array(highs.getSolution().col_value, dtype=np.float64)[:n_columns]


def _undecided(highs: Highs, flat: Program, n_columns: int, report: Report) -> Solution:
    """Tell unbounded from infeasible: without costs only the infeasible stays unsolvable."""
    import highspy

    n = flat.n_columns
    highs.changeColsCost(n, np.arange(n, dtype=np.int32), np.zeros(n))
    status = _step(highs, report)
    if status == highspy.HighsModelStatus.kInfeasible:
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    if status == highspy.HighsModelStatus.kOptimal:
        values = _values(highs, n_columns)
        return Solution(Status.FEASIBLE, Stop.UNBOUNDED, values=values, message="Unbounded")
    stop = Stop.CANCELLED if report.cancelled else _STOPS.get(status.name, Stop.ERROR)
    return Solution(Status.UNKNOWN, stop, message="unbounded or infeasible, not told apart")
