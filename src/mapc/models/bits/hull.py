"""Lower convex hulls of (cost, loss) for all groups at once, in exact integers.

An option above its group's hull, where a mix of two others is as cheap and better, is never chosen
by a linear relaxation. The hull is found by peeling: an option goes when a
cheaper one is as good, or when it lies on or above the chord between its two neighbours. Such an
option is no vertex whatever else is removed with it, and a vertex is never removed, so all groups
peel at the same time; a round costs one pass over the groups that still change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray, Ragged

_SURE = 2.0**-50
"""Relative difference of two float64 products of int64 factors that settles which is larger.

Each factor is rounded once (2**-53 relative) and so is the product: less than 2**-51 in all.
"""
_PADDING = 4
"""Sort padded rows while they hold at most this many times the options."""


def compare_products(a: IntArray, b: IntArray, c: IntArray, d: IntArray) -> IntArray:
    """Return the sign of ``a * b - c * d``, exactly.

    Parameters
    ----------
    a, b, c, d : int64[n]
        All >= 0; any size up to ``2**63 - 1``.

    Returns
    -------
    int64[n]
        -1, 0 or 1.
    """
    left, right = a.astype(np.float64) * b, c.astype(np.float64) * d
    difference = left - right
    sign = np.sign(difference).astype(np.int64)
    close = np.flatnonzero(np.abs(difference) <= _SURE * np.maximum(left, right))
    if len(close):
        high, low = _product(a[close], b[close])
        other_high, other_low = _product(c[close], d[close])
        above = (high > other_high) | ((high == other_high) & (low > other_low))
        equal = (high == other_high) & (low == other_low)
        sign[close] = np.where(equal, 0, np.where(above, 1, -1))
    return sign


def _product(a: IntArray, b: IntArray) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the upper and lower 64 bits of ``a * b``, by halves of 32 bits.

    With a, b < 2**63 the two mixed terms and the carry sum to less than 2**64.
    """
    half, mask = np.uint64(32), np.uint64(2**32 - 1)
    a_high, a_low = a.astype(np.uint64) >> half, a.astype(np.uint64) & mask
    b_high, b_low = b.astype(np.uint64) >> half, b.astype(np.uint64) & mask
    low = a_low * b_low
    middle = a_high * b_low + a_low * b_high + (low >> half)
    return a_high * b_high + (middle >> half), (middle << half) | (low & mask)


def lower_hull(start: IntArray, cost: IntArray, quanta: IntArray) -> Ragged:
    """Return the options on the lower convex hull of every group.

    Parameters
    ----------
    start : int64[n + 1]
        Options of group ``i`` are ``start[i]`` to ``start[i + 1] - 1``; at least one each.
    cost, quanta : int64[m]
        Cost and loss of each option, >= 0.

    Returns
    -------
    Ragged
        Row ``i``: indices of options, by rising cost, falling quanta and strictly falling loss
        saved per cost. It begins with the best of the cheapest options and ends with the cheapest
        of the best. Of options with equal cost and quanta the first stands; options on an edge of
        the hull do not.
    """
    n = len(start) - 1
    order = _by_cost(start, cost)
    group = np.repeat(np.arange(n, dtype=np.int64), np.diff(start))
    keep = np.ones(len(order), dtype=np.bool_)
    active = np.arange(len(order), dtype=np.int64)
    for mark in (_useless, _on_chord):
        active = np.flatnonzero(keep)
        while len(active):
            gone = mark(group[active], cost[order[active]], quanta[order[active]])
            keep[active[gone]] = False
            changed = np.zeros(n, dtype=np.bool_)
            changed[group[active[gone]]] = True
            active = active[~gone & changed[group[active]]]
    rows = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(group[keep], minlength=n), out=rows[1:])
    return Ragged(rows, order[keep])


def _by_cost(start: IntArray, cost: IntArray) -> IntArray:
    """Return the options, group after group, by rising cost within each; stable."""
    m, lengths = len(cost), np.diff(start)
    falls = np.flatnonzero(cost[1:] < cost[:-1]) + 1
    first = np.zeros(m + 1, dtype=np.bool_)
    first[start] = True
    if first[falls].all():
        return np.arange(m, dtype=np.int64)
    width = int(lengths.max())
    if len(lengths) * width > _PADDING * m:
        return np.lexsort((cost, np.repeat(np.arange(len(lengths)), lengths))).astype(np.int64)
    filled = np.arange(width) < lengths[:, None]
    padded = np.full(filled.shape, np.iinfo(np.int64).max)
    padded[filled] = cost
    rows = np.argsort(padded, axis=1, kind="stable")
    return (rows + start[:-1, None])[filled].astype(np.int64)


def _useless(group: IntArray, cost: IntArray, quanta: IntArray) -> BoolArray:
    """Mark options next to one of their group that costs no more and loses no more."""
    together = group[1:] == group[:-1]
    better = quanta[1:] < quanta[:-1]
    gone = np.zeros(len(group), dtype=np.bool_)
    gone[1:] = together & ~better
    gone[:-1] |= together & better & (cost[1:] == cost[:-1])
    return gone


def _on_chord(group: IntArray, cost: IntArray, quanta: IntArray) -> BoolArray:
    """Mark options on or above the chord between their two neighbours in the group."""
    inner = np.flatnonzero(group[2:] == group[:-2]) + 1
    gain, price = quanta[:-1] - quanta[1:], cost[1:] - cost[:-1]
    late = compare_products(gain[inner], price[inner - 1], gain[inner - 1], price[inner])
    gone = np.zeros(len(group), dtype=np.bool_)
    gone[inner] = late >= 0
    return gone
