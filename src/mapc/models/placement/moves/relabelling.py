"""Names of ranks that can be exchanged for free, so that a fresh placement moves less."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.placement.moves.rules import members
from mapc.models.placement.problem import CHAIN, EQUAL, HOME, FloatArray, PlacementProblem

KERNELS = "mapc.models.placement.chains.assignment_kernels"


def interchangeable(problem: PlacementProblem) -> IntArray:
    """int64[L, H]: a class for every live rank and layer; to permute a class changes nothing.

    Ranks of a class have the same speed, pins and forbidden pairs, and, where transfers cost
    something, the same node, links and sources. For ``CHAIN`` traffic all layers have to be
    permuted alike.
    """
    live = problem.live
    apart = problem.cluster.speed[live][:, None] != problem.cluster.speed[live]
    if not problem.balance_only or problem.dispatch != EQUAL:
        apart |= problem.node[live][:, None] != problem.node[live]
        apart |= ~_alike(problem.pair[np.ix_(live, live)])
    apart = np.repeat(apart[None], problem.n_layers, axis=0)
    sources = problem.sources
    if sources is not None and problem.traffic == HOME and sources.shape[2] == problem.n_ranks:
        for g, rank in enumerate(live):
            apart[:, g] |= (sources[:, :, live] != sources[:, :, [rank]]).any(axis=(0, 3))
    marks = np.zeros((problem.n_layers, problem.n_ranks), dtype=np.int64)
    for triples in (problem.pinned, problem.forbidden):
        layer, _, rank = triples.T
        marks[layer, rank] = rank + 1  # a rank with rules of its own is a class of its own
    apart |= marks[:, live][:, :, None] != marks[:, live][:, None, :]
    return np.asarray((~apart).argmax(axis=2))


def _alike(pair: FloatArray) -> BoolArray:
    """bool[H, H]: whether links stay the same when two ranks change names."""
    n = len(pair)
    alike = np.eye(n, dtype=np.bool_)
    for g in range(n):
        for h in range(g):
            names = np.arange(n)
            names[[g, h]] = h, g
            same = bool((pair[np.ix_(names, names)] == pair).all())
            alike[g, h] = alike[h, g] = same
    return alike


def relabel(problem: PlacementProblem, tables: IntArray) -> IntArray:
    """Rename interchangeable ranks so that as little as possible differs from what is in force.

    One linear assignment for each class of ranks, layer by layer; for ``CHAIN`` traffic one for
    all layers together. The objective stays what it is, and moves are the fewest that names allow.

    Parameters
    ----------
    problem : PlacementProblem
        With a placement in force.
    tables : int64[L, H, C]

    Returns
    -------
    int64[L, H, C]
    """
    kernels = load(KERNELS)
    if problem.current is None or kernels is None:
        return tables
    current = problem.current[:, problem.live]
    n_experts, n_ranks = problem.n_experts, tables.shape[1]
    kept = np.empty((problem.n_layers, n_ranks, n_ranks), dtype=np.int64)
    for layer, table in enumerate(tables):
        now = members(table, n_experts, n_ranks).astype(np.int64)
        kept[layer] = now.T @ members(current[layer], n_experts, n_ranks).astype(np.int64)
    classes = interchangeable(problem)
    together = problem.traffic == CHAIN and not problem.balance_only
    if together:
        kept[:] = kept.sum(axis=0)
        classes = np.array([_common(classes)] * problem.n_layers)
    result = np.empty_like(tables)
    column = np.empty(n_ranks, dtype=np.int64)
    far = problem.n_slots * problem.n_layers + 1  # nothing is worth leaving one's class
    for layer in range(problem.n_layers):
        if layer == 0 or not together:
            same = classes[layer][:, None] == classes[layer]
            kernels.assign(np.where(same, -kept[layer], far).astype(np.float64), column)
        result[layer, column] = tables[layer]
    return result


def _common(classes: IntArray) -> IntArray:
    """int64[H]: classes of ranks that share a class in every layer."""
    return np.unique(classes.T, axis=0, return_inverse=True)[1].reshape(-1)
