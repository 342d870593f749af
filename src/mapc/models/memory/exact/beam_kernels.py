r"""Many states side by side: the best few of each number of operators done go on.

States are those of the search over orders and residencies, with its dominance and its closure.
Of the states with equally many operators done only the ``width`` with the smallest score go on, and
of the sets of tensors that may leave for an operator only a few are tried: the work grows with
width, operators, and operators ready at a time. What is found is a plan; nothing else is claimed.

**Score.** What has been paid, what is still to pay for certain, and ``lean`` sixteenths of a byte
for every byte resident: it is space that something else cannot have.

**Leaving.** Tensors leave for an operator in one of several orders: farthest next reader first,
where ``step`` says when each reader runs in an order at hand; the same with the distance divided by
what leaving costs a byte; or the one tensor that makes room alone and costs least. Members that
need not leave after all stay, the last ones first.
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.closure_kernels import close
from mapc.models.memory.exact.search_kernels import candidates
from mapc.models.memory.exact.state_kernels import (
    BEST,
    BITS,
    CLOSING,
    COST,
    DEPTH,
    DONE,
    GOAL,
    IN_AT,
    IN_END,
    N_LIVE,
    N_LIVES,
    N_NODES,
    N_STATES,
    NEED,
    REST,
    ROOM,
    SETS,
    SIZE,
    TO,
    USE_AT,
    USE_END,
    USED,
    WAIT,
    Ints,
    Table,
    back,
    evict,
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

MORE, CLOSED, FULL, WIDE = range(4)
"""What `sweep` says: go on; the last operators have run; an array is full; a mask is too short."""
FARTHEST, CHEAPEST, ALONE, WAYS = range(4)
"""Ways to choose who leaves, and how many there are."""
LEVEL, INDEX, WIDTH, LEAN = range(4)
"""Entries of ``plan``: operators done, and which of the states with as many is next; how many of
them go on; weight of a byte resident, in sixteenths."""
SCORE, STATE = range(2)
"""Columns of ``bucket``, which has ``plan[WIDTH]`` rows for every number of operators done; the
first ``filled`` of them are in use."""
FAR = 256
"""Parts of a step, so that distances over costs stay whole."""


@kernel("int64(int64[:, ::1], int64[:, ::1], int64, int64, int64)")
def worst(pool: Table, bucket: Table, first: int, count: int, width: int) -> int:
    """Return where a further state would go: to a free row, a needless state's, or the worst's."""
    if count < width:
        return first + count
    at = first
    for i in range(first, first + count):
        if pool[bucket[i, STATE], LEAST] == NEEDLESS:
            return i
        if bucket[i, SCORE] > bucket[at, SCORE]:
            at = i
    return at


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64, int64)"
)
def admit(
    ops: Table,
    ts: Table,
    adj: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    bucket: Table,
    filled: Ints,
    plan: Ints,
    now: Ints,
    parent: int,
    operator: int,
) -> int:
    """Store the state at hand if it is among the best of its level; FULL, WIDE or MORE."""
    if now[N_STATES] + 1 >= len(pool):
        return FULL
    if now[N_NODES] + 1 >= len(nodes) or now[N_LIVES] + now[N_LIVE] >= len(lives):
        return FULL
    if 2 * now[N_LIVE] > BITS * (pool.shape[1] - MASKS):
        return WIDE
    least = now[COST] + now[REST]
    if least >= now[BEST]:
        return MORE
    level, width = now[DEPTH], plan[WIDTH]
    score = 16 * least + plan[LEAN] * now[USED]
    at = worst(pool, bucket, level * width, filled[level], width)
    free = filled[level] < width or pool[bucket[at, STATE], LEAST] == NEEDLESS
    if not free and bucket[at, SCORE] <= score:
        return MORE
    node = intern(ts, nodes, lives, find, now)
    x = keep(ts, nodes, lives, pool, node, parent, operator, least, now)
    if x < 0:
        return MORE
    if level == len(ops):
        now[BEST], now[GOAL] = now[COST], x
        return MORE
    # it may have made others needless
    at = worst(pool, bucket, level * width, filled[level], width)
    if filled[level] < width:
        filled[level] += 1
    bucket[at, SCORE], bucket[at, STATE] = score, x
    return MORE


@kernel(
    "void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64, int64)"
)
def sort(ops: Table, ts: Table, adj: Table, step: Ints, pick: Table, count: int, way: int) -> None:
    """Put candidates into the order in which they leave, by one of the `WAYS`."""
    for i in range(count):
        t = pick[i, 0]
        soonest = 2 * len(ops)
        for k in range(ts[t, USE_AT], ts[t, USE_END]):
            if ops[adj[k, TO], DONE] == 0:
                soonest = min(soonest, step[adj[k, TO]])
        far = FAR * (soonest + 1)
        pick[i, 4] = far if way == FARTHEST else far * pick[i, 1] // max(1, pick[i, 2])
    for i in range(1, count):
        t, size, cost, key = pick[i, 0], pick[i, 1], pick[i, 2], pick[i, 4]
        j = i
        while j > 0 and pick[j - 1, 4] < key:
            for c in range(3):
                pick[j, c] = pick[j - 1, c]
            pick[j, 4] = pick[j - 1, 4]
            j -= 1
        pick[j, 0], pick[j, 1], pick[j, 2], pick[j, 4] = t, size, cost, key


@kernel("int64(int64[:, ::1], int64, int64, int64)")
def choose(pick: Table, count: int, need: int, way: int) -> int:
    """Mark in ``pick[:, 3]`` who leaves; return a number for the set, 0 if there is none."""
    for i in range(count):
        pick[i, 3] = 0
    if way == ALONE:
        best = -1
        for i in range(count):
            if pick[i, 1] >= need and (best < 0 or pick[i, 2] < pick[best, 2]):
                best = i
        if best < 0:
            return 0
        pick[best, 3] = 1
        return int(1 + pick[best, 0])
    freed, last = 0, 0
    while freed < need and last < count:
        pick[last, 3] = 1
        freed += pick[last, 1]
        last += 1
    if freed < need:
        return 0
    number = 0
    for i in range(last - 1, -1, -1):
        if freed - pick[i, 1] >= need:
            pick[i, 3] = 0
            freed -= pick[i, 1]
        else:
            number = (number * 31 + pick[i, 0] + 1) % 1000003
    return 1 + number


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[::1], int64[::1], "
    "int64[::1], int64)"
)
def spread(
    ops: Table,
    ts: Table,
    adj: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    bucket: Table,
    filled: Ints,
    pick: Table,
    step: Ints,
    plan: Ints,
    now: Ints,
    q: int,
) -> int:
    """Try every operator that is ready, with a few sets of tensors that leave for it."""
    enter(ops, ts, adj, nodes, lives, pool, q, now)
    remember(ts, now)
    for o in range(len(ops)):
        if ops[o, DONE] != 0 or ops[o, WAIT] != 0:
            continue
        alone = ops[o, NEED]  # its working set: it may be more than the room looked for
        for k in range(ops[o, IN_AT], ops[o, IN_END]):
            alone += ts[adj[k, TO], SIZE]
        need = now[USED] + missing(ops, ts, adj, now, o) + ops[o, NEED] - max(now[ROOM], alone)
        count = candidates(ops, ts, adj, now, o, pick) if need > 0 else 0
        before = 0
        for way in range(WAYS if need > 0 else 1):
            if need > 0:
                if way != ALONE:
                    sort(ops, ts, adj, step, pick, count, way)
                number = choose(pick, count, need, way)
                if number == 0 or number == before:
                    continue
                before = number
                for i in range(count):
                    if pick[i, 3] != 0:
                        evict(ops, ts, adj, now, pick[i, 0])
            run(ops, ts, adj, now, o)
            now[SETS] += 1
            if now[CLOSING] != 0:
                close(ops, ts, adj, now)
            said = admit(ops, ts, adj, nodes, lives, find, pool, bucket, filled, plan, now, q, o)
            back(ops, ts, adj, now)
            if said != MORE:
                return said
    return MORE


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[::1], int64[::1], "
    "int64[::1], int64)"
)
def sweep(
    ops: Table,
    ts: Table,
    adj: Table,
    nodes: Table,
    lives: Small,
    find: Ints,
    pool: Table,
    bucket: Table,
    filled: Ints,
    pick: Table,
    step: Ints,
    plan: Ints,
    now: Ints,
    steps: int,
) -> int:
    """Go on, level by level, until about ``steps`` moves are tried or there is something to say."""
    until = now[SETS] + steps
    while now[SETS] < until:
        if plan[LEVEL] >= len(ops):
            return CLOSED
        if plan[INDEX] >= filled[plan[LEVEL]]:
            plan[LEVEL] += 1
            plan[INDEX] = 0
            continue
        q = bucket[plan[LEVEL] * plan[WIDTH] + plan[INDEX], STATE]
        if pool[q, LEAST] != NEEDLESS:
            said = spread(
                ops, ts, adj, nodes, lives, find, pool, bucket, filled, pick, step, plan, now, q
            )
            if said != MORE:
                return said
        plan[INDEX] += 1
        now[SETS] += 1
    return MORE
