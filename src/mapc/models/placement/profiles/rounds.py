"""Rounds of searches over layers that only the objective ties together.

Under the expected step every layer is best for itself. Under the slowest profile's step, layers
are searched for weighted sums of profiles; the weights rise where profiles are slow, and among all
tables met, one for each layer is chosen so that the slowest profile is fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement.moves.rules import LayerRules
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of, tables_of
from mapc.models.placement.verify import verify
from mapc.models.placement.work.bounds import layer_bounds

STEPS = (20_000, 60_000, 200_000, 600_000, 1_000_000)
"""Moves per layer and round; the last number again and again while there is time."""
COUNTED = 3
"""Rounds without a clock."""
EFFORT = 40
"""Moves for every pair of a slot and what might come there; more are not tried in a round."""
CLOSE = 1e-4
"""Layers this near their bound are left alone in the first rounds, relative to it."""
KEPT = 12
"""Tables kept of every layer."""
ROUNDING = 1e-12
"""Relative error granted to the load limit, as the verifier grants it."""


class Layer(ABC):
    """Tables met in one layer, and how more are found.

    Parameters
    ----------
    problem : PlacementProblem
    layer : int
    rules : LayerRules
    table : int64[H, C]
        Obeys the rules.
    """

    def __init__(
        self, problem: PlacementProblem, layer: int, rules: LayerRules, table: IntArray
    ) -> None:
        self.problem, self.layer = problem, layer
        self.locked = np.ascontiguousarray(rules.locked(table))
        self.allowed = np.ascontiguousarray(rules.allowed)
        self.old = np.ones_like(self.allowed)
        self.tables = [np.ascontiguousarray(table)]
        self.costs = [self.peaks(table)]

    @abstractmethod
    def peaks(self, table: IntArray) -> FloatArray:
        """float64[P]: ticks of the busiest rank."""

    @abstractmethod
    def imbalance(self, table: IntArray) -> float:
        """Return the largest load of any profile as a multiple of its mean."""

    @abstractmethod
    def walk(
        self, table: IntArray, lam: FloatArray, steps: int, seed: int, done: Callable[[], bool]
    ) -> IntArray:
        """Return the best table met on a walk that starts at ``table``, by ``lam`` @ `peaks`."""

    def offer(self, table: IntArray) -> None:
        """Keep a table within the load limit unless one that is kept is as good throughout."""
        cost, limit = self.peaks(table), self.problem.max_imbalance
        if any((other <= cost).all() for other in self.costs):
            return
        if limit is not None and self.imbalance(table) > limit * (1 + ROUNDING):
            return
        self.tables.append(table.copy())
        self.costs.append(cost)

    def forget(self, lam: FloatArray, chosen: int) -> int:
        """Keep the best tables for weights, and the chosen one; return where that is now."""
        order = np.argsort([cost @ lam for cost in self.costs], kind="stable")[:KEPT]
        keep = sorted({*order.tolist(), chosen})
        self.tables = [self.tables[i] for i in keep]
        self.costs = [self.costs[i] for i in keep]
        return keep.index(chosen)


def improve(
    problem: PlacementProblem,
    search: Search,
    layers: Sequence[Layer],
    source: str,
    *,
    plan: Callable[[PlacementProblem, IntArray], PlacementPlan] = plan_of,
    speed: float = 1.0,
) -> None:
    """Search all layers in rounds and propose what they come to, until nothing helps.

    Without a clock there are `COUNTED` rounds.

    Parameters
    ----------
    problem : PlacementProblem
    search : Search
    layers : sequence of Layer
    source : str
        Name of the method.
    plan : callable
        Makes a plan of tables int64[L, H, C].
    speed : float
        Part of `STEPS` to try.
    """
    offer_plan(problem, search, layers)
    bounds = layer_bounds(problem)
    worst = problem.cost.profiles == WORST
    lam = np.ones(problem.n_profiles)
    chosen = choose(layers, worst)
    offer(problem, search, plan(problem, assemble(layers, chosen)), source)
    before, n = np.inf, 0
    while not search.done() and not (search.deterministic and n == COUNTED):
        size = layers[0].tables[0].size
        steps = min(
            int(STEPS[min(n, len(STEPS) - 1)] * speed), EFFORT * size * (size + problem.n_experts)
        )
        for at, layer in enumerate(layers):
            cost, least = layer.costs[chosen[at]] @ lam, bounds[:, at] @ lam
            if cost > least * (1 + (CLOSE if n < COUNTED else 0.0)):
                start = layer.tables[int(np.argmin(layer.costs @ lam))]
                layer.offer(layer.walk(start, lam, steps, search.seed + n, search.done))
            if search.done():
                break
        chosen = choose(layers, worst)
        offer(problem, search, plan(problem, assemble(layers, chosen)), source)
        times = total(layers, chosen)
        chosen = [layer.forget(lam, i) for layer, i in zip(layers, chosen, strict=True)]
        if worst:
            lam = reweighted(lam, times, float(bounds.sum(axis=1).max()))
        n += 1
        value = times.max() if worst else times.sum()
        if n >= COUNTED and value >= before * (1 - 1e-9):
            break
        before = value


def offer(problem: PlacementProblem, search: Search, plan: PlacementPlan, source: str) -> None:
    """Propose a plan unless it breaks the load limit, as the tables a search starts from may."""
    if problem.max_imbalance is None or not verify(problem, plan).violations:
        search.propose(plan, source)


def offer_plan(problem: PlacementProblem, search: Search, layers: Sequence[Layer]) -> None:
    """Offer every layer what the best plan so far has there."""
    if search.plan is not None:
        for layer, table in zip(layers, tables_of(problem, search.plan), strict=True):
            layer.offer(table)


def total(layers: Sequence[Layer], chosen: Sequence[int]) -> FloatArray:
    """float64[P]: ticks of every profile over all layers."""
    costs = [layer.costs[i] for layer, i in zip(layers, chosen, strict=True)]
    return np.asarray(np.sum(costs, axis=0))


def assemble(layers: Sequence[Layer], chosen: Sequence[int]) -> IntArray:
    """int64[L, H, C]: one table for each layer."""
    return np.stack([layer.tables[i] for layer, i in zip(layers, chosen, strict=True)])


def reweighted(lam: FloatArray, times: FloatArray, floor: float) -> FloatArray:
    """Return weights that rise where profiles are slow.

    A profile's weight changes as its time above ``floor``, which no slowest profile falls below,
    relative to the mean of these times; at most by half and by three at once.
    """
    above = np.maximum(times - floor, 0.0)
    if above.mean() <= 0:
        return lam
    lam = lam * np.clip(above / above.mean(), 0.5, 3.0)
    return np.asarray(lam / lam.mean())


def choose(layers: Sequence[Layer], worst: bool) -> list[int]:
    """Return one table for each layer: the least sum, or the fastest slowest profile.

    The latter starts from the best of a few dozen weightings and then changes single layers.
    """
    width = max(len(layer.costs) for layer in layers)
    costs = np.full((len(layers), width, len(layers[0].costs[0])), np.inf)
    for at, layer in enumerate(layers):
        costs[at, : len(layer.costs)] = layer.costs
    rows = np.arange(len(layers))
    if not worst:
        return [int(i) for i in costs.sum(axis=2).argmin(axis=1)]
    lam, best, least = np.ones(costs.shape[2]), np.zeros(len(layers), dtype=np.int64), np.inf
    for _ in range(60):
        pick = (costs @ lam).argmin(axis=1)
        times = costs[rows, pick].sum(axis=0)
        if times.max() < least:
            best, least = pick, times.max()
        spread = times.max() - times.min()
        if spread <= 0:
            break
        lam = lam * np.exp(0.2 * (times - times.mean()) / spread)
        lam /= lam.mean()
    improved = True
    while improved:
        improved = False
        for at in range(len(layers)):
            times = costs[rows, best].sum(axis=0) - costs[at, best[at]]
            values = (times + costs[at]).max(axis=1)
            if values.min() < values[best[at]] * (1 - 1e-12):
                best[at] = values.argmin()
                improved = True
    return [int(i) for i in best]
