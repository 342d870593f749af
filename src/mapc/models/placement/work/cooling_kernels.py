"""Annealing of one row of work, where descent is stuck; see `mapc.models.placement.work.balance`.

Shapes as in `balance_kernels`. What is annealed is the q-norm of the ranks' times, q a power of
two: close to the slowest time, but every rank counts a little. A step changes few ranks, so the
change of the sum of powers is exact, and the norm's change is taken along its tangent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.models.placement.work.balance_kernels import keep, slowest, tally
from mapc.random import below, uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.uint8]
Stream = NDArray[np.uint64]

REFRESH, TANGENT = 2048, 64
"""Steps after which sums are formed anew, and after which the tangent is."""
HOTTEST, REPLICAS = 0.5, 0.3
"""How often a step looks at the slowest rank, and how often it changes numbers of replicas."""


@kernel("float64(float64, int64)")
def _power(x: float, squarings: int) -> float:
    for _ in range(squarings):
        x *= x
    return x


@kernel(
    "int64(int64, int64, int64, float64[:,::1], int64[::1], float64[::1], uint8[:,::1],"
    " int64[::1], float64[::1])"
)
def _replaced(
    h: int,
    e: int,
    f: int,
    item: Floats,
    copies: Ints,
    load: Floats,
    holds: Flags,
    rank: Ints,
    then: Floats,
) -> int:
    """List ranks and their loads after a copy of e on rank h becomes one of f; return how many."""
    more = item[e, copies[e] - 2] - item[e, copies[e] - 1]
    less = item[f, copies[f]] - item[f, copies[f] - 1]
    n = 0
    for i in range(len(load)):
        if holds[i, e] or holds[i, f]:
            rank[n] = i
            then[n] = load[i] + holds[i, e] * more + holds[i, f] * less
            if i == h:
                then[n] = load[i] + item[f, copies[f]] - item[e, copies[e] - 1]
            n += 1
    return n


@kernel(
    "float64(int64[:,::1], float64[:,::1], float64[::1], float64, int64, int64, float64, float64,"
    " uint64[::1])"
)
def anneal(
    table: Ints,
    item: Floats,
    slow: Floats,
    target: float,
    squarings: int,
    steps: int,
    hot: float,
    cold: float,
    state: Stream,
) -> float:
    """Anneal a table; return the slowest rank's least time.

    Parameters
    ----------
    table : int64[G, C]
        Becomes the table with the least time of the slowest rank seen.
    target : float
        Time at which to stop; > 0.
    squarings : int
        q = 2 ** squarings.
    hot, cold : float
        First and last temperature, as parts of ``target``; in between geometric.
    state : uint64[1]
        Random stream.
    """
    n_ranks, n_slots = table.shape
    n_experts, most = item.shape
    copies = np.empty(n_experts, dtype=np.int64)
    load, norm, then = np.empty(n_ranks), np.empty(n_ranks), np.empty(n_ranks)
    rank = np.empty(n_ranks, dtype=np.int64)  # those that a step changes
    holds = np.empty((n_ranks, n_experts), dtype=np.uint8)
    kept = table.copy()
    tally(table, copies, item, load, holds)
    least = np.max(load * slow)
    replicas = REPLICAS if most > 1 and n_ranks * n_slots > n_experts else 0.0
    cooling, temperature = (cold / hot) ** (1.0 / steps), hot
    total, slope, hottest = 0.0, 0.0, 0
    for step in range(steps):
        if step % REFRESH == 0:
            tally(table, copies, item, load, holds)
            total = 0.0
            for i in range(n_ranks):
                norm[i] = _power(load[i] * slow[i] / target, squarings)
                total += norm[i]
            hottest = int(np.argmax(load * slow))
        if step % TANGENT == 0:
            slope = total ** (0.5**squarings - 1.0) * 0.5**squarings
        temperature *= cooling
        g = hottest if uniform(state) < HOTTEST else below(state, n_ranks)
        h, a, b = below(state, n_ranks), below(state, n_slots), below(state, n_slots)
        changes = uniform(state) < replicas
        if changes:
            f = table[g, a]  # one more of g's elsewhere, or any in its place
            if uniform(state) < 0.5:
                h, b, f = g, a, below(state, n_experts)
            e = table[h, b]
            if e == f or copies[e] < 2 or copies[f] >= most or holds[h, f]:
                continue
            n = _replaced(h, e, f, item, copies, load, holds, rank, then)
        else:
            e, f = table[g, a], table[h, b]
            if holds[h, e] or holds[g, f]:  # g == h among them
                continue
            down = item[e, copies[e] - 1] - item[f, copies[f] - 1]
            n = 2
            rank[0], rank[1] = g, h
            then[0], then[1] = load[g] - down, load[h] + down
        rise = 0.0
        for i in range(n):
            rise += _power(then[i] * slow[rank[i]] / target, squarings) - norm[rank[i]]
        if rise > 0.0 and uniform(state) >= np.exp(-rise * slope / temperature):
            continue
        total += rise
        for i in range(n):
            load[rank[i]] = then[i]
            norm[rank[i]] = _power(then[i] * slow[rank[i]] / target, squarings)
        if changes:
            table[h, b] = f
            holds[h, e], holds[h, f] = 0, 1
            copies[e] -= 1
            copies[f] += 1
        else:
            table[g, a], table[h, b] = f, e
            holds[g, e], holds[h, f], holds[g, f], holds[h, e] = 0, 0, 1, 1
        hottest = int(np.argmax(load * slow))
        if load[hottest] * slow[hottest] < least:
            least = load[hottest] * slow[hottest]
            keep(table, kept)
            if least <= target:
                break
    keep(kept, table)
    return slowest(table, item, slow)
