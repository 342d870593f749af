"""The state of the search: bounds on addresses, their reasons, and how both are taken back.

What the search deduces holds for every feasible placement x with the least sum of addresses, and
for such placements only. Addresses are counted in units. At any moment some buffers are placed;
every other buffer i has a bound ``LOW[i] <= x[i]`` and ``REST[i]``, the highest top of the placed
neighbours (buffers that share a time), which all lie below it: ``REST[i] <= LOW[i]``.

A *held* buffer has one address, given from outside; it is placed in its turn like the others. Its
``LOW`` is that address from the start, and so is its ``MOST``, the highest address it may have: the
rules, none of which supposes that a buffer can move, may raise it no more, and to try to is a
conflict. The one that does suppose it, that a buffer rests on something, is not applied to held
buffers: their ``REST`` is their address too. Others rest on held ones as on any, and least is the
sum over all placements that keep held buffers where they are.

A buffer may have a *grain*, of which its address is a multiple. In a placement of least sum it then
lies at the first multiple at or above the floor or the top of a neighbour: it would still be apart
from all at that one, from those below as it is not lower than their tops, and from those above as
it is lower than now. So "to rest on k" reads "to lie at the first multiple above the top of k".
``LOW`` and ``REST`` are rounded up to the grain whenever they rise, which any bound on an address
may be. Nothing else changes: that what is below is placed first, that sums of sizes have to fit
below the capacity, and what bounds follow from bounds, hold for addresses of any kind.

Ranges of addresses that a single buffer stays off are held buffers that only it is a neighbour of,
in no section and placed from the start. None comes to rest on one: where such a range ends, a held
buffer that is alive all the time begins, or the capacity ends.

A *reason* is a set of placed buffers, kept as bits in a row of ``pool``: as long as those keep
their addresses, the bound it belongs to holds. Row d, for d decisions made so far, is the set of
all that are placed by then; it is the reason where no better one is wanted or fits in.

Arrays
------
buffers : int64[n, 16]
    One row each: ``LOW``, ``REST``, ``WHY`` (row of the pool), ``STAMP`` (serial number of the
    decision under which it was last saved), ``PLACED``, ``SIZE``, ``FIRST`` and ``LAST`` section,
    ``NEAR`` (where its neighbours begin), ``SLOT``, ``RANK`` (ties), ``LISTED``, ``MOST``,
    ``HELD``, ``WALLS`` (number of its held neighbours), ``GRAIN`` (1 for held ones).
sections : int64[m, 13]
    Maximal sets alive together, in order of time: ``TOTAL`` size and number ``ALIVE`` of what is
    not placed; ``LEAST`` and ``SECOND`` least of LOW + SIZE, ``WHO`` has the least, ``FRESH``
    whether these three are up to date; ``DIRTY``, ``SEEN`` marks; ``SUM`` scratch; ``CUT``, the
    number of unplaced buffers alive here and in the next; ``START`` of its members; ``FORE`` and
    ``BACK``, marks of `floors_kernels`.
slots : int64[2, k]
    Members of each section, those not placed first; and where among them a buffer stands, for
    every section of its life (from its ``SLOT`` on).
near : int64[e]
    Neighbours of all buffers, one after another; of each the held ones first, by address.
trail : int64[t, 4]
    Buffer, LOW, REST, WHY as they were.
lists : int64[4, max(n, m)]
    Buffers by LOW; dirty sections; buffers to look at; sections seen.
count : int64[20]
    Scalars, by the names below.
pool : uint64[r, w]; sets : uint64[n + 2, w]; mask : uint64[n]
    Reasons. Neighbours of every buffer, then the current conflict, then the placed. The bit of a
    buffer in word ``i >> 6``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]
Core = tuple[Ints, Ints, Ints, Ints, Ints]
Reasons = tuple[Bits, Bits, Bits]

CORE = "Tuple((int64[:,::1], int64[:,::1], int64[:,::1], int64[:,::1], int64[::1]))"
"""Type of ``(buffers, sections, lists, trail, count)``."""
REASONS = "Tuple((uint64[:,::1], uint64[:,::1], uint64[::1]))"
"""Type of ``(pool, sets, mask)``."""

LOW, REST, WHY, STAMP, PLACED, SIZE, FIRST, LAST, NEAR, SLOT, RANK, LISTED, MOST, HELD, WALLS = (
    range(15)
)
GRAIN = 15
TOTAL, ALIVE, LEAST, SECOND, WHO, FRESH, DIRTY, SEEN, SUM, CUT, START, FORE, BACK = range(13)
FIELDS, SECTION_FIELDS, COUNTS = 16, 13, 20
ORDER, QUEUE, TODO, SIGHT = range(4)
(
    CAP,
    LEVEL,
    TRAIL,
    POOL,
    SERIAL,
    SERIALS,
    QUEUED,
    WAITING,
    SIGHTED,
    REGION,
    REGIONS,
    HASHES,
    SPLIT,
    JUMP,
    FAILED,
    NODES,
    TABLE,
    HITS,
    PICK,
) = range(19)
"""Scalars: capacity; decisions made; lengths of trail and pool; serial number of the scope and the
last one given out; lengths of three lists; the region searched and how many there are; length of
the stack of hashes; whether a cut has become zero; whether reasons are kept; whether a conflict is
still to be dealt with; nodes; whether failed states are kept, and how often one was met again;
whether full sections come first."""


@kernel(f"void(int64, {CORE})")
def save(i: int, core: Core) -> None:
    """Put the bounds of a buffer on the trail, once for every scope."""
    buffers, _, _, trail, count = core
    at = count[TRAIL]
    trail[at, 0] = i
    trail[at, 1] = buffers[i, LOW]
    trail[at, 2] = buffers[i, REST]
    trail[at, 3] = buffers[i, WHY]
    count[TRAIL] = at + 1
    buffers[i, STAMP] = count[SERIAL]


@kernel(f"int64(int64, int64, {CORE})")
def rounded(i: int, address: int, core: Core) -> int:
    """Return the first address from one on that is a multiple of a buffer's grain."""
    grain = core[0][i, GRAIN]
    if grain == 1:
        return address
    return int((address + grain - 1) // grain * grain)


@kernel(f"boolean(int64, int64, int64, int64[::1], {CORE}, {REASONS})")
def raise_low(i: int, low: int, why: int, near: Ints, core: Core, reasons: Reasons) -> bool:
    """Raise a bound, for the reason in row ``why``; false, with the conflict, above ``MOST``.

    A buffer that does not fit below a held neighbour lies on top of it or higher. *Proof.* At
    ``low`` or above it ends above the base of the held one, and the two are disjoint. Reason: that
    of ``low``, for nothing else is needed. By address, so that one pass is enough: either the
    buffer is above a held one, or it fits below it and all that follow.
    """
    buffers, sections, lists, _, count = core
    low = rounded(i, low, core)
    for at in range(buffers[i, NEAR], buffers[i, NEAR] + buffers[i, WALLS]):
        k = near[at]
        if low + buffers[i, SIZE] <= buffers[k, MOST]:
            break
        low = rounded(i, max(low, buffers[k, MOST] + buffers[k, SIZE]), core)
    if buffers[i, STAMP] != count[SERIAL]:
        save(i, core)
    buffers[i, LOW] = low
    buffers[i, WHY] = why
    if low > buffers[i, MOST]:
        pool, sets, _ = reasons
        n = len(sets) - 2
        for w in range(sets.shape[1]):
            sets[n, w] = pool[why, w]
        return False
    for s in range(buffers[i, FIRST], buffers[i, LAST]):
        sections[s, FRESH] = 0
        if sections[s, DIRTY] == 0:
            sections[s, DIRTY] = 1
            lists[QUEUE, count[QUEUED]] = s
            count[QUEUED] += 1
    return True


@kernel(f"int64({CORE}, {REASONS})")
def new_reason(core: Core, reasons: Reasons) -> int:
    """Return a row for a reason, cleared; or that of all placed, not to be written to."""
    count, pool = core[4], reasons[0]
    row = count[POOL]
    if count[JUMP] == 0 or row == len(pool):
        return int(count[LEVEL])
    count[POOL] = row + 1
    for w in range(pool.shape[1]):
        pool[row, w] = np.uint64(0)
    return int(row)


@kernel(f"void(int64, int64[::1], {CORE}, {REASONS}, uint64[::1])")
def explain_rest(i: int, near: Ints, core: Core, reasons: Reasons, into: Bits) -> None:
    """Add why a buffer rests on none of the placed nor below its bound on any other.

    That is its own reason, its placed neighbours, and the reasons of its other neighbours.
    """
    buffers = core[0]
    pool, sets, _ = reasons
    placed = len(sets) - 1
    why = buffers[i, WHY]
    for w in range(sets.shape[1]):
        into[w] |= pool[why, w] | (sets[i, w] & sets[placed, w])
    last = why
    for at in range(buffers[i, NEAR], buffers[i + 1, NEAR]):
        k = near[at]
        why = buffers[k, WHY]
        if buffers[k, PLACED] == 0 and why != last:
            last = why
            for w in range(sets.shape[1]):
                into[w] |= pool[why, w]


@kernel(f"void(int64, int64[:,::1], {CORE})")
def _take_out(b: int, slots: Ints, core: Core) -> None:
    """Take a buffer out of the unplaced ones of its sections."""
    buffers, sections, lists, _, count = core
    buffers[b, PLACED] = 1
    size, first, last = buffers[b, SIZE], buffers[b, FIRST], buffers[b, LAST]
    for s in range(first, last):
        slot = buffers[b, SLOT] + s - first
        sections[s, TOTAL] -= size
        sections[s, ALIVE] -= 1
        at, end = slots[1, slot], sections[s, START] + sections[s, ALIVE]
        other = slots[0, end]
        slots[0, at], slots[0, end] = other, b
        slots[1, buffers[other, SLOT] + s - buffers[other, FIRST]] = at
        slots[1, slot] = end
        sections[s, FRESH] = 0
        if sections[s, DIRTY] == 0:
            sections[s, DIRTY] = 1
            lists[QUEUE, count[QUEUED]] = s
            count[QUEUED] += 1
        if s + 1 < last:
            sections[s, CUT] -= 1
            if sections[s, CUT] == 0:
                count[SPLIT] = 1
    if sections[first, ALIVE] == 0 or sections[last - 1, ALIVE] == 0:
        count[SPLIT] = 1


@kernel(f"boolean(int64, int64[:,::1], int64[::1], {CORE}, {REASONS})")
def place_at_low(b: int, slots: Ints, near: Ints, core: Core, reasons: Reasons) -> bool:
    """Place a buffer at its bound and everything near it on top; false with a conflict.

    *Proof.* The caller takes a buffer whose bound is least among all unplaced neighbours. So a
    neighbour k that is not placed has x[k] >= LOW[k] >= LOW[b] = x[b], and as the two may not
    overlap it lies above: x[k] >= LOW[b] + SIZE[b]. Reason: b is where it is, and why k is not
    below it, for which k's reason is needed only if k fits there at all, SIZE[k] <= LOW[b].
    """
    buffers, count = core[0], core[4]
    pool, sets, mask = reasons
    level, low = count[LEVEL] + 1, buffers[b, LOW]
    top, placed = low + buffers[b, SIZE], len(sets) - 1
    count[LEVEL] = level
    count[SERIALS] += 1
    count[SERIAL] = count[SERIALS]
    _take_out(b, slots, core)
    sets[placed, b >> 6] |= mask[b]
    for w in range(sets.shape[1]):
        pool[level, w] = sets[placed, w]
    plain = -1
    for at in range(buffers[b, NEAR], buffers[b + 1, NEAR]):
        k = near[at]
        if buffers[k, PLACED] == 1 or buffers[k, REST] >= top:
            continue
        if buffers[k, STAMP] != count[SERIAL]:
            save(k, core)
        buffers[k, REST] = rounded(k, top, core)
        if buffers[k, LOW] >= top:
            continue
        if buffers[k, SIZE] > low or buffers[k, WHY] == 0:
            if plain < 0:
                plain = new_reason(core, reasons)
                if plain > level:
                    pool[plain, b >> 6] |= mask[b]
            row = plain
        else:
            row = new_reason(core, reasons)
            if row > level:
                for w in range(sets.shape[1]):
                    pool[row, w] = pool[buffers[k, WHY], w]
                pool[row, b >> 6] |= mask[b]
        if not raise_low(k, top, row, near, core, reasons):
            return False
    return True


@kernel(f"void(int64, int64, {CORE}, {REASONS})")
def take_back(b: int, mark: int, core: Core, reasons: Reasons) -> None:
    """Undo the last decision, to place b, when the trail had length ``mark``."""
    buffers, sections, _, trail, count = core
    sets, mask = reasons[1], reasons[2]
    for at in range(count[TRAIL] - 1, mark - 1, -1):
        i = trail[at, 0]
        buffers[i, LOW] = trail[at, 1]
        buffers[i, REST] = trail[at, 2]
        buffers[i, WHY] = trail[at, 3]
        for s in range(buffers[i, FIRST], buffers[i, LAST]):
            sections[s, FRESH] = 0
    count[TRAIL] = mark
    buffers[b, PLACED] = 0
    sets[len(sets) - 1, b >> 6] ^= mask[b]
    for s in range(buffers[b, FIRST], buffers[b, LAST]):
        # what was taken out since is back in: b stands at the border
        sections[s, TOTAL] += buffers[b, SIZE]
        sections[s, ALIVE] += 1
        sections[s, FRESH] = 0
        if s + 1 < buffers[b, LAST]:
            sections[s, CUT] += 1
    count[LEVEL] -= 1
    count[SERIALS] += 1
    count[SERIAL] = count[SERIALS]
    count[SPLIT] = 0
