"""Lower bounds on the peak of any placement."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.allocation.banks.check import misfit
from mapc.models.allocation.problem import AllocationProblem


def heights(problem: AllocationProblem) -> tuple[IntArray, IntArray]:
    """Return times (int64[t]) and the bytes of memory that every placement needs at each.

    Buffers alive at one time occupy disjoint addresses from 0 up, each its size rounded up to the
    alignment (a buffer above another begins at a multiple of the alignment). Those that are free
    to move also stay off what does not move: below a peak P there is room for them of P bytes less
    those that walls cover there. The least P at which that is enough is found by adding, from the
    lowest wall up, the bytes of each that begins below what is needed so far. No P is below the
    top of a buffer with a fixed address, while it is alive.

    With banks these are addresses on the line, on which what lies between banks is a wall: where
    more is needed than fits into all banks together, the height is above the end of the last one.
    """
    walls = problem.walls
    if not len(walls):
        return problem.load
    times = np.unique(np.concatenate([problem.lower, problem.upper, walls[:, 0], walls[:, 1]]))
    free = problem.held < 0
    change = np.zeros(len(times), dtype=np.int64)
    np.add.at(change, np.searchsorted(times, problem.lower[free]), problem.padded[free])
    np.add.at(change, np.searchsorted(times, problem.upper[free]), -problem.padded[free])
    load = np.cumsum(change)
    need = load.copy()
    for lower, upper, base, top in walls[np.argsort(walls[:, 2])].tolist():
        alive = (lower <= times) & (times < upper)
        need[alive & (base < need)] += top - base
    for i in np.flatnonzero((problem.held >= 0) & (problem.padded > 0)).tolist():
        alive = (problem.lower[i] <= times) & (times < problem.upper[i])
        np.maximum(need, problem.held[i] + problem.padded[i], out=need, where=alive)
    return times, need


def lower_bound(problem: AllocationProblem) -> int:
    """Return the best bound on the peak (bytes) that is cheap to compute: the largest height.

    With banks a bound above the end of the line says that there is no placement; that is also said
    where no bank has room for some buffer alone (`mapc.models.allocation.banks.check.misfit`).
    """
    if problem.room is not None and misfit(problem) is not None:
        return problem.room + problem.unit
    return int(heights(problem)[1].max(initial=0))
