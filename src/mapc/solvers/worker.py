"""Solves programs in a child process that can be limited, cancelled and lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from mapc.program.model import Program
from mapc.solvers import catalogue
from mapc.solvers.base import (
    Event,
    FloatArray,
    Limits,
    OnEvent,
    Solution,
    Status,
    Stop,
    polish,
    safe_bound,
    settle,
)
from mapc.solvers.process import Process
from mapc.solvers.wire import (
    BOUND,
    CANCEL,
    DONE,
    FAILED,
    INCUMBENT,
    NOTE,
    READY,
    SOLVE,
    Frame,
    ProtocolError,
    encode,
)

START_LIMIT = 120.0
"""Seconds a child may take to load its solver when the solve itself has no time limit."""
SLICE = 0.05
"""Seconds between two looks at the cancel event."""

OnValues = Callable[[FloatArray], None]
_FATAL = frozenset({Stop.MEMORY, Stop.ERROR})


@dataclass
class _Run:
    """One solve, as far as the parent has seen it."""

    program: Program
    backend: str
    on_event: OnEvent | None
    on_values: OnValues | None
    started: float = field(default_factory=time.monotonic)
    version: str = ""
    objective: float | None = None
    bound: float | None = None
    values: FloatArray | None = None
    events: list[Event] = field(default_factory=list)

    def incumbent(self, stamp: float, values: FloatArray) -> None:
        """Keep a streamed point if it holds and is the best."""
        point, objective, _ = polish(self.program, values)
        if objective is None or (self.objective is not None and objective >= self.objective):
            return
        self.objective, self.values = objective, point
        self.tell("incumbent", stamp)
        if self.on_values is not None:
            self.on_values(point)

    def proven(self, stamp: float, bound: float) -> None:
        """Keep a streamed bound if it is the best."""
        if self.bound is None or bound > self.bound:
            self.bound = bound
            self.tell("bound", stamp)

    def tell(self, kind: str, stamp: float, text: str = "") -> None:
        """Record an event and pass it on."""
        after = max(0.0, stamp - self.started)
        event = Event(after, kind, self.objective, self.bound, self.backend, text)
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def take(self, frame: Frame) -> None:
        """Act on a message from a running solver."""
        stamp, content = frame.load()
        if frame.kind == INCUMBENT:
            self.incumbent(stamp, content)
        elif frame.kind == BOUND:
            self.proven(stamp, content)
        elif frame.kind == NOTE:
            self.tell("note", stamp, content)

    def cut_short(self, stop: Stop, message: str = "") -> Solution:
        """Return what is known when no answer came."""
        return Solution(Status.UNKNOWN, stop, message=message)

    def finish(self, raw: Solution) -> Solution:
        """Join the answer with what was streamed before it, and settle it."""
        bounds = [b for b in (safe_bound(self.program, raw.bound), self.bound) if b is not None]
        raw = replace(raw, bound=max(bounds) if bounds else None)
        settled = settle(self.program, raw)
        streamed = self.objective
        if streamed is not None and (settled.objective is None or streamed < settled.objective):
            settled = settle(self.program, replace(raw, values=self.values))
        now = time.monotonic()
        if settled.values is not None and settled.objective != self.objective:
            self.objective = settled.objective
            self.tell("incumbent", now)
        if settled.bound is not None and settled.bound != self.bound:
            self.bound = settled.bound
            self.tell("bound", now)
        return replace(
            settled,
            backend=self.backend,
            version=self.version,
            seconds=now - self.started,
            trajectory=tuple(self.events),
        )


class Worker:
    """A backend in a child process, started on first use and kept for the next solve.

    After a crash, a hang or an exception in the parent the child is gone and the next solve
    starts a new one. A worker solves one program at a time; calls from other threads wait.
    """

    def __init__(self, backend: str) -> None:
        self.backend = catalogue.entry(backend).name
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._ready = False
        self._version = ""
        self._number = 0

    @property
    def pid(self) -> int | None:
        """Process number of the child; None when there is none."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def begin(self) -> None:
        """Start the child without waiting for it: loading a solver takes 0.3 to 2 seconds."""
        with self._lock:
            self._begin()

    def _begin(self) -> Process:
        if self._process is None or not self._process.alive:
            self._drop()
            self._process = Process(self.backend)
        return self._process

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._ready = False
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # a solve in another thread keeps the worker alive, so nobody holds the lock here
        with contextlib.suppress(Exception):
            self._drop()

    def solve(
        self,
        program: Program,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        start: FloatArray | None = None,
        on_event: OnEvent | None = None,
        cancel: threading.Event | None = None,
        on_values: OnValues | None = None,
    ) -> Solution:
        """Solve a program in the child.

        Parameters
        ----------
        program : Program
        limits : Limits
            ``time`` counts from this call, the child's start included.
        start : float64[n_columns], optional
            A point to start from; NaN where nothing is suggested. It wins over the hints.
        on_event : callable, optional
            Receives every `Event` as it arrives, in this thread.
        cancel : threading.Event, optional
            Set it to stop: what was found comes back with ``Stop.CANCELLED``.
        on_values : callable, optional
            Receives float64[n_columns] of every better checked incumbent, in this thread.

        Returns
        -------
        Solution
            Settled: see `mapc.solvers.base.settle`. Failures of the child are in ``stop`` and
            ``message``; nothing is raised for them.
        """
        run = _Run(program, self.backend, on_event, on_values)
        with self._lock:
            try:
                raw = self._solve(run, limits, merge_start(program, start), cancel)
            except BaseException:
                # Ctrl-C, or an error in a callback: the state of the pipes is unknown
                self._drop()
                raise
            if raw.stop in _FATAL:
                self._drop()
        return run.finish(raw)

    def _solve(
        self, run: _Run, limits: Limits, start: FloatArray | None, cancel: threading.Event | None
    ) -> Solution:
        clock = _Clock(run.started, limits, cancel)
        reused = self._ready
        try:
            process = self._begin()
            reused = reused and self._ready  # a child found dead has been replaced already
            early = self._wait_until_ready(process, run, clock)
            if early is not None:
                return early
            self._number += 1
            request = (self._number, run.program, limits, start, clock.deadline)
            process.send(encode(SOLVE, request), clock.kill_at())
            return self._wait_for_answer(process, run, clock)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            end = self._bury(run, clock)
            if reused and not run.events and not clock.cancelled():
                # it may have died while idle, before it saw this program: ask a fresh one
                return self._solve(run, limits, start, cancel)
            return end
        except ProtocolError as error:
            self._drop()
            return run.cut_short(Stop.CRASHED, str(error))
        except TimeoutError:
            self._drop()
            return run.cut_short(Stop.HUNG, "it did not take the program")
        except OSError as error:  # no process can be started
            self._drop()
            return run.cut_short(Stop.CRASHED, str(error))

    def _wait_until_ready(self, process: Process, run: _Run, clock: _Clock) -> Solution | None:
        """Wait for the child to have loaded its solver; a solution when it will not."""
        until = clock.deadline if clock.deadline < np.inf else run.started + START_LIMIT
        while not self._ready:
            frame = process.receive(min(until, clock.next_look()))
            if frame is None:
                if clock.cancelled():  # it goes on starting and serves the next solve
                    return run.cut_short(Stop.CANCELLED, "cancelled before the solver had loaded")
                if time.monotonic() < until:
                    continue
                if clock.deadline < np.inf:
                    return run.cut_short(Stop.TIME, "the solver had not loaded in time")
                self._drop()
                return run.cut_short(Stop.HUNG, f"the solver did not load in {START_LIMIT:g} s")
            if frame.kind == FAILED:
                missing, text = frame.load()
                self._drop()
                return run.cut_short(Stop.UNAVAILABLE if missing else Stop.ERROR, text)
            if frame.kind == READY:
                self._version, _ = frame.load()
                self._ready = True
        run.version = self._version
        return None

    def _wait_for_answer(self, process: Process, run: _Run, clock: _Clock) -> Solution:
        told = False
        while True:
            if clock.cancelled() and not told:
                process.send(encode(CANCEL, self._number), clock.kill_at())
                told = True
            frame = process.receive(min(clock.kill_at(), clock.next_look()))
            if frame is None:
                if time.monotonic() >= clock.kill_at():
                    self._drop()
                    return run.cut_short(*clock.verdict())
            elif frame.kind == DONE:
                number, solution = frame.load()
                if number in (self._number, -1):
                    return _checked(solution)
            else:
                run.take(frame)

    def _bury(self, run: _Run, clock: _Clock) -> Solution:
        """Read the last words of a child that is gone."""
        process = self._process
        if process is None:  # pragma: no cover - only a bug gets here
            return run.cut_short(Stop.CRASHED, "")
        with contextlib.suppress(EOFError, ProtocolError):
            while (frame := process.receive(0.0)) is not None:
                if frame.kind in (INCUMBENT, BOUND, NOTE):
                    run.take(frame)
        starved, text = process.obituary()
        run.version = self._version
        self._drop()
        if clock.cancelled():
            return run.cut_short(Stop.CANCELLED, text)
        return run.cut_short(Stop.MEMORY if starved else Stop.CRASHED, text)


def _checked(solution: Any) -> Solution:
    """Refuse what a backend of one's own may return instead of a solution."""
    if isinstance(solution, Solution):
        return solution
    text = f"the backend returned {type(solution).__name__}, not a Solution"
    return Solution(Status.UNKNOWN, Stop.ERROR, message=text)


class _Clock:
    """When to look, when to stop waiting, and why. All times are ``time.monotonic``."""

    def __init__(self, started: float, limits: Limits, cancel: threading.Event | None) -> None:
        self._limits = limits
        self._cancel = cancel
        self._cancelled_at = np.inf
        self.deadline = started + limits.time if limits.time is not None else np.inf

    def cancelled(self) -> bool:
        """Whether the caller asked to stop."""
        if self._cancel is not None and self._cancel.is_set() and self._cancelled_at == np.inf:
            self._cancelled_at = time.monotonic()
        return self._cancelled_at < np.inf

    def next_look(self) -> float:
        """When to look at the cancel event next."""
        return time.monotonic() + SLICE if self._cancel is not None else np.inf

    def kill_at(self) -> float:
        """When a child without an answer is killed."""
        return float(min(self.deadline, self._cancelled_at) + self._limits.grace)

    def verdict(self) -> tuple[Stop, str]:
        """Why a child was killed."""
        grace = self._limits.grace
        if self._cancelled_at < self.deadline:
            return Stop.CANCELLED, f"killed: still running {grace:g} s after it was cancelled"
        return Stop.HUNG, f"killed: still running {grace:g} s after its limit"


def merge_start(program: Program, start: FloatArray | None) -> FloatArray | None:
    """Return float64[n_columns] of ``start`` over the hints, NaN for neither; None for nothing."""
    columns, values = program.start_values
    if start is None and not len(columns):
        return None
    merged = np.full(program.n_columns, np.nan)
    merged[columns] = values
    if start is not None:
        given = np.asarray(start, dtype=np.float64)
        if given.shape != merged.shape:
            raise ValueError(f"start has {given.size} values for {merged.size} columns")
        merged = np.where(np.isnan(given), merged, given)
    return merged
