"""Coordinate descent over layers: each is improved while its neighbours stay, in turn.

With the neighbours fixed, transfers are linear in where the experts of a layer sit: a linear
assignment of experts to slots finds the best of them, work aside; from there and from where it
was, a layer descends by swaps of two experts that lower the true objective, work, busiest links,
overlap and the slowest profile included. A layer is looked at again when a neighbour has changed.
At the end a few layers at a time are shaken, and kept when they come down lower.

Without replicas only. What comes out is never worse than what it started from.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.chains.state_costs import lives_on
from mapc.models.placement.chains.states import permitted, within_budget
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    HOME,
    WORST,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.rows import plan_of, rows_of

PASSES = 30
"""Over all pairs of experts in one visit to a layer."""
VISITS = 12
"""Visits to a layer until a start counts as settled."""
RESTARTS = 3
SHAKES = 6
"""Windows of layers shaken, per layer."""
WINDOW = 3
PAIRS = 1.3e8
"""Pairs of experts in all visits together, clock or not; one start at 58 x 256 takes 2e7."""


@dataclass(frozen=True, eq=False)
class Place:
    """A placement under descent: the rank of every expert and what its layers cost.

    Attributes
    ----------
    rank : int64[L, E]
        Live ranks.
    work, moved : float64[P, L]
        Ticks of the busiest rank, and of the transfers into each layer.
    """

    rank: IntArray
    work: FloatArray
    moved: FloatArray

    def copy(self) -> Place:
        """Return a copy of its own."""
        return Place(self.rank.copy(), self.work.copy(), self.moved.copy())


class Descent:
    """Visits to layers of a problem without replicas.

    Parameters
    ----------
    problem : PlacementProblem
    kernels : module
        ``coordinate_kernels``.
    assigned : module
        ``assignment_kernels``.
    """

    def __init__(self, problem: PlacementProblem, kernels: ModuleType, assigned: ModuleType):
        self.problem, self.kernels, self.assigned = problem, kernels, assigned
        self.rows = rows_of(problem)
        self.allowed = permitted(problem)
        live = problem.live
        self.pair = np.ascontiguousarray(problem.pair_ticks[:, live][:, :, live])
        ticks = [problem.expert_ticks if a else problem.token_ticks for a in self.rows.activated]
        self.unit = np.ascontiguousarray(
            [t[p, live] for t, p in zip(ticks, self.rows.profile, strict=True)]
        )
        cost = problem.cost
        self.flags = np.array([cost.links == BUSIEST, cost.overlap, cost.profiles == WORST])
        self.linked = problem.traffic == CHAIN and not problem.balance_only
        self.homed = problem.traffic == HOME and not problem.balance_only
        self.fixed = problem.layer_ticks * problem.n_layers
        self.visits_left = int(PAIRS / (problem.n_profiles * problem.n_experts**2))

    # -- costs -----------------------------------------------------------------------------------

    def place(self, rank: IntArray) -> Place:
        """Return a placement with its costs."""
        shape = (self.problem.n_profiles, self.problem.n_layers)
        place = Place(np.ascontiguousarray(rank), np.zeros(shape), np.zeros(shape))
        for layer in range(self.problem.n_layers):
            self.price(place, layer)
        return place

    def price(self, place: Place, layer: int) -> None:
        """Renew what a layer costs, and the transfers into the next one."""
        self._descend(place, layer, np.arange(self.problem.n_experts), rounds=0)

    def steps(self, place: Place) -> FloatArray:
        """float64[P, L]: ticks of every layer, its fixed part left out."""
        join = np.maximum if self.flags[1] else np.add
        return np.asarray(join(place.work, place.moved), dtype=np.float64)

    def objective(self, place: Place) -> float:
        """Return ticks, without rounding."""
        step = self.steps(place).sum(axis=1) + self.fixed
        return float(step.max() if self.flags[2] else step.sum())

    def masses(self, rank: IntArray, layer: int) -> tuple[FloatArray, FloatArray]:
        """Return tokens of a layer's experts by the rank they come from and go to.

        Returns
        -------
        coming, going : float64[P, H, E]
            Zero where a layer has no neighbour.
        """
        problem = self.problem
        shape = (problem.n_profiles, len(problem.live), problem.n_experts)
        coming, going = np.zeros(shape), np.zeros(shape)
        if self.homed:
            coming = lives_on(problem, layer)
        if self.linked:
            assert problem.transitions is not None
            grid = (len(problem.live), problem.slots)
            if layer:
                by_rank = problem.transitions[:, layer - 1, np.argsort(rank[layer - 1])]
                coming = by_rank.reshape(shape[0], *grid, -1).sum(axis=2).astype(np.float64)
            if layer + 1 < problem.n_layers:
                moved = problem.transitions[:, layer][:, :, np.argsort(rank[layer + 1])]
                summed = moved.reshape(shape[0], -1, *grid).sum(axis=3)
                going = np.ascontiguousarray(summed.transpose(0, 2, 1), dtype=np.float64)
        return coming, going

    # -- one layer -------------------------------------------------------------------------------

    def visit(self, place: Place, layer: int, rng: np.random.Generator, assign: bool) -> bool:
        """Improve one layer; whether it changed."""
        self.visits_left -= 1
        before, old = self.objective(place), place.rank[layer].copy()
        order = rng.permutation(self.problem.n_experts)
        other = place.copy() if assign else None
        self._descend(place, layer, order, PASSES)
        if other is not None:
            self._assign(other, layer)
            self._descend(other, layer, order, PASSES)
            if self.objective(other) < min(self.objective(place), before) - 0.5:
                for mine, theirs in zip(_arrays(place), _arrays(other), strict=True):
                    mine[:] = theirs
        return not np.array_equal(old, place.rank[layer])

    def _assign(self, place: Place, layer: int) -> None:
        """Put the experts of a layer where their transfers are least, work aside."""
        coming, going = self.masses(place.rank, layer)
        price = coming.transpose(0, 2, 1) @ self.pair
        price += going.transpose(0, 2, 1) @ self.pair.transpose(0, 2, 1)
        cost = np.where(self.allowed[layer], price.sum(axis=0), np.inf)
        slot = np.empty(self.problem.n_experts, dtype=np.int64)
        wide = np.ascontiguousarray(np.repeat(cost, self.problem.slots, axis=1))
        if self.assigned.assign(wide, slot):
            place.rank[layer] = slot // self.problem.slots

    def _descend(self, place: Place, layer: int, order: IntArray, rounds: int) -> None:
        """Swap experts of a layer while that helps, and renew its costs and the next one's."""
        problem = self.problem
        coming, going = self.masses(place.rank, layer)
        transposed = self.pair.transpose(0, 2, 1)
        last = layer + 1 == problem.n_layers
        steps = self.steps(place)
        steps[:, layer : layer + 2] = 0.0
        now = np.empty((problem.n_profiles, 3))
        after = np.zeros((problem.n_profiles, 1))
        if not last:
            after = np.ascontiguousarray(place.work[:, layer + 1 : layer + 2])
        self.kernels.descend(
            place.rank[layer],
            order,
            self.allowed[layer],
            np.ascontiguousarray(self.weight(layer)),
            self.unit,
            self.rows.profile,
            self.limit(layer),
            np.ascontiguousarray(coming.transpose(0, 2, 1) @ self.pair),
            np.ascontiguousarray(going.transpose(0, 2, 1) @ transposed),
            np.ascontiguousarray(coming),
            going,
            self.pair,
            np.ascontiguousarray(steps.sum(axis=1) + self.fixed)[:, None],
            after,
            now,
            self.flags,
            rounds,
        )
        place.work[:, layer], place.moved[:, layer] = now[:, 0], now[:, 1]
        if not last and not self.homed:
            place.moved[:, layer + 1] = now[:, 2]

    def weight(self, layer: int) -> FloatArray:
        """float64[K, E]: tokens, or activations of a step."""
        problem, rows = self.problem, self.rows
        tokens: FloatArray = problem.counts[rows.profile, layer].astype(np.float64)
        if not rows.activated.any():
            return tokens
        active = problem.activated()[rows.profile, layer]
        return np.asarray(np.where(rows.activated[:, None], active, tokens))

    def limit(self, layer: int) -> FloatArray:
        """float64[K, H]: most ticks of a rank; infinite without a limit on loads."""
        problem, rows = self.problem, self.rows
        limit = np.full(self.unit.shape, np.inf)
        if problem.max_imbalance is not None:
            # the mean of loads over speeds depends on where experts sit, but for equal speeds
            slow = 1 / problem.cluster.speed[problem.live]
            mean = problem.counts[:, layer].sum(axis=1) / len(slow) * slow.min()
            most = problem.max_imbalance * mean[rows.profile, None] / slow
            limit[~rows.activated] = (most * self.unit)[~rows.activated]
        return limit


def _arrays(place: Place) -> tuple[IntArray, FloatArray, FloatArray]:
    return place.rank, place.work, place.moved


def run(problem: PlacementProblem, search: Search) -> None:
    """Descend from the best plan so far, from experts in order, and from seeded orders."""
    if problem.n_slots != problem.n_experts or search.done():
        return
    names = (
        "mapc.models.placement.chains.coordinate_kernels",
        "mapc.models.placement.chains.assignment_kernels",
    )
    modules = [load(name, search.done) for name in names]
    if modules[0] is None or modules[1] is None:
        return
    descent = Descent(problem, modules[0], modules[1])
    best: Place | None = None
    for k, rank in enumerate(starts(descent, search)):
        if search.done() or (k and descent.visits_left <= 0):
            return
        rng = np.random.default_rng([search.seed, k])
        place = settle(descent, descent.place(rank), range(problem.n_layers), rng, search)
        best = place if best is None else min(best, place, key=descent.objective)
        _offer(descent, place, search)
    if best is not None:
        _shake(descent, best, np.random.default_rng([search.seed, RESTARTS + 2]), search)


def starts(descent: Descent, search: Search) -> list[IntArray]:
    """Return where to start from, int64[L, E] each: what is known, in order, and shuffled."""
    problem = descent.problem
    experts = np.arange(problem.n_experts)
    found = []
    if search.plan is not None:
        held = search.plan.slots[:, problem.live].reshape(problem.n_layers, -1)
        found.append(np.argsort(held, axis=1) // problem.slots)
    if descent.allowed.all():
        found.append(np.repeat(experts[None] // problem.slots, problem.n_layers, axis=0))
        rng = np.random.default_rng([search.seed, RESTARTS + 1])
        shape = (problem.n_layers, problem.n_experts)
        shuffled = [rng.permuted(np.broadcast_to(experts, shape), axis=1) for _ in range(RESTARTS)]
        found += [order // problem.slots for order in shuffled]
    elif not found:
        found += _any(descent)
    return found


def _any(descent: Descent) -> list[IntArray]:
    """Return one placement within pins and forbidden pairs, if there is one."""
    problem = descent.problem
    rank = np.empty((problem.n_layers, problem.n_experts), dtype=np.int64)
    slot = np.empty(problem.n_experts, dtype=np.int64)
    for layer, allowed in enumerate(descent.allowed):
        cost = np.where(allowed, 0.0, np.inf)
        if not descent.assigned.assign(np.repeat(cost, problem.slots, axis=1), slot):
            return []
        rank[layer] = slot // problem.slots
    return [rank]


def settle(
    descent: Descent, place: Place, layers: range, rng: np.random.Generator, search: Search
) -> Place:
    """Visit layers, and neighbours of those that change, until none changes."""
    n_layers = descent.problem.n_layers
    waiting = np.zeros(n_layers, dtype=np.bool_)
    waiting[list(layers)] = True
    visits = np.zeros(n_layers, dtype=np.int64)
    while waiting.any():
        for layer in np.flatnonzero(waiting):
            if search.done():
                return place
            waiting[layer] = False
            first = visits[layer] < 2 and (descent.linked or descent.homed)
            visits[layer] += 1
            if descent.visit(place, int(layer), rng, first) and descent.linked:
                near = [n for n in (layer - 1, layer + 1) if 0 <= n < n_layers]
                waiting[near] = visits[near] < VISITS
    return place


def _shake(descent: Descent, best: Place, rng: np.random.Generator, search: Search) -> None:
    """Swap a few experts of a few layers at random, settle again, keep what is no worse."""
    problem = descent.problem
    value, changed = descent.objective(best), False
    for _ in range(SHAKES * problem.n_layers):
        if search.done() or descent.visits_left <= 0:
            break
        place = best.copy()
        start = int(rng.integers(max(1, problem.n_layers - WINDOW + 1)))
        layers = range(start, min(start + WINDOW, problem.n_layers))
        for layer in layers:
            _swap_some(descent, place.rank[layer], layer, rng)
        for layer in layers:
            descent.price(place, layer)
        place = settle(descent, place, layers, rng, search)
        found = descent.objective(place)
        if found <= value:
            changed = changed or found < value - 0.5
            best, value = place, found
    if changed:
        _offer(descent, best, search)


def _swap_some(descent: Descent, rank: IntArray, layer: int, rng: np.random.Generator) -> None:
    """Exchange the ranks of a few pairs of experts, where rules let them."""
    allowed: BoolArray = descent.allowed[layer]
    for e, f in rng.integers(len(rank), size=(3, 2)):
        if allowed[e, rank[f]] and allowed[f, rank[e]]:
            rank[e], rank[f] = rank[f], rank[e]


def _offer(descent: Descent, place: Place, search: Search) -> None:
    """Propose a placement, unless it breaks the limit on loads or the budget."""
    problem = descent.problem
    tables = np.argsort(place.rank, axis=1, kind="stable")
    plan = plan_of(problem, tables.reshape(problem.n_layers, len(problem.live), problem.slots))
    if within_budget(problem, plan) and _balanced(problem, tables):
        search.propose(plan, "coordinate")


def _balanced(problem: PlacementProblem, tables: IntArray) -> bool:
    """Whether no rank's load breaks the limit; tables int64[L, E] by rank."""
    if problem.max_imbalance is None:
        return True
    tokens = np.take_along_axis(problem.counts, tables[None], axis=2)
    load = tokens.reshape(*tokens.shape[:2], -1, problem.slots).sum(axis=3)
    load = load / problem.cluster.speed[problem.live]
    return bool((load.max(axis=2) <= problem.max_imbalance * load.mean(axis=2)).all())
