"""The best use of a migration budget over all layers.

Every layer has a curve: its least work with at most 0, 1, 2, ... new pairs of expert and rank.
Steepest descent under a rising cap draws it, annealing under a fixed cap lowers it, and dynamic
programming over the curves says which layer gets how much of the budget.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement.moves.layer_tables import Kernels, LayerTables, load_kernels
from mapc.models.placement.moves.relabelling import relabel
from mapc.models.placement.moves.rules import feasible_tables, mended, propose
from mapc.models.placement.problem import WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import rows_of, tables_of

NORMS = (4, 6, 8)
"""log2 of the powers of the norms by which curves are drawn."""
HEATS = tuple(
    np.array(stages, dtype=np.float64)
    for stages in (
        [[5, 1e-3, 5e-5], [7, 3e-4, 5e-6]],
        [[6, 1e-4, 3e-6]],
        [[5, 1e-2, 1e-4]],
        [[5, 3e-4, 1e-5]],
    )
)
"""Annealing schedules that take turns, as `mapc.models.placement.profiles.annealing.HEAT`."""
STEPS = 50_000
"""Steps of annealing per layer and round."""
ROUNDS = 4
"""Rounds of annealing without a clock, and those in vain after which it ends with one."""
LONGEST = 96
"""New pairs up to which curves are drawn one by one; beyond, a few at a time."""
GAIN = 1e-5
"""Relative improvement of a round that is worth another."""
REWEIGHTS = 12
"""Times that profiles are weighed anew where the slowest one counts."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Spend the budget of moves where it saves most work.

    Transfers are not looked at: under a traffic model what is found is proposed, and the verifier
    says whether it is better than what there is.
    """
    if problem.current is None or problem.max_moves is None:
        return
    kernels = load_kernels(search.done)
    if kernels is None:
        return
    migration = Migration(problem, kernels, search)
    propose(problem, search, migration.chosen(), "migrate")
    migration.offer_known()
    for doublings in NORMS:
        migration.draw(doublings, 0.5)
        migration.settle()
    migration.polish()
    migration.draw(NORMS[0], 1.0)
    migration.settle()
    from mapc.models.placement.moves import migration_bounds

    migration_bounds.run(problem, search)
    vain, turn = 0, 0
    while vain < ROUNDS and not search.done() and not (search.deterministic and turn == ROUNDS):
        before = migration.total()
        migration.anneal(HEATS[turn % len(HEATS)], turn)
        migration.settle()
        vain = 0 if migration.total() < before * (1 - GAIN) else vain + 1
        turn += 1


class Migration:
    """Curves of all layers, and how the budget is spread over them."""

    def __init__(self, problem: PlacementProblem, kernels: Kernels, search: Search) -> None:
        assert problem.max_moves is not None
        self.problem, self.search, self.budget = problem, search, problem.max_moves
        self.rules, tables = feasible_tables(problem)
        self.rows, self.kernels = rows_of(problem), kernels
        self.worst = problem.cost.profiles == WORST and problem.n_profiles > 1
        lam = np.ones(problem.n_profiles) / (problem.n_profiles if self.worst else 1)
        self.layers = [
            LayerTables(kernels, self.rows, layer, rule, lam)
            for layer, rule in enumerate(self.rules)
        ]
        for layer, table in zip(self.layers, tables, strict=True):
            layer.offer(table)
        self.least = np.array([layer.new_pairs(layer.best()) for layer in self.layers])
        self.caps = self.least.copy()
        self.tables = tables
        slack = self.budget - int(self.least.sum())
        mean = 3 * (-(-slack // problem.n_layers)) + 8
        self.most = np.minimum(self.least + min(slack, mean), tables[0].size)

    # -- drawing curves ----------------------------------------------------------------------------

    def offer_known(self) -> None:
        """Offer the best plan so far and, where the budget is large, a fresh one.

        The fresh one is balanced as if there were no budget, mended to obey the other rules, and
        its ranks are named so that little has to move.
        """
        from mapc.models.placement.work.balance import balance_tables

        problem, rows = self.problem, self.rows
        if self.search.plan is not None:
            for layer, table in zip(self.layers, tables_of(problem, self.search.plan), strict=True):
                layer.offer(table)
        if self.budget - self.least.sum() < problem.n_layers * problem.n_slots // 2:
            return
        fresh = balance_tables(
            rows.work.sum(axis=0),
            len(problem.live),
            problem.slots,
            slowness=rows.slowness,
            seed=self.search.seed,
            done=self.search.done,
        )
        fresh = relabel(problem, mended(self.rules, fresh))
        for layer, table in zip(self.layers, fresh, strict=True):
            layer.offer(table)
        self.settle()

    def draw(self, doublings: int, part: float = 1.0) -> None:
        """Descend from the placement in force while the cap rises, layer by layer.

        Parameters
        ----------
        doublings : int
            log2 of the power of the norm.
        part : float
            How far to go, of what a layer may need at most; the whole way only in layers that get
            nearly all that the half of it goes to.
        """
        for layer, least, most, cap in zip(
            self.layers, self.least, self.most, self.caps, strict=True
        ):
            if self.search.done():
                return
            if part == 1 and cap - least < 0.4 * (most - least):
                continue
            start, room = layer.best(int(least)), int((most - least) * part)
            near = min(room, LONGEST)
            layer.descend(start, doublings, (int(least), 1, near + 1))
            if room > near and part == 1:
                stride = max((room - near) // 8, 1)
                caps = (int(least) + near + stride, stride, (room - near) // stride)
                layer.descend(layer.best(int(least) + near), doublings, caps)

    def polish(self) -> None:
        """Try the truly best single change after every point of the curves that is of use."""
        for layer, now in zip(self.layers, self.caps, strict=True):
            for cap in range(1, int(min(now + 3, LONGEST)) + 1):
                if self.search.done():
                    return
                layer.single(cap)

    def anneal(self, heat: FloatArray, turn: int) -> None:
        """Anneal every layer at the part of the budget that it has, or near it."""
        shift = (0, 0, 1, 0, -1, 0, 2, -2)[turn % 8]
        for layer, cap, least, most in zip(
            self.layers, self.caps, self.least, self.most, strict=True
        ):
            if self.search.done():
                return
            at = int(np.clip(cap + shift, least, most))
            if layer.anneal(at, STEPS, heat, self.search.seed + turn):
                more = int(min(8, most - at))
                layer.descend(layer.best(at), NORMS[turn % 2], (at, 1, more + 1))
                layer.single(at + 1)

    # -- spreading the budget ----------------------------------------------------------------------

    def settle(self) -> None:
        """Spread the budget over the curves as they are now, and propose the plan."""
        for _ in range(REWEIGHTS if self.worst else 1):
            caps = spread([layer.values(m) for layer, m in self._curves()], self.budget)
            if caps is None:
                return
            self.caps = caps
            better = propose(self.problem, self.search, self.chosen(), "migrate")
            if not (self.problem.balance_only or better):
                self._try_less()
            if self.worst:
                self._reweigh()

    def _try_less(self) -> None:
        """Propose plans that spend less: what balance gains, transfers may lose."""
        whole = self.caps
        for part in (2, 4, 8):
            slack = (self.budget - int(self.least.sum())) // part
            caps = spread(
                [layer.values(m) for layer, m in self._curves()], int(self.least.sum()) + slack
            )
            if caps is not None:
                self.caps = caps
                propose(self.problem, self.search, self.chosen(), "migrate")
        self.caps = whole

    def _curves(self) -> list[tuple[LayerTables, int]]:
        return [(layer, max(layer.entries)) for layer in self.layers]

    def _reweigh(self) -> None:
        step = np.sum(
            [t.peaks(int(c)) for t, c in zip(self.layers, self.caps, strict=True)], axis=0
        )
        lam = self.layers[0].lam * np.clip(step / max(step.mean(), 1.0), 0.5, 2.0) ** 2
        for layer in self.layers:
            layer.weigh(lam / lam.sum())

    def chosen(self) -> IntArray:
        """int64[L, H, C]: the tables of the caps in force."""
        return np.stack([t.best(int(c)) for t, c in zip(self.layers, self.caps, strict=True)])

    def total(self) -> float:
        """Work in ticks of the plan: of all profiles, or of the slowest one."""
        step = np.sum(
            [t.peaks(int(c)) for t, c in zip(self.layers, self.caps, strict=True)], axis=0
        )
        return float(step.max() if self.worst else step.sum())


def spread(curves: Sequence[FloatArray], budget: int) -> IntArray | None:
    """Spread a budget over layers so that the values of their curves add up to least.

    Exact dynamic programming over layers and what is left of the budget; only the points at which
    a curve falls are looked at.

    Parameters
    ----------
    curves : sequence of float64[K_l + 1]
        Value with at most 0, 1, ... units; inf where that is not enough. None of them rises.
    budget : int

    Returns
    -------
    int64[L] or None
        Units of each layer, as few as its value needs; None if the budget is not enough.
    """
    budget = min(budget, sum(len(curve) - 1 for curve in curves))
    best = np.zeros(budget + 1)
    chosen = np.zeros((len(curves), budget + 1), dtype=np.int64)
    for layer, curve in enumerate(curves):
        falls = np.flatnonzero(curve < np.concatenate(([np.inf], curve[:-1])))
        total = np.full(budget + 1, np.inf)
        for units in falls[falls <= budget]:
            value = best[: budget + 1 - units] + curve[units]
            better = value < total[units:]
            total[units:][better] = value[better]
            chosen[layer, units:][better] = units
        best = total
    if np.isinf(best[budget]):
        return None
    caps, left = np.empty(len(curves), dtype=np.int64), budget
    for layer in range(len(curves) - 1, -1, -1):
        caps[layer] = chosen[layer, left]
        left -= int(caps[layer])
    return caps
