"""What does not move: buffers whose addresses are given, and ranges of addresses kept free.

Both are rectangles of time and memory, rows ``(lower, upper, base, top)`` of int64[k, 4], half-open
on both axes, which buffers have to stay off.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray

NONE: IntArray = np.zeros((0, 4), dtype=np.int64)
"""No rectangle."""


def meeting(one: IntArray, others: IntArray) -> IntArray:
    """Return the indices of those rectangles that share a point with one, int64[4]."""
    lower, upper, base, top = one.tolist()
    in_time = (others[:, 0] < upper) & (lower < others[:, 1])
    return np.flatnonzero(in_time & (others[:, 2] < top) & (base < others[:, 3]))


def first_clash(rows: IntArray) -> tuple[int, int] | None:
    """Return two rectangles that are not disjoint, or None."""
    for i in range(len(rows)):
        clash = meeting(rows[i], rows[:i])
        if len(clash):
            return int(clash[0]), i
    return None


def disjoint(rows: IntArray, alignment: int = 1) -> IntArray:
    """Return disjoint rectangles that cover the same points, rounded outwards to the alignment.

    A buffer that begins at a multiple of the alignment and occupies a multiple of it covers a part
    of such a cell of memory only if it covers all of it: rounding outwards forbids nothing new.
    """
    if not len(rows):
        return rows
    base = rows[:, 2] // alignment * alignment
    top = -(-rows[:, 3] // alignment) * alignment
    times = np.unique(rows[:, :2])
    made: list[tuple[int, int, int, int]] = []
    since: dict[tuple[int, int], int] = {}  # ranges that are open, and from when
    for time in times.tolist():
        active = (rows[:, 0] <= time) & (time < rows[:, 1])
        now = _union(base[active], top[active])
        for one, begin in list(since.items()):
            if one not in now:
                made.append((begin, time, *one))
                del since[one]
        for one in now:
            since.setdefault(one, time)
    return np.array(made, dtype=np.int64).reshape(-1, 4)


def _union(base: IntArray, top: IntArray) -> set[tuple[int, int]]:
    """Merge ranges that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(zip(base.tolist(), top.tolist(), strict=True)):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return set(merged)
