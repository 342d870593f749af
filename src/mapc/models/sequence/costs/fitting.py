"""Costs of groups from timings of one's own, by least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.sequence.problem import RING, ULYSSES, FloatArray, GroupCost

_RANK = 1e-9
"""Singular values below this part of the largest count as zero: columns are scaled to length 1."""


@dataclass(frozen=True, eq=False)
class Timings:
    """Measured times of groups. R rows.

    Attributes
    ----------
    degree : int64[R]
        Ranks of the group, powers of two.
    kind : tuple of str, R long
        ``"ulysses"`` or ``"ring"``.
    lengths : Ragged
        Tokens of the group's sequences, > 0, at least one in each row.
    time : float64[R]
        ms, > 0, finite.
    """

    degree: IntArray
    kind: tuple[str, ...]
    lengths: Ragged
    time: FloatArray


@dataclass(frozen=True, eq=False)
class FittedCost:
    """Costs and how well they explain the timings they come from.

    Attributes
    ----------
    cost : GroupCost
    predicted : float64[R]
        ms.
    rms : float
        Root of the mean squared residual, ms.
    relative : float
        Root of the mean square of residuals as parts of the time measured: what was minimised.
    worst : float
        Largest residual as a part of the time measured.
    """

    cost: GroupCost
    predicted: FloatArray
    rms: float
    relative: float
    worst: float


def fit_cost(timings: Timings, tokens_per_rank: int) -> FittedCost:
    """Fit the time of a group to measured ones, with no coefficient below 0.

    The model is FlexSP's with a linear term of its own for every mode j of degree d, which holds
    both ``a2 / d`` and the communication::

        time = a1 * sum(s^2) / d + b_j * sum(s) + c

    so that there are as many unknowns as modes and two more. Minimised is the sum of squared
    residuals, each as a part of the time measured, by `nonnegative_least_squares`.

    Parameters
    ----------
    timings : Timings
        Degrees in it are the degrees that groups may have.
    tokens_per_rank : int
        Most tokens that the memory of a rank holds; timings do not tell.

    Raises
    ------
    InstanceError
        For timings that break a rule of `Timings` or cannot tell the coefficients apart.
    """
    if not isinstance(tokens_per_rank, int) or not 1 <= tokens_per_rank <= 2**40:
        raise InstanceError(f"{tokens_per_rank!r}", "tokens per rank", "a whole number >= 1")
    _check(timings)
    order = (ULYSSES, RING)
    # alone, a rank sends nothing either way
    rows = [
        (d, ULYSSES if d == 1 else kind)
        for d, kind in zip(timings.degree.tolist(), timings.kind, strict=True)
    ]
    modes = sorted(set(rows), key=lambda mode: (mode[0], order.index(mode[1])))
    mode = np.array([modes.index(row) for row in rows])
    s = timings.lengths.values.astype(np.float64)
    starts = timings.lengths.start[:-1]
    design = np.zeros((len(rows), len(modes) + 2))
    design[:, 0] = np.add.reduceat(s * s, starts) / timings.degree
    design[np.arange(len(rows)), 1 + mode] = np.add.reduceat(s, starts)
    design[:, -1] = 1.0
    _check_rank(design)
    # timings scatter by a part of themselves: each row counts by its relative residual
    weighted = design / timings.time[:, None]
    solution = nonnegative_least_squares(weighted, np.ones(len(rows)))
    predicted = design @ solution
    residual = predicted - timings.time
    degree = np.array([d for d, _ in modes], dtype=np.int64)
    cost = GroupCost(
        degree=degree,
        kind=tuple(kind for _, kind in modes),
        quadratic=solution[0] / degree,
        linear=solution[1:-1],
        fixed=np.full(len(modes), solution[-1]),
        tokens=degree * tokens_per_rank,
    )
    part = np.abs(residual) / timings.time
    rms, relative = (float(np.sqrt(np.mean(x**2))) for x in (residual, part))
    return FittedCost(cost, predicted, rms, relative, float(part.max()))


def nonnegative_least_squares(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Return ``x >= 0`` that minimises ``|matrix x - right|``.

    The active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23) on
    columns scaled to length 1. Each round frees the column of the steepest descent and then fixes
    those at 0 that the unconstrained solution would make negative; the objective falls in every
    round, hence no set of free columns comes twice and the method ends.

    Parameters
    ----------
    matrix : float64[R, C]
        Of rank C, no column zero.
    right : float64[R]
    """
    scale = np.linalg.norm(matrix, axis=0)
    scaled = matrix / scale
    x: FloatArray = np.zeros(scaled.shape[1])
    free = np.zeros(len(x), dtype=np.bool_)
    tolerance = 1e-12 * float(np.linalg.norm(right))
    for _ in range(2 ** min(len(x), 12)):
        slope = np.where(free, 0.0, scaled.T @ (right - scaled @ x))
        if slope.max() <= tolerance:
            break
        chosen = np.argmax(slope)
        free[chosen] = True
        x = _descend(scaled, right, x, free)
        if not free[chosen]:
            break  # its slope is rounding: it would be freed again and again
    solution: FloatArray = x / scale
    return solution


def _descend(matrix: FloatArray, right: FloatArray, x: FloatArray, free: BoolArray) -> FloatArray:
    """Return the least squares over the free columns, after those that bind are no longer free."""
    while free.any():
        best = np.zeros(len(x))
        best[free] = np.linalg.lstsq(matrix[:, free], right, rcond=None)[0]
        low = free & (best <= 0)
        if not low.any():
            return best
        step = x[low] / (x[low] - best[low] + (best[low] == x[low]))
        x = x + float(step.min()) * (best - x)
        bound = np.flatnonzero(low)[step == step.min()]
        free[bound] = False
        x[~free] = 0.0
    return np.zeros(len(x))


def _check(timings: Timings) -> None:
    n = len(timings.degree)
    if n == 0 or not len(timings.kind) == len(timings.time) == len(timings.lengths) == n:
        raise InstanceError("no rows, or columns of unequal length", "timings", "rows")
    degree = timings.degree
    counts = np.diff(timings.lengths.start)
    for name, wrong, values, right in (
        ("degree", (degree < 1) | (degree & (degree - 1) != 0), degree, "a power of two"),
        ("lengths", counts < 1, counts, "one sequence at least"),
        ("ms", ~((timings.time > 0) & np.isfinite(timings.time)), timings.time, "above 0"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(f"{values[at]}", f"timings: row {at}: {name}", right)
    for at, kind in enumerate(timings.kind):
        if kind not in (ULYSSES, RING):
            right = f"{ULYSSES} or {RING}"
            raise InstanceError(f"{kind!r}"[:60], f"timings: row {at}: kind", right)
    if timings.lengths.values.min() < 1:
        raise InstanceError(f"{timings.lengths.values.min()}", "timings: lengths", "tokens >= 1")


def _check_rank(design: FloatArray) -> None:
    scaled = design / np.linalg.norm(design, axis=0)
    found = int(np.linalg.matrix_rank(scaled, tol=_RANK * float(np.linalg.norm(scaled, 2))))
    if found < design.shape[1]:
        raise InstanceError(
            f"{len(design)} rows tell {found} of {design.shape[1]} coefficients apart",
            "timings",
            "every degree with sequences of several lengths, and several sums of them",
        )
