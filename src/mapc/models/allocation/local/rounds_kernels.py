"""Ruin and recreate: buffers around one that is out are taken out, and put in again with it.

What is out costs its weight. A round is kept if the cost has fallen, or by chance, the less likely
the more it has risen: simulated annealing over ruin and recreate (Schrimpf and others 2000;
Christiaens and Vanden Berghe 2020).
"""

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
    take_out,
)
from mapc.models.allocation.local.places_kernels import SCRATCH, Scratch, put_in, sort_by
from mapc.random import below, uniform

GONE, LISTED = 0, 1
FIRST, LAST = 0, 1
LIFE, WEIGHT = range(2)
HEIGHT, MOST = range(2)
HEAT, BLINK = range(2)
KEPT = 3
"""Rows of the state that are remembered, from ``BELOW`` on."""

OLD = "Tuple((int64[:,::1], float64[::1]))"
"""Type of what is remembered: int64[3, n] and the keys, float64[n]."""
Old = tuple[Ints, Floats]


@kernel(f"void({STATE}, {OLD})")
def keep(state: State, old: Old) -> None:
    """Remember the state."""
    for i in range(len(state[1])):
        old[1][i] = state[1][i]
        for row in range(KEPT):
            old[0][row, i] = state[0][row + BELOW, i]


@kernel(f"void({STATE}, {OLD})")
def restore(state: State, old: Old) -> None:
    """Return to the state remembered."""
    for i in range(len(state[1])):
        state[1][i] = old[1][i]
        for row in range(KEPT):
            state[0][row + BELOW, i] = old[0][row, i]


@kernel(f"int64(int64, int64, int64, {STATE}, {SCRATCH})")
def _around(u: int, height: int, most: int, state: State, scratch: Scratch) -> int:
    """List up to ``most`` neighbours of u whose play is centred nearest to an address drawn."""
    rows, _, start, near = state
    lists, score, random = scratch
    middle = uniform(random) * np.float64(height - rows[SIZE, u]) + 0.5 * np.float64(rows[SIZE, u])
    count = 0
    for at in range(start[u], start[u + 1]):
        k = near[at]
        if rows[IN, k] == 1:
            lists[GONE, count] = k
            center = 0.5 * np.float64(height + rows[BELOW, k] - rows[ABOVE, k])
            score[k] = abs(center - middle)
            count += 1
    sort_by(lists[GONE], score, count)
    return int(min(count, 1 + below(random, most)))


@kernel(f"int64(int64, int64, int64[:,::1], float64[:,::1], {STATE}, {SCRATCH})")
def _agenda(u: int, gone: int, lives: Ints, traits: Floats, state: State, scratch: Scratch) -> int:
    """List what is to be put in: all that is out and meets the lives of those taken out."""
    rows = state[0]
    lists, score, random = scratch
    low, high = lives[FIRST, u], lives[LAST, u]
    for x in range(gone):
        k = lists[GONE, x]
        low, high = min(low, lives[FIRST, k]), max(high, lives[LAST, k])
    mode = below(random, 4)
    count = 0
    for i in range(len(state[1])):
        if rows[IN, i] == 1 or lives[FIRST, i] >= high or lives[LAST, i] <= low:
            continue
        lists[LISTED, count] = i
        count += 1
        if mode == 0:
            score[i] = -np.float64(rows[SIZE, i])
        elif mode == 1:
            score[i] = -traits[WEIGHT, i]
        elif mode == 2:
            score[i] = -traits[LIFE, i]
        else:
            score[i] = uniform(random)
    sort_by(lists[LISTED], score, count)
    return count


@kernel(
    f"void(int64, int64[::1], float64[::1], int64[:,::1], float64[:,::1], {STATE}, {SCRATCH},"
    f" {OLD})"
)
def rounds(
    many: int,
    limits: Ints,
    dials: Floats,
    lives: Ints,
    traits: Floats,
    state: State,
    scratch: Scratch,
    old: Old,
) -> None:
    """Do up to ``many`` rounds; stop when all is in.

    ``limits``: the height, and how many are taken out at most. ``dials``: temperature, in
    weights, and `put_in`'s blink. ``lives``: int64[2, n], ``traits``: float64[2, n], length of life
    and weight.
    """
    rows = state[0]
    lists, _, random = scratch
    height, n = limits[HEIGHT], len(state[1])
    keep(state, old)
    for _ in range(many):
        out, u, cost = 0, -1, 0.0
        for i in range(n):
            if rows[IN, i] == 0:
                out += 1
                cost += traits[WEIGHT, i]
                if below(random, out) == 0:
                    u = i
        if u < 0:
            return
        gone = _around(u, height, limits[MOST], state, scratch)
        after = cost
        for x in range(gone):
            after += traits[WEIGHT, lists[GONE, x]]
        take_out(lists[GONE], gone, state)
        listed = _agenda(u, gone, lives, traits, state, scratch)
        for x in range(listed):
            i = lists[LISTED, x]
            if put_in(i, height, dials[BLINK], state, scratch):
                after -= traits[WEIGHT, i]
        if after <= cost - dials[HEAT] * np.log(1.0 - uniform(random)):
            keep(state, old)
        else:
            restore(state, old)
