r"""Parts of the bound that are worked out anew for every state.

**Forced residents.** Let operator b not have run, and let R be the resident tensors that b does not
read and of which some reader comes after b in every order. If :math:`W_b + |R|` exceeds the room,
the excess is off at b and loaded again later, and written where it has no copy: the cheaper bytes
first gives a lower bound (a fractional knapsack), at its largest over b. Tensors that the gap part
counts are taken out first, for nothing. The other parts charge reloads of tensors that are off
now, or produced later, so that the sum counts nothing twice.

**Tokens.** See `mapc.models.memory.exact.tokens`: of the operators of a fixed antichain that have
not run, each but the last leaves bytes off-chip that are on its way to a later operator.
"""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.state_kernels import (
    BITS,
    DONE,
    GAPPED,
    HELD,
    LIVE,
    N_LIVE,
    ROOM,
    SAVED,
    SIZE,
    Ints,
    Table,
)

# columns of heavy: operator, its working set; from FORCED on the tensors it may force off
WHICH, NEEDS, FORCED = range(3)


@kernel(
    "int64(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])"
)
def beyond(ops: Table, ts: Table, adj: Table, heavy: Table, tokens: Table, now: Ints) -> int:
    """Bytes that forced residents and tokens add to the bound of the state at hand."""
    worst = 0
    for r in range(len(heavy)):
        if ops[heavy[r, WHICH], DONE] != 0:
            continue
        excess = heavy[r, NEEDS] - now[ROOM]
        free, clean = 0, 0
        for i in range(now[N_LIVE]):
            t = ts[i, LIVE]
            if ts[t, HELD] == 0 or (heavy[r, FORCED + t // BITS] >> (t % BITS)) & 1 == 0:
                continue
            excess += ts[t, SIZE]
            if ts[t, GAPPED] != 0:
                free += ts[t, SIZE]
            elif ts[t, SAVED] != 0:
                clean += ts[t, SIZE]
        excess -= free
        if excess > 0:
            worst = max(worst, min(excess, clean) + 2 * max(0, excess - clean))
    total, largest = 0, 0
    for r in range(len(tokens)):
        if ops[tokens[r, 0], DONE] == 0:
            total += tokens[r, 1]
            largest = max(largest, tokens[r, 1])
    return int(worst + total - largest)
