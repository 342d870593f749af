"""One placement for many profiles: annealing of a smoothed largest load, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.placement.moves.rules import LayerRules, layer_rules
from mapc.models.placement.problem import ADAPTIVE, FloatArray, PlacementProblem
from mapc.models.placement.profiles.rounds import Layer, improve
from mapc.models.placement.rows import Rows, rows_of, tables_of

KERNELS = "mapc.models.placement.profiles.annealing_kernels"
PACKING_KERNELS = "mapc.models.placement.work.packing_kernels"

HEAT = np.array([[6, 5e-4, 1e-5]], dtype=np.float64)
"""float64[stages, 3]: log2 of the norm's power, first and last temperature, where the largest load
of a perfectly balanced layer is 1. One sharp norm throughout beat rising powers on real counts."""
WARM = np.array([[3, 0.3, 3e-3], [6, 3e-3, 1e-5]], dtype=np.float64)
"""The same for tables of fewer than `SMALL` slots, where one move changes much."""
SMALL = 64
CHUNK = 50_000
"""Moves between two looks at the clock."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Anneal the layers of a problem where only work counts, from the plan there is.

    Replicas are taken to share evenly, as they do unless dispatch is adaptive. Problems with a
    budget of moves are left to ``migrate``.
    """
    if not problem.balance_only or problem.dispatch == ADAPTIVE or problem.budgeted:
        return
    kernels = load(KERNELS, search.done)
    tables = None if kernels is None else start_tables(problem, search)
    if kernels is None or tables is None:
        return
    rows, rules = rows_of(problem), layer_rules(problem)
    layers: list[Layer] = [
        AnnealedLayer(kernels, rows, layer, rules[layer], table)
        for layer, table in enumerate(tables)
    ]
    improve(problem, search, layers, "anneal")


def anneal_layer(
    rows: Rows,
    layer: int,
    table: IntArray,
    *,
    lam: FloatArray | None = None,
    locked: BoolArray | None = None,
    allowed: BoolArray | None = None,
    old: BoolArray | None = None,
    max_new: int = -1,
    steps: int = 100_000,
    heat: FloatArray = HEAT,
    seed: int = 0,
    done: Callable[[], bool] | None = None,
) -> IntArray:
    """Anneal the table of one layer; the best one met by its true objective.

    That is the sum over profiles of ``lam`` times the largest load, in ticks, of any rank in any
    row of the profile. The result is never worse than ``table``.

    Parameters
    ----------
    rows : Rows
    layer : int
    table : int64[H, C]
        Start: live ranks, no expert twice on a rank; every expert somewhere.
    lam : float64[P], optional
        Weight of each profile beside what is in its rows; 1 by default.
    locked : bool[H, C], optional
        Slots that keep their expert; none by default.
    allowed : bool[E, H], optional
        Where experts may go; those of the problem by default.
    old : bool[E, H], optional
        Pairs of expert and rank that cost no move; needed with ``max_new``.
    max_new : int
        Most pairs of the table outside ``old``; below 0: any. A start that has more never gains
        another.
    steps : int
        Moves to try.
    heat : float64[stages, 3]
        As `HEAT`.
    seed : int
        The same for every layer; each draws numbers of its own.
    done : callable, optional
        Whether to stop early.

    Returns
    -------
    int64[H, C]
    """
    kernels = load(KERNELS)
    assert kernels is not None, "without a condition to give up, kernels load"
    problem, shape = rows.problem, (rows.problem.n_experts, table.shape[0])
    item, unit = scaled_items(rows, layer)
    if allowed is None:
        allowed = problem.allowed[layer][:, problem.live]
    walk = np.ascontiguousarray(table, dtype=np.int64).copy()
    best, random = walk.copy(), stream(seed, layer)
    for some, part in cooled(heat, steps):
        kernels.anneal(
            walk,
            best,
            item,
            rows.slowness,
            np.ascontiguousarray(rows.profile),
            weights(unit, lam),
            np.zeros(table.shape, np.bool_) if locked is None else np.ascontiguousarray(locked),
            np.ascontiguousarray(allowed),
            np.ones(shape, dtype=np.bool_) if old is None else np.ascontiguousarray(old),
            max_new,
            some,
            part,
            random,
        )
        if done is not None and done():
            break
    return best


def cooled(heat: FloatArray, steps: int, most: int = CHUNK) -> Iterator[tuple[int, FloatArray]]:
    """Cut an annealing schedule into parts of at most so many moves: moves and heat of each."""
    each = max(steps // len(heat), 1)
    for log_q, first, last in heat:
        n = -(-each // most)
        for i in range(n):
            ends = [first * (last / first) ** (at / n) for at in (i, i + 1)]
            yield -(-each // n), np.array([[log_q, *ends]])


def weights(unit: FloatArray, lam: FloatArray | None = None) -> FloatArray:
    """float64[P] with sum 1: what a unit of each profile's scaled load counts for."""
    weight = unit if lam is None else unit * lam
    total = float(weight.sum())
    return np.ascontiguousarray(weight / total if total > 0 else np.full(len(unit), 1 / len(unit)))


def scaled_items(rows: Rows, layer: int) -> tuple[FloatArray, FloatArray]:
    """Return items as the kernel wants them, and what one unit of each profile's load is.

    Every profile is scaled so that its largest load is near 1 where ranks are balanced; rows of one
    profile keep their proportion.

    Returns
    -------
    item : float64[E, most, K]
    unit : float64[P]
        Ticks.
    """
    problem, item = rows.problem, rows.items(layer)
    even = item[:, :, 0].sum(axis=1) / (1 / rows.slowness).sum()
    unit = np.zeros(problem.n_profiles)
    np.maximum.at(unit, rows.profile, even)
    unit[unit == 0] = 1.0  # nothing costs anything
    scaled = item / unit[rows.profile][:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)), unit


class AnnealedLayer(Layer):
    """A layer whose replicas share evenly."""

    def __init__(
        self, kernels: ModuleType, rows: Rows, layer: int, rules: LayerRules, table: IntArray
    ) -> None:
        self.kernels, self.rows, self.items = kernels, rows, rows.items(layer)
        self.item, self.unit = scaled_items(rows, layer)
        super().__init__(rows.problem, layer, rules, table)

    def peaks(self, table: IntArray) -> FloatArray:
        """float64[P]: ticks of the busiest rank."""
        copies = np.bincount(table.ravel(), minlength=self.problem.n_experts)
        work = self.items[:, table, copies[table] - 1].sum(axis=2) * self.rows.slowness
        peaks = np.zeros(self.problem.n_profiles)
        np.maximum.at(peaks, self.rows.profile, work.max(axis=1))
        return peaks

    def imbalance(self, table: IntArray) -> float:
        """Return the largest load of any profile as a multiple of its mean."""
        copies = np.bincount(table.ravel(), minlength=self.problem.n_experts)
        each = self.problem.counts[:, self.layer] / copies
        loads = each[:, table].sum(axis=2) * self.rows.slowness
        return float((loads.max(axis=1) / loads.mean(axis=1)).max())

    def walk(
        self, table: IntArray, lam: FloatArray, steps: int, seed: int, done: Callable[[], bool]
    ) -> IntArray:
        """Anneal from a table."""
        walk, best = table.copy(), table.copy()
        random, profile = stream(seed, self.layer), np.ascontiguousarray(self.rows.profile)
        for some, heat in cooled(HEAT if table.size >= SMALL else WARM, steps):
            self.kernels.anneal(
                walk, best, self.item, self.rows.slowness, profile, weights(self.unit, lam),
                self.locked, self.allowed, self.old, -1, some, heat, random,
            )  # fmt: skip
            if done():
                break
        return best


def start_tables(problem: PlacementProblem, search: Search) -> IntArray | None:
    """int64[L, H, C]: where annealing starts; None where there is neither a plan nor freedom.

    Several profiles start from replicas for their largest works, packed by their mean works, in
    the layers where that is better than the plan there is.
    """
    plan = None if search.plan is None else tables_of(problem, search.plan)
    if not problem.free or (plan is not None and problem.n_profiles == 1):
        return plan
    kernels = load(PACKING_KERNELS, search.done)
    if kernels is None:
        return plan
    rows = rows_of(problem)
    shape = (problem.n_layers, len(problem.live), problem.slots)
    tables, copies = np.zeros(shape, dtype=np.int64), np.zeros(problem.n_experts, dtype=np.int64)
    for layer in range(problem.n_layers):
        items = rows.items(layer)
        kernels.replicate(np.ascontiguousarray(items.max(axis=0)), problem.n_slots, copies)
        mean = np.ascontiguousarray(items.mean(axis=0))
        kernels.pack(copies, mean, rows.slowness, tables[layer])
    return tables
