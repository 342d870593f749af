"""How buffers overlap in time: independent parts, maximal cliques, the unit of addresses.

Arrays are those of an allocation problem: half-open lifetimes ``[lower, upper)`` and sizes already
rounded up to the alignment, all int64[n].
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray


def address_unit(padded: IntArray, alignment: int = 1) -> int:
    """Return the bytes in whose multiples addresses may be counted without losing a placement.

    Pushed down as far as it goes, every buffer of a placement rests on the floor or on another
    buffer, so its address is a sum of sizes: a multiple of their greatest common divisor, and, as
    padded sizes are, of the alignment. Pushing down raises no peak.
    """
    return int(np.gcd.reduce(padded)) or alignment


def components(lower: IntArray, upper: IntArray) -> list[IntArray]:
    """Split buffers into parts that no time connects, in order of time.

    Returns
    -------
    list of int64[k]
        Buffer indices, ascending within a part. A placement is one of each part.
    """
    if not len(lower):
        return []
    order = np.argsort(lower, kind="stable")
    reached = np.maximum.accumulate(upper[order])
    cut = np.flatnonzero(lower[order][1:] >= reached[:-1]) + 1
    return [np.sort(part) for part in np.split(order, cut)]


def clique_times(lower: IntArray, upper: IntArray) -> IntArray:
    """Return one time in every maximal set of buffers alive together, ascending.

    The live set is maximal where a buffer has just begun and one ends before the next begins.
    """
    begins, ends = np.unique(lower), np.unique(upper)
    if not len(begins):
        return begins
    next_end = ends[np.searchsorted(ends, begins, side="right")]
    last = np.ones(len(begins), dtype=np.bool_)
    last[:-1] = next_end[:-1] <= begins[1:]
    return begins[last]


def alive(lower: IntArray, upper: IntArray, times: IntArray) -> BoolArray:
    """bool[t, n]: whether a buffer is alive at a time."""
    return (lower <= times[:, None]) & (times[:, None] < upper)


def overlap_matrix(lower: IntArray, upper: IntArray) -> BoolArray:
    """bool[n, n]: whether two different buffers are alive at one time."""
    matrix = (lower[:, None] < upper) & (lower < upper[:, None])
    np.fill_diagonal(matrix, False)
    return matrix


def load_of(lower: IntArray, upper: IntArray, padded: IntArray) -> int:
    """Return the most bytes alive at one time."""
    points, index = np.unique(np.concatenate([lower, upper]), return_inverse=True)
    change = np.zeros(len(points), dtype=np.int64)
    np.add.at(change, index, np.concatenate([padded, -padded]))
    return int(np.cumsum(change).max(initial=0))


def peak_of(offset: IntArray, padded: IntArray) -> int:
    """Return the highest top; empty buffers have none, wherever their addresses are."""
    return int((offset + padded).max(initial=0, where=padded > 0))
