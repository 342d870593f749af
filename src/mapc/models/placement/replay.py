"""What happens to every token of the window under a placement: the simulator of the verifier.

Every slot is given the tokens it handles, layer by layer, and every pair of ranks the tokens that
move between them; costs and figures follow from these two. It shares nothing with methods or with
`evaluate`, and methods do not use it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.problem import BUSIEST, CHAIN, LOCAL, FloatArray, PlacementProblem


@dataclass(frozen=True, eq=False)
class Replay:
    """What happens to the tokens of the window, layer by layer.

    Attributes
    ----------
    handled : float64[P, L, G, C]
        Tokens of every slot.
    flow : float64[P, L, G, G]
        Tokens from rank to rank; those that stay are on the diagonal.
    load : float64[P, L, H]
        Tokens of every live rank, divided by its speed.
    work : float64[P, L, H]
        Ticks of every live rank, not rounded.
    transfers : float64[P, L]
        Ticks, not rounded.
    """

    handled: FloatArray
    flow: FloatArray
    load: FloatArray
    work: FloatArray
    transfers: FloatArray


def follow(problem: PlacementProblem, slots: IntArray, split: IntArray | None) -> Replay:
    """Replay a table of slots that holds every expert, none twice on a rank.

    Parameters
    ----------
    problem : PlacementProblem
    slots : int64[L, G, C]
    split : int64[P, L, Q, G, C] or None
        None: as the dispatch rule says, and equally under adaptive dispatch.
    """
    handled, flow = _replay(problem, slots, held_by(problem, slots), split)
    load = _sum(handled)[:, :, problem.live] / problem.cluster.speed[problem.live]
    return Replay(handled, flow, load, _work(problem, handled), _transfers(problem, flow))


def held_by(problem: PlacementProblem, slots: IntArray) -> BoolArray:
    """bool[L, E, G]: what sits where."""
    held = np.zeros((problem.n_layers, problem.n_experts, problem.n_ranks), dtype=np.bool_)
    layer, rank, slot = np.nonzero(slots >= 0)
    held[layer, slots[layer, rank, slot], rank] = True
    return held


# -- tokens ----------------------------------------------------------------------------------------


def _replay(
    problem: PlacementProblem, slots: IntArray, held: BoolArray, split: IntArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the tokens of every slot and those that move between ranks.

    Returns
    -------
    handled : float64[P, L, G, C]
    flow : float64[P, L, G, G]
        From rank to rank, those that stay on the diagonal.
    """
    if problem.traffic == CHAIN:
        return _chain(problem, slots, held)
    if problem.dispatch == LOCAL:
        return _nearest(problem, slots, held)
    if split is None:
        handled = _gather(problem.counts / held.sum(axis=2), slots)
    else:
        handled = split.sum(axis=2).astype(np.float64)
    return handled, _home(problem, slots, handled, split)


def _gather(per_expert: FloatArray, slots: IntArray) -> FloatArray:
    """Return [P, L, E] as [P, L, G, C], zero in empty slots."""
    layer = np.arange(len(slots))[:, None, None]
    return np.where(slots >= 0, per_expert[:, layer, slots], 0.0)


def _spread(problem: PlacementProblem, n_sources: int) -> FloatArray:
    """float64[G, Q]: part of the tokens of a source that live on each rank."""
    if n_sources == problem.n_ranks:
        return np.eye(n_sources)
    alive = ~problem.dead
    member = np.ones((problem.n_ranks, 1), dtype=np.bool_)
    if n_sources > 1:
        member = problem.node[:, None] == np.arange(n_sources)
    member &= alive[:, None]
    return np.asarray(member / np.maximum(member.sum(axis=0), 1))


def _lives(problem: PlacementProblem) -> IntArray:
    """int64[P, L, Q, E]: tokens by where they live; one source where nobody said."""
    return problem.counts[:, :, None, :] if problem.sources is None else problem.sources


def _home(
    problem: PlacementProblem,
    slots: IntArray,
    handled: FloatArray,
    split: IntArray | None,
) -> FloatArray:
    """float64[P, L, G, G]: tokens from where they live, where nearness plays no part."""
    if split is not None and split.shape[2] > 1:
        return np.asarray(_spread(problem, split.shape[2]) @ split.sum(axis=4))
    lives = _lives(problem)
    spread = _spread(problem, lives.shape[2])
    if lives.shape[2] == 1:
        return spread @ _sum(handled)[:, :, None, :]
    flow = np.empty((problem.n_profiles, problem.n_layers, problem.n_ranks, problem.n_ranks))
    for layer in range(problem.n_layers):
        share = _shares(problem, layer, slots, handled)
        flow[:, layer] = spread @ (lives[:, layer] @ share)
    return flow


def _shares(
    problem: PlacementProblem, layer: int, slots: IntArray, handled: FloatArray
) -> FloatArray:
    """float64[P, E, G]: part of an expert's tokens that each rank handles; 0 without tokens."""
    share = np.zeros((problem.n_profiles, problem.n_experts, problem.n_ranks))
    rank, slot = np.nonzero(slots[layer] >= 0)
    expert = slots[layer, rank, slot]
    tokens = np.maximum(problem.counts[:, layer, expert], 1)
    share[:, expert, rank] = handled[:, layer, rank, slot] / tokens
    return share


def _nearest(
    problem: PlacementProblem, slots: IntArray, held: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Replay local dispatch of tokens that return home."""
    lives = _lives(problem)
    spread = _spread(problem, lives.shape[2])
    handled = np.empty((problem.n_profiles, *slots.shape))
    flow = np.empty((problem.n_profiles, problem.n_layers, problem.n_ranks, problem.n_ranks))
    for layer in range(problem.n_layers):
        mass, flow[:, layer] = _sent(problem, held[layer], spread @ lives[:, layer])
        handled[:, layer] = _tokens(problem, layer, slots, _parts(mass, held[layer]))
    return handled, flow


def _sent(
    problem: PlacementProblem, held: BoolArray, start: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Send tokens [P, G, E] to their nearest replicas.

    Returns
    -------
    mass : float64[P, E, G]
        Tokens that reach each rank.
    flow : float64[P, G, G]
    """
    nodes = (problem.node[:, None] == np.arange(problem.n_nodes)).astype(np.float64)  # [G, N]
    beside = (held @ nodes)[:, problem.node]  # [E, G]: replicas on the node of a rank
    stay = np.where(held.T, start, 0.0)
    near = np.where(~held.T & (beside.T > 0), start, 0.0)
    far = np.where(beside.T == 0, start, 0.0)
    in_node = held / np.maximum(beside, 1)  # part of its node's tokens that a replica takes
    even = held / held.sum(axis=1, keepdims=True)
    of_node = nodes @ (nodes.T @ near)  # [P, G, E]: all on the node of a rank
    mass = stay + of_node * in_node.T + far.sum(axis=1, keepdims=True) * even.T
    flow = (nodes @ nodes.T) * (near @ in_node) + far @ even
    at = np.arange(problem.n_ranks)
    flow[:, at, at] += stay.sum(axis=2)
    return mass.swapaxes(1, 2), flow


def _parts(mass: FloatArray, held: BoolArray) -> FloatArray:
    """Return masses [P, E, G] as parts of their expert's; even where none arrives."""
    total = mass.sum(axis=2, keepdims=True)
    even = held / held.sum(axis=1, keepdims=True)
    return np.where(total > 0, mass / np.where(total > 0, total, 1.0), even)


def _tokens(
    problem: PlacementProblem, layer: int, slots: IntArray, share: FloatArray
) -> FloatArray:
    """float64[P, G, C]: tokens of every slot, by the shares of ranks in experts."""
    found = np.zeros((problem.n_profiles, *slots.shape[1:]))
    rank, slot = np.nonzero(slots[layer] >= 0)
    expert = slots[layer, rank, slot]
    found[:, rank, slot] = problem.counts[:, layer, expert] * share[:, expert, rank]
    return found


def _chain(
    problem: PlacementProblem, slots: IntArray, held: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Replay tokens that stay where their expert was; the first layer has no transfers."""
    n_profiles, n_ranks = problem.n_profiles, problem.n_ranks
    assert problem.transitions is not None
    even = held / held.sum(axis=2, keepdims=True)
    share = np.repeat(even[None, 0], n_profiles, axis=0)  # [P, E, G]
    handled = np.empty((n_profiles, *slots.shape))
    flow = np.zeros((n_profiles, problem.n_layers, n_ranks, n_ranks))
    handled[:, 0] = _tokens(problem, 0, slots, share)
    for layer in range(1, problem.n_layers):
        # tokens on each rank by the expert they want next: [P, G, E]
        wanted = share.transpose(0, 2, 1) @ problem.transitions[:, layer - 1].astype(np.float64)
        if problem.dispatch == LOCAL:
            mass, flow[:, layer] = _sent(problem, held[layer], wanted)
            share = _parts(mass, held[layer])
        else:
            share = np.repeat(even[None, layer], n_profiles, axis=0)
            flow[:, layer] = wanted @ share
        handled[:, layer] = _tokens(problem, layer, slots, share)
    return handled, flow


# -- ticks ------


def _sum(per_slot: FloatArray) -> FloatArray:
    """Return [..., G, C] summed over slots, whatever their order."""
    return np.asarray(np.sort(per_slot, axis=-1).sum(axis=-1))


def _work(problem: PlacementProblem, handled: FloatArray) -> FloatArray:
    """float64[P, L, H]: ticks of every live rank."""
    work = problem.token_ticks[:, None] * _sum(handled)
    if problem.cost.expert:
        # handled / total is the chance of a pick, k times that the chance of a token
        total = problem.counts.sum(axis=2)[:, :, None, None] / problem.top_k
        chance = np.minimum(handled / total, 1.0)
        per_step = total * problem.scale[:, None, None, None]
        with np.errstate(divide="ignore"):
            active = _sum(-np.expm1(per_step * np.log1p(-chance)))
        work = np.maximum(work, problem.expert_ticks[:, None] * active)
    return np.asarray(work[:, :, problem.live])


def _transfers(problem: PlacementProblem, flow: FloatArray) -> FloatArray:
    """float64[P, L]: ticks of the transfers of every layer."""
    if problem.balance_only:
        return np.zeros(flow.shape[:2])
    ticks = flow * problem.pair_ticks[:, None]
    if problem.cost.links == BUSIEST:
        return np.asarray(np.maximum(ticks.sum(axis=3), ticks.sum(axis=2)).max(axis=2))
    return np.asarray(ticks.sum(axis=(2, 3)))
