"""Rule 4: where buffers fill the memory from the floor up, those on the floor are a tiling.

Let l be the least bound of a region, M the capacity, and ``[a, b)`` sections next to each other
that are *full*: the unplaced buffers of each have sizes that sum up to M - l.

**The tiling.** In a full section the unplaced are all at l or above, disjoint, below M, and leave
nothing of [l, M) free: exactly one of them, call it f(s), lies at l. If f(s) is alive in section
s + 1 as well, it is the one at l there: f(s + 1) = f(s). So f changes from s to s + 1 only where
f(s) ends with s and f(s + 1) begins with s + 1, and the lives of those on the floor, cut off at a
and b, are a path from a to b.

**What follows.** Candidates are the buffers bounded by l itself; f takes no others. One from p to q
(cut off) can be reached if some path of candidates leads from a to p, and goes on if one leads from
q to b. f takes only such that do both. So any other candidate lies above l, and in every section of
its life within [a, b) above the one that is at l there: at l and its size, or higher. If none that
can be reached ends at b, there is no placement. Nothing is supposed but bounds, so this holds for
held buffers, and for every feasible placement that the bounds admit.

**Reasons.** Whether f(s) can be reached depends on the sections [a, s] alone, whether it goes on on
[s, b). A candidate that cannot be reached is compared with those that can, in the sections up to
its end; one that does not go on with those that do, in the sections from its beginning. Where no
path ends, f(p) is missing for the last p that is reached. The reason is the reasons of all unplaced
buffers of the sections used: as long as they hold, these buffers are at l or above and fill those
sections, whatever else is placed.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.allocation.exact.propagation_kernels import FAR
from mapc.models.allocation.exact.state_kernels import (
    ALIVE,
    BACK,
    CAP,
    CORE,
    FIRST,
    FORE,
    LAST,
    LOW,
    REASONS,
    SIZE,
    START,
    TOTAL,
    WHY,
    Bits,
    Core,
    Ints,
    Reasons,
    new_reason,
    raise_low,
)

NOTHING, RAISED, CONFLICT = range(3)
"""What came of it."""


@kernel(f"void(int64, int64, uint64[::1], int64[:,::1], {CORE}, {REASONS})")
def _explain(a: int, b: int, into: Bits, slots: Ints, core: Core, reasons: Reasons) -> None:
    """Add the reasons of all unplaced buffers of sections ``[a, b)``."""
    buffers, sections = core[0], core[1]
    pool = reasons[0]
    for s in range(a, b):
        for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
            i = slots[0, at]
            if s > a and buffers[i, FIRST] < s:
                continue  # seen in the section before
            why = buffers[i, WHY]
            for w in range(pool.shape[1]):
                into[w] |= pool[why, w]


@kernel(f"void(int64, int64, int64, int64[:,::1], {CORE})")
def _reach(a: int, b: int, low: int, slots: Ints, core: Core) -> None:
    """Mark boundaries that paths reach from a (``FORE``), or from which they reach b (``BACK``)."""
    buffers, sections = core[0], core[1]
    for s in range(a, b):
        sections[s, FORE] = sections[s, BACK] = 0
    sections[a, FORE] = 1
    for s in range(a, b):
        if sections[s, FORE] == 0:
            continue
        for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
            i = slots[0, at]
            if buffers[i, LOW] == low and max(buffers[i, FIRST], a) == s and buffers[i, LAST] < b:
                sections[buffers[i, LAST], FORE] = 1
    for s in range(b - 1, a - 1, -1):
        if s < b - 1 and sections[s + 1, BACK] == 0:
            continue
        for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
            i = slots[0, at]
            if buffers[i, LOW] == low and min(buffers[i, LAST], b) == s + 1:
                sections[max(buffers[i, FIRST], a), BACK] = 1


@kernel(f"boolean(int64, int64, int64, int64, {CORE})")
def _joined(i: int, a: int, b: int, which: int, core: Core) -> bool:
    """Whether a candidate can be reached (``FORE``) or goes on (``BACK``)."""
    buffers, sections = core[0], core[1]
    if which == FORE:
        return bool(sections[max(buffers[i, FIRST], a), FORE] == 1)
    return bool(buffers[i, LAST] >= b or sections[buffers[i, LAST], BACK] == 1)


@kernel(f"int64(int64, int64, int64, int64, int64[:,::1], {CORE})")
def _under(i: int, a: int, b: int, which: int, slots: Ints, core: Core) -> int:
    """Return what has to be under a candidate that is not joined: the most of any section."""
    buffers, sections = core[0], core[1]
    low, most = buffers[i, LOW], 0
    for s in range(max(buffers[i, FIRST], a), min(buffers[i, LAST], b)):
        least = FAR
        for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
            k = slots[0, at]
            if buffers[k, LOW] == low and _joined(k, a, b, which, core):
                least = min(least, buffers[k, SIZE])
        most = max(most, least)
    return most


@kernel(f"boolean(int64, int64, int64, int64[:,::1], {CORE}, {REASONS})")
def _ends(a: int, b: int, low: int, slots: Ints, core: Core, reasons: Reasons) -> bool:
    """Whether a path leads from a to b; if none does, make that the conflict."""
    buffers, sections = core[0], core[1]
    for at in range(sections[b - 1, START], sections[b - 1, START] + sections[b - 1, ALIVE]):
        i = slots[0, at]
        if buffers[i, LOW] == low and buffers[i, LAST] >= b and _joined(i, a, b, FORE, core):
            return True
    last, sets = a, reasons[1]
    conflict = len(sets) - 2
    for s in range(a, b):
        if sections[s, FORE] == 1:
            last = s
    for w in range(sets.shape[1]):
        sets[conflict, w] = np.uint64(0)
    _explain(a, last + 1, sets[conflict], slots, core, reasons)
    return False


@kernel(f"int64(int64, int64, int64, int64[:,::1], int64[::1], {CORE}, {REASONS})")
def tile(a: int, b: int, low: int, slots: Ints, near: Ints, core: Core, reasons: Reasons) -> int:
    """Apply the rule to full sections ``[a, b)``, ``b > a``, above ``low``."""
    buffers, sections = core[0], core[1]
    pool, sets, _ = reasons
    _reach(a, b, low, slots, core)
    if not _ends(a, b, low, slots, core, reasons):
        return CONFLICT
    said = NOTHING
    for s in range(a, b):
        for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
            i = slots[0, at]
            if buffers[i, LOW] != low or max(buffers[i, FIRST], a) != s:
                continue
            reached = _joined(i, a, b, FORE, core)
            if reached and _joined(i, a, b, BACK, core):
                continue
            under = _under(i, a, b, BACK if reached else FORE, slots, core)
            row = new_reason(core, reasons)
            if row >= len(sets) - 1:
                begin = s if reached else a
                end = b if reached else min(buffers[i, LAST], b)
                _explain(begin, end, pool[row], slots, core, reasons)
            if not raise_low(i, low + under, row, near, core, reasons):
                return CONFLICT
            said = RAISED
    return said


@kernel(f"int64(int64, int64, int64, int64[:,::1], int64[::1], {CORE}, {REASONS})")
def floors(a: int, b: int, low: int, slots: Ints, near: Ints, core: Core, reasons: Reasons) -> int:
    """Apply the rule to all full sections of a region ``[a, b)`` whose least bound is ``low``."""
    sections, count = core[1], core[4]
    said, s = NOTHING, a
    while s < b:
        begin = s
        while s < b and sections[s, ALIVE] > 0 and count[CAP] - sections[s, TOTAL] == low:
            s += 1
        if s == begin:
            s += 1
            continue
        came = tile(begin, s, low, slots, near, core, reasons)
        if came == CONFLICT:
            return CONFLICT
        said = max(said, came)
    return said
