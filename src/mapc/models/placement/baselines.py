"""What users run today, as plans: experts in order, and EPLB's two rules."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement import eplb
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, HOME, FloatArray, PlacementProblem
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
    """Propose tables of live ranks, int64[L, H, C], as a plan; tokens of replicas split evenly."""
    split = even_split(problem, tables) if problem.dispatch == ADAPTIVE else None
    plan = plan_of(problem, tables, split)
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
    ranks, within the node if there is one there. Where nothing can be exchanged (an expert with
    more replicas than ranks) the duplicate becomes a replica of the expert with most load per
    replica that the rank has not.

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


def even_split(problem: PlacementProblem, tables: IntArray) -> IntArray:
    """int64[P, L, Q, H, C]: the split of a plan in which replicas share evenly, in whole tokens.

    What does not divide goes to the first replicas, one token each.
    """
    use_sources = problem.sources is not None and problem.traffic == HOME
    sources = problem.sources if use_sources else None
    tokens = problem.counts[:, :, None] if sources is None else sources
    n_layers = len(tables)
    flat = tables.reshape(n_layers, -1)
    row = np.arange(n_layers)[:, None]
    found = eplb.tables_from(flat, problem.n_experts)
    nth = np.empty_like(flat)
    layer, expert, which = np.nonzero(found.log2phy >= 0)
    nth[layer, found.log2phy[layer, expert, which]] = which
    whole, rest = np.divmod(tokens, found.logcnt[None, :, None, :])
    at = (slice(None), row, slice(None), flat)  # -> [L, H * C, P, Q]
    share = whole[at] + (rest[at] > nth[:, :, None, None])
    shape = (*tables.shape, tokens.shape[0], tokens.shape[2])
    return np.ascontiguousarray(share.reshape(shape).transpose(3, 0, 4, 1, 2))


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
    usable = ~there[:, None] & ~np.isin(table, table[rank])  # [H, C]
    if not usable.any():
        lacks = np.setdiff1d(np.arange(len(load)), table[rank])
        table[rank, slot] = lacks[each[lacks].argmax()]
        return
    near = usable & (node == node[rank])[:, None]
    usable = near if near.any() else usable
    gain = each[expert] - each[table]
    worse = np.maximum(total[:, None] + gain, total[rank] - gain)
    other = np.unravel_index(np.where(usable, worse, np.inf).argmin(), table.shape)
    table[rank, slot], table[other] = table[other], expert
