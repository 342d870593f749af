"""A multiple-choice knapsack as a rectangle: options down, groups across.

Losses and costs are counted from the least of their group, which keeps them exact in float64 and
leaves of every budget the room above the cheapest choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.bits.problem import FloatArray
from mapc.models.bits.reduction import Reduced

_LOW = (1 << 32) - 1


def exact_sum(values: IntArray) -> int:
    """Return the sum of int64 values, which may not fit int64."""
    return (int((values >> 32).sum()) << 32) + int((values & _LOW).sum())


@dataclass(frozen=True, eq=False)
class Grid:
    """The arrays a Lagrangian oracle sweeps over; see the module.

    Attributes
    ----------
    reduced : Reduced
    loss : float64[width, n]
        Quanta above the least of the group; infinite where a group has fewer options.
    cost : float64[k, width, n]
        Units above the cheapest of the group; 0 where a group has fewer options.
    base : int
        Sum of the least quanta of all groups.
    room : tuple of k int
        What the cheapest choice leaves of every budget; negative where it exceeds one.
    """

    reduced: Reduced
    loss: FloatArray
    cost: FloatArray
    base: int
    room: tuple[int, ...]

    @classmethod
    def of(cls, reduced: Reduced) -> Grid:
        """Lay a reduced problem out."""
        start, n = reduced.start, reduced.n_groups
        group = reduced.group_of
        row = np.arange(len(group), dtype=np.int64) - start[group]
        width = int(np.diff(start).max(initial=1))
        least = np.minimum.reduceat(reduced.quanta, start[:-1]) if n else reduced.quanta
        loss = np.full((width, n), np.inf)
        loss[row, group] = reduced.quanta - least[group]
        cost = np.zeros((len(reduced.budget), width, n))
        room = []
        for own, costs, budget in zip(cost, reduced.cost, reduced.budget, strict=True):
            cheapest = np.minimum.reduceat(costs, start[:-1]) if n else costs
            own[row, group] = costs - cheapest[group]
            room.append(int(budget) - exact_sum(cheapest))
        return cls(reduced, loss, cost, exact_sum(least), tuple(room))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.loss.shape[1])

    @property
    def n_budgets(self) -> int:
        """Number of budgets."""
        return len(self.room)

    @cached_property
    def loss_scale(self) -> float:
        """Largest total loss above the least, at least 1."""
        worst = np.where(np.isfinite(self.loss), self.loss, 0.0).max(axis=0, initial=0.0)
        return max(1.0, float(worst.sum()))

    @cached_property
    def cost_scale(self) -> FloatArray:
        """float64[k]: largest total cost above the cheapest, at least 1."""
        worst = self.cost.max(axis=1, initial=0.0).sum(axis=1)
        return np.asarray(np.maximum(worst, 1.0), dtype=np.float64)

    def priced(self, multipliers: FloatArray) -> FloatArray:
        """float64[width, n]: loss plus priced cost of every option."""
        value = self.loss.copy()
        for price, cost in zip(multipliers, self.cost, strict=True):
            if price > 0:
                value += price * cost
        return value

    def totals(self, row: IntArray) -> tuple[int, tuple[int, ...]]:
        """Return quanta above ``base`` and costs above the cheapest of a choice of rows."""
        across = np.arange(self.n_groups)
        quanta = exact_sum(self.loss[row, across].astype(np.int64))
        costs = tuple(exact_sum(own[row, across].astype(np.int64)) for own in self.cost)
        return quanta, costs

    def slack(self, row: IntArray) -> tuple[int, ...]:
        """Return what a choice of rows leaves of every budget; negative where it exceeds one."""
        costs = self.totals(row)[1]
        return tuple(room - cost for room, cost in zip(self.room, costs, strict=True))

    def options(self, row: IntArray) -> IntArray:
        """int64[n]: options of the reduced problem for rows of the rectangle."""
        return self.reduced.start[:-1] + row

    def rows(self, choice: IntArray) -> IntArray:
        """int64[n]: rows of the rectangle for options of the reduced problem."""
        return choice - self.reduced.start[:-1]


def rounding(grid: Grid, value: FloatArray) -> float:
    """Return how far any entry of ``Grid.priced`` can be from its exact value.

    ``k`` products and ``k`` additions of non-negative numbers are each off by at most one part
    in 2**53, and losses and costs enter exactly.
    """
    largest = float(np.max(value, where=np.isfinite(value), initial=0.0))
    return (2 * grid.n_budgets + 2) * 2.0**-53 * largest


def lagrangian(grid: Grid, multipliers: FloatArray) -> int:
    """Return a bound in quanta on every feasible choice: the dual at these multipliers, exactly.

    ``L(v) = sum_i min_j (q_ij + v c_ij) - v b`` bounds every feasible choice from below for any
    ``v >= 0``. The minimisers found in float64 are summed up in whole numbers; where a group's
    runner-up is within rounding of its minimiser, twice the rounding error is given away.
    """
    value = grid.priced(multipliers)
    row = lowest(value)[0]
    error = rounding(grid, value)
    across = np.arange(grid.n_groups)
    best = value[row, across]
    close = (value <= best + 2 * error).sum(axis=0) > 1
    quanta, costs = grid.totals(row)
    exact = Fraction(grid.base + quanta)
    for price, cost, room in zip(multipliers, costs, grid.room, strict=True):
        exact += Fraction(float(price)) * (cost - room)
    exact -= 2 * Fraction(error) * int(close.sum())
    return -((-exact.numerator) // exact.denominator)


def lowest(value: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return row and value of the least entry of every column, the first among equals."""
    row = np.zeros(value.shape[1], dtype=np.int64)
    best = value[0].copy()
    for at in range(1, value.shape[0]):
        better = value[at] < best
        row[better] = at
        np.copyto(best, value[at], where=better)
    return row, best


def restricted(reduced: Reduced, keep: BoolArray) -> Reduced:
    """Return the problem with some options only, bool[m]; every group must keep one."""
    kept = np.flatnonzero(keep)
    counts = np.bincount(reduced.group_of[kept], minlength=reduced.n_groups)
    inside = np.split(keep, reduced.start[1:-1]) if reduced.tables else []
    return replace(
        reduced,
        start=np.append(0, np.cumsum(counts)).astype(np.int64),
        quanta=reduced.quanta[kept],
        cost=np.ascontiguousarray(reduced.cost[:, kept]),
        members=_rows_of(reduced.members, kept),
        format_of=reduced.format_of[kept] if len(reduced.format_of) else reduced.format_of,
        tables=tuple(
            table[np.ix_(inside[first], inside[second])]
            for (first, second), table in zip(reduced.pairs.tolist(), reduced.tables, strict=True)
        ),
    )


def subproblem(reduced: Reduced, groups: IntArray, choice: IntArray) -> tuple[Reduced, IntArray]:
    """Return the problem of some groups, the others fixed at ``choice``, and its options.

    For losses that are a plain sum: what edges and tables say is left out.

    Returns
    -------
    reduced : Reduced
        Budgets are what the fixed groups leave; they may be negative.
    options : int64[m']
        The option of the whole problem behind each option of the part.
    """
    inside = np.zeros(reduced.n_groups, dtype=np.bool_)
    inside[groups] = True
    options = np.flatnonzero(inside[reduced.group_of])
    fixed = choice[~inside]
    left = [int(b) - exact_sum(c[fixed]) for b, c in zip(reduced.budget, reduced.cost, strict=True)]
    counts = np.diff(reduced.start)[inside]
    part = Reduced(
        start=np.append(0, np.cumsum(counts)).astype(np.int64),
        quanta=reduced.quanta[options],
        cost=np.ascontiguousarray(reduced.cost[:, options]),
        budget=np.array(left, dtype=np.int64),
        members=_rows_of(reduced.members, options),
    )
    return part, options


def _rows_of(ragged: Ragged, rows: NDArray[np.int64]) -> Ragged:
    """Return some rows of a ragged array."""
    lengths = ragged.lengths[rows]
    start = np.append(0, np.cumsum(lengths)).astype(np.int64)
    within = np.arange(int(start[-1]), dtype=np.int64) - np.repeat(start[:-1], lengths)
    return Ragged(start, ragged.values[np.repeat(ragged.start[:-1][rows], lengths) + within])
