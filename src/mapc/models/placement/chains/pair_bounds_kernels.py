"""Degree-constrained assignments, compiled: every row and column gets several partners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel


@kernel("float64(float64[:, ::1], int64, boolean[:, ::1])")
def partners(cost: NDArray[np.float64], degree: int, used: NDArray[np.bool_]) -> float:
    """Give every row and every column ``degree`` different partners at least total cost.

    Successive shortest paths with potentials (Edmonds and Karp 1972): one partner at a time, along
    the cheapest way to a column with room, pairs in use being given up on the way. Whole costs
    keep sums below 2**53 exact.

    Parameters
    ----------
    cost : float64[n, n]
        At least 0.
    degree : int
        1 to n.
    used : bool[n, n]
        Filled with the pairs.

    Returns
    -------
    float
        The total cost.
    """
    n = len(cost)
    used[:] = False
    held = np.zeros(n, np.int64)
    at_row, at_column = np.zeros(n), np.zeros(n)  # potentials
    to_row, to_column = np.empty(n), np.empty(n)  # distances
    row_done, column_done = np.empty(n, np.bool_), np.empty(n, np.bool_)
    from_row, from_column = np.empty(n, np.int64), np.empty(n, np.int64)
    total = 0.0
    for start in range(n):
        for _ in range(degree):
            to_row[:] = np.inf
            to_column[:] = np.inf
            row_done[:] = False
            column_done[:] = False
            to_row[start] = 0.0
            sink = -1
            while sink < 0:
                best, row, column = np.inf, -1, -1
                for k in range(n):
                    if not column_done[k] and to_column[k] < best:
                        best, row, column = to_column[k], -1, k
                    if not row_done[k] and to_row[k] < best:
                        best, row, column = to_row[k], k, -1
                if column >= 0:
                    column_done[column] = True
                    if held[column] < degree:
                        sink = column
                        break
                    for i in range(n):
                        if used[i, column] and not row_done[i]:
                            length = best - (cost[i, column] + at_row[i] - at_column[column])
                            if length < to_row[i]:
                                to_row[i] = length
                                from_column[i] = column
                else:
                    row_done[row] = True
                    for j in range(n):
                        if not used[row, j] and not column_done[j]:
                            length = best + cost[row, j] + at_row[row] - at_column[j]
                            if length < to_column[j]:
                                to_column[j] = length
                                from_row[j] = row
            far = to_column[sink]
            for k in range(n):
                at_row[k] += min(to_row[k], far)
                at_column[k] += min(to_column[k], far)
            held[sink] += 1
            j = sink
            while True:
                i = from_row[j]
                used[i, j] = True
                if i == start:
                    break
                j = from_column[i]
                used[i, j] = False
    for i in range(n):
        for j in range(n):
            if used[i, j]:
                total += cost[i, j]
    return total
