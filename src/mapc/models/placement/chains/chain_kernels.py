"""The cheapest state before a state, where transfers are no sum over experts, compiled.

P profiles, M states of a layer, N of the layer before, E experts, H ranks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Floats = NDArray[np.float64]


@kernel(
    "void(int8[:, ::1], int64[::1], float64[::1], float64[:, :, :, ::1], float64[:, :, ::1],"
    "float64[:, ::1], float64[::1], boolean, boolean, float64[::1], int64[::1])"
)
def cheapest_before(
    rank: NDArray[np.int8],
    order: NDArray[np.int64],
    value: Floats,
    wanted: Floats,
    pair: Floats,
    work: Floats,
    weight: Floats,
    busiest: bool,
    overlap: bool,
    least: Floats,
    chosen: NDArray[np.int64],
) -> None:
    """Find the cheapest way to each of M states.

    Parameters
    ----------
    rank : int8[N, E]
        States of the layer before.
    order : int64[n]
        Those that can be reached, by increasing value: none after one whose value alone is too
        much need be looked at.
    value : float64[N]
        Of the cheapest way to each of them.
    wanted : float64[P, M, E, H]
        Tokens from each expert of the layer before to each rank.
    pair : float64[P, H, H]
    work : float64[P, M]
    weight : float64[P]
    busiest, overlap : bool
        Whether the busiest rank counts, and whether transfers run beside work.
    least : float64[M]
        Filled.
    chosen : int64[M]
        Filled with the state before; -1 where no way has a finite cost.
    """
    n_profiles, n_states, n_experts, n_ranks = wanted.shape
    leaving = np.empty((n_profiles, n_experts, n_ranks))
    out, into = np.empty(n_ranks), np.empty(n_ranks)
    for m in range(n_states):
        floor = 0.0
        for p in range(n_profiles):
            floor += weight[p] * work[p, m]
            for e in range(n_experts):
                for g in range(n_ranks):
                    total = 0.0
                    for h in range(n_ranks):
                        total += wanted[p, m, e, h] * pair[p, g, h]
                    leaving[p, e, g] = total
        best, at = np.inf, -1
        for n in order:
            if value[n] + floor >= best:
                break
            cost = value[n]
            for p in range(n_profiles):
                moved = 0.0
                if busiest:
                    out[:] = 0.0
                    into[:] = 0.0
                    for e in range(n_experts):
                        g = rank[n, e]
                        out[g] += leaving[p, e, g]
                        for h in range(n_ranks):
                            into[h] += wanted[p, m, e, h] * pair[p, g, h]
                    for g in range(n_ranks):
                        moved = max(moved, max(out[g], into[g]))
                else:
                    for e in range(n_experts):
                        moved += leaving[p, e, rank[n, e]]
                step = max(work[p, m], moved) if overlap else work[p, m] + moved
                cost += weight[p] * step
            if cost < best:
                best, at = cost, n
        least[m] = best
        chosen[m] = at
