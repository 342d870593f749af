"""Progress on standard error: a live line on a terminal, a line for every event elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from mapc.cli.describe import brief, percent
from mapc.cli.output import WIDTH, one_line, say

if TYPE_CHECKING:
    from mapc.models.base import Family
    from mapc.solvers.base import Event

_CLEAR = "\r\x1b[2K"


class Progress:
    """Receives the events of a search; use as a context manager so that the live line is removed.

    Parameters
    ----------
    family : Family
        Puts objective values in words.
    live : bool, optional
        One line that is written over; by default on a terminal that can do it.
    """

    def __init__(self, family: Family, live: bool | None = None, problem: Any = None) -> None:
        self._phrase: Callable[[float], str] = family.phrase
        if problem is not None:  # its unit may depend on it
            from mapc.models.base import phrase_of

            self._phrase = phrase_of(family, problem)
        self._live = _can_rewrite() if live is None else live
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._open:
            self._open = False
            say(_CLEAR, err=True, nl=False)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        text = one_line(self._text(event))
        if not self._live:
            say(text, err=True)
        elif event.kind == "note":
            say(f"{_CLEAR}{text}", err=True)
            self._open = False
        else:
            columns = shutil.get_terminal_size((WIDTH, 24)).columns
            say(f"{_CLEAR}{text[: columns - 1]}", err=True, nl=False)
            self._open = True

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


def _gap(event: Event) -> float | None:
    from mapc.solvers.base import relative_gap

    return relative_gap(event.objective, event.bound)


def _can_rewrite() -> bool:
    stream = sys.stderr
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
