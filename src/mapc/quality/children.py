"""A function on many things, each in a process that can be given up.

Processes are kept for the next thing; one that is too late or dies costs what it worked on and no
more. Solvers in children of their own leave with it.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

READY = "ready"
"""What a process says before its first thing: what it takes to start is on nobody's clock."""


GRACE = 5.0
"""Seconds in which a process that has closed its end is given to say its exit code."""


@dataclass(frozen=True)
class Late:
    """No answer within so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Died:
    """The process ended without an answer; a negative code is a signal."""

    code: int | None


class _Child:
    """One process and what it works on."""

    def __init__(self, function: Callable[[Any], Any], at: int, thing: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.deadline: float | None = None
        self.begin(at, thing)

    def begin(self, at: int, thing: Any) -> None:
        self.at = at
        self.connection.send(thing)

    def watch(self, wall: float | None) -> None:
        self.deadline = None if wall is None else time.monotonic() + wall

    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def end(self) -> int | None:
        """End the process and return its exit code."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        return self.process.exitcode


def each(
    function: Callable[[Any], Any],
    things: Sequence[Any],
    *,
    jobs: int = 1,
    wall: float | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield the place of each thing and what the function returns for it, as they are done.

    Parameters
    ----------
    function : callable
        Of a module, so that another process finds it; ``function(thing)``.
    things : sequence
        What can be pickled.
    jobs : int
        Processes.
    wall : float, optional
        Seconds after which `Late` is the answer.
    """
    waiting = list(enumerate(things))[::-1]
    children: list[_Child] = []
    try:
        while waiting and len(children) < jobs:
            children.append(_Child(function, *waiting.pop()))
        while children:
            for child in _heard(children):
                answer = _answer(child, wall)
                if answer == READY:
                    child.watch(wall)
                    continue
                at = child.at
                if waiting and not isinstance(answer, Late | Died):
                    child.begin(*waiting.pop())
                    child.watch(wall)
                else:
                    children.remove(child)
                    child.end()
                    children += [_Child(function, *waiting.pop())] if waiting else []
                yield at, answer
    finally:
        for child in children:
            child.end()


def _heard(children: list[_Child]) -> list[_Child]:
    """Wait for an answer, an end or a deadline; return whom it concerns."""
    deadlines = [child.deadline for child in children if child.deadline is not None]
    left = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    spoke: list[Any] = wait([child.connection for child in children], timeout=left)
    return [child for child in children if child.connection in spoke or child.late()]


def _answer(child: _Child, wall: float | None) -> Any:
    try:
        if child.connection.poll():
            return child.connection.recv()
    except (EOFError, OSError):
        child.process.join(GRACE)
        return Died(child.end())
    return Late(wall or 0.0)


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    # Ctrl-C is for the parent, which ends its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection.send(READY)
        while True:
            connection.send(function(connection.recv()))
    except (EOFError, OSError):
        pass  # the parent has left
