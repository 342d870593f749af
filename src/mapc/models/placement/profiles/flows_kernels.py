"""The best split of tokens over the replicas of a table, in whole tokens, with its proof."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel

_I1, _I2, _B1 = "int64[::1]", "int64[:, ::1]", "boolean[::1]"


@kernel(f"int64({_I1}, {_B1}, int64, int64)")
def least_limit(ticks: IntArray, cut: BoolArray, tokens: int, above: int) -> int:
    """Least limit >= ``above`` within which the ranks of a cut hold so many tokens."""
    speed, members = 0.0, 0
    for g in range(len(ticks)):
        if cut[g]:
            speed += 1.0 / ticks[g]
            members += 1
    # each rank loses less than one token to rounding down
    low, high = above, max(above, int((tokens + members) / speed * (1.0 + 1e-12)) + 1)
    while low < high:
        middle = (low + high) // 2
        room = 0
        for g in range(len(ticks)):
            if cut[g]:
                room += middle // ticks[g]
        if room >= tokens:
            high = middle
        else:
            low = middle + 1
    return low


@kernel(f"int64({_I2}, {_I1}, {_I2}, {_I1}, {_I1}, {_I2}, {_B1}, {_I1}, {_I1}, {_I1})")
def find_path(
    table: IntArray,
    copies: IntArray,
    holders: IntArray,
    load: IntArray,
    room: IntArray,
    flow: IntArray,
    reached: BoolArray,
    parent: IntArray,
    slot: IntArray,
    queue: IntArray,
) -> int:
    """Search a rank with room that work can flow to from an overloaded one; -1 if there is none.

    Breadth first from all overloaded ranks; ``reached`` are the ranks seen, ``parent`` where from
    (-1: overloaded itself) and ``slot`` through which slot of the parent.
    """
    first, last = 0, 0
    for g in range(len(load)):
        reached[g] = load[g] > room[g]
        if reached[g]:
            parent[g] = -1
            queue[last] = g
            last += 1
    while first < last:
        g = queue[first]
        first += 1
        for i in range(table.shape[1]):
            e = table[g, i]
            if flow[g, i] == 0:
                continue
            for a in range(copies[e]):
                h = holders[e, a]
                if reached[h]:
                    continue
                reached[h] = True
                parent[h], slot[h] = g, i
                if load[h] < room[h]:
                    return int(h)
                queue[last] = h
                last += 1
    return -1


@kernel(f"void({_I2}, {_I2}, {_I1}, {_I1}, {_I2}, {_I1}, {_I1}, int64)")
def push(
    table: IntArray,
    at: IntArray,
    load: IntArray,
    room: IntArray,
    flow: IntArray,
    parent: IntArray,
    slot: IntArray,
    end: int,
) -> None:
    """Move as many tokens as the path to ``end`` carries."""
    amount, h = room[end] - load[end], end
    while parent[h] >= 0:
        g = parent[h]
        amount = min(amount, flow[g, slot[h]])
        h = g
    amount = min(amount, load[h] - room[h])
    load[h] -= amount
    load[end] += amount
    h = end
    while parent[h] >= 0:
        g = parent[h]
        flow[g, slot[h]] -= amount
        flow[h, at[table[g, slot[h]], h]] += amount
        h = g


@kernel(f"int64({_I2}, {_I1}, {_I1}, {_I2}, {_B1})")
def split_tokens(
    table: IntArray, tokens: IntArray, ticks: IntArray, flow: IntArray, cut: BoolArray
) -> int:
    """Split whole tokens over replicas so that the slowest rank is as fast as it can be.

    The limit starts at what all ranks together need. Work flows from ranks above it to ranks below,
    along chains of shared experts. Where no chain is left, the ranks reached from overloaded ones
    share no expert that carries flow with any other rank: all tokens of these experts have to stay
    among them, and the limit rises to what that needs. So the last such set proves the result.

    Parameters
    ----------
    table : int64[H, C]
    tokens : int64[E]
    ticks : int64[H]
        Cost of a token on each rank, >= 1.
    flow : int64[H, C]
        Set to the tokens of every slot.
    cut : bool[H]
        Set to the ranks that prove the result.

    Returns
    -------
    int
        Ticks of the slowest rank; no split has less.
    """
    n_ranks, n_experts = len(table), len(tokens)
    at = np.full((n_experts, n_ranks), -1, dtype=np.int64)
    copies = np.zeros(n_experts, dtype=np.int64)
    holders = np.empty((n_experts, n_ranks), dtype=np.int64)
    load, room = np.zeros(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.int64)
    parent, slot = np.empty(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.int64)
    queue, reached = np.empty(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.bool_)
    for g in range(n_ranks):
        for i in range(table.shape[1]):
            e = table[g, i]
            at[e, g] = i
            holders[e, copies[e]] = g
            copies[e] += 1
    for e in range(n_experts):
        for a in range(copies[e]):
            g = holders[e, a]
            part = tokens[e] // copies[e] + int(a < tokens[e] % copies[e])
            flow[g, at[e, g]] = part
            load[g] += part
    cut[:] = True
    limit = least_limit(ticks, cut, tokens.sum(), 0)
    while True:
        for g in range(n_ranks):
            room[g] = limit // ticks[g]
        while True:
            end = find_path(table, copies, holders, load, room, flow, reached, parent, slot, queue)
            if end < 0:
                break
            push(table, at, load, room, flow, parent, slot, end)
        inside = 0
        for g in range(n_ranks):
            if reached[g]:
                inside += load[g]
        if not reached.any():
            return limit
        for g in range(n_ranks):
            cut[g] = reached[g]
        limit = least_limit(ticks, cut, inside, limit + 1)
