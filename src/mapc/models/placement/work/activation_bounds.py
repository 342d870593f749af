"""How often experts are activated at least, whatever their replicas.

A step has T tokens. An expert with the part x of them is activated with the chance
``f(x) = 1 - (1 - min(x, 1)) ** T``: not in proportion to x, and more often in all the more replicas
share its tokens.
"""

from __future__ import annotations

import numpy as np

from mapc.models.placement.problem import FloatArray, PlacementProblem


def least_active(problem: PlacementProblem) -> FloatArray:
    """Return activations per step that the replicas of an expert have at least, float64[P, L, E].

    However its tokens are shared, the replicas of an expert have that many in all; and each of r
    equal ones at least an r-th of it. With one slot per expert these are its activations.

    Proof: f(0) = 0. For T >= 1, f is concave, so ``f(x) + f(y) >= f(x + y)`` and
    ``f(x / r) >= f(x) / r``. For T < 1 it is not, but ``(1 - x) ** T <= 1 - T x`` (Bernoulli), so f
    is above ``T min(x, 1)``, which is concave and 0 at 0.
    """
    active = problem.activated()
    if problem.n_slots == problem.n_experts:
        return active
    tokens = _tokens(problem)
    total = problem.counts.sum(axis=2, keepdims=True) / problem.top_k
    return np.where(tokens < 1, tokens * np.minimum(problem.counts / total, 1.0), active)


def least_extra(problem: PlacementProblem, profile: int) -> FloatArray:
    """Return activations per step that replicas add at least under equal dispatch, float64[L].

    Proof: k more replicas of an expert add ``D(k) = (k + 1) f(x / (k + 1)) - f(x)``. For T >= 1
    that is concave in k, as ``z f(x / z)`` is in z where f is concave, and D(0) = 0. So D(k) is at
    least ``k / K`` times D(K), K the most one expert can have. All S - E of them cost least where
    these slopes are smallest. For T < 1 the answer is 0.
    """
    spare = problem.n_slots - problem.n_experts
    most = min(len(problem.live), spare + 1) - 1
    if most == 0:
        return np.zeros(problem.n_layers)
    single = problem.activated()[profile]
    many = problem.activated(most + 1)[profile] * (most + 1)
    slope = np.sort(np.maximum(many - single, 0.0) / most, axis=1)
    whole, rest = divmod(spare, most)
    extra = slope[:, :whole].sum(axis=1) * most
    if rest:
        extra += slope[:, whole] * rest
    return np.where(_tokens(problem)[profile, :, 0] < 1, 0.0, extra)


def _tokens(problem: PlacementProblem) -> FloatArray:
    """float64[P, L, 1]: T."""
    total = problem.counts.sum(axis=2, keepdims=True) / problem.top_k
    return np.asarray(total * problem.scale[:, None, None])
