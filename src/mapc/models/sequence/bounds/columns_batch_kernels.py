"""What the groups of a micro-batch collect together, each long sequence no oftener than there is.

Arrays as in `columns_kernels` and `columns_groups_kernels`; ``SCRATCH`` is what `offers` finds for
a cell: hulls, sizes, plain, value, partner, items.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.sequence.bounds.columns_groups_kernels import (
    BIG,
    COUNT,
    DEGREE,
    FIXED,
    PACE,
    ROOM,
    TIME,
    TOP,
    Floats,
    Ints,
    content,
    offers,
)

Scratch = tuple[Ints, Ints, Floats, Floats, Ints, Ints]

SCRATCH = (
    "Tuple((int64[:,::1], int64[::1], float64[:,::1], float64[:,:,::1], int64[:,:,::1],"
    " int64[::1]))"
)
TRIES = 40
"""Prices of a rank tried at most; the least is exact after a few."""
ASIDE = 1e-9
"""Relative distance of prices on either side of the best one."""


@kernel("void(float64[::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64, int64[:,::1])")
def limit(
    edge: Floats, times: Floats, modes: Floats, bounds: Ints, first: int, limits: Ints
) -> None:
    """Set the limits of a cell with ends ``edge``; classes before ``first`` are never whole."""
    for j in range(modes.shape[1]):
        left = edge[1] - modes[FIXED, j]
        top = np.searchsorted(times[TIME, j], left, side="right")
        third = np.searchsorted(times[TIME, j], left / 3.0, side="right")
        limits[TOP, j] = min(top, bounds[TOP, j])
        limits[BIG, j] = min(max(first, min(third, bounds[BIG, j])), limits[TOP, j])


@kernel("float64(int64, float64[::1], float64[:,::1])")
def most(n_ranks: int, amount: Floats, modes: Floats) -> float:
    """Return the most that all groups of a micro-batch collect, from what one of each mode does.

    Blocks of 2**i ranks hold a group or two smaller blocks; N ranks are those of its digits.
    """
    block, total, size = 0.0, 0.0, 1
    while size <= n_ranks:
        block *= 2.0
        for j in range(len(amount)):
            if modes[DEGREE, j] == size:
                block = max(block, amount[j])
        if n_ranks & size:
            total += block
        size *= 2
    return total


@kernel(
    "int64(float64, float64[::1], float64[:,::1], int64, int64[::1], float64[:,::1],"
    " float64[::1], int64[::1])"
)
def choose(
    rank: float,
    count: Floats,
    value: Floats,
    n_items: int,
    items: Ints,
    modes: Floats,
    total: Floats,
    mode: Ints,
) -> int:
    """Choose the best mode for every item, -1 for none, where a rank costs so much.

    ``value`` float64[U, D] is that of one end. ``total`` float64[2] gets the ranks that are taken
    and what is collected beyond their price. Returns how many items have a mode.
    """
    total[0] = total[1] = 0.0
    n = 0
    for i in range(n_items):
        k, most = items[i], 0.0
        mode[i] = -1
        for j in range(value.shape[1]):
            v = value[k, j] - modes[DEGREE, j] * rank
            if v > most:
                most, mode[i] = v, j
        if mode[i] >= 0:
            n += 1
            total[0] += count[k] * modes[DEGREE, mode[i]]
            total[1] += count[k] * most
    return n


@kernel(
    "UniTuple(float64, 2)(int64, float64[::1], float64[::1], float64[:,::1], int64, int64[::1],"
    " float64[:,::1], int64[::1])"
)
def together(
    n_ranks: int,
    count: Floats,
    plain: Floats,
    value: Floats,
    n_items: int,
    items: Ints,
    modes: Floats,
    mode: Ints,
) -> tuple[float, float]:
    """Return the most that groups collect, no sequence in two of them, and a rank's price.

    The least of N w + sum over k of n_k max over j of max(0, v_kj - d_j w) over w, not below what
    groups without long sequences collect per rank; ``plain`` float64[D] and ``value`` float64[U, D]
    are those of one end. It is convex in w: lines at both sides meet at the next one.
    """
    total = np.zeros(2)
    low, high = 0.0, 0.0
    for j in range(len(plain)):
        low = max(low, plain[j] / modes[DEGREE, j])
        for i in range(n_items):
            high = max(high, value[items[i], j] / modes[DEGREE, j])
    choose(low, count, value, n_items, items, modes, total, mode)
    at_low, slope = n_ranks * low + total[1], n_ranks - total[0]
    if slope >= 0.0 or high <= low:
        return at_low, low
    best, price = at_low, low
    at_high, rising = n_ranks * high, float(n_ranks)
    if at_high < best:
        best, price = at_high, high
    for _ in range(TRIES):
        w = (at_high - at_low + slope * low - rising * high) / (slope - rising)
        if not low < w < high:
            break
        choose(w, count, value, n_items, items, modes, total, mode)
        v = n_ranks * w + total[1]
        if v < best:
            best, price = v, w
        if v <= at_low + slope * (w - low) + 1e-12 * abs(v):
            break
        if total[0] > n_ranks:
            low, at_low, slope = w, v, n_ranks - total[0]
        else:
            high, at_high, rising = w, v, n_ranks - total[0]
    return best, price


@kernel(
    "Tuple((float64, int64))(int64, float64[::1], int64[:,::1], float64[:,::1], float64[:,:,::1],"
    f" float64[:,::1], float64[::1], float64[::1], {SCRATCH}, int64[::1])"
)
def lasting(
    n_ranks: int,
    edge: Floats,
    limits: Ints,
    classes: Floats,
    times: Floats,
    modes: Floats,
    price: Floats,
    worth: Floats,
    scratch: Scratch,
    mode: Ints,
) -> tuple[float, int]:
    """Return the least of makespan less what is collected in a cell, and at which of its ends."""
    hulls, sizes, plain, value, partner, items = scratch
    n_items = offers(
        n_ranks, edge, limits, classes, times, modes, price, worth,
        hulls, sizes, plain, value, partner, items,
    )  # fmt: skip
    least, side = np.inf, 0
    for end in range(2):
        collected, _ = together(
            n_ranks, classes[COUNT], plain[end], value[end], n_items, items, modes, mode
        )
        if edge[end] - collected <= least:
            least, side = edge[end] - collected, end
    if n_ranks & (n_ranks - 1):
        # no two blocks of a size: that may be less where groups are few
        single, other = np.zeros(modes.shape[1]), np.inf
        for end in range(2):
            for j in range(len(single)):
                single[j] = plain[end, j]
                for i in range(n_items):
                    single[j] = max(single[j], value[end, items[i], j])
            other = min(other, edge[end] - most(n_ranks, single, modes))
        least = max(least, other)
    return least, side


@kernel(
    "void(float64, int64, float64, float64[:,::1], float64[:,:,::1], float64[:,::1],"
    f" float64[::1], {SCRATCH}, int64[::1], float64[::1])"
)
def put(
    part: float,
    n_items: int,
    last: float,
    classes: Floats,
    times: Floats,
    modes: Floats,
    worth: Floats,
    scratch: Scratch,
    mode: Ints,
    given: Floats,
) -> None:
    """Add the groups that `choose` chose, ``part`` of each, to ``given``; they last so long."""
    hulls, sizes, _, _, partner, items = scratch
    for i in range(n_items):
        j, k = mode[i], items[i]
        if j >= 0:
            content(
                part * classes[COUNT, k], j, last - modes[FIXED, j], modes[ROOM, j], k,
                partner[1, k, j], classes, times[TIME, j], times[PACE, j], worth,
                sizes[j], hulls[j], given,
            )  # fmt: skip


@kernel(
    "float64(int64, float64[::1], int64[:,::1], float64[:,::1], float64[:,:,::1],"
    f" float64[:,::1], float64[::1], float64[::1], {SCRATCH}, int64[::1], float64[::1])"
)
def best_column(
    n_ranks: int,
    edge: Floats,
    limits: Ints,
    classes: Floats,
    times: Floats,
    modes: Floats,
    price: Floats,
    worth: Floats,
    scratch: Scratch,
    mode: Ints,
    given: Floats,
) -> float:
    """Put the sequences of the best micro-batch that lasts as long as a cell into ``given``.

    Returns its makespan: where the cell ends, for there nothing is taken too large. Its groups
    solve the linear program whose dual `together` solves: those chosen at a price of a rank just
    below the best one take too many ranks, those just above too few, and it is a mixture.
    """
    hulls, sizes, plain, value, partner, items = scratch
    n_items = offers(
        n_ranks, edge, limits, classes, times, modes, price, worth,
        hulls, sizes, plain, value, partner, items,
    )  # fmt: skip
    count, last = classes[COUNT], edge[1]
    _, rank = together(n_ranks, count, plain[1], value[1], n_items, items, modes, mode)
    dense, filler = 0.0, -1
    for j in range(modes.shape[1]):
        if plain[1, j] > dense * modes[DEGREE, j]:
            dense, filler = plain[1, j] / modes[DEGREE, j], j
    low, high = max(dense, rank * (1.0 - ASIDE)), rank * (1.0 + ASIDE)
    below, above = np.zeros(2), np.zeros(2)
    choose(low, count, value[1], n_items, items, modes, below, mode)
    choose(high, count, value[1], n_items, items, modes, above, mode)
    part = 0.0
    if below[0] > above[0]:
        part = min(1.0, max(0.0, (n_ranks - above[0]) / (below[0] - above[0])))
    used = part * below[0] + (1.0 - part) * above[0]
    shrink = min(1.0, n_ranks / max(used, 1.0))
    given[:] = 0.0
    put((1.0 - part) * shrink, n_items, last, classes, times, modes, worth, scratch, mode, given)
    if part > 0.0:
        choose(low, count, value[1], n_items, items, modes, below, mode)
        put(part * shrink, n_items, last, classes, times, modes, worth, scratch, mode, given)
    if used < n_ranks and filler >= 0:
        j = filler
        content(
            (n_ranks - used) / modes[DEGREE, j], j, last - modes[FIXED, j], modes[ROOM, j], -1, -1,
            classes, times[TIME, j], times[PACE, j], worth, sizes[j], hulls[j], given,
        )  # fmt: skip
    return float(last)
