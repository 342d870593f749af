"""What states of layers cost: the work of one layer, the transfers between two.

Everything is counted in ticks divided by their common divisor, in whole numbers that floats hold
exactly: a minimum over states is then the objective that the verifier finds, to the last tick.
Transfers belong to the layer at which tokens arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.chains.states import States
from mapc.models.placement.problem import BUSIEST, HOME, FloatArray, PlacementProblem

ROUNDING = 1e-12
"""Relative error granted to the load limit, as the verifier grants it."""
DOUBT = 1e-3
"""Ticks around a half within which a rounded sum of quotients may fall either way."""


@dataclass(frozen=True, eq=False)
class StateCosts:
    """Costs of the states of every layer.

    Attributes
    ----------
    problem : PlacementProblem
        Without replicas.
    states : list of States
        One for each layer.
    """

    problem: PlacementProblem
    states: list[States]

    @cached_property
    def unit(self) -> int:
        """Ticks that everything is a multiple of."""
        problem = self.problem
        if problem.cost.expert or (problem.traffic == HOME and not problem.balance_only):
            return 1  # rounded, with any number of ticks
        whole = [problem.token_ticks.ravel(), problem.pair_ticks.ravel(), problem.layer_ticks]
        return max(1, int(np.gcd.reduce(np.concatenate(whole).astype(np.int64))))

    @cached_property
    def token(self) -> FloatArray:
        """float64[P, H]: units per token on each live rank."""
        return self.problem.token_ticks[:, self.problem.live] / self.unit

    @cached_property
    def expert(self) -> FloatArray:
        """float64[P, H]: units per activated expert."""
        return self.problem.expert_ticks[:, self.problem.live] / self.unit

    @cached_property
    def pair(self) -> FloatArray:
        """float64[P, H, H]: units per token moved."""
        live = self.problem.live
        return np.ascontiguousarray(self.problem.pair_ticks[:, live][:, :, live]) / self.unit

    @cached_property
    def fixed(self) -> float:
        """Units of the layers without their experts: [P] times the number of layers."""
        return float(self.problem.layer_ticks.sum()) / self.unit * self.problem.n_layers

    @cached_property
    def _known(self) -> dict[int, FloatArray]:
        return {}

    def work(self, layer: int) -> FloatArray:
        """float64[P, N]: units of the busiest rank; infinite above the load limit."""
        if layer not in self._known:
            self._known[layer] = self._work(layer)
        return self._known[layer]

    def _work(self, layer: int) -> FloatArray:
        problem, table = self.problem, self.states[layer].table
        tokens = problem.counts[:, layer][:, table].sum(axis=3)  # [P, N, H]
        found = self.token[:, None] * tokens
        if problem.cost.expert:
            # in the verifier's order, so that the rounding to ticks is the same
            each = np.sort(problem.activated()[:, layer][:, table], axis=3)
            found = np.maximum(found, self.expert[:, None] * each.sum(axis=3))
        worst = np.rint(found.max(axis=2))
        worst[:, self._overloaded(tokens)] = np.inf
        return np.asarray(worst)

    def _overloaded(self, tokens: IntArray) -> BoolArray:
        """bool[N]: whether some profile's load breaks the limit."""
        problem = self.problem
        if problem.max_imbalance is None:
            return np.zeros(tokens.shape[1], dtype=np.bool_)
        load = tokens / problem.cluster.speed[problem.live]
        limit = problem.max_imbalance * (1 + ROUNDING) * load.mean(axis=2)
        return np.asarray((load.max(axis=2) > limit).any(axis=0))

    # -- transfers from the ranks where tokens live ----------------------------------------------

    def home(self, layer: int) -> tuple[FloatArray, FloatArray]:
        """Return the transfers of one layer whose tokens come from where they live.

        Returns
        -------
        nearest : float64[P, N]
            Rounded to whole ticks.
        least : float64[P, N]
            The same, rounded down where the error of a sum might decide.
        """
        hot = self.states[layer].one_hot()
        lives = lives_on(self.problem, layer)  # [P, H, E]
        found = np.empty((self.problem.n_profiles, len(hot)))
        for p, pair in enumerate(self.pair):
            if self.problem.cost.links == BUSIEST:
                leaving = np.einsum("qe,neh,qh->nq", lives[p], hot, pair, optimize=True)
                coming = np.einsum("eh,neh->nh", lives[p].T @ pair, hot, optimize=True)
                found[p] = np.maximum(leaving, coming).max(axis=1)
            else:
                found[p] = np.einsum("eh,neh->n", lives[p].T @ pair, hot, optimize=True)
        nearest = np.rint(found)
        ranks = len(self.problem.live)
        exact = ranks & (ranks - 1) == 0 and self.problem.sources is None
        doubtful = np.abs(found - np.floor(found) - 0.5) < (0 if exact else DOUBT)
        return nearest, np.where(doubtful, np.floor(found), nearest)

    # -- transfers between two layers ------------------------------------------------------------

    def largest(self) -> float:
        """Return what no sum over all layers exceeds, in units."""
        problem = self.problem
        total = problem.counts.sum(axis=2).max() * self.token.max() * problem.n_layers
        total += problem.n_experts * self.expert.max() * problem.n_layers
        if problem.transitions is not None:
            total += (problem.transitions.sum(axis=(1, 2, 3)) * self.pair.max(axis=(1, 2))).sum()
        return float(total) * problem.n_profiles

    def price(self, layer: int, weights: FloatArray, chosen: IntArray) -> FloatArray:
        """Return what transfers into chosen states cost, by the state of the layer before.

        The transfers between two states are linear in each of them: with x the one-hot state of
        the layer before they are sum_{e1, g} x[e1, g] t[e1, g], where
        t[e1, g] = sum_{e2} R[e1, e2] pair[g, rank(e2)]. As every expert sits on one rank,
        t of the last rank is taken from the others, and summed apart.

        Parameters
        ----------
        layer : int
            At least 1.
        weights : float64[P]
            Of profiles.
        chosen : int64[m]
            States of the layer.

        Returns
        -------
        float64[m, E * (H - 1) + 1]
            Factors of ``States.columns`` of the layer before, and of 1.
        """
        here = self.states[layer].one_hot(chosen)
        price = np.zeros(here.shape)
        for p in range(self.problem.n_profiles):
            price += weights[p] * (self._transitions(p, layer) @ here @ self.pair[p].T)
        last = price[:, :, -1:]
        left = (price[:, :, :-1] - last).reshape(len(here), -1)
        return np.asarray(np.append(left, last.sum(axis=1), axis=1))

    def wanted(self, layer: int, profile: int, chosen: IntArray) -> FloatArray:
        """float64[m, E, H]: tokens from experts of the layer before to ranks of chosen states."""
        return self._transitions(profile, layer) @ self.states[layer].one_hot(chosen)

    def _transitions(self, profile: int, layer: int) -> FloatArray:
        """float64[E, E]: token pairs from the layer before."""
        assert self.problem.transitions is not None
        return np.asarray(self.problem.transitions[profile, layer - 1], dtype=np.float64)

    # -- whole chains ----------------------------------------------------------------------------

    def steps(self, path: IntArray) -> FloatArray:
        """float64[P]: units of a state for each layer, without the fixed part of layers."""
        problem, total = self.problem, np.zeros(self.problem.n_profiles)
        for layer, n in enumerate(path):
            work, moved = self.work(layer)[:, n], np.zeros_like(total)
            if problem.balance_only:
                pass
            elif problem.traffic == HOME:
                moved = self.home(layer)[0][:, n]
            elif layer:
                before = self.states[layer - 1].one_hot(path[layer - 1 : layer])[0]
                wanted = [
                    self.wanted(layer, p, path[layer : layer + 1])[0] for p in range(len(total))
                ]
                ticks = before.T @ np.stack(wanted) * self.pair
                both = np.maximum(ticks.sum(axis=2), ticks.sum(axis=1)).max(axis=1)
                moved = both if problem.cost.links == BUSIEST else ticks.sum(axis=(1, 2))
            total += np.maximum(work, moved) if problem.cost.overlap else work + moved
        return total


def lives_on(problem: PlacementProblem, layer: int) -> FloatArray:
    """float64[P, H, E]: tokens of every expert by the live rank where they live."""
    live, counts = problem.live, problem.counts[:, layer].astype(np.float64)
    if problem.sources is None:
        return np.repeat(counts[:, None] / len(live), len(live), axis=1)
    given = problem.sources[:, layer].astype(np.float64)
    if given.shape[1] == problem.n_ranks:
        return np.ascontiguousarray(given[:, live])
    ranks = np.bincount(problem.node[live], minlength=problem.n_nodes)
    return (given / np.maximum(ranks, 1)[:, None])[:, problem.node[live]]
