r"""The smallest peak over all orders: a shortest path over sets of operators done.

Without extra traffic nothing leaves before its last reader, so a set of operators done says what
is resident: every live tensor. The *level* of a path is the largest number of bytes it has needed
at one step. Sets are expanded by level (Dijkstra's algorithm with the maximum for the sum): the
first complete one popped has the smallest peak, and every popped level is a lower bound.

**Closure.** Let S be the resident inputs of an operator a that nobody else will read, and let
:math:`a = a_1 \dots a_m` be a chain as in `mapc.models.memory.exact.closure_kernels` whose last
outputs that are read later have at most :math:`|S|` bytes, while those of no shorter chain do. If
each step needs at most the level reached, run the chain at once.

*Proof.* Take any continuation P; P' runs the chain first. Where P holds S (before a), or the output
:math:`u_i` of the last chain operator that has run, P' holds the last outputs, which are no larger:
:math:`|u_i| > |S|`, no shorter chain was good enough. So no later step of P' needs more than the
same step of P, and the chain's steps need no more than the level that P has already. ∎
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.closure_kernels import chain, reader
from mapc.models.memory.exact.queue_kernels import WHO, pop, push
from mapc.models.memory.exact.state_kernels import (
    BEST,
    DEPTH,
    DONE,
    FREE,
    GOAL,
    HELD,
    IN_AT,
    IN_END,
    LEFT,
    LIVE,
    N_HEAP,
    N_LIVE,
    N_LIVES,
    N_NODES,
    N_STATES,
    NEED,
    OUT_AT,
    OUT_END,
    POPPED,
    SAVED,
    SETS,
    SIZE,
    TO,
    USED,
    WAIT,
    Ints,
    Table,
    back,
    missing,
    remember,
    run,
)
from mapc.models.memory.exact.table_kernels import (
    HEAD,
    LEAST,
    NEEDLESS,
    NODE,
    OP,
    PAID,
    PARENT,
    Small,
    intern,
    visit,
)

MORE, CLOSED, FULL = range(3)
"""What `climb` says: go on; nothing lower is left; an array is full."""


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64)")
def settle(ops: Table, ts: Table, adj: Table, now: Ints, level: int) -> None:
    """Run chains at once, as long as no step needs more than ``level`` bytes."""
    i = 0
    while i < now[N_LIVE]:
        t = ts[i, LIVE]
        i += 1
        if ts[t, LEFT] != 1:
            continue
        a = reader(ops, ts, adj, t)
        if ops[a, WAIT] != 0:
            continue
        dying = 0
        for k in range(ops[a, IN_AT], ops[a, IN_END]):
            s = adj[k, TO]
            if ts[s, HELD] != 0 and ts[s, LEFT] == 1:
                dying += ts[s, SIZE]
        length = chain(ops, ts, adj, level, now[USED], dying, a)
        for _ in range(length):
            out = ops[a, OUT_AT]
            run(ops, ts, adj, now, a)
            if ops[a, OUT_END] > out and ts[adj[out, TO], LEFT] > 0:
                a = reader(ops, ts, adj, adj[out, TO])
        if length > 0:
            i = 0


@kernel(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64, "
    "int64[::1])"
)
def stand(
    ops: Table, ts: Table, adj: Table, nodes: Table, lives: Small, node: int, now: Ints
) -> None:
    """Make a node the state at hand; everything live is resident."""
    visit(ops, ts, adj, nodes, lives, node, now)
    for i in range(now[N_LIVE]):
        t = ts[i, LIVE]
        ts[t, HELD], ts[t, SAVED] = 1, ts[t, FREE]
        now[USED] += ts[t, SIZE]


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64, int64, int64)"
)
def reach(
    ops: Table,
    ts: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    now: Ints,
    parent: int,
    operator: int,
    level: int,
) -> int:
    """Store and queue the state at hand unless it is known at this level; FULL or MORE."""
    if now[N_STATES] + 1 >= len(pool) or now[N_HEAP] + 2 >= len(heap):
        return FULL
    if now[N_NODES] + 1 >= len(nodes) or now[N_LIVES] + now[N_LIVE] >= len(lives):
        return FULL
    node = intern(ts, nodes, lives, find, now)
    known = nodes[node, HEAD]
    if known >= 0:
        if pool[known, LEAST] <= level:
            return MORE
        pool[known, LEAST] = NEEDLESS
    x = now[N_STATES]
    now[N_STATES] += 1
    nodes[node, HEAD] = x
    pool[x, PAID], pool[x, LEAST], pool[x, NODE] = level, level, node
    pool[x, PARENT], pool[x, OP] = parent, operator
    if now[DEPTH] == len(ops):
        now[BEST], now[GOAL] = level, x
    else:
        push(heap, now, level, now[DEPTH], x)
    return MORE


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64)"
)
def climb(
    ops: Table,
    ts: Table,
    adj: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    now: Ints,
    steps: int,
) -> int:
    """Expand states until about ``steps`` moves have been tried, or there is something to say."""
    until = now[SETS] + steps
    while now[SETS] < until:
        if now[N_HEAP] == 0:
            return CLOSED
        q = heap[0, WHO]
        level = pool[q, LEAST]
        if level == NEEDLESS:
            pop(heap, now)
            continue
        now[POPPED] = max(now[POPPED], level)
        if level >= now[BEST]:
            return CLOSED
        stand(ops, ts, adj, nodes, lives, pool[q, NODE], now)
        remember(ts, now)
        for o in range(len(ops)):
            if ops[o, DONE] != 0 or ops[o, WAIT] != 0:
                continue
            there = max(level, now[USED] + missing(ops, ts, adj, now, o) + ops[o, NEED])
            now[SETS] += 1
            if there >= now[BEST]:
                continue
            run(ops, ts, adj, now, o)
            settle(ops, ts, adj, now, there)
            said = reach(ops, ts, nodes, lives, find, pool, heap, now, q, o, there)
            back(ops, ts, adj, now)
            if said != MORE:
                return said
        # its children are stored: it goes, and not before, so that a full array loses nothing
        pool[q, LEAST] = NEEDLESS
        now[SETS] += 1
    return MORE
