"""What several profiles cost more because one table of replicas serves them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.problem import WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import Rows, rows_of
from mapc.models.placement.work.activation_bounds import least_active

ROUNDS = 60


def joint_extra(
    problem: PlacementProblem, work: FloatArray, done: Callable[[], bool] = lambda: False
) -> float:
    """Return whole ticks that a step takes beyond the bounds of its layers and profiles, >= 0.

    Proof: let b_p be a bound on the work M_p of profile p in a layer, w_ke the ticks of expert e in
    a row k of that profile on the fastest rank, r_e its replicas. Some replica weighs at least its
    share, ``M_p >= w_ke / r_e``, whatever the dispatch rule. So for all weights y_p >= 0 and
    z_ke >= 0 with ``sum over k of p, e of z_ke <= y_p``,

        sum_p y_p M_p >= sum_p (y_p - sum z_ke) b_p + sum_e c_e / r_e,  c_e = sum_k z_ke w_ke,

    and the last sum is least, over all r with ``sum_e r_e <= S``, where replicas go one by one to
    the expert with the greatest ``c_e / (r_e (r_e + 1))``: it is convex in every r_e. With y = 1 in
    every layer the left side is the sum over profiles; with y that sums to 1 and is the same in all
    layers, it is at most what the slowest profile takes. Any weights will do; these are averages of
    answers to tables of replicas, each of which answers the weights so far (fictitious play).

    Parameters
    ----------
    problem : PlacementProblem
    work : float64[P, L]
        Whole ticks, bounds on the work of the busiest rank.
    done : callable, optional
        Whether to stop refining.
    """
    spare = problem.n_slots - problem.n_experts
    if problem.n_profiles == 1 or spare == 0:
        return 0.0
    rows = rows_of(problem)
    weight = _ticks(rows)
    bound = work[rows.profile]  # [K, L]
    with np.errstate(divide="ignore", invalid="ignore"):
        need = np.ceil(weight / bound[:, :, None] - 1e-9)
    need = np.maximum(np.where(weight > 0, need, 1.0), 1.0).max(axis=0)
    worst = problem.cost.profiles == WORST
    # layers that can have all the replicas their profiles ask for gain nothing
    tight = np.flatnonzero(need.sum(axis=1) > problem.n_slots)
    if not len(tight):
        return 0.0
    fixed = (problem.layer_ticks[:, None] + work).sum(axis=1)
    other = fixed - work[:, tight].sum(axis=1)
    play = _Play(rows, weight[:, tight], work[:, tight], other if worst else None)
    found = np.zeros(1 if worst else len(tight))
    for _ in range(ROUNDS):
        if done():
            break
        found = np.maximum(found, play.round())
    known = fixed.max() if worst else work[:, tight].sum(axis=0)
    # every work is rounded, and no sum is better than its floats
    rounding = (len(tight) if worst else 1) * problem.n_profiles / 2 + found * 1e-12
    return float(np.maximum(np.floor(found - rounding) - known, 0.0).sum())


def _ticks(rows: Rows) -> FloatArray:
    """float64[K, L, E]: ticks of an expert on the fastest rank, in ticks as the verifier's."""
    problem, live = rows.problem, rows.problem.live
    found = np.empty((rows.n_rows, problem.n_layers, problem.n_experts))
    for k, (p, activated) in enumerate(zip(rows.profile, rows.activated, strict=True)):
        ticks = problem.expert_ticks if activated else problem.token_ticks
        tokens = least_active(problem)[p] if activated else problem.counts[p]
        found[k] = tokens * ticks[p, live].min()
    return found


class _Play:
    """Weights of rows and experts against tables of replicas.

    Parameters
    ----------
    weight : float64[K, L, E]
    work : float64[P, L]
    other : float64[P] or None
        Ticks of all other layers, and of what is fixed, where the slowest profile counts.
    """

    def __init__(
        self, rows: Rows, weight: FloatArray, work: FloatArray, other: FloatArray | None
    ) -> None:
        self.profile, self.weight, self.work, self.other = rows.profile, weight, work, other
        problem = rows.problem
        self.spare = problem.n_slots - problem.n_experts
        self.most = rows.most
        n_layers = work.shape[1]
        self.charge = np.zeros(weight.shape[1:])  # [L, E]: c_e, summed over rounds
        self.kept = np.zeros(n_layers)  # ticks that are not charged, summed over rounds
        self.fixed = 0.0  # ticks of other layers, summed over rounds
        self.rounds = 0
        self._answer(np.ones((n_layers, weight.shape[2]), dtype=np.int64))

    def round(self) -> FloatArray:
        """Return the bounds that the weights so far give, and answer the replicas they leave.

        Of every layer, or of the step where the slowest profile counts: float64[L] or [1].
        """
        charge = self.charge / self.rounds
        copies, least = self._replicas(charge)
        found = self.kept / self.rounds + least
        if self.other is not None:
            found = found.sum(keepdims=True) + self.fixed / self.rounds
        self._answer(copies)
        return found

    def _replicas(self, charge: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the replicas of every expert that make the sum of shares least, and that sum."""
        n_layers, n_experts = charge.shape
        k = np.arange(1, self.most)
        gain = (charge[:, :, None] / (k * (k + 1))).reshape(n_layers, -1)
        best = np.argpartition(-gain, self.spare - 1, axis=1)[:, : self.spare]
        layer = np.arange(n_layers)[:, None]
        copies = np.ones((n_layers, n_experts), dtype=np.int64)
        np.add.at(copies, (layer, best // len(k)), 1)
        return copies, charge.sum(axis=1) - gain[layer, best].sum(axis=1)

    def _answer(self, copies: IntArray) -> None:
        """Put weight where replicas leave most to do."""
        share = self.weight / copies  # [K, L, E]
        n_layers = share.shape[1]
        peak = share.max(axis=2)
        row = np.empty(self.work.shape, dtype=np.int64)  # the heaviest row of a profile
        for p in range(len(self.work)):
            rows = np.flatnonzero(self.profile == p)
            row[p] = rows[peak[rows].argmax(axis=0)]
        layer = np.arange(n_layers)
        step = np.maximum(peak[row, layer], self.work)  # [P, L]
        chosen = list(range(len(self.work)))
        if self.other is not None:
            chosen = [int((self.other + step.sum(axis=1)).argmax())]
            self.fixed += float(self.other[chosen[0]])
        for p in chosen:
            expert = share[row[p], layer].argmax(axis=1)
            above = peak[row[p], layer] > self.work[p]
            charged = np.where(above, self.weight[row[p], layer, expert], 0.0)
            self.charge[layer, expert] += charged
            self.kept += np.where(above, 0.0, self.work[p])
        self.rounds += 1
