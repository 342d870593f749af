"""One budget, exactly: peg, branch on the split group, search the core from two sides.

The linear relaxation differs from a whole choice in one group, the split; typical losses of
rounding are tiny, and so is the number of groups that can still matter. The search keeps the best
choice and a heap of parts of the problem, the one with the lowest bound first. A part goes through

1. the relaxation, whose rounded-down choice may be new best, and whose bound may close the part;
2. pegging: an option whose penalty (see ``halves``) exceeds what separates best and bound can be
   in no better choice; groups left with one option are decided;
3. the two-sided search, with short lists at first;
4. if that is not enough, and the core is large, one new part per option of the split group. A
   split that costs far more than its neighbours is what makes relaxations weak; deciding it makes
   them strong again. Otherwise the part is searched again with longer lists.

Every bound is the relaxation's, in exact fractions, plus a float64 penalty less all its rounding
could amount to.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.dual import Steps, fill, hull_steps
from mapc.models.bits.halves import Halves
from mapc.models.bits.pareto import States
from mapc.models.bits.parts import Part
from mapc.models.bits.reduction import Reduced

STATE_LIMIT = 20_000_000
"""States a search may make by default: a few seconds and some hundred megabytes."""

_WIDTH, _WIDEN = 1000, 8
"""Length of the lists at first, and how much longer they are each time."""
_EFFORT = 100
"""States made, per length of list, in one search of a part."""
_LARGE = 64
"""Open groups from which a part is rather split than searched with longer lists."""
_SPLITS = 200
"""Parts that are split at most; after that only lists grow."""
_RISE = 0.01
"""How much of the way to the best choice a split must raise the bound to be worth it."""
_PAIRED = 2**16
"""Deviations of least penalty that are tried in pairs."""


@dataclass(frozen=True, eq=False)
class SingleResult:
    """The best choice found for one budget.

    Attributes
    ----------
    choice : int64[n]
        Option of every group, 0 to m - 1.
    quanta : int
        Its loss.
    bound : int
        No choice within the budget loses less; equal to ``quanta`` when proven optimal.
    states : int
        States the search made: its work, the same in every run.
    proven : bool
        Whether the gap asked for was reached.
    """

    choice: IntArray
    quanta: int
    bound: int
    states: int
    proven: bool

    @property
    def gap(self) -> float:
        """``(quanta - bound) / quanta``; 0 where both are 0."""
        return (self.quanta - self.bound) / self.quanta if self.quanta else 0.0


def solve_single(
    reduced: Reduced,
    *,
    gap: float = 0.0,
    state_limit: int = STATE_LIMIT,
    stop: Callable[[], bool] = lambda: False,
    steps: Steps | None = None,
) -> SingleResult:
    """Return the least loss within one budget, with proof or with a bound.

    Parameters
    ----------
    reduced : Reduced
        With one budget.
    gap : float
        Relative gap at which to stop; 0 asks for the optimum.
    state_limit : int
        States to make at most (exceeded by at most one list); the search is deterministic in it.
    stop : function
        Asked now and then; true ends the search with what is known.
    steps : Steps, optional
        ``hull_steps(reduced)``, if at hand.

    Raises
    ------
    InfeasibleError
        If the cheapest choice exceeds the budget; the message names its cost.
    ValueError
        If there is not exactly one budget.
    """
    steps = hull_steps(reduced) if steps is None else steps
    return _Search(reduced, steps, Fraction(gap), state_limit, stop).result()


@dataclass(eq=False)
class _Search:
    """The state of one call of `solve_single`."""

    reduced: Reduced
    steps: Steps
    gap: Fraction
    limit: int
    stop: Callable[[], bool]
    work: int = 0
    splits: int = 0
    best: int = field(init=False)
    choice: IntArray = field(init=False)

    def __post_init__(self) -> None:
        root = Part.whole(self.reduced, self.steps)
        largest = np.maximum.reduceat(np.abs(self.reduced.quanta), self.reduced.start[:-1])
        # a penalty is a sum of few terms, each below this total, each rounded by 2**-53 of it
        self.slack = 2.0**-49 * float(largest.sum())
        self.choice, self.best = root.base, root.base_quanta
        self._count = 0
        self._heap: list[tuple[int, int, Part]] = []
        if root.relaxation.multiplier:
            self._fill(root)
            self._pair(root)
        self._lowest = root.bound
        self._push(root, root.bound)

    def aim(self, best: int) -> int:
        """Return the most a choice may lose to be worth finding, given the best known."""
        return min(best, math.ceil(best - self.gap * abs(best))) - 1

    def result(self) -> SingleResult:
        """Run the search to its end."""
        while self._heap and self._heap[0][0] <= self.aim(self.best):
            if self.work > self.limit or self.stop():
                break
            bound, _, part = heapq.heappop(self._heap)
            self._treat(part, bound)
        bound = min([self.aim(self.best) + 1, *(entry[0] for entry in self._heap[:1])])
        proven = bound > self.aim(self.best)
        bound = max(bound, min(self._lowest, self.best))
        return SingleResult(self.choice, self.best, bound, self.work, proven)

    def _offer(self, quanta: int, options: IntArray) -> None:
        """Keep a choice, given by the options of all groups in any order, if it is the best."""
        if quanta < self.best:
            self.best = quanta
            self.choice = np.empty(self.reduced.n_groups, dtype=np.int64)
            self.choice[self.reduced.group_of[options]] = options

    def _push(self, part: Part, bound: int) -> None:
        if bound <= self.aim(self.best):
            self._count += 1
            heapq.heappush(self._heap, (bound, self._count, part))

    def _threshold(self, part: Part) -> float:
        """Return the penalty, above the part's relaxation, from which nothing is of interest."""
        return float(self.aim(self.best) - part.value) + self.slack

    # -- first choices -------------------------------------------------------------------------

    def _fill(self, root: Part) -> None:
        """Fill the room the relaxation leaves with further steps."""
        more = fill(root.steps, root.relaxation)
        choice = root.base.copy()
        # of several steps of a group the last assignment, the furthest step, stands
        choice[root.steps.group[more]] = root.steps.option[more]
        self._offer(int(self.reduced.quanta[choice].sum()), choice)

    def _pair(self, root: Part) -> None:
        """Try all pairs of deviations with small penalties: a sort and a search per deviation."""
        near = root.near(self._threshold(root), _PAIRED)
        singles = States.undominated(near.cost, near.quanta, near.option)
        partner = singles.within(root.relaxation.room - near.cost)
        group = root.reduced.group_of
        apart = (partner >= 0) & (near.group != group[singles.node[partner]])
        if not apart.any():
            return
        total = np.where(apart, near.quanta + singles.quanta[partner], np.iinfo(np.int64).max)
        place = int(np.argmin(total))
        pair = np.array([near.option[place], singles.node[partner[place]]], dtype=np.int64)
        self._offer(root.base_quanta + int(total[place]), root.options(pair))

    # -- parts ---------------------------------------------------------------------------------

    def _treat(self, part: Part, bound: int) -> None:
        """Search a part; put back what remains of it."""
        pegged = part.pegged(self._threshold(part))
        if pegged is None:
            return
        halves = self._searched(pegged)
        if halves.open > halves.threshold:
            return
        left = math.ceil(pegged.value + Fraction(halves.open - 2 * self.slack))
        bound = max(bound, left)
        pegged = pegged.pegged(self._threshold(pegged))
        if pegged is None or bound > self.aim(self.best):
            return
        parts = self._split(pegged)
        if not parts:
            self._push(replace(pegged, level=pegged.level + 1), bound)
        for piece in parts:
            self.work += len(piece.reduced.quanta)
            self._offer(piece.base_quanta, piece.options(np.zeros(0, dtype=np.int64)))
            self._push(piece, max(bound, piece.bound))

    def _searched(self, part: Part) -> Halves:
        """Search a part from two sides, with longer lists the more often it is met."""
        offset = part.base_quanta
        halves = Halves(
            part.steps,
            part.relaxation,
            part.deviations,
            self.best - offset,
            lambda best: self.aim(best + offset) - offset,
            self.slack,
        )
        width = _WIDTH * _WIDEN**part.level
        halves.run(width, min(_EFFORT * width, self.limit - self.work), self.stop)
        self.work += halves.work
        if halves.chosen is not None:
            chosen = np.array(halves.chosen, dtype=np.int64)
            self._offer(halves.best + offset, part.options(chosen))
        return halves

    def _split(self, part: Part) -> list[Part]:
        """Return the pieces of a part, or none where it is better searched again."""
        if part.reduced.n_groups <= _LARGE or self.splits >= _SPLITS:
            return []
        parts = part.split()
        aim = self.aim(self.best)
        lowest = min((piece.bound for piece in parts), default=aim + 1)
        if lowest - part.bound <= _RISE * (aim - part.bound):
            return []
        self.splits += 1
        return parts
