"""Quick allocations that tools use today, as baselines and first plans.

* ``uniform``: one format for everything, the best one within the budgets.
* ``greedy``: from the cheapest options, always the step to the next costlier one that saves most
  loss per cost, as sensitivity-sorting allocators do.
* ``hull_greedy``: the same over the lower convex hull of each group, so that a poor next step
  does not hide a good one behind it; for one budget at most what one group can lose above the
  optimum (Sinha and Zoltners 1979).

Several budgets are turned into one price per option; see `prices`. Switch and pairwise losses are
not looked at while choosing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray, Ragged
from mapc.models.bits.hull import lower_hull
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import MAX, BitsProblem, FloatArray
from mapc.models.bits.reduction import Reduced, merge, reduce
from mapc.models.bits.verify import verify

Numbers = TypeVar("Numbers", IntArray, FloatArray)

FIT_ROUNDS = 10
PRICE_ROUNDS = 60
REPAIR_MOVES = 400
PRICE_BITS = 40
"""Prices of several budgets are whole numbers below two to this."""


@dataclass(frozen=True, eq=False)
class Uniform:
    """What one format for everything gives.

    Attributes
    ----------
    format : str
    plan : BitsPlan
    loss : float
        Objective, interactions included.
    cost : tuple of int
        Per resource, in its unit.
    feasible : bool
        Whether all budgets hold.
    exceptions : int
        Groups that cannot have the format and take another one.
    """

    format: str
    plan: BitsPlan
    loss: float
    cost: tuple[int, ...]
    feasible: bool
    exceptions: int


# -- one format ----------------------------------------------------------------------------------


def uniform_table(problem: BitsProblem) -> tuple[Uniform, ...]:
    """Return what every format gives when all groups take it, cheapest format first.

    Formats are ranked by what they cost beside the other formats of the same groups, in ``size``
    where there is such a resource, else in the first one with a budget, else in the first one; by
    falling loss without any. A group that cannot have the format takes its cheapest one ranked
    above, or its costliest when there is none.
    """
    merged = merge(problem)
    rank = _ranking(problem, merged)
    place = np.empty(len(problem.formats), dtype=np.int64)
    place[rank] = np.arange(len(rank))
    missing = len(rank)
    option = np.full((merged.n_groups, len(rank)), -1, dtype=np.int64)
    option[merged.group_of, place[merged.format_of]] = np.arange(len(merged.quanta))
    have = np.where(option >= 0, np.arange(len(rank)), missing)
    above = np.minimum.accumulate(have[:, ::-1], axis=1)[:, ::-1]
    top = np.where(have < missing, have, -1).max(axis=1)
    rows = []
    for p in np.flatnonzero((option >= 0).any(axis=0)):
        taken = np.where(above[:, p] < missing, above[:, p], top)
        plan = merged.lift(problem, option[np.arange(merged.n_groups), taken])
        verdict = verify(problem, plan)
        assert verdict.objective is not None
        other = int((problem.format_of[plan.option] != rank[p]).sum())
        rows.append(
            Uniform(
                format=problem.formats[int(rank[p])],
                plan=plan,
                loss=float(verdict.objective),
                cost=tuple(verdict.facts["cost"].values()),
                feasible=not verdict.violations,
                exceptions=other,
            )
        )
    return tuple(rows)


def _ranking(problem: BitsProblem, merged: Reduced) -> IntArray:
    """Return the formats, cheapest first: the cost of an option is fitted as group times format."""
    names, limited = problem.resources, problem.limited
    if not names:
        measure = -np.log1p(np.maximum(merged.quanta, 0))
    else:
        at = int(limited[0]) if len(limited) else 0
        measure = np.log1p(merged.cost[names.index("size") if "size" in names else at])
    width = len(problem.formats)
    count = np.maximum(np.bincount(merged.format_of, minlength=width), 1)
    lengths = np.diff(merged.start)
    # means by turns solve the least squares; groups that have all formats need one
    rate = np.zeros(width)
    for _ in range(FIT_ROUNDS):
        rest = measure - rate[merged.format_of]
        group = np.add.reduceat(rest, merged.start[:-1]) / lengths
        rest = measure - group[merged.group_of]
        rate = np.bincount(merged.format_of, weights=rest, minlength=width) / count
    return np.argsort(rate, kind="stable").astype(np.int64)


def uniform(problem: BitsProblem) -> BitsPlan | None:
    """Return the best single format within all budgets, or None if none is."""
    rows = [row for row in uniform_table(problem) if row.feasible]
    return min(rows, key=lambda row: row.loss).plan if rows else None


# -- step by step --------------------------------------------------------------------------------


def greedy(problem: BitsProblem) -> BitsPlan | None:
    """Climb from the cheapest options by the best next steps; None if no start is found."""
    return _climb(problem, convex=False)


def hull_greedy(problem: BitsProblem) -> BitsPlan | None:
    """Climb from the cheapest options along lower convex hulls; None if no start is found."""
    return _climb(problem, convex=True)


def _climb(problem: BitsProblem, convex: bool) -> BitsPlan | None:
    try:
        reduced = reduce(problem)
    except InfeasibleError:
        return None
    if not len(reduced.budget):
        return reduced.lift(problem, least(reduced, reduced.quanta))
    price = prices(reduced)
    choice = repair(reduced, least(reduced, price))
    if choice is None:
        return None
    return reduced.lift(problem, climb(reduced, price, choice, convex=convex))


def least(reduced: Reduced, value: IntArray | FloatArray) -> IntArray:
    """Return int64[n]: the option of least value in every group, the least lossy among equals."""
    low = np.minimum.reduceat(value, reduced.start[:-1])[reduced.group_of]
    quanta = np.where(value == low, reduced.quanta, np.iinfo(np.int64).max)
    best = np.minimum.reduceat(quanta, reduced.start[:-1])[reduced.group_of]
    at = np.flatnonzero((value == low) & (quanta == best))
    # written backwards, the first of equals stays
    choice = np.empty(reduced.n_groups, dtype=np.int64)
    choice[reduced.group_of[at[::-1]]] = at[::-1]
    return choice


def prices(reduced: Reduced) -> IntArray:
    """Return int64[m]: one price for every option, standing for all its costs.

    For one budget its cost. For several the costs above the group's cheapest, each as a share of
    the room its budget leaves, weighted: weights grow where the choice of least price exceeds a
    budget (multiplicative updates, Plotkin, Shmoys and Tardos 1995) until it fits.
    """
    if len(reduced.budget) == 1:
        price: IntArray = reduced.cost[0]
        return price
    share = _shares(reduced)
    weight = np.ones(len(share))
    for _ in range(PRICE_ROUNDS):
        total = weight @ share
        use = share[:, least(reduced, total)].sum(axis=1)
        if (use <= 1.0).all():
            break
        weight *= np.exp(np.clip(use - 1.0, -1.0, 1.0) / 2)
        weight /= weight.sum()
    top = float(total.max())
    return np.rint(total * (2**PRICE_BITS / top if top > 0 else 0.0)).astype(np.int64)


def _shares(reduced: Reduced) -> FloatArray:
    """Return float64[k, m]: costs above the cheapest, as a share of what budgets leave for that."""
    low = np.minimum.reduceat(reduced.cost, reduced.start[:-1], axis=1)
    room = np.maximum(reduced.budget - low.sum(axis=1), 1)
    return np.asarray((reduced.cost - low[:, reduced.group_of]) / room[:, None])


def repair(reduced: Reduced, choice: IntArray) -> IntArray | None:
    """Return a choice within all budgets near another one, or None where moves lead to none.

    While a budget is exceeded, the group changes option that takes most of the excess away.
    """
    choice = choice.copy()
    share = _shares(reduced)
    for _ in range(REPAIR_MOVES):
        over = reduced.cost[:, choice].sum(axis=1) - reduced.budget
        if (over <= 0).all():
            return choice
        use = share[:, choice].sum(axis=1)[:, None] - share[:, choice][:, reduced.group_of] + share
        excess = np.maximum(use - 1.0, 0.0).sum(axis=0)
        to = int(excess.argmin())
        if excess[to] >= excess[choice].min():
            return None
        choice[reduced.group_of[to]] = to
    return None


def climb(reduced: Reduced, price: IntArray, choice: IntArray, *, convex: bool) -> IntArray:
    """Return a better choice within the budgets, by steps to costlier options.

    Steps are taken by falling loss saved per price, or under the max objective from the group
    that loses most. A step that exceeds a budget ends the climb of its group.

    Parameters
    ----------
    reduced : Reduced
    price : int64[m]
    choice : int64[n]
        Within all budgets.
    convex : bool
        Step along the lower convex hull instead of to the next option that loses less.
    """
    ladder = _ladders(reduced, price, choice, convex)
    row = ladder.row_of
    first = np.flatnonzero(row[1:] == row[:-1])
    below, to = ladder.values[first], ladder.values[first + 1]
    if reduced.objective == MAX:
        worth = reduced.quanta[below].astype(np.float64)
    else:
        saved = reduced.quanta[below] - reduced.quanta[to]
        # a step is reached when those before it are taken: none counts for more than they do
        worth = _running_least(saved / (price[to] - price[below]), row[first])
    order = np.argsort(-worth, kind="stable")
    return _take(reduced, choice.copy(), below[order], to[order])


def _take(reduced: Reduced, choice: IntArray, below: IntArray, to: IntArray) -> IntArray:
    """Take steps in the given order as far as budgets allow, skipping what does not fit."""
    used = reduced.cost[:, choice].sum(axis=1)
    group = reduced.group_of[to]
    delta = reduced.cost[:, to] - reduced.cost[:, below]
    while len(to):
        fits = (used[:, None] + np.cumsum(delta, axis=1) <= reduced.budget[:, None]).all(axis=0)
        taken = len(to) if fits.all() else int(fits.argmin())
        choice[group[:taken]] = to[:taken]
        used = used + delta[:, :taken].sum(axis=1)
        to, group, delta = to[taken:], group[taken:], delta[:, taken:]
        # steps behind one that does not fit are out of reach
        stuck = (used[:, None] + delta > reduced.budget[:, None]).any(axis=0)
        position = np.arange(len(to))
        end = np.full(reduced.n_groups, len(to))
        np.minimum.at(end, group[stuck], position[stuck])
        keep = position < end[group]
        to, group, delta = to[keep], group[keep], delta[:, keep]
    return choice


def _ladders(reduced: Reduced, price: IntArray, choice: IntArray, convex: bool) -> Ragged:
    """Return the options from the chosen one up, by rising price and falling loss."""
    now = choice[reduced.group_of]
    keep = (price > price[now]) & (reduced.quanta < reduced.quanta[now])
    keep[choice] = True
    option = np.flatnonzero(keep)
    group = reduced.group_of[option]
    quanta = reduced.quanta[option] - reduced.quanta.min()
    if convex:
        start = np.zeros_like(reduced.start)
        np.cumsum(np.bincount(group, minlength=reduced.n_groups), out=start[1:])
        hull = lower_hull(start, price[option], quanta)
        return Ragged(hull.start, option[hull.values])
    order = np.lexsort((quanta, price[option], group))
    option, group, quanta = option[order], group[order], quanta[order]
    best = _running_least(quanta, group)
    better = np.ones(len(option), dtype=np.bool_)
    better[1:] = (group[1:] != group[:-1]) | (quanta[1:] < best[:-1])
    start = np.zeros_like(reduced.start)
    np.cumsum(np.bincount(group[better], minlength=reduced.n_groups), out=start[1:])
    return Ragged(start, option[better])


def _running_least(value: Numbers, group: IntArray) -> Numbers:
    """Return the least value so far within each group; groups are consecutive."""
    least_yet = value.copy()
    step = 1
    while step < len(value):
        same = group[step:] == group[:-step]
        if not same.any():
            break
        lower = np.minimum(least_yet[step:], least_yet[:-step])
        least_yet[step:] = np.where(same, lower, least_yet[step:])
        step *= 2
    return least_yet
