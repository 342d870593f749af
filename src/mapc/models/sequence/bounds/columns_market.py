"""What the column bound prices: classes, groups, and makespans cut into cells."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.sequence.bounds import area
from mapc.models.sequence.classes import PooledClasses, pooled_classes
from mapc.models.sequence.problem import FloatArray, SequenceProblem

CLASSES = 128
"""Classes above which short ones are pooled."""
RATIOS = (1.05, 1.1, 1.15, 1.2, 1.25)
"""Longest over shortest sequence of a pool, the first that leaves few enough classes."""
SHORT = 32.0
"""Tokens of a micro-batch over those of a sequence that may be pooled, at least."""
WHOLE = 0.375
"""Part of `CLASSES` for the longest, which are not pooled: what fills groups is no fluid."""
HIGHEST = 6.0
"""Highest price of a sequence, over its part of a micro-batch by area and by memory."""
CELLS = 16
"""Intervals that the makespans of a box are cut into at first, about."""
LANDMARKS = 48
"""Classes whose times on their own are preferred as ends of cells: the longest."""
GRAIN = 22
"""Bits of ticks per token: paces differ by 2**-22 or not at all."""
LONGEST = 16
"""Of so many classes, the longest, modes are kept apart: `columns_groups_kernels` has it, too."""
POOL = 600
"""Columns kept, from box to box."""
SAFE = 2.0**-23
"""What a bound is lowered by, relative to `_size`."""


@dataclass(frozen=True)
class Effort:
    """Pricings of a box at most, and how far prices may go from those known, relative to them."""

    rounds: int
    wide: float


FIRST, NEXT, LAST = Effort(80, 0.3), Effort(60, 0.3), Effort(300, 0.3)
"""For a box without a parent, for one with, and for one that is not cut any further."""


@dataclass(frozen=True, eq=False)
class Market:
    """A problem as the kernels want it; see `columns_kernels`.

    Attributes
    ----------
    n_ranks : int
    classes : float64[3, U]
    times : float64[2, D, U]
    modes : float64[3, D]
        Of the modes that fit a sequence at all.
    bounds : int64[2, D]
        Classes that fit the memory of a group, and those that take at most a third of it.
    first_whole : int
        Classes from here on are of sequences of one length.
    start : float64[U]
        Prices to begin with: the rank-time of a sequence over all ranks.
    modes_of : int64[D]
        Which modes of the problem these are.
    landmarks : int64[L]
        Makespans at which long sequences begin to fit, increasing.
    pool : float64[P, U + 1 + D * LONGEST]
        Columns found so far, for other boxes too: amounts, makespan, amounts of the longest classes
        in groups of each mode.
    used : int64[2]
        Columns and looks so far.
    """

    n_ranks: int
    classes: FloatArray
    times: FloatArray
    modes: FloatArray
    bounds: IntArray
    first_whole: int
    start: FloatArray
    modes_of: IntArray
    landmarks: IntArray
    pool: FloatArray
    used: IntArray


def market_of(problem: SequenceProblem) -> Market:
    """Return what the kernels need of a problem; many short classes are pooled.

    Both times and paces may be taken too small, which only adds plans: they are made not to fall
    with length, whatever rounding does, and paces are rounded down to few bits.
    """
    pooled, first_whole = _few_classes(problem)
    cost = problem.cost
    usable = np.flatnonzero(pooled.fits.any(axis=1) & (cost.degree <= problem.n_ranks))
    length = pooled.length.astype(np.float64)
    ticks = np.minimum.accumulate(pooled.ticks[usable][:, ::-1], axis=1)[:, ::-1]
    time = ticks.astype(np.float64)
    mantissa, exponent = np.frexp(time / length * (1.0 - 2.0**-50))
    pace = np.ldexp(np.floor(np.ldexp(mantissa, GRAIN)), exponent - GRAIN)
    pace = np.minimum.accumulate(pace[:, ::-1], axis=1)[:, ::-1]
    degree = cost.degree[usable].astype(np.float64)
    fixed = problem.fixed_ticks[usable]
    fits = pooled.fits[usable]
    start = np.where(fits, degree[:, None] * time, np.inf).min(axis=0) / problem.n_ranks
    # what takes no time may still be worth something for its memory
    full = length / area.micro_batch_tokens(problem)
    highest = HIGHEST * (start + full * float(fixed.max()))
    third = cost.tokens[usable] / 3.0
    alone = fixed[:, None] + ticks[:, -LANDMARKS:]
    return Market(
        n_ranks=problem.n_ranks,
        classes=np.stack([pooled.count.astype(np.float64), length, highest]),
        times=np.ascontiguousarray(np.stack([time, pace])),
        modes=np.stack([degree, fixed.astype(np.float64), cost.tokens[usable].astype(np.float64)]),
        bounds=np.stack([fits.sum(axis=1), np.searchsorted(length, third, side="right")]),
        first_whole=first_whole,
        start=start,
        modes_of=usable,
        landmarks=np.unique(alone[fits[:, -LANDMARKS:]]),
        pool=np.zeros((POOL, len(start) + 1 + len(degree) * LONGEST)),
        used=np.zeros(2, dtype=np.int64),
    )


def _few_classes(problem: SequenceProblem) -> tuple[PooledClasses, int]:
    """Return classes, and from which one on they are of one length."""
    pooled = pooled_classes(problem, -1, 1.0)
    keep = -1
    if len(pooled.length) > CLASSES:
        short = int(area.micro_batch_tokens(problem) / SHORT)
        keep = max(1, min(short, int(pooled.length[-int(WHOLE * CLASSES)]) - 1))
        for ratio in RATIOS:
            pooled = pooled_classes(problem, keep, ratio)
            if len(pooled.length) <= CLASSES:
                break
    return pooled, int(np.searchsorted(pooled.length, keep, side="right"))


@dataclass(frozen=True, eq=False)
class Priced:
    """What is known of a box after pricing.

    Attributes
    ----------
    ticks : int
        No step in the box is below.
    prices : float64[U]
        Those that prove it.
    mean, spread : float64[q]
        Of the makespans in the solution of the program.
    held : float64[D, LONGEST]
        How much of the longest classes, the longest first, its groups of each mode have.
    """

    ticks: int
    prices: FloatArray
    mean: FloatArray
    spread: FloatArray
    held: FloatArray


def priced(
    kernels: ModuleType,
    market: Market,
    box: IntArray,
    target: int,
    effort: Effort,
    start: FloatArray | None = None,
) -> Priced:
    """Return the bound on steps with makespans in a box, as far as it counts.

    Parameters
    ----------
    kernels : module
        `columns_kernels`.
    market : Market
        Its columns and counts are added to.
    box : int64[2, q]
        Least and most ticks of every micro-batch, fixed ticks included.
    target : int
        Ticks above which nothing need be shown.
    effort : Effort
    start : float64[U], optional
        Prices to begin with.
    """
    prices = (market.start if start is None else start).copy()
    seen, held = np.zeros((2, box.shape[1])), np.zeros(market.times.shape[1] * LONGEST)
    value = kernels.generate(
        market.n_ranks,
        market.classes,
        market.times,
        market.modes,
        market.bounds,
        market.first_whole,
        cells(market, box),
        box.astype(np.float64),
        effort.rounds,
        float(target),
        prices,
        effort.wide,
        market.pool,
        market.used,
        seen,
        held,
    )
    safe = value - SAFE * _size(market, box, prices)
    return Priced(
        int(np.floor(safe)) if safe > 0 else 0, prices, seen[0], seen[1], held.reshape(-1, LONGEST)
    )


def _size(market: Market, box: IntArray, prices: FloatArray) -> float:
    """Return a sum of prices and makespans; no sum of which a bound consists is 8 times as large.

    A highest price is `HIGHEST` times the part that a sequence has of all rank-time, and, by its
    tokens, of the largest fixed part. So micro-batches collect that of what they last and of the
    largest fixed part at most, and in proportion where a program that is not solved to the end has
    left a price higher.
    """
    with np.errstate(over="ignore"):
        higher = float((prices / np.maximum(market.classes[2], np.finfo(float).tiny)).max())
    lasting = float(box[1].sum()) + box.shape[1] * float(market.modes[1].max())
    paid = float(prices @ market.classes[0])
    return float(paid + max(1.0, higher) * lasting)


def cells(market: Market, box: IntArray) -> FloatArray:
    """Cut the makespans of a box into cells: float64[C, 2], least and most ticks of each.

    They come in increasing order; none is partly in the interval of a micro-batch.
    """
    ends = np.unique(np.concatenate([box[0], box[1] + 1]))
    covered = ((ends[:-1, None] >= box[0]) & (ends[:-1, None] <= box[1])).any(axis=1)
    log = np.log(np.maximum(ends, 1).astype(np.float64))
    length = np.where(covered, np.diff(log), 0.0)
    number = np.ceil(CELLS * length / max(float(length.sum()), 1e-12)).astype(np.int64)
    parts = []
    for at in np.flatnonzero(covered):
        a, b = int(ends[at]), int(ends[at + 1])
        inner = np.exp(np.linspace(log[at], log[at + 1], max(1, int(number[at])) + 1)[1:-1])
        middle = np.clip(_snapped(inner, market.landmarks, a, b), a, b)
        cut = np.unique(np.concatenate([[a], middle, [b]]))
        parts.append(np.stack([cut[:-1], cut[1:] - 1], axis=1))
    return np.concatenate(parts).astype(np.float64)


def _snapped(inner: FloatArray, landmarks: IntArray, a: int, b: int) -> IntArray:
    """Move ends of cells to makespans at which a sequence begins to fit, where one is near."""
    if not len(inner) or not len(landmarks):
        return np.rint(inner).astype(np.int64)
    around = np.concatenate([[a], inner, [b]])
    low, high = (around[:-2] + inner) / 2, (around[2:] + inner) / 2
    near = landmarks[np.minimum(np.searchsorted(landmarks, low), len(landmarks) - 1)]
    good = (near >= low) & (near < high)
    return np.where(good, near, np.rint(inner)).astype(np.int64)
