"""The work of ranks as rows of numbers, for searches that balance it.

Searches see live ranks only, numbered 0 to H - 1; a *table* is int64[H, C], the expert of every
slot of one layer, without duplicates in a row. A *row of work* says what each expert weighs: one
for the tokens of every profile, one more for its activated experts where those cost something.
Everything is in ticks of the problem, so that rows of different profiles add up to the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem


@dataclass(frozen=True, eq=False)
class Rows:
    """What balance searches work on. K rows, H live ranks.

    Attributes
    ----------
    problem : PlacementProblem
    profile : int64[K]
        The profile each row belongs to.
    activated : bool[K]
        Whether a row counts activated experts rather than tokens.
    """

    problem: PlacementProblem
    profile: IntArray
    activated: np.ndarray

    @property
    def n_rows(self) -> int:
        """K."""
        return len(self.profile)

    @cached_property
    def slowness(self) -> FloatArray:
        """float64[H]: 1 / speed of every live rank; its load is this times the sum of its items."""
        return np.ascontiguousarray(1 / self.problem.cluster.speed[self.problem.live])

    @property
    def most(self) -> int:
        """Most replicas an expert can have: one on each live rank, one slot left to each other."""
        problem = self.problem
        return min(len(problem.live), problem.n_slots - problem.n_experts + 1)

    @cached_property
    def work(self) -> FloatArray:
        """float64[K, L, E]: ticks of a single copy of each expert on a rank of speed 1."""
        problem, rows = self.problem, []
        for p, activated in zip(self.profile, self.activated, strict=True):
            if activated:
                per_expert = problem.factor[p] / problem.scale[p] * problem.cost.expert
                rows.append(problem.activated()[p] * per_expert / problem.tick)
            else:
                per_token = problem.factor[p] * problem.cost.token
                rows.append(problem.counts[p] * (per_token / problem.tick))
        return np.stack(rows)

    def items(self, layer: int) -> FloatArray:
        """float64[K, E, most]: ticks of one replica of an expert that has 1, 2, ... of them.

        Tokens split evenly; activations fall more slowly than that, for a replica is activated by
        any one of its tokens.
        """
        copies = np.arange(1, self.most + 1)
        items = self.work[:, layer, :, None] / copies
        for k in np.flatnonzero(self.activated):
            items[k] = self._activations(layer, int(k), copies)
        return np.ascontiguousarray(items)

    def _activations(self, layer: int, row: int, copies: IntArray) -> FloatArray:
        problem, p = self.problem, int(self.profile[row])
        counts = problem.counts[p, layer]
        total = counts.sum() / problem.top_k
        chance = np.minimum(counts[:, None] / total / copies, 1.0)
        with np.errstate(divide="ignore"):
            active = -np.expm1(total * problem.scale[p] * np.log1p(-chance))
        ticks = problem.factor[p] / problem.scale[p] * problem.cost.expert / problem.tick
        return np.asarray(active * ticks)


def rows_of(problem: PlacementProblem) -> Rows:
    """Return the rows of work of a problem: tokens first, then activated experts, by profile."""
    kinds = [(False, problem.cost.token), (True, problem.cost.expert)]
    kinds = [kind for kind in kinds if kind[1]] or [(False, 0.0)]
    profiles = np.arange(problem.n_profiles, dtype=np.int64)
    return Rows(
        problem,
        np.tile(profiles, len(kinds)),
        np.repeat([activated for activated, _ in kinds], problem.n_profiles),
    )


def plan_of(
    problem: PlacementProblem, tables: IntArray, split: IntArray | None = None
) -> PlacementPlan:
    """Return the plan that tables of live ranks make.

    Parameters
    ----------
    problem : PlacementProblem
    tables : int64[L, H, C]
    split : int64[P, L, Q, H, C], optional
    """
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    slots[:, problem.live] = tables
    if split is None:
        return PlacementPlan(slots)
    whole = np.zeros((*split.shape[:3], problem.n_ranks, problem.slots), dtype=np.int64)
    whole[:, :, :, problem.live] = split
    return PlacementPlan(slots, whole)


def tables_of(problem: PlacementProblem, plan: PlacementPlan) -> IntArray:
    """int64[L, H, C]: the slots of live ranks."""
    return np.ascontiguousarray(plan.slots[:, problem.live])
