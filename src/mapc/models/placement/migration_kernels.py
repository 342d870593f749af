"""Few changes to the table of a layer that is in force: greedy, exact for one, annealing.

The state of a run is that of `mapc.models.placement.annealing_kernels`. A pair (expert, rank) is
*new* if it is not in ``old``; tables have at most so many of them, and to undo a change is free.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.annealing_kernels import (
    objective,
    recompute,
    replace_loads,
    slopes,
    touch,
)
from mapc.models.placement.moves_kernels import index, put
from mapc.models.placement.problem import FloatArray
from mapc.random import below, uniform

_I1, _I2, _I3 = "int64[::1]", "int64[:, ::1]", "int64[:, :, ::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2, _RANDOM = "boolean[:, ::1]", "uint64[::1]"

LEAST = 1e-9
"""Smallest fall of the smoothed objective, relative to it, that counts as one."""
REBASE = 2048
"""Steps between two computations of all loads from the table, against drift."""
LOOK = 32
"""Steps between two looks at slopes, temperature and the hottest ranks."""
REVERTS = 3
"""Changes undone, at most, to make room for others."""
TRIES = 6
"""Slots drawn until one holds an expert that has another replica."""
SWAPS = 0.3
"""Part of the steps that swap where experts have replicas."""


@kernel(f"int64({_I2}, {_B2})")
def new_pairs(table: IntArray, old: BoolArray) -> int:
    """Count the pairs of a table that are new."""
    new = 0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            if not old[table[g, i], g]:
                new += 1
    return new


@kernel("float64(float64, int64)")
def raised(x: float, doublings: int) -> float:
    """Return x to the power of ``2 ** doublings``."""
    for _ in range(doublings):
        x *= x
    return x


@kernel(f"void({_I2}, {_F3}, {_F1}, {_I1}, {_I2}, {_F2}, {_F2}, {_F1}, int64, {_F2}, {_F1})")
def marginals(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    copies: IntArray,
    holders: IntArray,
    load: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    doublings: int,
    lose: FloatArray,
    gain: FloatArray,
) -> None:
    """Change of the smoothed objective on all the other ranks by one replica less, or more.

    Sets ``lose[g, i]`` for the expert in that slot, and ``gain[f]`` for every expert.
    """
    n_rows = load.shape[1]
    for f in range(len(copies)):
        gain[f] = 0.0
        r = copies[f]
        for j in range(r):
            g = holders[f, j]
            for k in range(n_rows):
                less = slowness[g] * (item[f, r - 1, k] - item[f, min(r, item.shape[1] - 1), k])
                gain[f] += slope[k] * (raised(load[g, k] - less, doublings) - power[g, k])
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            e = table[g, i]
            r = copies[e]
            lose[g, i] = 0.0
            for j in range(r):
                h = holders[e, j]
                if h == g:
                    continue
                for k in range(n_rows):
                    more = slowness[h] * (item[e, r - 2, k] - item[e, r - 1, k])
                    lose[g, i] += slope[k] * (raised(load[h, k] + more, doublings) - power[h, k])


@kernel(
    f"float64(int64, int64, int64, {_F3}, {_F1}, {_I1}, {_F2}, {_F2}, {_F1}, int64)",
)
def joint(
    h: int,
    e: int,
    f: int,
    item: FloatArray,
    slowness: FloatArray,
    copies: IntArray,
    load: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    doublings: int,
) -> float:
    """What one replica less of e and one more of f change on rank h beyond the sum of both."""
    change, r, s = 0.0, copies[e], copies[f]
    for k in range(load.shape[1]):
        more = slowness[h] * (item[e, r - 2, k] - item[e, r - 1, k])
        less = slowness[h] * (item[f, s - 1, k] - item[f, s, k])
        both = raised(load[h, k] + more - less, doublings) + power[h, k]
        apart = raised(load[h, k] + more, doublings) + raised(load[h, k] - less, doublings)
        change += slope[k] * (both - apart)
    return change


@kernel(
    f"float64({_I2}, {_F3}, {_F1}, {_I2}, {_I1}, {_I2}, {_F2}, {_F2}, {_F1}, int64, {_B2}, {_B2},"
    f" {_B2}, int64, {_F2}, {_F1}, {_I1})"
)
def best_replacement(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    load: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    doublings: int,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    room: int,
    lose: FloatArray,
    gain: FloatArray,
    move: IntArray,
) -> float:
    """Fall of the smoothed objective by the best replacement of one slot; sets ``move``.

    Ranks that hold both experts are looked at only for what seems best without.
    """
    n_rows, best = load.shape[1], 0.0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            e = table[g, i]
            if copies[e] < 2 or pinned[e, g]:
                continue
            for f in range(len(copies)):
                if at[f, g] >= 0 or not allowed[f, g] or int(old[e, g]) - int(old[f, g]) > room:
                    continue
                change = lose[g, i] + gain[f]
                for k in range(n_rows):
                    more = slowness[g] * (item[f, copies[f], k] - item[e, copies[e] - 1, k])
                    change += slope[k] * (raised(load[g, k] + more, doublings) - power[g, k])
                if change >= best:
                    continue
                for j in range(copies[e]):
                    h = holders[e, j]
                    if h != g and at[f, h] >= 0:
                        change += joint(
                            h, e, f, item, slowness, copies, load, power, slope, doublings
                        )
                if change < best:
                    best = change
                    move[0], move[1], move[2], move[3] = g, i, f, -1
    return best


@kernel(
    f"float64({_I2}, {_F3}, {_F1}, {_I2}, {_I1}, {_F2}, {_F2}, {_F1}, {_I1}, int64, {_B2}, {_B2},"
    f" {_B2}, int64, float64, {_I1})"
)
def best_swap(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    at: IntArray,
    copies: IntArray,
    load: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    hottest: IntArray,
    doublings: int,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    room: int,
    best: float,
    move: IntArray,
) -> float:
    """Fall by the best swap with a hottest rank, if it is more than ``best``; sets ``move``."""
    n_rows = load.shape[1]
    for row in range(n_rows):
        g = hottest[row]
        for i in range(table.shape[1]):
            e = table[g, i]
            if pinned[e, g]:
                continue
            for h in range(table.shape[0]):
                if at[e, h] >= 0 or not allowed[e, h]:
                    continue
                for j in range(table.shape[1]):
                    f = table[h, j]
                    if pinned[f, h] or at[f, g] >= 0 or not allowed[f, g]:
                        continue
                    more = int(old[e, g]) + int(old[f, h]) - int(old[f, g]) - int(old[e, h])
                    if more > room:
                        continue
                    change = 0.0
                    for k in range(n_rows):
                        moved = item[e, copies[e] - 1, k] - item[f, copies[f] - 1, k]
                        there = raised(load[h, k] + slowness[h] * moved, doublings)
                        here = raised(load[g, k] - slowness[g] * moved, doublings)
                        change += slope[k] * (here + there - power[g, k] - power[h, k])
                    if change < best:
                        best = change
                        move[0], move[1], move[2], move[3] = g, i, h, j
    return best


@kernel(
    f"void({_I2}, {_F3}, {_F1}, {_I1}, {_F1}, {_B2}, {_B2}, {_B2}, int64, int64, int64, {_I3},"
    f" {_F1})"
)
def greedy(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    group: IntArray,
    lam: FloatArray,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    doublings: int,
    first: int,
    stride: int,
    tables: IntArray,
    values: FloatArray,
) -> None:
    """Descend steepest while the cap on new pairs rises from ``first`` by ``stride``.

    Parameters
    ----------
    table : int64[H, C]
        Start with at most ``first`` new pairs; not changed.
    item, slowness, group, lam
        As for `mapc.models.placement.annealing_kernels.anneal`.
    pinned, allowed, old : bool[E, H]
        Pairs that stay, that may be, and that are in force.
    doublings : int
        log2 of the power of the norm.
    first, stride : int
    tables : int64[n, H, C]
        Output: tables with at most ``first + t * stride`` new pairs.
    values : float64[n]
        Output: their objectives, ``sum lam * max load``.
    """
    n_ranks, n_experts, n_rows = table.shape[0], item.shape[0], item.shape[2]
    work = table.copy()
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    load, power = np.empty((n_ranks, n_rows)), np.empty((n_ranks, n_rows))
    norm, slope = np.empty(len(lam)), np.empty(n_rows)
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    lose, gain = np.empty(table.shape), np.empty(n_experts)
    move = np.empty(4, dtype=np.int64)
    index(work, at, copies, holders)
    new = new_pairs(work, old)
    for t in range(len(values)):
        smooth = np.inf
        while True:
            recompute(work, item, slowness, copies, doublings, load, power)
            slopes(power, group, lam, doublings, norm, slope)
            now = 0.0
            for p in range(len(lam)):
                now += lam[p] * norm[p] ** (1.0 / 2**doublings)
            value = objective(load, group, lam, top, hottest)
            if smooth - now <= LEAST * smooth and smooth < np.inf:
                break  # what was counted on was rounding
            smooth = now
            room = first + t * stride - new
            marginals(
                work, item, slowness, copies, holders, load, power, slope, doublings, lose, gain
            )
            best = best_replacement(
                work, item, slowness, at, copies, holders, load, power, slope, doublings,
                pinned, allowed, old, room, lose, gain, move,
            )  # fmt: skip
            best = best_swap(
                work, item, slowness, at, copies, load, power, slope, hottest, doublings,
                pinned, allowed, old, room, best, move,
            )  # fmt: skip
            if best >= -LEAST * smooth:
                break
            g, i = move[0], move[1]
            e = work[g, i]
            if move[3] < 0:
                f = move[2]
                new += int(old[e, g]) - int(old[f, g])
                put(work, at, copies, holders, g, i, f)
            else:
                h, j = move[2], move[3]
                f = work[h, j]
                new += int(old[e, g]) + int(old[f, h]) - int(old[f, g]) - int(old[e, h])
                put(work, at, copies, holders, g, i, f)
                put(work, at, copies, holders, h, j, e)
        tables[t] = work
        values[t] = value


@kernel(f"float64({_I2}, {_F3}, {_F1}, {_I1}, {_F1}, {_B2}, {_B2}, {_B2}, int64)")
def single(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    group: IntArray,
    lam: FloatArray,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    room: int,
) -> float:
    """Make the replacement of one slot that is best by the true objective; return that.

    All are looked at but those that leave the hottest rank of every row as hot as it is, which
    improve nothing: the table has to lose a replica there, or one of its experts gain a replica.
    ``room`` is how many new pairs the replacement may add. The table is changed in place, or left
    where nothing is better.
    """
    n_ranks, n_experts, n_rows = table.shape[0], item.shape[0], item.shape[2]
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    load, saved = np.empty((n_ranks, n_rows)), np.empty((n_ranks, n_rows))
    after = np.empty((n_ranks, n_rows))
    ranks, mark = np.empty(n_ranks, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    index(table, at, copies, holders)
    recompute(table, item, slowness, copies, 0, load, saved)
    best = objective(load, group, lam, top, hottest)
    is_hot = np.zeros(n_ranks, dtype=np.bool_)
    on_hot = np.zeros(n_experts, dtype=np.bool_)
    for k in range(n_rows):
        is_hot[hottest[k]] = True
        for i in range(table.shape[1]):
            on_hot[table[hottest[k], i]] = True
    where, which, what = -1, -1, -1
    for g in range(n_ranks):
        for i in range(table.shape[1]):
            e = table[g, i]
            if copies[e] < 2 or pinned[e, g]:
                continue
            for f in range(n_experts):
                if at[f, g] >= 0 or not allowed[f, g] or not (is_hot[g] or on_hot[f]):
                    continue
                if int(old[e, g]) - int(old[f, g]) > room:
                    continue
                n = replace_loads(
                    g, e, f, item, slowness, copies, holders, load, mark, ranks, after
                )
                for t in range(n):
                    for k in range(n_rows):
                        saved[t, k] = load[ranks[t], k]
                        load[ranks[t], k] = after[t, k]
                value = objective(load, group, lam, top, hottest)
                for t in range(n):
                    for k in range(n_rows):
                        load[ranks[t], k] = saved[t, k]
                if value < best * (1.0 - 1e-13):
                    best, where, which, what = value, g, i, f
    if where >= 0:
        table[where, which] = what
    return best


# -- annealing under a cap ------------------------------------------------------------------------
#
# A step is one or more changes in a row, each written down as (rank, slot, expert before, rank and
# slot of the other half of a swap or -1), so that it can be taken back as a whole.


@kernel(
    f"int64({_I2}, {_I2}, {_I1}, {_I2}, {_F3}, {_F1}, {_F2}, {_I1}, {_I1}, {_F2}, {_I1}, {_I1},"
    f" {_F2}, int64, int64, int64, int64)"
)
def replace(
    table: IntArray,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    load: FloatArray,
    mark: IntArray,
    ranks: IntArray,
    after: FloatArray,
    seen: IntArray,
    touched: IntArray,
    saved: FloatArray,
    n: int,
    g: int,
    i: int,
    f: int,
) -> int:
    """Give slot i of rank g to f, loads included; return how many ranks the step has touched."""
    changed = replace_loads(
        g, table[g, i], f, item, slowness, copies, holders, load, mark, ranks, after
    )
    for t in range(changed):
        n = touch(seen, touched, n, load, saved, ranks[t])
        for k in range(load.shape[1]):
            load[ranks[t], k] = after[t, k]
    put(table, at, copies, holders, g, i, f)
    return n


@kernel(
    f"int64({_I2}, {_I2}, {_I1}, {_I2}, {_F3}, {_F1}, {_F2}, {_I1}, {_I1}, {_F2}, int64, int64,"
    f" int64, int64, int64)"
)
def swap(
    table: IntArray,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    load: FloatArray,
    seen: IntArray,
    touched: IntArray,
    saved: FloatArray,
    n: int,
    g: int,
    i: int,
    h: int,
    j: int,
) -> int:
    """Swap two slots, loads included; return how many ranks the step has touched."""
    e, f = table[g, i], table[h, j]
    n = touch(seen, touched, n, load, saved, g)
    n = touch(seen, touched, n, load, saved, h)
    for k in range(load.shape[1]):
        moved = item[e, copies[e] - 1, k] - item[f, copies[f] - 1, k]
        load[g, k] -= slowness[g] * moved
        load[h, k] += slowness[h] * moved
    put(table, at, copies, holders, g, i, f)
    put(table, at, copies, holders, h, j, e)
    return n


@kernel(f"float64(int64, {_I1}, {_F2}, {_F2}, {_F2}, {_F1}, int64)")
def rise(
    n: int,
    touched: IntArray,
    load: FloatArray,
    fresh: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    doublings: int,
) -> float:
    """Rise of the smoothed objective by the new loads of n ranks; fills ``fresh``, their powers."""
    total = 0.0
    for t in range(n):
        for k in range(load.shape[1]):
            fresh[t, k] = raised(load[touched[t], k], doublings)
            total += slope[k] * (fresh[t, k] - power[touched[t], k])
    return total


@kernel(f"void({_I2}, {_I2}, {_I1}, {_I2}, {_I2}, int64)")
def undo(
    table: IntArray, at: IntArray, copies: IntArray, holders: IntArray, log: IntArray, n: int
) -> None:
    """Take back the n changes written in ``log``."""
    for t in range(n - 1, -1, -1):
        g, i, e, h, j = log[t]
        if h >= 0:
            f = table[g, i]
            put(table, at, copies, holders, g, i, e)
            put(table, at, copies, holders, h, j, f)
        else:
            put(table, at, copies, holders, g, i, e)


@kernel(f"boolean({_I2}, {_I2}, {_I1}, {_B2}, {_B2}, {_I1}, boolean, {_I1}, {_RANDOM})")
def propose(
    table: IntArray,
    at: IntArray,
    copies: IntArray,
    pinned: BoolArray,
    allowed: BoolArray,
    hottest: IntArray,
    replicas: bool,
    move: IntArray,
    random: NDArray[np.uint64],
) -> bool:
    """Draw a change into ``move`` (rank, slot, expert or other rank, other slot or -1)."""
    n_ranks, n_slots = table.shape
    hot = uniform(random) < 0.6
    g = hottest[below(random, len(hottest))] if hot else below(random, n_ranks)
    i = below(random, n_slots)
    if not replicas or uniform(random) < SWAPS:
        h, j = below(random, n_ranks), below(random, n_slots)
        e, f = table[g, i], table[h, j]
        move[0], move[1], move[2], move[3] = g, i, h, j
        fits = at[e, h] < 0 and at[f, g] < 0 and allowed[e, h] and allowed[f, g]
        return fits and not pinned[e, g] and not pinned[f, h]
    if hot and uniform(random) < 0.5:  # another replica for an expert of the hot rank
        f = table[g, i]
        g = below(random, n_ranks)
    else:
        f = below(random, len(copies))
    for _ in range(TRIES):
        i = below(random, n_slots)
        if copies[table[g, i]] > 1:
            break
    e = table[g, i]
    move[0], move[1], move[2], move[3] = g, i, f, -1
    return copies[e] > 1 and at[f, g] < 0 and allowed[f, g] and not pinned[e, g]


@kernel(f"boolean({_I2}, {_I2}, {_I1}, {_I2}, {_I2}, {_B2}, {_B2}, {_B2}, {_I1}, {_RANDOM})")
def revert(
    table: IntArray,
    start: IntArray,
    copies: IntArray,
    holders: IntArray,
    at: IntArray,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    move: IntArray,
    random: NDArray[np.uint64],
) -> bool:
    """Draw a change that gives a rank back an expert that was in force there, into ``move``."""
    n_ranks, n_slots = table.shape
    cell = below(random, n_ranks * n_slots)
    for _ in range(n_ranks * n_slots):
        cell = (cell + 1) % (n_ranks * n_slots)
        if not old[table[cell // n_slots, cell % n_slots], cell // n_slots]:
            break
    g, i = cell // n_slots, cell % n_slots
    x = table[g, i]
    if old[x, g] or pinned[x, g]:
        return False
    first = below(random, n_slots)
    for t in range(n_slots):
        y = start[g, (first + t) % n_slots]
        if y < 0 or at[y, g] >= 0 or not allowed[y, g]:
            continue
        move[0], move[1], move[2], move[3] = g, i, y, -1
        if copies[x] > 1:
            return True
        h = holders[y, below(random, copies[y])]
        if at[x, h] >= 0 or not allowed[x, h] or pinned[y, h]:
            continue
        move[2], move[3] = h, at[y, h]
        return True
    return False


@kernel(
    f"float64({_I2}, {_I2}, {_F3}, {_F1}, {_I1}, {_F1}, {_B2}, {_B2}, {_B2}, int64, int64, {_F2},"
    f" {_RANDOM})"
)
def anneal(
    table: IntArray,
    start: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    group: IntArray,
    lam: FloatArray,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    cap: int,
    steps: int,
    heat: FloatArray,
    random: NDArray[np.uint64],
) -> float:
    """Anneal a table with at most ``cap`` new pairs; leave the best one met in its place.

    A change that would go beyond the cap brings others with it that give ranks back what was in
    force there, so that the search moves freely along the cap.

    Parameters
    ----------
    table : int64[H, C]
        Start, with at most ``cap`` new pairs.
    start : int64[H, C]
        The placement in force, -1: empty.
    item, slowness, group, lam, steps, heat, random
        As for `mapc.models.placement.annealing_kernels.anneal`.
    pinned, allowed, old : bool[E, H]
        Pairs that stay, that may be, and that are in force.
    cap : int

    Returns
    -------
    float
        ``sum lam * max load`` of the table.
    """
    n_ranks, n_experts, n_rows = table.shape[0], item.shape[0], item.shape[2]
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    load, power = np.empty((n_ranks, n_rows)), np.empty((n_ranks, n_rows))
    after, saved, fresh = np.empty_like(load), np.empty_like(load), np.empty_like(load)
    ranks, touched = np.empty(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.int64)
    mark, seen = np.full(n_ranks, -1, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    norm, slope = np.empty(len(lam)), np.empty(n_rows)
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    move, log = np.empty(4, dtype=np.int64), np.empty((REVERTS + 1, 5), dtype=np.int64)

    index(table, at, copies, holders)
    recompute(table, item, slowness, copies, 0, load, power)
    best, best_table = objective(load, group, lam, top, hottest), table.copy()
    new, replicas = new_pairs(table, old), table.size > n_experts
    for stage in range(len(heat)):
        doublings = int(heat[stage, 0])
        ratio = heat[stage, 2] / heat[stage, 1]
        for step in range(steps):
            if step % REBASE == 0:
                recompute(table, item, slowness, copies, doublings, load, power)
            if step % LOOK == 0:
                slopes(power, group, lam, doublings, norm, slope)
                objective(load, group, lam, top, hottest)
                temperature = heat[stage, 1] * ratio ** (step / steps)
            n, written, more, worse = 0, 0, 0, 0.0
            while written <= REVERTS:
                if written == 0:
                    found = propose(
                        table, at, copies, pinned, allowed, hottest, replicas, move, random
                    )
                elif new + more > max(cap, new):
                    found = revert(
                        table, start, copies, holders, at, pinned, allowed, old, move, random
                    )
                else:
                    break
                if not found:
                    break
                g, i, h, j = int(move[0]), int(move[1]), int(move[2]), int(move[3])
                e = table[g, i]
                log[written, 0], log[written, 1], log[written, 2] = g, i, e
                if j < 0:
                    log[written, 3] = -1
                    more += int(old[e, g]) - int(old[h, g])
                    n = replace(
                        table, at, copies, holders, item, slowness, load, mark, ranks, after,
                        seen, touched, saved, n, g, i, h,
                    )  # fmt: skip
                else:
                    log[written, 3], log[written, 4] = h, j
                    f = table[h, j]
                    more += int(old[e, g]) + int(old[f, h]) - int(old[f, g]) - int(old[e, h])
                    n = swap(
                        table, at, copies, holders, item, slowness, load,
                        seen, touched, saved, n, g, i, h, j,
                    )  # fmt: skip
                written += 1
                worse = rise(n, touched, load, fresh, power, slope, doublings)
                if worse > 0.0:
                    break  # to give back what was gained before will hardly help
            if written == 0:
                continue
            for t in range(n):
                seen[touched[t]] = -1
            fits = new + more <= max(cap, new)
            if fits and (worse <= 0.0 or worse <= -temperature * math.log(1.0 - uniform(random))):
                new += more
                for t in range(n):
                    for k in range(n_rows):
                        power[touched[t], k] = fresh[t, k]
                if worse < 0.0:
                    value = objective(load, group, lam, top, hottest)
                    if value < best * (1.0 - LEAST) and new <= cap:
                        best = value
                        best_table[:] = table
            else:
                undo(table, at, copies, holders, log, written)
                for t in range(n):
                    for k in range(n_rows):
                        load[touched[t], k] = saved[t, k]
    table[:] = best_table
    return best


@kernel(f"void({_I2}, {_I1})")
def assign(cost: IntArray, column: IntArray) -> None:
    """Solve a linear assignment: ``column[i]`` of row i, so that the costs add up to least.

    Shortest augmenting paths with potentials, O(n^3) (Kuhn 1955, Munkres 1957; Jonker and Volgenant
    1987).

    Parameters
    ----------
    cost : int64[n, n]
    column : int64[n]
        Output.
    """
    n = cost.shape[0]
    u, v = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    row, way = np.full(n + 1, -1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    far = np.int64(2**62)
    for i in range(n):
        row[n] = i  # the last column is no column: paths start there
        j = n
        least = np.full(n + 1, far)
        used = np.zeros(n + 1, dtype=np.bool_)
        while row[j] >= 0:
            used[j] = True
            delta, following = far, -1
            for c in range(n):
                if used[c]:
                    continue
                reduced = cost[row[j], c] - u[row[j]] - v[c]
                if reduced < least[c]:
                    least[c], way[c] = reduced, j
                if least[c] < delta:
                    delta, following = least[c], c
            for c in range(n + 1):
                if used[c]:
                    u[row[c]] += delta
                    v[c] -= delta
                else:
                    least[c] -= delta
            j = following
        while j != n:
            row[j] = row[way[j]]
            j = way[j]
    for c in range(n):
        column[row[c]] = c


# -- a relaxation that bounds what a budget can do ------------------------------------------------


@kernel(
    f"float64({_F3}, {_F2}, {_F1}, float64, {_B2}, {_B2}, {_B2}, {_I1}, {_F2}, {_I1})",
)
def relax(
    item: FloatArray,
    price: FloatArray,
    rent: FloatArray,
    fee: float,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    used: IntArray,
    load: FloatArray,
    new: IntArray,
) -> float:
    """Place every expert by itself at least cost, with prices on load, slots and new pairs.

    An expert with r replicas on the ranks R costs the sum over R of ``item[e, r - 1] @ price[h] +
    rent[h]``, and ``fee`` for every new pair. For each r the cheapest R are the pinned ranks and
    the r cheapest others. No r whose rents and fees alone cost more than what is found is tried.

    Parameters
    ----------
    item : float64[E, most, K]
    price : float64[H, K]
        >= 0.
    rent : float64[H]
    fee : float
        >= 0.
    pinned, allowed, old : bool[E, H]
    used : int64[H]
        Output: experts on every rank.
    load : float64[H, K]
        Output: sums of their items.
    new : int64[1]
        Output: new pairs.

    Returns
    -------
    float
        The sum of the least costs; inf if an expert fits nowhere.
    """
    n_experts, n_ranks, n_rows = item.shape[0], len(rent), item.shape[2]
    used[:] = 0
    load[:] = 0.0
    new[0] = 0
    total = 0.0
    cost, flat = np.empty(n_ranks), np.empty(n_ranks)
    rest = np.empty(n_ranks + 2)
    chosen, ranks = np.empty(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.int64)
    order = np.empty(n_ranks, dtype=np.int64)
    for e in range(n_experts):
        n, forced, always = 0, 0, 0.0
        for h in range(n_ranks):
            base = rent[h] + (0.0 if old[e, h] else fee)
            if pinned[e, h]:
                forced += 1
                always += base
                ranks[n_ranks - forced] = h
            elif allowed[e, h]:
                flat[n] = base
                ranks[n] = h
                n += 1
        most = min(n + forced, item.shape[1])
        ordered = np.sort(flat[:n])
        # rest[r]: least sum of rents and fees with r or more replicas
        sums = always
        for r in range(forced, most + 1):
            rest[r] = sums
            if r - forced < n:
                sums += ordered[r - forced]
        for r in range(most - 1, forced - 1, -1):
            rest[r] = min(rest[r], rest[r + 1])
        best, copies = np.inf, 0
        for r in range(max(forced, 1), most + 1):
            if rest[r] >= best:
                break
            value, kept = always, 0
            for t in range(n + forced):
                h = ranks[t] if t < n else ranks[n_ranks - 1 - (t - n)]
                work = 0.0
                for k in range(n_rows):
                    work += item[e, r - 1, k] * price[h, k]
                if t >= n:
                    value += work
                    continue
                work += flat[t]
                if kept == r - forced and (kept == 0 or work >= cost[kept - 1]):
                    continue
                kept = min(kept + 1, r - forced)
                j = kept - 1  # the cheapest so far, in order
                while j > 0 and cost[j - 1] > work:
                    cost[j], order[j] = cost[j - 1], order[j - 1]
                    j -= 1
                cost[j], order[j] = work, t
            for t in range(kept):
                value += cost[t]
            if value < best:
                best, copies = value, r
                chosen[:kept] = order[:kept]
        total += best
        for t in range(copies):
            h = ranks[chosen[t]] if t < copies - forced else ranks[n_ranks - 1 - (copies - 1 - t)]
            used[h] += 1
            if not old[e, h]:
                new[0] += 1
            for k in range(n_rows):
                load[h, k] += item[e, copies - 1, k]
    return total
