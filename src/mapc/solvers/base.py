"""What every backend takes and gives: limits, status, events, solution."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mapc.program.model import Program

FloatArray = NDArray[np.float64]

FEASIBILITY_TOLERANCE = 1e-6
"""How far a row may be off, relative to max(1, |side|), before a solution is refused."""


class Status(enum.StrEnum):
    """What is proven about an answer."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


class Stop(enum.StrEnum):
    """Why a backend stopped."""

    PROVEN = "proven"
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
        Seconds of wall time; the child is killed ``grace`` seconds after.
    deterministic : float, optional
        CP-SAT deterministic time.
    nodes : int, optional
        Branch-and-bound nodes (HiGHS, SCIP).
    memory : int, optional
        Bytes the child may allocate.
    workers : int
        Threads of the solver.
    seed : int
    gap : float
        Relative gap at which to stop; 0 asks for proof.
    grace : float
        Seconds a child may overrun ``time`` before it is killed.
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


def settle(program: Program, raw: Solution) -> Solution:
    """Turn a backend's own figures into ones that hold.

    Integer columns are rounded, rows and bounds re-checked, the objective recomputed, the bound
    rounded the safe way (up to the next whole number only where every objective is whole). A
    solution that fails the check is dropped and the status with it; ``OPTIMAL`` stays only where
    the bound meets the recomputed objective.
    """
    matrix = program.matrix
    bound = raw.bound
    if bound is not None and not np.isfinite(bound):
        bound = None
    if bound is not None and program.integral:
        bound = float(np.ceil(bound - 1e-6 * max(1.0, abs(bound) * 1e-3)))
    if raw.values is None:
        infeasible = raw.status is Status.INFEASIBLE
        nothing = Status.INFEASIBLE if infeasible else Status.UNKNOWN
        return replace(raw, status=nothing, bound=bound, objective=None)
    values = np.asarray(raw.values, dtype=np.float64).copy()
    values[matrix.integer] = np.rint(values[matrix.integer])
    values = np.clip(values, matrix.lower, matrix.upper)
    activity = matrix.activity(values)
    low, up = matrix.row_lower, matrix.row_upper
    slack = FEASIBILITY_TOLERANCE
    with np.errstate(invalid="ignore"):
        broken = (activity < low - slack * np.maximum(1.0, np.abs(low))) | (
            activity > up + slack * np.maximum(1.0, np.abs(up))
        )
    if broken.any():
        row = program.row_name(int(np.argmax(broken)))
        return replace(
            raw,
            status=Status.UNKNOWN,
            stop=Stop.ERROR,
            objective=None,
            values=None,
            bound=bound,
            message=f"solution refused: it breaks row {row}",
        )
    objective = float(matrix.cost @ values + matrix.offset)
    if program.integral:
        objective = float(np.rint(objective))
    met = bound is not None and objective <= bound + 1e-9 * max(1.0, abs(objective))
    if met:
        bound = objective
    elif raw.status is Status.OPTIMAL and not program.integral:
        # continuous objectives meet within the solver's own gap tolerance only
        met = bound is not None and objective - bound <= 1e-7 * max(1.0, abs(objective))
    status = Status.OPTIMAL if met else Status.FEASIBLE
    return replace(raw, status=status, objective=objective, bound=bound, values=values)
