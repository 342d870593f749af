"""The Lagrangian dual of several budgets, by cutting planes in the space of their prices.

Pricing the budgets with ``v >= 0`` makes the groups independent, and
``L(v) = sum_i min_j (q_ij + v c_ij) - v b`` is a concave bound on every feasible choice. Each
evaluation gives a plane that ``L`` lies under; the highest point under all planes is where to
look next (Kelley 1960), half way back to the best point seen (in-out separation, Ben-Ameur and
Neto 2007), without which the points swing from end to end. The tiny master problem is solved in
its dual form, a convex combination of choices that keeps the budgets on average, by the simplex
method on ``k + 1`` rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.grid import Grid, lowest
from mapc.models.bits.problem import FloatArray

MAX_PIVOTS = 500
ROUNDS = 120
NEAR = 0.02
"""How far around a start the first points are, relative to it."""
TOLERANCE = 1e-10
"""Of the objective: nearer than this to the master, the dual counts as solved."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What an oracle says at some multipliers.

    Attributes
    ----------
    loss : float
        Total loss of the minimising choice.
    excess : float64[k]
        Its cost minus the room of every budget.
    row : int64[n]
        The choice.
    """

    loss: float
    excess: FloatArray
    row: IntArray


class Oracle(Protocol):
    """Minimises loss plus priced costs over all choices."""

    loss_scale: float
    cost_scale: FloatArray

    def __call__(self, multipliers: FloatArray) -> Answer:
        """Return the minimising choice at some multipliers, float64[k]."""


@dataclass(frozen=True, eq=False)
class Dual:
    """The dual, solved as far as it went.

    Attributes
    ----------
    multipliers : float64[k]
        The best found.
    row : int64[n]
        A minimiser there.
    trail : float64[t, k]
        All multipliers tried, the best bound last.
    rounds : int
    hopeless : bool
        The bound rose above every loss there is: no choice keeps the budgets.
    """

    multipliers: FloatArray
    row: IntArray
    trail: FloatArray
    rounds: int
    hopeless: bool


class GridOracle:
    """The oracle of independent groups."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.loss_scale, self.cost_scale = grid.loss_scale, grid.cost_scale

    def __call__(self, multipliers: FloatArray) -> Answer:
        """Return the cheapest option of every group."""
        grid = self.grid
        row, _ = lowest(grid.priced(multipliers))
        across = np.arange(grid.n_groups)
        excess = [float(own[row, across].sum()) for own in grid.cost]
        room = np.array(grid.room, dtype=np.float64)
        return Answer(float(grid.loss[row, across].sum()), np.array(excess) - room, row)


def maximise(
    oracle: Oracle,
    rounds: int = ROUNDS,
    stop: Callable[[], bool] = lambda: False,
    tolerance: float = TOLERANCE,
    start: FloatArray | None = None,
) -> Dual:
    """Maximise the dual.

    Parameters
    ----------
    oracle : Oracle
    rounds : int
        Most evaluations of the oracle.
    stop : callable
        Asked before each.
    tolerance : float
        Relative distance between the best value and the master at which to stop.
    start : float64[k], optional
        Multipliers that are near the best ones; points around them are tried first.
    """
    unit, loss_scale = oracle.cost_scale, oracle.loss_scale
    k = len(unit)
    ceiling = 1.0 + 1.0 / 1024
    master = _Master(k, ceiling)
    centre, best, best_row = np.zeros(k), -np.inf, np.zeros(0, dtype=np.int64)
    step, trail, done = 0.5, [], 0
    first = [np.zeros(k)] if start is None else _around(start * unit / loss_scale)
    point = first.pop()
    while done < rounds and not (done and stop()):
        answer = oracle(point * loss_scale / unit)
        done += 1
        loss, excess = answer.loss / loss_scale, answer.excess / unit
        value = loss + float(point @ excess)
        trail.append(point)
        if value > best:
            centre, best, best_row = point, value, answer.row
        master.add(loss, excess)
        height, outer = master.solve()
        if height - best <= tolerance * max(abs(height), 1e-12) or best > 1.0 + 1e-6:
            break
        if first:
            point = first.pop()
            continue
        # a plane that leaves the master's point as it was: the step back was too long
        cut_off = loss + float(outer @ excess) < height
        step = 0.5 if cut_off else min(1.0, step * 2)
        point = centre + step * (outer - centre)
    trail.append(centre)
    prices = np.array(trail) * loss_scale / unit
    return Dual(prices[-1], best_row, prices, done, bool(best > 1.0))


def _around(point: FloatArray) -> list[FloatArray]:
    """Return a point, last, and points a little below and above it in every coordinate."""
    shifts = NEAR * np.diag(np.maximum(point, point.max(initial=0.0) * NEAR))
    return [*(point + shifts), *np.maximum(point - shifts, 0.0), point]


class _Master:
    """Choices weighed so that they keep the budgets on average, at the least loss.

    Columns: slacks, then the artificial choice of height ``ceiling`` that keeps every budget
    (it bounds the dual before enough planes are known), then the choices of the oracle.
    """

    def __init__(self, k: int, ceiling: float) -> None:
        self.columns = [np.append(unit, 0.0) for unit in np.eye(k)]
        self.columns.append(np.append(np.zeros(k), 1.0))
        self.costs = [0.0] * k + [ceiling]
        self.basis = list(range(k + 1))
        self.side = np.append(np.zeros(k), 1.0)

    def add(self, loss: float, excess: FloatArray) -> None:
        """Add a choice."""
        self.columns.append(np.append(excess, 1.0))
        self.costs.append(loss)

    def solve(self) -> tuple[float, FloatArray]:
        """Return the height of the master and the multipliers where it is reached."""
        table = np.array(self.columns).T
        cost = np.array(self.costs)
        k = len(self.side) - 1
        for pivot in range(MAX_PIVOTS):
            basis = table[:, self.basis]
            price = np.linalg.solve(basis.T, cost[self.basis])
            reduced = cost - price @ table
            reduced[self.basis] = 0.0
            if reduced.min() >= -1e-14:
                break
            # the first rather than the steepest column after many pivots, so as not to cycle
            steep = int(reduced.argmin()) if pivot < MAX_PIVOTS // 2 else -1
            entering = steep if steep >= 0 else int(np.argmax(reduced < -1e-14))
            amount = np.linalg.solve(basis, self.side)
            change = np.linalg.solve(basis, table[:, entering])
            falling = change > 1e-11
            if not falling.any():
                break
            ratio = np.full(k + 1, np.inf)
            ratio[falling] = np.maximum(amount[falling], 0.0) / change[falling]
            self.basis[int(ratio.argmin())] = entering
        return float(price[k]), np.maximum(-price[:k], 0.0)
