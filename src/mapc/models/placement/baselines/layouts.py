"""What users run today, as plans: experts in order, and EPLB's two rules."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement.baselines import eplb
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of


def contiguous(problem: PlacementProblem, search: Search) -> None:
    """Propose experts in order; spare slots repeat them from the first on.

    The layout vLLM and SGLang start with: slot p holds expert ``p mod E``. Consecutive slots of a
    rank are no more than E, so that no expert is twice on a rank.
    """
    order = np.arange(problem.n_slots) % problem.n_experts
    table = order.reshape(len(problem.live), problem.slots)
    offer(problem, search, np.repeat(table[None], problem.n_layers, axis=0), "contiguous")


def eplb_hierarchical(problem: PlacementProblem, search: Search) -> None:
    """Propose what EPLB gives: groups packed on nodes if they divide, the global rule if not."""
    nodes = problem.node[problem.live]
    sizes = np.bincount(nodes, minlength=problem.n_nodes)
    groups = problem.groups
    if groups % problem.n_nodes == 0 and (sizes != sizes[0]).any():
        return  # nodes of unequal size: EPLB refuses them
    tables = eplb_tables(problem, groups, problem.n_nodes)
    placed = np.empty_like(tables)
    placed[:, np.argsort(nodes, kind="stable")] = tables  # EPLB numbers ranks node by node
    offer(problem, search, placed, "eplb")


def eplb_global(problem: PlacementProblem, search: Search) -> None:
    """Propose what EPLB's global rule gives: one group, one node."""
    offer(problem, search, eplb_tables(problem, 1, 1), "eplb-global")


def offer(problem: PlacementProblem, search: Search, tables: IntArray, source: str) -> None:
    """Propose tables of live ranks, int64[L, H, C], as a plan without a split of its own."""
    plan = plan_of(problem, tables)
    # a baseline knows no pins and no budget: it is a plan only where it happens to keep them
    if problem.free or _holds(problem, plan):
        search.propose(plan, source)


def eplb_tables(problem: PlacementProblem, groups: int, nodes: int) -> IntArray:
    """int64[L, H, C]: EPLB's tables for the weighted mean load, without duplicates on a rank.

    EPLB knows a single load, here ``sum_p factor[p] * counts[p]``, and neither speeds nor dead
    ranks: it sees the H live ones, all alike.
    """
    load = mean_load(problem)
    n_ranks = len(problem.live)
    found = eplb.rebalance(load, problem.n_slots, groups, nodes, n_ranks)
    tables = found.phy2log.reshape(problem.n_layers, n_ranks, problem.slots)
    kept = nodes if groups % nodes == 0 else 1
    return without_duplicates(tables, load, np.arange(n_ranks) // (n_ranks // kept))


def mean_load(problem: PlacementProblem) -> FloatArray:
    """float64[L, E]: tokens of every expert, profiles weighted as in the objective."""
    return np.asarray(np.tensordot(problem.factor, problem.counts, axes=1))


def without_duplicates(tables: IntArray, load: FloatArray, node: IntArray) -> IntArray:
    """Mend tables in which a rank holds an expert twice, by the least change.

    For each duplicate, one slot of the rank is exchanged for one of another rank, such that neither
    then holds an expert twice because of it: the exchange with the least larger load of the two
    ranks. Where nothing can be exchanged (an expert with more replicas than ranks) the duplicate
    becomes a replica of the expert with most load per replica that the rank has not. Both stay
    within the experts of the node, unless these are fewer than a rank has slots.

    Parameters
    ----------
    tables : int64[L, H, C]
        C <= E.
    load : float64[L, E]
    node : int64[H]

    Returns
    -------
    int64[L, H, C]
        A copy; layers without duplicates are as they were.
    """
    mended = tables.copy()
    ordered = np.sort(tables, axis=2)
    for layer in np.flatnonzero((ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=(1, 2))):
        table = mended[layer]
        while (found := _duplicate(table)) is not None:
            _mend(table, load[layer], node, *found)
    return mended


def _holds(problem: PlacementProblem, plan: PlacementPlan) -> bool:
    from mapc.models.placement.verify import verify

    return not verify(problem, plan).violations


def _duplicate(table: IntArray) -> tuple[int, int] | None:
    """Return rank and slot of an expert that the rank holds in an earlier slot too."""
    same = table[:, :, None] == table[:, None, :]
    rank, slot, _ = np.nonzero(np.tril(same, -1))
    return (int(rank[0]), int(slot[0])) if len(rank) else None


def _mend(table: IntArray, load: FloatArray, node: IntArray, rank: int, slot: int) -> None:
    """Get rid of one duplicate of one layer, in place."""
    expert = table[rank, slot]
    each = load / np.maximum(np.bincount(table.ravel(), minlength=len(load)), 1)
    total = each[table].sum(axis=1)
    there = (table == expert).any(axis=1)
    near = node == node[rank]
    for reach in (near, np.ones_like(near)):
        usable = ~np.isin(table, table[rank]) & (reach & ~there)[:, None]  # [H, C]
        if usable.any():
            gain = each[expert] - each[table]
            worse = np.maximum(total[:, None] + gain, total[rank] - gain)
            other = np.unravel_index(np.where(usable, worse, np.inf).argmin(), table.shape)
            table[rank, slot], table[other] = table[other], expert
            return
        lacks = np.setdiff1d(table[reach], table[rank])
        if len(lacks):
            table[rank, slot] = lacks[each[lacks].argmax()]
            return
