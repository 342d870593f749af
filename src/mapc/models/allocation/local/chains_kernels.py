"""Buffers with play: who lies below whom is decided, addresses are not yet.

Of two neighbours (buffers that share a time) that are both *in*, the one with the lesser key lies
below the other. Keys so put an order on every section that no cycle contradicts. ``BELOW[i]`` is
the longest chain of sizes under buffer i, ``ABOVE[i]`` the longest one over it:

    BELOW[i] = max over neighbours k in and below i of BELOW[k] + SIZE[k], or 0,

and ``ABOVE`` likewise. ``BELOW`` itself is a placement, pushed down; a buffer can lie anywhere from
``BELOW[i]`` to ``H - ABOVE[i] - SIZE[i]`` with all others in somewhere within the height H, if

    BELOW[i] + SIZE[i] + ABOVE[i] <= H                                              (1)

for all that are in. This is the view of job shops, with heads and tails, where sections are the
machines and a buffer needs several at once.

**Putting in.** Let u be out, its neighbours that are in sorted by key, and u's key between two of
them. Chains without u stay as they are; one through u is at most A + SIZE[u] + B, with A the
largest BELOW + SIZE of those before it, B the largest ABOVE + SIZE of those after it. *Proof.* The
part under u ends with one of those before it, and no key between changes an arc between others. So
(1) stays true if A + SIZE[u] + B <= H. It costs one look at all places, and needs no hole: what is
near moves up or down by the play it has.

Arrays
------
rows : int64[6, n]
    ``SIZE``, ``BELOW``, ``ABOVE``, ``IN`` (whether it is), ``MARK`` (whether it is in the heap),
    ``HEAP``.
key : float64[n]
start, near : int64[n + 1], int64[e]
    Neighbours of all buffers, one after another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
State = tuple[Ints, Floats, Ints, Ints]

SIZE, BELOW, ABOVE, IN, MARK, HEAP = range(6)
ROWS = 6
STATE = "Tuple((int64[:,::1], float64[::1], int64[::1], int64[::1]))"
"""Type of ``(rows, key, start, near)``."""


@kernel(f"int64(int64, int64, float64, {STATE})")
def _push(i: int, count: int, sign: float, state: State) -> int:
    """Put a buffer into the heap, the least ``sign * key`` first, unless it is in; the length."""
    rows, key = state[0], state[1]
    if rows[MARK, i] == 1:
        return count
    rows[MARK, i] = 1
    at, value = count, sign * key[i]
    while at > 0:
        parent = (at - 1) >> 1
        if sign * key[rows[HEAP, parent]] <= value:
            break
        rows[HEAP, at] = rows[HEAP, parent]
        at = parent
    rows[HEAP, at] = i
    return count + 1


@kernel(f"int64(int64, float64, {STATE})")
def _pop(count: int, sign: float, state: State) -> int:
    """Take the first buffer out of the heap, of length ``count > 0``."""
    rows, key = state[0], state[1]
    first, last = rows[HEAP, 0], rows[HEAP, count - 1]
    rows[MARK, first] = 0
    count -= 1
    at, value = 0, sign * key[last]
    while 2 * at + 1 < count:
        child = 2 * at + 1
        if child + 1 < count:
            left, right = rows[HEAP, child], rows[HEAP, child + 1]
            if sign * key[right] < sign * key[left]:
                child += 1
        if sign * key[rows[HEAP, child]] >= value:
            break
        rows[HEAP, at] = rows[HEAP, child]
        at = child
    rows[HEAP, at] = last
    return int(first)


@kernel(f"void(int64, int64, float64, {STATE})")
def raise_chains(u: int, which: int, sign: float, state: State) -> None:
    """Lengthen the chains beyond u, by key in the direction of ``sign``, after u was put in.

    Each buffer is taken once: when it comes, all that it rests on have come before.
    """
    rows, key, start, near = state
    count = _push(u, 0, sign, state)
    while count > 0:
        i = _pop(count, sign, state)
        count -= 1
        top, here = rows[which, i] + rows[SIZE, i], sign * key[i]
        for at in range(start[i], start[i + 1]):
            k = near[at]
            if rows[IN, k] == 1 and rows[which, k] < top and sign * key[k] > here:
                rows[which, k] = top
                count = _push(k, count, sign, state)


@kernel(f"void(int64[::1], int64, int64, float64, {STATE})")
def lower_chains(gone: Ints, many: int, which: int, sign: float, state: State) -> None:
    """Shorten the chains beyond ``gone[:many]``, which have just been taken out.

    Only those that rested on them can change; of those that do, what rested on them in turn.
    """
    rows, key, start, near = state
    count = 0
    for x in range(many):
        u = gone[x]
        top = rows[which, u] + rows[SIZE, u]
        for at in range(start[u], start[u + 1]):
            k = near[at]
            if rows[IN, k] == 1 and rows[which, k] == top and sign * key[k] > sign * key[u]:
                count = _push(k, count, sign, state)
    while count > 0:
        i = _pop(count, sign, state)
        count -= 1
        here, was, now = sign * key[i], rows[which, i], 0
        for at in range(start[i], start[i + 1]):
            k = near[at]
            if rows[IN, k] == 1 and sign * key[k] < here:
                now = max(now, rows[which, k] + rows[SIZE, k])
        if now == was:
            continue
        rows[which, i] = now
        top = was + rows[SIZE, i]
        for at in range(start[i], start[i + 1]):
            k = near[at]
            if rows[IN, k] == 1 and rows[which, k] == top and sign * key[k] > here:
                count = _push(k, count, sign, state)


@kernel(f"void(int64[::1], int64, {STATE})")
def take_out(gone: Ints, many: int, state: State) -> None:
    """Take buffers out, ``gone[:many]``, all of them in."""
    for x in range(many):
        state[0][IN, gone[x]] = 0
    lower_chains(gone, many, BELOW, 1.0, state)
    lower_chains(gone, many, ABOVE, -1.0, state)


@kernel(f"void(int64, float64, int64, int64, {STATE})")
def put_at(u: int, place: float, below: int, above: int, state: State) -> None:
    """Put a buffer in with a key and the chains that follow from it."""
    rows, key = state[0], state[1]
    key[u] = place
    rows[IN, u], rows[BELOW, u], rows[ABOVE, u] = 1, below, above
    raise_chains(u, BELOW, 1.0, state)
    raise_chains(u, ABOVE, -1.0, state)
