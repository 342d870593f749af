"""Prices of sequences, and micro-batches that are worth their price: the loops of `columns`.

Arrays all kernels share; classes stand by increasing tokens, times are ticks in float64:

* ``classes`` float64[3, U]: sequences of a class, padded tokens of one, and its highest price.
* ``times`` float64[2, D, U]: ticks of one, and ticks per token, neither falling along U.
* ``modes`` float64[3, D]: ranks, fixed ticks and tokens of a group.
* ``edge`` float64[C, 2]: the least and the most makespan of each cell; no cell is partly in a box.
* ``limits`` int64[C, 2, D]: classes below the first fit a group of the cell, those from the second
  on are whole in it, those below the second are a fluid.
* ``bounds`` int64[2, D]: classes below the first fit the memory of a group, those from the second
  on are whole in it by memory.
* ``box`` float64[2, q]: the least and the most makespan of every micro-batch.
* ``price`` and ``worth`` float64[U]: ticks paid for a sequence, and per token of it.
* ``excess`` float64[C]: the least makespan of a cell, less what a micro-batch of it collects.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.sequence.bounds.columns_batch_kernels import (
    SCRATCH,
    Scratch,
    best_column,
    lasting,
    limit,
)
from mapc.models.sequence.bounds.columns_groups_kernels import COUNT, TOKENS, Floats, Ints
from mapc.models.sequence.bounds.columns_program_kernels import (
    begin,
    improve,
    spread,
    taken,
    trust,
)

EACH, APART = 4, 0.02
"""Columns found for a micro-batch in a pricing at most; relative distance of their makespans."""
HALVINGS, CELLS_MORE = 12, 40
"""Cells halved for a micro-batch in a pricing at most, and until all are as at first again."""
FINE = 5e-4
"""Relative width below which cells are not halved."""
KEPT = 0.5
"""Part of the best prices in those of the next round (Wentges 1997)."""
WIDER, NARROWER, NARROWEST = 1.5, 0.85, 0.003
"""What that distance is multiplied with after a better bound and after a worse one; the least."""
CLOSE = 1e-4
"""Part of the target by which program and bound may differ in the end."""
PIVOT = 1.0 / 16
"""Looks that an entry of the basis counts as when a column enters, by its time."""


@kernel("boolean(float64[::1], int64, float64[:,::1])")
def within(edge: Floats, m: int, box: Floats) -> bool:
    """Return whether micro-batch m may last as long as a cell."""
    return bool(edge[0] >= box[0, m] and edge[1] <= box[1, m])


@kernel("int64(int64, int64, float64[:,::1], float64[:,::1], float64[::1])")
def least_cell(m: int, n_cells: int, edge: Floats, box: Floats, excess: Floats) -> int:
    """Return the cell of micro-batch m whose excess is least."""
    cell = -1
    for i in range(n_cells):
        if within(edge[i], m, box) and (cell < 0 or excess[i] < excess[cell]):
            cell = i
    return cell


@kernel(
    "Tuple((float64, int64))(int64, int64, float64[:,::1], float64[:,:,::1], float64[:,::1],"
    " int64[:,::1], int64, float64[:,::1], int64[:,:,::1], float64[:,::1], float64[::1],"
    f" float64[::1], {SCRATCH}, int64[::1], float64[::1], int64[::1])"
)
def evaluate(
    n_cells: int,
    n_ranks: int,
    classes: Floats,
    times: Floats,
    modes: Floats,
    bounds: Ints,
    first: int,
    edge: Floats,
    limits: Ints,
    box: Floats,
    price: Floats,
    worth: Floats,
    scratch: Scratch,
    mode: Ints,
    excess: Floats,
    side: Ints,
) -> tuple[float, int]:
    """Return the bound that prices prove, and how many cells there are in the end.

    Sets ``worth`` and ``excess``. Cells of least excess are halved, some for every micro-batch,
    unless it is least where they end, for there nothing is lost.
    """
    value = 0.0
    for k in range(len(price)):
        worth[k] = price[k] / classes[TOKENS, k]
        value += classes[COUNT, k] * price[k]
    for i in range(n_cells):
        excess[i], side[i] = lasting(
            n_ranks, edge[i], limits[i], classes, times, modes, price, worth, scratch, mode
        )
    for m in range(box.shape[1]):
        cell = least_cell(m, n_cells, edge, box, excess)
        for _ in range(HALVINGS):
            width = edge[cell, 1] - edge[cell, 0]
            if side[cell] or n_cells == len(edge) or width < max(1.0, FINE * edge[cell, 1]):
                break
            edge[n_cells, 1] = edge[cell, 1]
            edge[cell, 1] = np.floor(0.5 * (edge[cell, 0] + edge[cell, 1]))
            edge[n_cells, 0] = edge[cell, 1] + 1.0
            for i in (cell, n_cells):
                limit(edge[i], times, modes, bounds, first, limits[i])
                excess[i], side[i] = lasting(
                    n_ranks, edge[i], limits[i], classes, times, modes, price, worth, scratch, mode
                )
            n_cells += 1
            cell = least_cell(m, n_cells, edge, box, excess)
        value += excess[cell]
    return value, n_cells


@kernel(
    "int64(int64, int64, int64, float64[:,::1], float64[:,:,::1], float64[:,::1], float64[:,::1],"
    f" int64[:,:,::1], float64[:,::1], float64[::1], float64[::1], {SCRATCH}, int64[::1],"
    " float64[::1], float64[::1], float64[:,::1], float64[::1], float64)"
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
    price: Floats,
    worth: Floats,
    scratch: Scratch,
    mode: Ints,
    excess: Floats,
    dual: Floats,
    pool: Floats,
    given: Floats,
    least: float,
) -> int:
    """Put into the pool, from number ``where`` on, columns of the best cells of each micro-batch.

    Those whose reduced cost is below ``least``; returns how many.
    """
    n_classes, added = classes.shape[1], 0
    seen = np.zeros(EACH)
    for m in range(box.shape[1]):
        for turn in range(EACH):
            cell = -1
            for i in range(n_cells):
                if within(edge[i], m, box) and (cell < 0 or excess[i] < excess[cell]):
                    near = False
                    for other in range(turn):
                        near = near or abs(edge[i, 1] - seen[other]) < APART * edge[i, 1]
                    if not near:
                        cell = i
            if cell < 0 or (turn and excess[cell] > dual[n_classes + m]):
                break
            seen[turn] = edge[cell, 1]
            makespan = best_column(
                n_ranks, edge[cell], limits[cell], classes, times, modes, price, worth,
                scratch, mode, given,
            )  # fmt: skip
            column = pool[(where + added) % len(pool)]
            reduced = makespan - dual[n_classes + m]
            for k in range(n_classes):
                column[k] = given[k]
                reduced -= given[k] * dual[k]
            column[n_classes] = makespan
            for i in range(n_classes, len(given)):
                column[i + 1] = given[i]
            if reduced < least:
                added += 1
    return added


@kernel(
    "int64(float64[:,::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64, float64[:,::1],"
    " int64[:,:,::1])"
)
def coarse(
    start: Floats,
    times: Floats,
    modes: Floats,
    bounds: Ints,
    first: int,
    edge: Floats,
    limits: Ints,
) -> int:
    """Set up the cells as they are at first, float64[C, 2], and return how many."""
    for i in range(len(start)):
        edge[i, 0], edge[i, 1] = start[i, 0], start[i, 1]
        limit(edge[i], times, modes, bounds, first, limits[i])
    return len(start)


@kernel(f"{SCRATCH}(int64, int64)")
def scratch_of(n_modes: int, n_classes: int) -> Scratch:
    """Return what a cell is worked out in."""
    return (
        np.zeros((n_modes, n_classes + 1), dtype=np.int64),
        np.zeros(n_modes, dtype=np.int64),
        np.zeros((2, n_modes)),
        np.zeros((2, n_classes, n_modes)),
        np.zeros((2, n_classes, n_modes), dtype=np.int64),
        np.zeros(n_classes, dtype=np.int64),
    )


@kernel(
    "float64(int64, float64[:,::1], float64[:,:,::1], float64[:,::1], int64[:,::1], int64,"
    " float64[:,::1], float64[:,::1], int64, float64, float64[::1], float64,"
    " float64[:,::1], int64[::1], float64[:,::1], float64[::1])"
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
    wide: float,
    pool: Floats,
    used: Ints,
    seen: Floats,
    held: Floats,
) -> float:
    """Generate columns and return the best bound on the way, ``prices`` being those that prove it.

    Ends at the target, when program and bound are close, or after so many pricings. ``prices``
    float64[U] are those of the first round, ``start`` float64[C, 2] the cells of it. Prices of the
    program are kept to within ``wide`` of the best ones (boxes of Marsten, Hogan and Blankenship
    1975), which is wider after a better bound. ``used`` int64[2] counts columns and looks; ``seen``
    float64[2, q] is what `spread` finds.
    """
    n_cells, n_modes, n_classes = len(start), modes.shape[1], classes.shape[1]
    n_most = n_cells + CELLS_MORE * box.shape[1]
    edge, limits = np.zeros((n_most, 2)), np.zeros((n_most, 2, n_modes), dtype=np.int64)
    coarse(start, times, modes, bounds, first, edge, limits)
    n_rows = n_classes + box.shape[1]
    price, worth, excess = prices.copy(), prices.copy(), np.zeros(n_most)
    side = np.zeros(n_most, dtype=np.int64)
    given, mode = np.zeros(n_classes + len(held)), np.zeros(n_classes, dtype=np.int64)
    scratch = scratch_of(n_modes, n_classes)
    inverse, basic = np.zeros((n_rows, n_rows)), np.zeros((2 + len(held), n_rows))
    dual, share, column = np.zeros(n_rows), np.zeros(n_rows), np.zeros(n_rows + 1)
    bound = np.zeros((2, n_classes))
    trust(wide, prices, classes, bound, basic, inverse, dual)
    begin(n_classes, classes, bound, box, inverse, dual, share, basic)
    active = np.zeros(len(pool), dtype=np.int64)
    best, kept = -np.inf, KEPT
    for number in range(rounds):
        if number:
            for k in range(n_classes):
                price[k] = max(0.0, kept * prices[k] + (1.0 - kept) * dual[k])
        if n_cells + HALVINGS * box.shape[1] > n_most:
            n_cells = coarse(start, times, modes, bounds, first, edge, limits)
        before = n_cells
        value, n_cells = evaluate(
            n_cells, n_ranks, classes, times, modes, bounds, first, edge, limits, box,
            price, worth, scratch, mode, excess, side,
        )  # fmt: skip
        if value > best:
            best = value
            for k in range(n_classes):
                prices[k] = price[k]
            wide *= WIDER
        else:
            wide = max(NARROWEST, NARROWER * wide)
        trust(wide, prices, classes, bound, basic, inverse, dual)
        near = CLOSE * target * min(1.0, 2.0 * wide)
        if best >= target or taken(classes, dual) - best < near:
            break
        added = gather(
            used[0], n_cells, n_ranks, classes, times, modes, edge, limits, box,
            price, worth, scratch, mode, excess, dual, pool, given, -1e-7 * target,
        )  # fmt: skip
        used[0] += added
        moved = improve(
            -1e-9 * target, min(used[0], len(pool)), active, pool, box, classes,
            bound, dual, share, basic, inverse, column,
        )  # fmt: skip
        used[1] += n_cells * n_classes * n_modes + np.int64(PIVOT * (moved * n_rows * n_rows))
        kept = KEPT
        if added == 0 and moved == 0 and n_cells == before:
            if wide > 1.0:
                break
            wide, kept = 2.0 * wide, 0.0  # the best prices may be further away
    spread(box.shape[1], share, basic, seen, held)
    return best
