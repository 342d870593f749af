"""Regions: stretches of time that no unplaced buffer connects are searched one after another.

A region is a range of sections ``[begin, end)``; where no unplaced buffer is alive in two adjacent
sections, the range falls apart. Regions are a linked list: after a region comes the one it names,
and -1 is the end of the search. Taking a decision back takes back the regions made since, so the
list needs no repair.
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.allocation.exact.state_kernels import (
    ALIVE,
    CAP,
    CORE,
    CUT,
    FIRST,
    LAST,
    LOW,
    ORDER,
    PICK,
    PLACED,
    RANK,
    REGION,
    REGIONS,
    SPLIT,
    SUM,
    TOTAL,
    Core,
    Ints,
)

BEGIN, END, NEXT = range(3)


@kernel(f"void(int64[:,::1], {CORE})")
def split(regions: Ints, core: Core) -> None:
    """Replace the region searched by its parts, in order of time; parts without work are left out.

    *Proof* that parts may be searched separately: unplaced buffers of different parts share no
    time, hence no rule and no reason made from now on joins them.
    """
    sections, count = core[1], core[4]
    region = count[REGION]
    begin, end, after = regions[region, BEGIN], regions[region, END], regions[region, NEXT]
    stop = end
    made = after
    for s in range(end - 1, begin - 1, -1):
        if s > begin and sections[s - 1, CUT] > 0:
            continue
        # [s, stop) is a part; a section alone may have nothing left to place
        if stop - s > 1 or sections[s, ALIVE] > 0:
            at = count[REGIONS]
            regions[at, BEGIN], regions[at, END], regions[at, NEXT] = s, stop, made
            count[REGIONS] = at + 1
            made = at
        stop = s
    count[REGION] = made
    count[SPLIT] = 0


@kernel(f"int64(int64, int64, int64, {CORE})")
def _scarcest(begin: int, end: int, low: int, core: Core) -> int:
    """Return the full section with the fewest buffers bounded by ``low``, the least; or -1.

    One of those lies there, see `floors_kernels`: of few, the right one is found sooner.
    """
    buffers, sections, lists, _, count = core
    for s in range(begin, end):
        sections[s, SUM] = 0
    for at in range(len(buffers) - 1):
        i = lists[ORDER, at]
        if buffers[i, LOW] > low:
            break
        if buffers[i, PLACED] == 1 or buffers[i, FIRST] < begin or buffers[i, LAST] > end:
            continue
        for s in range(buffers[i, FIRST], buffers[i, LAST]):
            sections[s, SUM] += 1
    best = -1
    for s in range(begin, end):
        if sections[s, SUM] == 0 or count[CAP] - sections[s, TOTAL] > low:
            continue
        if best < 0 or sections[s, SUM] < sections[best, SUM]:
            best = s
    return best


@kernel(f"int64(int64, int64, {CORE})")
def choose(begin: int, end: int, core: Core) -> int:
    """Return the unplaced buffer of a region with the least bound, then the least rank; or -1.

    With ``PICK`` only those of one full section are looked at, where there is any.
    """
    buffers, lists, count = core[0], core[2], core[4]
    best, within = -1, -1
    for at in range(len(buffers) - 1):
        i = lists[ORDER, at]
        if best >= 0 and buffers[i, LOW] > buffers[best, LOW]:
            break
        if buffers[i, PLACED] == 1 or buffers[i, FIRST] < begin or buffers[i, LAST] > end:
            continue
        if within < 0 and best < 0 and count[PICK] == 1:
            within = _scarcest(begin, end, buffers[i, LOW], core)
        if within >= 0 and (buffers[i, FIRST] > within or buffers[i, LAST] <= within):
            continue
        if best < 0 or buffers[i, RANK] < buffers[best, RANK]:
            best = i
    return best
