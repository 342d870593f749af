"""What follows from the bounds: three rules, applied until nothing changes.

Each deduction holds for every feasible placement x of least sum that the bounds admit, and its
reason names the placed buffers it rests on. Bounds only rise, so the order of the rules does not
matter, and a value computed before a rise stays a valid, if weaker, one.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.allocation.exact.state_kernels import (
    ALIVE,
    CAP,
    CORE,
    DIRTY,
    FIRST,
    FRESH,
    LAST,
    LEAST,
    LISTED,
    LOW,
    ORDER,
    PLACED,
    QUEUE,
    QUEUED,
    REASONS,
    REST,
    SECOND,
    SEEN,
    SIGHT,
    SIGHTED,
    SIZE,
    START,
    SUM,
    TODO,
    TOTAL,
    WAITING,
    WHO,
    WHY,
    Core,
    Ints,
    Reasons,
    explain_rest,
    new_reason,
    raise_low,
)

FAR = 2**62
"""Above every address."""


@kernel(f"void({CORE})")
def sort_by_low(core: Core) -> None:
    """Sort all buffers by their bounds; they nearly are."""
    buffers, lists = core[0], core[2]
    for at in range(1, len(buffers) - 1):
        i = lists[ORDER, at]
        low, to = buffers[i, LOW], at
        while to > 0 and buffers[lists[ORDER, to - 1], LOW] > low:
            lists[ORDER, to] = lists[ORDER, to - 1]
            to -= 1
        lists[ORDER, to] = i


@kernel(f"void(int64, int64, int64[:,::1], {CORE}, {REASONS})")
def explain_section(s: int, least: int, slots: Ints, core: Core, reasons: Reasons) -> None:
    """Make the conflict why the unplaced of a section that do lie at ``least`` or above."""
    buffers, sections = core[0], core[1]
    pool, sets, _ = reasons
    conflict = len(sets) - 2
    for w in range(sets.shape[1]):
        sets[conflict, w] = np.uint64(0)
    for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
        i = slots[0, at]
        if buffers[i, LOW] >= least:
            why = buffers[i, WHY]
            for w in range(sets.shape[1]):
                sets[conflict, w] |= pool[why, w]


@kernel(f"boolean(int64[:,::1], {CORE}, {REASONS})")
def stack_above(slots: Ints, core: Core, reasons: Reasons) -> bool:
    """Rule 3: in no section do buffers bounded by t or more overfill what is above t.

    *Proof.* They share a time and lie disjoint in [t, M). Reason: theirs.
    """
    buffers, sections, lists, _, count = core
    sort_by_low(core)
    begin, end = len(sections), 0
    for at in range(count[SIGHTED]):
        s = lists[SIGHT, at]
        sections[s, SUM] = 0
        begin, end = min(begin, s), max(end, s + 1)
    for at in range(len(buffers) - 2, -1, -1):
        i = lists[ORDER, at]
        if buffers[i, PLACED] == 1:
            continue
        low, size = buffers[i, LOW], buffers[i, SIZE]
        for s in range(max(begin, buffers[i, FIRST]), min(end, buffers[i, LAST])):
            if sections[s, SEEN] == 1:
                sections[s, SUM] += size
                if low + sections[s, SUM] > count[CAP]:
                    explain_section(s, low, slots, core, reasons)
                    return False
    return True


@kernel(f"int64(int64, int64[:,::1], {CORE}, {REASONS})")
def _reason_of_section(s: int, slots: Ints, core: Core, reasons: Reasons) -> int:
    """Return a row with the reasons of all unplaced buffers of a section."""
    buffers, sections = core[0], core[1]
    pool, sets, _ = reasons
    row = new_reason(core, reasons)
    if row < len(sets) - 1:
        return row
    for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
        why = buffers[slots[0, at], WHY]
        for w in range(pool.shape[1]):
            pool[row, w] |= pool[why, w]
    return row


@kernel(f"boolean(int64, int64[:,::1], int64[::1], {CORE}, {REASONS})")
def lowest_first(s: int, slots: Ints, near: Ints, core: Core, reasons: Reasons) -> bool:
    """Rule 1: some unplaced buffer of a section is its lowest; all others lie above that one.

    *Proof.* Let k be the lowest of the unplaced buffers U of the section in x, T the sum of their
    sizes. They share a time, so they are disjoint, all at x[k] or above and below the capacity M:
    x[k] + T <= M, hence LOW[k] <= M - T. Call those buffers candidates; if there is none, x does
    not exist. Any i that is none lies above k: x[i] >= x[k] + SIZE[k], at least the least
    LOW + SIZE of all candidates. Reason of both: the reasons of all of U. (That U is unplaced is
    no assumption: the argument holds for any set alive together.)

    Unsupported buffers of the section are listed for the next rule.
    """
    buffers, sections, lists, _, count = core
    begin, end = sections[s, START], sections[s, START] + sections[s, ALIVE]
    gap, least = count[CAP] - sections[s, TOTAL], FAR
    beyond = False
    for at in range(begin, end):
        i = slots[0, at]
        if buffers[i, LOW] <= gap:
            least = min(least, buffers[i, LOW] + buffers[i, SIZE])
        else:
            beyond = True
        if buffers[i, LOW] > buffers[i, REST] and buffers[i, LISTED] == 0:
            buffers[i, LISTED] = 1
            lists[TODO, count[WAITING]] = i
            count[WAITING] += 1
    if least == FAR:
        explain_section(s, 0, slots, core, reasons)
        return False
    row = -1
    if not beyond:
        return True
    for at in range(begin, end):
        i = slots[0, at]
        if buffers[i, LOW] <= gap or buffers[i, LOW] >= least:
            continue
        if row < 0:
            row = _reason_of_section(s, slots, core, reasons)
        if not raise_low(i, least, row, near, core, reasons):
            return False
        if buffers[i, LISTED] == 0:
            buffers[i, LISTED] = 1
            lists[TODO, count[WAITING]] = i
            count[WAITING] += 1
    return True


@kernel(f"void(int64, int64[:,::1], {CORE})")
def _freshen(s: int, slots: Ints, core: Core) -> None:
    """Compute the least and second least top of a section's unplaced buffers."""
    buffers, sections = core[0], core[1]
    least, second, who = FAR, FAR, -1
    for at in range(sections[s, START], sections[s, START] + sections[s, ALIVE]):
        i = slots[0, at]
        top = buffers[i, LOW] + buffers[i, SIZE]
        if top < least:
            least, second, who = top, least, i
        elif top < second:
            second = top
    sections[s, LEAST], sections[s, SECOND], sections[s, WHO] = least, second, who
    sections[s, FRESH] = 1


@kernel(f"boolean(int64, int64[:,::1], int64[::1], {CORE}, {REASONS})")
def rest_on_another(i: int, slots: Ints, near: Ints, core: Core, reasons: Reasons) -> bool:
    """Rule 2: a buffer bounded above all placed neighbours rests on an unplaced one.

    *Proof.* In a placement of least sum no buffer can be moved down, so i lies on the floor or on
    the top of a neighbour. As LOW[i] > REST[i] >= 0 it is neither the floor nor a placed one.
    So x[i] = x[k] + SIZE[k] for an unplaced neighbour k: at least the least LOW[k] + SIZE[k]; if
    there is none, x does not exist. Reason: as `explain_rest` gathers it.
    """
    buffers, sections = core[0], core[1]
    sets = reasons[1]
    low = FAR
    for s in range(buffers[i, FIRST], buffers[i, LAST]):
        if sections[s, FRESH] == 0:
            _freshen(s, slots, core)
        low = min(low, sections[s, SECOND] if sections[s, WHO] == i else sections[s, LEAST])
        if low <= buffers[i, LOW]:
            return True
    if low == FAR:
        conflict = len(sets) - 2
        for w in range(sets.shape[1]):
            sets[conflict, w] = np.uint64(0)
        explain_rest(i, near, core, reasons, sets[conflict])
        return False
    row = new_reason(core, reasons)
    if row >= len(sets) - 1:
        explain_rest(i, near, core, reasons, reasons[0][row])
    return raise_low(i, low, row, near, core, reasons)


@kernel(f"boolean(int64[:,::1], int64[::1], {CORE}, {REASONS})")
def propagate(slots: Ints, near: Ints, core: Core, reasons: Reasons) -> bool:
    """Apply the rules to dirty sections until nothing changes; false with a conflict."""
    buffers, sections, lists, _, count = core
    fine = True
    while fine and count[QUEUED] > 0:
        while fine and count[QUEUED] > 0:
            count[QUEUED] -= 1
            s = lists[QUEUE, count[QUEUED]]
            if sections[s, SEEN] == 0:
                sections[s, SEEN] = 1
                lists[SIGHT, count[SIGHTED]] = s
                count[SIGHTED] += 1
            if sections[s, ALIVE] > 0:
                fine = lowest_first(s, slots, near, core, reasons)
            sections[s, DIRTY] = 0
        while fine and count[WAITING] > 0:
            count[WAITING] -= 1
            i = lists[TODO, count[WAITING]]
            buffers[i, LISTED] = 0
            if buffers[i, LOW] > buffers[i, REST]:
                fine = rest_on_another(i, slots, near, core, reasons)
    if fine:
        fine = stack_above(slots, core, reasons)
    for at in range(count[QUEUED]):
        sections[lists[QUEUE, at], DIRTY] = 0
    for at in range(count[WAITING]):
        buffers[lists[TODO, at], LISTED] = 0
    for at in range(count[SIGHTED]):
        sections[lists[SIGHT, at], SEEN] = 0
    count[QUEUED], count[WAITING], count[SIGHTED] = 0, 0, 0
    return fine
