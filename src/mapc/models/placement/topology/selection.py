"""Which replicas are worth most: every expert somewhere, no place with more than its slots.

With traffic that returns home and no limit on loads, a copy of an expert on a node saves exactly
the tokens that live there, whatever else is copied. Choosing copies is then a flow problem, whose
optimum is whole; it is found here exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load as load_kernels
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.topology.node_search import KERNELS
from mapc.models.placement.topology.propagation import residents

MOST = 10**6
"""Cycles to cancel at most; a safeguard, real layers take some dozens."""


def best_copies(
    worth: IntArray, slots: IntArray, done: Callable[[], bool] | None = None
) -> BoolArray | None:
    """Choose copies of greatest worth, exactly.

    Parameters
    ----------
    worth : int64[E, N]
        Worth of a copy of an expert on a place, >= 0; sums stay below 2**62.
    slots : int64[N]
        Different experts a place can hold; E at least in all.
    done : callable, optional

    Returns
    -------
    bool[E, N] or None
        Every expert at least once, within slots; None where kernels are not there in time.

    Raises
    ------
    ValueError
        If there are fewer slots than experts.
    """
    kernels = load_kernels(KERNELS, done)
    if kernels is None:
        return None
    worth = np.ascontiguousarray(worth, dtype=np.int64)
    slots = np.minimum(np.ascontiguousarray(slots, dtype=np.int64), len(worth))
    on = np.ascontiguousarray(_greedy(worth, slots), dtype=np.uint8)
    if kernels.select(worth, slots, on, MOST) >= MOST:
        return None
    return on.astype(np.bool_)


def transport_cost(problem: PlacementProblem, layer: int, profiles: Iterable[int]) -> FloatArray:
    """float64[E, H]: ticks of the transfers of an expert, were it on one live rank alone."""
    cost = np.zeros((problem.n_experts, len(problem.live)))
    for p in profiles:
        lives = residents(problem, p, layer)
        cost += lives.T @ problem.pair_ticks[p][:, problem.live]
    return cost


def whole_worth(cost: FloatArray) -> tuple[IntArray, float, float]:
    """Turn costs into whole worths, at least 0, for `best_copies` where every expert is once.

    Parameters
    ----------
    cost : float64[E, N]
        At least 0.

    Returns
    -------
    worth : int64[E, N]
    unit, base : float
        ``base - unit * worth`` is at most ``cost``, and equal to it where costs are whole and below
        2**52.
    """
    most = float(cost.max())
    unit = 1.0 if np.array_equal(cost, np.rint(cost)) else 2.0**-12
    unit = max(unit, 2.0 ** (np.ceil(np.log2(max(most, 1.0))) - 52))
    # units are powers of two: quotients are exact
    worth = int(np.ceil(most / unit)) - np.floor(cost / unit).astype(np.int64)
    return worth, unit, float(np.ceil(most / unit)) * unit


def _greedy(worth: IntArray, slots: IntArray) -> BoolArray:
    """Give every expert its best place that has room, then fill the places with what is worth most.

    Experts that lose most by their second choice come first.
    """
    n_experts, n_places = worth.shape
    if slots.sum() < n_experts:
        raise ValueError(f"{int(slots.sum())} slots for {n_experts} experts")
    left = slots.copy()
    on = np.zeros((n_experts, n_places), dtype=np.bool_)
    ordered = np.sort(worth, axis=1)
    regret = ordered[:, -1] - (ordered[:, -2] if n_places > 1 else 0)
    for e in np.argsort(-regret, kind="stable"):
        best = int(np.argmax(np.where(left > 0, worth[e], -1)))
        on[e, best] = True
        left[best] -= 1
    for n in np.flatnonzero(left):
        others = np.flatnonzero(~on[:, n])
        extra = others[np.argsort(-worth[others, n], kind="stable")[: left[n]]]
        on[extra, n] = True
    return on
