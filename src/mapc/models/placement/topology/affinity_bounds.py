"""How many tokens can stay where they are between two layers, given how uneven loads may be.

A *place* is a node or a rank. Of the tokens of a pair of layers, ``R[e, f]`` go from expert e to
expert f; ``a[e, n]`` is the part of e's tokens handled on place n, and a token *stays* if f is at
its place. Loads ``l[n] = sum_e P[e] a[e, n]`` are parts of a layer's tokens; none exceeds
``u[n] = x * capacity[n]``, where x is the largest load over the even one. All bounds are from
above, hold for every placement, and cost no solver.

With local dispatch and replicas a token stays wherever its place holds f at all: the *availability*
``A[n] = sum_f Q[f] z[f, n]`` takes the part of the load, and ``sum A <= 1 + B``, where B weighs the
extra copies. This assumes that dispatch is *causal*, as in the model: the place of a token does
not depend on experts it will want later (``R[e, f] a[e, n]`` tokens on n go from e to f).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.models.placement.problem import FloatArray

_THETAS = np.concatenate([[0.0], np.geomspace(0.25, 8.0, 26)])
"""Densities at which tokens of a pair of experts count as planted, over those of chance."""


@dataclass(frozen=True, eq=False)
class Places:
    """Nodes or ranks, with what their slots allow.

    Attributes
    ----------
    capacity : float64[N]
        Part of the tokens a place handles at equal load; sums to 1.
    spare : int
        Most copies of experts on different places beyond one per expert; 0 where replicas share
        their tokens equally, wherever these come from.
    """

    capacity: FloatArray
    spare: int = 0


def stay_bounds(
    pairs: FloatArray, mass: FloatArray, mass_next: FloatArray, places: Places, excess: FloatArray
) -> FloatArray:
    """Bound the tokens that stay, for every excess of loads in the two layers.

    Parameters
    ----------
    pairs : float64[E, E]
        Tokens from expert to expert.
    mass, mass_next : float64[E]
        Loads of the two layers, as parts; each sums to 1.
    places : Places
    excess : float64[X]
        Largest load of a place over its load at equal loads, >= 1.

    Returns
    -------
    float64[X, X]
        By the excess of the first layer and of the second; at most the sum of ``pairs``.
    """
    total = float(pairs.sum())
    most = excess[:, None] * places.capacity.max()
    if places.spare:
        stay = replicated_density(pairs, mass, mass_next, places, excess)
        stay = np.minimum(stay, replicated_mass_cap(pairs, mass, places, excess))
        return np.minimum(np.repeat(stay[:, None], len(excess), axis=1), total)
    overlap = load_overlap(places.capacity, excess)
    stay = np.minimum(total, density(pairs, mass, mass_next, overlap))
    stay = np.minimum(stay, mass_cap(pairs, mass_next, most.ravel())[None, :])
    stay = np.minimum(stay, mass_cap(pairs.T, mass, most.ravel())[:, None])
    return np.asarray(np.minimum(stay, spectral(pairs, mass, mass_next, places, excess)))


def load_overlap(capacity: FloatArray, excess: FloatArray) -> FloatArray:
    """Bound ``sum_n l[n] l'[n]`` for loads of two layers, float64[X, X].

    By Cauchy and Schwarz it is at most ``sqrt(sum l**2 * sum l'**2)``. A sum of squares under
    ``0 <= l <= u``, ``sum l = 1`` is convex and largest at a vertex; filling the largest limits
    first majorises every other vertex.
    """
    limits = np.minimum(np.sort(capacity)[::-1] * excess[:, None], 1.0)
    before = np.cumsum(limits, axis=1) - limits
    filled = np.clip(1.0 - before, 0.0, limits)
    norm = np.sqrt((filled**2).sum(axis=1))
    return np.asarray(np.minimum(np.multiply.outer(norm, norm), 1.0))


def density(
    pairs: FloatArray, mass: FloatArray, mass_next: FloatArray, overlap: FloatArray
) -> FloatArray:
    """Bound by densities, of the shape of ``overlap``; single copies, or equal shares.

    Proof: with ``s[e, f] = sum_n a[e, n] a'[f, n]`` in [0, 1], those that stay are ``sum R s =
    sum (R - t c P Q) s + t c sum_n l[n] l'[n]``, where c is the sum of R, for every t >= 0; the
    first sum is at most that of its positive terms, the second is bounded by ``overlap``.
    """
    by_chance = pairs.sum() * np.multiply.outer(mass, mass_next)
    stay = np.full(overlap.shape, np.inf)
    for theta in _THETAS:
        above = float(np.maximum(pairs - theta * by_chance, 0.0).sum())
        stay = np.minimum(stay, above + theta * pairs.sum() * overlap)
    return stay


def replicated_density(
    pairs: FloatArray, mass: FloatArray, weight: FloatArray, places: Places, excess: FloatArray
) -> FloatArray:
    """Bound by densities with replicas and local dispatch, float64[X] by the first layer's excess.

    Proof: as in `density` with ``s[e, f] = sum_n a[e, n] z[f, n]``, which is at most 1 because
    ``sum_n a[e, n] = 1``, and ``sum_n l[n] A[n] <= max l * sum A``. ``sum A`` is the weight of all
    copies, at most 1 + B: the spare ones on the heaviest experts, no more than N - 1 on each.
    ``weight`` (Q) may be anything that sums to 1.
    """
    extra = np.repeat(np.sort(weight)[::-1], len(places.capacity) - 1)[: places.spare].sum()
    available = np.minimum(excess * places.capacity.max(), 1.0) * (1.0 + extra)
    return density(pairs, mass, weight, np.asarray(available))


def mass_cap(pairs: FloatArray, mass: FloatArray, most: FloatArray) -> FloatArray:
    """Bound by loads row by row, float64[X]; single copies, or equal shares.

    Proof: where tokens of e are on place n, those that stay there are ``sum_f R[e, f] a'[f, n]``
    with ``0 <= a' <= 1`` and ``sum_f Q[f] a'[f, n] = l'[n] <= max u``: at most the fractional
    knapsack of row e. Places get parts of e that sum to 1. Transposed, it holds by columns.

    Parameters
    ----------
    pairs : float64[E, E]
    mass : float64[E]
        Loads of the layer of the columns, as parts.
    most : float64[X]
        Largest load a place may have.
    """
    return np.asarray(_knapsacks(pairs, mass, most).sum(axis=0))


def replicated_mass_cap(
    pairs: FloatArray, mass: FloatArray, places: Places, excess: FloatArray
) -> FloatArray:
    """Bound by loads column by column with replicas and local dispatch, float64[X].

    Proof: of the tokens that want f, at most ``K[f] = knapsack of column f`` are on one place by
    their last expert, since loads of the first layer are limited. With k copies of f at most
    ``min(k K[f], sum R[:, f])`` stay. This is concave in k, so that the spare copies go to the
    largest gains.
    """
    caps = _knapsacks(pairs.T, mass, np.minimum(excess * places.capacity.max(), 1.0))
    column = pairs.sum(axis=0)[:, None]
    stay = np.empty(len(excess))
    copies = np.arange(1, len(places.capacity) + 1)
    for x in range(len(excess)):
        reached = np.minimum(caps[:, x : x + 1] * copies, column)
        gains = np.sort(np.diff(reached, axis=1).ravel())[::-1][: places.spare]
        stay[x] = reached[:, 0].sum() + gains.sum()
    return stay


def _knapsacks(worth: FloatArray, mass: FloatArray, most: FloatArray) -> FloatArray:
    """float64[E, X]: largest worth of parts of a row's items whose mass stays below ``most``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(worth > 0, worth / mass, 0.0)
    order = np.argsort(-ratio, axis=1, kind="stable")
    start = np.zeros((len(worth), 1))
    weights = np.concatenate([start, np.cumsum(mass[order], axis=1)], axis=1)
    values = np.concatenate(
        [start, np.cumsum(np.take_along_axis(worth, order, axis=1), axis=1)], axis=1
    )
    # of several points of equal weight the last one is worth most
    return np.stack([_concave(most, w, v) for w, v in zip(weights, values, strict=True)])


def _concave(at: FloatArray, weights: FloatArray, values: FloatArray) -> FloatArray:
    upper = np.minimum(np.searchsorted(weights, at, side="right"), len(weights) - 1)
    low = upper - 1
    step = weights[upper] - weights[low]
    part = np.divide(at - weights[low], step, out=np.ones_like(at), where=step > 0)
    return np.asarray(values[low] + np.clip(part, 0.0, 1.0) * (values[upper] - values[low]))


def spectral(
    pairs: FloatArray, mass: FloatArray, mass_next: FloatArray, places: Places, excess: FloatArray
) -> FloatArray:
    """Bound by singular values, float64[X, X]; single copies, or equal shares.

    Proof: let R have the margins P and Q (as parts) and ``Rt = diag(P)**-1/2 R diag(Q)**-1/2 = u
    v^T + R2``, ``u = sqrt(P)``, ``v = sqrt(Q)``, where R2 is orthogonal to u and v. With ``Y =
    diag(P)**1/2 a`` those that stay are ``tr(Y^T Rt Y') = sum_n l[n] l'[n] + tr(Z^T R2 Z')``, where
    Z is Y without its part along u. As ``a`` has entries in [0, 1] with rows that sum to 1, the
    Gram matrix of Y is at most diag(l) (for single copies it is that), so the norm of Z is at most
    ``sqrt(max l)``, and its rank at most N - 1, since the columns of Y sum to u. Von Neumann's
    trace inequality bounds the second term by ``sqrt(max l max l')`` times the sum of the N - 1
    largest singular values of R2. Where margins are not the loads, infinity.
    """
    n_places, total = len(places.capacity), float(pairs.sum())
    most = np.sqrt(np.minimum(excess * places.capacity.max(), 1.0))
    shape = (len(excess), len(excess))
    # margins are whole: either they are the loads but for rounding, or a token off at least
    fit = np.abs(pairs.sum(axis=1) - total * mass).max() <= 1e-14 * total
    fit &= np.abs(pairs.sum(axis=0) - total * mass_next).max() <= 1e-14 * total
    if not (fit and total > 0 and 2 * n_places <= len(pairs)):
        return np.full(shape, np.inf)
    u, v = np.sqrt(mass), np.sqrt(mass_next)
    scale = np.multiply.outer(u, v)
    rest = np.divide(pairs / total, scale, out=np.zeros_like(pairs), where=scale > 0) - scale
    singular = np.linalg.svd(rest, compute_uv=False)[: n_places - 1].sum()
    slack = 1 + 1e-9  # of the decomposition's own rounding
    stay = load_overlap(places.capacity, excess) + np.multiply.outer(most, most) * singular * slack
    return np.asarray(total * stay)
