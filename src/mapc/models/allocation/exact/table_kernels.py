"""Failed states: what a region looked like when it was found to have no solution.

The state of a region is, for each of its unplaced buffers i, the bound ``LOW[i]`` and whether it is
supported, ``LOW[i] == REST[i]``.

**Why a state that failed fails again**, under whatever decisions it comes up. Let F be the
assignments of addresses to its unplaced buffers that keep them apart, below the capacity, and not
below their bounds; F depends on the state only. If a least-sum placement x admits the decisions,
its part y lies in F and has least sum there, for any lower one could replace it: bounds are above
all placed neighbours, and no other region shares a time with this one. And in y a buffer lies at
its bound, supported, or on an unplaced neighbour. The rules and branches below a state use no
other facts than these. So the state has such a y under all decisions or under none.

**Hash.** Two sums over unplaced i of ``c[i] * (2 LOW[i] + supported + 1)`` modulo the prime
``2^31 - 1``, a buffer not there counting 0, with coefficients c drawn at random. Two different
states get the same sum with probability ``1 / (2^31 - 1)`` as the values are below the prime, both
sums with less than ``2^-61``: a proof that met a table is exact up to that, and one without is
exact.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import kernel
from mapc.models.allocation.exact.regions_kernels import BEGIN, END
from mapc.models.allocation.exact.state_kernels import (
    CORE,
    FIRST,
    HASHES,
    LAST,
    LOW,
    PLACED,
    REASONS,
    REST,
    WHY,
    Core,
    Ints,
    Reasons,
)

PRIME = 2**31 - 1


@kernel(f"int64(int64, int64, int64[:,::1], {CORE})")
def hash_of(begin: int, end: int, coefficients: Ints, core: Core) -> int:
    """Return the hash of a region's state, > 0. ``coefficients``: int64[2, n], below the prime."""
    buffers = core[0]
    first, second = 0, 0
    for i in range(len(buffers) - 1):
        if buffers[i, PLACED] == 1 or buffers[i, FIRST] < begin or buffers[i, LAST] > end:
            continue
        low = buffers[i, LOW]
        value = 2 * low + 1 + (1 if low == buffers[i, REST] else 0)
        # 2^31 is 1 modulo the prime: a product is as much as the sum of its two halves
        one, other = coefficients[0, i] * value, coefficients[1, i] * value
        first += (one & PRIME) + (one >> 31)
        second += (other & PRIME) + (other >> 31)
    return ((first % PRIME) << 31) + second % PRIME + 1


@kernel("void(int64, int64, int64, int64[:,::1], int64[:,::1], int64[::1], int64[::1])")
def forget(
    mark: int, begin: int, end: int, hashes: Ints, regions: Ints, table: Ints, count: Ints
) -> None:
    """Drop hashes above ``mark`` from the stack; the table keeps those that have failed.

    Those are the states whose region contains the failed one, sections ``[begin, end)``: others
    are parts beside it that were solved.
    """
    for at in range(count[HASHES] - 1, mark - 1, -1):
        region = hashes[at, 1]
        if regions[region, BEGIN] <= begin and regions[region, END] >= end:
            table[hashes[at, 0] % len(table)] = hashes[at, 0]
    count[HASHES] = mark


@kernel(f"void(int64, int64, {CORE}, {REASONS})")
def explain_state(begin: int, end: int, core: Core, reasons: Reasons) -> None:
    """Make the conflict why a region is in its state: of all its buffers, bounds and supports."""
    buffers = core[0]
    pool, sets, _ = reasons
    conflict, placed = len(sets) - 2, len(sets) - 1
    for w in range(sets.shape[1]):
        sets[conflict, w] = np.uint64(0)
    for i in range(len(buffers) - 1):
        if buffers[i, PLACED] == 1 or buffers[i, FIRST] < begin or buffers[i, LAST] > end:
            continue
        why = buffers[i, WHY]
        for w in range(sets.shape[1]):
            sets[conflict, w] |= pool[why, w] | (sets[i, w] & sets[placed, w])
