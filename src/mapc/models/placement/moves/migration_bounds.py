"""What a migration budget cannot go below.

Under equal dispatch the work of a layer with at most k new pairs is bounded by Lagrangian duality.
Let a table hold expert e on the ranks R_e; r = abs(R_e), item a_e(r) for one of r replicas, and L_h
the load of rank h, s_h (slowness) times the sum of its items. For weights w_h >= 0 of sum 1, rents
v_h of any sign and a fee m >= 0, the largest load is at least ::

    sum_h w_h L_h + sum_h v_h (slots used on h - C) + m (new pairs - k)

because the first sum is a mean of loads, the second is zero and the third is not above zero. The
sum falls apart into experts, ``sum over h in R_e of (w_h s_h a_e(abs(R_e)) + v_h + m new[e, h])``,
and the least over all sets R_e of every expert by itself is not more than what the table pays. So

    D(w, v) - m k,  D = sum_e least(e) - C sum_h v_h

is a bound for every k at once, whatever w, v and m are. Several rows of work have weights each,
whose sum over the rows and ranks of a profile is what the profile counts for. The best weights are
found by subgradient steps; they need not be optimal for the bound to hold, and each step leaves a
line of its own. The best of them is the bound of the linear program over sets of ranks.

With no new pair the table is known, and with one the best table is found by enumeration, so these
two points are exact where nothing has to be mended. Layers share the budget: the least sum of
bounds over all ways to spread it, by the same dynamic programming as plans are made by, is a bound
for the problem.
"""

from __future__ import annotations

import numpy as np

from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.moves.layer_tables import LayerTables, load_kernels
from mapc.models.placement.moves.migration import spread
from mapc.models.placement.moves.rules import feasible_tables
from mapc.models.placement.problem import EQUAL, WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import Rows, rows_of

PRICING = "mapc.models.placement.moves.pricing_kernels"

SHARE = 0.3
"""Part of the time left that may go into prices."""
ITERATIONS = 150
"""Subgradient steps per layer."""
PATIENCE, MOMENTUM, SCALE = 10, 0.7, 0.1
"""Steps in vain before shorter ones, part of the last direction that is kept, and the unit of rents
and fees beside that of weights."""
FAR = 10
"""New pairs per layer beyond which prices are not worth finding: the bound that holds for any
number of moves is as good."""
MARGIN = 1e-11
"""Relative part of a bound given up for rounding in its sums of some thousand terms."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Prove what no plan within the budget can go below; for equal dispatch."""
    if problem.current is None or problem.max_moves is None or problem.dispatch != EQUAL:
        return
    if load_kernels(search.done) is None or load(PRICING, search.done) is None:
        return
    if problem.max_moves == 0 and search.objective is not None:
        search.prove(search.objective, "migration-floor")  # there is no other plan
        return
    bound = budget_bound(problem, search)
    if bound is not None:
        search.prove(bound * problem.tick, "migration-floor")


def budget_bound(problem: PlacementProblem, search: Search | None = None) -> float | None:
    """Return the least objective, in ticks, of any plan within the budget of moves.

    Valid under equal dispatch, with any traffic: transfers only add to it. Layers for which no
    time is left count with the bound that holds for any number of moves.
    """
    kernels = load_kernels()
    assert problem.max_moves is not None
    assert kernels is not None, "without a condition to give up, kernels load"
    rules, tables = feasible_tables(problem)
    rows, worst = rows_of(problem), problem.cost.profiles == WORST
    lam = np.ones(problem.n_profiles) / (problem.n_profiles if worst else 1)
    shrink = rounding(rows)
    anything = _floors(problem) @ lam if problem.n_profiles else np.zeros(problem.n_layers)
    least = [rule.new_pairs(table) for rule, table in zip(rules, tables, strict=True)]
    slack = problem.max_moves - sum(least)
    reserve = 0.0 if search is None else search.remaining() * (1 - SHARE)
    curves = []
    for layer, (rule, table) in enumerate(zip(rules, tables, strict=True)):
        most = min(least[layer] + slack, table.size)
        curve = np.full(most + 1, anything[layer])
        curve[: least[layer]] = np.inf
        if search is None or not search.done():
            known = LayerTables(kernels, rows, layer, rule, lam)
            known.offer(table)
            average = least[layer] + slack / problem.n_layers
            late = search is not None and search.remaining() < reserve
            curve = np.maximum(curve, lines(known, most, np.inf if late else average, shrink))
        curves.append(curve)
    caps = spread([np.minimum.accumulate(curve) for curve in curves], problem.max_moves)
    if caps is None:
        return None
    work = float(sum(curve[: cap + 1].min() for curve, cap in zip(curves, caps, strict=True)))
    fixed = float(problem.layer_ticks @ lam) * problem.n_layers
    # work of a layer and profile is rounded to a whole tick
    rounded = work * (1 - MARGIN) - problem.n_layers * float(lam.sum())
    return float(np.floor(max(rounded, 0.0) + fixed * (1 - MARGIN)))


def rounding(rows: Rows) -> FloatArray:
    """float64[K]: least ratio of the whole ticks that count to those that rows are made of."""
    problem = rows.problem
    exact = np.empty((rows.n_rows, len(problem.live)))
    whole = np.empty_like(exact)
    for k, (p, activated) in enumerate(zip(rows.profile, rows.activated, strict=True)):
        ticks = problem.expert_ticks if activated else problem.token_ticks
        unit = problem.cost.expert / problem.scale[p] if activated else problem.cost.token
        exact[k] = problem.factor[p] * unit * rows.slowness / problem.tick
        whole[k] = ticks[p, problem.live]
    ratio = np.where(exact > 0, whole / np.where(exact > 0, exact, 1.0), 1.0)
    return np.asarray(ratio.min(axis=1))


def _floors(problem: PlacementProblem) -> FloatArray:
    """float64[L, P]: bounds in ticks for any number of moves."""
    from mapc.models.placement.work.bounds import layer_bounds

    return np.asarray(layer_bounds(problem).T)


def lines(known: LayerTables, most: int, average: float, shrink: FloatArray) -> FloatArray:
    """float64[most + 1]: bounds in ticks on the value of a layer with at most 0, 1, ... new pairs.

    Parameters
    ----------
    known : LayerTables
        With a table of the fewest new pairs.
    most : int
    average : float
        New pairs about which the bound should be good; where that is far, prices are not sought.
    shrink : float64[K]
        As `rounding` returns it.
    """
    unit = float((known.unit * known.lam).sum())
    curve = np.zeros(most + 1)
    if average <= FAR:
        table, near = known.best(), int(average) + 1
        known.descend(table, 6, (known.new_pairs(table), 1, near + 1))  # what to aim at
        curve = _Dual(known, shrink).ascend(most, average) * unit
    if 0 in known.entries:  # nothing has to be mended: two points are exact
        exact = float(shrink.min())
        curve[0] = max(curve[0], known.values(0)[0] * exact)
        if most >= 1:
            table = known.best(0).copy()
            known.kernels.descent.single(
                table, known.item, known.rows.slowness, known.profile, known.weight,
                known.rules.pinned, known.rules.allowed, known.old, 1,
            )  # fmt: skip
            value = float(known.measure(table).peaks @ known.lam)
            curve[1] = max(curve[1], min(value, known.values(0)[0]) * exact)
    return np.maximum(curve, 0.0)


class _Dual:
    """Prices of one layer, and the lines that they make."""

    def __init__(self, known: LayerTables, shrink: FloatArray) -> None:
        self.known, self.rules = known, known.rules
        pricing = load(PRICING)
        assert pricing is not None, "without a condition to give up, kernels load"
        self.relax = pricing.relax
        self.item = np.ascontiguousarray(known.item * shrink)
        self.slowness = known.rows.slowness[:, None]
        self.used = np.empty(self.rules.n_ranks, dtype=np.int64)
        self.load = np.empty((self.rules.n_ranks, self.item.shape[2]))
        self.new = np.empty(1, dtype=np.int64)

    def ascend(self, most: int, average: float) -> FloatArray:
        """float64[most + 1]: the best lines of a number of subgradient steps.

        Steps go as far as Polyak's towards the value of a known table, with some of the direction
        before; after a few in vain they start again from the best prices and are shorter.
        """
        known, slots = self.known, self.rules.slots
        at = np.arange(most + 1)
        curve, best = np.full(most + 1, -np.inf), -np.inf
        prices = kept = (self._start(), np.zeros(self.rules.n_ranks), 0.02)
        ahead = (np.zeros(self.item.shape[2]), np.zeros(self.rules.n_ranks), 0.0)
        target = min(float(entry.peaks @ known.lam) for entry in known.entries.values())
        target /= float((known.unit * known.lam).sum())
        pace, vain = 1.0, 0
        for _ in range(ITERATIONS):
            price, rent, fee = prices
            value = self.relax(
                self.item, np.ascontiguousarray(price * self.slowness), rent, fee,
                self.rules.pinned, self.rules.allowed, known.old, self.used, self.load, self.new,
            ) - slots * float(rent.sum())  # fmt: skip
            curve = np.maximum(curve, value - fee * at)
            here, vain = value - fee * average, vain + 1
            if here > best + 1e-6:
                best, kept, vain = here, prices, 0
            if vain == PATIENCE:
                prices, pace, vain = kept, pace * 0.6, 0
            slope = self.load * self.slowness
            ahead = (
                MOMENTUM * ahead[0] + slope - slope.mean(axis=0),
                MOMENTUM * ahead[1] + SCALE * (self.used - float(slots)),
                MOMENTUM * ahead[2] + SCALE * (float(self.new[0]) - average),
            )
            length = float((ahead[0] ** 2).sum() + ahead[1] @ ahead[1] + ahead[2] ** 2)
            if length <= 0:
                break
            step = pace * max(target - here, 1e-4) / length
            prices = (
                self._project(prices[0] + step * ahead[0]),
                prices[1] + SCALE * step * ahead[1],
                max(prices[2] + SCALE * step * ahead[2], 0.0),
            )
        return curve

    def _start(self) -> FloatArray:
        """float64[H, K]: most weight where the table known is hottest."""
        table, item = self.known.best(), self.item
        copies = np.bincount(table.ravel(), minlength=self.rules.n_experts)
        load = item[table, copies[table] - 1].sum(axis=1) * self.slowness
        top = np.maximum(load.max(axis=0), np.finfo(np.float64).tiny)
        return self._project((load / top) ** 16)

    def _project(self, price: FloatArray) -> FloatArray:
        """Return the nearest prices >= 0 whose sum over each profile is its weight."""
        found = np.zeros_like(price)
        for p, total in enumerate(self.known.weight):
            columns = np.flatnonzero(self.known.profile == p)
            values = price[:, columns].ravel()
            ordered = np.sort(values)[::-1]
            excess = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
            last = int(np.flatnonzero(ordered > excess)[-1]) if total > 0 else 0
            part = np.maximum(values - excess[last], 0.0)
            # sums are exact only to rounding: a sum below the total keeps the bound valid
            part *= total / part.sum() if part.sum() > 0 else 0.0
            found[:, columns] = part.reshape(-1, len(columns))
        return found
