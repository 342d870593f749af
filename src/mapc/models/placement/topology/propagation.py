"""Where tokens are, layer after layer, and how many move between ranks.

Source of the models: `PlacementProblem`. In chain traffic a token is sent from the rank of its
expert of one layer to that of the next (ExFlow, MoETuner); in home traffic it is sent from where it
lives. Searches read these figures; the verifier computes its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    CHAIN,
    HOME,
    LOCAL,
    SUM,
    WORST,
    FloatArray,
    PlacementProblem,
)


@dataclass(frozen=True, eq=False)
class Flows:
    """Loads and transfers of one profile under a table of slots.

    Attributes
    ----------
    share : float64[L, E, G]
        Part of an expert's tokens that each rank handles; 0 where it has no replica.
    moved : float64[L - 1, G, G] or float64[L, G, G]
        Tokens of the window from rank to rank: between adjacent layers, or from home.
    """

    share: FloatArray
    moved: FloatArray


def held(slots: IntArray, n_experts: int) -> BoolArray:
    """bool[L, E, G]: whether a rank holds an expert, from slots int64[L, G, C]."""
    n_layers, n_ranks, _ = slots.shape
    has = np.zeros((n_layers, n_experts, n_ranks), dtype=np.bool_)
    layer, rank, slot = np.nonzero(slots >= 0)
    has[layer, slots[layer, rank, slot], rank] = True
    return has


def arrivals(pairs: FloatArray, share: FloatArray) -> FloatArray:
    """float64[G, E]: token pairs by the rank they come from and the expert they want.

    Parameters
    ----------
    pairs : float64[E, E]
        From experts of a layer to those of the next.
    share : float64[E, G]
        Where the former are handled.
    """
    return np.asarray(share.T @ pairs)


def choose_local(
    wanted: FloatArray, has: BoolArray, node: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Send tokens to the nearest replicas.

    A token stays if its rank has a replica; otherwise it is spread evenly over the replicas of its
    node, and where there are none over all.

    Parameters
    ----------
    wanted : float64[G, E]
        Tokens by the rank they are on and the expert they want.
    has : bool[E, G]
        Every expert somewhere.
    node : int64[G]

    Returns
    -------
    mass : float64[E, G]
        Tokens that each rank handles.
    moved : float64[G, G]
        Tokens from rank to rank; those that stay are on the diagonal.
    """
    here = has.T.astype(np.float64)
    same = (node[:, None] == node[None, :]).astype(np.float64)
    beside = same @ here  # replicas in the node of a rank
    stay = wanted * here
    near = np.divide(wanted, beside, out=np.zeros_like(wanted), where=(here == 0) & (beside > 0))
    far = np.where(beside == 0, wanted, 0.0) / here.sum(axis=0)
    moved = (near @ here.T) * same + far @ here.T + np.diag(stay.sum(axis=1))
    mass = stay + here * (same @ near + far.sum(axis=0))
    return mass.T, moved


def chain_flows(
    pairs: FloatArray, has: BoolArray, node: IntArray, *, local: bool, tolerance: float = 0.0
) -> Flows:
    """Return loads and transfers of tokens that stay where their expert is.

    Parameters
    ----------
    pairs : float64[L - 1, E, E]
        Token pairs between adjacent layers.
    has : bool[L, E, G]
        Every expert somewhere in every layer.
    node : int64[G]
    local : bool
        The nearest replicas (see `choose_local`), whose loads then depend on the layers before;
        otherwise every replica takes its equal part, drawn anew in every layer.
    tolerance : float
        Tokens that want an expert up to this many count as none: it is split evenly then.

    Notes
    -----
    Nothing comes before the first layer: there, tokens are spread evenly over replicas. An
    expert's tokens leave for the next layer from all its ranks alike (first-order chain).
    """
    even = has / has.sum(axis=2, keepdims=True)
    share = np.array(even, dtype=np.float64)
    moved = np.zeros((len(pairs), has.shape[2], has.shape[2]))
    for layer, matrix in enumerate(pairs):
        wanted = arrivals(matrix, share[layer])
        if not local:
            moved[layer] = wanted @ share[layer + 1]
            continue
        mass, moved[layer] = choose_local(wanted, has[layer + 1], node)
        total = mass.sum(axis=1, keepdims=True)
        np.divide(mass, total, out=share[layer + 1], where=total > tolerance)
    return Flows(share, moved)


def home_flows(lives: FloatArray, has: BoolArray, node: IntArray, *, local: bool) -> Flows:
    """Return loads and transfers of tokens that return to where they live.

    Parameters
    ----------
    lives : float64[L, G, E]
        Tokens by the rank they live on and the expert they want.
    has : bool[L, E, G]
    node : int64[G]
    local : bool
        The nearest replicas; otherwise every replica takes its equal part.
    """
    share = np.array(has / has.sum(axis=2, keepdims=True), dtype=np.float64)
    moved = np.zeros((len(lives), has.shape[2], has.shape[2]))
    for layer, wanted in enumerate(lives):
        if not local:
            moved[layer] = wanted @ share[layer]
            continue
        mass, moved[layer] = choose_local(wanted, has[layer], node)
        total = mass.sum(axis=1, keepdims=True)
        np.divide(mass, total, out=share[layer], where=total > 0)
    return Flows(share, moved)


def residents(problem: PlacementProblem, profile: int, layer: int) -> FloatArray:
    """float64[G, E]: tokens of a layer by the rank they live on and the expert they want."""
    alive = ~problem.dead
    found = np.zeros((problem.n_ranks, problem.n_experts))
    if problem.sources is None:
        found[alive] = problem.counts[profile, layer] / alive.sum()
        return found
    lives = problem.sources[profile, layer].astype(np.float64)
    if len(lives) == problem.n_ranks:
        return np.asarray(lives)
    for n, tokens in enumerate(lives):
        ranks = alive & (problem.node == n)
        found[ranks] = tokens / max(int(ranks.sum()), 1)
    return found


def merged_residents(problem: PlacementProblem) -> FloatArray:
    """float64[L, G, E]: tokens by the rank they live on, of all profiles by what they count for.

    Every layer sums to 1.
    """
    layers = []
    for layer in range(problem.n_layers):
        lives = sum(
            factor * residents(problem, p, layer) for p, factor in enumerate(problem.factor)
        )
        layers.append(lives / np.sum(lives))
    return np.stack(layers)


def propagate(problem: PlacementProblem, plan: PlacementPlan) -> list[Flows]:
    """Return the flows of every profile of a problem with traffic, over all ranks.

    Raises
    ------
    ValueError
        If the problem has no traffic, or a split of tokens; if the plan leaves an expert out.
    """
    has = held(plan.slots, problem.n_experts)
    if not has.any(axis=2).all():
        raise ValueError("a plan without all experts has no flows")
    local = problem.dispatch == LOCAL
    if problem.traffic == HOME and plan.split is None:
        return [
            home_flows(_all_residents(problem, p), has, problem.node, local=local)
            for p in range(problem.n_profiles)
        ]
    if problem.transitions is None or problem.traffic != CHAIN:
        raise ValueError(f"{problem.name}: neither chain nor home traffic without a split")
    return [
        chain_flows(matrix.astype(np.float64), has, problem.node, local=local)
        for matrix in problem.transitions
    ]


def _all_residents(problem: PlacementProblem, profile: int) -> FloatArray:
    return np.stack([residents(problem, profile, layer) for layer in range(problem.n_layers)])


def imbalance(problem: PlacementProblem, flows: list[Flows]) -> float:
    """Return the largest load of a rank of any profile and layer, as a multiple of the mean."""
    worst = 0.0
    for counts, flow in zip(problem.counts, flows, strict=True):
        tokens = np.einsum("le,leg->lg", counts.astype(np.float64), flow.share)
        load = tokens[:, problem.live] / problem.cluster.speed[problem.live]
        worst = max(worst, float((load / load.mean(axis=1, keepdims=True)).max()))
    return worst


def step_ticks(problem: PlacementProblem, flows_of: list[Flows]) -> float:
    """Return the modelled step in ticks, as the verifier counts it, from flows by profile."""
    total = np.zeros(problem.n_profiles)
    for p, flows in enumerate(flows_of):
        tokens = np.einsum("le,leg->lg", problem.counts[p].astype(np.float64), flows.share)
        work = (tokens * problem.token_ticks[p]).max(axis=1)
        if problem.cost.expert:
            work = np.maximum(work, _activated_ticks(problem, p, flows.share))
        transfers = np.zeros(problem.n_layers)
        transfers[problem.n_layers - len(flows.moved) :] = _transfer_ticks(problem, p, flows.moved)
        work, transfers = np.rint(work), np.rint(transfers)
        both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
        total[p] = (problem.layer_ticks[p] + both).sum()
    return float(total.max() if problem.cost.profiles == WORST else total.sum())


def _transfer_ticks(problem: PlacementProblem, p: int, moved: FloatArray) -> FloatArray:
    paid = moved * problem.pair_ticks[p]
    if problem.cost.links == SUM:
        return np.asarray(paid.sum(axis=(1, 2)))
    return np.asarray(np.maximum(paid.sum(axis=1).max(axis=1), paid.sum(axis=2).max(axis=1)))


def _activated_ticks(problem: PlacementProblem, p: int, share: FloatArray) -> FloatArray:
    """float64[L]: ticks of the rank with the most activated experts."""
    counts = problem.counts[p]
    total = counts.sum(axis=1)[:, None, None] / problem.top_k
    chance = np.minimum(counts[:, :, None] * share / total, 1.0)
    with np.errstate(divide="ignore"):
        active = -np.expm1(total * problem.scale[p] * np.log1p(-chance))
    return np.asarray((active.sum(axis=1) * problem.expert_ticks[p]).max(axis=1))
