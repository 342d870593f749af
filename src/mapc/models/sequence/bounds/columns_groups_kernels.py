"""What one group of ranks collects: whole sequences, and a fluid of short ones beside them.

Arrays as in `columns_kernels`, and for one cell of makespans:

* ``hulls`` int64[D, U + 1] and ``sizes`` int64[D]: corners of the fluid of every mode.
* ``plain`` float64[2, D]: what a group without whole sequences collects at either end of the cell.
* ``value`` float64[2, U, D]: what one collects whose longest whole sequence is of class k;
  ``partner`` int64[2, U, D]: the second one, -1 for none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

COUNT, TOKENS = 0, 1
TIME, PACE = 0, 1
DEGREE, FIXED, ROOM = 0, 1, 2
TOP, BIG = 0, 1

LONGEST = 16
"""Classes whose modes are kept of columns, the longest ones."""


@kernel("int64(int64, float64[::1], float64[::1], int64[::1])")
def envelope(n: int, pace: Floats, worth: Floats, hull: Ints) -> int:
    """Find corners of the least concave curve from (0, 0) on that no (pace, worth) is above.

    Of the first n classes; only rising parts count. Returns how many corners, by increasing pace.
    """
    size = 0
    for k in range(n):
        p, u = pace[k], worth[k]
        if u <= 0.0 or (size and u <= worth[hull[size - 1]]):
            continue
        while size:
            last = hull[size - 1]
            x = pace[hull[size - 2]] if size > 1 else 0.0
            y = worth[hull[size - 2]] if size > 1 else 0.0
            if (worth[last] - y) * (p - x) > (u - y) * (pace[last] - x):
                break
            size -= 1
        hull[size] = k
        size += 1
    return size


@kernel("int64(float64, float64, int64, float64[::1], int64[::1])")
def corner(left: float, room: float, size: int, pace: Floats, hull: Ints) -> int:
    """Return the first corner that runs out of time (ticks left) before memory (tokens of room)."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if pace[hull[middle]] * room > left:
            high = middle
        else:
            low = middle + 1
    return low


@kernel("UniTuple(float64, 2)(float64, float64, int64, float64[::1], float64[::1], int64[::1])")
def fill(
    left: float, room: float, size: int, pace: Floats, worth: Floats, hull: Ints
) -> tuple[float, float]:
    """Return the most that a fluid collects in time and memory left, and what a tick more adds."""
    if size == 0:
        return 0.0, 0.0
    at = corner(left, room, size, pace, hull)
    if at == size:
        return room * worth[hull[size - 1]], 0.0
    x, y = 0.0, 0.0
    if at:
        x, y = pace[hull[at - 1]], worth[hull[at - 1]]
    slope = (worth[hull[at]] - y) / (pace[hull[at]] - x)
    return room * y + slope * (left - room * x), slope


@kernel(
    "void(int64, int64, int64, float64, float64, float64, float64, float64, float64, float64,"
    " float64, float64, float64[:,::1], float64[::1], float64[::1], float64[::1], float64[::1],"
    " int64, int64[::1], float64[::1], float64[:,:,::1], int64[:,:,::1])"
)
def pair(
    top: int,
    big: int,
    j: int,
    left: float,
    room: float,
    narrow: float,
    slope: float,
    level: float,
    early: float,
    plain: float,
    least0: float,
    least1: float,
    classes: Floats,
    time: Floats,
    pace: Floats,
    price: Floats,
    worth: Floats,
    size: int,
    hull: Ints,
    over: Floats,
    value: Floats,
    partner: Ints,
) -> None:
    """Find the best partner of every whole sequence in a group of mode j, where worth a look.

    Choices are passed over if not above ``least0`` and ``least1`` by the line that the fluid
    touches, with ``slope`` per tick and ``level`` per token; that is ``early`` and ``plain``
    without whole sequences. ``over`` float64[U] is used.
    """
    for k in range(big, top):
        over[k] = price[k] - slope * time[k] - level * classes[TOKENS, k]
    second = big  # classes below fit beside k
    for k in range(top - 1, big - 1, -1):
        t, s = time[k], classes[TOKENS, k]
        while second < top and time[second] + t <= left and classes[TOKENS, second] + s <= room:
            second += 1
        best0, best1 = 0.0, 0.0
        for other in range(big - 1, min(second, k + 1)):  # the first stands for none
            ticks, tokens, worthy, above = t, s, price[k], over[k]
            if other >= big:
                if other == k and classes[COUNT, k] < 2.0:
                    continue
                above += over[other]
            if plain + above <= max(best1, least1) and early + above <= max(best0, least0):
                continue
            if other >= big:
                ticks += time[other]
                tokens += classes[TOKENS, other]
                worthy += price[other]
            more, rise = fill(left - ticks, room - tokens, size, pace, worth, hull)
            worthy += more
            chosen = other if other >= big else -1
            if worthy > best1:
                best1, partner[1, k, j] = worthy, chosen
            worthy -= rise * narrow
            if worthy > best0:
                best0, partner[0, k, j] = worthy, chosen
        value[0, k, j], value[1, k, j] = best0, best1


@kernel(
    "int64(int64, float64[::1], int64[:,::1], float64[:,::1], float64[:,:,::1], float64[:,::1],"
    " float64[::1], float64[::1], int64[:,::1], int64[::1], float64[:,::1], float64[:,:,::1],"
    " int64[:,:,::1], int64[::1])"
)
def offers(
    n_ranks: int,
    edge: Floats,
    limits: Ints,
    classes: Floats,
    times: Floats,
    modes: Floats,
    price: Floats,
    worth: Floats,
    hulls: Ints,
    sizes: Ints,
    plain: Floats,
    value: Floats,
    partner: Ints,
    items: Ints,
) -> int:
    """Find what groups collect in the cell with ends ``edge``, from tangents at the latter.

    ``limits`` int64[2, D] are those of the cell. ``items`` int64[U] gets the classes worth a look:
    where a group may be more than any fluid in its ranks is, or, as blocks of ranks that are no
    power of two need not be filled, than its own fluid. Returns how many.
    """
    n_modes, n_classes = modes.shape[1], classes.shape[1]
    narrow, lowest = edge[1] - edge[0], n_classes
    slope, level = np.zeros(n_modes), np.zeros(n_modes)
    early, dense0, dense1 = np.zeros(n_modes), 0.0, 0.0
    for j in range(n_modes):
        plain[0, j] = plain[1, j] = 0.0
        sizes[j] = 0
        if limits[TOP, j] == 0 or modes[DEGREE, j] > n_ranks:
            continue
        left, room = edge[1] - modes[FIXED, j], modes[ROOM, j]
        sizes[j] = envelope(limits[BIG, j], times[PACE, j], worth, hulls[j])
        plain[1, j], slope[j] = fill(left, room, sizes[j], times[PACE, j], worth, hulls[j])
        early[j] = plain[1, j] - slope[j] * narrow
        plain[0, j] = max(0.0, early[j])
        # the line that the fluid touches
        level[j] = (plain[1, j] - slope[j] * left) / room
        dense0 = max(dense0, plain[0, j] / modes[DEGREE, j])
        dense1 = max(dense1, plain[1, j] / modes[DEGREE, j])
        lowest = min(lowest, limits[BIG, j])
    for k in range(lowest, n_classes):
        for j in range(n_modes):
            value[0, k, j] = value[1, k, j] = 0.0
    over = np.zeros(n_classes)
    least0, least1 = np.zeros(n_modes), np.zeros(n_modes)
    for j in range(n_modes):
        least0[j], least1[j] = plain[0, j], plain[1, j]
        if n_ranks & (n_ranks - 1) == 0:
            least0[j], least1[j] = modes[DEGREE, j] * dense0, modes[DEGREE, j] * dense1
        if limits[TOP, j] == 0 or modes[DEGREE, j] > n_ranks:
            continue
        pair(
            limits[TOP, j], limits[BIG, j], j,
            edge[1] - modes[FIXED, j], modes[ROOM, j], narrow, slope[j], level[j],
            early[j], plain[1, j], least0[j], least1[j],
            classes, times[TIME, j], times[PACE, j], price, worth, sizes[j], hulls[j],
            over, value, partner,
        )  # fmt: skip
    n_items = 0
    for k in range(lowest, n_classes):
        for j in range(n_modes):
            if value[0, k, j] > least0[j] or value[1, k, j] > least1[j]:
                items[n_items] = k
                n_items += 1
                break
    return n_items


@kernel("void(float64, int64, int64, int64, float64[::1])")
def give(amount: float, k: int, j: int, n_classes: int, given: Floats) -> None:
    """Add an amount of class k in groups of mode j."""
    given[k] += amount
    turn = n_classes - 1 - k
    if turn < LONGEST:
        given[n_classes + j * LONGEST + turn] += amount


@kernel(
    "void(float64, int64, float64, float64, int64, int64, float64[:,::1], float64[::1],"
    " float64[::1], float64[::1], int64, int64[::1], float64[::1])"
)
def content(
    copies: float,
    j: int,
    left: float,
    room: float,
    first: int,
    second: int,
    classes: Floats,
    time: Floats,
    pace: Floats,
    worth: Floats,
    size: int,
    hull: Ints,
    given: Floats,
) -> None:
    """Add the sequences of groups with these whole ones, -1 for none, to ``given``.

    That is float64[U + D * `LONGEST`]: of every class, then of the longest in groups of mode j.
    """
    n = classes.shape[1]
    for k in (first, second):
        if k >= 0:
            give(copies, k, j, n, given)
            left -= time[k]
            room -= classes[TOKENS, k]
    if size == 0 or left <= 0.0 or room <= 0.0:
        return
    at = corner(left, room, size, pace, hull)
    if at == size:
        k = hull[size - 1]
        give(copies * room / classes[TOKENS, k], k, j, n, given)
        return
    k = hull[at]
    tokens = left / pace[k]
    if at:
        before = hull[at - 1]
        tokens = (left - room * pace[before]) / (pace[k] - pace[before])
        give(copies * (room - tokens) / classes[TOKENS, before], before, j, n, given)
    give(copies * tokens / classes[TOKENS, k], k, j, n, given)
