"""Packing and local search over micro-batches, groups and sequences together.

Arrays all kernels share; sequences stand by descending tokens, times are whole ticks in float64:

* ``time`` float64[D, K], ``fixed`` float64[D], ``degree`` and ``room`` int64[D], ``tokens``
  int64[K]: the problem.
* ``target`` float64[Q]: the time each micro-batch aims at.
* ``free`` int64[Q]: its ranks without a group.
* ``groups`` int64[5, G]: micro-batch, mode (-1: no group here), tokens, sequences, first sequence.
* ``load`` float64[G]: time of a group, fixed time included.
* ``items`` int64[3, K]: group (-1: none), next and previous sequence of the group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel
from mapc.random import below, uniform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
State = NDArray[np.uint64]

BATCH, MODE, TOKENS, COUNT, HEAD = 0, 1, 2, 3, 4
GROUP, NEXT, PREVIOUS = 0, 1, 2

SWAPS = 512
"""Sequences one is tried against, from a random one on."""
PARTNERS = 256
"""Groups a sequence is tried in, from a random one on."""
RELIEF = 1_000_000
"""Looks at most between two evaluations."""
RUINS = 24
"""Rebuilt corners without success before targets change."""
TIGHTEN = 0.997
"""New target over the time just reached."""


@kernel("void(int64, float64[:,::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])")
def _insert(i: int, time: Floats, tokens: Ints, groups: Ints, load: Floats, items: Ints) -> None:
    """Put sequence i into the group that ``items`` names for it."""
    g = items[GROUP, i]
    head = groups[HEAD, g]
    items[NEXT, i], items[PREVIOUS, i] = head, -1
    if head >= 0:
        items[PREVIOUS, head] = i
    groups[HEAD, g] = i
    groups[TOKENS, g] += tokens[i]
    groups[COUNT, g] += 1
    load[g] += time[groups[MODE, g], i]


@kernel("void(int64, float64[:,::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])")
def _remove(i: int, time: Floats, tokens: Ints, groups: Ints, load: Floats, items: Ints) -> None:
    """Take sequence i out of its group, which stays open."""
    g = items[GROUP, i]
    after, before = items[NEXT, i], items[PREVIOUS, i]
    if before >= 0:
        items[NEXT, before] = after
    else:
        groups[HEAD, g] = after
    if after >= 0:
        items[PREVIOUS, after] = before
    groups[TOKENS, g] -= tokens[i]
    groups[COUNT, g] -= 1
    load[g] -= time[groups[MODE, g], i]
    items[GROUP, i] = -1


@kernel("void(int64, int64[::1], int64[::1], int64[:,::1], float64[::1])")
def _close(g: int, degree: Ints, free: Ints, groups: Ints, load: Floats) -> None:
    """Give the ranks of group g back if it is empty."""
    if groups[COUNT, g] == 0:
        free[groups[BATCH, g]] += degree[groups[MODE, g]]
        groups[MODE, g] = -1
        load[g] = 0.0


@kernel(
    "int64(int64, int64, float64[::1], int64[::1], int64[::1], int64[:,::1], float64[::1])",
)
def _open(
    m: int, j: int, fixed: Floats, degree: Ints, free: Ints, groups: Ints, load: Floats
) -> int:
    """Open a group of mode j in micro-batch m and return it; -1 if all slots are taken."""
    for g in range(groups.shape[1]):
        if groups[MODE, g] < 0:
            groups[BATCH, g], groups[MODE, g] = m, j
            groups[TOKENS, g], groups[COUNT, g], groups[HEAD, g] = 0, 0, -1
            load[g] = fixed[j]
            free[m] -= degree[j]
            return g
    return -1


@kernel("float64(int64, float64, float64)")
def _excess(ranks: int, load: float, target: float) -> float:
    """Return ranks times squared time above the target.

    Squared, for a sum of plain excess is as low when one group has all of it.
    """
    over = load - target
    return ranks * over * over if over > 0.0 else 0.0


@kernel(
    "boolean(int64, float64[::1], float64[:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])"
)
def _place(
    i: int,
    premium: Floats,
    time: Floats,
    fixed: Floats,
    degree: Ints,
    room: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
) -> bool:
    """Put sequence i where it takes least rank-time within target and memory.

    Ties go to the group with least slack. A new group's rank-time counts times ``premium``,
    float64[D]. Where nothing keeps the target, where the squared excess grows least. False if no
    memory is left for it.
    """
    n_groups, n_modes, n_batches = groups.shape[1], len(degree), len(target)
    choice, spill = -1, -1
    least, slack, growth = np.inf, np.inf, np.inf
    for g in range(n_groups):
        j = groups[MODE, g]
        if j < 0 or groups[TOKENS, g] + tokens[i] > room[j]:
            continue
        aim = target[groups[BATCH, g]]
        left = aim - load[g] - time[j, i]
        if left >= 0.0:
            used = degree[j] * time[j, i]
            if used < least or (used == least and left < slack):
                choice, least, slack = g, used, left
        elif choice < 0:
            grows = _excess(degree[j], aim - left, aim) - _excess(degree[j], load[g], aim)
            if grows < growth:
                spill, growth = g, grows
    for m in range(n_batches):
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
        choice = _open(m, j, fixed, degree, free, groups, load)
    if choice < 0:
        return False
    items[GROUP, i] = choice
    _insert(i, time, tokens, groups, load, items)
    return True


@kernel(
    "boolean(float64[::1], float64[:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])"
)
def construct(
    premium: Floats,
    time: Floats,
    fixed: Floats,
    degree: Ints,
    room: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
) -> bool:
    """Place every sequence without a group, the longest first; False if memory does not do."""
    for i in range(len(tokens)):
        if items[GROUP, i] < 0 and not _place(
            i, premium, time, fixed, degree, room, tokens, target, free, groups, load, items
        ):
            return False
    return True


@kernel("float64(int64[::1], float64[::1], int64[:,::1], float64[::1])")
def _total(degree: Ints, target: Floats, groups: Ints, load: Floats) -> float:
    """Return the sum of ranks times squared excess."""
    total = 0.0
    for g in range(groups.shape[1]):
        if groups[MODE, g] >= 0:
            total += _excess(degree[groups[MODE, g]], load[g], target[groups[BATCH, g]])
    return total


@kernel(
    "int64(int64, uint64[::1], float64[:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])"
)
def _relieve_group(
    g: int,
    random: State,
    time: Floats,
    fixed: Floats,
    degree: Ints,
    room: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
) -> int:
    """Make the best move or swap out of group g; return looks taken, negative if none helped."""
    n_items, n_groups, n_modes = len(tokens), groups.shape[1], len(degree)
    own = groups[MODE, g]
    aim = target[groups[BATCH, g]]
    now = _excess(degree[own], load[g], aim)
    best, mover, partner, goal = -1e-9 * now, -1, -1, -1
    looks = 0
    i = groups[HEAD, g]
    while i >= 0:
        less = load[g] - time[own, i]
        gain = -now if groups[COUNT, g] == 1 else _excess(degree[own], less, aim) - now
        begin = below(random, n_groups) if n_groups > PARTNERS else 0
        for step in range(min(n_groups, PARTNERS)):
            h = (begin + step) % n_groups
            j = groups[MODE, h]
            if h == g or j < 0 or groups[TOKENS, h] + tokens[i] > room[j]:
                continue
            there = target[groups[BATCH, h]]
            change = gain + (
                _excess(degree[j], load[h] + time[j, i], there) - _excess(degree[j], load[h], there)
            )
            if change < best:
                best, mover, partner, goal = change, i, -1, h
        for m in range(len(target)):
            for j in range(n_modes):
                if degree[j] <= free[m] and tokens[i] <= room[j]:
                    change = gain + _excess(degree[j], fixed[j] + time[j, i], target[m])
                    if change < best:
                        best, mover, partner, goal = change, i, -1, n_groups + m * n_modes + j
        looks += min(n_groups, PARTNERS)
        # only a shorter sequence relieves g: those behind i
        n_behind = n_items - 1 - i
        first = below(random, n_behind) if n_behind > SWAPS else 0
        for step in range(min(n_behind, SWAPS)):
            k = i + 1 + (first + step) % n_behind
            h = items[GROUP, k]
            if h == g or tokens[k] == tokens[i]:
                continue
            j = groups[MODE, h]
            if groups[TOKENS, h] + tokens[i] - tokens[k] > room[j]:
                continue
            there = target[groups[BATCH, h]]
            change = (
                _excess(degree[own], less + time[own, k], aim)
                - now
                + _excess(degree[j], load[h] - time[j, k] + time[j, i], there)
                - _excess(degree[j], load[h], there)
            )
            if change < best:
                best, mover, partner, goal = change, i, k, h
        looks += min(n_behind, SWAPS)
        i = items[NEXT, i]
    if mover < 0:
        return -looks - 1
    if goal >= n_groups:
        m, j = (goal - n_groups) // n_modes, (goal - n_groups) % n_modes
        goal = _open(m, j, fixed, degree, free, groups, load)
        if goal < 0:
            return -looks - 1
    _remove(mover, time, tokens, groups, load, items)
    if partner >= 0:
        _remove(partner, time, tokens, groups, load, items)
        items[GROUP, partner] = g
        _insert(partner, time, tokens, groups, load, items)
    items[GROUP, mover] = goal
    _insert(mover, time, tokens, groups, load, items)
    _close(g, degree, free, groups, load)
    return looks + 1


@kernel(
    "int64(uint64[::1], float64[:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1])"
)
def relieve(
    random: State,
    time: Floats,
    fixed: Floats,
    degree: Ints,
    room: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
) -> int:
    """Move and swap sequences out of groups past their target, worst first; return looks taken.

    Passes over all such groups follow each other while they help, for about `RELIEF` looks.
    """
    n_groups = groups.shape[1]
    stuck = np.zeros(n_groups, dtype=np.uint8)
    looks, helped = 0, False
    while True:
        worst, most = -1, 0.0
        for g in range(n_groups):
            j = groups[MODE, g]
            if j >= 0 and stuck[g] == 0:
                over = degree[j] * (load[g] - target[groups[BATCH, g]])
                if over > most:
                    worst, most = g, over
        if looks > RELIEF or (worst < 0 and not helped):
            return looks
        if worst < 0:
            stuck[:] = 0
            helped = False
            continue
        looked = _relieve_group(
            worst, random, time, fixed, degree, room, tokens, target, free, groups, load, items
        )
        if looked < 0:
            stuck[worst] = 1
            looks -= looked
        else:
            helped = True
            looks += looked


@kernel("float64(int64[:,::1], float64[::1], float64[::1])")
def slowest(groups: Ints, load: Floats, time: Floats) -> float:
    """Fill ``time``, float64[Q], with each micro-batch's slowest group; return the sum."""
    time[:] = 0.0
    for g in range(groups.shape[1]):
        if groups[MODE, g] >= 0:
            time[groups[BATCH, g]] = max(time[groups[BATCH, g]], load[g])
    return float(time.sum())


@kernel(
    "void(uint64[::1], float64[:,::1], int64[::1], int64[::1], float64[::1], int64[::1],"
    " int64[:,::1], float64[::1], int64[:,::1])"
)
def _ruin(
    random: State,
    time: Floats,
    degree: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
) -> None:
    """Close the worst group, or any past its target, and one to four random ones beside it."""
    n_groups = groups.shape[1]
    worst, most = -1, 0.0
    for g in range(n_groups):
        j = groups[MODE, g]
        if j >= 0:
            over = degree[j] * (load[g] - target[groups[BATCH, g]]) * uniform(random)
            if over > most:
                worst, most = g, over
    goal = 2 + below(random, 4)
    for _ in range(4 * goal):
        g = worst if worst >= 0 else below(random, n_groups)
        worst = -1
        if groups[MODE, g] < 0:
            continue
        while groups[HEAD, g] >= 0:
            _remove(groups[HEAD, g], time, tokens, groups, load, items)
        _close(g, degree, free, groups, load)
        goal -= 1
        if goal == 0:
            return


@kernel("void(int64[::1], float64[::1], float64, int64[::1], int64[:,::1], float64[::1])")
def _retarget(
    degree: Ints, target: Floats, step: float, free: Ints, groups: Ints, load: Floats
) -> None:
    """Move target time to the micro-batches under pressure, the sum just below ``step``.

    A micro-batch gains its rank-time above the target and loses that left below it, per rank.
    """
    n_ranks = 0.0
    for m in range(len(target)):
        n_ranks += free[m]
    shift = np.zeros(len(target))
    for m in range(len(target)):
        shift[m] -= free[m] * target[m]
    for g in range(groups.shape[1]):
        if groups[MODE, g] >= 0:
            d, m = degree[groups[MODE, g]], groups[BATCH, g]
            shift[m] += d * (load[g] - target[m])
            n_ranks += d
    for m in range(len(target)):
        target[m] = max(0.5 * target[m], target[m] + shift[m] * len(target) / n_ranks)
    target *= 0.998 * step / target.sum()


@kernel(
    "int64(int64, uint64[::1], float64[::1], float64[:,::1], float64[::1], int64[::1], int64[::1],"
    " int64[::1], float64[::1], int64[::1], int64[:,::1], float64[::1], int64[:,::1],"
    " float64[::1], int64[:,::1], int64[::1], int64[::1])"
)
def improve(
    work: int,
    random: State,
    premium: Floats,
    time: Floats,
    fixed: Floats,
    degree: Ints,
    room: Ints,
    tokens: Ints,
    target: Floats,
    free: Ints,
    groups: Ints,
    load: Floats,
    items: Ints,
    best: Floats,
    best_groups: Ints,
    best_items: Ints,
    failed: Ints,
) -> int:
    """Search from a full assignment for about ``work`` looks; return those taken.

    Every round relieves what is past its target. On success targets tighten; otherwise corners
    are torn down and packed anew, kept when the squared excess does not grow, and after `RUINS`
    of them targets shift between micro-batches. ``best``, float64[1], ``best_groups`` and
    ``best_items``, int64[K], take the least step of all with no micro-batch empty; ``failed``,
    int64[1], counts the corners from one call to the next. No work at all is one round.
    """
    args = (time, fixed, degree, room, tokens, target, free, groups, load, items)
    n_batches, n_items = len(target), len(tokens)
    reached = np.zeros(n_batches)
    spare_groups, spare_load = groups.copy(), load.copy()
    spare_items, spare_free = items.copy(), free.copy()
    noisy = premium.copy()
    excess, looks = np.inf, 0
    while True:
        looks += 1 + relieve(random, *args)
        step = slowest(groups, load, reached)
        if step < best[0] and reached.min() > 0.0:
            best[0] = step
            best_groups[:] = groups
            best_items[:] = items[GROUP]
        after = _total(degree, target, groups, load)
        if after <= excess:
            if after < 0.999 * excess < np.inf:
                failed[0] = 0
            excess = after
            spare_groups[:], spare_load[:] = groups, load
            spare_items[:], spare_free[:] = items, free
        else:
            groups[:], load[:] = spare_groups, spare_load
            items[:], free[:] = spare_items, spare_free
        if looks >= work:
            return looks
        if excess == 0.0:
            slowest(groups, load, reached)
            target[:] = TIGHTEN * reached
            excess, failed[0] = np.inf, 0
            continue
        if failed[0] >= RUINS and best[0] < np.inf:
            _retarget(degree, target, best[0], free, groups, load)
            excess, failed[0] = np.inf, 0
            continue
        failed[0] += 1
        _ruin(random, time, degree, tokens, target, free, groups, load, items)
        for j in range(len(premium)):
            noisy[j] = premium[j] * (1.0 + 0.2 * (uniform(random) - 0.5))
        looks += n_items
        if not construct(noisy, *args):
            groups[:], load[:] = spare_groups, spare_load
            items[:], free[:] = spare_items, spare_free
