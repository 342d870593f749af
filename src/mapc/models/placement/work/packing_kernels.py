"""Replica counts and packing for `mapc.models.placement.work.balance`; shapes as in its kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.uint8]

SETTLED = 1e-12
"""Relative gain below which a move is rounding, not gain."""


@kernel("void(float64[:,::1], int64, int64[::1])")
def replicate(item: Floats, n_slots: int, copies: Ints) -> None:
    """Fill ``copies``, int64[E]: one each, the rest one by one to the heaviest replica."""
    n_experts, most = item.shape
    copies[:] = 1
    for _ in range(n_slots - n_experts):
        heaviest = -1
        for e in range(n_experts):
            if copies[e] < most and (
                heaviest < 0 or item[e, copies[e] - 1] > item[heaviest, copies[heaviest] - 1]
            ):
                heaviest = e
        copies[heaviest] += 1


@kernel(
    "int64(int64, int64[:,::1], int64[::1], uint8[:,::1], float64[::1], int64[::1], float64[:,::1])"
)
def _make_room(
    e: int, table: Ints, used: Ints, holds: Flags, load: Floats, copies: Ints, item: Floats
) -> int:
    """Return a rank without expert e that has room now.

    All ranks with room hold e; one of them, g, takes an item from a full rank h that does not.
    There always is one: h has C items, none of them e, and g has at most C - 2 beside e.
    """
    n_ranks, n_slots = table.shape
    g = 0
    while used[g] == n_slots:
        g += 1
    for h in range(n_ranks):
        if holds[h, e] == 0:
            for s in range(n_slots - 1, -1, -1):
                f = table[h, s]
                if holds[g, f] == 0:
                    table[g, used[g]] = f
                    used[g] += 1
                    used[h] -= 1
                    table[h, s] = table[h, used[h]]
                    load[g] += item[f, copies[f] - 1]
                    load[h] -= item[f, copies[f] - 1]
                    holds[g, f], holds[h, f] = 1, 0
                    return h
    return -1


@kernel("void(int64[::1], float64[:,::1], float64[::1], int64[:,::1])")
def pack(copies: Ints, item: Floats, slow: Floats, table: Ints) -> None:
    """Fill ``table``, int64[G, C]: heaviest replica first, to the rank that is done soonest."""
    n_experts = len(copies)
    n_ranks, n_slots = table.shape
    used = np.zeros(n_ranks, dtype=np.int64)
    load = np.zeros(n_ranks)
    holds = np.zeros((n_ranks, n_experts), dtype=np.uint8)
    weight = np.empty(n_experts)
    for e in range(n_experts):
        weight[e] = -item[e, copies[e] - 1]
    # mergesort is stable: equal experts stay in order on every machine
    for e in np.argsort(weight, kind="mergesort"):
        for _ in range(copies[e]):
            best = -1
            time = 0.0
            for g in range(n_ranks):
                if used[g] < n_slots and holds[g, e] == 0:
                    then = (load[g] - weight[e]) * slow[g]
                    if best < 0 or then < time:
                        best, time = g, then
            if best < 0:
                best = _make_room(e, table, used, holds, load, copies, item)
            table[best, used[best]] = e
            used[best] += 1
            load[best] -= weight[e]
            holds[best, e] = 1


@kernel("float64(float64[:,::1], int64[::1], int64[::1], int64, int64, float64[::1], float64)")
def _folded(
    item: Floats, copies: Ints, order: Ints, a: int, b: int, row: Floats, limit: float
) -> float:
    """Return the largest sum of a pair: the heaviest replica and the lightest, and so on inwards.

    ``order`` has the experts by falling weight of a replica, but a and b may have come to weigh
    more or less; -1: none has. ``row`` is float64[S] to work in. Sums from ``limit`` on are not
    told apart.
    """
    if a >= 0 and item[a, copies[a] - 1] < item[b, copies[b] - 1]:
        a, b = b, a
    n = 0
    waiting = 2 if a >= 0 else 0
    for i in range(len(order) + 1):
        e = order[i] if i < len(order) else -1
        if e >= 0 and e in (a, b):
            continue
        weight = item[e, copies[e] - 1] if e >= 0 else -1.0
        while waiting > 0:
            f = a if waiting == 2 else b
            if item[f, copies[f] - 1] < weight:
                break
            row[n : n + copies[f]] = item[f, copies[f] - 1]
            n += copies[f]
            waiting -= 1
        if e >= 0:
            row[n : n + copies[e]] = weight
            n += copies[e]
    worst = 0.0
    for i in range(n // 2):
        if row[i] + row[n - 1 - i] > worst:
            worst = row[i] + row[n - 1 - i]
            if worst >= limit:
                break
    return worst


@kernel("float64(float64[:,::1], int64[::1], float64, int64)")
def fold(item: Floats, copies: Ints, target: float, steps: int) -> float:
    """Move replicas between experts until no single move makes the heaviest pair lighter.

    Given replicas, two on a rank are best paired heaviest with lightest: if the heaviest x is with
    y and the lightest z with u, then x + z and y + u are both at most x + y or at most x + u, and
    so on inwards. Only the numbers of replicas are looked for, then.

    Parameters
    ----------
    copies : int64[E]
        Changed in place; an even sum.
    target : float
        Sum of a pair at which to stop.
    steps : int
        Most moves.

    Returns
    -------
    float
        The heaviest pair.
    """
    n_experts, most = item.shape
    row = np.empty(copies.sum())
    weight = np.empty(n_experts)
    for e in range(n_experts):
        weight[e] = -item[e, copies[e] - 1]
    order = np.argsort(weight, kind="mergesort")
    best = _folded(item, copies, order, -1, -1, row, np.inf)
    pairs = n_experts * n_experts
    at, idle, moved = 0, 0, 0
    while idle < pairs and moved < steps and best > target:
        # the first move that helps is taken: looking for the best one takes ten times as long
        a, b = at // n_experts, at % n_experts
        if copies[a] < 2:
            idle += n_experts - b
            at = (at + n_experts - b) % pairs
            continue
        idle += 1
        at = (at + 1) % pairs
        if a == b or copies[b] == most:
            continue
        copies[a] -= 1
        copies[b] += 1
        worst = _folded(item, copies, order, a, b, row, best)
        if worst < best * (1.0 - SETTLED):
            best, idle, moved = worst, 0, moved + 1
            for e in range(n_experts):
                weight[e] = -item[e, copies[e] - 1]
            order = np.argsort(weight, kind="mergesort")
        else:
            copies[a] += 1
            copies[b] -= 1
    return best
