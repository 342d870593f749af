"""The whole step by its micro-batches: prices of sequences, columns, boxes of makespans.

Pay a price p_k >= 0 for every sequence of class k that is computed. A micro-batch that lasts T and
computes y_k of each collects sum p_k y_k <= V(T), the most that groups of N ranks, each lasting T
or less, can collect. So a plan of q micro-batches that last T_1, ..., T_q takes

    sum T_m >= sum n_k p_k + sum (T_m - V(T_m)) >= sum n_k p_k + sum min over T of T - V(T),

whatever the prices: Dantzig and Wolfe's decomposition (1960), where the best prices are the duals
of the linear program that combines micro-batches, its columns. It is solved by generating columns,
and every pricing gives a bound (Lasdon 1970).

**Groups.** Degrees are powers of two, hence V(T) is that of blocks: 2**i ranks hold one group or
two blocks of half the ranks, and N ranks are the blocks of its binary digits. A group of mode j has
T - f_j ticks and room for c_j tokens. Sequences that take more than a third of either are whole in
it: none, one or two, and two of a class only where there are two. All others, if they fit, are a
fluid. For x ticks and z tokens left a fluid collects at most z F(x / z), where F is the least
concave function that does not fall, is >= 0 at 0 and has F(t_k / s_k) >= p_k / s_k for all: a
line a x / z + b above F has a t_k + b s_k >= p_k, so the fluid collects a x + b z or less.

**Copies.** No micro-batch has more of class k than the n_k there are, so at most n_k of its groups
have k as their longest whole sequence. Let those of mode j collect v_kj or less, those without
whole sequences v_0j; d_j is their ranks. For any price of a rank w >= v_0j / d_j for all j,

    V <= N w + sum over k of n_k max over j of max(0, v_kj - d_j w):

a group pays d_j w, together N w at most, and what it collects beyond that is among the n_k terms of
its class. The least over w is that of the linear program of groups whose longest sequence is not
repeated; where N is no power of two, blocks of its digits may give less, and the lesser counts.

**Makespans** lie in cells [A, B]. What fits at B is allowed in all of the cell, and the most that a
group collects there is at most the largest of the tangents at B of z F(x / z), concave in x, one
for each choice of whole sequences: v_kj(T) and v_0j(T) are convex. So n_k max(0, v_kj(T) - d_j w)
and the limits of w are convex in T and w together, the least over w is convex in T, and so is the
largest sum of blocks. T - V(T) is concave, hence at least the lesser of its values at A and B,
where w need not be the same. The tangent of v_0j plus what whole sequences are worth above it is a
line that no choice of them exceeds in the cell; a choice whose line is, at each end, no more than
another of its class or d_j w is passed over, for then it changes neither value. Cells where
T - V(T) is least are halved, unless it is so at B, where tangents touch.

**Boxes.** Micro-batches are numbered by falling makespan. The combination mixes micro-batches that
last differently; so each T_m is kept to an interval, and the box of least bound is cut in two where
the program mixes most, best first. With L the ticks of a known step, faster ones have
m T_m + sum of the least T of those after m < L, and the first has the sequence slowest alone. All
numbers q of micro-batches grow one tree. What is proven is the least bound of all open boxes, or L.

**Rounding.** Ticks are whole numbers below 2**52, sums of products of floats are off by some 2**-50
of the sum of the terms. Paces t_k / s_k are rounded down to 22 bits, so x - z t_k / s_k, by which
lines are steep, is off by 2**-30 of the difference of neighbouring paces at most. All bounds are
lowered by 2**-23 of sum n_k p_k, all T and the largest fixed part: V is at most some times those,
for no price is above six times the part that a sequence has of a micro-batch (or in proportion).
Prices of a rank are found by floats, but any is valid.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load
from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.columns_market import (
    FIRST,
    LAST,
    LONGEST,
    NEXT,
    Effort,
    Market,
    market_of,
    priced,
)
from mapc.models.sequence.packing.hints import Hint
from mapc.models.sequence.packing.near import SLACK, look_near
from mapc.models.sequence.problem import FloatArray, SequenceProblem

if TYPE_CHECKING:
    from mapc.models.base import Search

KERNELS = "mapc.models.sequence.bounds.columns_kernels"

WORK = 200
"""Boxes priced at most, if not said."""
LOOKS, MOST_LOOKS = 60_000_000, 2_000_000_000
"""Looks without a clock, about 2 s, and with one."""
EACH = 100_000
"""Looks that a box counts as in any case, by its time."""
MIXED = 1e-3
"""Mean distance of a makespan from its mean, relative to it, for which it is cut."""
NARROW = 1e-5
"""Relative width below which no makespan is cut."""
MARGIN = 0.1
"""Part of an interval that each side of a cut has at least."""
UNCUT, DONE = -1, -2

LARGE, SHARE = 2_000, 0.3
"""Sequences from which on `run` looks for plans after this part of its time, or at its end."""
HINTS, NEAR, APART = 3, 0.3, 0.02
"""Boxes whose makespans plans may have, at most; how far from the least bound towards the known
step theirs may be; and relative distance of makespans that are not alike."""

PATIENCE, RISE = 24, 1e-4
"""`run` ends after so many boxes that have not raised its bound by this part of the step."""

Done = Callable[[], bool]


@dataclass(frozen=True, order=True)
class _Node:
    """A box and what is known of it; ``split`` is the makespan to cut and where.

    It is `UNCUT` for none, `DONE` if there is nothing left to do either.
    """

    bound: int
    number: int
    q: int
    box: IntArray | None
    prices: FloatArray | None = None
    split: int = -1
    where: int = 0
    held: FloatArray | None = None


class _Tree:
    """Boxes for some numbers of micro-batches, the least bound first."""

    def __init__(
        self,
        problem: SequenceProblem,
        kernels: ModuleType,
        counts: Iterable[int],
        known: int,
        box: IntArray | None = None,
    ) -> None:
        self.kernels, self.known, self.box = kernels, known, box
        self.alone = np.sort(area.alone_ticks(problem))
        self.market: Market | None = None
        self.problem = problem
        self.priced = 0
        self.open: list[_Node] = []
        for q in counts:
            floor = int(area.step_bounds(problem, q, q)[0])
            self._push(_Node(floor, -q, q, None))

    def bound(self) -> int:
        """Return what no step undercuts, but for the known one."""
        return min(self.known, self.open[0].bound) if self.open else self.known

    def finished(self) -> bool:
        """Whether nothing is left to cut where the bound is least."""
        if not self.open or self.open[0].bound >= self.known:
            return True
        return self.open[0].split == DONE

    def hints(self) -> list[Hint]:
        """Return makespans of boxes of least bound that are apart, and modes of long sequences."""
        chosen: list[Hint] = []
        if self.market is None:
            return chosen
        count = np.rint(self.market.classes[0, ::-1][:LONGEST]).astype(np.int64)
        count = count[: max(0, len(self.market.start) - self.market.first_whole)]
        least = self.bound()
        for node in sorted(self.open):
            if node.box is None or node.held is None:
                continue
            if len(chosen) == HINTS or node.bound > least + NEAR * (self.known - least):
                break
            target = np.maximum(node.box.mean(axis=0) * SLACK, 1.0)
            if any(_alike(target, other.target) for other in chosen):
                continue
            held = np.zeros((self.problem.n_modes, LONGEST))
            held[self.market.modes_of] = node.held
            held = np.repeat(held[:, : len(count)], count, axis=1)[:, :LONGEST]
            chosen.append(Hint(target, modes=held))
        return chosen

    @property
    def looks(self) -> int:
        """Looks at classes in groups so far, and what boxes count as."""
        inside = 0 if self.market is None else int(self.market.used[1])
        return inside + EACH * self.priced

    def grow(self) -> None:
        """Price the box of least bound, or its two halves; longer if it is too narrow to cut."""
        node = heapq.heappop(self.open)
        if node.box is None:
            self._price(node, self._root(node), FIRST)
        elif node.split == UNCUT:
            self._price(node, node.box, LAST)
        else:
            for part in _halves(node):
                self._price(node, part, NEXT)

    def _root(self, node: _Node) -> IntArray:
        box = np.empty((2, node.q), dtype=np.int64)
        box[0], box[1] = self.alone[0], self.known - 1
        box[0, 0] = max(int(self.alone[-1]), -(-node.bound // node.q))
        if self.box is not None:
            box[0], box[1] = np.maximum(box[0], self.box[0]), np.minimum(box[1], self.box[1])
        return box

    def _price(self, parent: _Node, box: IntArray, effort: Effort) -> None:
        tight = _tightened(box, self.known, parent.bound)
        if tight is None:
            return
        if self.market is None:
            self.market = market_of(self.problem)
        self.priced += 1
        found = priced(self.kernels, self.market, tight, self.known, effort, parent.prices)
        split, where = _cut(tight, found.mean, found.spread)
        if split == UNCUT and effort is LAST:
            split = DONE
        bound = max(parent.bound, found.ticks, int(tight[0].sum()))
        self._push(
            _Node(bound, self.priced, parent.q, tight, found.prices, split, where, found.held)
        )

    def _push(self, node: _Node) -> None:
        if node.bound < self.known:
            heapq.heappush(self.open, node)


def column_bound(
    problem: SequenceProblem,
    q: int,
    *,
    known: int,
    done: Done | None = None,
    work: int | None = None,
    box: IntArray | None = None,
) -> int:
    """Return a bound in ticks on steps of q micro-batches, at most `known`.

    Parameters
    ----------
    problem : SequenceProblem
    q : int
    known : int
        Ticks of a step; only faster ones are of interest.
    done : callable, optional
        Whether to end early, asked every few milliseconds.
    work : int, optional
        Boxes to price at most; `WORK` by default.
    box : int64[2, q], optional
        Least and most ticks of the micro-batches, by falling makespan and fixed ticks included: a
        bound on the steps in it only.
    """
    limit = WORK if work is None else work
    return _grown(problem, [q], known, done, limit, box)


def step_bound(
    problem: SequenceProblem, *, known: int, done: Done | None = None, work: int | None = None
) -> int:
    """Return a bound in ticks on all steps, at most `known`; see `column_bound`.

    Raises
    ------
    InfeasibleError
        When memory asks for more micro-batches than the problem allows.
    """
    return _grown(problem, _counts(problem, known), known, done, WORK if work is None else work)


def _grown(
    problem: SequenceProblem,
    counts: Iterable[int],
    known: int,
    done: Done | None,
    work: int,
    box: IntArray | None = None,
) -> int:
    kernels = load(KERNELS, done)
    if kernels is None:
        floor = min((int(area.step_bounds(problem, q, q)[0]) for q in counts), default=known)
        return min(floor, known)
    tree = _Tree(problem, kernels, counts, known, box)
    while tree.priced < work and not tree.finished() and not (done is not None and done()):
        tree.grow()
    return tree.bound()


def _counts(problem: SequenceProblem, known: int) -> range:
    """Numbers of micro-batches of which a step faster than the known one may be."""
    least = area.least_micro_batches(problem)
    return range(least, area.most_micro_batches(problem, known) + 1)


def run(problem: SequenceProblem, search: Search) -> None:
    """Prove a bound on the step over all numbers of micro-batches: `Method.run`.

    Needs a plan to compare with. What it proves grows from box to box; it ends when the search
    does, when the box of least bound cannot be cut, after so many looks, or when boxes hardly
    raise it any more: better plans are worth more then. Of large problems it says where these are
    to be looked for, and they are.
    """
    if not isinstance(problem, SequenceProblem) or search.objective is None or search.done():
        return
    known = round(search.objective / problem.tick)
    kernels = load(KERNELS, search.done)
    if kernels is None:
        return
    tree = _Tree(problem, kernels, _counts(problem, known), known)
    looks = LOOKS if search.deterministic else MOST_LOOKS
    proven, mark, since, near = -1, 0, 0, problem.n_sequences >= LARGE
    kept = (1.0 - SHARE) * search.remaining()
    while tree.looks < looks and not tree.finished() and since < PATIENCE and not search.done():
        tree.grow()
        since += 1
        if tree.bound() >= mark + RISE * known:
            mark, since = tree.bound(), 0
        if tree.bound() > proven:
            proven = tree.bound()
            search.prove(proven * problem.tick, "columns")
        if near and not search.deterministic and search.remaining() < kept:
            near = False
            look_near(problem, search, tree.hints())
        tree.known = min(tree.known, round(search.objective / problem.tick))
    if tree.bound() > proven:
        search.prove(tree.bound() * problem.tick, "columns")
    if near and tree.bound() < tree.known:
        look_near(problem, search, tree.hints())


def _tightened(box: IntArray, known: int, floor: int) -> IntArray | None:
    """Return the part of a box that steps of ``floor`` ticks up to below a known one can be in.

    None if there is none.
    """
    low, high = box[0].copy(), box[1].copy()
    number = np.arange(1, box.shape[1] + 1)
    for _ in range(3):
        low = np.maximum.accumulate(low[::-1])[::-1]
        high = np.minimum.accumulate(high)
        after = np.cumsum(low[::-1])[::-1] - low
        high = np.minimum(high, (known - 1 - after) // number)
        high = np.minimum(high, known - 1 - (low.sum() - low))
        low = np.maximum(low, floor - (high.sum() - high))
    if (low > high).any():
        return None
    return np.stack([low, high])


def _cut(box: IntArray, mean: FloatArray, spread: FloatArray) -> tuple[int, int]:
    """Return the makespan to cut, `UNCUT` if all are narrow, and the least of its upper half."""
    low, high = box
    width = (high - low) / np.maximum(high, 1)
    mixed = np.where(width > NARROW, spread / np.maximum(high, 1), 0.0)
    m = int(np.argmax(mixed))
    where = float(mean[m])
    if mixed[m] < MIXED:
        m = int(np.argmax(width))
        where = (int(low[m]) + int(high[m])) / 2
    if width[m] <= NARROW or low[m] == high[m]:
        return UNCUT, 0
    least = MARGIN * float(high[m] - low[m])
    at = int(np.clip(where, low[m] + least, high[m] - least))
    return m, min(max(at, int(low[m]) + 1), int(high[m]))


def _alike(a: FloatArray, b: FloatArray) -> bool:
    return len(a) == len(b) and bool((np.abs(a - b) < APART * b).all())


def _halves(node: _Node) -> list[IntArray]:
    """Return the two halves of a box."""
    assert node.box is not None
    below, above = node.box.copy(), node.box.copy()
    below[1, node.split], above[0, node.split] = node.where - 1, node.where
    return [below, above]
