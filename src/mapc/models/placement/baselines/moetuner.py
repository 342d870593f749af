"""MoETuner (arXiv 2502.06643), restated: first clusters of equal load, then clusters to ranks.

Its two models, of which the second takes what the first decided for granted. P[l, e] are the tokens
of an expert, R[l, e, e'] the token pairs between experts of consecutive layers, B[g, h] bandwidths:

1. *balance*, layer by layer: experts into G clusters, minimising ``sum_c |T_c - mean T|`` with
   ``T_c`` the tokens of cluster c.
2. *mapping*: the clusters of each layer one to one onto ranks, minimising, over layers, the sum of
   ``max_{g, h} C[c, c'] / B[g, h]`` with ``C[c, c']`` the pairs between clusters that sit on g, h.

Published, clusters may have any size, while the second stage demands that each rank has ``E L / G``
experts over all layers: which can be impossible once the first stage has fixed the sizes. Runtimes
need as many experts on every rank in every layer anyway, so clusters here are of equal size unless
asked otherwise, and the demand then holds by itself.

The models stand in `mapc.models.placement.baselines.moetuner_models`; the method below answers
them exactly where that is quick: clusters by enumeration, the mapping by dynamic programming over
permutations.
"""

from __future__ import annotations

from itertools import combinations, permutations
from math import factorial

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement.baselines.eplb import pack
from mapc.models.placement.baselines.layouts import mean_load, offer
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.program.model import Program
from mapc.solvers.base import Solution

MAX, SUM = "max", "sum"
"""What a layer's transfers cost: the slowest pair of ranks (as published), or all pairs."""
MAX_PARTITIONS = 20_000
"""Ways to cut experts into clusters that are enumerated; 8 experts on 4 ranks have 105."""
MAX_RANKS = 6
"""Ranks whose permutations are enumerated: 720."""
MAX_BINARIES = 1024
"""Largest balance model of a layer that is given to a solver."""
MAX_PRODUCTS = 50_000
"""Largest mapping model, in products, that is given to a solver."""
SOLVER_SHARE = 0.25
"""Part of the time left that solvers get."""
WORK = 1.0
"""Work of a solver for one model where there is no clock."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Propose MoETuner's placement, and the one with the sum of all transfers in its second stage.

    For one slot per expert. Without transitions or costs of transfers the second stage has nothing
    to say, and clusters stay in order.
    """
    if not applies(problem):
        return
    clusters = _balanced(problem, search)
    if problem.transitions is None or not problem.pair.any():
        offer(problem, search, tables_of(problem, clusters), "moetuner")
        return
    between = cluster_transitions(problem, clusters)
    link = link_costs(problem)
    if len(problem.live) <= MAX_RANKS:
        for kind, source in ((MAX, "moetuner"), (SUM, "moetuner-sum")):
            if search.done():
                return
            ranks = map_exactly(between, link, kind)
            offer(problem, search, tables_of(problem, clusters, ranks), source)
        return
    ranks = map_by_swaps(between, link)
    offer(problem, search, tables_of(problem, clusters, ranks), "moetuner-sum")
    _map_by_solver(problem, search, clusters, ranks)


def applies(problem: PlacementProblem) -> bool:
    """Whether every expert has one slot."""
    return problem.n_slots == problem.n_experts


def balanced_clusters(problem: PlacementProblem) -> tuple[IntArray, bool]:
    """Cut the experts of every layer into clusters of equal size and nearly equal load.

    Returns
    -------
    clusters : int64[L, E]
        The cluster of every expert.
    exact : bool
        Whether all ways were tried; else it is longest-processing-time.
    """
    load, n_ranks = mean_load(problem), len(problem.live)
    n_partitions = count_partitions(problem.n_experts, n_ranks)
    if n_partitions > MAX_PARTITIONS:
        return pack(load, n_ranks)[0], False
    ways = partitions(problem.n_experts, n_ranks)
    member = (ways[:, :, None] == np.arange(n_ranks)).astype(np.float64)
    best = np.empty((problem.n_layers, problem.n_experts), dtype=np.int64)
    for layer, row in enumerate(load):
        total = np.einsum("e,sec->sc", row, member)
        best[layer] = ways[np.abs(total * n_ranks - row.sum()).sum(axis=1).argmin()]
    return best, True


def count_partitions(n_experts: int, n_clusters: int) -> int:
    """``E! / (C!**G * G!)`` ways to cut E experts into G clusters of C."""
    size = n_experts // n_clusters
    same: int = factorial(size) ** n_clusters * factorial(n_clusters)
    return factorial(n_experts) // same


def partitions(n_experts: int, n_clusters: int) -> IntArray:
    """int64[ways, E]: every way to cut experts into clusters of equal size.

    Clusters are numbered by their first expert, so that no two ways differ in names only.
    """
    size = n_experts // n_clusters
    ways = np.full((1, n_experts), -1, dtype=np.int64)
    for cluster in range(n_clusters):
        left = n_experts - cluster * size
        # the first expert left over, and any size - 1 others of those left
        chosen = np.array([(0, *rest) for rest in combinations(range(1, left), size - 1)])
        unplaced = np.nonzero(ways < 0)[1].reshape(-1, left)
        experts = unplaced[:, chosen].reshape(-1, size)
        ways = np.repeat(ways, len(chosen), axis=0)
        np.put_along_axis(ways, experts, cluster, axis=1)
    return ways


def cluster_transitions(problem: PlacementProblem, clusters: IntArray) -> FloatArray:
    """float64[L - 1, G, G]: weighted token pairs between the clusters of consecutive layers."""
    assert problem.transitions is not None
    pairs = np.tensordot(problem.factor, problem.transitions, axes=1)
    member = (clusters[:, :, None] == np.arange(len(problem.live))).astype(np.float64)
    return np.asarray(member[:-1].transpose(0, 2, 1) @ pairs @ member[1:])


def link_costs(problem: PlacementProblem) -> FloatArray:
    """float64[G, G]: cost of a token from live rank to live rank."""
    return problem.pair[np.ix_(problem.live, problem.live)]


def map_exactly(between: FloatArray, link: FloatArray, kind: str) -> IntArray:
    """Map clusters to ranks at the least sum over layers, by dynamic programming.

    A state is a permutation, and a layer's cost depends on those of two layers only. The costs of
    all pairs of permutations follow from one matrix ``X[s, c', h]`` per permutation s of the first
    layer, which holds what cluster c' costs on rank h.

    Parameters
    ----------
    between : float64[L - 1, G, G]
    link : float64[G, G]
    kind : str
        ``MAX`` or ``SUM``.

    Returns
    -------
    int64[L, G]
        The rank of every cluster.
    """
    join = np.max if kind == MAX else np.sum
    n_ranks = len(link)
    states = np.array(list(permutations(range(n_ranks))), dtype=np.int64)
    best = np.zeros(len(states))
    came_from = np.empty((len(between), len(states)), dtype=np.int64)
    for layer, pairs in enumerate(between):
        # [s, c, c', h] joined over c
        single = join(pairs[None, :, :, None] * link[states][:, :, None, :], axis=1)
        cost = join(
            np.stack([single[:, c][:, states[:, c]] for c in range(n_ranks)]), axis=0
        )  # [s, t]
        through = best[:, None] + cost
        came_from[layer] = through.argmin(axis=0)
        best = through.min(axis=0)
    path = [int(best.argmin())]
    for origin in came_from[::-1]:
        path.append(int(origin[path[-1]]))
    return states[path[::-1]]


def map_by_swaps(between: FloatArray, link: FloatArray, sweeps: int = 20) -> IntArray:
    """Map clusters to ranks by the best swap of two clusters of a layer, until none helps.

    For the sum of transfers and more ranks than permutations can be listed. Parameters and result
    are those of `map_exactly`.
    """
    n_layers, n_ranks = len(between) + 1, len(link)
    ranks = np.tile(np.arange(n_ranks, dtype=np.int64), (n_layers, 1))
    for _ in range(sweeps):
        before = ranks.copy()
        for layer in range(n_layers):
            cost = np.zeros((n_ranks, n_ranks))  # of every cluster on every rank
            if layer:
                cost += between[layer - 1].T @ link[ranks[layer - 1]]
            if layer + 1 < n_layers:
                cost += between[layer] @ link[:, ranks[layer + 1]].T
            _swap(cost, ranks[layer])
        if (before == ranks).all():
            break
    return ranks


def tables_of(
    problem: PlacementProblem, clusters: IntArray, ranks: IntArray | None = None
) -> IntArray:
    """int64[L, H, C]: tables of live ranks from clusters of equal size.

    Parameters
    ----------
    clusters : int64[L, E]
    ranks : int64[L, H], optional
        The rank of every cluster; in order if left out.
    """
    rank = clusters if ranks is None else np.take_along_axis(ranks, clusters, axis=1)
    experts = np.argsort(rank, axis=1, kind="stable")
    return experts.reshape(problem.n_layers, len(problem.live), problem.slots)


def _balanced(problem: PlacementProblem, search: Search) -> IntArray:
    """Return clusters by the balance model: exactly, by a solver, or nearly."""
    from mapc.models.placement.baselines.moetuner_models import lower_balance

    clusters, exact = balanced_clusters(problem)
    if exact:
        return clusters
    if problem.n_experts * len(problem.live) > MAX_BINARIES:
        search.note("moetuner: too many experts for its balance model, balanced greedily instead")
        return clusters
    for layer in range(problem.n_layers):
        if search.done():
            break
        program, lift = lower_balance(problem, layer, start=clusters[layer])
        share = search.remaining() * SOLVER_SHARE / (problem.n_layers - layer)
        solution = _solved(search, program, share)
        if solution.values is not None:
            clusters[layer] = lift(solution)
    return clusters


def _map_by_solver(
    problem: PlacementProblem, search: Search, clusters: IntArray, ranks: IntArray
) -> None:
    from mapc.models.placement.baselines.moetuner_models import lower_mapping

    products = (problem.n_layers - 1) * len(problem.live) ** 4
    if products > MAX_PRODUCTS:
        search.note("moetuner: too many ranks for its mapping model, mapped by swaps instead")
        return
    if search.done():
        return
    program, lift = lower_mapping(problem, clusters, start=ranks)
    solution = _solved(search, program, search.remaining() * SOLVER_SHARE)
    if solution.values is not None:
        found = lift.ranks(solution)
        offer(problem, search, tables_of(problem, clusters, found), "moetuner")


def _solved(search: Search, program: Program, time: float) -> Solution:
    if search.deterministic:
        return search.solve(program, work=WORK)
    return search.solve(program, time=time)


def _swap(cost: FloatArray, rank: IntArray) -> None:
    """Swap the ranks of two clusters while that lowers the cost, in place."""
    for _ in range(len(rank) ** 2):
        own = cost[np.arange(len(rank)), rank]
        moved = cost[:, rank]  # of cluster a on the rank of cluster b
        gain = own[:, None] + own - moved - moved.T
        a, b = np.unravel_index(gain.argmax(), gain.shape)
        if gain[a, b] <= 1e-12 * own.sum():
            return
        rank[a], rank[b] = rank[b], rank[a]
