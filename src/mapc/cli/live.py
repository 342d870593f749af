"""One line of a terminal that is written over, with a clock that goes on between events.

The search runs in the main thread, and for seconds it does nothing that could redraw: it computes,
or waits for a solver. A daemon thread does it then. It only formats a line and writes it; it starts
no process, imports nothing and takes no lock but that of the line, so it is of no concern to solver
processes, which are started afresh and not forked. A timer signal would do without a thread, but
interrupt system calls of libraries that do not expect it.

The cursor is never hidden, so that it need not be shown again, however the program ends.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol, Self

from mapc.cli.output import one_line, say
from mapc.cli.terminal import cells, cut, live_width

CLEAR = "\r\x1b[2K"
INTERVAL = 0.5
"""Seconds between two looks at the clock."""
PAUSE = 0.05
"""Seconds between two drawings: a terminal need not show hundreds of events a second."""


class Alarm(Protocol):
    """What the clock waits for: `threading.Event`."""

    def wait(self, timeout: float) -> bool:
        """Wait until set, or so many seconds; return whether it is set."""

    def set(self) -> None:
        """End all waiting."""


class LiveLine:
    """A line that is drawn anew for events and every half a second; a context manager.

    Parameters
    ----------
    candidates : callable
        ``candidates(seconds)`` returns what to show after so many seconds, from the longest text
        to the shortest; the first that fits is shown, and the last is cut where none does.
    now : callable, optional
        The clock.
    alarm : Alarm or None, optional
        What the clock waits for; None: no clock, only events redraw.
    """

    def __init__(
        self,
        candidates: Callable[[float], list[str]],
        now: Callable[[], float] = time.monotonic,
        alarm: Alarm | None = None,
    ) -> None:
        self._candidates, self._now, self._alarm = candidates, now, alarm
        self._started = now()
        self._drawn = -float("inf")
        self._open = False
        self._lock = threading.RLock()  # an interrupt may come while it is held
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._alarm is not None:
            self._thread = threading.Thread(target=self._tick, name="mapc-clock", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._alarm is not None and self._thread is not None:
            self._alarm.set()
            self._thread.join()
        self.clear()

    def _tick(self) -> None:
        assert self._alarm is not None
        while not self._alarm.wait(INTERVAL):
            self.draw()

    def draw(self) -> None:
        """Draw the line, unless it was drawn a moment ago."""
        with self._lock:
            now = self._now()
            if now - self._drawn < PAUSE:
                return
            self._drawn = now
            room = live_width(sys.stderr) - 1  # in the last column some terminals wrap
            say(CLEAR + fitting(self._candidates(now - self._started), room), err=True, nl=False)
            self._open = True

    def above(self, text: str) -> None:
        """Print a line that stays, above the live one."""
        with self._lock:
            self.clear()
            say(text, err=True)
            self._drawn = -float("inf")

    def clear(self) -> None:
        """Remove the line."""
        with self._lock:
            if self._open:
                self._open = False
                say(CLEAR, err=True, nl=False)


class Live:
    """Something that is shown in a live line, or without one; a context manager."""

    _line: LiveLine | None = None

    def __enter__(self) -> Self:
        if self._line is not None:
            self._line.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._line is not None:
            self._line.__exit__(*exception)


def clock() -> Alarm:
    """Return what a live line waits for between two looks at the clock."""
    return threading.Event()


def fitting(candidates: list[str], columns: int) -> str:
    """Return the first text that fits into so many columns; the last one cut where none does."""
    texts = [one_line(text, spaces=True) for text in candidates]
    chosen = next((text for text in texts if cells(text) <= columns), texts[-1])
    return cut(chosen, max(0, columns))


def duration(seconds: float) -> str:
    """Return whole seconds in words.

    >>> duration(7.9), duration(65), duration(7325)
    ('7 s', '1 min 05 s', '2 h 02 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
