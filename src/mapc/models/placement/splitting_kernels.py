"""Annealing of one layer's table while the tokens of its experts flow freely between replicas.

The state is that of `annealing_kernels`, and beside it

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
from mapc.models.placement.annealing_kernels import index, objective, put
from mapc.models.placement.problem import FloatArray
from mapc.random import below, uniform

_I1, _I2 = "int64[::1]", "int64[:, ::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2, _RANDOM = "boolean[:, ::1]", "uint64[::1]"

LOOK = 50
"""Steps between two settlings of the incumbent."""
SETTLE = 10
"""Sweeps of a settling."""
SWEEPS = 2
"""Sweeps after a move."""
SWAPS = 0.6
"""Part of the steps that swap; the others move a replica."""
HOT = 0.7
"""Part of the steps that start from a hottest rank."""


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
                s = min(max(s, -flow[h, j, k]), flow[g, i, k])
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


@kernel(f"float64({_F2}, {_F1}, int64)")
def smooth(load: FloatArray, lam: FloatArray, doublings: int) -> float:
    """Sum over rows of ``lam`` times the q-norm of the loads, q = 2 ** doublings."""
    total = 0.0
    for k in range(load.shape[1]):
        norm = 0.0
        for g in range(load.shape[0]):
            x = load[g, k]
            for _ in range(doublings):
                x *= x
            norm += x
        for _ in range(doublings):
            norm = math.sqrt(norm)
        total += lam[k] * norm
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


@kernel(f"float64({_I2}, {_F2}, {_F1}, {_F1}, {_B2}, {_B2}, {_B2}, int64, int64, {_F2}, {_RANDOM})")
def anneal_split(
    table: IntArray,
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
    """Anneal a table whose work splits freely and leave the best one met in its place.

    Parameters as of `annealing_kernels.anneal`, but for

    work : float64[E, K]
        Work of every expert in every row; rows scaled so that balanced ranks have load 1.
    lam : float64[K]
        Weight of each row.

    Returns
    -------
    float
        ``sum lam * max load`` after levelling: at least the value of the best split of the table.
    """
    n_ranks, n_slots = table.shape
    n_experts, n_rows = work.shape
    at = np.empty((n_experts, n_ranks), dtype=np.int64)
    copies = np.empty(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    replicated = np.empty(n_experts, dtype=np.int64)
    flow, load = np.empty((n_ranks, n_slots, n_rows)), np.empty((n_ranks, n_rows))
    flow_after, load_after = np.empty((n_ranks, n_slots, n_rows)), np.empty((n_ranks, n_rows))
    top, hottest = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    group = np.arange(n_rows)

    index(table, at, copies, holders)
    split_evenly(table, work, copies, slowness, flow, load)
    n = list_replicated(copies, replicated)
    sweep(20 * SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
    best, best_table = objective(load, group, lam, top, hottest), table.copy()
    new = 0
    for g in range(n_ranks):
        for i in range(n_slots):
            if not old[table[g, i], g]:
                new += 1

    for stage in range(len(heat)):
        doublings = int(heat[stage, 0])
        temperature = heat[stage, 1]
        cooling = (heat[stage, 2] / heat[stage, 1]) ** (LOOK / max(steps, 1))
        current = 0.0
        for step in range(steps):
            if step % LOOK == 0:
                temperature *= cooling
                sweep(SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
                current = smooth(load, lam, doublings)
                value = objective(load, group, lam, top, hottest)
                if value < best:
                    best = value
                    best_table[:] = table
            k = below(random, n_rows)
            hot = uniform(random) < HOT
            g = hottest[k] if hot else below(random, n_ranks)
            i = below(random, n_slots)
            e = table[g, i]
            if uniform(random) < SWAPS:
                h = below(random, n_ranks)
                j = below(random, n_slots)
                f = table[h, j]
                if at[f, g] >= 0 or at[e, h] >= 0 or locked[g, i] or locked[h, j]:
                    continue
                if not (allowed[f, g] and allowed[e, h]):
                    continue
                more = int(old[e, g]) + int(old[f, h]) - int(old[f, g]) - int(old[e, h])
                if more > 0 and max_new >= 0 and new + more > max_new:
                    continue
                flow_after[:] = flow
                load_after[:] = load
                put(table, at, copies, holders, g, i, f)
                put(table, at, copies, holders, h, j, e)
                exchange(flow_after, load_after, slowness, g, i, h, j)
            else:
                h, j = -1, -1
                if hot and uniform(random) < 0.5:  # another replica for an expert of the hot rank
                    f = e
                    g = below(random, n_ranks)
                    i = below(random, n_slots)
                    e = table[g, i]
                else:
                    f = below(random, n_experts)
                if copies[e] < 2 or at[f, g] >= 0 or locked[g, i] or not allowed[f, g]:
                    continue
                more = int(old[e, g]) - int(old[f, g])
                if more > 0 and max_new >= 0 and new + more > max_new:
                    continue
                flow_after[:] = flow
                load_after[:] = load
                put(table, at, copies, holders, g, i, f)
                vacate(flow_after, load_after, slowness, at, copies, holders, e, g, i)
                n = list_replicated(copies, replicated)
            sweep(SWEEPS, replicated, n, at, copies, holders, slowness, flow_after, load_after)
            after = smooth(load_after, lam, doublings)
            worse = after - current
            if worse > 0.0 and worse > -temperature * math.log(1.0 - uniform(random)):
                put(table, at, copies, holders, g, i, e)
                if h >= 0:
                    put(table, at, copies, holders, h, j, f)
                else:
                    n = list_replicated(copies, replicated)
                continue
            new += more
            current = after
            flow[:] = flow_after
            load[:] = load_after
    sweep(SETTLE, replicated, n, at, copies, holders, slowness, flow, load)
    value = objective(load, group, lam, top, hottest)
    if value < best:
        return value
    table[:] = best_table
    return best
