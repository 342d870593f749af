"""CP-SAT: native records, whole numbers, deterministic limits."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.program.cpsat import CpModelForm, to_cp_model
from mapc.program.model import Program
from mapc.solvers.backend import Report
from mapc.solvers.base import FloatArray, Limits, Solution, Status, Stop, polish
from mapc.solvers.reach import implied_reach


def solve(program: Program, limits: Limits, start: FloatArray | None, report: Report) -> Solution:
    """Solve with CP-SAT. See `mapc.solvers.backend.Backend`.

    ``limits.nodes`` does not apply: the reproducible limit is ``deterministic``, with one worker.
    A program with continuous columns is refused.
    """
    form = to_cp_model(program)
    if start is not None:
        _suggest(form, program, start)
    solver = _configure(limits)
    bounds = _Bounds(form, program, report)
    solver.best_bound_callback = bounds.take
    left = report.remaining()
    if math.isfinite(left):
        solver.parameters.max_time_in_seconds = left
    if report.cancelled:
        return Solution(Status.UNKNOWN, Stop.CANCELLED)
    with _stoppable(solver, report):
        status = solver.solve(form.model, _callback(report))
    return _read(solver, status, program, bounds, limits, report)


def _configure(limits: Limits) -> Any:
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = limits.workers
    parameters.random_seed = limits.seed
    parameters.relative_gap_limit = limits.gap
    if limits.deterministic is not None:
        parameters.max_deterministic_time = limits.deterministic
    if limits.memory is not None:
        parameters.max_memory_in_mb = max(1, limits.memory // 1_000_000)
    return solver


def _suggest(form: CpModelForm, program: Program, start: FloatArray) -> None:
    given = np.flatnonzero(np.isfinite(start))
    matrix = program.matrix
    values = np.clip(np.rint(start[given]), matrix.lower[given], matrix.upper[given])
    far = form.limit if len(form.clipped) else 2.0**60  # a hint must fit 64 bits
    values = np.clip(values, -far, far)
    form.model.clear_hints()  # which also detaches the old hint message
    hint = form.model.proto.solution_hint
    hint.vars.extend(given.tolist())
    hint.values.extend(values.astype(np.int64).tolist())


def _callback(report: Report) -> Any:
    from ortools.sat.python import cp_model

    class Streamer(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
        def on_solution_callback(self) -> None:
            report.incumbent(np.array(self.response_proto.solution, dtype=np.float64))

    return Streamer()


class _Bounds:
    """The best bound the solver reported, in the program's unit.

    The response of a search that ends without a solution says 0 where there is no bound at all;
    only what came through the callback, or with a solution, is a bound.
    """

    def __init__(self, form: CpModelForm, program: Program, report: Report) -> None:
        self.form, self.program, self._report = form, program, report
        self.best: float | None = None
        # cut columns take away the proof, unless the rows alone keep solutions within the cut
        loose = _in_no_row(program)
        self.feasibility = _within_cut(form, program, None, loose)
        self.valid = self.feasibility and _within_cut(
            form, program, None, loose & _at_best_bound(program)
        )

    def take(self, raw: float) -> None:
        """Keep a bound in the model's unit, and stream it where it holds as it is."""
        bound = self.form.bound(raw)
        if math.isfinite(bound) and (self.best is None or bound > self.best):
            self.best = bound
            if self.valid:
                self._report.bound(bound)

    def final(self, objective: float | None) -> float | None:
        """Return the best bound if it holds; ``objective`` is that of a feasible point."""
        if self.valid:
            return self.best
        loose = _in_no_row(self.program) & _at_best_bound(self.program)
        if objective is None or not _within_cut(self.form, self.program, objective, loose):
            return None
        return self.best if self.best is None else min(self.best, objective)


def _within_cut(
    form: CpModelForm, program: Program, objective: float | None, loose: NDArray[np.bool_]
) -> bool:
    """Whether every solution (no worse than ``objective``) has its cut columns within the cut.

    ``loose`` columns do not matter.
    """
    columns = form.clipped[~loose[form.clipped]]
    if not len(columns):
        return True
    lower, upper = implied_reach(program.matrix, objective)
    reach = np.maximum(np.abs(lower[columns]), np.abs(upper[columns]))
    return bool((reach <= form.limit).all())


def _in_no_row(program: Program) -> NDArray[np.bool_]:
    """bool[n_columns]: columns in no row; any column may be in a record, where there are some."""
    loose = np.full(program.n_columns, not program.records, dtype=np.bool_)
    loose[program.matrix.indices] = False
    return loose


def _at_best_bound(program: Program) -> NDArray[np.bool_]:
    """bool[n_columns]: columns whose cost pulls them to a finite bound, or not at all."""
    matrix = program.matrix
    down = (matrix.cost > 0) & np.isfinite(matrix.lower)
    up = (matrix.cost < 0) & np.isfinite(matrix.upper)
    return np.asarray(down | up | (matrix.cost == 0), dtype=np.bool_)


@contextmanager
def _stoppable(solver: Any, report: Report) -> Iterator[None]:
    """Stop the solver when cancelled, also when that happens before its search has begun."""
    finished = threading.Event()

    def insist() -> None:
        while not finished.is_set():
            solver.stop_search()
            finished.wait(0.05)

    report.on_cancel(lambda: threading.Thread(target=insist, daemon=True).start())
    try:
        yield
    finally:
        finished.set()


def _read(
    solver: Any, status: Any, program: Program, bounds: _Bounds, limits: Limits, report: Report
) -> Solution:
    name = status.name
    if name == "MODEL_INVALID":
        return Solution(Status.UNKNOWN, Stop.ERROR, message=bounds.form.model.validate()[:300])
    if name == "INFEASIBLE":
        if bounds.feasibility:
            return Solution(Status.INFEASIBLE, Stop.PROVEN)
        message = f"no solution within {bounds.form.limit:.3g}, where unbounded columns were cut"
        return Solution(Status.UNKNOWN, Stop.REFUSED, message=message)
    if name == "UNKNOWN":
        return Solution(Status.UNKNOWN, _stop(solver, limits, report), bound=bounds.final(None))
    values = np.array(solver.response_proto.solution, dtype=np.float64)
    _, objective, _ = polish(program, values)
    if program.matrix.cost.any():
        bounds.take(solver.best_objective_bound)
        bound = bounds.final(objective)
    else:
        bound = program.matrix.offset
    proven = name == "OPTIMAL"
    stop = Stop.PROVEN if proven else _stop(solver, limits, report)
    if proven and bound is None and objective is not None:
        return _unproven(bounds, program, values)
    proof = Status.OPTIMAL if proven else Status.FEASIBLE
    return Solution(proof, stop, bound=bound, values=values)


def _unproven(bounds: _Bounds, program: Program, values: FloatArray) -> Solution:
    """An optimum of the cut program only: say so, and that it may be unbounded."""
    form = bounds.form
    at_cut = form.clipped[np.abs(values[form.clipped]) >= form.limit]
    if len(at_cut):
        name = program.column_name(int(at_cut[0]))
        text = f"column {name} runs into its cut: the program may be unbounded"
        return Solution(Status.FEASIBLE, Stop.UNBOUNDED, values=values, message=text)
    text = f"no proof: unbounded columns were cut at {form.limit:.3g}"
    return Solution(Status.FEASIBLE, Stop.GAP, values=values, message=text)


def _stop(solver: Any, limits: Limits, report: Report) -> Stop:
    """Why a search ended without proof."""
    if report.cancelled:
        return Stop.CANCELLED
    if report.remaining() <= 0.0:
        return Stop.TIME
    if limits.deterministic is not None:
        return Stop.WORK
    # the solver's clock may be a little ahead of ours
    return Stop.TIME if limits.time is not None else Stop.ERROR
