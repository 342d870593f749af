"""The program that runs in a child process: loads one backend, then solves what it is sent.

Started as ``python -m mapc.solvers.child BACKEND LIFELINE_FD`` by `mapc.solvers.process`.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import os
import queue
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from mapc.program.model import Program
from mapc.solvers import catalogue
from mapc.solvers.backend import Backend, Report
from mapc.solvers.base import FloatArray, Limits, Solution, Status, Stop
from mapc.solvers.wire import (
    CANCEL,
    DONE,
    FAILED,
    READY,
    SOLVE,
    Frame,
    ProtocolError,
    encode,
    read_frame,
    write_all,
)


def load(name: str) -> Backend:
    """Import a backend and the solver behind it."""
    known = catalogue.entry(name)
    for module in known.imports:
        importlib.import_module(module)
    module, _, attribute = known.target.partition(":")
    if name.startswith("pyomo:"):
        named = importlib.import_module(module).solve
        return cast("Backend", functools.partial(named, attribute))
    return cast("Backend", getattr(importlib.import_module(module), attribute))


class Server:
    """Reads requests on a thread of its own, solves them on the main thread, one at a time.

    The split lets a cancellation through while a solver runs; solvers release the interpreter
    lock while they work.
    """

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._queue: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._write = threading.Lock()
        self._state = threading.Lock()
        self._running: tuple[int, Report] | None = None
        self._cancelled = -1

    def send(self, kind: bytes, message: Any) -> None:
        """Write a message; from any thread."""
        data = encode(kind, message)
        with self._write:
            write_all(self._answers, data)

    def serve(self, backend: Backend) -> None:
        """Solve until the parent closes its pipe, which ends the process."""
        while True:
            frame = self._queue.get()
            try:
                number, solution = self._answer(backend, frame)
            except MemoryError:
                frame = Frame(b"", b"")
                number, solution = -1, _failure(Stop.MEMORY, "MemoryError")
            self.send(DONE, (number, solution))

    def _answer(self, backend: Backend, frame: Frame) -> tuple[int, Solution]:
        number, program, limits, start, deadline = frame.load()
        report = Report(self.send, program, deadline)
        with self._state:
            self._running = (number, report)
            cancelled = self._cancelled == number
        if cancelled:
            report.cancel()
        try:
            with _memory_cap(limits.memory):
                return number, _run(backend, program, limits, start, report)
        finally:
            with self._state:
                self._running = None

    def read(self) -> None:
        """Read requests; leave with the parent."""
        while True:
            try:
                frame = read_frame(self._requests)
            except (EOFError, OSError, ProtocolError):
                os._exit(0)
            if frame.kind == SOLVE:
                self._queue.put(frame)
            elif frame.kind == CANCEL:
                self._cancel(frame.load())

    def _cancel(self, number: int) -> None:
        with self._state:
            self._cancelled = number
            running = self._running
        if running is not None and running[0] == number:
            running[1].cancel()


def _run(
    backend: Backend, program: Program, limits: Limits, start: FloatArray | None, report: Report
) -> Solution:
    left = report.remaining()
    limits = replace(limits, time=left if limits.time is not None else None)
    try:
        return backend(program, limits, start, report)
    except MemoryError as error:
        return _failure(Stop.MEMORY, f"MemoryError: {error}")
    except ValueError as error:
        return _failure(Stop.REFUSED, str(error))
    except Exception as error:
        return _failure(Stop.ERROR, f"{type(error).__name__}: {error}")


def _failure(stop: Stop, text: str) -> Solution:
    return Solution(Status.UNKNOWN, stop, message=" ".join(text.split())[:500])


@contextlib.contextmanager
def _memory_cap(memory: int | None) -> Iterator[None]:
    """Cap what this process may hold, in bytes, for one solve.

    ``RLIMIT_DATA`` counts private writable memory, which is what a solver fills. ``RLIMIT_AS``,
    the fallback outside Linux, also counts libraries and address space that is only reserved
    (64 MiB for every thread), so that the same number would mean much less.
    """
    if memory is None:
        yield
        return
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    soft, hard = resource.getrlimit(kind)
    cap = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(kind, (cap, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def _leave_with_parent(lifeline: int) -> None:
    """Have the kernel end this process group when the parent is gone.

    The lifeline hangs up then, and SIGIO ends the group even while a solver holds the
    interpreter lock. PR_SET_PDEATHSIG would not do: it follows the thread that started the
    child, and workers outlive threads.
    """
    if hasattr(fcntl, "F_SETOWN") and hasattr(os, "O_ASYNC"):
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):
        os._exit(0)


def _volunteer() -> None:
    """Ask the kernel to end this process before others when memory runs out."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


def _private_pipes() -> tuple[int, int]:
    """Move the protocol away from the standard streams, which solvers print to."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, answers


def main(arguments: list[str]) -> None:
    """Serve until the parent leaves."""
    name, lifeline = arguments[0], int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(lifeline, False)
    _leave_with_parent(lifeline)
    _volunteer()
    server = Server(*_private_pipes())
    threading.Thread(target=server.read, daemon=True).start()
    started = time.monotonic()
    try:
        backend = load(name)
        version = catalogue.version(name)
    except Exception as error:  # whatever an import raises, the caller wants its text
        missing = isinstance(error, ImportError)
        text = f"{type(error).__name__}: {error}"
        server.send(FAILED, (missing, " ".join(text.split())[:500]))
        return
    server.send(READY, (version, time.monotonic() - started))
    server.serve(backend)


if __name__ == "__main__":
    main(sys.argv[1:])
