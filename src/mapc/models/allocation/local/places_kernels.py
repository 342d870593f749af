"""Where a buffer goes: the place between its neighbours with the shortest chain through it."""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.allocation.local.chains_kernels import (
    ABOVE,
    BELOW,
    IN,
    SIZE,
    STATE,
    Floats,
    Ints,
    State,
    put_at,
)
from mapc.random import uniform

SCRATCH = "Tuple((int64[:,::1], float64[::1], uint64[::1]))"
"""Type of ``(lists, scores, random)``: int64[4, n], float64[n], uint64[1]."""
Scratch = tuple[Ints, Floats, np.ndarray]
NEAR, OVER = 2, 3
"""Lists used here; the others are the caller's."""


@kernel("void(int64[::1], float64[::1], int64, int64)")
def _sift(members: Ints, score: Floats, at: int, end: int) -> None:
    moved = members[at]
    value = score[moved]
    while 2 * at + 1 < end:
        child = 2 * at + 1
        if child + 1 < end and score[members[child]] < score[members[child + 1]]:
            child += 1
        if score[members[child]] <= value:
            break
        members[at] = members[child]
        at = child
    members[at] = moved


@kernel("void(int64[::1], float64[::1], int64)")
def sort_by(members: Ints, score: Floats, count: int) -> None:
    """Sort ``members[:count]`` by the score of each, ``score[member]``, ascending: heap sort."""
    for first in range(count // 2 - 1, -1, -1):
        _sift(members, score, first, count)
    for end in range(count - 1, 0, -1):
        members[0], members[end] = members[end], members[0]
        _sift(members, score, 0, end)


@kernel(f"boolean(int64, int64, float64, {STATE}, {SCRATCH})")
def put_in(u: int, height: int, blink: float, state: State, scratch: Scratch) -> bool:
    """Put a buffer where the chain through it is shortest; false if it is above ``height``.

    Of equals one is drawn. Each place is overlooked with probability ``blink`` (Christiaens and
    Vanden Berghe 2020), which keeps repeated insertions from being all alike.
    """
    rows, key, start, near = state
    lists, _, random = scratch
    size, count = rows[SIZE, u], 0
    for at in range(start[u], start[u + 1]):
        if rows[IN, near[at]] == 1:
            lists[NEAR, count] = near[at]
            count += 1
    sort_by(lists[NEAR], key, count)
    over = 0
    for x in range(count - 1, -1, -1):
        k = lists[NEAR, x]
        over = max(over, rows[ABOVE, k] + rows[SIZE, k])
        lists[OVER, x] = over
    best, place, equals, under, at_under = height, -1, 0.0, 0, 0
    for x in range(count + 1):
        over = lists[OVER, x] if x < count else 0
        chain = under + size + over
        if chain <= best and uniform(random) >= blink:
            equals = 1.0 if chain < best or place < 0 else equals + 1.0
            if uniform(random) * equals < 1.0:
                place, at_under = x, under
            best = chain
        if x < count:
            k = lists[NEAR, x]
            under = max(under, rows[BELOW, k] + rows[SIZE, k])
    if place < 0:
        return False
    low = key[lists[NEAR, place - 1]] if place > 0 else 0.0
    high = key[lists[NEAR, place]] if place < count else low + 2.0
    if place == 0:
        low = high - 2.0
    between = low + (high - low) * (0.25 + 0.5 * uniform(random))
    if not low < between < high:
        return False
    put_at(u, between, at_under, lists[OVER, place] if place < count else 0, state)
    return True
