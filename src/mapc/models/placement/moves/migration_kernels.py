"""Few changes to the table of a layer that is in force: steepest descent, exact for one change.

The state of a run is that of `mapc.models.placement.profiles.annealing_kernels`. A pair (expert,
rank) is *new* if it is not in ``old``; tables have at most so many of them, and to undo a change is
free.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.profiles.annealing_kernels import (
    objective,
    recompute,
    replace_loads,
    slopes,
)
from mapc.models.placement.profiles.moves_kernels import index, keep, put

_I1, _I2, _I3 = "int64[::1]", "int64[:, ::1]", "int64[:, :, ::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2, _RANDOM = "boolean[:, ::1]", "uint64[::1]"

LEAST = 1e-9
"""Smallest fall of the smoothed objective, relative to it, that counts as one."""


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
        As for `mapc.models.placement.profiles.annealing_kernels.anneal`.
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
        keep(work, tables[t])
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
