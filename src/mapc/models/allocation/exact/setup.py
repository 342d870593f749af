"""What the search works on: sections, neighbours and the empty state, in arrays for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.banks.domain import Domain, up_to
from mapc.models.allocation.structure import clique_times

Bits = NDArray[np.uint64]

TRAIL = 64
"""Entries of the trail at first, per buffer."""
REASONS, REASON_BYTES = 64, 2**26
"""Rows for reasons: per buffer, and bytes of all at most."""
TABLE, HASHES = 2**18, 2**14
"""Failed states that are kept; states on the way to the one searched."""
PRIME = 2**31 - 1
FAR = 2**62
_SLICE = 2**22  # cells of a matrix of overlaps


@dataclass(frozen=True, eq=False)
class Shape:
    """Buffers as the search sees them: everything but the capacity.

    Attributes
    ----------
    size : int64[n]
        Units, > 0.
    first, last : int64[n]
        Range of sections: maximal sets alive together, in order of time.
    start : int64[m + 1]
        Where the members of each section begin.
    member : int64[k]
    where, slot : int64[k], int64[n]
        Position in ``member`` of buffer i in section s: ``where[slot[i] + s - first[i]]``.
    near_start, near : int64[n + 1], int64[e]
        Neighbours, held ones first, by address.
    neighbours : uint64[n, w]
        The same as bits.
    held : int64[n]
        Addresses in units given from outside; -1: none.
    grain : int64[n]
        Addresses are multiples of it; 1 for held ones.
    """

    size: IntArray
    first: IntArray
    last: IntArray
    start: IntArray
    member: IntArray
    where: IntArray
    slot: IntArray
    near_start: IntArray
    near: IntArray
    neighbours: Bits
    held: IntArray
    grain: IntArray

    @classmethod
    def of(
        cls,
        lower: IntArray,
        upper: IntArray,
        size: IntArray,
        held: IntArray,
        domain: Domain | None = None,
    ) -> Shape:
        """Return the shape of buffers with these lifetimes and sizes, int64[n]; n > 0.

        With a domain, of the first ones, follows a row for every range that some stay off.
        """
        times = clique_times(lower, upper)
        first = np.searchsorted(times, lower).astype(np.int64)
        last = np.searchsorted(times, upper).astype(np.int64)
        span = last - first
        slot = np.cumsum(span) - span
        owner = np.repeat(np.arange(len(size)), span)
        section = np.arange(len(owner)) - np.repeat(slot - first, span)
        by = np.argsort(section, kind="stable")
        where = np.empty(len(owner), dtype=np.int64)
        where[by] = np.arange(len(owner))
        start = np.searchsorted(section[by], np.arange(len(times) + 1)).astype(np.int64)
        near_start, near, neighbours = _neighbours(first, last)
        grain = np.ones(len(size), dtype=np.int64)
        if domain is not None:
            free = np.flatnonzero(held[: len(domain.grain)] < 0)
            grain[free] = domain.grain[free]
            near_start, near = _with_ranges(near_start, near, domain.barred)
            more = len(domain.ranges)
            base, end = domain.ranges.T
            none = np.zeros(more, dtype=np.int64)
            size, held = np.append(size, end - base), np.append(held, base)
            first, last, slot = (np.append(one, none) for one in (first, last, slot))
            grain = np.append(grain, none + 1)
            neighbours = np.pad(neighbours, ((0, more), (0, 0)))
        near = _held_first(near_start, near, held)
        lists = (start, owner[by], where, slot, near_start, near, _wide(neighbours))
        return cls(size, first, last, *lists, held, grain)

    @property
    def alive(self) -> int:
        """Number of rows that are alive at some time; ranges come behind them."""
        return int((self.last > self.first).sum())

    def loads(self) -> IntArray:
        """int64[n]: for every buffer the largest total size of its sections."""
        total = np.add.reduceat(self.size[self.member], self.start[:-1])
        span = self.last - self.first
        section = np.arange(len(self.member)) - np.repeat(self.slot - self.first, span)
        loads = np.zeros(len(self.size), dtype=np.int64)
        loads[: self.alive] = np.maximum.reduceat(total[section], self.slot[: self.alive])
        return loads


def _neighbours(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray, Bits]:
    """Return who shares a section with whom: as lists one after another, and as bits."""
    n = len(first)
    words = (n + 63) // 64
    packed = np.empty((n, words), dtype=np.uint64)
    count, lists = np.zeros(n + 1, dtype=np.int64), []
    step = max(1, _SLICE // max(1, n))
    for begin in range(0, n, step):
        rows = slice(begin, min(n, begin + step))
        meet = (first[rows, None] < last) & (first < last[rows, None])
        meet[np.arange(meet.shape[0]), np.arange(begin, begin + meet.shape[0])] = False
        count[begin + 1 : begin + 1 + meet.shape[0]] = meet.sum(axis=1)
        lists.append(np.nonzero(meet)[1].astype(np.int64))
        wide = np.zeros((meet.shape[0], words * 64), dtype=np.bool_)
        wide[:, :n] = meet
        packed[rows] = np.packbits(wide, axis=1, bitorder="little").view("<u8")
    return np.cumsum(count), np.concatenate(lists), packed


def _with_ranges(start: IntArray, near: IntArray, barred: BoolArray) -> tuple[IntArray, IntArray]:
    """Add to the neighbours of buffers the ranges they stay off, numbered behind all buffers."""
    n = len(start) - 1
    who, which = np.nonzero(barred)
    owner = np.concatenate([np.repeat(np.arange(n), np.diff(start)), who])
    lists = np.concatenate([near, n + which])
    count = np.bincount(owner, minlength=n + barred.shape[1])
    return np.concatenate([[0], np.cumsum(count)]), lists[np.argsort(owner, kind="stable")]


def _wide(neighbours: Bits) -> Bits:
    """Add words, so that there is a bit for every row."""
    n, words = neighbours.shape
    return np.pad(neighbours, ((0, 0), (0, (n + 63) // 64 - words)))


def _held_first(start: IntArray, near: IntArray, held: IntArray) -> IntArray:
    """Sort neighbours: held ones come first, by address."""
    if not (held >= 0).any():
        return near
    owner = np.repeat(np.arange(len(held)), np.diff(start))
    return near[np.lexsort((np.where(held < 0, FAR, held)[near], owner))]


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arguments of the kernels; `state_kernels` and `search_kernels` describe the arrays."""

    slots: IntArray
    near: IntArray
    core: tuple[IntArray, IntArray, IntArray, IntArray, IntArray]
    reasons: tuple[Bits, Bits, Bits]
    deep: tuple[IntArray, IntArray, IntArray, IntArray, IntArray]

    @classmethod
    def empty(
        cls, shape: Shape, capacity: int, table: bool, seed: int, state: ModuleType
    ) -> Arrays:
        """Return the state in which nothing is placed and everything is to be looked at.

        ``state`` is `state_kernels`, whose names say what stands where.
        """
        n, m = len(shape.size), len(shape.start) - 1
        words = shape.neighbours.shape[1]
        buffers, sections = _rows(shape, capacity, state)
        lists = np.zeros((4, max(n, m)), dtype=np.int64)
        lists[state.ORDER, :n], lists[state.QUEUE, :m] = np.arange(n), np.arange(m)
        count = np.zeros(state.COUNTS, dtype=np.int64)
        count[state.CAP], count[state.POOL], count[state.QUEUED] = capacity, n + 1, m
        count[state.JUMP], count[state.TABLE] = 1, int(table)
        trail = np.empty((TRAIL * (n + 1), 4), dtype=np.int64)
        pool = np.empty((n + 2 + min(REASONS * n, REASON_BYTES // (8 * words)), words), np.uint64)
        pool[0] = 0
        sets = np.zeros((n + 2, words), dtype=np.uint64)
        sets[:n] = shape.neighbours
        mask = np.left_shift(np.uint64(1), (np.arange(n) % 64).astype(np.uint64))
        deep = (
            np.zeros((n + 1, 7), dtype=np.int64),
            np.zeros((2 * m + 2, 3), dtype=np.int64),
            np.empty((HASHES if table else 1, 2), dtype=np.int64),
            np.zeros(TABLE if table else 1, dtype=np.int64),
            np.random.default_rng([seed, n]).integers(1, PRIME, (2, n)),
        )
        slots = np.stack([shape.member, shape.where])
        core = (buffers, sections, lists, trail, count)
        return cls(slots, shape.near, core, (pool, sets, mask), deep)

    def with_longer_trail(self) -> Arrays:
        """Return the same state with twice the room for what is to be undone."""
        buffers, sections, lists, trail, count = self.core
        longer = np.concatenate([trail, np.empty_like(trail)])
        core = (buffers, sections, lists, longer, count)
        return Arrays(self.slots, self.near, core, self.reasons, self.deep)


def _walls(shape: Shape) -> IntArray:
    """int64[n]: how many held neighbours buffers have."""
    walls = np.concatenate([[0], np.cumsum(shape.held[shape.near] >= 0)])
    return np.asarray(walls[shape.near_start[1:]] - walls[shape.near_start[:-1]], dtype=np.int64)


def _lift_off(shape: Shape, low: IntArray) -> None:
    """Raise bounds, int64[n], above held neighbours below which buffers do not fit."""
    if not (shape.held >= 0).any():
        return
    for i in np.flatnonzero(shape.held < 0).tolist():
        for k in shape.near[shape.near_start[i] : shape.near_start[i + 1]].tolist():
            if shape.held[k] < 0 or low[i] + shape.size[i] <= shape.held[k]:
                break
            low[i] = up_to(np.maximum(low[i], shape.held[k] + shape.size[k]), shape.grain[i])


def _rows(shape: Shape, capacity: int, state: ModuleType) -> tuple[IntArray, IntArray]:
    """Return the rows of all buffers and of all sections."""
    n, m = len(shape.size), len(shape.start) - 1
    buffers = np.zeros((n + 1, state.FIELDS), dtype=np.int64)
    buffers[:, state.STAMP] = -1  # saved under no decision yet
    buffers[:, state.NEAR] = shape.near_start
    buffers[:n, state.SIZE], buffers[:n, state.SLOT] = shape.size, shape.slot
    buffers[:n, state.FIRST], buffers[:n, state.LAST] = shape.first, shape.last
    buffers[:n, state.HELD], buffers[:n, state.GRAIN] = shape.held >= 0, shape.grain
    buffers[shape.alive : n, state.PLACED] = 1
    buffers[:n, state.LOW] = buffers[:n, state.REST] = np.maximum(shape.held, 0)
    buffers[:n, state.WALLS] = _walls(shape)
    _lift_off(shape, buffers[:n, state.LOW])
    buffers[:n, state.MOST] = np.where(shape.held >= 0, shape.held, capacity - shape.size)
    sections = np.zeros((m, state.SECTION_FIELDS), dtype=np.int64)
    sections[:, state.TOTAL] = np.add.reduceat(shape.size[shape.member], shape.start[:-1])
    sections[:, state.ALIVE] = np.diff(shape.start)
    sections[:, state.DIRTY] = 1
    crossing = np.zeros(m + 1, dtype=np.int64)
    np.add.at(crossing, shape.first[: shape.alive], 1)
    np.add.at(crossing, shape.last[: shape.alive] - 1, -1)
    sections[:, state.CUT], sections[:, state.START] = np.cumsum(crossing)[:-1], shape.start[:-1]
    return buffers, sections
