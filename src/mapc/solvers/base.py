"""What every backend takes and gives: limits, status, events, solution."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapc.program.model import Matrix, Program
from mapc.solvers.check import broken_record
from mapc.solvers.reach import whole_bounds

FloatArray = NDArray[np.float64]
Number = int | float
"""An objective or a bound: whole where the problem's are."""

FEASIBILITY_TOLERANCE = 1e-6
"""How far a row may be off, relative to max(1, |side|), before a solution is refused."""
BOUND_TOLERANCE = 1e-5
"""How far a bound may lie above a checked objective, relative to it, and still be rounding."""


class Status(enum.StrEnum):
    """What is proven about an answer."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


class Stop(enum.StrEnum):
    """Why a backend stopped."""

    PROVEN = "proven"
    GAP = "gap reached"  # the solver's own tolerance, or the gap asked for
    TIME = "time limit"
    WORK = "work limit"  # nodes, deterministic time
    CANCELLED = "cancelled"
    MEMORY = "out of memory"
    CRASHED = "crashed"
    HUNG = "killed past its limit"
    UNAVAILABLE = "not available"
    REFUSED = "cannot take this model"
    UNBOUNDED = "unbounded"
    ERROR = "error"

    @property
    def failed(self) -> bool:
        """Whether the backend, rather than a limit, ended the run."""
        return self in _FAILURES


_FAILURES = frozenset(
    {
        Stop.MEMORY,
        Stop.CRASHED,
        Stop.HUNG,
        Stop.UNAVAILABLE,
        Stop.REFUSED,
        Stop.UNBOUNDED,
        Stop.ERROR,
    }
)


@dataclass(frozen=True)
class Limits:
    """How much a solve may cost.

    Attributes
    ----------
    time : float, optional
        Seconds of wall time from the call, the child's start included; the child is killed
        ``grace`` seconds after.
    deterministic : float, optional
        CP-SAT deterministic time.
    nodes : int, optional
        Branch-and-bound nodes (HiGHS, SCIP).
    memory : int, optional
        Bytes the child may hold, its libraries' data included (some 50 to 100 MB).
    workers : int
        Threads of the solver.
    seed : int
    gap : float
        Relative gap at which to stop; 0 asks for proof.
    grace : float
        Seconds a child may overrun ``time``, or a cancellation, before it is killed.
    """

    time: float | None = None
    deterministic: float | None = None
    nodes: int | None = None
    memory: int | None = None
    workers: int = 1
    seed: int = 0
    gap: float = 0.0
    grace: float = 2.0


@dataclass(frozen=True)
class Event:
    """One step of a search: a better plan, a better bound, or a note.

    ``time`` is in seconds from the start; ``objective`` and ``bound`` are the best known then.
    """

    time: float
    kind: str  # "incumbent", "bound" or "note"
    objective: float | None = None
    bound: float | None = None
    source: str = ""
    text: str = ""


@dataclass(frozen=True, eq=False)
class Solution:
    """What a backend found for a program.

    Attributes
    ----------
    status : Status
    stop : Stop
        Why it ended; a crash or a hang after an incumbent is still ``FEASIBLE``.
    objective : float or None
        Of ``values``, recomputed from the program; never the solver's own figure.
    bound : float or None
        Proven lower bound, rounded up where objectives are whole; None when there is none.
    values : float64[n_columns] or None
        Integer columns hold whole numbers.
    nodes : int or None
    backend, version : str
    seconds : float
        Wall time of the solve, hand-over included.
    trajectory : tuple of Event
    message : str
        What the solver or the operating system said, one line.
    """

    status: Status
    stop: Stop
    objective: float | None = None
    bound: float | None = None
    values: FloatArray | None = None
    nodes: int | None = None
    backend: str = ""
    version: str = ""
    seconds: float = 0.0
    trajectory: tuple[Event, ...] = field(default=())
    message: str = ""

    @property
    def gap(self) -> float | None:
        """Relative gap, 0 when bound and objective meet; None without both."""
        return relative_gap(self.objective, self.bound)


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here, and why not."""

    name: str
    version: str
    works: bool
    reason: str = ""
    supports: tuple[str, ...] = ()


OnEvent = Callable[[Event], None]


def relative_gap(objective: float | None, bound: float | None) -> float | None:
    """``(objective - bound) / |objective|``, never negative; 0 when they meet."""
    if objective is None or bound is None:
        return None
    if objective <= bound:
        return 0.0
    return float((objective - bound) / max(abs(objective), 1e-9))


def safe_bound(program: Program, bound: float | None) -> float | None:
    """Return a solver's bound rounded so that it still holds; None for one that says nothing.

    Where every objective is a whole number a bound moves up to the next one, after giving away a
    solver's numerical error: 1e-6, or 1e-9 of the bound, but never half a unit.
    """
    if bound is None or not np.isfinite(bound):
        return None
    if not program.integral:
        return float(bound)
    return float(np.ceil(bound - min(0.5, max(1e-6, abs(bound) * 1e-9)))) + 0.0  # no -0.0


def polish(program: Program, values: ArrayLike) -> tuple[FloatArray, float | None, str]:
    """Round a solver's values and check them against columns, rows and records.

    Rows of whole coefficients on integer columns are held exactly; others within
    `FEASIBILITY_TOLERANCE`.

    Returns
    -------
    values : float64[n_columns]
        Integer columns whole, all within their bounds.
    objective : float or None
        Recomputed; None when the values break something.
    broken : str
        What they break, in the program's names; empty for a feasible point.
    """
    matrix = program.matrix
    point = np.array(values, dtype=np.float64)
    if point.shape != (matrix.n_columns,) or not np.isfinite(point).all():
        return point, None, "values are missing or not finite"
    point[matrix.integer] = np.rint(point[matrix.integer])
    lower, upper = whole_bounds(matrix)
    if (lower > upper).any():
        column = program.column_name(int(np.argmax(lower > upper)))
        return point, None, f"leaves the bounds of {column}, which hold no whole number"
    point = np.clip(point, lower, upper)
    row = _broken_row(matrix, point)
    if row is not None:
        return point, None, f"breaks row {program.row_name(row)}"
    record = broken_record(program, point)
    if record:
        return point, None, f"breaks {record}"
    objective = float(matrix.cost @ point + matrix.offset)
    return point, float(np.rint(objective)) if program.integral else objective, ""


def _broken_row(matrix: Matrix, point: FloatArray) -> int | None:
    activity = matrix.activity(point)
    exact = _exact_rows(matrix)
    low, up = matrix.row_lower, matrix.row_upper
    # a whole activity is exact: 1e-9 only forgives a side that misses a whole number by rounding
    slack_low, slack_up = (
        np.where(exact, 1e-9, FEASIBILITY_TOLERANCE * np.maximum(1.0, np.abs(side)))
        for side in (low, up)
    )
    with np.errstate(invalid="ignore"):
        broken = (activity < low - slack_low) | (activity > up + slack_up)
    return int(np.argmax(broken)) if broken.any() else None


_exact: WeakKeyDictionary[Matrix, NDArray[np.bool_]] = WeakKeyDictionary()


def _exact_rows(matrix: Matrix) -> NDArray[np.bool_]:
    """bool[n_rows]: whole coefficients on integer columns only. Kept, for streams of points."""
    known = _exact.get(matrix)
    if known is None:
        whole = np.rint(matrix.coefficients) == matrix.coefficients
        rough = ~(matrix.integer[matrix.indices] & whole)
        counts = np.append(0, np.cumsum(rough))
        known = _exact[matrix] = counts[matrix.indptr[1:]] == counts[matrix.indptr[:-1]]
    return known


def settle(program: Program, raw: Solution) -> Solution:
    """Turn a backend's own figures into ones that hold.

    Integer columns are rounded, rows, column bounds and records re-checked, the objective
    recomputed, the bound rounded the safe way (`safe_bound`). A solution that fails the check is
    dropped and the status with it; ``OPTIMAL`` stays only where the bound meets the recomputed
    objective, and a bound above the objective of a checked solution is dropped as disproven.
    """
    bound = safe_bound(program, raw.bound)
    if raw.values is None:
        proven = raw.status is Status.INFEASIBLE
        nothing = Status.INFEASIBLE if proven else Status.UNKNOWN
        return replace(
            raw, status=nothing, bound=None if proven else bound, objective=None, values=None
        )
    values, objective, broken = polish(program, raw.values)
    if objective is None:
        return replace(
            raw,
            status=Status.UNKNOWN,
            stop=Stop.ERROR,
            objective=None,
            values=None,
            bound=bound,
            message=f"solution refused: it {broken}",
        )
    raw = replace(raw, objective=objective, values=values)
    scale = max(1.0, abs(objective))
    if bound is not None and bound > objective + BOUND_TOLERANCE * scale:
        message = f"bound {bound:.12g} refused: a solution of {objective:.12g} disproves it"
        return replace(raw, status=Status.FEASIBLE, stop=Stop.ERROR, bound=None, message=message)
    met = False
    if bound is not None and objective <= bound + 1e-9 * scale:
        bound, met = objective, True
    elif bound is not None and raw.status is Status.OPTIMAL and not program.integral:
        # continuous objectives meet within the solver's own gap tolerance only
        met = objective - bound <= 1e-7 * scale
    if met:
        stop = raw.stop if raw.stop.failed else Stop.PROVEN
        return replace(raw, status=Status.OPTIMAL, stop=stop, bound=bound)
    stop = Stop.GAP if raw.stop is Stop.PROVEN else raw.stop
    return replace(raw, status=Status.FEASIBLE, stop=stop, bound=bound)
