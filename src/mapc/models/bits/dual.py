"""The Lagrangian dual of one budget, whole, from one sort.

Walk every group along its lower hull from its cheapest option to its best, and take the steps of
all groups in order of loss saved per cost. After ``k`` steps stands a choice that no choice of the
same cost beats, and that is optimal for every multiplier between the slopes of steps ``k`` and
``k + 1``: the dual function's pieces, the supported points of the Pareto front and the solutions
of the linear relaxation are all in this one list (Sinha and Zoltners, 1979, for the relaxation of
the multiple-choice knapsack).

For a budget ``B`` let ``k`` be the last step that fits, ``C`` and ``Q`` cost and loss after it,
and ``s`` the slope of the next step, the split. The relaxation is worth ``Q - s (B - C)``, which
is also the maximum of the dual, reached at multiplier ``s``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.bits.hull import compare_products, lower_hull
from mapc.models.bits.problem import FloatArray
from mapc.models.bits.reduction import Reduced

_APART = 1 + 2.0**-48
"""Slopes in float64 further apart than this factor are in the right order."""
_FILL_ROUNDS = 16
"""Passes of the greedy fill: each takes all that fits in a row."""


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps along all lower hulls, by falling loss saved per cost; ``s`` of them.

    Attributes
    ----------
    hull : Ragged
        Options on the lower hull of every group.
    group, option : int64[s]
        Group that steps, and the option it steps to.
    total_cost, total_quanta : int64[s + 1]
        Cost and loss of the choice after ``0 .. s`` steps.
    """

    hull: Ragged
    group: IntArray
    option: IntArray
    total_cost: IntArray
    total_quanta: IntArray

    def __len__(self) -> int:
        return len(self.group)

    @cached_property
    def cost(self) -> IntArray:
        """int64[s]: what each step costs, > 0."""
        return np.diff(self.total_cost)

    @cached_property
    def gain(self) -> IntArray:
        """int64[s]: the loss each step saves, in quanta, > 0."""
        return np.asarray(-np.diff(self.total_quanta))

    def choice(self, taken: int) -> IntArray:
        """Return the option of every group after the first ``taken`` steps, int64[n]."""
        position = np.bincount(self.group[:taken], minlength=len(self.hull))
        choice: IntArray = self.hull.values[self.hull.start[:-1] + position]
        return choice


@dataclass(frozen=True)
class Relaxation:
    """The linear relaxation, and dual, at one budget.

    Attributes
    ----------
    taken : int
        Steps that fit; the choice after them is feasible and all but one step of optimal for the
        relaxation.
    room : int
        Budget left after them.
    quanta : int
        Loss after them.
    multiplier : Fraction
        Quanta per unit of cost at which the dual is largest; 0 where the budget does not bind.
    """

    taken: int
    room: int
    quanta: int
    multiplier: Fraction

    @property
    def value(self) -> Fraction:
        """Value of the relaxation, in quanta."""
        return self.quanta - self.multiplier * self.room

    @property
    def bound(self) -> int:
        """Loss no choice within the budget goes below, in quanta: ``value`` rounded up."""
        return math.ceil(self.value)


def hull_steps(reduced: Reduced) -> Steps:
    """Return the steps of all groups of a one-budget problem, in order of loss saved per cost.

    The order is exact: slopes that float64 cannot tell apart are compared as fractions.

    Raises
    ------
    ValueError
        If there are several budgets, or none.
    """
    if len(reduced.cost) != 1:
        raise ValueError(f"{len(reduced.cost)} budgets; expected one")
    cost, quanta = reduced.cost[0], reduced.quanta
    hull = lower_hull(reduced.start, cost, quanta)
    row_of, options = hull.row_of, hull.values
    inside = np.flatnonzero(row_of[1:] == row_of[:-1]) + 1
    price = cost[options[inside]] - cost[options[inside - 1]]
    gain = quanta[options[inside - 1]] - quanta[options[inside]]
    order = _by_slope(gain, price)
    first = options[hull.start[:-1]]
    return Steps(
        hull,
        row_of[inside][order],
        options[inside][order],
        np.cumsum(np.concatenate(([cost[first].sum()], price[order]))),
        np.cumsum(np.concatenate(([quanta[first].sum()], -gain[order]))),
    )


def _by_slope(gain: IntArray, price: IntArray) -> IntArray:
    """Return the steps by falling ``gain / price``, equal ones in the order given."""
    slope = gain / price
    order = np.argsort(-slope, kind="stable").astype(np.int64)
    before, after = order[:-1], order[1:]
    wrong = compare_products(gain[before], price[after], gain[after], price[before]) < 0
    if wrong.any():
        _settle(order, slope, gain, price, wrong)
    return order


def _settle(
    order: IntArray, slope: FloatArray, gain: IntArray, price: IntArray, wrong: BoolArray
) -> None:
    """Sort, in place, each run of slopes too close for float64 that holds a wrong pair."""
    ranked = slope[order]
    edges = np.flatnonzero(ranked[:-1] > ranked[1:] * _APART) + 1
    runs = np.concatenate(([0], edges, [len(order)]))
    for run in np.unique(np.searchsorted(edges, np.flatnonzero(wrong), side="right")):
        part = np.sort(order[runs[run] : runs[run + 1]]).tolist()
        part.sort(key=lambda step: -Fraction(int(gain[step]), int(price[step])))
        order[runs[run] : runs[run + 1]] = part


def relax(steps: Steps, budget: int) -> Relaxation:
    """Return the linear relaxation at a budget.

    Raises
    ------
    InfeasibleError
        If even the cheapest choice costs more; the message names its cost.
    """
    taken = int(np.searchsorted(steps.total_cost, budget, side="right")) - 1
    if taken < 0:
        raise InfeasibleError(
            f"budget {budget}: the cheapest choice costs {int(steps.total_cost[0])}"
        )
    room, quanta = budget - int(steps.total_cost[taken]), int(steps.total_quanta[taken])
    multiplier = Fraction(0)
    if taken < len(steps):
        multiplier = Fraction(int(steps.gain[taken]), int(steps.cost[taken]))
    return Relaxation(taken, room, quanta, multiplier)


def fill(steps: Steps, relaxation: Relaxation) -> IntArray:
    """Return more steps that fit the room left, greedily by loss saved per cost.

    Returns
    -------
    int64[f]
        Indices of steps beyond ``taken``; a group's step only where those before it are taken.
    """
    position, room = relaxation.taken, relaxation.room
    blocked = np.zeros(len(steps.hull), dtype=np.bool_)
    filled = [np.zeros(0, dtype=np.int64)]
    for _ in range(_FILL_ROUNDS):
        cost, group = steps.cost[position:], steps.group[position:]
        large = np.flatnonzero(cost > room)
        first_large = np.full(len(blocked), len(cost), dtype=np.int64)
        first_large[group[large[::-1]]] = large[::-1]
        fits = (cost <= room) & ~blocked[group] & (first_large[group] > np.arange(len(cost)))
        candidates = np.flatnonzero(fits)
        if not len(candidates):
            break
        count = int(np.searchsorted(np.cumsum(cost[candidates]), room, side="right"))
        filled.append(position + candidates[:count])
        room -= int(cost[candidates[:count]].sum())
        if count == len(candidates):
            break
        blocked[group[large[large < candidates[count]]]] = True
        position += int(candidates[count])
    return np.concatenate(filled)
