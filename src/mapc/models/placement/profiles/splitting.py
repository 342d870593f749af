"""Placement for tokens that are split anew for every profile: annealing with flows."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.placement.moves.rules import LayerRules, layer_rules
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, CHAIN, FloatArray, PlacementProblem
from mapc.models.placement.profiles.annealing import KERNELS as EVEN_KERNELS
from mapc.models.placement.profiles.annealing import (
    SMALL,
    WARM,
    AnnealedLayer,
    cooled,
    start_tables,
    weights,
)
from mapc.models.placement.profiles.flows import KERNELS as FLOWS_KERNELS
from mapc.models.placement.profiles.flows import best_split, by_source, rank_ticks
from mapc.models.placement.profiles.rounds import Layer, improve, offer
from mapc.models.placement.rows import plan_of, rows_of

KERNELS = "mapc.models.placement.profiles.splitting_kernels"

HEAT = np.array([[6, 3e-4, 1e-5]], dtype=np.float64)
"""As `mapc.models.placement.profiles.annealing.HEAT`."""
EVEN_STEPS = 50_000
"""Moves per layer under an even split, for a start."""
SPEED = 0.1
"""Moves here for one of `mapc.models.placement.profiles.rounds.STEPS`: they cost that much more."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Place experts so that the best split of every profile has balanced ranks.

    Only for adaptive dispatch. Tokens are what is balanced; transfers are paid as they come, with
    every source served as near as the balanced split allows. Problems with a budget of moves keep
    the tables of the plan there is, and get the best split for them.
    """
    if problem.dispatch != ADAPTIVE or problem.traffic == CHAIN:
        return
    loaded = [load(name, search.done) for name in (FLOWS_KERNELS, EVEN_KERNELS, KERNELS)]
    tables = None if any(m is None for m in loaded) else start_tables(problem, search)
    if tables is None:
        return
    flows, even, kernels = loaded
    assert flows is not None
    assert even is not None
    assert kernels is not None
    offer(problem, search, split_plan(problem, tables), "split")
    if problem.budgeted:
        return
    rules, seed = layer_rules(problem), search.seed
    rows, lam = rows_of(problem), np.ones(problem.n_profiles)
    layers: list[Layer] = []
    for layer, table in enumerate(tables):
        layers.append(SplitLayer(kernels, flows, problem, layer, rules[layer], table))
        if not search.done():
            start = AnnealedLayer(even, rows, layer, rules[layer], table)
            layers[layer].offer(start.walk(table, lam, EVEN_STEPS, seed, search.done))
    improve(problem, search, layers, "split", plan=split_plan, speed=SPEED)


def split_plan(problem: PlacementProblem, tables: IntArray) -> PlacementPlan:
    """Return the plan that splits tokens best over given tables int64[L, H, C]."""
    tokens = best_split(problem, tables).tokens
    return plan_of(problem, tables, by_source(problem, tables, tokens))


class SplitLayer(Layer):
    """A layer whose tokens split freely."""

    def __init__(
        self,
        kernels: ModuleType,
        flows: ModuleType,
        problem: PlacementProblem,
        layer: int,
        rules: LayerRules,
        table: IntArray,
    ) -> None:
        self.kernels, self.flows, self.ticks = kernels, flows, rank_ticks(problem)
        self.slowness = np.ascontiguousarray(1 / problem.cluster.speed[problem.live])
        self.tokens = problem.counts[:, layer].copy()
        even = self.tokens.sum(axis=1) / (1 / self.slowness).sum()
        self.work = np.ascontiguousarray((self.tokens / even[:, None]).T)
        self.unit = even * (self.ticks / self.slowness).mean(axis=1)
        super().__init__(problem, layer, rules, table)

    def peaks(self, table: IntArray) -> FloatArray:
        """float64[P]: ticks of the busiest rank."""
        flow, cut = np.empty(table.shape, dtype=np.int64), np.empty(len(table), dtype=np.bool_)
        return np.array(
            [
                float(self.flows.split_tokens(table, tokens, ticks, flow, cut))
                for tokens, ticks in zip(self.tokens, self.ticks, strict=True)
            ]
        )

    def imbalance(self, table: IntArray) -> float:
        """Return the largest load of any profile as a multiple of its mean."""
        flow, cut = np.empty(table.shape, dtype=np.int64), np.empty(len(table), dtype=np.bool_)
        largest = 0.0
        for tokens, ticks in zip(self.tokens, self.ticks, strict=True):
            self.flows.split_tokens(table, tokens, ticks, flow, cut)
            loads = flow.sum(axis=1) * self.slowness
            largest = max(largest, float(loads.max() / loads.mean()))
        return largest

    def walk(
        self, table: IntArray, lam: FloatArray, steps: int, seed: int, done: Callable[[], bool]
    ) -> IntArray:
        """Anneal from a table."""
        walk, best = table.copy(), table.copy()
        random = stream(seed, self.layer)
        for some, heat in cooled(HEAT if table.size >= SMALL else WARM, steps, 5_000):
            self.kernels.anneal_split(
                walk, best, self.work, self.slowness, weights(self.unit, lam),
                self.locked, self.allowed, self.old, -1, some, heat, random,
            )  # fmt: skip
            if done():
                break
        return best
