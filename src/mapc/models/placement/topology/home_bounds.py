"""Lower bounds on transfers of home traffic.

Every token leaves its place (node or rank) unless a copy of its expert is there. Without a limit on
loads the best choice of copies is a flow problem, solved exactly (`selection`). With one, copies
must share the load, too: its rows and those of the slots are priced (Lagrange), which leaves one
small choice per expert, of the nodes that hold it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.topology.node_search import nodes_of
from mapc.models.placement.topology.propagation import residents
from mapc.models.placement.topology.selection import best_copies, transport_cost, whole_worth

SAFE = 1 - 1e-9
"""Factor for what sums in floating point may be off by."""
ROUNDING = 1e-12
"""The same, of all tokens, where what is left of them is next to nothing."""
MOST_NODES = 5
"""Nodes up to which all sets of nodes that may hold an expert are looked at."""
STEPS, PATIENCE = 240, 12
"""Steps of the ascent, and those without gain after which it aims lower."""


def least_remote_tokens(
    problem: PlacementProblem, profile: int, search: Search
) -> tuple[FloatArray, FloatArray]:
    """Return tokens of every layer that leave their rank and their node at least, float64[L] each.

    Proof: under every dispatch rule a token can only stay on its rank if that holds its expert, and
    on its node if some rank of it does. So a copy of an expert on a place saves at most the tokens
    that live there and want it, and the best choice of copies within slots, every expert
    somewhere, saves most. With N equal sources and spare copies of weight B the rest is
    ``1 - (1 + B) / N`` of the tokens. Under a load limit `priced_remote` holds as well.
    """
    live, nodes = problem.live, nodes_of(problem)
    by_rank, by_node = np.zeros(problem.n_layers), np.zeros(problem.n_layers)
    apart = problem.n_nodes > 1
    lives = np.zeros((problem.n_layers, problem.n_experts, len(nodes.ranks)))
    for layer in range(problem.n_layers):
        if search.done():
            return by_rank, by_node
        at = residents(problem, profile, layer)
        by_rank[layer] = least_remote(at[live].T, np.full(len(live), problem.slots), search.done)
        lives[layer] = np.stack([at[ranks].sum(axis=0) for ranks in nodes.ranks], axis=1)
        if apart:
            by_node[layer] = least_remote(lives[layer], nodes.slots, search.done)
    limit = problem.max_imbalance
    if apart and limit is not None and len(nodes.ranks) <= MOST_NODES:
        speed = problem.cluster.speed[live]
        # no load exceeds the limit times the mean of loads, at most that of the slowest rank alone
        most = np.minimum(nodes.capacity * limit * speed.mean() / speed.min(), 1.0)
        by_node = np.maximum(by_node, priced_remote(lives, nodes.slots, most, search.done))
    return by_rank, by_node


def priced_remote(
    lives: FloatArray, slots: IntArray, most: FloatArray, done: Callable[[], bool]
) -> FloatArray:
    """Return tokens that leave their node at least if loads are limited, float64[L].

    Proof: for prices ``a, b >= 0`` of a slot and of a token's load on each node, tokens that leave
    plus ``a (copies - slots) + b (load - most)`` are no more than tokens that leave, in any plan
    within both limits. The sum falls apart by experts: the nodes that hold an expert cost their
    slots, and each of its tokens at best ``min over these of (whether it leaves + b)``, whatever
    the dispatch rule. Minimised over all sets of nodes, it is a bound for any prices; an ascent
    along subgradients (Polyak's steps towards an assumed gain that shrinks) looks for good ones.

    Parameters
    ----------
    lives : float64[L, E, N]
        Tokens by the expert they want and the node they live on.
    slots : int64[N]
        Different experts a node can hold.
    most : float64[N]
        Part of a layer's tokens a node may handle.
    done : callable
    """
    n_layers, n_experts, n = lives.shape
    total = np.maximum(lives.sum(axis=(1, 2)), 1.0)
    mass = lives / total[:, None, None]
    sets = _subsets(n)
    slot_price = np.zeros((n_layers, n))
    load_price = np.zeros((n_layers, n))
    best, aim = np.full(n_layers, -np.inf), np.full(n_layers, 0.05)
    waited = np.zeros(n_layers, dtype=np.int64)
    for _ in range(STEPS):
        if done():
            break
        value, over_slots, over_load = _priced(mass, sets, slots, most, slot_price, load_price)
        better = value > best + 1e-7
        best = np.maximum(best, value)
        waited = np.where(better, 0, waited + 1)
        aim = np.where(waited > PATIENCE, aim / 2, aim)
        waited[waited > PATIENCE] = 0
        # slots are counted in parts of the experts, which makes both prices alike
        over_slots = over_slots / n_experts
        size = (over_slots**2).sum(axis=1) + (over_load**2).sum(axis=1)
        step = (best + aim - value) / np.maximum(size, 1e-12)
        slot_price = np.maximum(slot_price + step[:, None] * over_slots / n_experts, 0.0)
        load_price = np.maximum(load_price + step[:, None] * over_load, 0.0)
    # values are of one token in all; float sums of them are wrong by far less than this
    return np.asarray(np.maximum(best - ROUNDING, 0.0) * total * SAFE)


def _subsets(n: int) -> BoolArray:
    """bool[2**n - 1, n]: all sets of nodes but the empty one."""
    numbers = np.arange(1, 2**n)
    return np.asarray((numbers[:, None] >> np.arange(n)) & 1, dtype=np.bool_)


def _priced(
    mass: FloatArray,
    sets: BoolArray,
    slots: IntArray,
    most: FloatArray,
    slot_price: FloatArray,
    load_price: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the bound at given prices, and by how much slots and loads of nodes are exceeded."""
    n = sets.shape[1]
    leave = (1.0 - np.eye(n)) + load_price[:, None, :]  # [L, source, node]
    cost = np.where(sets[None, :, None, :], leave[:, None], np.inf)  # [L, K, source, node]
    target = cost.argmin(axis=3)
    per_token = cost.min(axis=3)
    held = sets @ slot_price.T  # [K, L]
    in_all = mass @ per_token.transpose(0, 2, 1) + held.T[:, None, :]  # [L, E, K]
    chosen = in_all.argmin(axis=2)
    value = np.take_along_axis(in_all, chosen[:, :, None], axis=2).sum(axis=(1, 2))
    value -= slot_price @ slots + load_price @ most
    over_slots = sets[chosen].sum(axis=1) - slots
    goes = np.take_along_axis(target, chosen[:, :, None], axis=1)  # [L, E, source]
    load = np.stack([np.where(goes == m, mass, 0.0).sum(axis=(1, 2)) for m in range(n)], axis=1)
    return value, over_slots, load - most


def least_transport(problem: PlacementProblem, layer: int, search: Search) -> float:
    """Return ticks that the transfers of a layer take at least; one slot per expert.

    Proof: every expert has one rank, which all its tokens go to and come from, so that transfers
    are a cost of experts on ranks; the cheapest way to fill the slots is found exactly. Where
    costs are not whole, transfers of every profile are rounded to ticks: by half a tick each.
    """
    if search.done():
        return 0.0
    cost = transport_cost(problem, layer, range(problem.n_profiles))
    worth, unit, base = whole_worth(cost)
    on = best_copies(worth, np.full(len(problem.live), problem.slots), search.done)
    if on is None:
        return 0.0
    total = problem.n_experts * base - unit * float((worth * on).sum())
    whole = np.array_equal(cost, np.rint(cost))
    if not whole:
        total = total * SAFE - problem.n_profiles / 2
    return float(max(np.floor(total), 0.0))


def least_remote(lives: FloatArray, slots: IntArray, done: Callable[[], bool]) -> float:
    """Return tokens of a layer that leave their place at least, 0 without kernels.

    Parameters
    ----------
    lives : float64[E, N]
        Tokens by the expert they want and the place they live on.
    slots : int64[N]
        Different experts a place can hold.
    done : callable
    """
    # worth that is not whole is rounded up: what is saved is never counted too low
    unit = 1.0 if np.array_equal(lives, np.rint(lives)) else 2.0**-16
    worth = np.ceil(lives / unit).astype(np.int64)
    on = best_copies(worth, slots, done)
    return 0.0 if on is None else float(max(lives.sum() - (worth * on).sum() * unit, 0.0))
