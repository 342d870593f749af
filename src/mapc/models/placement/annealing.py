"""One placement for many profiles: annealing of a smoothed largest load, layer by layer."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load, stream
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.rows import Rows

KERNELS = "mapc.models.placement.annealing_kernels"

HEAT = np.array(
    [[3, 3e-2, 1e-3], [4, 1e-2, 3e-4], [5, 3e-3, 1e-4], [6, 1e-3, 2e-5]], dtype=np.float64
)
"""float64[stages, 3]: log2 of the norm's power, first and last temperature, where the largest load
of a perfectly balanced layer is 1."""


def anneal_layer(
    rows: Rows,
    layer: int,
    table: IntArray,
    *,
    lam: FloatArray | None = None,
    locked: BoolArray | None = None,
    allowed: BoolArray | None = None,
    old: BoolArray | None = None,
    max_new: int = -1,
    steps: int = 100_000,
    heat: FloatArray = HEAT,
    seed: int = 0,
) -> IntArray:
    """Anneal the table of one layer; the best one met by its true objective.

    That is the sum over profiles of ``lam`` times the largest load, in ticks, of any rank in any
    row of the profile. The result is never worse than ``table``.

    Parameters
    ----------
    rows : Rows
    layer : int
    table : int64[H, C]
        Start: live ranks, no expert twice on a rank; every expert somewhere.
    lam : float64[P], optional
        Weight of each profile beside what is in its rows; 1 by default.
    locked : bool[H, C], optional
        Slots that keep their expert; none by default.
    allowed : bool[E, H], optional
        Where experts may go; those of the problem by default.
    old : bool[E, H], optional
        Pairs of expert and rank that cost no move; needed with ``max_new``.
    max_new : int
        Most pairs of the table outside ``old``; below 0: any. A start that has more never gains
        another.
    steps : int
        Moves to try.
    heat : float64[stages, 3]
        As `HEAT`.
    seed : int
        The same for every layer; each draws numbers of its own.

    Returns
    -------
    int64[H, C]
    """
    kernels = load(KERNELS)
    assert kernels is not None, "without a condition to give up, kernels load"
    problem, shape = rows.problem, (rows.problem.n_experts, table.shape[0])
    item, unit = scaled_items(rows, layer)
    weight = unit if lam is None else unit * lam
    weight = weight / weight.sum() if weight.sum() > 0 else np.ones_like(weight)
    if allowed is None:
        allowed = problem.allowed[layer][:, problem.live]
    result = np.ascontiguousarray(table, dtype=np.int64).copy()
    kernels.anneal(
        result,
        item,
        rows.slowness,
        np.ascontiguousarray(rows.profile),
        np.ascontiguousarray(weight, dtype=np.float64),
        np.zeros(table.shape, dtype=np.bool_) if locked is None else np.ascontiguousarray(locked),
        np.ascontiguousarray(allowed),
        np.ones(shape, dtype=np.bool_) if old is None else np.ascontiguousarray(old),
        max_new,
        max(steps // len(heat), 1),
        heat,
        stream(seed, layer),
    )
    return result


def scaled_items(rows: Rows, layer: int) -> tuple[FloatArray, FloatArray]:
    """Return items as the kernel wants them, and what one unit of each profile's load is.

    Every profile is scaled so that its largest load is near 1 where ranks are balanced; rows of one
    profile keep their proportion.

    Returns
    -------
    item : float64[E, most, K]
    unit : float64[P]
        Ticks.
    """
    problem, item = rows.problem, rows.items(layer)
    even = item[:, :, 0].sum(axis=1) / (1 / rows.slowness).sum()
    unit = np.zeros(problem.n_profiles)
    np.maximum.at(unit, rows.profile, even)
    unit[unit == 0] = 1.0  # nothing costs anything
    scaled = item / unit[rows.profile][:, None, None]
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)), unit
