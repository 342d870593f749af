"""The gap over time in one line of bars, for progress and summaries.

Columns are equal parts of the time. Heights are logarithmic, because gaps shrink by factors: a full
bar is the largest gap of the run, the lowest one a gap of zero.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mapc.cli.terminal import shows
from mapc.wording.common import Rows, percent

if TYPE_CHECKING:
    from mapc.solvers.base import Event
    from mapc.solvers.result import Result

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:+*o#@"
"""Where the encoding, or the locale, lacks blocks; from low to high as well."""

LEAST_DECADES, MOST_DECADES = 1.0, 6.0
"""Powers of ten between the highest and the lowest positive bar: a gap that falls by a tenth of
itself must not look like one that is about to close, and one far below the others not hide them."""

BARS = 16
"""Columns of the gap over time: with its figures it fits a line."""
LEAST_STEPS = 3
"""Better plans and bounds that make a gap over time worth a line."""

Steps = Sequence[tuple[float, float]]
"""Seconds and gap, in the order of time; a gap holds until the next step."""


def gap_steps(trajectory: Sequence[Event]) -> list[tuple[float, float]]:
    """Return time and gap of every step of a search at which both objective and bound are known."""
    from mapc.solvers.base import relative_gap

    steps = []
    for event in trajectory:
        gap = relative_gap(event.objective, event.bound)
        if gap is not None:
            steps.append((event.time, gap))
    return steps


def sparkline(steps: Steps, end: float, width: int, levels: str = BLOCKS) -> str:
    """Return the gap over time as ``width`` characters; empty without a step.

    Parameters
    ----------
    steps : sequence of (float, float)
        Seconds and gap, in the order of time.
    end : float
        Seconds at which the last gap still holds.
    width : int
    levels : str
        Characters from low to high, `BLOCKS` or `ASCII`.

    >>> sparkline([(0, 0.5), (1, 0.05), (2, 0.0)], 4, 4, ASCII)
    '@.__'
    """
    if not steps or width < 1:
        return ""
    gaps = sampled(steps, end, width)
    largest = max(gaps)
    lowest = min((gap for gap in gaps if gap > 0), default=largest)
    return "".join(levels[_level(gap, lowest, largest, len(levels) - 1)] for gap in gaps)


def sampled(steps: Steps, end: float, width: int) -> list[float]:
    """Return the gap at ``width`` moments, evenly from the first step to ``end``, both included."""
    times = [time for time, _ in steps]
    first, last = times[0], max(end, times[-1])
    span = (last - first) / max(1, width - 1)
    moments = [first + i * span for i in range(width - 1)] + [last]
    return [steps[max(0, bisect_right(times, moment) - 1)][1] for moment in moments[:width]]


def _level(gap: float, lowest: float, largest: float, top: int) -> int:
    """Return the height of a bar: 0 for no gap, 1 to ``top`` for others."""
    if gap <= 0:
        return 0
    decades = min(MOST_DECADES, max(LEAST_DECADES, math.log10(largest) - math.log10(lowest)))
    down = (math.log10(largest) - math.log10(gap)) / decades
    return max(1, top - round(down * (top - 1)))


def with_gap_over_time(rows: Rows, result: Result) -> Rows:
    """Return rows of a result with one more below its gap, if the gap had a way to go.

    That is, if the run had at least three steps, and two different gaps among them.
    """
    steps = gap_steps(result.trajectory)
    if len(result.trajectory) < LEAST_STEPS or len({gap for _, gap in steps}) < 2:
        return rows
    drawn = sparkline(steps, result.seconds, BARS, BLOCKS if shows(BLOCKS, sys.stdout) else ASCII)
    (first, start), (last, end) = steps[0], steps[-1]
    text = f"{drawn} {percent(start)} at {first:.2f} s, {percent(end)} at {last:.2f} s"
    labels = [name for name, _ in rows]
    at = labels.index("gap") + 1 if "gap" in labels else len(rows)
    return [*rows[:at], ("gap over time", text), *rows[at:]]
