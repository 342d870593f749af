"""What has been reached: sets of operators done, and for each the states that none makes needless.

Sets of operators done (*nodes*) are interned: ``nodes`` (int64[k, ...]) has a row for each,
``find`` an open-addressing table of row numbers by hash (rows are compared word by word, a hash
alone decides nothing), ``lives`` the live tensors of all nodes, one after another; they are the
same for all states of a node. A state (``pool``, int64[k, ...]) is its node, what it has cost,
and two bits per live tensor: resident, and with a copy off-chip.

**Dominance.** Of two states X, Y with the same operators done, X is needless if

    cost(Y) + bytes(resident in X, not in Y) + bytes(with a copy in X, not in Y) <= cost(X).

*Proof.* The same tensors are live in both. One with a copy in X and none in Y is resident in Y,
since what is off has a copy. From Y, write these (their bytes), drop what is resident in Y alone
(it has a copy now or never needs more than X has; a tensor without a copy in either is resident
in both), then load what is resident in X alone (it is off in Y, so it has a copy). The residents
never exceed the larger of those of X and Y. This reaches X, perhaps with more copies, for no more
than X has cost; whatever X leads to, Y leads to for as much. ∎

The comparison is transitive, and of two equal states the first stays, so one of the best is kept.
A cheaper state that arrives later is a new one: a bound need not be consistent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.models.memory.exact.state_kernels import (
    AT,
    BITS,
    COST,
    DEPTH,
    DOMINATING,
    DONE,
    HASH,
    HELD,
    LIVE,
    N_LIVE,
    N_LIVES,
    N_NODES,
    N_RUN,
    N_STATES,
    N_WORDS,
    REST,
    SAVED,
    SIZE,
    USED,
    WORDS,
    Ints,
    Table,
    lowest,
    toggle,
)

Small = NDArray[np.int32]

# columns of nodes
HASH_OF, HEAD, DEPTH_OF, LIVES_AT, LIVES_N, NODE_WORDS = range(6)
"""From `NODE_WORDS` on: the set of operators done."""

# columns of pool
PAID, AHEAD, LEAST, NODE, PARENT, OP, NEXT, BYTES, MASKS = range(9)
"""Cost; ``now[REST]``; bound on the cost of a whole plan; node; where the state came from and by
which operator; next state of the node; bytes resident. From `MASKS` on: resident, with a copy."""
NEEDLESS = -2
"""In place of the bound, for a state that another one makes needless."""


@kernel("int64(int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], int64[::1])")
def intern(ts: Table, nodes: Table, lives: Small, find: Ints, now: Ints) -> int:
    """Return the node of the operators done, new or known."""
    mask = len(find) - 1
    slot = now[HASH] & mask
    while find[slot] >= 0:
        node = find[slot]
        if nodes[node, HASH_OF] == now[HASH]:
            same = True
            for w in range(now[N_WORDS]):
                same = same and nodes[node, NODE_WORDS + w] == now[WORDS + w]
            if same:
                return int(node)
        slot = (slot + 1) & mask
    node = now[N_NODES]
    find[slot] = node
    now[N_NODES] += 1
    nodes[node, HASH_OF], nodes[node, HEAD], nodes[node, DEPTH_OF] = now[HASH], -1, now[DEPTH]
    nodes[node, LIVES_AT], nodes[node, LIVES_N] = now[N_LIVES], now[N_LIVE]
    for i in range(now[N_LIVE]):
        lives[now[N_LIVES] + i] = ts[i, LIVE]
    now[N_LIVES] += now[N_LIVE]
    for w in range(now[N_WORDS]):
        nodes[node, NODE_WORDS + w] = now[WORDS + w]
    return int(node)


@kernel("void(int64[:, ::1], int64, int64[::1])")
def rehash(nodes: Table, count: int, find: Ints) -> None:
    """Fill an empty table with the nodes."""
    mask = len(find) - 1
    for node in range(count):
        slot = nodes[node, HASH_OF] & mask
        while find[slot] >= 0:
            slot = (slot + 1) & mask
        find[slot] = node


@kernel(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64, "
    "int64[::1])"
)
def visit(
    ops: Table, ts: Table, adj: Table, nodes: Table, lives: Small, node: int, now: Ints
) -> None:
    """Make a node's operators the ones done, and its tensors live; none is resident, none saved."""
    for w in range(now[N_WORDS]):
        differ = now[WORDS + w] ^ nodes[node, NODE_WORDS + w]
        while differ != 0:
            bit = lowest(differ)
            differ &= differ - 1
            o = BITS * w + bit
            toggle(ops, ts, adj, now, o, 1 - ops[o, DONE])
    for i in range(now[N_LIVE]):
        ts[ts[i, LIVE], HELD], ts[ts[i, LIVE], SAVED] = 0, 0
    now[N_LIVE] = nodes[node, LIVES_N]
    for i in range(now[N_LIVE]):
        t = np.int64(lives[nodes[node, LIVES_AT] + i])
        ts[i, LIVE], ts[t, AT] = t, i
    now[HASH], now[DEPTH], now[N_RUN] = nodes[node, HASH_OF], nodes[node, DEPTH_OF], 0
    now[USED], now[COST], now[REST] = 0, 0, 0


@kernel(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[:, ::1], "
    "int64, int64[::1])"
)
def enter(
    ops: Table, ts: Table, adj: Table, nodes: Table, lives: Small, pool: Table, q: int, now: Ints
) -> None:
    """Make a stored state the one at hand."""
    visit(ops, ts, adj, nodes, lives, pool[q, NODE], now)
    half = (pool.shape[1] - MASKS) // 2
    for i in range(now[N_LIVE]):
        t, w, b = ts[i, LIVE], i // BITS, i % BITS
        ts[t, HELD] = (pool[q, MASKS + w] >> b) & 1
        ts[t, SAVED] = (pool[q, MASKS + half + w] >> b) & 1
    now[USED], now[COST], now[REST] = pool[q, BYTES], pool[q, PAID], pool[q, AHEAD]


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int32[::1], int64[:, ::1], int64, int64, int64, int64)"
)
def beats(
    ts: Table, nodes: Table, lives: Small, pool: Table, node: int, y: int, x: int, most: int
) -> int:
    """Whether the change from state ``y`` to state ``x`` of a node costs at most ``most``."""
    if pool[x, BYTES] - pool[y, BYTES] > most:
        return 0
    at, half = nodes[node, LIVES_AT], (pool.shape[1] - MASKS) // 2
    for w in range(2 * half):
        extra = pool[x, MASKS + w] & ~pool[y, MASKS + w]
        base = at + BITS * (w % half)
        while extra != 0:
            most -= ts[np.int64(lives[base + lowest(extra)]), SIZE]
            if most < 0:
                return 0
            extra &= extra - 1
    return 1


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int32[::1], int64[:, ::1], int64, int64, int64, int64, "
    "int64[::1])"
)
def keep(
    ts: Table,
    nodes: Table,
    lives: Small,
    pool: Table,
    node: int,
    parent: int,
    operator: int,
    least: int,
    now: Ints,
) -> int:
    """Store the state at hand under a node, unless it is needless; return its row or -1.

    States of the node that it makes needless are marked and taken off the list. The one before a
    state in the list is not marked while the list is walked, so the list stays whole.
    """
    half = (pool.shape[1] - MASKS) // 2
    x = now[N_STATES]
    for w in range(2 * half):
        pool[x, MASKS + w] = 0
    for i in range(nodes[node, LIVES_N]):
        t, w, b = np.int64(lives[nodes[node, LIVES_AT] + i]), i // BITS, i % BITS
        pool[x, MASKS + w] |= ts[t, HELD] << b
        pool[x, MASKS + half + w] |= ts[t, SAVED] << b
    pool[x, PAID], pool[x, AHEAD], pool[x, LEAST] = now[COST], now[REST], least
    pool[x, NODE], pool[x, PARENT], pool[x, OP] = node, parent, operator
    pool[x, BYTES] = now[USED]
    y = nodes[node, HEAD] if now[DOMINATING] != 0 else -1
    while y >= 0:
        ahead = pool[x, PAID] - pool[y, PAID]
        if ahead >= 0 and beats(ts, nodes, lives, pool, node, y, x, ahead) != 0:
            return -1
        y = pool[y, NEXT]
    y = nodes[node, HEAD] if now[DOMINATING] != 0 else -1
    before = -1
    while y >= 0:
        ahead = pool[y, PAID] - pool[x, PAID]
        after = pool[y, NEXT]
        if ahead >= 0 and beats(ts, nodes, lives, pool, node, x, y, ahead) != 0:
            pool[y, LEAST] = NEEDLESS
            if before < 0:
                nodes[node, HEAD] = after
            else:
                pool[before, NEXT] = after
        else:
            before = y
        y = after
    pool[x, NEXT] = nodes[node, HEAD]
    nodes[node, HEAD] = x
    now[N_STATES] += 1
    return int(x)
