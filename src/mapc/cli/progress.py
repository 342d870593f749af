"""Progress on standard error: a live line on a terminal, a line for every event elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mapc.cli.live import Live, LiveLine, clock, duration
from mapc.cli.output import one_line, say
from mapc.cli.sparkline import ASCII, BLOCKS, sparkline
from mapc.cli.terminal import can_rewrite, shows
from mapc.wording.common import brief, percent

if TYPE_CHECKING:
    from mapc.models.base import Family
    from mapc.solvers.base import Event

BARS, FEW_BARS = 16, 8
"""Columns of the sparkline, and where there is less room."""
MOST_STEPS = 1_024
"""Steps of the gap that are kept for the sparkline."""


class Progress(Live):
    """Receives the events of a search; use as a context manager so that the live line is removed.

    Parameters
    ----------
    family : Family
        Puts objective values in words.
    live : bool, optional
        One line that is written over; by default on a terminal that can do it.
    problem : problem of the family, optional
        The unit of objective values may depend on it.
    now : callable, optional
        The clock of the live line.
    ticking : bool, optional
        Redraw the live line between events as well.
    """

    def __init__(
        self,
        family: Family,
        live: bool | None = None,
        problem: Any = None,
        now: Callable[[], float] = time.monotonic,
        ticking: bool = True,
    ) -> None:
        self._phrase: Callable[[float], str] = family.phrase
        if problem is not None:  # its unit may depend on it
            from mapc.models.base import phrase_of

            self._phrase = phrase_of(family, problem)
        self._now = now
        if can_rewrite(sys.stderr) if live is None else live:
            self._line = LiveLine(self._candidates, now, clock() if ticking else None)
        self._levels = BLOCKS if shows(BLOCKS, sys.stderr) else ASCII
        self._objective = self._bound = ""  # in words
        self._found_by = self._proven_by = ""
        self._gap: float | None = None
        self._steps: list[tuple[float, float]] = []

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self._line is None:
            say(one_line(self._text(event)), err=True)
        elif event.kind == "note":
            self._line.above(one_line(self._text(event)))
        else:
            self._keep(event)
            self._line.draw()

    # -- a line for every event --------------------------------------------------------------------

    def _text(self, event: Event) -> str:
        start = f"{event.time:.2f} s"
        if event.kind == "note":
            return f"{start} note: {event.text}"
        parts = [f"{start} {event.kind}: "]
        if event.objective is not None:
            parts.append(f"{self._phrase(event.objective)}, ")
        if event.bound is not None:
            parts.append(f"bound {brief(self._phrase(event.bound))}, ")
        gap = _gap(event)
        if gap is not None:
            parts.append(f"gap {percent(gap)}, ")
        return "".join(parts).rstrip(", ") + (f" ({event.source})" if event.source else "")

    # -- one live line -----------------------------------------------------------------------------

    def _keep(self, event: Event) -> None:
        """Remember what the live line shows; the thread that redraws it reads whole values."""
        if event.objective is not None:
            self._objective = self._phrase(event.objective)
        if event.bound is not None:
            self._bound = brief(self._phrase(event.bound))
        if event.kind == "incumbent":
            self._found_by = event.source
        elif event.kind == "bound":
            self._proven_by = event.source
        self._gap = _gap(event)
        if self._gap is not None:
            steps = [*self._steps, (event.time, self._gap)]
            # the ends stay; every other step between them goes
            self._steps = steps if len(steps) <= MOST_STEPS else [*steps[:-1:2], steps[-1]]

    def _candidates(self, seconds: float) -> list[str]:
        """Return the live line in several lengths, longest first; numbers go last."""
        start = f"{duration(seconds)}  "
        steps = self._steps if any(gap > 0 for _, gap in self._steps) else []
        if not (self._objective or self._bound):
            return [f"{start}looking for a plan"]

        def line(objective: str, by: str, bound: str, proven_by: str, bars: int) -> str:
            parts = []
            if objective:
                parts.append(objective + (f" ({by})" if by else ""))
            if bound:
                parts.append(f"bound {bound}" + (f" ({proven_by})" if proven_by else ""))
            if self._gap is not None:
                parts.append(f"gap {percent(self._gap)}")
            drawn = sparkline(steps, seconds, bars, self._levels) if bars else ""
            return start + ", ".join(parts) + (f"  {drawn}" if drawn else "")

        by, proven_by = self._found_by, self._proven_by
        short = brief(self._objective)
        return [
            line(self._objective, by, self._bound, proven_by, BARS),
            line(self._objective, by, self._bound, "", BARS),
            line(short, by, self._bound, "", BARS),
            line(short, by, self._bound, "", FEW_BARS),
            line(short, "", self._bound, "", FEW_BARS),
            line(short, "", self._bound, "", 0),
            line(short, "", "", "", 0),
        ]


def _gap(event: Event) -> float | None:
    from mapc.solvers.base import relative_gap

    return relative_gap(event.objective, event.bound)
