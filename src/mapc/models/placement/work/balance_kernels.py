"""Steepest descent of the slowest rank's time; see `mapc.models.placement.work.balance`.

Shapes: E experts, R most replicas of an expert, G ranks, C slots of a rank. ``item[e, r - 1]`` is
what one of r replicas of expert e weighs, ``slow[g]`` what a rank's time is for a unit of weight.
A rank's time is ``slow`` times the sum of its items. No rank holds an expert twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.uint8]

SETTLED = 1e-12
"""Relative gain below which a move is rounding, not gain."""


@kernel("void(int64[:,::1], int64[::1], float64[:,::1], float64[::1], uint8[:,::1])")
def tally(table: Ints, copies: Ints, item: Floats, load: Floats, holds: Flags) -> None:
    """Fill ``load`` and ``holds`` and count ``copies`` for a table."""
    holds[:] = 0
    copies[:] = 0
    load[:] = 0.0
    n_ranks, n_slots = table.shape
    for g in range(n_ranks):
        for s in range(n_slots):
            holds[g, table[g, s]] = 1
            copies[table[g, s]] += 1
    for g in range(n_ranks):
        for s in range(n_slots):
            e = table[g, s]
            load[g] += item[e, copies[e] - 1]


@kernel("void(int64[:,::1], int64[:,::1])")
def keep(table: Ints, kept: Ints) -> None:
    """Copy a table into ``kept``.

    Entry by entry: the assignment of whole arrays brings in the text of numba's message about
    shapes, which takes five seconds to compile in every module.
    """
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            kept[g, i] = table[g, i]


@kernel("float64(int64[:,::1], float64[:,::1], float64[::1])")
def slowest(table: Ints, item: Floats, slow: Floats) -> float:
    """Return the time of the slowest rank."""
    n_ranks = len(table)
    copies = np.empty(len(item), dtype=np.int64)
    load = np.empty(n_ranks)
    holds = np.empty((n_ranks, len(item)), dtype=np.uint8)
    tally(table, copies, item, load, holds)
    return float(np.max(load * slow))


@kernel(
    "float64(int64, float64, int64[:,::1], int64[::1], float64[:,::1], float64[::1], float64[::1],"
    " uint8[:,::1], int64[::1])"
)
def _best_swap(
    g: int,
    limit: float,
    table: Ints,
    copies: Ints,
    item: Floats,
    slow: Floats,
    load: Floats,
    holds: Flags,
    found: Ints,
) -> float:
    """Return the least time of both ranks after a swap with rank g, ``limit`` if none is less.

    ``found`` is the swap: slot of g, other rank, its slot.
    """
    n_ranks, n_slots = table.shape
    best: float = limit
    for a in range(n_slots):
        e = table[g, a]
        mine = item[e, copies[e] - 1]
        for h in range(n_ranks):
            if holds[h, e]:  # g itself among them
                continue
            for b in range(n_slots):
                f = table[h, b]
                down = mine - item[f, copies[f] - 1]
                if down <= 0.0 or (load[g] - down) * slow[g] >= best:
                    continue
                if (load[h] + down) * slow[h] < best and holds[g, f] == 0:
                    best = max((load[g] - down) * slow[g], (load[h] + down) * slow[h])
                    found[0], found[1], found[2] = a, h, b
    return best


@kernel(
    "float64(int64, int64, int64, float64, int64[::1], float64[:,::1], float64[::1],"
    " float64[::1], uint8[:,::1])"
)
def _replaced(
    g: int,
    e: int,
    f: int,
    limit: float,
    copies: Ints,
    item: Floats,
    slow: Floats,
    load: Floats,
    holds: Flags,
) -> float:
    """Return the most time of all ranks that change when a copy of e on g becomes one of f."""
    old, new = item[e, copies[e] - 1], item[e, copies[e] - 2]
    was, now = item[f, copies[f] - 1], item[f, copies[f]]
    worst: float = (load[g] - old + now) * slow[g]
    if worst >= limit:
        return worst
    for h in range(len(load)):
        if h != g and (holds[h, e] or holds[h, f]):
            time = (load[h] + holds[h, e] * (new - old) + holds[h, f] * (now - was)) * slow[h]
            if time > worst:
                worst = time
                if worst >= limit:
                    return worst
    return worst


@kernel(
    "float64(int64, float64, int64[:,::1], int64[::1], float64[:,::1], float64[::1], float64[::1],"
    " uint8[:,::1], int64[::1])"
)
def _best_replacement(
    g: int,
    limit: float,
    table: Ints,
    copies: Ints,
    item: Floats,
    slow: Floats,
    load: Floats,
    holds: Flags,
    found: Ints,
) -> float:
    """Return the least time of changed ranks after one copy becomes another expert's.

    Either the copy is on rank g, or the other expert is. ``found``: rank, slot, other expert.
    """
    n_ranks, n_slots = table.shape
    most = item.shape[1]
    best = limit
    for h in range(n_ranks):
        for s in range(n_slots):
            e = table[h, s]
            if copies[e] < 2:
                continue
            others = len(item) if h == g else n_slots
            for i in range(others):
                f = i if h == g else table[g, i]
                if f == e or copies[f] >= most or holds[h, f]:
                    continue
                time = _replaced(h, e, f, best, copies, item, slow, load, holds)
                if time < best:
                    best = time
                    found[0], found[1], found[2] = h, s, f
    return best


@kernel(
    "void(int64, int64, int64, int64[:,::1], int64[::1], float64[:,::1], float64[::1],"
    " uint8[:,::1])"
)
def _replace(
    g: int,
    s: int,
    f: int,
    table: Ints,
    copies: Ints,
    item: Floats,
    load: Floats,
    holds: Flags,
) -> None:
    """Make slot s of rank g a copy of f."""
    e = table[g, s]
    more = item[e, copies[e] - 2] - item[e, copies[e] - 1]
    less = item[f, copies[f]] - item[f, copies[f] - 1]
    for h in range(len(load)):
        load[h] += holds[h, e] * more + holds[h, f] * less
    load[g] += item[f, copies[f]] - item[e, copies[e] - 2]
    table[g, s] = f
    holds[g, e], holds[g, f] = 0, 1
    copies[e] -= 1
    copies[f] += 1


@kernel(
    "float64(int64, float64, int64[:,::1], int64[::1], float64[:,::1], float64[::1], float64[::1],"
    " uint8[:,::1], int64[::1])"
)
def _best_exchange(
    g: int,
    limit: float,
    table: Ints,
    copies: Ints,
    item: Floats,
    slow: Floats,
    load: Floats,
    holds: Flags,
    found: Ints,
) -> float:
    """Return the least time of both ranks after two slots of rank g swap with two of another.

    ``found``: both slots of g, the other rank, both its slots; it is changed where the time is
    below ``limit``.
    """
    n_ranks, n_slots = table.shape
    best = limit
    weight = np.empty((n_ranks, n_slots))
    for h in range(n_ranks):
        for s in range(n_slots):
            weight[h, s] = item[table[h, s], copies[table[h, s]] - 1]
    for a in range(n_slots):
        for c in range(a + 1, n_slots):
            mine = weight[g, a] + weight[g, c]
            for h in range(n_ranks):
                if holds[h, table[g, a]] or holds[h, table[g, c]]:  # g itself among them
                    continue
                # what has to go from g to h for both to be below the best so far
                least = load[g] - best / slow[g]
                most = best / slow[h] - load[h]
                if most <= least:
                    continue
                for b in range(n_slots):
                    for d in range(b + 1, n_slots):
                        down = mine - weight[h, b] - weight[h, d]
                        if (
                            least < down < most
                            and holds[g, table[h, b]] == 0
                            and holds[g, table[h, d]] == 0
                        ):
                            best = max((load[g] - down) * slow[g], (load[h] + down) * slow[h])
                            least = load[g] - best / slow[g]
                            most = best / slow[h] - load[h]
                            found[0], found[1], found[2] = a, c, h
                            found[3], found[4] = b, d
    return best


@kernel(
    "void(int64, int64, int64, int64, int64[:,::1], int64[::1], float64[:,::1], float64[::1],"
    " uint8[:,::1])"
)
def _swap(
    g: int,
    a: int,
    h: int,
    b: int,
    table: Ints,
    copies: Ints,
    item: Floats,
    load: Floats,
    holds: Flags,
) -> None:
    """Swap slot a of rank g with slot b of rank h."""
    e, f = table[g, a], table[h, b]
    down = item[e, copies[e] - 1] - item[f, copies[f] - 1]
    load[g] -= down
    load[h] += down
    table[g, a], table[h, b] = f, e
    holds[g, e], holds[h, f], holds[g, f], holds[h, e] = 0, 0, 1, 1


@kernel("float64(int64[:,::1], float64[:,::1], float64[::1], float64, int64)")
def descend(table: Ints, item: Floats, slow: Floats, target: float, steps: int) -> float:
    """Improve a table until no single move relieves its slowest rank, and return that time.

    Parameters
    ----------
    table : int64[G, C]
        Changed in place.
    target : float
        Time at which to stop.
    steps : int
        Most moves.
    """
    n_ranks = len(table)
    copies = np.empty(len(item), dtype=np.int64)
    load = np.empty(n_ranks)
    holds = np.empty((n_ranks, len(item)), dtype=np.uint8)
    swap = np.empty(3, dtype=np.int64)
    change = np.empty(3, dtype=np.int64)
    pairs = np.empty(5, dtype=np.int64)
    tally(table, copies, item, load, holds)
    for step in range(steps):
        if step % 256 == 255:  # sums drift as differences are added
            tally(table, copies, item, load, holds)
        g = int(np.argmax(load * slow))
        time = load[g] * slow[g]
        if time <= target:
            break
        limit = time * (1.0 - SETTLED)
        best = _best_swap(g, limit, table, copies, item, slow, load, holds, swap)
        # moving replicas costs more to look for: only where swaps gain little
        if best > target + 0.3 * (time - target):
            moved = _best_replacement(g, best, table, copies, item, slow, load, holds, change)
            if moved < best:
                _replace(change[0], change[1], change[2], table, copies, item, load, holds)
                continue
            if best > target + 0.3 * (time - target):
                both = _best_exchange(g, best, table, copies, item, slow, load, holds, pairs)
                if both < best:
                    _swap(g, pairs[0], pairs[2], pairs[3], table, copies, item, load, holds)
                    _swap(g, pairs[1], pairs[2], pairs[4], table, copies, item, load, holds)
                    continue
        if best >= limit:
            break
        _swap(g, swap[0], swap[1], swap[2], table, copies, item, load, holds)
    tally(table, copies, item, load, holds)
    return float(np.max(load * slow))
