"""Which slot of its rank an expert takes: no plan cares, but a runtime copies less.

A runtime that goes from one table of slots to another copies the weights of every slot whose expert
changes, even where the expert was on the rank already.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray


def keep_slots(old: IntArray, new: IntArray) -> IntArray:
    """Order the slots of every rank such that experts which stay keep theirs.

    Parameters
    ----------
    old, new : int64[L, G, C]
        Experts before and after; -1: empty.

    Returns
    -------
    int64[L, G, C]
        ``new`` with the slots of each rank in another order: as few differ from ``old`` as can.
    """
    stays = _labels(old)[..., :, None] == _labels(new)[..., None, :]  # [L, G, old slot, new slot]
    kept, staying = stays.any(axis=3), stays.any(axis=2)
    # as many slots are free as experts arrive; both in ascending order
    free = np.argsort(kept, axis=2, kind="stable")
    arriving = np.argsort(staying, axis=2, kind="stable")
    ordered = np.empty_like(new)
    np.put_along_axis(ordered, free, np.take_along_axis(new, arriving, axis=2), axis=2)
    return np.where(kept, old, ordered)


def match_ranks(old: IntArray, new: IntArray, node: IntArray) -> IntArray:
    """Rename the ranks inside every node such that many experts stay where they are.

    Greedy, layer by layer: again and again the two ranks that share most experts. For ranks that
    are all alike, within a node.

    Parameters
    ----------
    old, new : int64[L, G, C]
    node : int64[G]

    Returns
    -------
    int64[L, G, C]
        ``new`` with its ranks in another order.
    """
    n_layers, n_ranks, _ = new.shape
    n_experts = int(max(old.max(), new.max())) + 1
    shared = _held(old, n_experts) @ _held(new, n_experts).transpose(0, 2, 1)
    shared[:, node[:, None] != node] = -1.0
    matched = np.empty_like(new)
    layer = np.arange(n_layers)
    for _ in range(n_ranks):
        to, origin = np.unravel_index(shared.reshape(n_layers, -1).argmax(axis=1), (n_ranks,) * 2)
        matched[layer, to] = new[layer, origin]
        shared[layer, to] = shared[layer, :, origin] = -2.0
    return matched


def _labels(table: IntArray) -> IntArray:
    """int64[L, G, C]: a number for each slot that tells apart the replicas of an expert."""
    same = table[..., :, None] == table[..., None, :]
    nth = np.tril(same, -1).sum(axis=3)
    return np.asarray(table * table.shape[2] + nth)


def _held(table: IntArray, n_experts: int) -> np.ndarray:
    """float32[L, G, E]: 1 for every expert on a rank."""
    held = np.zeros((*table.shape[:2], n_experts + 1), dtype=np.float32)
    np.put_along_axis(held, np.where(table < 0, n_experts, table), 1.0, axis=2)
    return held[..., :n_experts]
