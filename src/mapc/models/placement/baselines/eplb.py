"""EPLB, the greedy that serving runtimes ship (DeepSeek 2025), restated as the baseline to beat.

Three greedy steps, each over all layers at once:

1. *groups to nodes*: groups of experts, heaviest first, each to the lightest node with room;
2. *replicas*: inside a node, one more replica at a time to the expert with the most tokens per
   replica;
3. *replicas to ranks*: inside a node, heaviest first, each to the lightest rank with room.

That is the hierarchical rule; the global one has a single group on a single node. A replica is
taken to carry an equal part of its expert's tokens. Nothing keeps two replicas of an expert off the
same rank, where the second is wasted: that is how EPLB works, so it is kept here, and
`mapc.models.placement.baselines.layouts.without_duplicates` mends it where a plan is made of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.problem import FloatArray


class Tables(NamedTuple):
    """EPLB's answer; R slots, rank ``g`` of G owns slots ``g * R / G`` up to the next one's.

    Attributes
    ----------
    phy2log : int64[L, R]
        The expert in every slot.
    log2phy : int64[L, E, R - E + 1]
        The slots of every expert, padded with -1.
    logcnt : int64[L, E]
        Replicas of every expert.
    """

    phy2log: IntArray
    log2phy: IntArray
    logcnt: IntArray


def rebalance(
    weight: FloatArray, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> Tables:
    """Place replicas as EPLB does.

    Parameters
    ----------
    weight : [L, E]
        Tokens of every expert, >= 0.
    num_replicas : int
        Slots per layer over all ranks.
    num_groups : int
        Expert groups. The hierarchical rule holds if ``num_nodes`` divides it, else the global one.
    num_nodes, num_gpus : int

    Returns
    -------
    Tables
        ``(phy2log, log2phy, logcnt)``.

    Raises
    ------
    ValueError
        For sizes that EPLB does not take, and weights that are no loads.
    """
    load = check_input(weight, num_replicas, num_groups, num_nodes, num_gpus)
    if num_groups % num_nodes:
        num_groups = num_nodes = 1
    n_layers, n_experts = load.shape
    members = group_members(load, num_groups, num_nodes)
    inside = np.take_along_axis(load, members.reshape(n_layers, n_experts), axis=1)
    inside = inside.reshape(n_layers * num_nodes, n_experts // num_nodes)

    expert, nth, count = replicate(inside, num_replicas // num_nodes)
    each = np.take_along_axis(inside / count, expert, axis=1)
    rank, place = pack(each, num_gpus // num_nodes)
    slot = rank * (num_replicas // num_gpus) + place
    at = np.empty_like(slot)  # the replica in every slot
    np.put_along_axis(at, slot, np.broadcast_to(np.arange(slot.shape[1]), slot.shape), axis=1)

    members = members.reshape(inside.shape)
    local = np.take_along_axis(expert, at, axis=1)
    phy2log = np.take_along_axis(members, local, axis=1).reshape(n_layers, num_replicas)
    nth = np.take_along_axis(nth, at, axis=1).reshape(n_layers, num_replicas)
    logcnt = np.empty((n_layers, n_experts), dtype=np.int64)
    np.put_along_axis(
        logcnt, members.reshape(n_layers, n_experts), count.reshape(n_layers, n_experts), axis=1
    )
    return Tables(phy2log, _slots_of(phy2log, nth, n_experts), logcnt)


def tables_from(phy2log: IntArray, n_experts: int) -> Tables:
    """Return the tables of any placement: int64[L, R], every expert somewhere in every layer."""
    n_layers, n_slots = phy2log.shape
    logcnt = np.zeros((n_layers, n_experts), dtype=np.int64)
    np.add.at(logcnt, (np.arange(n_layers)[:, None], phy2log), 1)
    order = np.argsort(phy2log, axis=1, kind="stable")
    first = np.cumsum(logcnt, axis=1) - logcnt
    sorted_first = np.take_along_axis(first, np.take_along_axis(phy2log, order, axis=1), axis=1)
    nth = np.empty_like(phy2log)
    np.put_along_axis(nth, order, np.arange(n_slots) - sorted_first, axis=1)
    return Tables(phy2log, _slots_of(phy2log, nth, n_experts), logcnt)


def check_input(
    weight: FloatArray, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> FloatArray:
    """Return the loads as float64[L, E].

    Raises
    ------
    ValueError
        As `rebalance`.
    """
    load = np.asarray(weight, dtype=np.float64)
    if load.ndim != 2 or not load.size:
        raise ValueError(f"weight has shape {load.shape}; expected [layers, experts]")
    if not np.isfinite(load).all() or (load < 0).any():
        raise ValueError("weight: not all finite and >= 0; expected tokens of every expert")
    n_experts = load.shape[1]
    sizes = {"num_groups": num_groups, "num_nodes": num_nodes, "num_gpus": num_gpus}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} {size}; expected at least 1")
    if num_replicas < n_experts:
        raise ValueError(f"num_replicas {num_replicas}; expected at least {n_experts}, the experts")
    if num_replicas % num_gpus:
        raise ValueError(f"num_replicas {num_replicas}; expected a multiple of {num_gpus} GPUs")
    if num_groups % num_nodes == 0:
        if n_experts % num_groups:
            raise ValueError(f"{n_experts} experts; expected a multiple of {num_groups} groups")
        if num_gpus % num_nodes:
            raise ValueError(f"num_gpus {num_gpus}; expected a multiple of {num_nodes} nodes")
    return load


def group_members(load: FloatArray, num_groups: int, num_nodes: int) -> IntArray:
    """int64[L, N, E / N]: the experts of every node, groups kept whole (step 1)."""
    n_layers, n_experts = load.shape
    size = n_experts // num_groups
    node, place = pack(load.reshape(n_layers, num_groups, size).sum(axis=2), num_nodes)
    groups = np.argsort(node * (num_groups // num_nodes) + place, axis=1)
    experts = groups[:, :, None] * size + np.arange(size)
    return np.ascontiguousarray(experts.reshape(n_layers, num_nodes, n_experts // num_nodes))


def pack(load: FloatArray, packs: int) -> tuple[IntArray, IntArray]:
    """Spread items over packs of equal size, heaviest first, each to the lightest with room.

    Parameters
    ----------
    load : float64[X, n]
        A multiple of ``packs`` items in each row.
    packs : int

    Returns
    -------
    pack, place : int64[X, n]
        The pack of every item, and its place among those of the pack in order of arrival.
    """
    n_rows, n = load.shape
    most = n // packs
    if most == 1:  # EPLB leaves single items where they are
        index = np.broadcast_to(np.arange(n), load.shape).astype(np.int64)
        return index, np.zeros_like(index)
    row = np.arange(n_rows)
    held = np.zeros((n_rows, packs), dtype=np.int64)
    total = np.zeros((n_rows, packs))  # infinite once full
    pack_of, place = np.empty((2, n_rows, n), dtype=np.int64)
    for item in np.argsort(-load, axis=1, kind="stable").T:
        to = total.argmin(axis=1)
        pack_of[row, item], place[row, item] = to, held[row, to]
        held[row, to] += 1
        total[row, to] += np.where(held[row, to] < most, load[row, item], np.inf)
    return pack_of, place


def replicate(load: FloatArray, slots: int) -> tuple[IntArray, IntArray, IntArray]:
    """Give spare slots, one at a time, to the expert with the most load per replica.

    Parameters
    ----------
    load : float64[X, E]
    slots : int
        At least E.

    Returns
    -------
    expert, nth : int64[X, slots]
        The expert of every replica, and which of its replicas it is, from 0.
    count : int64[X, E]
        Replicas of every expert.
    """
    n_rows, n_experts = load.shape
    row = np.arange(n_rows)
    expert = np.broadcast_to(np.arange(slots), (n_rows, slots)).astype(np.int64)
    nth = np.zeros_like(expert)
    count = np.ones((n_rows, n_experts), dtype=np.int64)
    for slot in range(n_experts, slots):
        hottest = (load / count).argmax(axis=1)
        expert[:, slot], nth[:, slot] = hottest, count[row, hottest]
        count[row, hottest] += 1
    return expert, nth, count


def _slots_of(phy2log: IntArray, nth: IntArray, n_experts: int) -> IntArray:
    """int64[L, E, R - E + 1]: the inverse of ``phy2log``, by number of replica."""
    n_layers, n_slots = phy2log.shape
    log2phy = np.full((n_layers, n_experts, n_slots - n_experts + 1), -1, dtype=np.int64)
    log2phy[np.arange(n_layers)[:, None], phy2log, nth] = np.arange(n_slots)
    return log2phy
