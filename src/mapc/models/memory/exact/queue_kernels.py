"""A binary heap of states: smallest key first, then most operators done, then the youngest."""

from __future__ import annotations

from mapc.kernels import kernel
from mapc.models.memory.exact.state_kernels import N_HEAP, Ints, Table

# columns of heap
RANK, LEVEL, WHO = range(3)


@kernel("int64(int64[:, ::1], int64, int64, int64, int64)")
def sooner(heap: Table, i: int, rank: int, level: int, who: int) -> int:
    """Whether (rank, level, who) comes before entry ``i``."""
    if rank != heap[i, RANK]:
        return int(rank < heap[i, RANK])
    if level != heap[i, LEVEL]:
        return int(level > heap[i, LEVEL])
    return int(who > heap[i, WHO])


@kernel("void(int64[:, ::1], int64[::1], int64, int64, int64)")
def push(heap: Table, now: Ints, rank: int, level: int, who: int) -> None:
    """Add a state."""
    i = now[N_HEAP]
    now[N_HEAP] += 1
    while i > 0:
        above = (i - 1) // 2
        if sooner(heap, above, rank, level, who) == 0:
            break
        for k in range(3):
            heap[i, k] = heap[above, k]
        i = above
    heap[i, RANK], heap[i, LEVEL], heap[i, WHO] = rank, level, who


@kernel("int64(int64[:, ::1], int64[::1])")
def pop(heap: Table, now: Ints) -> int:
    """Take the first state out and return it."""
    first = heap[0, WHO]
    now[N_HEAP] -= 1
    last = now[N_HEAP]
    rank, level, who = heap[last, RANK], heap[last, LEVEL], heap[last, WHO]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= last:
            break
        if child + 1 < last and sooner(
            heap, child, heap[child + 1, RANK], heap[child + 1, LEVEL], heap[child + 1, WHO]
        ):
            child += 1
        if sooner(heap, child, rank, level, who) != 0:
            break
        for k in range(3):
            heap[i, k] = heap[child, k]
        i = child
    heap[i, RANK], heap[i, LEVEL], heap[i, WHO] = rank, level, who
    return int(first)
