"""Addresses without a solver: fast, deterministic, not always the best.

Two constructions. `pack` puts buffers, one after another in a given order, into the lowest gap
(or the tightest) among those already placed. `dive` fills memory from the floor up, always placing
the buffer that can lie lowest and asking a ranking only where several can; it does so for many
rankings at once. Search is over orders and rankings, until a bound is met or the rounds are spent.

Sizes are rounded up to the alignment and addresses then are sums of sizes, so aligned.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.banks.domain import Domain, up_to
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.held import NONE
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import (
    address_unit,
    alive,
    clique_times,
    components,
    load_of,
    overlap_matrix,
)

FloatArray = NDArray[np.float64]

HOMELESS = -1
"""Address of a buffer for which there was no room."""
ROUNDS = 30
"""Rounds of improvement, unless told otherwise; each tries `WIDTH` rankings."""
WIDTH = 64
_CELLS = 2**16  # rankings times buffers in one dive: wider ones fall out of the cache
_MATRIX_LIMIT = 4000  # buffers in one part, above which n * n overlaps are not spelt out
_ELITE = 8
_FAR = np.iinfo(np.int64).max

Stop = Callable[[], bool]


def _never() -> bool:
    return False


def pack(
    lower: IntArray,
    upper: IntArray,
    padded: IntArray,
    order: IntArray,
    *,
    best_fit: bool = False,
    room: int | None = None,
    walls: IntArray = NONE,
    domain: Domain | None = None,
) -> IntArray:
    """Place buffers in a given order, each at the lowest address that is free while it lives.

    Parameters
    ----------
    lower, upper, padded : int64[n]
        Lifetimes and sizes; sizes are multiples of the alignment, in any unit.
    order : int64[k]
        Indices of the buffers to place.
    best_fit : bool
        Take the tightest gap between placed buffers rather than the lowest.
    room : int, optional
        Buffers that would end above it stay out and do not stand in others' way.
    walls : int64[w, 4]
        Rectangles ``lower, upper, base, top`` to stay off; buffers are placed above and below.
    domain : Domain, optional
        Which addresses each buffer may have, where that is not all.

    Returns
    -------
    int64[n]
        Addresses; 0 for empty buffers, ``HOMELESS`` for those left out or not in ``order``.
    """
    offset = np.where(padded == 0, 0, HOMELESS)
    # placed buffers by ascending address
    placed = np.empty((4, len(order) + len(walls)), dtype=np.int64)
    count = len(walls)
    placed[:, :count] = walls[np.argsort(walls[:, 2])].T[[2, 3, 0, 1]]
    base, top, begin, end = placed
    for buffer in order.tolist():
        size = int(padded[buffer])
        if size == 0:
            continue
        start, stop = lower[buffer], upper[buffer]
        near = np.flatnonzero((begin[:count] < stop) & (end[:count] > start))
        if domain is None:
            address = _lowest_gap(base[near], top[near], size, best_fit)
        else:
            address = _lowest_in_domain(domain, buffer, base[near], top[near], size, best_fit)
        if room is not None and address + size > room:
            continue
        offset[buffer] = address
        at = int(base[:count].searchsorted(address))
        placed[:, at + 1 : count + 1] = placed[:, at:count]
        placed[:, at] = address, address + size, start, stop
        count += 1
    return offset


def _lowest_in_domain(
    domain: Domain, buffer: int, base: IntArray, top: IntArray, size: int, best_fit: bool
) -> int:
    """Return where a buffer fits, at a multiple of its grain, off the ranges barred to it."""
    if domain.barred[buffer].any():
        more, ends = domain.walls(buffer)
        base, top = np.append(base, more), np.append(top, ends)
        by = np.argsort(base, kind="stable")
        base, top = base[by], top[by]
    return _lowest_gap(base, top, size, best_fit, int(domain.grain[buffer]))


def _lowest_gap(base: IntArray, top: IntArray, size: int, best_fit: bool, grain: int = 1) -> int:
    """Return where ``size`` bytes fit among neighbours sorted by address."""
    if not len(base):
        return 0
    # neighbours need not overlap each other, so tops do not ascend by themselves
    floor = np.zeros(len(base) + 1, dtype=np.int64)
    np.maximum.accumulate(top, out=floor[1:])
    if grain > 1:
        floor = up_to(floor, grain)
    gap = base - floor[:-1]
    fits = gap >= size
    at = int(np.where(fits, gap, _FAR).argmin()) if best_fit else int(fits.argmax())
    return int(floor[at] if fits[at] else floor[-1])


def classic_orders(lower: IntArray, upper: IntArray, padded: IntArray) -> dict[str, IntArray]:
    """Return the orders allocators commonly use, by name.

    ``contention`` is the largest load at any time of a buffer's life.
    """
    life = upper - lower
    contention, _ = _contention(lower, upper, padded)
    keys = {
        "size": -padded,
        "area": -(padded.astype(np.float64) * life),
        "lifetime": -life,
        "start": lower,
        "contention": -contention,
    }
    return {name: np.lexsort((lower, -padded, key)) for name, key in keys.items()}


def _contention(lower: IntArray, upper: IntArray, padded: IntArray) -> tuple[IntArray, IntArray]:
    """Largest load during each life, and the number of maximal live sets it spans."""
    times = clique_times(lower, upper)
    largest = np.zeros(len(lower), dtype=np.int64)
    # in slices, so that many buffers do not need a matrix of all times at once
    for some in np.array_split(times, max(1, len(times) * len(lower) // 2**22)):
        live = alive(lower, upper, some)
        np.maximum(largest, (live * (live @ padded)[:, None]).max(axis=0, initial=0), out=largest)
    spans = np.searchsorted(times, upper) - np.searchsorted(times, lower)
    return largest, spans


def dive(padded: IntArray, overlap: BoolArray, rank: IntArray) -> IntArray:
    """Fill memory from the floor up, once for every ranking.

    Each step places the buffer whose lowest address on top of what it overlaps is least, of
    several the one with the lowest rank. Nothing ends up below a placed buffer that overlaps it.

    Parameters
    ----------
    padded : int64[n]
        Sizes > 0; ``sum(padded) * (n + 1)`` must stay below 2**62.
    overlap : bool[n, n]
    rank : int64[k, n]
        A permutation of 0 .. n - 1 in every row.

    Returns
    -------
    int64[k, n]
        Addresses.
    """
    runs, n = rank.shape
    base = n + 1
    offset = np.zeros((runs, n), dtype=np.int64)
    key = rank.astype(np.int64)  # lowest address * base + rank, so that one minimum decides both
    row = np.arange(runs)
    for _ in range(n):
        buffer = key.argmin(axis=1)
        address = key[row, buffer] // base
        offset[row, buffer] = address
        raised = rank + ((address + padded[buffer]) * base)[:, None]
        np.maximum(key, raised, out=key, where=overlap[buffer])
        key[row, buffer] = _FAR
    return offset


class _Dives:
    """Search over rankings for one part: fresh ones, and mixtures of the best seen."""

    def __init__(
        self, lower: IntArray, upper: IntArray, padded: IntArray, target: int, seed: int
    ) -> None:
        self.padded, self.target = padded, target
        self.overlap = overlap_matrix(lower, upper)
        self.random = np.random.default_rng(seed)
        self.width = int(np.clip(_CELLS // len(padded), 4, WIDTH))
        contention, spans = _contention(lower, upper, padded)
        # ratios rather than differences of these matter, hence logarithms
        self.traits = np.log(np.stack([spans, padded, contention]).astype(np.float64))
        n = len(padded)
        self.rank = np.zeros((0, n), dtype=np.int64)
        self.top = np.zeros((0, n), dtype=np.int64)
        self.best: IntArray = np.zeros(n, dtype=np.int64)
        self.peak = _FAR

    def round(self) -> None:
        """Dive with a new generation of rankings and keep the best of old and new."""
        rank = self._fresh(self.width) if not len(self.rank) else self._next()
        offset = dive(self.padded, self.overlap, rank)
        top = offset + self.padded
        peak = top.max(axis=1)
        winner = int(peak.argmin())
        if peak[winner] < self.peak:
            self.best, self.peak = offset[winner], int(peak[winner])
        rank, top = np.concatenate([self.rank, rank]), np.concatenate([self.top, top])
        # equal peaks: less beyond the target counts as nearer
        beyond = np.maximum(top - self.target, 0).astype(np.float64).sum(axis=1)
        chosen = np.lexsort((beyond, top.max(axis=1)))[:_ELITE]
        self.rank, self.top = rank[chosen], top[chosen]

    def _fresh(self, count: int) -> IntArray:
        """Rankings from random weights of the traits, with noise after the first few."""
        random, n = self.random, len(self.padded)
        weight = np.stack(
            [
                random.choice([0.5, 1.0, 2.0, 4.0], count),
                random.choice([0.0, 0.25, 0.5, 1.0], count),
                random.choice([0.0, 3.0, 10.0, 1000.0], count),
            ],
            axis=1,
        )
        noise = random.normal(size=(count, n)) * (0.2 * weight[:, :1])
        noise[: count // 8] = 0.0
        return _as_ranks(-(weight @ self.traits + noise))

    def _next(self) -> IntArray:
        """A quarter crossed and a quarter fresh rankings; half promote what lies too high."""
        random, count, n = self.random, self.width, len(self.padded)
        parent = random.integers(0, len(self.rank), count)
        score = self.rank[parent].astype(np.float64)
        quarter = count // 4
        other = self.rank[random.integers(0, len(self.rank), quarter)]
        score[:quarter] = np.where(random.random((quarter, n)) < 0.5, score[:quarter], other)
        share = random.choice([0.1, 0.3, 1.0], count)[:, None]
        high = (self.top[parent] > self.target) & (random.random((count, n)) < share)
        high[: 2 * quarter] = False
        score = np.where(high, score * random.random((count, n)), score)
        moved = random.random((count, n)) < random.choice([0.0, 1.0, 4.0], count)[:, None] / n
        rank = _as_ranks(np.where(moved, random.random((count, n)) * n, score))
        rank[quarter : 2 * quarter] = self._fresh(quarter)
        return rank


def _as_ranks(scores: FloatArray) -> IntArray:
    """Turn scores, float64[k, n], into the rank of each within its row."""
    return np.asarray(np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1), dtype=np.int64)


def shrink(
    lower: IntArray,
    upper: IntArray,
    padded: IntArray,
    target: int,
    seed: int = 0,
    iterations: int = ROUNDS,
    stop: Stop = _never,
    walls: IntArray = NONE,
    domain: Domain | None = None,
) -> IntArray:
    """Place buffers with as low a peak as can be found; stop once it is at most ``target``.

    Parameters
    ----------
    lower, upper, padded : int64[n]
        Lifetimes and sizes; all sizes > 0 and multiples of the alignment.
    target : int
        A peak that is good enough, such as a proven bound or the room there is.
    seed, iterations : int
        Random numbers, and rounds of improvement after the classic orders.
    stop : callable
        Asked between rounds, once there is a placement, whether to be content with it.
    walls, domain
        As of `pack`.

    Returns
    -------
    int64[n]
        Addresses.
    """
    if not len(padded):
        return np.zeros(0, dtype=np.int64)
    best, peak = _first_fit_orders(lower, upper, padded, target, stop, walls, domain)
    if peak <= target or stop():
        return best
    unit = address_unit(padded)
    keys = float((padded // unit).sum()) * (len(padded) + 1)
    restricted = bool(len(walls)) or domain is not None  # dives know no such thing
    if len(padded) > _MATRIX_LIMIT or keys >= 2.0**62 or restricted:
        return _promote_high(lower, upper, padded, best, target, iterations, stop, walls, domain)
    dives = _Dives(lower, upper, padded // unit, target // unit, seed)
    for _ in range(iterations):
        dives.round()
        if dives.peak * unit <= target or stop():
            break
    return dives.best * unit if dives.peak * unit < peak else best


def _first_fit_orders(
    lower: IntArray,
    upper: IntArray,
    padded: IntArray,
    target: int,
    stop: Stop,
    walls: IntArray,
    domain: Domain | None,
) -> tuple[IntArray, int]:
    """Pack in the classic orders until one meets the target; return the best and its peak."""
    best, peak = np.zeros(0, dtype=np.int64), _FAR
    for order in classic_orders(lower, upper, padded).values():
        for best_fit in (False, True):
            offset = pack(
                lower, upper, padded, order, best_fit=best_fit, walls=walls, domain=domain
            )
            top = int((offset + padded).max())
            if top < peak:
                best, peak = offset, top
            if peak <= target or stop():
                return best, peak
    return best, peak


def _promote_high(
    lower: IntArray,
    upper: IntArray,
    padded: IntArray,
    offset: IntArray,
    target: int,
    iterations: int,
    stop: Stop,
    walls: IntArray,
    domain: Domain | None,
) -> IntArray:
    """Pack again and again, each time with the buffers that ended too high at the front."""
    best, order = offset, np.argsort(offset, kind="stable")
    for _ in range(iterations):
        high = (offset + padded)[order] > target
        if stop() or not high.any():
            break
        order = np.concatenate([order[high], order[~high]])
        offset = pack(lower, upper, padded, order, walls=walls, domain=domain)
        if (offset + padded).max() < (best + padded).max():
            best = offset
    return best


def place(
    lower: IntArray,
    upper: IntArray,
    size: IntArray,
    room: int,
    alignment: int = 1,
    seed: int = 0,
    iterations: int = ROUNDS,
    stop: Stop = _never,
) -> IntArray | None:
    """Return addresses within ``room`` bytes, or None where none were found.

    Parameters
    ----------
    lower, upper, size : int64[n]
        Half-open lifetimes and bytes; sizes are rounded up to the alignment here.
    room, alignment : int
        Bytes.
    seed, iterations, stop
        As for `shrink`, for every part that no time connects to the others.

    Returns
    -------
    int64[n] or None
        None proves nothing, unless more than ``room`` bytes are alive at one time.
    """
    padded = -(-size // alignment) * alignment
    if load_of(lower, upper, padded) > room:
        return None
    offset = np.zeros(len(padded), dtype=np.int64)
    solid = np.flatnonzero(padded > 0)
    for part in components(lower[solid], upper[solid]):
        who = solid[part]
        offset[who] = shrink(lower[who], upper[who], padded[who], room, seed, iterations, stop)
        if (offset[who] + padded[who]).max() > room:
            return None
    return offset


def greedy(
    problem: AllocationProblem, seed: int = 0, iterations: int = ROUNDS, stop: Stop = _never
) -> AllocationPlan:
    """Return the plan with the lowest peak that the heuristics find.

    It stops at the room there is, or, without a capacity, at a proven lower bound. With a
    capacity that it cannot meet the plan is still returned, and does not fit: with banks, some
    buffers are above the end of the last one. Other parameters are those of `shrink`.
    """
    lower, upper, padded = problem.lower, problem.upper, problem.padded
    target = problem.room if problem.room is not None else lower_bound(problem)
    offset = np.maximum(problem.held, 0)
    solid = np.flatnonzero((padded > 0) & (problem.held < 0))
    parts = [solid[part] for part in components(lower[solid], upper[solid])]
    # the heaviest first: the others need not be better than it
    parts.sort(key=lambda who: -load_of(lower[who], upper[who], padded[who]))
    for who in parts:
        domain = None if problem.domain is None else problem.domain.of(who)
        offset[who] = shrink(
            *(lower[who], upper[who], padded[who], target, seed, iterations, stop),
            *(problem.walls, domain),
        )
        target = max(target, int((offset[who] + padded[who]).max()))
    return problem.plan(offset)
