"""Prices of micro-batches and the linear program over them: the inner loops of `columns`.

Arrays all kernels share; classes stand by increasing tokens, times are ticks in float64:

* ``classes`` float64[3, U]: sequences of a class, padded tokens of one, and its highest price.
* ``times`` float64[2, D, U]: ticks of one, and ticks per token, neither falling along U.
* ``modes`` float64[3, D]: ranks, fixed ticks and tokens of a group.
* ``edge`` float64[C, 2]: the least and the most makespan of each cell; no cell is partly in a box.
* ``limits`` int64[2, C, D]: classes below the first fit a group of the cell, those from the second
  on are whole in it, those below the second are a fluid.
* ``bounds`` int64[2, D]: classes below the first fit the memory of a group, those from the second
  on are whole in it by memory.
* ``box`` float64[2, q]: the least and the most makespan of every micro-batch.
* ``price`` and ``worth`` float64[U]: ticks paid for a sequence, and per token of it.
* ``hull`` int64[U + 1]: corners of a concave curve.
* ``amount`` float64[C, 2, D]: what a group collects at either end of a cell; ``chosen``
  int64[C, 2, D, 2]: the whole sequences it has then, -1 for none.
* ``inverse`` float64[R, R], ``dual`` and ``share`` float64[R]: the basis of the program with rows
  for classes and then for micro-batches, and its dual and primal solution.
* ``basic`` float64[2, R]: makespan and micro-batch of the columns in the basis, -1 for neither.
* ``pool`` float64[P, R + 1]: columns, makespan last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

COUNT, TOKENS, HIGHEST = 0, 1, 2
TIME, PACE = 0, 1
DEGREE, FIXED, ROOM = 0, 1, 2
TOP, BIG = 0, 1
MAKESPAN, BATCH = 0, 1

POOL = 512
"""Columns kept."""
PIVOTS = 20
"""Columns that enter between two pricings at most."""
KEPT = 0.3
"""Part of the best prices in those of the next round (Wentges 1997)."""
FINE = 5e-4
"""Relative width below which cells are not halved."""
CLOSE = 1e-4
"""Part of the target by which program and bound may differ in the end."""


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
    "void(int64, int64, float64, float64, float64, float64[:,::1], float64[::1], float64[::1],"
    " float64[::1], float64[::1], int64[::1], float64[::1], int64[:,::1])"
)
def group(
    top: int,
    big: int,
    left: float,
    room: float,
    narrow: float,
    classes: Floats,
    time: Floats,
    pace: Floats,
    price: Floats,
    worth: Floats,
    hull: Ints,
    best: Floats,
    chosen: Ints,
) -> None:
    """Find the most a group collects with ``left - narrow`` ticks, and with ``left``.

    ``best`` float64[2] gets both, the former from tangents at the latter; ``chosen`` int64[2, 2].
    A group has two whole sequences at most: larger than a third of it in time, or all in memory.
    """
    size = envelope(big, pace, worth, hull)
    plain, slope = fill(left, room, size, pace, worth, hull)
    early = plain - slope * narrow
    best[0], best[1] = early, plain
    chosen[0, 0] = chosen[0, 1] = chosen[1, 0] = chosen[1, 1] = -1
    # the line that the fluid touches: only what is above it can be better
    level = (plain - slope * left) / room
    partner = big  # classes below fit beside k
    for k in range(top - 1, big - 1, -1):
        t, s = time[k], classes[TOKENS, k]
        above = price[k] - slope * t - level * s
        while partner < top and time[partner] + t <= left and classes[TOKENS, partner] + s <= room:
            partner += 1
        for other in range(big - 1, min(partner, k + 1)):  # the first stands for none
            ticks, tokens, value, over = t, s, price[k], above
            if other >= big:
                if other == k and classes[COUNT, k] < 2.0:
                    continue
                ticks += time[other]
                tokens += classes[TOKENS, other]
                value += price[other]
                over += price[other] - slope * time[other] - level * classes[TOKENS, other]
            if plain + over <= best[1] and early + over <= best[0]:
                continue
            more, rise = fill(left - ticks, room - tokens, size, pace, worth, hull)
            value += more
            second = other if other >= big else -1
            if value > best[1]:
                best[1], chosen[1, 0], chosen[1, 1] = value, k, second
            value -= rise * narrow
            if value > best[0]:
                best[0], chosen[0, 0], chosen[0, 1] = value, k, second


@kernel(
    "void(float64, int64, float64, float64, int64[::1], float64[:,::1], float64[::1],"
    " float64[::1], float64[::1], int64[::1], float64[::1])"
)
def content(
    copies: float,
    big: int,
    left: float,
    room: float,
    whole: Ints,
    classes: Floats,
    time: Floats,
    pace: Floats,
    worth: Floats,
    hull: Ints,
    given: Floats,
) -> None:
    """Put into ``given`` float64[U] or more the sequences of groups with these whole ones."""
    given[:] = 0.0
    for k in whole:
        if k >= 0:
            given[k] += copies
            left -= time[k]
            room -= classes[TOKENS, k]
    size = envelope(big, pace, worth, hull)
    if size == 0 or left <= 0.0 or room <= 0.0:
        return
    at = corner(left, room, size, pace, hull)
    if at == size:
        given[hull[size - 1]] += copies * room / classes[TOKENS, hull[size - 1]]
        return
    k = hull[at]
    tokens = left / pace[k]
    if at:
        before = hull[at - 1]
        tokens = (left - room * pace[before]) / (pace[k] - pace[before])
        given[before] += copies * (room - tokens) / classes[TOKENS, before]
    given[k] += copies * tokens / classes[TOKENS, k]


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
    "void(int64, float64[::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64,"
    " int64[:,:,::1])"
)
def limit(
    i: int, edge: Floats, times: Floats, modes: Floats, bounds: Ints, first: int, limits: Ints
) -> None:
    """Set the limits of cell i with ends ``edge``; classes before ``first`` are never whole."""
    for j in range(modes.shape[1]):
        left = edge[1] - modes[FIXED, j]
        top = np.searchsorted(times[TIME, j], left, side="right")
        third = np.searchsorted(times[TIME, j], left / 3.0, side="right")
        limits[TOP, i, j] = min(top, bounds[TOP, j])
        limits[BIG, i, j] = min(max(first, min(third, bounds[BIG, j])), limits[TOP, i, j])


@kernel("boolean(float64[::1], int64, float64[:,::1])")
def within(edge: Floats, m: int, box: Floats) -> bool:
    """Return whether micro-batch m may last as long as a cell."""
    return bool(edge[0] >= box[0, m] and edge[1] <= box[1, m])


@kernel(
    "int64(int64, float64[:,::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64,"
    " int64[:,:,::1], float64[:,::1], float64[::1])"
)
def refine(
    n_cells: int,
    edge: Floats,
    times: Floats,
    modes: Floats,
    bounds: Ints,
    first: int,
    limits: Ints,
    box: Floats,
    excess: Floats,
) -> int:
    """Halve the cell of least excess of every micro-batch, and return how many there are then."""
    for m in range(box.shape[1]):
        cell = -1
        for i in range(n_cells):
            if within(edge[i], m, box) and (cell < 0 or excess[i] < excess[cell]):
                cell = i
        # a cell just halved has no excess for its halves yet
        width = edge[cell, 1] - edge[cell, 0]
        if n_cells == len(edge) or width < max(1.0, FINE * edge[cell, 1]):
            continue
        middle = np.floor(0.5 * (edge[cell, 0] + edge[cell, 1]))
        edge[n_cells, 0], edge[n_cells, 1] = middle + 1.0, edge[cell, 1]
        edge[cell, 1] = middle
        excess[cell] = excess[n_cells] = np.inf
        for i in (cell, n_cells):
            limit(i, edge[i], times, modes, bounds, first, limits)
        n_cells += 1
    return n_cells


@kernel(
    "float64(int64, int64, float64[:,::1], float64[:,:,::1], float64[:,::1], float64[:,::1],"
    " int64[:,:,::1], float64[:,::1], float64[::1], float64[::1], int64[::1],"
    " float64[:,:,::1], int64[:,:,:,::1], float64[::1])"
)
def evaluate(
    n_cells: int,
    n_ranks: int,
    classes: Floats,
    times: Floats,
    modes: Floats,
    edge: Floats,
    limits: Ints,
    box: Floats,
    price: Floats,
    worth: Floats,
    hull: Ints,
    amount: Floats,
    chosen: Ints,
    excess: Floats,
) -> float:
    """Return the bound that prices prove, and what groups of the first cells collect.

    ``excess`` float64[C] gets the least makespan less what a micro-batch of it collects.
    """
    value = 0.0
    for k in range(len(price)):
        worth[k] = price[k] / classes[TOKENS, k]
        value += classes[COUNT, k] * price[k]
    best, found = np.zeros(2), np.zeros((2, 2), dtype=np.int64)
    for i in range(n_cells):
        for j in range(modes.shape[1]):
            best[0] = best[1] = 0.0
            found[0, 0] = found[0, 1] = found[1, 0] = found[1, 1] = -1
            if limits[TOP, i, j] and modes[DEGREE, j] <= n_ranks:
                group(
                    limits[TOP, i, j],
                    limits[BIG, i, j],
                    edge[i, 1] - modes[FIXED, j],
                    modes[ROOM, j],
                    edge[i, 1] - edge[i, 0],
                    classes,
                    times[TIME, j],
                    times[PACE, j],
                    price,
                    worth,
                    hull,
                    best,
                    found,
                )
            for end in range(2):
                amount[i, end, j] = max(0.0, best[end])
                chosen[i, end, j, 0], chosen[i, end, j, 1] = found[end, 0], found[end, 1]
        excess[i] = min(
            edge[i, 0] - most(n_ranks, amount[i, 0], modes),
            edge[i, 1] - most(n_ranks, amount[i, 1], modes),
        )
    for m in range(box.shape[1]):
        least = np.inf
        for i in range(n_cells):
            if within(edge[i], m, box):
                least = min(least, excess[i])
        value += least
    return value


@kernel(
    "int64(int64, int64, int64, float64[:,::1], float64[:,:,::1], float64[:,::1], float64[:,::1],"
    " int64[:,:,::1], float64[:,::1], float64[::1], int64[::1], float64[:,:,::1],"
    " int64[:,:,:,::1], float64[::1], float64[:,::1], float64)"
)
def gather(
    where: int,
    n_cells: int,
    n_ranks: int,
    classes: Floats,
    times: Floats,
    modes: Floats,
    edge: Floats,
    limits: Ints,
    box: Floats,
    worth: Floats,
    hull: Ints,
    amount: Floats,
    chosen: Ints,
    dual: Floats,
    pool: Floats,
    least: float,
) -> int:
    """Put into the pool, from number ``where`` on, the best column of each micro-batch and mode.

    Those whose reduced cost is below ``least``; returns how many.
    """
    n_classes, added = classes.shape[1], 0
    for m in range(box.shape[1]):
        for j in range(modes.shape[1]):
            if modes[DEGREE, j] > n_ranks:
                continue
            copies = n_ranks // np.int64(modes[DEGREE, j])
            lowest, cell, side = np.inf, -1, 0
            for i in range(n_cells):
                if not within(edge[i], m, box):
                    continue
                for end in range(2):
                    v = edge[i, end] - copies * amount[i, end, j]
                    if v < lowest:
                        lowest, cell, side = v, i, end
            column = pool[(where + added) % len(pool)]
            content(
                float(copies),
                limits[BIG, cell, j],
                edge[cell, side] - modes[FIXED, j],
                modes[ROOM, j],
                chosen[cell, side, j],
                classes,
                times[TIME, j],
                times[PACE, j],
                worth,
                hull,
                column,
            )
            column[n_classes + m] = 1.0
            column[-1] = edge[cell, side]
            reduced = column[-1]
            for r in range(len(dual)):
                reduced -= column[r] * dual[r]
            if reduced < least:
                added += 1
    return added


@kernel(
    "UniTuple(int64, 2)(float64, int64, float64[:,::1], float64[:,::1], float64[::1],"
    " float64[:,::1], float64[::1])"
)
def enter(
    least: float,
    filled: int,
    pool: Floats,
    classes: Floats,
    dual: Floats,
    inverse: Floats,
    column: Floats,
) -> tuple[int, int]:
    """Choose what enters the basis: kind and number; kind -1 if no reduced cost is below ``least``.

    Kind 0 is a column of the pool, 1 buys sequences at their highest price, 2 wastes them. Leaves
    the column in terms of the basis, and its reduced cost behind it: ``column`` float64[R + 1].
    """
    n_rows, n_classes = len(dual), classes.shape[1]
    kind, number = -1, -1
    for c in range(filled):
        v = pool[c, n_rows]
        for r in range(n_rows):
            v -= pool[c, r] * dual[r]
        if v < least:
            least, kind, number = v, 0, c
    for k in range(n_classes):
        # as many as there are, to compare with columns
        v = (classes[HIGHEST, k] - dual[k]) * classes[COUNT, k]
        if v < least:
            least, kind, number = v, 1, k
        v = dual[k] * classes[COUNT, k]
        if v < least:
            least, kind, number = v, 2, k
    column[:] = 0.0
    if kind == 0:
        for c in range(n_rows):
            v = pool[number, c]
            if v != 0.0:
                for r in range(n_rows):
                    column[r] += inverse[r, c] * v
    elif kind > 0:
        sign = 1.0 if kind == 1 else -1.0
        least /= classes[COUNT, number]
        for r in range(n_rows):
            column[r] = sign * inverse[r, number]
    column[n_rows] = least
    return kind, number


@kernel("int64(float64[::1], float64[:,::1], float64[::1], float64[::1])")
def pivot(column: Floats, inverse: Floats, share: Floats, dual: Floats) -> int:
    """Put the column into the basis and return the row it takes, -1 for none."""
    n, row, ratio = len(dual), -1, np.inf
    for r in range(n):
        if column[r] > 1e-9:
            v = max(share[r], 0.0) / column[r]
            if v < ratio or (v == ratio and column[r] > column[row]):
                row, ratio = r, v
    if row < 0:
        return row
    scale = 1.0 / column[row]
    for c in range(n):
        inverse[row, c] *= scale
        dual[c] += column[n] * inverse[row, c]
    share[row] *= scale
    for r in range(n):
        part = column[r]
        if r != row and part != 0.0:
            for c in range(n):
                inverse[r, c] -= part * inverse[row, c]
            share[r] -= part * share[row]
    return row


@kernel(
    "void(int64, float64[:,::1], float64[:,::1], float64[:,::1], float64[::1], float64[::1],"
    " float64[:,::1])"
)
def begin(
    n_classes: int,
    classes: Floats,
    box: Floats,
    inverse: Floats,
    dual: Floats,
    share: Floats,
    basic: Floats,
) -> None:
    """Set up the first basis: all is bought at the highest price, micro-batches are empty."""
    for r in range(len(dual)):
        inverse[r, r] = 1.0
        basic[MAKESPAN, r], basic[BATCH, r] = -1.0, -1.0
        if r < n_classes:
            dual[r], share[r] = classes[HIGHEST, r], classes[COUNT, r]
        else:
            dual[r], share[r] = box[0, r - n_classes], 1.0
            basic[MAKESPAN, r], basic[BATCH, r] = dual[r], float(r - n_classes)


@kernel("void(int64, float64[::1], float64[:,::1], float64[:,::1])")
def spread(q: int, share: Floats, basic: Floats, seen: Floats) -> None:
    """Find the mean makespan of every micro-batch and its mean distance: ``seen`` float64[2, q]."""
    seen[:, :] = 0.0
    for turn in range(2):
        for r in range(len(share)):
            m = int(basic[BATCH, r])
            if m >= 0:
                value = basic[MAKESPAN, r]
                seen[turn, m] += share[r] * (abs(value - seen[0, m]) if turn else value)


@kernel(
    "float64(int64, float64[:,::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64,"
    " float64[:,::1], float64[:,::1], int64, float64, float64[::1], float64[:,::1])"
)
def generate(
    n_ranks: int,
    classes: Floats,
    times: Floats,
    modes: Floats,
    bounds: Ints,
    first: int,
    start: Floats,
    box: Floats,
    rounds: int,
    target: float,
    prices: Floats,
    seen: Floats,
) -> float:
    """Generate columns and return the best bound on the way, ``prices`` being those that prove it.

    Ends at the target, when program and bound are close, or after so many pricings. ``prices``
    float64[U] are those of the first round, ``start`` float64[C, 2] the cells of it; ``seen``
    float64[2, q] is what `spread` finds.
    """
    n_cells, n_modes, n_classes = len(start), modes.shape[1], classes.shape[1]
    n_most = n_cells + rounds * box.shape[1]
    edge, limits = np.zeros((n_most, 2)), np.zeros((2, n_most, n_modes), dtype=np.int64)
    for i in range(n_cells):
        edge[i, 0], edge[i, 1] = start[i, 0], start[i, 1]
        limit(i, edge[i], times, modes, bounds, first, limits)
    n_rows = n_classes + box.shape[1]
    price, worth, hull = prices.copy(), prices.copy(), np.zeros(n_classes + 1, dtype=np.int64)
    amount, excess = np.zeros((n_most, 2, n_modes)), np.zeros(n_most)
    chosen = np.full((n_most, 2, n_modes, 2), -1, dtype=np.int64)
    inverse, basic = np.zeros((n_rows, n_rows)), np.zeros((2, n_rows))
    dual, share, column = np.zeros(n_rows), np.zeros(n_rows), np.zeros(n_rows + 1)
    begin(n_classes, classes, box, inverse, dual, share, basic)
    pool = np.zeros((POOL, n_rows + 1))
    where, best, kept = 0, -np.inf, KEPT
    for number in range(rounds):
        if number:
            for k in range(n_classes):
                price[k] = max(0.0, kept * prices[k] + (1.0 - kept) * dual[k])
        value = evaluate(
            n_cells, n_ranks, classes, times, modes, edge, limits, box,
            price, worth, hull, amount, chosen, excess,
        )  # fmt: skip
        if value > best:
            best = value
            for k in range(n_classes):
                prices[k] = price[k]
        whole = 0.0  # what the program takes
        for r in range(n_rows):
            whole += dual[r] * (classes[COUNT, r] if r < n_classes else 1.0)
        if best >= target or whole - best < CLOSE * target:
            break
        added = gather(
            where, n_cells, n_ranks, classes, times, modes, edge, limits, box,
            worth, hull, amount, chosen, dual, pool, -1e-7 * target,
        )  # fmt: skip
        before = n_cells
        n_cells = refine(n_cells, edge, times, modes, bounds, first, limits, box, excess)
        if added == 0:
            if kept == 0.0 and n_cells == before:
                break
            kept = 0.0
            continue
        where, kept = where + added, KEPT
        for _ in range(PIVOTS):
            kind, entered = enter(
                -1e-9 * target, min(where, POOL), pool, classes, dual, inverse, column
            )
            row = pivot(column, inverse, share, dual) if kind >= 0 else -1
            if row < 0:
                break
            basic[MAKESPAN, row], basic[BATCH, row] = -1.0, -1.0
            for m in range(box.shape[1]):
                if kind == 0 and pool[entered, n_classes + m] > 0.0:
                    basic[MAKESPAN, row], basic[BATCH, row] = pool[entered, n_rows], float(m)
    spread(box.shape[1], share, basic, seen)
    return best
