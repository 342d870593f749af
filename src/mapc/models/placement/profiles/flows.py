"""The best split of every expert's tokens over its replicas, for placements that are given.

For one table, ranks g with a cost of a_g per token, and experts e with n_e tokens, the least time M
of the slowest rank is

    min M such that for every set T of ranks:  sum of n_e with all replicas in T
                                               <= sum over g in T of floor(M / a_g)

(max-flow/min-cut of the transportation problem from experts to ranks; with whole capacities there
is a whole flow, so nothing is lost by whole tokens). "<=" is necessary: these tokens have nowhere
else to go. `best_split` finds flow and cut together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.placement.problem import HOME, PlacementProblem

KERNELS = "mapc.models.placement.profiles.flows_kernels"


@dataclass(frozen=True, eq=False)
class Split:
    """The best split of given tables.

    Attributes
    ----------
    tokens : int64[P, L, H, C]
        What every slot takes.
    limit : int64[P, L]
        Ticks of the slowest rank.
    cut : bool[P, L, H]
        Ranks that prove ``limit``, see `cut_bound`.
    """

    tokens: IntArray
    limit: IntArray
    cut: BoolArray


def best_split(problem: PlacementProblem, tables: IntArray) -> Split:
    """Split tokens so that in every profile and layer the slowest rank is as fast as can be.

    Work is counted by tokens; where only activated experts cost, every token counts as one.

    Parameters
    ----------
    problem : PlacementProblem
    tables : int64[L, H, C]
        Experts of live ranks, without duplicates on a rank; every expert somewhere.
    """
    kernels = load(KERNELS)
    assert kernels is not None, "without a condition to give up, kernels load"
    shape = (problem.n_profiles, *tables.shape)
    split = Split(
        np.empty(shape, dtype=np.int64),
        np.empty(shape[:2], dtype=np.int64),
        np.empty(shape[:3], dtype=np.bool_),
    )
    ticks, counts = rank_ticks(problem), problem.counts.copy()  # kernels take writable arrays
    for p in range(problem.n_profiles):
        for layer, table in enumerate(tables):
            split.limit[p, layer] = kernels.split_tokens(
                table, counts[p, layer], ticks[p], split.tokens[p, layer],
                split.cut[p, layer],
            )  # fmt: skip
    return split


def cut_bound(problem: PlacementProblem, tables: IntArray, cut: BoolArray) -> IntArray:
    """Return ticks below which no split of these tables lets all ranks be done, int64[P, L].

    Proof: the tokens of experts whose replicas all lie within a cut stay there, and a rank g that
    is done in M ticks has taken at most floor(M / a_g) whole tokens. Assumes nothing but the
    tables; holds for any cut.

    Parameters
    ----------
    problem : PlacementProblem
    tables : int64[L, H, C]
    cut : bool[P, L, H]
    """
    ticks, bound = rank_ticks(problem), np.zeros(cut.shape[:2], dtype=np.int64)
    for p, layer in np.argwhere(cut.any(axis=2)):
        inside = cut[p, layer]
        stays = np.ones(problem.n_experts, dtype=np.bool_)
        stays[tables[layer, ~inside].ravel()] = False
        tokens, each = int(problem.counts[p, layer, stays].sum()), ticks[p, inside]
        low, high = 0, tokens * int(each.max())
        while low < high:
            middle = (low + high) // 2
            low, high = (
                (low, middle) if int((middle // each).sum()) >= tokens else (middle + 1, high)
            )
        bound[p, layer] = low
    return bound


def rank_ticks(problem: PlacementProblem) -> IntArray:
    """int64[P, H]: ticks of a token on each live rank, at least 1."""
    ticks = problem.token_ticks if problem.cost.token else problem.expert_ticks
    return np.ascontiguousarray(np.maximum(ticks[:, problem.live], 1), dtype=np.int64)


def by_source(problem: PlacementProblem, tables: IntArray, tokens: IntArray) -> IntArray:
    """int64[P, L, Q, H, C]: a split int64[P, L, H, C] as a plan of the problem states it.

    Q is 1 but where the tokens' sources are known and transfers cost something: then every source
    is served by replicas on its rank first, on its node next, and by what is left last. That
    changes no rank's tokens.
    """
    if problem.balance_only or problem.traffic != HOME or problem.sources is None:
        return tokens[:, :, None]
    near = nearness(problem, problem.sources.shape[2])
    found = np.zeros((*tokens.shape[:2], len(near), *tokens.shape[2:]), dtype=np.int64)
    for p, layer in np.ndindex(tokens.shape[:2]):
        table, left = tables[layer], tokens[p, layer].copy()
        wanted = problem.sources[p, layer].copy()
        for close in (2, 1, 0):
            for q, g in np.argwhere(near == close):
                taken = np.minimum(wanted[q, table[g]], left[g])
                found[p, layer, q, g] += taken
                left[g] -= taken
                wanted[q, table[g]] -= taken
    return found


def nearness(problem: PlacementProblem, n_sources: int) -> IntArray:
    """int64[Q, H]: 2 where a source is a live rank itself, 1 on its node, 0 elsewhere."""
    node = problem.node
    if n_sources == problem.n_ranks:
        near = (node[:, None] == node).astype(np.int64) + np.eye(n_sources, dtype=np.int64)
    else:
        near = (np.arange(n_sources)[:, None] == node).astype(np.int64)
    return np.asarray(near[:, problem.live])
