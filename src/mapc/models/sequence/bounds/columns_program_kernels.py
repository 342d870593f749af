"""The linear program over micro-batches, solved by a simplex method that columns enter.

Arrays as in `columns_kernels`, and the program's own:

* ``inverse`` float64[R, R], ``dual`` and ``share`` float64[R]: the basis, with rows for classes and
  then for micro-batches, and its dual and primal solution.
* ``basic`` float64[2, R]: makespan and micro-batch of the columns in the basis, or the class and
  `BOUGHT` or `WASTED`.
* ``bound`` float64[2, U]: the lowest and the highest price.
* ``pool`` float64[P, U + 1]: columns, makespan last; ``active`` int64[P]: those worth a look.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.sequence.bounds.columns_groups_kernels import COUNT, Floats, Ints

HIGHEST = 2
MAKESPAN, BATCH, HELD = 0, 1, 2
BOUGHT, WASTED = -1.0, -2.0

PIVOTS = 40
"""Columns that enter between two pricings at most."""
LEAST = 0.02
"""Part of the highest price that counts as a price when they are kept near others."""


@kernel("UniTuple(float64, 2)(float64[::1], float64[::1], float64[:,::1])")
def reduced_cost(column: Floats, dual: Floats, box: Floats) -> tuple[float, float]:
    """Return the reduced cost of a column, and the micro-batch that it is of then."""
    n_classes = len(dual) - box.shape[1]
    makespan, batch = column[n_classes], -1
    for m in range(box.shape[1]):
        fits = box[0, m] <= makespan <= box[1, m]
        if fits and (batch < 0 or dual[n_classes + m] > dual[n_classes + batch]):
            batch = m
    if batch < 0:
        return np.inf, -1.0
    v = makespan - dual[n_classes + batch]
    for k in range(n_classes):
        v -= column[k] * dual[k]
    return v, float(batch)


@kernel("int64(float64, int64, float64[:,::1], float64[::1], float64[:,::1], int64[::1])")
def look(least: float, filled: int, pool: Floats, dual: Floats, box: Floats, active: Ints) -> int:
    """Find columns of the pool whose reduced cost is below ``least``, and return how many."""
    n = 0
    for c in range(filled):
        if reduced_cost(pool[c], dual, box)[0] < least:
            active[n] = c
            n += 1
    return n


@kernel(
    "UniTuple(int64, 3)(float64, int64, int64[::1], float64[:,::1], float64[:,::1],"
    " float64[:,::1], float64[:,::1], float64[::1], float64[:,::1], float64[::1])"
)
def enter(
    least: float,
    n_active: int,
    active: Ints,
    pool: Floats,
    box: Floats,
    classes: Floats,
    bound: Floats,
    dual: Floats,
    inverse: Floats,
    column: Floats,
) -> tuple[int, int, int]:
    """Choose what enters the basis: kind, number, micro-batch; -1 if nothing is below ``least``.

    Kind 0 is a column of the pool, 1 buys sequences at their highest price, 2 wastes them at the
    lowest. Leaves the column in terms of the basis, and its reduced cost behind it: ``column``
    float64[R + 1].
    """
    n_rows, n_classes = len(dual), classes.shape[1]
    kind, number, batch = -1, -1, -1
    for i in range(n_active):
        v, m = reduced_cost(pool[active[i]], dual, box)
        if v < least:
            least, kind, number, batch = v, 0, active[i], int(m)
    for k in range(n_classes):
        # as many as there are, to compare with columns
        v = (bound[1, k] - dual[k]) * classes[COUNT, k]
        if v < least:
            least, kind, number = v, 1, k
        v = (dual[k] - bound[0, k]) * classes[COUNT, k]
        if v < least:
            least, kind, number = v, 2, k
    column[:] = 0.0
    if kind == 0:
        for r in range(n_rows):
            column[r] = inverse[r, n_classes + batch]
        for c in range(n_classes):
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
    return kind, number, batch


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
    "void(int64, float64[:,::1], float64[:,::1], float64[:,::1], float64[:,::1], float64[::1],"
    " float64[::1], float64[:,::1])"
)
def begin(
    n_classes: int,
    classes: Floats,
    bound: Floats,
    box: Floats,
    inverse: Floats,
    dual: Floats,
    share: Floats,
    basic: Floats,
) -> None:
    """Set up the first basis: all is bought at the highest price, micro-batches are empty."""
    for r in range(len(dual)):
        inverse[r, r] = 1.0
        if r < n_classes:
            basic[MAKESPAN, r], basic[BATCH, r] = float(r), BOUGHT
            dual[r], share[r] = bound[1, r], classes[COUNT, r]
        else:
            # neither bought nor wasted: what an empty micro-batch lasts
            dual[r], share[r] = box[0, r - n_classes], 1.0
            basic[MAKESPAN, r], basic[BATCH, r] = dual[r], float(r - n_classes)


@kernel(
    "void(float64, float64[::1], float64[:,::1], float64[:,::1], float64[:,::1], float64[:,::1],"
    " float64[::1])"
)
def trust(
    part: float,
    price: Floats,
    classes: Floats,
    bound: Floats,
    basic: Floats,
    inverse: Floats,
    dual: Floats,
) -> None:
    """Keep prices of the program to within ``part`` of these, and set the duals accordingly."""
    for k in range(classes.shape[1]):
        wide = part * max(price[k], LEAST * classes[HIGHEST, k])
        bound[0, k] = max(0.0, price[k] - wide)
        bound[1, k] = min(classes[HIGHEST, k], price[k] + wide)
    for c in range(len(dual)):
        dual[c] = 0.0
    for r in range(len(dual)):
        v = basic[MAKESPAN, r]
        if basic[BATCH, r] == BOUGHT:
            v = bound[1, int(v)]
        elif basic[BATCH, r] == WASTED:
            v = -bound[0, int(v)]
        for c in range(len(dual)):
            dual[c] += v * inverse[r, c]


@kernel("float64(float64[:,::1], float64[::1])")
def taken(classes: Floats, dual: Floats) -> float:
    """Return what the program takes."""
    whole = 0.0
    for r in range(len(dual)):
        whole += dual[r] * (classes[COUNT, r] if r < classes.shape[1] else 1.0)
    return whole


@kernel(
    "int64(float64, int64, int64[::1], float64[:,::1], float64[:,::1], float64[:,::1],"
    " float64[:,::1], float64[::1], float64[::1], float64[:,::1], float64[:,::1], float64[::1])"
)
def improve(
    least: float,
    filled: int,
    active: Ints,
    pool: Floats,
    box: Floats,
    classes: Floats,
    bound: Floats,
    dual: Floats,
    share: Floats,
    basic: Floats,
    inverse: Floats,
    column: Floats,
) -> int:
    """Let what has a reduced cost below ``least`` enter the basis, and return how often."""
    n_classes = classes.shape[1]
    n_active = look(least, filled, pool, dual, box, active)
    for turn in range(PIVOTS):
        kind, number, batch = enter(
            least, n_active, active, pool, box, classes, bound, dual, inverse, column
        )
        row = pivot(column, inverse, share, dual) if kind >= 0 else -1
        if row < 0:
            return turn
        basic[MAKESPAN, row], basic[BATCH, row] = float(number), -float(kind)
        for i in range(HELD, len(basic)):
            basic[i, row] = 0.0
        if kind == 0:
            basic[MAKESPAN, row], basic[BATCH, row] = pool[number, n_classes], float(batch)
            for i in range(HELD, len(basic)):
                basic[i, row] = pool[number, n_classes + 1 + i - HELD]
    return PIVOTS


@kernel("void(int64, float64[::1], float64[:,::1], float64[:,::1], float64[::1])")
def spread(q: int, share: Floats, basic: Floats, seen: Floats, held: Floats) -> None:
    """Find the mean makespan of every micro-batch and its mean distance: ``seen`` float64[2, q].

    ``held`` float64[D * `LONGEST`] gets how much of the longest classes is in groups of each mode.
    """
    for i in range(len(held)):
        held[i] = 0.0
        for r in range(len(share)):
            held[i] += share[r] * basic[HELD + i, r]
    seen[:, :] = 0.0
    for turn in range(2):
        for r in range(len(share)):
            m = int(basic[BATCH, r])
            if m >= 0:
                value = basic[MAKESPAN, r]
                seen[turn, m] += share[r] * (abs(value - seen[0, m]) if turn else value)
