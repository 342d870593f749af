"""Annealing of experts on nodes: moves and what they change, to first order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.random import below, uniform

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]

STAY = 128
"""Moves tried in a layer before another is drawn."""


@kernel("float64(float64[::1], uint8[::1], float64[::1])")
def divide(wanted: Floats, on: Bits, share: Floats) -> float:
    """Split an expert's tokens over its nodes; return those that change node.

    Tokens on a node that holds the expert stay, others are spread evenly over its nodes; without
    tokens all nodes that hold it share alike.
    """
    total, lost, copies = 0.0, 0.0, 0
    for n in range(len(wanted)):
        total += wanted[n]
        if on[n]:
            copies += 1
        else:
            lost += wanted[n]
    for n in range(len(wanted)):
        share[n] = 0.0
        if on[n]:
            share[n] = (wanted[n] + lost / copies) / total if total > 0 else 1.0 / copies
    return lost


@kernel("float64(float64[::1], float64[::1], float64[::1], float64, float64[::1], float64[::1])")
def ahead(new: Floats, old: Floats, price: Floats, mass: float, load: Floats, add: Floats) -> float:
    """Return what other shares cost the layers behind, and add up what they do to loads."""
    cost = 0.0
    for n in range(len(new)):
        change = new[n] - old[n]
        cost += change * price[n]
        add[n] += change * mass
    return cost


@kernel("float64(float64[::1], float64[::1], float64[::1])")
def excess(load: Floats, add: Floats, limit: Floats) -> float:
    """Return by how much loads get further above their limits."""
    worse = 0.0
    for n in range(len(load)):
        worse += max(0.0, load[n] + add[n] - limit[n]) - max(0.0, load[n] - limit[n])
    return worse


@kernel(
    "void(int64, int64, float64[::1], float32[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1])"
)
def carry(
    layer: int, expert: int, new: Floats, pairs: Singles, wanted: Floats, share: Floats
) -> None:
    """Keep an expert's new shares, and send its tokens to the next layer from there."""
    if layer < len(pairs):
        row, arrive = pairs[layer, expert], wanted[layer + 1]
        for n in range(len(new)):
            change = new[n] - share[layer, expert, n]
            if change != 0.0:
                for e in range(len(row)):
                    arrive[e, n] += change * row[e]
    for n in range(len(new)):
        share[layer, expert, n] = new[n]


@kernel("void(int64, int64, int64, float64, float32[:, :, ::1], float64[:, :, ::1])")
def reprice(
    layer: int, expert: int, node: int, sign: float, pairs_t: Singles, price: Floats
) -> None:
    """A node has won (-1) or lost (+1) an expert: tokens bound for it stay, or leave."""
    if layer > 0 and len(pairs_t):
        column, before = pairs_t[layer - 1, expert], price[layer - 1]
        for e in range(len(column)):
            before[e, node] += sign * column[e]


@kernel(
    "int64(uint64[::1], float32[:, :, ::1], float32[:, :, ::1], float64[:, ::1], float64[:, ::1], "
    "int64[:, :, ::1], int64[::1], uint8[:, :, ::1], int64[:, ::1], float64[:, :, ::1], "
    "float64[:, :, ::1], float64[:, :, ::1], float64[:, ::1], float64, float64, float64, float64, "
    "int64)"
)
def anneal(
    state: NDArray[np.uint64],
    pairs: Singles,
    pairs_t: Singles,
    mass: Floats,
    limit: Floats,
    slots: Ints,
    used: Ints,
    on: Bits,
    copies: Ints,
    wanted: Floats,
    share: Floats,
    price: Floats,
    load: Floats,
    penalty: float,
    replacing: float,
    hot: float,
    cold: float,
    steps: int,
) -> int:
    """Swap experts between nodes and replace replicas, all layers together; return moves made.

    A move's cost is exact in the tokens that change node on their way into its layer and out of
    it, to first order further on (``price`` holds what lies behind). What it does to the shares of
    replicated experts of the next layer is left to the caller, who renews everything from ``on``
    between calls.

    Parameters
    ----------
    state : uint64[1]
        Of the random numbers.
    pairs, pairs_t : float32[L - 1, E, E]
        Parts of tokens from an expert to one of the next layer, and transposed. Of length 0:
        layers have nothing to do with each other.
    mass : float64[L, E]
        Load of every expert.
    limit : float64[L, N]
        Load a node may have; more costs ``penalty`` per unit.
    slots : int64[L, N, K]
        Experts on a node, as many as ``used[n]``.
    on : uint8[L, E, N]
    copies : int64[L, E]
    wanted : float64[L, E, N]
        Tokens by the expert they want and the node they are on.
    share : float64[L, E, N]
        Part of an expert's tokens that a node handles.
    price : float64[L, E, N]
        Cost of all tokens of an expert behind its layer, were they on this node.
    load : float64[L, N]
    replacing : float
        Part of the moves that try another replica in place of one.
    hot, cold : float
        Temperatures, first and last; between them geometric.
    """
    n_layers, n_experts, n_nodes = on.shape
    new_e, new_f, add = np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes)
    on_e, on_f = np.empty(n_nodes, np.uint8), np.empty(n_nodes, np.uint8)
    spare = np.empty(n_nodes)
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    temperature, made = hot, 0
    layer = 0
    for step in range(steps):
        temperature *= cooling
        if step % STAY == 0:  # moves in one layer find its arrays in the cache
            layer = below(state, n_layers)
        n = below(state, n_nodes)
        k = below(state, used[n])
        e = slots[layer, n, k]
        replace = uniform(state) < replacing
        m, j = n, 0
        if replace:
            if copies[layer, e] < 2:
                continue
            f = below(state, n_experts)
            if on[layer, f, n]:
                continue
        else:
            m = (n + 1 + below(state, n_nodes - 1)) % n_nodes
            j = below(state, used[m])
            f = slots[layer, m, j]
            if on[layer, e, m] or on[layer, f, n]:
                continue
        for i in range(n_nodes):
            on_e[i], on_f[i] = on[layer, e, i], on[layer, f, i]
        on_e[n], on_f[n] = 0, 1
        if not replace:
            on_e[m], on_f[m] = 1, 0
        cost = divide(wanted[layer, e], on_e, new_e) + divide(wanted[layer, f], on_f, new_f)
        cost -= divide(wanted[layer, e], on[layer, e], spare)
        cost -= divide(wanted[layer, f], on[layer, f], spare)
        add[:] = 0.0
        cost += ahead(new_e, share[layer, e], price[layer, e], mass[layer, e], load[layer], add)
        cost += ahead(new_f, share[layer, f], price[layer, f], mass[layer, f], load[layer], add)
        cost += penalty * excess(load[layer], add, limit[layer])
        if cost > 0 and uniform(state) >= np.exp(-cost / temperature):
            continue
        made += 1
        for i in range(n_nodes):
            load[layer, i] += add[i]
        carry(layer, e, new_e, pairs, wanted, share)
        carry(layer, f, new_f, pairs, wanted, share)
        slots[layer, n, k] = f
        on[layer, e, n], on[layer, f, n] = 0, 1
        reprice(layer, e, n, 1.0, pairs_t, price)
        reprice(layer, f, n, -1.0, pairs_t, price)
        if replace:
            copies[layer, e] -= 1
            copies[layer, f] += 1
        else:
            slots[layer, m, j] = e
            on[layer, e, m], on[layer, f, m] = 1, 0
            reprice(layer, e, m, -1.0, pairs_t, price)
            reprice(layer, f, m, 1.0, pairs_t, price)
    return made


@kernel(
    "int64(uint64[::1], float64[:, ::1], float64[:, ::1], float64[::1], int64[:, ::1], float64, "
    "float64, int64)"
)
def settle(
    state: NDArray[np.uint64],
    gain: Floats,
    load: Floats,
    limit: Floats,
    table: Ints,
    hot: float,
    cold: float,
    steps: int,
) -> int:
    """Swap experts between ranks so that tokens stay, within limits of load; return swaps made.

    Parameters
    ----------
    state : uint64[1]
    gain : float64[E, G]
        Tokens saved by an expert on a rank.
    load : float64[E, G]
        Time of a rank for a replica of an expert.
    limit : float64[G]
        A swap may not leave a rank above its limit, unless the rank does less than before.
    table : int64[G, C]
        Changed in place.
    hot, cold : float
        Temperatures, in the unit of ``gain``.
    """
    n_ranks, n_slots = table.shape
    held = np.zeros(gain.shape, np.uint8)
    total = np.zeros(n_ranks)
    for g in range(n_ranks):
        for c in range(n_slots):
            held[table[g, c], g] = 1
            total[g] += load[table[g, c], g]
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    temperature, made = hot, 0
    for _ in range(steps):
        temperature *= cooling
        g, c, d = below(state, n_ranks), below(state, n_slots), below(state, n_slots)
        h = (g + 1 + below(state, n_ranks - 1)) % n_ranks
        e, f = table[g, c], table[h, d]
        if held[e, h] or held[f, g]:
            continue
        more = gain[e, h] + gain[f, g] - gain[e, g] - gain[f, h]
        if more < 0 and uniform(state) >= np.exp(more / temperature):
            continue
        at_g = total[g] - load[e, g] + load[f, g]
        at_h = total[h] - load[f, h] + load[e, h]
        if (at_g > limit[g] and at_g >= total[g]) or (at_h > limit[h] and at_h >= total[h]):
            continue
        made += 1
        total[g], total[h] = at_g, at_h
        table[g, c], table[h, d] = f, e
        held[e, g], held[f, h], held[e, h], held[f, g] = 0, 0, 1, 1
    return made


@kernel("int64(int64[:, ::1], int64[::1], uint8[:, ::1], int64)")
def select(worth: Ints, slots: Ints, on: Bits, most: int) -> int:
    """Cancel negative cycles until a choice of replicas is worth most; return how many.

    A flow problem: a place may hold as many experts as it has slots, an expert is on one place at
    least. Its residual graph, experts contracted, has the places as vertices and one more for
    slots that are let go: from place to place goes the expert that loses least by the change. No
    negative cycle means optimal, in whole numbers.

    Parameters
    ----------
    worth : int64[E, N]
        Of an expert on a place, >= 0.
    slots : int64[N]
    on : uint8[E, N]
        Feasible; changed in place.
    most : int
        Cycles to cancel at most.
    """
    n_experts, n = worth.shape
    far = np.int64(2**62)
    cost, via = np.empty((n + 1, n + 1), np.int64), np.empty((n + 1, n + 1), np.int64)
    distance, before = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    for cancelled in range(most):
        cost[:], via[:] = far, -1
        for a in range(n):  # a free slot takes in, and is made, for nothing
            cost[n, a] = 0
            used = 0
            for e in range(n_experts):
                used += on[e, a]
            if used < slots[a]:
                cost[a, n] = 0
        for e in range(n_experts):
            copies = 0
            for a in range(n):
                copies += on[e, a]
            for a in range(n):
                if on[e, a]:
                    if copies > 1 and worth[e, a] < cost[a, n]:
                        cost[a, n], via[a, n] = worth[e, a], e
                    for b in range(n):
                        if not on[e, b] and worth[e, a] - worth[e, b] < cost[a, b]:
                            cost[a, b], via[a, b] = worth[e, a] - worth[e, b], e
                elif -worth[e, a] < cost[n, a]:
                    cost[n, a], via[n, a] = -worth[e, a], e
        distance[:], before[:] = 0, -1
        last = -1
        for _ in range(n + 1):
            last = -1
            for a in range(n + 1):
                for b in range(n + 1):
                    if a != b and cost[a, b] < far and distance[a] + cost[a, b] < distance[b]:
                        distance[b] = distance[a] + cost[a, b]
                        before[b] = a
                        last = b
            if last < 0:
                return cancelled
        for _ in range(n + 1):
            last = before[last]  # onto the cycle
        b = last
        while True:
            a = before[b]
            if via[a, b] >= 0:
                if a < n:
                    on[via[a, b], a] = 0
                if b < n:
                    on[via[a, b], b] = 1
            b = a
            if b == last:
                break
    return most
