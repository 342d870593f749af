"""Groups and their sequences, put together and taken apart.

Kernels pass two tuples around. Sequences stand by descending tokens, times are whole ticks in
float64, so that sums are exact.

The *problem*: ``time`` float64[D, K], ``fixed`` float64[D], ``degree`` and ``room`` int64[D],
``tokens`` int64[K].

The *state*:

* ``target`` float64[Q]: the time each micro-batch aims at.
* ``free`` int64[Q]: its ranks without a group.
* ``groups`` int64[10, G]: row by row `BATCH`, `MODE` (-1: closed), `TOKENS`, `COUNT` of sequences,
  first of them (`HEAD`); a permutation of all slots with the open ones in front (`ORDER`), and
  where a slot stands in it (`AT`); the groups past their target (`LATES`), and where a group
  stands there (`LATE`, -1: it is in time); the pass in which nothing relieved it (`STUCK`).
* ``load`` float64[G]: time of a group, fixed time included.
* ``items`` int64[3, K]: `GROUP` (-1: none), `NEXT` and `PREVIOUS` sequence of the group.
* ``journal`` int64[4, J]: what was done, group, then sequence or micro-batch and mode.
* ``counts`` int64[4]: groups open (`OPEN`), groups past their target (`PAST`), entries of the
  journal (`WRITTEN`), number of the pass (`PASS`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.random import below

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Random = NDArray[np.uint64]
Problem = tuple[Floats, Floats, Ints, Ints, Ints]
State = tuple[Floats, Ints, Ints, Floats, Ints, Ints, Ints]

PROBLEM = "Tuple((float64[:,::1], float64[::1], int64[::1], int64[::1], int64[::1]))"
STATE = (
    "Tuple((float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1], int64[:,::1],"
    " int64[::1]))"
)

BATCH, MODE, TOKENS, COUNT, HEAD, ORDER, AT, LATES, LATE, STUCK = range(10)
GROUP, NEXT, PREVIOUS = 0, 1, 2
OPEN, PAST, WRITTEN, PASS = 0, 1, 2, 3
_INSERTED, _REMOVED, _OPENED, _CLOSED = 0, 1, 2, 3

NEWEST = 16
"""Groups opened last that a sequence is tried in, beside those from a random one on."""


@kernel(f"void(int64, float64, {STATE})")
def _take(g: int, load: float, state: State) -> None:
    """Set the time of group g."""
    target, _, groups, loads, _, _, counts = state
    loads[g] = load
    past = groups[MODE, g] >= 0 and load > target[groups[BATCH, g]]
    at = groups[LATE, g]
    if past and at < 0:
        groups[LATES, counts[PAST]], groups[LATE, g] = g, counts[PAST]
        counts[PAST] += 1
    elif at >= 0 and not past:
        counts[PAST] -= 1
        last = groups[LATES, counts[PAST]]
        groups[LATES, at], groups[LATE, last] = last, at
        groups[LATE, g] = -1


@kernel(f"void(int64, int64, int64, int64, {STATE})")
def _write(what: int, g: int, first: int, second: int, state: State) -> None:
    journal, counts = state[5], state[6]
    at = counts[WRITTEN]
    journal[0, at], journal[1, at], journal[2, at], journal[3, at] = what, g, first, second
    counts[WRITTEN] += 1


@kernel(f"void(int64, int64, {PROBLEM}, {STATE})")
def insert(i: int, g: int, problem: Problem, state: State) -> None:
    """Put sequence i into group g."""
    groups, items = state[2], state[4]
    head = groups[HEAD, g]
    items[GROUP, i], items[NEXT, i], items[PREVIOUS, i] = g, head, -1
    if head >= 0:
        items[PREVIOUS, head] = i
    groups[HEAD, g] = i
    groups[TOKENS, g] += problem[4][i]
    groups[COUNT, g] += 1
    _take(g, state[3][g] + problem[0][groups[MODE, g], i], state)
    _write(_INSERTED, g, i, 0, state)


@kernel(f"void(int64, {PROBLEM}, {STATE})")
def remove(i: int, problem: Problem, state: State) -> None:
    """Take sequence i out of its group, which stays open."""
    groups, items = state[2], state[4]
    g, after, before = items[GROUP, i], items[NEXT, i], items[PREVIOUS, i]
    if before >= 0:
        items[NEXT, before] = after
    else:
        groups[HEAD, g] = after
    if after >= 0:
        items[PREVIOUS, after] = before
    items[GROUP, i] = -1
    groups[TOKENS, g] -= problem[4][i]
    groups[COUNT, g] -= 1
    _take(g, state[3][g] - problem[0][groups[MODE, g], i], state)
    _write(_REMOVED, g, i, 0, state)


@kernel(f"int64(int64, int64, int64, {PROBLEM}, {STATE})")
def _open_slot(g: int, m: int, j: int, problem: Problem, state: State) -> int:
    """Open slot g, or any if it is negative, and return it."""
    groups, counts = state[2], state[6]
    first = counts[OPEN]
    if g < 0:
        g = groups[ORDER, first]
    at, other = groups[AT, g], groups[ORDER, first]
    groups[ORDER, at], groups[AT, other] = other, at
    groups[ORDER, first], groups[AT, g] = g, first
    counts[OPEN] += 1
    groups[BATCH, g], groups[MODE, g] = m, j
    groups[TOKENS, g], groups[COUNT, g], groups[HEAD, g] = 0, 0, -1
    groups[STUCK, g] = 0
    state[1][m] -= problem[2][j]
    _take(g, problem[1][j], state)
    _write(_OPENED, g, m, j, state)
    return int(g)


@kernel(f"int64(int64, int64, {PROBLEM}, {STATE})")
def open_group(m: int, j: int, problem: Problem, state: State) -> int:
    """Open a group of mode j in micro-batch m and return it; -1 if all slots are taken."""
    if state[6][OPEN] == state[2].shape[1]:
        return -1
    return _open_slot(-1, m, j, problem, state)


@kernel(f"void(int64, {PROBLEM}, {STATE})")
def close_empty(g: int, problem: Problem, state: State) -> None:
    """Give the ranks of group g back if it is empty."""
    groups, counts = state[2], state[6]
    if groups[COUNT, g] > 0:
        return
    m, j = groups[BATCH, g], groups[MODE, g]
    state[1][m] += problem[2][j]
    groups[MODE, g] = -1
    _take(g, 0.0, state)
    counts[OPEN] -= 1
    at, last = groups[AT, g], groups[ORDER, counts[OPEN]]
    groups[ORDER, at], groups[AT, last] = last, at
    groups[ORDER, counts[OPEN]], groups[AT, g] = g, counts[OPEN]
    _write(_CLOSED, g, m, j, state)


@kernel(f"void({PROBLEM}, {STATE})")
def undo(problem: Problem, state: State) -> None:
    """Take back all that stands in the journal."""
    journal, counts = state[5], state[6]
    while counts[WRITTEN] > 0:
        at = counts[WRITTEN] - 1
        g, first, second = journal[1, at], journal[2, at], journal[3, at]
        if journal[0, at] == _INSERTED:
            remove(first, problem, state)
        elif journal[0, at] == _REMOVED:
            insert(first, g, problem, state)
        elif journal[0, at] == _OPENED:
            close_empty(g, problem, state)
        else:
            _open_slot(g, first, second, problem, state)
        counts[WRITTEN] = at


@kernel(f"void({STATE})")
def count_late(state: State) -> None:
    """List the groups past their target anew: targets have changed."""
    groups, counts = state[2], state[6]
    counts[PAST] = 0
    for g in range(groups.shape[1]):
        groups[LATE, g] = -1
    for at in range(counts[OPEN]):
        g = groups[ORDER, at]
        _take(g, state[3][g], state)


@kernel("float64(int64, float64, float64)")
def excess(ranks: int, load: float, target: float) -> float:
    """Return ranks times squared time above the target.

    Squared, for a sum of plain excess is as low when one group has all of it.
    """
    over = load - target
    return ranks * over * over if over > 0.0 else 0.0


@kernel(f"float64({PROBLEM}, {STATE})")
def total_excess(problem: Problem, state: State) -> float:
    """Return the sum of ranks times squared excess."""
    target, groups, load = state[0], state[2], state[3]
    total = 0.0
    for at in range(state[6][PAST]):
        g = groups[LATES, at]
        total += excess(problem[2][groups[MODE, g]], load[g], target[groups[BATCH, g]])
    return total


@kernel(f"float64(float64[::1], {STATE})")
def slowest(time: Floats, state: State) -> float:
    """Fill ``time``, float64[Q], with each micro-batch's slowest group; return the sum."""
    groups, load = state[2], state[3]
    time[:] = 0.0
    for at in range(state[6][OPEN]):
        g = groups[ORDER, at]
        time[groups[BATCH, g]] = max(time[groups[BATCH, g]], load[g])
    return float(time.sum())


@kernel(f"boolean(int64, int64, uint64[::1], float64[::1], {PROBLEM}, {STATE})")
def place(
    i: int, scan: int, random: Random, premium: Floats, problem: Problem, state: State
) -> bool:
    """Put sequence i where it takes least rank-time within target and memory.

    Ties go to the group with least slack. A new group's rank-time counts times ``premium``,
    float64[D]. Where nothing keeps the target, where the squared excess grows least. Looks at
    ``scan`` open groups from a random one on, and at the newest. False if no memory is left.
    """
    time, fixed, degree, room, tokens = problem
    target, free, groups, load, _, _, counts = state
    n_open, n_modes, n_groups = counts[OPEN], len(degree), groups.shape[1]
    choice, spill = -1, -1
    least, slack, growth = np.inf, np.inf, np.inf
    looks, begin = n_open, 0
    if n_open > scan + NEWEST:
        looks, begin = scan + NEWEST, below(random, n_open)
    for step in range(looks):
        at = begin + step if step < looks - NEWEST or begin == 0 else n_open - looks + step
        g = groups[ORDER, at if at < n_open else at - n_open]
        j = groups[MODE, g]
        if groups[TOKENS, g] + tokens[i] > room[j]:
            continue
        aim = target[groups[BATCH, g]]
        left = aim - load[g] - time[j, i]
        if left >= 0.0:
            used = degree[j] * time[j, i]
            if used < least or (used == least and left < slack):
                choice, least, slack = g, used, left
        elif choice < 0:
            grows = excess(degree[j], aim - left, aim) - excess(degree[j], load[g], aim)
            if grows < growth:
                spill, growth = g, grows
    for m in range(len(target)):
        for j in range(n_modes):
            if degree[j] > free[m] or tokens[i] > room[j]:
                continue
            left = target[m] - fixed[j] - time[j, i]
            if left >= 0.0:
                used = degree[j] * time[j, i] * premium[j]
                if used < least or (used == least and left < slack):
                    choice, least, slack = n_groups + m * n_modes + j, used, left
            elif choice < 0:
                grows = degree[j] * left * left
                if grows < growth:
                    spill, growth = n_groups + m * n_modes + j, grows
    if choice < 0:
        choice = spill
    if choice >= n_groups:
        m, j = (choice - n_groups) // n_modes, (choice - n_groups) % n_modes
        choice = open_group(m, j, problem, state)
    if choice < 0:
        return False
    insert(i, choice, problem, state)
    return True
