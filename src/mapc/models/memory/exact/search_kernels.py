r"""Best-first search over (operators done, tensors resident, tensors with a copy off-chip).

**Moves.** From a state, run any operator whose predecessors are done. Where its missing inputs
and its outputs do not fit, first evict a set of other resident tensors that makes room and of
which no member could stay.

*Nothing is lost by that.* Take any plan P and let L run its order. Where something must leave L
at an operator o, the tensors that L holds and P does not hold at the step of o are enough, since
what P holds there includes the inputs and outputs of o, and fits. L evicts a minimal set of
these. P has dropped each of them since it was produced or loaded, so P has paid its write where
L pays one now. It is off in P at o and read later, so P loads it again before its next reader,
where L loads it, once. Each load and each write of L is matched with one of P's own. ∎

**Order.** By ``cost + weight * bound``, in eighths; with weight 1 no state is expanded whose
bound is above the optimum, and what is popped is a lower bound for every plan: some state on the
way to an optimal plan is always in the queue, or has been replaced by one that leads to as good a
plan. Along a path the bound never falls (a child inherits its parent's).
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.closure_kernels import close
from mapc.models.memory.exact.parts_kernels import beyond
from mapc.models.memory.exact.queue_kernels import LEVEL, RANK, WHO, pop, push
from mapc.models.memory.exact.state_kernels import (
    BEST,
    BITS,
    CLOSING,
    COST,
    DEPTH,
    DONE,
    EXPANDED,
    GAPPED,
    GOAL,
    HELD,
    IN_AT,
    IN_END,
    LIVE,
    MARK,
    N_HEAP,
    N_LIVE,
    N_LIVES,
    N_NODES,
    N_STATES,
    NEED,
    POPPED,
    REST,
    ROOM,
    SAVED,
    SETS,
    SIZE,
    TO,
    USED,
    WAIT,
    WEIGHT,
    Ints,
    Table,
    back,
    evict,
    gap,
    missing,
    remember,
    run,
)
from mapc.models.memory.exact.table_kernels import (
    LEAST,
    MASKS,
    NEEDLESS,
    Small,
    enter,
    intern,
    keep,
)

MORE, CLOSED, FOUND, FULL, WIDE, CROWDED = range(6)
"""What `advance` says: go on; nothing cheaper is left; the weighted search has a plan; an array is
full; more live tensors than a mask has bits; a state has too many moves."""
UNIT = 8
"""Parts of a weight of 1."""
ALWAYS = 64
"""Moves per operator that a weighted search tries at most: it claims nothing."""


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], "
    "int64[:, ::1], int32[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64, int64)"
)
def offer(
    ops: Table,
    ts: Table,
    adj: Table,
    heavy: Table,
    tokens: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    now: Ints,
    parent: int,
    operator: int,
) -> int:
    """Store and queue the state at hand unless it is too dear or needless; FULL, WIDE or MORE."""
    if now[N_STATES] + 1 >= len(pool) or now[N_HEAP] + 2 >= len(heap):
        return FULL
    if now[N_NODES] + 1 >= len(nodes) or now[N_LIVES] + now[N_LIVE] >= len(lives):
        return FULL
    if 2 * now[N_LIVE] > BITS * (pool.shape[1] - MASKS):
        return WIDE
    least = now[COST] + now[REST]
    if least < now[BEST]:
        least += beyond(ops, ts, adj, heavy, tokens, now)
    if parent >= 0:
        least = max(least, pool[parent, LEAST])
    if least >= now[BEST]:
        return MORE
    node = intern(ts, nodes, lives, find, now)
    x = keep(ts, nodes, lives, pool, node, parent, operator, least, now)
    if x < 0:
        return MORE
    if now[DEPTH] == len(ops):
        now[BEST], now[GOAL] = now[COST], x
    else:
        ahead = least - now[COST]
        push(heap, now, UNIT * now[COST] + now[WEIGHT] * ahead, now[DEPTH], x)
    return MORE


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64, int64[:, ::1])")
def candidates(ops: Table, ts: Table, adj: Table, now: Ints, o: int, pick: Table) -> int:
    """List what may leave for an operator, largest first; bytes, and what that costs, beside.

    ``pick[i]``: tensor, bytes, cost, bytes of this one and all after it; and scratch.
    """
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        ts[adj[k, TO], MARK] = 1
    count = 0
    for i in range(now[N_LIVE]):
        t = ts[i, LIVE]
        size = ts[t, SIZE]
        if ts[t, HELD] == 0 or ts[t, MARK] != 0 or size == 0:
            continue
        cost = size
        if ts[t, SAVED] == 0:
            cost += size
            if ts[t, GAPPED] != 0:
                cost -= gap(ops, ts, adj, t)
                ts[t, SAVED] = 1
                cost += gap(ops, ts, adj, t)
                ts[t, SAVED] = 0
        j = count
        while j > 0 and pick[j - 1, 1] < size:
            for c in range(3):
                pick[j, c] = pick[j - 1, c]
            j -= 1
        pick[j, 0], pick[j, 1], pick[j, 2] = t, size, cost
        count += 1
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        ts[adj[k, TO], MARK] = 0
    pick[count, 3] = 0
    for j in range(count - 1, -1, -1):
        pick[j, 3] = pick[j + 1, 3] + pick[j, 1]
    return count


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64)")
def gap_change(ops: Table, ts: Table, adj: Table, o: int) -> int:
    """By how much running an operator changes the gap part of the bound."""
    change = 0
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        t = adj[k, TO]
        if ts[t, GAPPED] != 0:
            change -= gap(ops, ts, adj, t)
            ops[o, DONE] = 1
            change += gap(ops, ts, adj, t)
            ops[o, DONE] = 0
    return change


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], "
    "int64[:, ::1], int32[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], "
    "int64[::1], int64, int64)"
)
def expand(
    ops: Table,
    ts: Table,
    adj: Table,
    heavy: Table,
    tokens: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    pick: Table,
    now: Ints,
    q: int,
    most: int,
) -> int:
    """Try all moves of a stored state, up to ``most``; FULL, WIDE, CROWDED or MORE."""
    enter(ops, ts, adj, nodes, lives, pool, q, now)
    remember(ts, now)
    tried = 0
    for o in range(len(ops)):
        if ops[o, DONE] != 0 or ops[o, WAIT] != 0:
            continue
        need = now[USED] + missing(ops, ts, adj, now, o) + ops[o, NEED] - now[ROOM]
        count = candidates(ops, ts, adj, now, o, pick) if need > 0 else 0
        least = now[COST] + now[REST] + gap_change(ops, ts, adj, o)
        freed, loss, chosen, i = 0, 0, 0, 0
        here = 0
        while True:
            if freed >= need:  # the set is complete, and minimal: its last member is its smallest
                tried += 1
                here += 1
                if tried > most:
                    return CROWDED
                for j in range(chosen):
                    evict(ops, ts, adj, now, pick[pick[j, 4], 0])
                run(ops, ts, adj, now, o)
                if now[CLOSING] != 0:
                    close(ops, ts, adj, now)
                said = offer(ops, ts, adj, heavy, tokens, nodes, lives, find, pool, heap, now, q, o)
                back(ops, ts, adj, now)
                if said != MORE:
                    return said
                if now[WEIGHT] > UNIT and here >= ALWAYS:
                    break
                i = count
            if i < count and freed + pick[i, 3] >= need and least + loss < now[BEST]:
                pick[chosen, 4] = i
                chosen += 1
                freed += pick[i, 1]
                loss += pick[i, 2]
                i += 1
                if freed >= need and least + loss >= now[BEST]:
                    freed -= pick[i - 1, 1]
                    loss -= pick[i - 1, 2]
                    chosen -= 1
            elif chosen > 0:
                chosen -= 1
                i = pick[chosen, 4]
                freed -= pick[i, 1]
                loss -= pick[i, 2]
                i += 1
            else:
                break
    now[SETS] += tried
    return MORE


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], "
    "int64[:, ::1], int32[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], "
    "int64[::1], int64, int64)"
)
def advance(
    ops: Table,
    ts: Table,
    adj: Table,
    heavy: Table,
    tokens: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    heap: Table,
    pick: Table,
    now: Ints,
    steps: int,
    most: int,
) -> int:
    """Expand states until about ``steps`` moves have been tried, or there is something to say.

    A state whose moves could not all be stored goes back into the queue: trying them again
    changes nothing, for the states that were stored make their copies needless.
    """
    until = now[SETS] + steps
    while now[SETS] < until:
        if now[N_HEAP] == 0:
            return CLOSED
        rank, level, who = heap[0, RANK], heap[0, LEVEL], heap[0, WHO]
        if pool[who, LEAST] != NEEDLESS:
            if now[WEIGHT] == UNIT:
                now[POPPED] = max(now[POPPED], pool[who, LEAST])
            if pool[who, LEAST] >= now[BEST]:
                if now[WEIGHT] == UNIT:
                    return CLOSED
                pop(heap, now)
                continue
        pop(heap, now)
        if pool[who, LEAST] == NEEDLESS:
            continue
        said = expand(
            ops, ts, adj, heavy, tokens, nodes, lives, find, pool, heap, pick, now, who, most
        )
        if said != MORE:
            push(heap, now, rank, level, who)
            return said
        now[EXPANDED] += 1
        now[SETS] += 1
        if now[WEIGHT] > UNIT and now[GOAL] >= 0:
            return FOUND
    return MORE
