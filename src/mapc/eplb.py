"""A drop-in for EPLB: the same call, the same tables, a better balance.

Where a runtime or a script imports EPLB's ``rebalance_experts``, this one takes its place::

    from mapc.eplb import rebalance_experts

    phy2log, log2phy, logcnt = rebalance_experts(weight, num_replicas, num_groups, num_nodes,
                                                 num_gpus)

In vLLM, whose load balancer asks a policy, `EplbPolicy` takes the place of the default one before
the engine starts::

    from vllm.distributed.eplb import policy
    from mapc.eplb import EplbPolicy

    policy.EPLB_POLICIES["default"] = EplbPolicy

Equal loads give equal tables, on every rank that asks: nothing depends on a clock. The search runs
as compiled code; ``mapc warmup`` compiles it beforehand, else the first call waits for that.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.baselines import eplb
from mapc.models.placement.baselines.layouts import without_duplicates
from mapc.models.placement.baselines.slot_order import keep_slots, match_ranks
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.work.balance import balance_tables

__all__ = ["EplbPolicy", "rebalance_experts"]

ROUNDS = 2
"""Rounds of annealing for layers that descent leaves above their bound: a cluster is waiting."""


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> tuple[Any, Any, Any]:
    """Place the replicas of experts, called as EPLB is.

    Where ``num_nodes`` divides ``num_groups``, groups of experts stay whole on one node, as EPLB's
    hierarchical rule wants it; else any expert may be on any rank. No rank holds an expert twice,
    and no layer is balanced worse than by EPLB under that rule. Only where a node has fewer experts
    than a rank has slots, duplicates cannot be avoided, and EPLB's own answer is returned.

    Parameters
    ----------
    weight : array, tensor or nested lists, [L, E]
        Tokens of every expert in every layer, >= 0.
    num_replicas : int
        Slots per layer over all ranks, a multiple of ``num_gpus``.
    num_groups : int
        Expert groups.
    num_nodes : int
    num_gpus : int
        Ranks; rank g owns the slots from ``g * num_replicas / num_gpus`` to the next one's.

    Returns
    -------
    phy2log : int64[L, num_replicas]
        The expert in every slot.
    log2phy : int64[L, E, num_replicas - E + 1]
        The slots of every expert, padded with -1.
    logcnt : int64[L, E]
        Replicas of every expert.
        All of the kind that ``weight`` is: torch tensors for a tensor, else numpy arrays.

    Raises
    ------
    ValueError
        For sizes that do not divide, and weights that are not finite and >= 0.
    """
    load = eplb.check_input(_as_array(weight), num_replicas, num_groups, num_nodes, num_gpus)
    if num_groups % num_nodes:
        num_groups = num_nodes = 1
    table = _placed(load, num_replicas, num_groups, num_nodes, num_gpus)
    tables = eplb.tables_from(table.reshape(len(load), num_replicas), load.shape[1])
    phy2log, log2phy, logcnt = (_like(weight, found) for found in tables)
    return phy2log, log2phy, logcnt


class EplbPolicy:
    """vLLM's policy interface (``AbstractEplbPolicy``).

    Beside the balance it keeps copies few: ranks of a node are named after those before with which
    they share most experts, and an expert that stays on a rank keeps its slot.
    """

    name: ClassVar[str] = "mapc"

    @classmethod
    def rebalance_experts(
        cls,
        weight: Any,
        num_replicas: int,
        num_groups: int,
        num_nodes: int,
        num_ranks: int,
        old_global_expert_indices: Any = None,
    ) -> Any:
        """Return the expert in every slot.

        Parameters
        ----------
        weight : array or tensor, [L, E]
            L counts the layers with experts only.
        num_replicas, num_groups, num_nodes, num_ranks : int
            As in `rebalance_experts`.
        old_global_expert_indices : array or tensor, int[L, num_replicas], optional
            The placement in force; -1: an empty slot.

        Returns
        -------
        int64[L, num_replicas]
            Of the kind that ``weight`` is.

        Raises
        ------
        ValueError
            As `rebalance_experts`, and for an old placement of another shape.
        """
        load = eplb.check_input(_as_array(weight), num_replicas, num_groups, num_nodes, num_ranks)
        if num_groups % num_nodes:
            num_groups = num_nodes = 1
        table = _placed(load, num_replicas, num_groups, num_nodes, num_ranks)
        if old_global_expert_indices is not None:
            old = _as_array(old_global_expert_indices).astype(np.int64)
            if old.shape != (len(load), num_replicas):
                right = (len(load), num_replicas)
                raise ValueError(f"the old placement has shape {old.shape}; expected {right}")
            old = np.clip(old, -1, load.shape[1]).reshape(table.shape)
            node = np.arange(num_ranks) // (num_ranks // num_nodes)
            table = keep_slots(old, match_ranks(old, table, node))
        return _like(weight, table.reshape(len(load), num_replicas))


def _placed(
    load: FloatArray, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> IntArray:
    """int64[L, G, C]: the experts of every rank, groups whole on their node."""
    n_layers, n_experts = load.shape
    shape = (n_layers, num_gpus, num_replicas // num_gpus)
    theirs = eplb.rebalance(load, num_replicas, num_groups, num_nodes, num_gpus).phy2log
    theirs = theirs.reshape(shape)
    per_node, gpus = n_experts // num_nodes, num_gpus // num_nodes
    if shape[2] > per_node:
        return theirs
    theirs = without_duplicates(theirs, load, np.arange(num_gpus) // gpus)
    members = _members(load, num_groups, num_nodes)
    inside = np.take_along_axis(load[:, None], members, axis=2).reshape(-1, per_node)
    local = balance_tables(inside, gpus, shape[2], rounds=ROUNDS)
    local = local.reshape(n_layers, num_nodes, gpus * shape[2])
    ours = np.take_along_axis(members, local, axis=2).reshape(shape)
    better = _busiest(ours, load) <= _busiest(theirs, load)
    return np.asarray(np.where(better[:, None, None], ours, theirs))


def _members(load: FloatArray, num_groups: int, num_nodes: int) -> IntArray:
    """int64[L, N, E / N]: the experts of every node, groups kept whole, nodes balanced."""
    n_layers, n_experts = load.shape
    size = n_experts // num_groups
    if num_nodes == 1 or num_groups == num_nodes:
        return eplb.group_members(load, num_groups, num_nodes)
    whole = load.reshape(n_layers, num_groups, size).sum(axis=2)
    groups = balance_tables(whole, num_nodes, num_groups // num_nodes, rounds=0)
    members = groups[..., None] * size + np.arange(size)
    return np.asarray(members.reshape(n_layers, num_nodes, n_experts // num_nodes))


def _busiest(table: IntArray, load: FloatArray) -> FloatArray:
    """float64[L]: the load of the busiest rank."""
    flat = table.reshape(len(table), -1)
    count = np.zeros(load.shape)
    np.add.at(count, (np.arange(len(flat))[:, None], flat), 1.0)
    each = np.take_along_axis(load / np.maximum(count, 1.0), flat, axis=1)
    return np.asarray(each.reshape(table.shape).sum(axis=2).max(axis=1))


def _as_array(given: Any) -> Any:
    """Return a tensor, an array or nested lists as an array."""
    if _is_tensor(given):
        given = given.detach().cpu()
        # numpy has no bfloat16, and half precision adds up badly
        given = given.double().numpy() if given.is_floating_point() else given.numpy()
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weight is no table of numbers: {error}") from None


def _like(given: Any, found: IntArray) -> Any:
    if not _is_tensor(given):
        return found
    tensor: Any = sys.modules["torch"].from_numpy(np.ascontiguousarray(found))
    return tensor


def _is_tensor(given: Any) -> bool:
    """Whether it is a torch tensor; torch is there already if so."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)
