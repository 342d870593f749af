"""Re-deciding a few dozen groups at once: two lists of part choices, joined where they fit.

The groups that cost least to change are split in two halves. Each half lists its most promising
part choices; a pair of them is an improvement where costs fit the budgets and losses are lower.
A pair that improves leaves little of any budget unused - what is left, priced, is part of its
distance to the bound - so in a list sorted by the cost of one budget only a short window can
match. Two lists of 20,000 stand for 4e8 choices, of which a few million are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.models.bits.exchange import State, filled
from mapc.models.bits.grid import lowest
from mapc.models.bits.problem import FloatArray

LISTED = 16_000
"""Part choices kept of each half."""
GROUPS = 60
"""Groups re-decided at once."""
PAIRS = 1_000_000
"""Pairs looked at in one go."""
MOST_PAIRS = 8_000_000
"""Pairs looked at in one join."""
POOL = 6
"""Times ``GROUPS`` that later rounds draw from."""


@dataclass(frozen=True, eq=False)
class _Parts:
    """Part choices of some groups, one per column: rows, loss, costs and priced value."""

    groups: IntArray
    rows: NDArray[np.int16]
    loss: FloatArray
    cost: FloatArray
    value: FloatArray


def improved(
    state: State,
    multipliers: FloatArray,
    *,
    rounds: int = 12,
    listed: int = LISTED,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> State:
    """Re-decide groups round after round, first those cheapest to change, then drawn ones.

    Every other round the groups around them stand where the multipliers put them rather than
    where the best choice has them: a choice that met its budgets by raised multipliers is off in
    more groups than one round can put right.

    Parameters
    ----------
    state : State
        A feasible choice.
    multipliers : float64[k]
    rounds : int
    listed : int
        Part choices kept of each half.
    seed : int
    stop : callable
        Asked before each round and while pairs are looked at.

    Returns
    -------
    State
        The best choice; the one given where nothing better was found.
    """
    grid = state.grid
    value = grid.priced(multipliers)
    row, least = lowest(value)
    value -= least
    second = value.copy()
    second[row, np.arange(grid.n_groups)] = np.inf
    runner_up = second.min(axis=0)
    count = min(POOL * GROUPS, int(np.isfinite(runner_up).sum()))
    if count == 0 or not (multipliers > 0).any():
        return state
    near = np.argpartition(runner_up, count - 1)[:count]
    near = near[np.lexsort((near, runner_up[near]))]
    anchor = State(grid, row)
    random = np.random.default_rng(seed)
    for at in range(rounds):
        if stop():
            break
        base = anchor if at % 2 == 0 else state
        groups = near[:GROUPS]
        if at > 1 and count > GROUPS:
            groups = _drawn(near, random)
        # a short list first: its finds narrow the windows of the long one
        for length in (listed // 16, listed):
            found = _redecided(base, groups, value, multipliers, state.loss, length, stop)
            state = found or state
        if at and count <= GROUPS:
            break
    return filled(state)


def _drawn(near: IntArray, random: np.random.Generator) -> IntArray:
    """Draw groups, those cheapest to change more often, and keep their order."""
    chance = 1.0 / (8.0 + np.arange(len(near)))
    at = random.choice(len(near), GROUPS, replace=False, p=chance / chance.sum())
    return near[np.sort(at)]


def _redecided(
    base: State,
    groups: IntArray,
    value: FloatArray,
    multipliers: FloatArray,
    best: int,
    listed: int,
    stop: Callable[[], bool],
) -> State | None:
    """Return ``base`` with other options in some groups, if that is feasible and beats ``best``."""
    grid, own = base.grid, base.row[groups]
    room = base.slack + grid.cost[:, own, groups].sum(axis=1)
    current = best - base.loss + float(grid.loss[own, groups].sum())
    # priced: with what it leaves of the budgets, a pair that beats the best stays below this
    limit = best - base.loss + float(value[own, groups].sum() + multipliers @ base.slack)
    halves = [_list(base, groups[at::2], value, limit, listed) for at in (0, 1)]
    found = _join(halves[0], halves[1], room, current, limit, multipliers, stop)
    if found is None:
        return None
    rows = np.concatenate([part.rows[:, i] for part, i in zip(halves, found, strict=True)])
    changed = State(grid, base.row)
    changed.apply(rows.astype(np.int64), np.concatenate([part.groups for part in halves]))
    return changed


def _list(state: State, groups: IntArray, value: FloatArray, limit: float, listed: int) -> _Parts:
    """List the part choices of least priced value, all of them below ``limit``."""
    grid = state.grid
    rows = np.zeros((len(groups), 1), dtype=np.int16)
    loss, worth = np.zeros(1), np.zeros(1)
    cost = np.zeros((grid.n_budgets, 1))
    for at, group in enumerate(groups):
        options = np.flatnonzero(value[:, group] < limit)
        new = (worth[:, np.newaxis] + value[options, group]).ravel()
        keep = np.flatnonzero(new < limit)
        if len(keep) > listed:
            keep = keep[np.argpartition(new[keep], listed - 1)[:listed]]
        before, option = keep // len(options), options[keep % len(options)]
        rows = rows[:, before]
        rows[at] = option
        loss = loss[before] + grid.loss[option, group]
        cost = cost[:, before] + grid.cost[:, option, group]
        worth = new[keep]
    return _Parts(groups, rows, loss, cost, worth)


def _join(
    first: _Parts,
    second: _Parts,
    room: FloatArray,
    current: float,
    limit: float,
    multipliers: FloatArray,
    stop: Callable[[], bool],
) -> tuple[int, int] | None:
    """Return the pair with the least loss below ``current`` that fits the room, if any."""
    if not len(first.loss) or not len(second.loss):
        return None
    spread = multipliers * (first.cost.std(axis=1) + second.cost.std(axis=1))
    axis = int(spread.argmax())
    if not spread[axis] > 0:
        return None
    order = np.argsort(second.cost[axis], kind="stable")
    ladder = second.cost[axis, order]
    ranked = np.argsort(first.value, kind="stable")
    least = float(second.value.min())
    best, pair, looked, at = current, None, 0, 0
    while at < len(ranked) and looked < MOST_PAIRS and not stop():
        some = ranked[at : at + 4096]
        # what of the room may stay unused, priced, in a pair that beats the best
        unused = limit - (current - best) - first.value[some] - least
        top = room[axis] - first.cost[axis, some]
        high = np.searchsorted(ladder, top, side="right")
        low = np.searchsorted(ladder, top - np.maximum(unused, 0.0) / multipliers[axis])
        lengths = np.where(unused > 0, np.maximum(high - low, 0), 0)
        fit = max(1, int(np.searchsorted(np.cumsum(lengths), PAIRS, side="right")))
        at += fit
        lengths, low, some = lengths[:fit], low[:fit], some[:fit]
        total = int(lengths.sum())
        if not total:
            continue
        looked += total
        left = np.repeat(np.arange(len(some)), lengths)
        start = np.cumsum(lengths) - lengths
        right = order[np.arange(total) + np.repeat(low - start, lengths)]
        left = some[left]
        loss = first.loss[left] + second.loss[right]
        better = np.flatnonzero(loss < best)
        left, right = left[better], right[better]
        fits = np.ones(len(left), dtype=np.bool_)
        for own, other, most in zip(first.cost, second.cost, room, strict=True):
            fits &= own[left] + other[right] <= most
        if fits.any():
            kept = np.flatnonzero(fits)
            chosen = kept[int(loss[better[kept]].argmin())]
            best = float(loss[better[chosen]])
            pair = int(left[chosen]), int(right[chosen])
    return pair
