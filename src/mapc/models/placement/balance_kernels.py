"""Compiled part of balancing one row of work; see `mapc.models.placement.balance`.

Shapes: E experts, R most replicas of an expert, G ranks, C slots of a rank. ``item[e, r - 1]`` is
what one of r replicas of expert e weighs, ``slow[g]`` what a rank's time is for a unit of weight.
A rank's time is ``slow`` times the sum of its items. No rank holds an expert twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.random import below, uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.uint8]
Stream = NDArray[np.uint64]

SETTLED = 1e-12
"""Relative gain below which a move is rounding, not gain."""
REFRESH = 2048
"""Steps of annealing after which sums are formed anew."""


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


@kernel("void(int64[:,::1], int64[::1], float64[:,::1], float64[::1], uint8[:,::1])")
def _open(table: Ints, copies: Ints, item: Floats, load: Floats, holds: Flags) -> None:
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


@kernel("float64(int64[:,::1], float64[:,::1], float64[::1])")
def slowest(table: Ints, item: Floats, slow: Floats) -> float:
    """Return the time of the slowest rank."""
    n_ranks = len(table)
    copies = np.empty(len(item), dtype=np.int64)
    load = np.empty(n_ranks)
    holds = np.empty((n_ranks, len(item)), dtype=np.uint8)
    _open(table, copies, item, load, holds)
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
    best = limit
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
    worst = (load[g] - old + now) * slow[g]
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
    _open(table, copies, item, load, holds)
    for step in range(steps):
        if step % 256 == 255:  # sums drift as differences are added
            _open(table, copies, item, load, holds)
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
    _open(table, copies, item, load, holds)
    return float(np.max(load * slow))


@kernel("float64(float64, int64)")
def _power(x: float, squarings: int) -> float:
    for _ in range(squarings):
        x *= x
    return x


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
    """Anneal the q-norm of rank times, q = 2 ** squarings; return the slowest rank's least time.

    Parameters
    ----------
    table : int64[G, C]
        Becomes the table with the least time of the slowest rank seen.
    target : float
        Time at which to stop; > 0.
    hot, cold : float
        First and last temperature, as parts of ``target``; in between geometric.
    state : uint64[1]
        Random stream.
    """
    n_ranks, n_slots = table.shape
    n_experts, most = item.shape
    copies = np.empty(n_experts, dtype=np.int64)
    load = np.empty(n_ranks)
    holds = np.empty((n_ranks, n_experts), dtype=np.uint8)
    norm = np.empty(n_ranks)
    kept = table.copy()
    _open(table, copies, item, load, holds)
    least = np.max(load * slow)
    replicas = most > 1 and n_ranks * n_slots > n_experts
    q = float(2**squarings)
    cooling = (cold / hot) ** (1.0 / steps)
    temperature = hot
    total = 0.0
    hottest = 0
    slope = 0.0
    for step in range(steps):
        if step % REFRESH == 0:
            _open(table, copies, item, load, holds)
            total = 0.0
            for g in range(n_ranks):
                norm[g] = _power(load[g] * slow[g] / target, squarings)
                total += norm[g]
            hottest = int(np.argmax(load * slow))
        if step % 64 == 0:
            slope = total ** (1.0 / q - 1.0) / q
        temperature *= cooling
        g = hottest if uniform(state) < 0.5 else below(state, n_ranks)
        a = below(state, n_slots)
        changed = False
        if replicas and uniform(state) < 0.3:
            if uniform(state) < 0.5:  # another copy of an expert of g elsewhere
                f = table[g, a]
                h, s = below(state, n_ranks), below(state, n_slots)
            else:
                f = below(state, n_experts)
                h, s = g, a
            e = table[h, s]
            if e == f or copies[e] < 2 or copies[f] >= most or holds[h, f]:
                continue
            more = item[e, copies[e] - 2] - item[e, copies[e] - 1]
            less = item[f, copies[f]] - item[f, copies[f] - 1]
            here = item[f, copies[f]] - item[e, copies[e] - 1]
            rise = 0.0
            for i in range(n_ranks):
                if holds[i, e] or holds[i, f]:
                    then = load[i] + holds[i, e] * more + holds[i, f] * less
                    if i == h:
                        then = load[i] + holds[i, f] * less + here
                    rise += _power(then * slow[i] / target, squarings) - norm[i]
            if rise <= 0.0 or uniform(state) < np.exp(-rise * slope / temperature):
                total += rise
                for i in range(n_ranks):
                    if holds[i, e] or holds[i, f]:
                        load[i] += holds[i, e] * more + holds[i, f] * less
                        if i == h:
                            load[i] += here - more
                        norm[i] = _power(load[i] * slow[i] / target, squarings)
                table[h, s] = f
                holds[h, e], holds[h, f] = 0, 1
                copies[e] -= 1
                copies[f] += 1
                changed = True
        else:
            h, b = below(state, n_ranks), below(state, n_slots)
            e, f = table[g, a], table[h, b]
            if holds[h, e] or holds[g, f]:  # g == h among them
                continue
            down = item[e, copies[e] - 1] - item[f, copies[f] - 1]
            mine = _power((load[g] - down) * slow[g] / target, squarings)
            theirs = _power((load[h] + down) * slow[h] / target, squarings)
            rise = mine - norm[g] + theirs - norm[h]
            if rise <= 0.0 or uniform(state) < np.exp(-rise * slope / temperature):
                total += rise
                load[g] -= down
                load[h] += down
                norm[g], norm[h] = mine, theirs
                table[g, a], table[h, b] = f, e
                holds[g, e], holds[h, f], holds[g, f], holds[h, e] = 0, 0, 1, 1
                changed = True
        if changed:
            hottest = 0
            for i in range(1, n_ranks):
                if load[i] * slow[i] > load[hottest] * slow[hottest]:
                    hottest = i
            if load[hottest] * slow[hottest] < least:
                least = load[hottest] * slow[hottest]
                kept[:] = table
                if least <= target:
                    break
    table[:] = kept
    return slowest(table, item, slow)
