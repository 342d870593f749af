"""The gap over time in one line of bars, for progress and summaries.

Columns are equal parts of the time. Heights are logarithmic, because gaps shrink by factors: a full
bar is the largest gap of the run, the lowest one a gap of zero.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapc.solvers.base import Event

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:+*o#@"
"""Where the encoding, or the locale, lacks blocks; from low to high as well."""

LEAST_DECADES, MOST_DECADES = 1.0, 6.0
"""Powers of ten between the highest and the lowest positive bar: a gap that falls by a tenth of
itself must not look like one that is about to close, and one far below the others not hide them."""

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
