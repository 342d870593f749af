"""Bounds on the transfers of chains without replicas, from pairs of adjacent layers.

*Two prices.* With a the cheapest link and a + b the cheapest link between nodes, moving a token
from g to h costs at least a [g != h] + b [other node]. So transfers into a layer are at least
a (T - K) + b (T - K'), with T all token pairs, K those that stay on their rank, K' in their node.

*Partners.* An expert shares its rank with exactly C experts of the next layer and is shared by
exactly C of the layer before; its node with C n of them, n the ranks of that node. Pairs that stay
are therefore a bipartite graph of degree C (C n, where nodes are equally large), and K is at most
the heaviest such graph: an assignment with C partners each, solved exactly, or bounded by the C
heaviest partners of every row, or of every column. Any placement gives such a graph; not every
graph is a placement, so that it is a bound only (97 % of the optimum on the Mixtral trace).

Where nodes differ in size, degrees are at most D = C n of the largest. Such a graph on E + E
experts need not be part of one of degree D on them (two rooms of 2 and of 1), but it is of one on
2 E + 2 E with E that weigh nothing: what an expert lacks goes to them, evenly, no more than D to
each as there are E of them, and they take what is then left among themselves, which is even too.

*Profiles.* Expected steps of all profiles share one placement: K is the heaviest graph for the sum
of their token pairs. Otherwise each profile is bounded by itself.

*Busiest rank.* What leaves all H ranks together is the sum above, the busiest has at least 1/H.

*Work.* At least that of the layer bounds, whatever is transferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.problem import BUSIEST, CHAIN, WORST, FloatArray, PlacementProblem
from mapc.models.placement.work.bounds import layer_bounds

WORK = 2e9
"""Steps of all exact assignments together, 3 ns each; beyond it heaviest partners are summed."""
Partners = Callable[[FloatArray, int, BoolArray], float]
EXACT = 2.0**52
"""Below it sums of whole numbers are exact."""


class Level(NamedTuple):
    """Where experts can be together.

    Attributes
    ----------
    degree : int
        Most partners of an expert.
    equal : bool
        Whether every expert has that many.
    price : float64[P]
        Ticks saved by a token pair that stays.
    """

    degree: int
    equal: bool
    price: FloatArray


def run(problem: PlacementProblem, search: Search) -> None:
    """Prove what a chain without replicas costs at least; silent for other problems."""
    applies = problem.traffic == CHAIN and problem.n_slots == problem.n_experts
    if not applies or problem.balance_only or problem.n_layers < 2 or search.done():
        return
    cost = problem.cost
    work = layer_bounds(problem) + problem.layer_ticks[:, None]
    together = cost.profiles != WORST and cost.links != BUSIEST and not cost.overlap
    groups = [np.arange(problem.n_profiles)] if together else np.arange(problem.n_profiles)[:, None]
    step = 0.0
    for group in groups:
        moved = transfers(problem, np.asarray(group, dtype=np.int64), search)
        if moved is None:
            return
        own = work[group]
        if cost.links == BUSIEST:
            moved = np.ceil(moved / len(problem.live))
        if cost.overlap:
            fixed = problem.layer_ticks[group]
            found = float((np.maximum(own - fixed[:, None], moved) + fixed[:, None]).sum())
        else:
            found = float(own.sum() + moved.sum())
        step = max(step, found) if cost.profiles == WORST else step + found
    search.prove(step * problem.tick, "pairs")


def transfers(problem: PlacementProblem, profiles: IntArray, search: Search) -> FloatArray | None:
    """Return whole ticks that transfers into each layer take at least, float64[L].

    Summed over the given profiles, for links that add up. None when the search is over.
    """
    assert problem.transitions is not None
    found = levels(problem)
    sizes = (problem.n_experts * (1 if level.equal else 2) for level in found)
    steps = sum(size**3 * level.degree for size, level in zip(sizes, found, strict=True))
    kernels = None
    if float(steps) * (problem.n_layers - 1) <= WORK:
        kernels = load("mapc.models.placement.chains.pair_bounds_kernels", search.done)
    least = np.zeros(problem.n_layers)
    for layer in range(1, problem.n_layers):
        pairs = problem.transitions[profiles, layer - 1].astype(np.float64)
        for level in found:
            if search.done():
                return None
            price = level.price[profiles]
            if not price.any():
                continue
            weight = np.tensordot(price, pairs, 1)
            stays = heaviest(weight, level.degree)
            if kernels is not None:
                stays = min(stays, _exactly(weight, level, kernels.partners))
            least[layer] += weight.sum() - stays
    return least


def levels(problem: PlacementProblem) -> list[Level]:
    """Return what being together on a rank saves, and in a node beside that."""
    live = problem.live
    pair = problem.pair_ticks[:, live][:, :, live]
    apart = ~np.eye(len(live), dtype=np.bool_)
    node = problem.node[live]
    far = node[:, None] != node
    cheapest = pair[:, apart].min(axis=1, initial=np.inf)
    if not apart.any():
        return []
    if not far.any():
        return [Level(problem.slots, True, cheapest)]
    sizes = np.unique(np.bincount(node)[node])
    across: FloatArray = pair[:, far].min(axis=1) - cheapest
    return [
        Level(problem.slots, True, cheapest),
        Level(int(sizes.max()) * problem.slots, len(sizes) == 1, across),
    ]


def heaviest(weight: FloatArray, degree: int) -> float:
    """Return the sum of the heaviest partners of every row, or of every column if that is less."""
    n = len(weight)
    if degree >= n:
        return float(weight.sum())
    ordered = (np.partition(weight, n - degree, axis=axis) for axis in (1, 0))
    by_row, by_column = ordered
    return float(min(by_row[:, n - degree :].sum(), by_column[n - degree :].sum()))


def _exactly(weight: FloatArray, level: Level, partners: Partners) -> float:
    """Return the weight of the heaviest graph of as many partners, or of at most as many."""
    degree = level.degree
    if degree >= len(weight):
        return float(weight.sum())
    if not level.equal:
        weight = np.pad(weight, (0, len(weight)))
    n = len(weight)
    unit = max(1, int(np.gcd.reduce(weight.astype(np.int64), axis=None)))
    whole, used = weight / unit, np.zeros((n, n), dtype=np.bool_)
    most = whole.max()
    if most * n * n >= EXACT:
        return float(weight.sum())
    cost = partners(np.ascontiguousarray(most - whole), degree, used)
    return float((most * n * degree - cost) * unit)
