"""Feasible choices near the multipliers of the dual: repair, fill up, exchange in pairs.

At good multipliers nearly every group sits at its cheapest priced option already. What is lost
lies in the few groups that the budgets split, so the moves worth looking at are those whose priced
value is hardly above the least, and two of them at a time use budgets up far better than one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.grid import Grid, lowest
from mapc.models.bits.problem import FloatArray

MOVES = 1200
"""Moves whose pairs are looked at."""
CHUNK = 256
HALVINGS = 24
REPAIRS = 400


class State:
    """A choice of rows of a grid, with its loss and slack kept in whole numbers."""

    def __init__(self, grid: Grid, row: IntArray) -> None:
        self.grid = grid
        self.row = row.copy()
        self.loss, costs = grid.totals(row)
        room = np.array(grid.room, dtype=np.float64)
        self.slack = room - np.array(costs, dtype=np.float64)

    @property
    def feasible(self) -> bool:
        """Whether every budget holds."""
        return min(self.grid.slack(self.row), default=0) >= 0

    @property
    def quanta(self) -> int:
        """Total loss in quanta."""
        return self.grid.base + self.loss

    def apply(self, rows: IntArray, groups: IntArray) -> None:
        """Move some groups, each once, to other rows."""
        grid, old = self.grid, self.row[groups]
        step = grid.loss[rows, groups] - grid.loss[old, groups]
        self.loss += int(step.astype(np.int64).sum())
        costs = grid.cost[:, rows, groups] - grid.cost[:, old, groups]
        self.slack -= costs.sum(axis=1)
        self.row[groups] = rows

    def steps(self) -> tuple[FloatArray, FloatArray]:
        """float64[width, n], float64[k, width, n]: change of loss and costs of every move."""
        grid, across = self.grid, np.arange(self.grid.n_groups)
        loss = grid.loss - grid.loss[self.row, across]
        return loss, grid.cost - grid.cost[:, self.row, across][:, np.newaxis]


def feasible_near(grid: Grid, multipliers: FloatArray, halvings: int = HALVINGS) -> State | None:
    """Return a feasible choice: multipliers raised as little as helps, then repaired.

    None where the repair does not end within the budgets, which proves nothing. ``halvings`` says
    how closely the least raise is looked for.
    """
    floor = 1e-3 * grid.loss_scale / grid.cost_scale
    tilt = np.maximum(multipliers, floor)

    def at(raised: float) -> State:
        return State(grid, lowest(grid.priced(multipliers + raised * tilt))[0])

    state = at(0.0)
    if state.feasible:
        return filled(state)
    low, high = 0.0, 1e-6
    while not (state := at(high)).feasible and high < 1e6:
        low, high = high, high * 8
    if state.feasible:
        for _ in range(halvings):
            middle = (low + high) / 2
            trial = at(middle)
            if trial.feasible:
                state, high = trial, middle
            else:
                low = middle
        return filled(state)
    state = repaired(State(grid, lowest(grid.priced(multipliers))[0]), multipliers)
    return filled(state) if state.feasible else None


def repaired(state: State, multipliers: FloatArray) -> State:
    """Move one group after another until the budgets hold, at the least price for what it mends."""
    grid = state.grid
    unit = grid.cost_scale[:, np.newaxis, np.newaxis]
    for _ in range(REPAIRS):
        if state.feasible:
            break
        loss, cost = state.steps()
        short = np.maximum(-state.slack, 0.0).sum(where=state.slack < 0)
        over = np.maximum(cost - state.slack[:, np.newaxis, np.newaxis], 0.0) / unit
        now = (np.maximum(-state.slack, 0.0) / grid.cost_scale).sum()
        mended = now - over.sum(axis=0)
        mended[~np.isfinite(loss)] = -1.0
        if short <= 0 or mended.max() <= 0:
            break
        price = loss + np.tensordot(multipliers, cost, axes=1)
        price = np.maximum(price, 0.0) + 1e-9 * grid.loss_scale
        rate = np.where(mended > 0, price / np.maximum(mended, 1e-300), np.inf)
        row, group = np.unravel_index(int(rate.argmin()), rate.shape)
        state.apply(np.array([row]), np.array([group]))
    return state


def filled(state: State) -> State:
    """Spend what is left of the budgets on moves that lower the loss, best rate first."""
    unit = state.grid.cost_scale
    while True:
        loss, cost = state.steps()
        fits = (cost <= state.slack[:, np.newaxis, np.newaxis]).all(axis=0) & (loss < 0)
        row, group = np.nonzero(fits)
        if not len(row):
            return state
        gain, need = loss[row, group], np.maximum(cost[:, row, group], 0.0)
        weight = 1.0 / np.maximum(state.slack, 1e-9 * unit)
        order = np.lexsort((gain, gain / np.maximum(weight @ need, 1e-300)))
        first = np.unique(group[order], return_index=True)[1]
        order = order[np.sort(first)]
        used = np.cumsum(need[:, order], axis=1)
        over = (used > state.slack[:, np.newaxis]).any(axis=0)
        count = int(np.argmax(over)) if over.any() else len(order)
        state.apply(row[order[:count]], group[order[:count]])


def exchanged(
    state: State,
    multipliers: FloatArray,
    moves: int = MOVES,
    stop: Callable[[], bool] = lambda: False,
) -> State:
    """Apply pairs of moves that lower the loss within the budgets, until there are none.

    Only the ``moves`` with the least priced step are paired.
    """
    grid = state.grid
    value = grid.priced(multipliers)
    while not stop():
        across = np.arange(grid.n_groups)
        step = value - value[state.row, across]
        step[state.row, across] = np.inf
        flat = step.ravel()
        count = min(moves, int(np.isfinite(flat).sum()))
        if count == 0:
            break
        picked = np.argpartition(flat, count - 1)[:count]
        row, group = np.unravel_index(picked, step.shape)
        if not _apply_pairs(state, row.astype(np.int64), group.astype(np.int64)):
            break
    return filled(state)


def _apply_pairs(state: State, row: IntArray, group: IntArray) -> int:
    """Apply the best pairs among some moves, as many as go together; return how many."""
    grid, old = state.grid, state.row[group]
    gain = grid.loss[row, group] - grid.loss[old, group]
    cost = grid.cost[:, row, group] - grid.cost[:, old, group]
    order = np.argsort(gain, kind="stable")
    row, group, gain, cost = row[order], group[order], gain[order], cost[:, order]
    left, right = _improving_pairs(gain, cost, group, state.slack)
    applied = 0
    while len(left):
        best = int(np.argmin(gain[left] + gain[right]))
        pair = np.array([left[best], right[best]])
        state.apply(row[pair], group[pair])
        applied += 1
        used = np.isin(group, group[pair])
        fits = (cost[:, left] + cost[:, right] <= state.slack[:, np.newaxis]).all(axis=0)
        keep = fits & ~used[left] & ~used[right]
        left, right = left[keep], right[keep]
    return applied


def _improving_pairs(
    gain: FloatArray, cost: FloatArray, group: IntArray, slack: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return pairs of moves, int64[p] each, that fit the slack and lower the loss.

    Gains come in ascending order, so that a row of pairs ends where its sum turns positive.
    """
    left, right = [], []
    end = np.searchsorted(gain, -gain, side="left")
    for at in range(0, len(gain), CHUNK):
        rows = slice(at, at + CHUNK)
        width = int(end[rows].max(initial=0))
        if width <= at:
            break
        good = gain[rows, np.newaxis] + gain[np.newaxis, :width] < 0
        for own, room in zip(cost, slack, strict=True):
            good &= own[rows, np.newaxis] + own[np.newaxis, :width] <= room
        first, second = np.nonzero(good)
        distinct = (first + at < second) & (group[first + at] != group[second])
        left.append(first[distinct] + at)
        right.append(second[distinct])
    none = np.zeros(0, dtype=np.int64)
    return np.concatenate([none, *left]), np.concatenate([none, *right])
