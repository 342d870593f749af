"""The state of a search over orders, and what running an operator does to it.

Four arrays hold everything. ``ops`` (int64[n, ...]) and ``ts`` (int64[m, ...]) have a row for
every operator and tensor, with columns that never change (`mapc.models.memory.exact.layout` fills
them) and columns that hold the state at hand. ``adj`` (int64[k, 2]) has the lists of neighbours
that rows point into. ``now`` has the scalars, and from `WORDS` on the set of operators done,
`BITS` to a word.

A tensor is *live* from its production (a source: from its first load) to its last reader. Live
tensors are resident (`HELD`) or off, and then they have a copy off-chip (`SAVED`). A source has one
always, an output from its production on: its write is compulsory. Tensors leave only where space is
needed, and come back where they are read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Table = NDArray[np.int64]

BITS = 62
"""Members of a set to a word: a word stays positive."""

# columns of ops: neighbours, bytes, place in the set of operators done
IN_AT, IN_END, OUT_AT, OUT_END, NEXT_AT, NEXT_END = range(6)
NEED, STAY, WORD, BIT, KEY = range(6, 11)
"""Bytes beside the inputs while it runs; bytes of outputs that are read later; set; hash."""
DONE, WAIT, RUN = range(11, 14)
"""Whether it has run; predecessors that have not; ``ops[i, RUN]``: the i-th operator run."""
OP_COLUMNS = 14

# columns of ts
USE_AT, USE_END, SIZE, FREE, SOURCE, GAPPED = range(6)
"""`FREE`: losing it pays no write (a source or an output). `GAPPED`: the gap bound counts it."""
LEFT, HELD, SAVED, AT, LIVE = range(6, 11)
"""Readers that have not run; state; place among the live; ``ts[i, LIVE]``: the i-th live one."""
WAS_LIVE, WAS_HELD, WAS_SAVED, LOSS, MARK = range(11, 16)
"""A copy of the state to go back to; scratch of the moves."""
TENSOR_COLUMNS = 16

# columns of adj
TO, HOLD = range(2)

# entries of now
N_LIVE, HASH, DEPTH, USED, COST, REST = range(6)
"""`USED`: bytes resident. `COST`: bytes paid. `REST`: bytes still to pay, by the parts of the bound
that are kept up move by move."""
ROOM, N_RUN, N_WORDS = range(6, 9)
BEST, GOAL, N_STATES, N_NODES, N_LIVES, N_HEAP, WEIGHT, SETS, POPPED, EXPANDED = range(9, 19)
CLOSING, DOMINATING = range(19, 21)
"""Whether the rules are on; the search is exact without them."""
SAVE = 24
"""The first six entries, to go back to."""
WORDS = 32


@kernel("int64(int64)")
def lowest(word: int) -> int:
    """Return the index of the lowest bit of a word that has one."""
    low = word & -word
    at = 0
    for step in (32, 16, 8, 4, 2, 1):
        if low >> step:
            low >>= step
            at += step
    return at


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64)")
def gap(ops: Table, ts: Table, adj: Table, t: int) -> int:
    """Bytes that readers of ``t`` still to run will cost it, or what they produce.

    See `mapc.models.memory.exact.gaps`: of the readers still to run all but one, the dearest, are
    followed by another; ``adj[:, HOLD]`` says what keeping the tensor costs in between.
    """
    size = ts[t, SIZE]
    total, capped, largest, most = 0, 0, 0, 0
    for k in range(ts[t, USE_AT], ts[t, USE_END]):
        if ops[adj[k, TO], DONE] == 0:
            hold = adj[k, HOLD]
            total += hold
            capped += min(hold, size)
            largest = max(largest, hold)
            most = max(most, min(hold, size))
    total -= largest
    capped -= most
    if ts[t, SAVED] != 0 or ts[t, FREE] != 0:
        return int(capped)
    return int(min(total, capped + size))


@kernel("void(int64[:, ::1], int64[::1], int64)")
def begin(ts: Table, now: Ints, t: int) -> None:
    """Make a tensor live and resident."""
    i = now[N_LIVE]
    ts[i, LIVE] = t
    ts[t, AT] = i
    ts[t, HELD] = 1
    ts[t, SAVED] = ts[t, FREE]
    now[USED] += ts[t, SIZE]
    now[N_LIVE] = i + 1


@kernel("void(int64[:, ::1], int64[::1], int64)")
def end(ts: Table, now: Ints, t: int) -> None:
    """Forget a resident tensor that nobody reads any more."""
    last = now[N_LIVE] - 1
    other = ts[last, LIVE]
    ts[ts[t, AT], LIVE] = other
    ts[other, AT] = ts[t, AT]
    ts[t, HELD] = 0
    ts[t, SAVED] = 0
    now[USED] -= ts[t, SIZE]
    now[N_LIVE] = last


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64)")
def evict(ops: Table, ts: Table, adj: Table, now: Ints, t: int) -> None:
    """Write a resident tensor out where it has no copy, and drop it; its reload is still to pay."""
    size = ts[t, SIZE]
    if ts[t, SAVED] == 0:
        now[COST] += size
        if ts[t, GAPPED] != 0:
            now[REST] -= gap(ops, ts, adj, t)
        ts[t, SAVED] = 1
        if ts[t, GAPPED] != 0:
            now[REST] += gap(ops, ts, adj, t)
    ts[t, HELD] = 0
    now[USED] -= size
    now[REST] += size


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64, int64)")
def toggle(ops: Table, ts: Table, adj: Table, now: Ints, o: int, done: int) -> None:
    """Mark an operator as run (1) or not (0); the state of tensors is left alone."""
    ops[o, DONE] = done
    change = 1 - 2 * done
    now[WORDS + ops[o, WORD]] ^= ops[o, BIT]
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        ts[adj[k, TO], LEFT] += change
    for k in range(ops[o, NEXT_AT], ops[o, NEXT_END]):
        ops[adj[k, TO], WAIT] += change


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64)")
def run(ops: Table, ts: Table, adj: Table, now: Ints, o: int) -> None:
    """Run an operator for which there is room: load what is missing, produce, forget what dies."""
    first, last = ops[o, IN_AT], ops[o, IN_END]
    for k in range(first, last):
        t = adj[k, TO]
        if ts[t, GAPPED] != 0:
            now[REST] -= gap(ops, ts, adj, t)
        if ts[t, HELD] == 0:
            if ts[t, SAVED] != 0:  # the reload that was still to pay
                now[COST] += ts[t, SIZE]
                now[REST] -= ts[t, SIZE]
                ts[t, HELD] = 1
                now[USED] += ts[t, SIZE]
            else:  # the first load of a source
                begin(ts, now, t)
    toggle(ops, ts, adj, now, o, 1)
    for k in range(first, last):
        t = adj[k, TO]
        if ts[t, GAPPED] != 0:
            now[REST] += gap(ops, ts, adj, t)
        if ts[t, LEFT] == 0:
            end(ts, now, t)
    for k in range(ops[o, OUT_AT], ops[o, OUT_END]):
        if ts[adj[k, TO], LEFT] > 0:
            begin(ts, now, adj[k, TO])
    now[HASH] ^= ops[o, KEY]
    now[DEPTH] += 1
    ops[now[N_RUN], RUN] = o
    now[N_RUN] += 1


@kernel("void(int64[:, ::1], int64[::1])")
def remember(ts: Table, now: Ints) -> None:
    """Keep the state at hand, to come `back` to after some operators have run."""
    for i in range(now[N_LIVE]):
        t = ts[i, LIVE]
        ts[i, WAS_LIVE], ts[i, WAS_HELD], ts[i, WAS_SAVED] = t, ts[t, HELD], ts[t, SAVED]
    for i in range(6):
        now[SAVE + i] = now[i]
    now[N_RUN] = 0


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])")
def back(ops: Table, ts: Table, adj: Table, now: Ints) -> None:
    """Return to the state that was remembered."""
    for i in range(now[N_RUN]):
        toggle(ops, ts, adj, now, ops[i, RUN], 0)
    for i in range(now[N_LIVE]):
        ts[ts[i, LIVE], HELD], ts[ts[i, LIVE], SAVED] = 0, 0
    for i in range(6):
        now[i] = now[SAVE + i]
    for i in range(now[N_LIVE]):
        t = ts[i, WAS_LIVE]
        ts[i, LIVE], ts[t, AT] = t, i
        ts[t, HELD], ts[t, SAVED] = ts[i, WAS_HELD], ts[i, WAS_SAVED]
    now[N_RUN] = 0


@kernel("int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64)")
def missing(ops: Table, ts: Table, adj: Table, now: Ints, o: int) -> int:
    """Bytes of the inputs of an operator that are not resident."""
    total = 0
    for k in range(ops[o, IN_AT], ops[o, IN_END]):
        if ts[adj[k, TO], HELD] == 0:
            total += ts[adj[k, TO], SIZE]
    return total
