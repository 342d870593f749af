"""Annealing of one layer's table while the tokens of its experts flow freely between replicas.

The state is that of `moves_kernels`, and beside it

flow : float64[H, C, K]
    Work that every slot takes in every row; over the slots of an expert it sums to the expert's.
load : float64[H, K]
    slowness * sum of a rank's flows.

A move carries flows along; a few sweeps that level pairs of replicas then let the work settle. They
do not reach the best split, so the true value of a table is at most what is found here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.profiles.annealing_kernels import objective
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

LOOK = 50
"""Steps between two settlings of the walk."""
SETTLE = 10
"""Sweeps of a settling."""
SWEEPS = 4
"""Sweeps after a move that looks promising."""
PROMISING = 10.0
"""Temperatures by which a move may be worse before these sweeps."""


@kernel(f"void({_I2}, {_F2}, {_I1}, {_F1}, {_F3}, {_F2})")
def split_evenly(
    table: IntArray,
    work: FloatArray,
    copies: IntArray,
    slowness: FloatArray,
    flow: FloatArray,
    load: FloatArray,
) -> None:
    """Set ``flow`` to equal parts and ``load`` accordingly."""
    load[:] = 0.0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            e = table[g, i]
            for k in range(work.shape[1]):
                flow[g, i, k] = work[e, k] / copies[e]
                load[g, k] += slowness[g] * flow[g, i, k]


@kernel(f"int64({_I1}, {_I1})")
def list_replicated(copies: IntArray, replicated: IntArray) -> int:
    """List the experts with several replicas; return how many."""
    n = 0
    for e in range(len(copies)):
        if copies[e] > 1:
            replicated[n] = e
            n += 1
    return n


@kernel(f"void(int64, {_I2}, {_I1}, {_I2}, {_F1}, {_F3}, {_F2})")
def level(
    e: int,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    slowness: FloatArray,
    flow: FloatArray,
    load: FloatArray,
) -> None:
    """Level the loads of every pair of ranks that hold e, as far as its flows allow."""
    for a in range(copies[e] - 1):
        g = holders[e, a]
        i = at[e, g]
        for b in range(a + 1, copies[e]):
            h = holders[e, b]
            j = at[e, h]
            both = 1.0 / (slowness[g] + slowness[h])
            for k in range(load.shape[1]):
                s = (load[g, k] - load[h, k]) * both
                if s > flow[g, i, k]:
                    s = flow[g, i, k]
                if s < -flow[h, j, k]:
                    s = -flow[h, j, k]
                flow[g, i, k] -= s
                flow[h, j, k] += s
                load[g, k] -= slowness[g] * s
                load[h, k] += slowness[h] * s


@kernel(f"void(int64, {_I1}, int64, {_I2}, {_I1}, {_I2}, {_F1}, {_F3}, {_F2})")
def sweep(
    times: int,
    replicated: IntArray,
    n: int,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    slowness: FloatArray,
    flow: FloatArray,
    load: FloatArray,
) -> None:
    """Level all replicated experts, to and fro so that work travels both ways."""
    for t in range(times):
        for x in range(n):
            e = replicated[x] if t % 2 == 0 else replicated[n - 1 - x]
            level(e, at, copies, holders, slowness, flow, load)


@kernel(f"void({_F2}, int64, {_F2}, {_F1})")
def raise_loads(load: FloatArray, doublings: int, power: FloatArray, norm: FloatArray) -> None:
    """Set ``power`` to loads to the power of ``2 ** doublings``, and ``norm`` to sums by row."""
    norm[:] = 0.0
    for g in range(load.shape[0]):
        for k in range(load.shape[1]):
            x = load[g, k]
            for _ in range(doublings):
                x *= x
            power[g, k] = x
            norm[k] += x


@kernel(f"void(int64, {_I1}, {_F2}, int64, {_F2}, {_F2}, {_F1})")
def raise_some(
    n: int,
    ranks: IntArray,
    load: FloatArray,
    doublings: int,
    power: FloatArray,
    raised: FloatArray,
    norm: FloatArray,
) -> None:
    """Set ``raised`` for n ranks and change ``norm`` by what ``power`` had there."""
    for t in range(n):
        g = ranks[t]
        for k in range(load.shape[1]):
            x = load[g, k]
            for _ in range(doublings):
                x *= x
            raised[g, k] = x
            norm[k] += x - power[g, k]


@kernel(f"float64({_F1}, {_F1}, int64)")
def root(norm: FloatArray, lam: FloatArray, doublings: int) -> float:
    """Sum of ``lam`` times the roots of ``norm``."""
    total = 0.0
    for k in range(len(norm)):
        x = max(norm[k], 0.0)
        for _ in range(doublings):
            x = math.sqrt(x)
        total += lam[k] * x
    return total


@kernel(f"void({_F3}, {_F2}, {_F1}, int64, int64, int64, int64)")
def exchange(
    flow: FloatArray, load: FloatArray, slowness: FloatArray, g: int, i: int, h: int, j: int
) -> None:
    """Exchange the flows of two slots."""
    for k in range(load.shape[1]):
        a, b = flow[g, i, k], flow[h, j, k]
        flow[g, i, k], flow[h, j, k] = b, a
        load[g, k] += slowness[g] * (b - a)
        load[h, k] += slowness[h] * (a - b)


@kernel(f"void({_F3}, {_F2}, {_F1}, {_I2}, {_I1}, {_I2}, int64, int64, int64)")
def vacate(
    flow: FloatArray,
    load: FloatArray,
    slowness: FloatArray,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    e: int,
    g: int,
    i: int,
) -> None:
    """Spread what slot i of rank g took over the replicas that e has left."""
    for k in range(load.shape[1]):
        taken = flow[g, i, k]
        flow[g, i, k] = 0.0
        load[g, k] -= slowness[g] * taken
        part = taken / copies[e]
        for a in range(copies[e]):
            h = holders[e, a]
            flow[h, at[e, h], k] += part
            load[h, k] += slowness[h] * part


@kernel(f"int64({_I1}, {_I2}, {_I2}, {_I1}, {_I2}, {_F1}, {_F3}, {_F2}, int64, {_I1}, {_I1})")
def carry(
    move: IntArray,
    table: IntArray,
    at: IntArray,
    copies: IntArray,
    holders: IntArray,
    slowness: FloatArray,
    flow: FloatArray,
    load: FloatArray,
    e: int,
    ranks: IntArray,
    mark: IntArray,
) -> int:
    """Let flows follow a move that took e from its slot, and level around it.

    The experts of the ranks that changed are levelled, then those of the first two of these ranks
    once more. Returns how many ``ranks`` have other loads than before.
    """
    if move[3] != NOWHERE:
        exchange(flow, load, slowness, move[0], move[1], move[3], move[4])
        ranks[0], ranks[1], n = move[0], move[3], 2
    else:
        vacate(flow, load, slowness, at, copies, holders, e, move[0], move[1])
        ranks[0], n = move[0], 1
        for a in range(copies[e]):
            ranks[n] = holders[e, a]
            n += 1
    first = n
    for t in range(n):
        mark[ranks[t]] = t
    for again in range(2):
        for t in range(2 if again else first):
            g = ranks[t]
            for i in range(table.shape[1]):
                f = table[g, i]
                if copies[f] < 2:
                    continue
                level(f, at, copies, holders, slowness, flow, load)
                for a in range(copies[f]):
                    if mark[holders[f, a]] < 0:
                        mark[holders[f, a]] = n
                        ranks[n] = holders[f, a]
                        n += 1
    for t in range(n):
        mark[ranks[t]] = -1
    return n


@kernel(f"void(int64, {_I1}, {_F3}, {_F2}, {_F2}, {_F3}, {_F2}, {_F2})")
def copy_ranks(
    n: int,
    ranks: IntArray,
    flow: FloatArray,
    load: FloatArray,
    power: FloatArray,
    to_flow: FloatArray,
    to_load: FloatArray,
    to_power: FloatArray,
) -> None:
    """Copy the state of n ranks."""
    for t in range(n):
        g = ranks[t]
        for k in range(load.shape[1]):
            to_load[g, k] = load[g, k]
            to_power[g, k] = power[g, k]
        for i in range(flow.shape[1]):
            for k in range(load.shape[1]):
                to_flow[g, i, k] = flow[g, i, k]


@kernel(f"void({_F2}, {_I1}, {_F2})")
def weigh(work: FloatArray, copies: IntArray, share: FloatArray) -> None:
    """Set ``share`` to the mean work of an expert's replicas."""
    for e in range(len(copies)):
        for k in range(work.shape[1]):
            share[e, k] = work[e, k] / copies[e]


@kernel(
    f"float64({_I2}, {_I2}, {_F2}, {_F1}, {_F1}, {_B2}, {_B2}, {_B2}, int64, int64, {_F2},"
    f" {_RANDOM})"
)
def anneal_split(
    table: IntArray,
    best: IntArray,
    work: FloatArray,
    slowness: FloatArray,
    lam: FloatArray,
    locked: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    max_new: int,
    steps: int,
    heat: FloatArray,
    random: NDArray[np.uint64],
) -> float:
    """Anneal a table whose work splits freely and keep the best one met.

    Parameters as of `annealing_kernels.anneal`, but for

    work : float64[E, K]
        Work of every expert in every row; rows scaled so that balanced ranks have load 1.
    lam : float64[K]
        Weight of each row.

    Returns
    -------
    float
        ``sum lam * max load`` of ``best`` after levelling: no less than the value of its best
        split.
    """
    n_ranks, n_slots = table.shape
    n_experts, n_rows = work.shape
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    replicated = np.empty(n_experts, dtype=np.int64)
    price = np.empty((n_experts, n_ranks), dtype=np.int8)
    share = np.empty((n_experts, n_rows))
    flow, load = np.empty((n_ranks, n_slots, n_rows)), np.empty((n_ranks, n_rows))
    power, norm = np.empty((n_ranks, n_rows)), np.empty(n_rows)
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    group, every = np.arange(n_rows), np.arange(n_ranks)
    ranks, mark = np.empty(n_ranks, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    move = np.empty(6, dtype=np.int64)

    index(best, at, copies, holders)
    split_evenly(best, work, copies, slowness, flow, load)
    n = list_replicated(copies, replicated)
    sweep(20 * SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
    least = objective(load, group, lam, top, hottest)
    index(table, at, copies, holders)
    split_evenly(table, work, copies, slowness, flow, load)
    n = list_replicated(copies, replicated)
    sweep(10 * SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
    weigh(work, copies, share)
    new = price_moves(table, allowed, old, price)
    room = max_new - new if max_new >= 0 else table.size
    flow_after, load_after = flow.copy(), load.copy()
    power_after, norm_after = power.copy(), norm.copy()
    for stage in range(len(heat)):
        doublings, temperature = int(heat[stage, 0]), heat[stage, 1]
        cooling = (heat[stage, 2] / heat[stage, 1]) ** (LOOK / max(steps, 1))
        current = 0.0
        for step in range(steps):
            if step % LOOK == 0:
                temperature *= cooling
                n = list_replicated(copies, replicated)
                sweep(SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
                raise_loads(load, doublings, power, norm)
                copy_ranks(n_ranks, every, flow, load, power, flow_after, load_after, power_after)
                current = root(norm, lam, doublings)
                value = objective(load, group, lam, top, hottest)
                if value < least:
                    least = value
                    keep(table, best)
            if not draw(table, at, copies, share, locked, price, room, hottest, move, random):
                continue
            e = table[move[0], move[1]]
            make(table, at, copies, holders, move)
            m = carry(
                move, table, at, copies, holders, slowness, flow_after, load_after, e, ranks, mark
            )
            for k in range(n_rows):
                norm_after[k] = norm[k]
            raise_some(m, ranks, load_after, doublings, power, power_after, norm_after)
            worse = root(norm_after, lam, doublings) - current
            moved = ranks
            if 0.0 < worse < PROMISING * temperature:
                n = list_replicated(copies, replicated)
                sweep(SWEEPS, replicated, n, at, copies, holders, slowness, flow_after, load_after)
                raise_loads(load_after, doublings, power_after, norm_after)
                worse = root(norm_after, lam, doublings) - current
                m, moved = n_ranks, every
            if worse > 0.0 and worse > -temperature * math.log(1.0 - uniform(random)):
                make(table, at, copies, holders, move)
                copy_ranks(m, moved, flow, load, power, flow_after, load_after, power_after)
                continue
            copy_ranks(m, moved, flow_after, load_after, power_after, flow, load, power)
            for k in range(n_rows):
                norm[k] = norm_after[k]
            room -= move[5]
            current += worse
            if move[3] == NOWHERE:
                weigh(work, copies, share)
    n = list_replicated(copies, replicated)
    sweep(10 * SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
    value = objective(load, group, lam, top, hottest)
    if value < least:
        keep(table, best)
        return value
    return least
