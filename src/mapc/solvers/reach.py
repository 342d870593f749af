"""What a program's rows say without a solver: bounds of columns, rows that cannot hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.program.model import Matrix

FloatArray = NDArray[np.float64]

ROUNDS = 8


def hopeless(matrix: Matrix) -> bool:
    """Whether a single row or column rules out every solution.

    A row without columns that asks for something other than 0, or an integer column with no
    whole number between its bounds: solvers and modelling layers differ in how they take these.
    """
    empty = np.diff(matrix.indptr) == 0
    rows = empty & ((matrix.row_lower > 0) | (matrix.row_upper < 0))
    lower, upper = whole_bounds(matrix)
    return bool(rows.any() or (lower > upper).any())


def whole_bounds(matrix: Matrix) -> tuple[FloatArray, FloatArray]:
    """Return the columns' bounds, of integer columns moved to whole numbers inside.

    1e-9 outside is forgiven: bounds such as 0.1 * 30 miss a whole number by rounding.
    """
    lower = np.where(matrix.integer, np.ceil(matrix.lower - 1e-9), matrix.lower)
    upper = np.where(matrix.integer, np.floor(matrix.upper + 1e-9), matrix.upper)
    return lower, upper


def implied_reach(matrix: Matrix, objective: float | None = None) -> tuple[FloatArray, FloatArray]:
    """Return bounds that every solution keeps, by activity-based tightening.

    A row ``sum a_j x_j <= u`` implies ``a_j x_j <= u - (least the others can be)``
    (Savelsbergh 1994, section 1.1); `ROUNDS` passes over all rows, only into directions that were
    unbounded. The results are widened by rounding errors and meant for finiteness, not strength.

    Parameters
    ----------
    matrix : Matrix
    objective : float, optional
        Only solutions with at most this objective count.

    Returns
    -------
    lower, upper : float64[n_columns]
    """
    row, column, value, low, up = _rows(matrix, objective)
    lower, upper = matrix.lower.copy(), matrix.upper.copy()
    for _ in range(ROUNDS):
        before = np.isinf(lower).sum() + np.isinf(upper).sum()
        if before == 0:
            break
        # rows as "<=": the second half is the first one negated
        for sign, side in ((1.0, up), (-1.0, -low)):
            _tighten(row, column, sign * value, side, lower, upper)
        if np.isinf(lower).sum() + np.isinf(upper).sum() == before:
            break
    return lower, upper


def _rows(
    matrix: Matrix, objective: float | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """Return the coefficients as triples, and the sides; the objective as one more row."""
    row = np.repeat(np.arange(matrix.n_rows), np.diff(matrix.indptr))
    column, value = matrix.indices.astype(np.int64), matrix.coefficients
    low, up = matrix.row_lower, matrix.row_upper
    if objective is not None:
        costed = np.flatnonzero(matrix.cost)
        row = np.concatenate([row, np.full(len(costed), matrix.n_rows)])
        column, value = np.append(column, costed), np.append(value, matrix.cost[costed])
        low, up = np.append(low, -np.inf), np.append(up, objective - matrix.offset)
    kept = value != 0
    return row[kept], column[kept], value[kept], low, up


def _tighten(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    value: FloatArray,
    side: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> None:
    """Give unbounded columns the bounds that ``value x <= side`` implies, in place."""
    least = np.where(value > 0, value * lower[column], value * upper[column])
    endless = np.isinf(least)
    finite = np.where(endless, 0.0, least)
    total = np.bincount(row, finite, minlength=len(side))
    open_ends = np.bincount(row, endless, minlength=len(side))
    own = np.where(endless, 0.0, least)
    others_finite = open_ends[row] == endless
    room = side[row] - (total[row] - own)
    known = others_finite & np.isfinite(side[row])
    room = room + 1e-9 * (1.0 + np.abs(side[row]) + np.abs(total[row]))
    limit = np.where(known, room, np.inf) / np.abs(value)
    up, down = known & (value > 0), known & (value < 0)
    new_upper, new_lower = np.full_like(upper, np.inf), np.full_like(lower, -np.inf)
    np.minimum.at(new_upper, column[up], limit[up])
    np.maximum.at(new_lower, column[down], -limit[down])
    upper[:] = np.where(np.isinf(upper), new_upper, upper)
    lower[:] = np.where(np.isinf(lower), new_lower, lower)
