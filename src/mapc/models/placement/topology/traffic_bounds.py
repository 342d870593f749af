"""Lower bounds on a step with transfers, whatever the placement.

Chain traffic: less than a bound of tokens can stay on their node or rank (`affinity_bounds`), and
the bound falls as loads get more even. Uneven loads cost work. So for every layer the excess of
its busiest rank over even loads is cut into intervals; in each, work counts at the lower end
and the tokens that stay at the upper end. A shortest path through the intervals of all layers is a
bound on the step: layers only meet in pairs. Under a load limit the intervals end there.

Home traffic: see `home_bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.models.base import Search
from mapc.models.placement.problem import (
    CHAIN,
    HOME,
    LOCAL,
    SUM,
    WORST,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.topology.affinity_bounds import Places, stay_bounds
from mapc.models.placement.topology.home_bounds import SAFE, least_remote_tokens, least_transport
from mapc.models.placement.topology.node_search import nodes_of
from mapc.models.placement.work.bounds import layer_bounds

SOURCE = "traffic"
INTERVALS = 28


@dataclass(frozen=True, eq=False)
class Prices:
    """Least ticks of a transfer: ``rank`` for a change of rank, ``node`` more for one of node."""

    rank: float
    node: float


def run(problem: PlacementProblem, search: Search) -> None:
    """Prove a bound on the step; see the module."""
    if problem.balance_only or problem.traffic not in (CHAIN, HOME) or len(problem.live) < 2:
        return
    work = layer_bounds(problem)
    steps = np.zeros(problem.n_profiles)
    for p in range(problem.n_profiles):
        if problem.traffic == CHAIN:
            steps[p] = chain_bound(problem, p, work[p], search)
        else:
            transfers = home_bound(problem, p, search)
            together = np.maximum(work[p], transfers)
            if not problem.cost.overlap:
                together = work[p] + transfers
            steps[p] = together.sum()
    steps += problem.layer_ticks * problem.n_layers
    total = steps.max() if problem.cost.profiles == WORST else steps.sum()
    search.prove(float(np.ceil(total)) * problem.tick, SOURCE)
    cost = problem.cost
    if (
        problem.traffic == HOME
        and problem.n_slots == problem.n_experts
        and (cost.links == SUM and cost.profiles != WORST and not cost.overlap)
    ):
        total = work.sum() + (problem.layer_ticks * problem.n_layers).sum()
        total += sum(least_transport(problem, layer, search) for layer in range(problem.n_layers))
        search.prove(float(np.ceil(total)) * problem.tick, SOURCE)


def prices(problem: PlacementProblem, profile: int) -> Prices:
    """Return what a change of rank and of node cost at least.

    A transfer between ranks a and b costs ``rank`` at least, and ``rank + node`` if they are on
    different nodes.
    """
    live = problem.live
    cost = problem.pair_ticks[profile][np.ix_(live, live)]
    node = problem.node[live]
    apart = node[:, None] != node[None, :]
    inside = cost[~apart & ~np.eye(len(live), dtype=np.bool_)]
    least = float(cost[~np.eye(len(live), dtype=np.bool_)].min())
    if not apart.any():
        return Prices(least, 0.0)
    outside = float(cost[apart].min())
    return Prices(least, outside - least if len(inside) else 0.0)


def levels(problem: PlacementProblem, price: Prices) -> list[tuple[float, Places]]:
    """Return ranks and nodes as places, with what staying on them saves.

    Loads are compared after division by speed, as ``max_imbalance`` does.
    """
    live, speed = problem.live, problem.cluster.speed
    spread = problem.dispatch == LOCAL
    spare = problem.n_slots - problem.n_experts if spread else 0
    found = [(price.rank, Places(speed[live] / speed[live].sum(), spare))]
    nodes = nodes_of(problem)
    if problem.n_nodes > 1 and price.node > 0:
        spare = int(nodes.slots.sum()) - problem.n_experts if spread else 0
        found.append((price.node, Places(nodes.capacity, spare)))
    return [(cost, places) for cost, places in found if cost > 0]


def chain_bound(problem: PlacementProblem, profile: int, work: FloatArray, search: Search) -> float:
    """Return ticks that work and transfers of a profile take at least.

    Proof: let x[l] be the largest load of a rank, divided by its speed, over the even one. Work of
    the layer is at least ``work[l]``, and at least x[l] times the even load. A node then has at
    most x[l] times its own even load. Of the tokens of a pair of layers at most ``stay(x[l],
    x[l + 1])`` stay, a bound that does not fall in either; each other pays ``rank`` at least, and
    those that leave their node ``node`` beside it. Every x lies in an interval; taking each term
    at the end where it is least gives a cost per interval and per pair of intervals, and the
    shortest path is at most the cost of any placement. The busiest rank has its part of all
    transfers at least. Transfers are rounded down, the verifier rounds to the nearest.

    Parameters
    ----------
    problem : PlacementProblem
    profile : int
    work : float64[L]
        Ticks that the busiest rank works at least.
    search : Search
        Asked whether to stop; transfers not looked at by then count as none.
    """
    assert problem.transitions is not None
    counts = problem.counts[profile].astype(np.float64)
    price = prices(problem, profile)
    places = levels(problem, price)
    edges = excess_intervals(problem)
    even = _even_ticks(problem, profile, counts.sum(axis=1))
    node_work = np.maximum(work[:, None], np.rint(even[:, None] * edges[:-1] * SAFE))
    mass = counts / counts.sum(axis=1, keepdims=True)
    path = node_work[0]
    for layer, matrix in enumerate(problem.transitions[profile]):
        transfers = np.zeros((len(edges) - 1, len(edges) - 1))
        pairs = matrix.astype(np.float64)
        for cost, at in places:
            if search.done():
                break
            stay = stay_bounds(pairs, mass[layer], mass[layer + 1], at, edges[1:])
            transfers += cost * np.maximum(pairs.sum() - stay * (2 - SAFE), 0.0) * SAFE
        transfers = _paid(problem, transfers)
        both = node_work[layer + 1] + transfers
        if problem.cost.overlap:
            both = np.maximum(node_work[layer + 1], transfers)
        path = (path[:, None] + both).min(axis=0)
    return float(path.min())


def excess_intervals(problem: PlacementProblem) -> FloatArray:
    """float64[X + 1]: ends of intervals that hold every excess of loads a plan may have.

    The last one is where a single rank has all, or the load limit: a load is then at most the
    limit times the mean of loads, which exceeds the even load only by what slow ranks have more.
    """
    speed = problem.cluster.speed[problem.live]
    most = float(speed.sum() / speed.min())
    if problem.max_imbalance is not None:
        slack = problem.max_imbalance * speed.mean() / speed.min() * (1 + 1e-9)
        most = min(most, max(float(slack), 1.0 + 1e-9))
    first = min(1e-3, (most - 1.0) / INTERVALS)
    return np.concatenate([[1.0], 1.0 + np.geomspace(first, most - 1.0, INTERVALS)])


def _even_ticks(problem: PlacementProblem, profile: int, tokens: FloatArray) -> FloatArray:
    """float64[L]: work of an excess of 1, no more than what the busiest rank really does."""
    speed = problem.cluster.speed[problem.live]
    per_load = (problem.token_ticks[profile, problem.live] * speed).min()
    return np.asarray(tokens / speed.sum() * per_load)


def _paid(problem: PlacementProblem, transfers: FloatArray) -> FloatArray:
    """Turn ticks of all transfers into what a layer pays for them at least, in whole ticks."""
    if problem.cost.links != SUM:
        transfers = transfers / len(problem.live)
    return np.asarray(np.floor(transfers))


def home_bound(problem: PlacementProblem, profile: int, search: Search) -> FloatArray:
    """Return ticks that the transfers of every layer take at least, float64[L].

    Prices of leaving rank and node add up, as in `chain_bound`; see `least_remote_tokens`.
    """
    price = prices(problem, profile)
    by_rank, by_node = least_remote_tokens(problem, profile, search)
    return _paid(problem, price.rank * by_rank + price.node * by_node)
