r"""What the tightest step of every order costs: a lower bound over all orders.

**Claim.** Let S be the operators that have run before o in some order, L the tensors live then that
o does not touch, and :math:`e = W_o + |L| - M` the bytes that do not fit. A plan with this order
costs at least :math:`c(S, o) = \min(e, f) + 2 \max(0, e - f)` if e > 0, where f is the bytes of
those in L whose losing pays no write. So every plan of every order costs at least the least, over
orders, of the largest c of a step.

*Proof.* Tensors of L of at least e bytes together are off at the step. Each is live, that is, read
again, so it is loaded again; and what is off without being a source or an output, whose write is
compulsory, has been written. That is 1 a byte for those in f and 2 for the others, once for each
tensor: a fractional knapsack. The largest step alone is charged. ∎

Costs are sums of sizes, multiples of their common divisor ``unit``: c is rounded up to one.

**Search.** Dijkstra's algorithm over sets of operators done with the maximum for the sum, as for
the smallest peak: the first complete set popped has the least, and every level popped is a bound.

**Closure.** The rule of `mapc.models.memory.exact.closure_kernels`, where a chain may run if each
of its steps needs at most M + level/2 bytes: its c, at most twice what is too much, is at most the
level.

*Proof.* Take any continuation P; P' runs the chain first. At a later step o of P that is not of
the chain, let P have x live, the dying input s or a link :math:`u_i`, where P' has ``u``, which
nothing reads before the chain's end in P, so that o does not touch it. Let P's cheapest choice at o
have y bytes of x off. P' takes the same from the other tensors and needs of u only
:math:`y - |x| + |u|` bytes, at most :math:`|u|` of them. If x pays a write, that costs no more, as
:math:`|u| \le |x|`. If not, x is s with :math:`|u| \le |s|/2`, and
:math:`2 (y - |s| + |u|) \le y`, as :math:`y \le |s|`. So no step of P' costs more than the same
step of P, and those of the chain at most the level that P has reached. ∎
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.closure_kernels import close
from mapc.models.memory.exact.peak_kernels import reach, stand
from mapc.models.memory.exact.queue_kernels import WHO, pop
from mapc.models.memory.exact.state_kernels import (
    BEST,
    DONE,
    FREE,
    IN_AT,
    IN_END,
    LIVE,
    MARK,
    N_HEAP,
    N_LIVE,
    NEED,
    POPPED,
    ROOM,
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
from mapc.models.memory.exact.table_kernels import LEAST, NEEDLESS, NODE, Small

MORE, CLOSED, FULL = range(3)
"""What `rise` says: go on; nothing lower is left; an array is full."""


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64, int64)")
def charge(ops: Table, ts: Table, adj: Table, now: Ints, o: int, unit: int) -> int:
    """Return c of the state at hand, in which all that is live is resident, and an operator."""
    excess = now[USED] + missing(ops, ts, adj, now, o) + ops[o, NEED] - now[ROOM]
    if excess <= 0:
        return 0
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        ts[adj[k, TO], MARK] = 1
    free = 0
    for i in range(now[N_LIVE]):
        t = ts[i, LIVE]
        if ts[t, MARK] == 0 and ts[t, FREE] != 0:
            free += ts[t, SIZE]
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        ts[adj[k, TO], MARK] = 0
    cost = min(excess, free) + 2 * max(0, excess - free)
    return int((cost + unit - 1) // unit * unit)


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64, int64)"
)
def rise(
    ops: Table,
    ts: Table,
    adj: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    now: Ints,
    unit: int,
    steps: int,
) -> int:
    """Expand sets until about ``steps`` moves have been tried, or there is something to say."""
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
            there = max(level, charge(ops, ts, adj, now, o, unit))
            now[SETS] += 1
            if there >= now[BEST]:
                continue
            run(ops, ts, adj, now, o)
            now[ROOM] += there // 2
            close(ops, ts, adj, now)
            now[ROOM] -= there // 2
            said = reach(ops, ts, nodes, lives, find, pool, heap, now, q, o, there)
            back(ops, ts, adj, now)
            if said != MORE:
                return said
        # its children are stored: it goes, and not before, so that a full array loses nothing
        pool[q, LEAST] = NEEDLESS
        now[SETS] += 1
    return MORE
