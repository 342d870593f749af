"""Annealing of one layer's table over many rows of work at once.

The largest load of each profile is smoothed into a q-norm, so that every move changes the
objective. The state of a run is that of `moves_kernels`, and

load : float64[H, K]
    Load of every rank in every row.
power : float64[H, K]
    ``load ** q``.

Rows are last, so that the inner loops run over them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.profiles.moves_kernels import (
    NOWHERE,
    draw,
    index,
    keep,
    make,
    price_moves,
)
from mapc.random import uniform

_I1, _I2 = "int64[::1]", "int64[:, ::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2, _RANDOM = "boolean[:, ::1]", "uint64[::1]"

LOOK = 32
"""Steps between two looks at the hottest ranks and at the true objective."""
REBASE = 4096
"""Steps between two computations of all loads from the table, against drift."""


@kernel(f"void({_F2}, int64, {_F2}, int64, int64)")
def raise_to(load: FloatArray, g: int, power: FloatArray, t: int, doublings: int) -> None:
    """Set row t of ``power`` to row g of ``load``, to the power of ``2 ** doublings``."""
    for k in range(load.shape[1]):
        x = load[g, k]
        for _ in range(doublings):
            x *= x
        power[t, k] = x


@kernel(f"void({_I2}, {_F3}, {_F1}, {_I1}, int64, {_F2}, {_F2})")
def recompute(
    table: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    copies: IntArray,
    doublings: int,
    load: FloatArray,
    power: FloatArray,
) -> None:
    """Set ``load`` and ``power`` from the table."""
    load[:] = 0.0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            e = table[g, i]
            for k in range(load.shape[1]):
                load[g, k] += slowness[g] * item[e, copies[e] - 1, k]
        raise_to(load, g, power, g, doublings)


@kernel(f"float64({_F2}, {_I1}, {_F1}, {_F1}, {_I1})")
def objective(
    load: FloatArray, group: IntArray, lam: FloatArray, top: FloatArray, hottest: IntArray
) -> float:
    """Sum of ``lam`` times the largest load of each group of rows; fills ``hottest`` by row."""
    n_rows = load.shape[1]
    for k in range(n_rows):
        top[k] = load[0, k]
        hottest[k] = 0
    for g in range(1, load.shape[0]):
        for k in range(n_rows):
            if load[g, k] > top[k]:
                top[k] = load[g, k]
                hottest[k] = g
    total = 0.0
    for p in range(len(lam)):
        largest = 0.0
        for k in range(n_rows):
            if group[k] == p and top[k] > largest:
                largest = top[k]
        total += lam[p] * largest
    return total


@kernel(f"void({_F2}, {_I1}, {_F1}, int64, {_F1}, {_F1})")
def slopes(
    power: FloatArray,
    group: IntArray,
    lam: FloatArray,
    doublings: int,
    norm: FloatArray,
    slope: FloatArray,
) -> None:
    """Set ``slope[k]`` to the derivative of ``sum lam * norm ** (1 / q)`` by powers of row k.

    The root is concave: to go by its tangent makes a rise look larger than it is, never smaller.
    """
    q = float(2**doublings)
    norm[:] = 0.0
    for g in range(power.shape[0]):
        for k in range(power.shape[1]):
            norm[group[k]] += power[g, k]
    for k in range(power.shape[1]):
        p = group[k]
        slope[k] = lam[p] * norm[p] ** (1.0 / q - 1.0) / q if norm[p] > 0.0 else 0.0


@kernel(f"float64(int64, {_I1}, {_F2}, {_F2}, {_F2}, {_F1}, int64)")
def rise(
    n: int,
    ranks: IntArray,
    after: FloatArray,
    raised: FloatArray,
    power: FloatArray,
    slope: FloatArray,
    doublings: int,
) -> float:
    """Rise of the smoothed objective if the loads of n ranks become ``after``; fills ``raised``."""
    total = 0.0
    for t in range(n):
        g = ranks[t]
        for k in range(len(slope)):
            x = after[t, k]
            for _ in range(doublings):
                x *= x
            raised[t, k] = x
            total += slope[k] * (x - power[g, k])
    return total


@kernel(f"int64({_I1}, {_I1}, int64, {_F2}, {_F2}, int64)")
def touch(
    mark: IntArray, ranks: IntArray, n: int, load: FloatArray, after: FloatArray, g: int
) -> int:
    """Make g one of the n ranks a move changes, unless it is; return how many they are now."""
    if mark[g] >= 0:
        return n
    mark[g] = n
    ranks[n] = g
    for k in range(load.shape[1]):
        after[n, k] = load[g, k]
    return n + 1


@kernel(f"int64(int64, int64, int64, {_F3}, {_F1}, {_I1}, {_I2}, {_F2}, {_I1}, {_I1}, {_F2})")
def replace_loads(
    g: int,
    e: int,
    f: int,
    item: FloatArray,
    slowness: FloatArray,
    copies: IntArray,
    holders: IntArray,
    load: FloatArray,
    mark: IntArray,
    ranks: IntArray,
    after: FloatArray,
) -> int:
    """Loads ``after`` a slot of e on rank g goes to f; return how many ``ranks`` change."""
    r, s, n = copies[e], copies[f], 0
    for j in range(r):
        h = holders[e, j]
        n = touch(mark, ranks, n, load, after, h)
        for k in range(load.shape[1]):
            left = item[e, r - 2, k] if h != g else 0.0
            after[n - 1, k] += slowness[h] * (left - item[e, r - 1, k])
    n = touch(mark, ranks, n, load, after, g)
    for k in range(load.shape[1]):
        after[mark[g], k] += slowness[g] * item[f, s, k]
    for j in range(s):
        h = holders[f, j]
        n = touch(mark, ranks, n, load, after, h)
        for k in range(load.shape[1]):
            after[mark[h], k] += slowness[h] * (item[f, s, k] - item[f, s - 1, k])
    for t in range(n):
        mark[ranks[t]] = -1
    return n


@kernel(f"void({_F3}, {_I1}, int64, {_F2})")
def weigh(item: FloatArray, copies: IntArray, e: int, share: FloatArray) -> None:
    """Set what a replica of e weighs."""
    for k in range(share.shape[1]):
        share[e, k] = item[e, copies[e] - 1, k]


@kernel(f"int64({_I2}, {_I1}, {_F2}, {_F1}, {_F2}, {_I1}, {_F2})")
def swap_loads(
    table: IntArray,
    move: IntArray,
    share: FloatArray,
    slowness: FloatArray,
    load: FloatArray,
    ranks: IntArray,
    after: FloatArray,
) -> int:
    """Loads ``after`` a swap; return how many ``ranks`` change."""
    g, h = move[0], move[3]
    e, f = table[g, move[1]], move[2]
    ranks[0], ranks[1] = g, h
    for k in range(share.shape[1]):
        moved = share[e, k] - share[f, k]
        after[0, k] = load[g, k] - slowness[g] * moved
        after[1, k] = load[h, k] + slowness[h] * moved
    return 2


@kernel(
    f"float64({_I2}, {_I2}, {_F3}, {_F1}, {_I1}, {_F1}, {_B2}, {_B2}, {_B2}, int64, int64, {_F2},"
    f" {_RANDOM})"
)
def anneal(
    table: IntArray,
    best: IntArray,
    item: FloatArray,
    slowness: FloatArray,
    group: IntArray,
    lam: FloatArray,
    locked: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    max_new: int,
    steps: int,
    heat: FloatArray,
    random: NDArray[np.uint64],
) -> float:
    """Anneal a table and keep the best one met, by the true objective.

    Parameters
    ----------
    table : int64[H, C]
        Start, without duplicates on a rank, every expert somewhere; where the walk ends.
    best : int64[H, C]
        The best table known, with the slots ``locked`` as in ``table``; replaced by a better one.
    item : float64[E, most, K]
        Work of one replica of an expert that has 1, 2, ... of them, in every row; rows scaled so
        that loads are near 1.
    slowness : float64[H]
        Load of a rank = slowness times the sum of its items.
    group : int64[K]
        Rows of one group count by the largest load among them all: tokens and activated experts
        of one profile.
    lam : float64[groups]
        Weight of each group; sum near 1, so that temperatures fit.
    locked : bool[H, C]
        Slots that keep their expert.
    allowed : bool[E, H]
        Where experts may go; what stays is not asked.
    old : bool[E, H]
        Pairs that cost no move.
    max_new : int
        Most pairs of the table outside ``old``, -1: any. A start with more never gains another.
    steps : int
        Moves tried in each stage.
    heat : float64[stages, 3]
        log2 of q, first and last temperature of each stage.
    random : uint64[1]
        State of `mapc.random`; moves on.

    Returns
    -------
    float
        ``sum lam * max load`` of ``best``.
    """
    n_ranks, n_experts, n_rows = table.shape[0], item.shape[0], item.shape[2]
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    price = np.empty((n_experts, n_ranks), dtype=np.int8)
    share = np.empty((n_experts, n_rows))
    load, power = np.empty((n_ranks, n_rows)), np.empty((n_ranks, n_rows))
    after, raised = np.empty((n_ranks, n_rows)), np.empty((n_ranks, n_rows))
    ranks, mark = np.empty(n_ranks, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    norm, slope = np.empty(len(lam)), np.empty(n_rows)
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    move = np.empty(6, dtype=np.int64)

    index(best, at, copies, holders)
    recompute(best, item, slowness, copies, 0, load, power)
    least = objective(load, group, lam, top, hottest)
    index(table, at, copies, holders)
    for e in range(n_experts):
        weigh(item, copies, e, share)
    new = price_moves(table, allowed, old, price)
    room = max_new - new if max_new >= 0 else table.size
    for stage in range(len(heat)):
        doublings, temperature = int(heat[stage, 0]), heat[stage, 1]
        cooling = (heat[stage, 2] / heat[stage, 1]) ** (LOOK / max(steps, 1))
        for step in range(steps):
            if step % REBASE == 0:
                recompute(table, item, slowness, copies, doublings, load, power)
            if step % LOOK == 0:
                temperature *= cooling
                slopes(power, group, lam, doublings, norm, slope)
                value = objective(load, group, lam, top, hottest)
                if value < least:
                    least = value
                    keep(table, best)
            if not draw(table, at, copies, share, locked, price, room, hottest, move, random):
                continue
            g, f = move[0], move[2]
            e = table[g, move[1]]
            if move[3] != NOWHERE:
                n = swap_loads(table, move, share, slowness, load, ranks, after)
            else:
                n = replace_loads(
                    g, e, f, item, slowness, copies, holders, load, mark, ranks, after
                )
            worse = rise(n, ranks, after, raised, power, slope, doublings)
            if worse > 0.0 and worse > -temperature * math.log(1.0 - uniform(random)):
                continue
            room -= move[5]
            make(table, at, copies, holders, move)
            for t in range(n):
                for k in range(n_rows):
                    load[ranks[t], k] = after[t, k]
                    power[ranks[t], k] = raised[t, k]
            if move[3] == NOWHERE:
                weigh(item, copies, e, share)
                weigh(item, copies, f, share)
    recompute(table, item, slowness, copies, 0, load, power)
    value = objective(load, group, lam, top, hottest)
    if value < least:
        keep(table, best)
        return value
    return least
