r"""Operators that can run at once without loss: the state moves on by itself.

**Rule.** Let the state be X, :math:`a_1 \dots a_m` a chain of operators that have not run, each but
the last with one output, no graph output, read by the next operator alone. Let every other input
be resident in X, or be a source that only this operator reads and that was not loaded yet, and let
every step fit beside what is resident. Let ``s`` be an input of :math:`a_1`, resident, that nobody
else will read, and :math:`b = |s|` where ``s`` has no copy off-chip, :math:`|s|/2` where it has
one. If the outputs of :math:`a_m` that are read later have at most ``b`` bytes together, and those
of no shorter chain do, then running the chain at once loses nothing. Nothing is lost, whatever
``s``, if no output of :math:`a_m` is read later.

**Proof.** Take any continuation P of X. P' runs the chain first, then follows P without its
operators. Call ``u`` the outputs of :math:`a_m` that are read later. From X to :math:`a_m`, P holds
``s`` (before :math:`a_1`) or the output :math:`u_i` of the last chain operator that has run, on
chip or off. P' holds ``u`` on chip when P has that one on chip, and off when P has it off.

*Space.* :math:`|u| \le b \le |s|`, and :math:`|u_i| > b \ge |u|` since no shorter chain was good
enough. All other tensors are where they are in P. The other inputs of the chain are not needed any
more; those that die only leave space, and a source read by the chain alone is dead.

*Bytes.* Let P have the held one off ``k`` times, ``j`` times of them ``s``. P' pays at most one
write and k loads of ``u``, :math:`(1 + k)|u|`, nothing if k = 0. P pays k loads of :math:`|u|` or
more. If ``s`` had no copy, or j = 0, the first time costs P a write of at least :math:`|u|` as
well: a :math:`u_i` has no copy when it is produced and is no output. Otherwise each of the j
:math:`\ge 1` loads of ``s`` costs at least :math:`2|u|`, which makes up for the write. After
:math:`a_m`, P' has at least the copies that P has, and what is resident in P. ∎

The proof asks nothing of the lazy moves of the search and holds for every plan, so that rule and
dominance, which compare completions too, can be used together.
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.state_kernels import (
    DONE,
    FREE,
    HELD,
    IN_AT,
    IN_END,
    LEFT,
    LIVE,
    N_LIVE,
    NEED,
    OUT_AT,
    OUT_END,
    ROOM,
    SAVED,
    SIZE,
    SOURCE,
    STAY,
    TO,
    USE_AT,
    USE_END,
    USED,
    WAIT,
    Ints,
    Table,
    run,
)


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64)")
def reader(ops: Table, ts: Table, adj: Table, t: int) -> int:
    """Return the first reader of a tensor that has not run."""
    for k in range(ts[t, USE_AT], ts[t, USE_END]):
        if ops[adj[k, TO], DONE] == 0:
            return int(adj[k, TO])
    return -1


@kernel("int64(int64[:, ::1], int64)")
def replaceable(ts: Table, t: int) -> int:
    """Bytes that may take the place of a tensor about to die: the bound b of the rule."""
    return int(ts[t, SIZE]) if ts[t, SAVED] == 0 else int(ts[t, SIZE] // 2)


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64, int64, int64, int64)")
def chain(ops: Table, ts: Table, adj: Table, room: int, used: int, bound: int, a: int) -> int:
    """Length of the chain from ``a`` that can run at once, 0 if none can."""
    link = -1
    for length in range(1, len(ops) + 1):
        fresh, dies = 0, 0
        for k in range(ops[a, IN_AT], ops[a, IN_END]):
            t = adj[k, TO]
            if t == link or ts[t, HELD] != 0:
                if ts[t, LEFT] == 1:
                    dies += ts[t, SIZE]
            elif ts[t, SOURCE] != 0 and ts[t, SAVED] == 0 and ts[t, LEFT] == 1:
                fresh += ts[t, SIZE]
            else:
                return 0
        if used + fresh + ops[a, NEED] > room:
            return 0
        stay = ops[a, STAY]
        if stay == 0 or stay <= bound:
            return length
        if ops[a, OUT_END] - ops[a, OUT_AT] != 1:
            return 0
        link = adj[ops[a, OUT_AT], TO]
        if ts[link, LEFT] != 1 or ts[link, FREE] != 0:
            return 0
        used += stay - dies
        a = reader(ops, ts, adj, link)
        if ops[a, WAIT] != 1:
            return 0
    return 0


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])")
def close(ops: Table, ts: Table, adj: Table, now: Ints) -> None:
    """Run chains until there is none that can run at once."""
    i = 0
    while i < now[N_LIVE]:
        t = ts[i, LIVE]
        i += 1
        if ts[t, HELD] == 0 or ts[t, LEFT] != 1:
            continue
        a = reader(ops, ts, adj, t)
        if ops[a, WAIT] != 0:
            continue
        bound = -1
        for k in range(ops[a, IN_AT], ops[a, IN_END]):
            s = adj[k, TO]
            if ts[s, HELD] != 0 and ts[s, LEFT] == 1:
                bound = max(bound, replaceable(ts, s))
        length = chain(ops, ts, adj, now[ROOM], now[USED], bound, a)
        for _ in range(length):
            out = ops[a, OUT_AT]
            run(ops, ts, adj, now, a)
            if ops[a, OUT_END] > out and ts[adj[out, TO], LEFT] > 0:
                a = reader(ops, ts, adj, adj[out, TO])
        if length > 0:
            i = 0
