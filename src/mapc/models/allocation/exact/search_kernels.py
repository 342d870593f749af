"""Depth-first search: place the lowest buffer at its bound, or conclude that it lies higher.

**Branching.** Let b be the unplaced buffer of the region with the least bound. It is supported,
``LOW[b] == REST[b]``, or rule 2 would have raised it. Either x[b] = LOW[b] (it is placed), or
x[b] > LOW[b]; then, as for rule 2, it rests on an unplaced neighbour k, and x[b] is at least the
least LOW[k] + SIZE[k]. The second is no branch of its own but a deduction, whose reason is the
conflict that the first one ended in, and what `explain_rest` gathers. So decisions are placements
only, and as bounds rise by it, the search ends. A held buffer has no second case.

**Dominance.** If placing b raises no neighbour, the second case is out: all unplaced neighbours lie
at LOW[b] + SIZE[b] or above, all placed ones end at LOW[b] or below, so b could be moved down to
its bound, and the sum would not be the least.

**Backjumping.** A conflict is a set of placed buffers that no least-sum placement has where they
are. Decisions are taken back until one is in the set; without it the set is what refutes the last
one. A decision in a region that does not contain the failed one has nothing to do with the
conflict and is passed over: it belongs to a part that was solved.

No decision left: there is no feasible placement, for if there were any, one would have least sum.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.allocation.exact.floors_kernels import CONFLICT, RAISED, floors
from mapc.models.allocation.exact.propagation_kernels import FAR, propagate, sort_by_low
from mapc.models.allocation.exact.regions_kernels import BEGIN, END, NEXT, choose, split
from mapc.models.allocation.exact.state_kernels import (
    CORE,
    DIRTY,
    FAILED,
    HASHES,
    HELD,
    HITS,
    LEVEL,
    LOW,
    NEAR,
    NODES,
    PLACED,
    POOL,
    QUEUE,
    QUEUED,
    REASONS,
    REGION,
    REGIONS,
    SIZE,
    SPLIT,
    TABLE,
    TRAIL,
    WHY,
    Core,
    Ints,
    Reasons,
    explain_rest,
    new_reason,
    place_at_low,
    raise_low,
    take_back,
)
from mapc.models.allocation.exact.table_kernels import explain_state, forget, hash_of

NONE, DEAD = -1, -2
"""What there may be instead of a buffer to place."""
PAUSED, SOLVED, IMPOSSIBLE, FULL = range(4)
"""Why a run ended: nodes spent; everything is placed; proven to have no placement; trail full."""

BUFFER, TRAIL_MARK, POOL_MARK, HASH_MARK, REGION_MARK, REGIONS_MARK, SECOND_CASE = range(7)
"""A decision: what was placed, lengths of the stacks before, whether it may lie higher."""

DEEP = "Tuple((int64[:,::1], int64[:,::1], int64[:,::1], int64[::1], int64[:,::1]))"
"""Type of ``(levels, regions, hashes, table, coefficients)``: decisions, int64[n + 1, 7], regions,
int64[2 m + 2, 3], hash and region of states searched, int64[h, 2], hashes of failed ones."""
Deep = tuple[Ints, Ints, Ints, Ints, Ints]


@kernel(f"void(int64, int64[::1], {CORE}, {DEEP})")
def _decide(b: int, near: Ints, core: Core, deep: Deep) -> None:
    """Note a decision before it is made."""
    buffers, count, levels = core[0], core[4], deep[0]
    level = count[LEVEL] + 1
    levels[level, BUFFER] = b
    levels[level, TRAIL_MARK] = count[TRAIL]
    levels[level, POOL_MARK] = count[POOL]
    levels[level, HASH_MARK] = count[HASHES]
    levels[level, REGION_MARK] = count[REGION]
    levels[level, REGIONS_MARK] = count[REGIONS]
    top = buffers[b, LOW] + buffers[b, SIZE]
    raises = 0
    for at in range(buffers[b, NEAR], buffers[b + 1, NEAR]):
        k = near[at]
        if buffers[k, PLACED] == 0 and buffers[k, LOW] < top:
            raises = 1
            break
    levels[level, SECOND_CASE] = raises


@kernel(f"void({CORE})")
def _clear(core: Core) -> None:
    """Empty the queue of dirty sections after a conflict."""
    sections, lists, count = core[1], core[2], core[4]
    for at in range(count[QUEUED]):
        sections[lists[QUEUE, at], DIRTY] = 0
    count[QUEUED] = 0


@kernel(f"int64(int64[:,::1], int64[::1], {CORE}, {REASONS}, {DEEP})")
def _next(slots: Ints, near: Ints, core: Core, reasons: Reasons, deep: Deep) -> int:
    """Return what to place next: a buffer, or ``NONE`` is left, or a ``DEAD`` end is found first.

    Rule 4 holds without another decision, so what it raises is taken back with the last one.
    """
    regions, count = deep[1], core[4]
    sort_by_low(core)
    if count[SPLIT] == 1 and count[REGION] >= 0:
        split(regions, core)
    while count[REGION] >= 0:
        begin, end = regions[count[REGION], BEGIN], regions[count[REGION], END]
        b = choose(begin, end, core)
        if b < 0:
            count[REGION] = regions[count[REGION], NEXT]
            continue
        came = floors(begin, end, core[0][b, LOW], slots, near, core, reasons)
        if came == CONFLICT:
            return DEAD
        if came != RAISED:
            return int(b)
        if not propagate(slots, near, core, reasons):
            return DEAD
        sort_by_low(core)
    return NONE


@kernel(f"boolean(int64[:,::1], int64[::1], {CORE}, {REASONS}, {DEEP})")
def _forward(slots: Ints, near: Ints, core: Core, reasons: Reasons, deep: Deep) -> bool:
    """Make the next decision; ``FAILED`` says how it went. False if all is placed."""
    _, regions, hashes, table, coefficients = deep
    count = core[4]
    b = _next(slots, near, core, reasons, deep)
    if b == NONE:
        return False
    if b == DEAD:
        _clear(core)
        count[FAILED] = 1
        return True
    begin, end = regions[count[REGION], BEGIN], regions[count[REGION], END]
    if count[TABLE] == 1:
        key = hash_of(begin, end, coefficients, core)
        if table[key % len(table)] == key:
            count[HITS] += 1
            explain_state(begin, end, core, reasons)
            count[FAILED] = 1
            return True
        if count[HASHES] < len(hashes):
            hashes[count[HASHES], 0] = key
            hashes[count[HASHES], 1] = count[REGION]
            count[HASHES] += 1
    count[NODES] += 1
    _decide(b, near, core, deep)
    fine = place_at_low(b, slots, near, core, reasons) and propagate(slots, near, core, reasons)
    if not fine:
        _clear(core)
        count[FAILED] = 1
    return True


@kernel(f"boolean(int64[:,::1], int64[::1], {CORE}, {REASONS}, {DEEP})")
def _back(slots: Ints, near: Ints, core: Core, reasons: Reasons, deep: Deep) -> bool:
    """Take decisions back until a second case holds up; false if none does.

    The trail has room: when the decision was looked for, there were 2 n left; rule 4 may have taken
    n of them before it was made, and the other n are enough for what the second case raises.
    """
    levels, regions, hashes, table, _ = deep
    buffers, count = core[0], core[4]
    sets, mask = reasons[1], reasons[2]
    n = len(buffers) - 1
    conflict = sets[n]
    begin, end = regions[max(count[REGION], 0), BEGIN], regions[max(count[REGION], 0), END]
    while count[LEVEL] > 0:
        level = count[LEVEL]
        b, region = levels[level, BUFFER], levels[level, REGION_MARK]
        if count[TABLE] == 1:
            forget(levels[level, HASH_MARK], begin, end, hashes, regions, table, count)
        take_back(b, levels[level, TRAIL_MARK], core, reasons)
        count[POOL] = levels[level, POOL_MARK]
        count[REGION], count[REGIONS] = region, levels[level, REGIONS_MARK]
        if regions[region, BEGIN] > begin or regions[region, END] < end:
            conflict[b >> 6] &= ~mask[b]
            continue
        if (conflict[b >> 6] & mask[b]) == np.uint64(0):
            continue
        begin, end = regions[region, BEGIN], regions[region, END]
        conflict[b >> 6] ^= mask[b]
        if buffers[b, HELD] == 1:
            # it is nowhere else: what is left of the set is a conflict by itself
            continue
        explain_rest(b, near, core, reasons, conflict)
        if levels[level, SECOND_CASE] == 0:
            continue
        low = FAR
        for at in range(buffers[b, NEAR], buffers[b + 1, NEAR]):
            k = near[at]
            if buffers[k, PLACED] == 0:
                low = min(low, buffers[k, LOW] + buffers[k, SIZE])
        row = new_reason(core, reasons)
        if row > n:
            for w in range(sets.shape[1]):
                reasons[0][row, w] = conflict[w]
        if raise_low(b, low, row, near, core, reasons) and propagate(slots, near, core, reasons):
            return True
        _clear(core)
    return False


@kernel(f"int64(int64, int64[:,::1], int64[::1], {CORE}, {REASONS}, {DEEP})")
def run(until: int, slots: Ints, near: Ints, core: Core, reasons: Reasons, deep: Deep) -> int:
    """Go on searching until ``until`` nodes in all; return why it ended."""
    buffers, _, _, trail, count = core
    n = len(buffers) - 1
    while True:
        if count[TRAIL] + 2 * n > len(trail):
            return FULL
        if count[FAILED] == 1:
            count[FAILED] = 0
            if not _back(slots, near, core, reasons, deep):
                return IMPOSSIBLE
        if count[NODES] >= until:
            return PAUSED
        if not _forward(slots, near, core, reasons, deep):
            return SOLVED


@kernel(f"boolean(int64[:,::1], int64[::1], {CORE}, {REASONS}, {DEEP})")
def start(slots: Ints, near: Ints, core: Core, reasons: Reasons, deep: Deep) -> bool:
    """Begin anew: take all decisions back, keep what holds without any; false if impossible.

    Call it first with all sections dirty in the queue and the whole as region 0.
    """
    levels, regions = deep[0], deep[1]
    sections, count = core[1], core[4]
    while count[LEVEL] > 0:
        level = count[LEVEL]
        take_back(levels[level, BUFFER], levels[level, TRAIL_MARK], core, reasons)
    count[TRAIL], count[HASHES], count[FAILED] = 0, 0, 0
    count[POOL] = len(core[0])
    for i in range(len(core[0]) - 1):
        core[0][i, WHY] = 0
    regions[0, BEGIN], regions[0, END], regions[0, NEXT] = 0, len(sections), -1
    count[REGION], count[REGIONS], count[SPLIT] = 0, 1, 1
    return bool(propagate(slots, near, core, reasons))
