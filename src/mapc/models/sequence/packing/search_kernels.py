"""Packing and local search over micro-batches, groups and sequences together.

Problem and state are the tuples of `mapc.models.sequence.packing.state_kernels`.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.sequence.packing.state_kernels import (
    BATCH,
    COUNT,
    GROUP,
    HEAD,
    LATES,
    MODE,
    NEXT,
    OPEN,
    ORDER,
    PASS,
    PAST,
    PROBLEM,
    STATE,
    STUCK,
    TOKENS,
    WRITTEN,
    Floats,
    Ints,
    Problem,
    Random,
    State,
    close_empty,
    count_late,
    excess,
    insert,
    open_group,
    place,
    remove,
    slowest,
    total_excess,
    undo,
)
from mapc.random import below, uniform

SWAPS = 256
"""Sequences one is tried against: those about as much shorter as its group is late."""
PARTNERS = 256
"""Groups a sequence is tried in, from a random one on."""
RELIEF = 1_000_000
"""Looks at most between two evaluations."""
RUINS = 24
"""Rebuilt corners without success before targets change."""
TIGHTEST, LOOSEST = 0.001, 0.03
"""What targets lose after success: at least, at most."""
NEAR = 0.992
"""Targets below this part of the step reached move up without corners torn down."""


@kernel(f"int64(int64, int64, int64, uint64[::1], float64[::1], {PROBLEM}, {STATE})")
def construct(
    first: int,
    work: int,
    scan: int,
    random: Random,
    premium: Floats,
    problem: Problem,
    state: State,
) -> int:
    """Place sequences without a group from the first on, for about ``work`` looks.

    Returns the sequence to go on with, K when all are placed, -1 if memory does not do.
    """
    n_items, items, counts = len(problem[4]), state[4], state[6]
    each = len(state[0]) * len(problem[2])
    looks = 0
    for i in range(first, n_items):
        if items[GROUP, i] >= 0:
            continue
        if looks > work:
            return i
        looks += each + int(min(scan, counts[OPEN]))
        if not place(i, scan, random, premium, problem, state) and not place(
            i, state[2].shape[1], random, premium, problem, state
        ):
            return -1
    return n_items


@kernel(f"int64(int64, float64, int64[::1], float64[::1], uint64[::1], {PROBLEM}, {STATE})")
def _best_move(
    i: int,
    gain: float,
    found: Ints,
    best: Floats,
    random: Random,
    problem: Problem,
    state: State,
) -> int:
    """Look where sequence i could go if leaving its group changes the excess by ``gain``.

    ``found``, int64[3], takes sequence, -1, and group or n_groups + micro-batch * D + mode where
    that is better than ``best``, float64[1]. Returns looks taken.
    """
    time, fixed, degree, room, tokens = problem
    target, free, groups, load, items, _, counts = state
    own, n_open, n_modes = items[GROUP, i], counts[OPEN], len(degree)
    looks = int(min(n_open, PARTNERS))
    begin = below(random, n_open) if n_open > PARTNERS else 0
    for step in range(looks):
        at = begin + step
        g = groups[ORDER, at if at < n_open else at - n_open]
        j = groups[MODE, g]
        if g == own or groups[TOKENS, g] + tokens[i] > room[j]:
            continue
        aim = target[groups[BATCH, g]]
        grows = excess(degree[j], load[g] + time[j, i], aim)
        if gain + grows >= best[0]:
            continue
        change = gain + grows - excess(degree[j], load[g], aim)
        if change < best[0]:
            best[0], found[0], found[1], found[2] = change, i, -1, g
    for m in range(len(target)):
        for j in range(n_modes):
            if degree[j] <= free[m] and tokens[i] <= room[j]:
                change = gain + excess(degree[j], fixed[j] + time[j, i], target[m])
                if change < best[0]:
                    best[0], found[0], found[1] = change, i, -1
                    found[2] = groups.shape[1] + m * n_modes + j
    return int(looks + len(target) * n_modes)


@kernel(f"int64(int64, float64, int64[::1], float64[::1], {PROBLEM}, {STATE})")
def _best_swap(
    i: int, now: float, found: Ints, best: Floats, problem: Problem, state: State
) -> int:
    """Look which shorter sequence could take the place of i; ``now`` is its group's excess.

    ``found`` and ``best`` as of `_best_move`, with the partner second. Returns looks taken.
    """
    time, _, degree, room, tokens = problem
    target, _, groups, load, items, _, _ = state
    own = items[GROUP, i]
    mode, aim = groups[MODE, own], target[groups[BATCH, own]]
    less = load[own] - time[mode, i]
    n_items = len(tokens)
    begin, stop = i + 1, n_items
    if stop - begin > SWAPS:
        # the longest that leaves the group in time, and its neighbours
        low, high, goal = begin, stop, aim - less
        while low < high:
            middle = (low + high) // 2
            if time[mode, middle] > goal:
                low = middle + 1
            else:
                high = middle
        begin = max(begin, min(low - SWAPS // 4, n_items - SWAPS))
        stop = begin + SWAPS
    for k in range(begin, stop):
        g = items[GROUP, k]
        if g == own or tokens[k] == tokens[i]:
            continue
        j = groups[MODE, g]
        if groups[TOKENS, g] + tokens[i] - tokens[k] > room[j]:
            continue
        there = target[groups[BATCH, g]]
        change = excess(degree[j], load[g] - time[j, k] + time[j, i], there) - now
        if change >= best[0]:
            continue
        change += excess(degree[mode], less + time[mode, k], aim)
        change -= excess(degree[j], load[g], there)
        if change < best[0]:
            best[0], found[0], found[1], found[2] = change, i, k, g
    return max(0, stop - begin)


@kernel(f"int64(int64, uint64[::1], {PROBLEM}, {STATE})")
def _relieve_group(g: int, random: Random, problem: Problem, state: State) -> int:
    """Make the best move or swap out of group g; return looks taken, negative if none helped."""
    time, degree = problem[0], problem[2]
    groups, load, items = state[2], state[3], state[4]
    own, aim = groups[MODE, g], state[0][groups[BATCH, g]]
    now = excess(degree[own], load[g], aim)
    best, found = np.array([-1e-9 * now]), np.full(3, -1)
    looks, i = 1, groups[HEAD, g]
    while i >= 0:
        left = 0.0
        if groups[COUNT, g] > 1:
            left = excess(degree[own], load[g] - time[own, i], aim)
        looks += _best_move(i, left - now, found, best, random, problem, state)
        looks += _best_swap(i, now, found, best, problem, state)
        i = items[NEXT, i]
    mover, partner, goal = found[0], found[1], found[2]
    if mover < 0:
        return -looks
    n_groups, n_modes = groups.shape[1], len(degree)
    if goal >= n_groups:
        m, j = (goal - n_groups) // n_modes, (goal - n_groups) % n_modes
        goal = open_group(m, j, problem, state)
        if goal < 0:
            return -looks
    remove(mover, problem, state)
    if partner >= 0:
        remove(partner, problem, state)
        insert(partner, g, problem, state)
    insert(mover, goal, problem, state)
    close_empty(g, problem, state)
    return looks


@kernel(f"int64(int64, uint64[::1], {PROBLEM}, {STATE})")
def relieve(work: int, random: Random, problem: Problem, state: State) -> int:
    """Move and swap sequences out of groups past their target, worst first; return looks taken.

    Passes over all such groups follow each other while they help, for about ``work`` looks.
    """
    target, _, groups, load, _, journal, counts = state
    degree = problem[2]
    looks, helped = 0, False
    counts[PASS] += 1
    while looks <= work and counts[WRITTEN] + 8 < journal.shape[1]:
        worst, most = -1, 0.0
        for at in range(counts[PAST]):
            g = groups[LATES, at]
            if groups[STUCK, g] != counts[PASS]:
                over = degree[groups[MODE, g]] * (load[g] - target[groups[BATCH, g]])
                if over > most:
                    worst, most = g, over
        looks += int(counts[PAST])
        if worst < 0:
            if not helped:
                return looks
            counts[PASS] += 1
            helped = False
            continue
        looked = _relieve_group(worst, random, problem, state)
        if looked < 0:
            groups[STUCK, worst] = counts[PASS]
        else:
            helped = True
        looks += abs(looked)
    return looks


@kernel(f"void(uint64[::1], {PROBLEM}, {STATE})")
def _ruin(random: Random, problem: Problem, state: State) -> None:
    """Close the worst group, or any past its target, and one to four random ones beside it."""
    target, _, groups, load, _, _, counts = state
    worst, most = -1, 0.0
    for at in range(counts[PAST]):
        g = groups[LATES, at]
        over = problem[2][groups[MODE, g]] * (load[g] - target[groups[BATCH, g]]) * uniform(random)
        if over > most:
            worst, most = g, over
    goal = 2 + below(random, 4)
    while goal > 0 and counts[OPEN] > 0:
        g = worst if worst >= 0 else groups[ORDER, below(random, counts[OPEN])]
        worst = -1
        while groups[HEAD, g] >= 0:
            remove(groups[HEAD, g], problem, state)
        close_empty(g, problem, state)
        goal -= 1


@kernel(f"void(float64, {PROBLEM}, {STATE})")
def _retarget(step: float, problem: Problem, state: State) -> None:
    """Move target time to the micro-batches under pressure, the sum being ``step``.

    A micro-batch gains its rank-time above the target and loses that left below it, per rank.
    """
    target, free, groups, load, _, _, counts = state
    n_ranks = 0.0
    shift = np.zeros(len(target))
    for m in range(len(target)):
        n_ranks += free[m]
        shift[m] -= free[m] * target[m]
    for at in range(counts[OPEN]):
        g = groups[ORDER, at]
        d, m = problem[2][groups[MODE, g]], groups[BATCH, g]
        shift[m] += d * (load[g] - target[m])
        n_ranks += d
    for m in range(len(target)):
        target[m] = max(0.5 * target[m], target[m] + shift[m] * len(target) / n_ranks)
    total = target.sum()
    for m in range(len(target)):
        target[m] *= step / total
    count_late(state)


@kernel(
    f"int64(int64, int64, uint64[::1], float64[::1], {PROBLEM}, {STATE},"
    " float64[::1], int64[:,::1], int64[::1], float64[::1])"
)
def improve(
    work: int,
    scan: int,
    random: Random,
    premium: Floats,
    problem: Problem,
    state: State,
    best: Floats,
    best_groups: Ints,
    best_items: Ints,
    search: Floats,
) -> int:
    """Search from a full assignment for about ``work`` looks; return those taken.

    Every round relieves what is past its target. On success targets tighten; otherwise corners
    are torn down and packed anew, kept when the squared excess does not grow, and after `RUINS`
    of them targets shift between micro-batches. ``best``, float64[1], ``best_groups``, int64[2, G],
    and ``best_items``, int64[K], take the least step of all with no micro-batch empty; ``search``,
    float64[3], keeps excess, corners that failed and what targets lose next from one call to the
    next. No work at all is
    one round.
    """
    target, _, groups, _, items, _, counts = state
    n_items = len(problem[4])
    reached = np.zeros(len(target))
    noisy = premium.copy()
    looks = 0
    while looks == 0 or looks < work:
        looked = relieve(RELIEF, random, problem, state)
        looks += looked + int(counts[OPEN])
        step = slowest(reached, state)
        if step < best[0] and reached.min() > 0.0:
            best[0] = step
            for g in range(groups.shape[1]):
                best_groups[0, g], best_groups[1, g] = groups[BATCH, g], groups[MODE, g]
            for i in range(n_items):
                best_items[i] = items[GROUP, i]
        after = total_excess(problem, state)
        if after <= search[0]:
            if after < 0.999 * search[0] < np.inf:
                search[1] = 0.0
            search[0] = after
            counts[WRITTEN] = 0
        else:
            undo(problem, state)
        if search[0] == 0.0:
            if search[1] == 0.0:
                search[2] = min(2.0 * search[2], LOOSEST)
            slowest(reached, state)
            for m in range(len(target)):
                target[m] = (1.0 - search[2]) * reached[m]
            count_late(state)
            search[0], search[1] = np.inf, 0.0
            continue
        low = best[0] < np.inf and target.sum() < NEAR * best[0]
        if looked > RELIEF and not low:
            continue
        if low or (search[1] >= RUINS and best[0] < np.inf):
            search[2] = max(0.5 * search[2], TIGHTEST)
            _retarget((1.0 - search[2]) * best[0], problem, state)
            search[0], search[1] = np.inf, 0.0
            continue
        if looks >= work:  # corners torn down are packed anew
            return looks
        search[1] += 1.0
        _ruin(random, problem, state)
        for j in range(len(premium)):
            noisy[j] = premium[j] * (1.0 + 0.2 * (uniform(random) - 0.5))
        looks += n_items
        if construct(0, 1 << 60, scan, random, noisy, problem, state) < n_items:
            undo(problem, state)
    return looks
