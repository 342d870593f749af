"""What a backend is: a function that runs in a child process of its own.

To add one, write ``solve(program, limits, start, report) -> Solution`` in an importable module
and name it ``module:function`` wherever mapc takes a solver's name. The function runs in a child:
it may hang, crash or eat its memory without harm to the caller. It returns its solver's own
figures; the caller re-checks values, objective and bound (`mapc.solvers.base.settle`). A
``ValueError`` says that the backend cannot take this model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from mapc.program.model import Program
from mapc.solvers.base import FloatArray, Limits, Solution, safe_bound
from mapc.solvers.wire import BOUND, INCUMBENT, NOTE

Send = Callable[[bytes, Any], None]


class Report:
    """The line from a running backend to the caller.

    Safe to use from any thread. Incumbents and bounds are sent at once, so that they survive a
    crash right after.
    """

    def __init__(self, send: Send, program: Program, deadline: float) -> None:
        self._send = send
        self._program = program
        self._deadline = deadline
        self._bound = -np.inf
        self._stop: Callable[[], None] | None = None
        self.cancelled = False

    def incumbent(self, values: ArrayLike) -> None:
        """Send a feasible point: float64[n_columns], in the program's columns."""
        kept = np.array(values, dtype=np.float64)[: self._program.n_columns]
        self._send(INCUMBENT, (time.monotonic(), kept))

    def bound(self, bound: float) -> None:
        """Send a proven lower bound in the program's unit; repeats and worse ones are dropped."""
        safe = safe_bound(self._program, bound)
        if safe is not None and safe > self._bound:
            self._bound = safe
            self._send(BOUND, (time.monotonic(), safe))

    def note(self, text: str) -> None:
        """Send a remark for the user, one line."""
        self._send(NOTE, (time.monotonic(), text))

    def remaining(self) -> float:
        """Seconds left of the time limit, at least 0; infinite without a limit."""
        return max(0.0, self._deadline - time.monotonic())

    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called, from another thread, when the caller cancels.

        A backend that cannot be stopped this way looks at ``cancelled`` now and then; one that
        does neither is killed after the grace period.
        """
        self._stop = stop
        if self.cancelled:
            stop()

    def cancel(self) -> None:
        """Called when the caller cancels."""
        self.cancelled = True
        if self._stop is not None:
            self._stop()


class Backend(Protocol):
    """Solves a program in a child process."""

    def __call__(
        self, program: Program, limits: Limits, start: FloatArray | None, report: Report
    ) -> Solution:
        """Solve and return the solver's own figures.

        Parameters
        ----------
        program : Program
        limits : Limits
            ``time`` is what was left when the child took over; `Report.remaining` is newer.
        start : float64[n_columns] or None
            A point to start from, NaN where nothing is suggested; the program's hints included.
        report : Report

        Returns
        -------
        Solution
            ``status``, ``stop``, ``bound``, ``values``, ``nodes`` and ``message`` are read.
        """
