"""What pictures of address spaces have in common: axes, heights over time, and what is too much."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.visual.figure import Axis, FloatArray, Rule
from mapc.visual.words import words

MARGIN = 1.04
"""Highest value on an axis, of the highest that is drawn."""
FAR = 3.0
"""A capacity so many times what is used would leave the picture empty, and is only spoken of."""
NAME = 80
"""Characters of a name in a title: what is said of it comes after."""


def short(name: str, limit: int = NAME) -> str:
    """Return a name, cut to a limit so that there is room for more after it."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def largest(weight: FloatArray, marks: IntArray, most: int) -> BoolArray:
    """Choose what to draw: the largest, as long as their marks are not too many.

    Parameters
    ----------
    weight : float64[n]
    marks : int64[n]
        Marks that each takes.
    most : int

    Returns
    -------
    bool[n]
    """
    keep: BoolArray = np.ones(len(weight), dtype=np.bool_)
    if int(marks.sum()) > most:
        order = np.argsort(-weight, kind="stable")
        keep[order] = np.cumsum(marks[order]) <= most
    return keep


def tops(low: IntArray, high: IntArray, top: IntArray, n: int) -> IntArray:
    """int64[n]: the highest ``top`` of what is there at each of ``n`` steps, 0 where nothing is.

    ``low`` and ``high`` (int64[k]) are half-open ranges of steps.
    """
    found = np.zeros(n, dtype=np.int64)
    rank = np.argsort(top, kind="stable")
    rows = zip(low[rank].tolist(), high[rank].tolist(), top[rank].tolist(), strict=True)
    for begin, end, height in rows:  # the highest is written last
        found[begin:end] = max(height, 0)
    return found


def covered(low: IntArray, high: IntArray, size: IntArray, n: int) -> IntArray:
    """int64[n]: the sum of the sizes of what is there at each of ``n`` steps."""
    change = np.zeros(n + 1, dtype=np.int64)
    np.add.at(change, low, size)
    np.subtract.at(change, high, size)
    found: IntArray = np.cumsum(change)[:n]
    return found


def address_axis(used: int, limit: int | None, label: str, others: Iterable[int] = ()) -> Axis:
    """Return the axis of bytes from 0 (or below, in a plan that is wrong) to what is drawn.

    Parameters
    ----------
    used : int
        Highest byte in use.
    limit : int or None
        A capacity, on the axis unless it is `FAR` above everything else.
    label : str
    others : ints
        Further values that belong on it.
    """
    high = max(used, *others, 0)
    if limit is not None and not is_far(high, limit):
        high = max(high, limit)
    return Axis(label, 0.0, max(1.0, high * MARGIN), "bytes")


def is_far(used: int, limit: int) -> bool:
    """Whether a capacity is so far above what is used that it is left out of a picture."""
    return limit > FAR * max(used, 1)


def limit_rule(limit: int | None, axis: Axis) -> tuple[Rule, ...]:
    """Return the line of a capacity, where it is on the axis."""
    if limit is None or limit > axis.high:
        return ()
    return (Rule("capacity", "limit", "y", float(limit)),)


def limit_note(limit: int | None, axis: Axis) -> str:
    """Return a remark on a capacity that is not on the axis."""
    if limit is None or limit <= axis.high:
        return ""
    return f"The capacity, {words(limit, 'bytes')}, is far above what is drawn."


def span_words(start: int, stop: int, what: str = "step") -> str:
    """Return half-open steps in words.

    >>> span_words(3, 4), span_words(3, 8)
    ('step 3', 'steps 3 to 7')
    """
    return f"{what} {start}" if stop - start == 1 else f"{what}s {start} to {stop - 1}"
