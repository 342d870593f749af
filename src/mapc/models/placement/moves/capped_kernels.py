"""Annealing of a table under a cap on pairs of expert and rank that are new.

A step is one or more changes in a row, each written down as (rank, slot, expert before, rank and
slot of the other half of a swap or -1), so that it can be taken back as a whole. The state of a run
is that of `mapc.models.placement.profiles.moves_kernels`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.moves.migration_kernels import LEAST, new_pairs, raised
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.profiles.annealing_kernels import (
    objective,
    recompute,
    replace_loads,
    slopes,
    touch,
)
from mapc.models.placement.profiles.moves_kernels import index, keep, put
from mapc.random import below, uniform

_I1, _I2 = "int64[::1]", "int64[:, ::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2, _RANDOM = "boolean[:, ::1]", "uint64[::1]"

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
        As for `mapc.models.placement.profiles.annealing_kernels.anneal`.
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
                        keep(table, best_table)
            else:
                undo(table, at, copies, holders, log, written)
                for t in range(n):
                    for k in range(n_rows):
                        load[touched[t], k] = saved[t, k]
    keep(best_table, table)
    return best
