"""Backends by name: what is there, whether it works, and solving with one."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from mapc.program.model import Program
from mapc.solvers import catalogue
from mapc.solvers.base import (
    Availability,
    FloatArray,
    Limits,
    OnEvent,
    Solution,
    Status,
    Stop,
)
from mapc.solvers.catalogue import DISABLE, NAMES
from mapc.solvers.worker import OnValues, Worker

__all__ = [
    "DISABLE",
    "NAMES",
    "Pool",
    "all_availability",
    "availability",
    "close",
    "prepare",
    "solve",
]

PROBE_TIME = 60.0
"""Seconds a backend may take to load and solve the probe before it counts as not working."""


class Pool:
    """Idle workers by backend; as many are started as are in use at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, list[Worker]] = {}

    @contextlib.contextmanager
    def worker(self, backend: str) -> Iterator[Worker]:
        """Lend a worker for a ``with`` block."""
        with self._lock:
            idle = self._idle.get(backend)
            one = idle.pop() if idle else Worker(backend)
        try:
            yield one
        finally:
            with self._lock:
                self._idle.setdefault(backend, []).append(one)

    def close(self) -> None:
        """End all idle children; the pool can be used again."""
        with self._lock:
            workers = [one for idle in self._idle.values() for one in idle]
            self._idle = {}
        for one in workers:
            one.close()


_pool = Pool()


def close() -> None:
    """End the children kept for later solves. Called at exit; safe to call at any time."""
    _pool.close()


def _forget() -> None:
    # a forked process must neither talk to its parent's children nor end them
    global _pool
    _pool = Pool()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def prepare(names: Sequence[str]) -> None:
    """Start children without waiting, so that a later solve finds its solver loaded."""
    for name in names:
        if not catalogue.missing(name):
            with _pool.worker(name) as one:
                one.begin()


def solve(
    program: Program,
    backend: str = "highs",
    *,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    start: FloatArray | None = None,
    on_event: OnEvent | None = None,
    on_values: OnValues | None = None,
    cancel: threading.Event | None = None,
) -> Solution:
    """Solve a program with a backend, in a child process kept for later calls.

    Parameters are those of `mapc.solvers.worker.Worker.solve`. A backend that is missing, dies or
    hangs is told in the solution's ``stop`` and ``message``; nothing is raised for it.

    Raises
    ------
    UsageError
        When ``backend`` is no name of a backend.
    ValueError
        When ``start`` does not fit the program.
    """
    reason = catalogue.missing(backend)
    if reason:
        return Solution(Status.UNKNOWN, Stop.UNAVAILABLE, backend=backend, message=reason)
    with _pool.worker(backend) as one:
        return one.solve(program, limits, start, on_event, cancel, on_values)


def probe() -> tuple[Program, float]:
    """Return a tiny MIP and its optimum: ten copies of one that highspy 1.14.0 gets wrong.

    ``min 2x + y, 2x + y >= 10, x binary, y >= 9`` has the optimum 10 at ``x = 0, y = 10``.
    """
    program = Program("probe")
    x = program.variables(10, cost=2.0, name="x")
    y = program.variables(10, 9.0, 12.0, cost=1.0, name="y")
    pairs = np.stack([x.columns, y.columns], axis=1)
    program.rows(pairs, [2.0, 1.0], 10.0, name="cover")
    return program, 100.0


def availability(name: str) -> Availability:
    """Say whether a backend is installed and solves the `probe` in a child.

    Raises
    ------
    UsageError
        When ``name`` is no name of a backend.
    """
    known = catalogue.entry(name)
    version = catalogue.version(name)
    reason = catalogue.missing(name)
    if reason:
        return Availability(name, "", False, reason, known.supports)
    program, optimum = probe()
    answer = solve(program, name, limits=Limits(time=PROBE_TIME))
    reason = _fault(answer, optimum)
    return Availability(name, answer.version or version, not reason, reason, known.supports)


def _fault(answer: Solution, optimum: float) -> str:
    """What is wrong with an answer to the probe; empty when nothing is."""
    if answer.objective is None or answer.stop.failed:
        return f"{answer.stop.value}: {answer.message}".rstrip(": ")
    if answer.status is not Status.OPTIMAL:
        return f"did not prove the optimum of a tiny model: {answer.status.value}"
    if answer.objective != optimum:
        return f"wrong answer: {answer.objective:g} where the optimum is {optimum:g}"
    return ""


def all_availability() -> list[Availability]:
    """Return `availability` of every backend in ``NAMES``."""
    return [availability(name) for name in NAMES]
