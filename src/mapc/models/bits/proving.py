"""Proof by listing what is left: options and part choices that could still beat the best plan.

At multipliers ``v`` an option costs its reduced price ``p_ij >= 0`` above the least priced value
of its group, and any choice loses at least ``L(v)`` plus the prices of its options. An option
whose price exceeds ``U - 1 - L(v)`` is in no choice better than ``U`` quanta; nor is a part choice
whose prices add up to more. Every multiplier gives such a test, and points on the way to the best
one prune part choices that spend the budgets in other proportions than it does. Groups are
decided one after another, those with the highest prices first, so that the lists stay short until
the end; when the last list is complete, the best choice in it, or the one known before, is
optimal. All comparisons give away what float64 could have got wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.bits.exchange import State
from mapc.models.bits.grid import Grid, lagrangian, lowest, rounding
from mapc.models.bits.problem import FloatArray

TESTS = 8
"""Multipliers that prune."""
STATES = 150_000
"""Part choices kept at a time before the listing is given up."""
WORK = 3_000_000
"""Part choices looked at in total."""


class Prices:
    """Reduced prices at several multipliers, and what they rule out.

    Attributes
    ----------
    price : float64[t, width, n]
        A little below the exact value, never above; infinite where a group has fewer options.
    bound : list of t int
        ``L`` at each multiplier.
    """

    def __init__(self, grid: Grid, trail: FloatArray, tests: int = TESTS) -> None:
        self.grid = grid
        last = trail[-1:]
        trail = np.unique(trail[:-1], axis=0)
        bounds = np.array([lagrangian(grid, v) for v in trail], dtype=np.float64)
        # points next to each other prune alike: take every so manyth of the better half
        better = np.argsort(-bounds, kind="stable")[: max(tests - 1, len(bounds) // 2)]
        some = better[np.unique(np.linspace(0, len(better) - 1, tests - 1).astype(int))]
        chosen = np.concatenate([last, trail[some] if len(trail) else trail])
        self.multipliers = chosen
        self.bound = [lagrangian(grid, v) for v in chosen]
        values = [grid.priced(v) for v in chosen]
        self.price = np.stack([v - lowest(v)[1] - 2 * rounding(grid, v) for v in values])

    def room(self, best: int) -> FloatArray:
        """float64[t]: prices of a choice better than ``best`` quanta add up to at most this."""
        return np.array([float(best - bound) for bound in self.bound])

    def open_options(self, best: int) -> BoolArray:
        """bool[width, n]: options that a choice better than ``best`` quanta could have."""
        room = self.room(best)[:, np.newaxis, np.newaxis]
        return np.asarray((self.price <= room).all(axis=0), dtype=np.bool_)


def listed(
    state: State,
    prices: Prices,
    *,
    states: int = STATES,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """List all choices better than a feasible one; move to the best of them.

    Returns
    -------
    bool
        Whether the list was complete: the state is optimal.
    """
    grid, best = state.grid, state.quanta
    open_ = prices.open_options(best)
    count = open_.sum(axis=0)
    if not count.all():
        # a group without a single option left: nothing beats the state
        return True
    row = np.argmax(open_, axis=0).astype(np.int64)
    free = np.flatnonzero(count > 1)
    settled = np.flatnonzero(count == 1)
    first = np.where(open_[:, free], prices.price[0][:, free], np.inf)
    free = free[np.argsort(-np.sort(first, axis=0)[1], kind="stable")]
    room = np.array(grid.room, dtype=np.float64)
    lists = _Lists(
        prices.room(best) - prices.price[:, row[settled], settled].sum(axis=1),
        room - grid.cost[:, row[settled], settled].sum(axis=1),
        states,
    )
    tails = _tails(grid, prices, open_, free)
    for at, group in enumerate(free):
        if stop() or lists.looked > WORK:
            return False
        options = np.flatnonzero(open_[:, group])
        lists.decide(
            prices.price[:, options, group],
            grid.cost[:, options, group],
            grid.loss[options, group],
            options,
            *(tail[:, at] for tail in tails),
        )
    found = lists.best()
    if found is not None:
        row[free] = found
        trial = State(grid, row)
        if trial.feasible and trial.quanta < best:
            state.apply(row, np.arange(grid.n_groups))
    return lists.complete


def _tails(
    grid: Grid, prices: Prices, open_: BoolArray, free: IntArray
) -> tuple[FloatArray, FloatArray]:
    """float64[t, f], float64[k, f]: least prices and costs of the groups after each free one."""
    tails = []
    for values in (prices.price, grid.cost):
        least = np.where(open_[:, free], values[:, :, free], np.inf).min(axis=1)
        after = np.cumsum(least[:, ::-1], axis=1)[:, ::-1]
        tails.append(np.hstack([after[:, 1:], np.zeros((len(after), 1))])[:, : len(free)])
    return tails[0], tails[1]


class _Lists:
    """Part choices of the groups decided so far, one per column."""

    def __init__(self, price_room: FloatArray, cost_room: FloatArray, states: int) -> None:
        self.price_room, self.cost_room, self.states = price_room, cost_room, states
        self.price = np.zeros((len(price_room), 1))
        self.cost = np.zeros((len(cost_room), 1))
        self.loss = np.zeros(1)
        self.steps: list[tuple[IntArray, IntArray]] = []
        self.looked, self.complete = 0, True

    def decide(
        self,
        price: FloatArray,
        cost: FloatArray,
        loss: FloatArray,
        options: IntArray,
        price_tail: FloatArray,
        cost_tail: FloatArray,
    ) -> None:
        """Extend every part choice by every option of a group, less those that cannot win."""
        width = len(options)
        old = len(self.loss)
        keep = np.ones(old * width, dtype=np.bool_)
        for own, step, most, tail in (
            *zip(self.price, price, self.price_room, price_tail, strict=True),
            *zip(self.cost, cost, self.cost_room, cost_tail, strict=True),
        ):
            keep &= (own[:, np.newaxis] + step).ravel() + tail <= most
        self.looked += old * width
        kept = np.flatnonzero(keep)
        before, option = kept // width, kept % width
        if len(kept) > self.states:
            self.complete = False
            value = self.price[0, before] + price[0, option]
            some = np.argpartition(value, self.states - 1)[: self.states]
            before, option = before[some], option[some]
        self.price = self.price[:, before] + price[:, option]
        self.cost = self.cost[:, before] + cost[:, option]
        self.loss = self.loss[before] + loss[option]
        self.steps.append((before, options[option]))

    def best(self) -> IntArray | None:
        """Return the rows of the part choice of least loss, group by group, if any is left."""
        if not len(self.loss):
            return None
        at, rows = int(self.loss.argmin()), []
        for before, option in reversed(self.steps):
            rows.append(int(option[at]))
            at = int(before[at])
        return np.array(rows[::-1], dtype=np.int64)
