"""Linear and bottleneck assignments, compiled. Costs are whole numbers, infinite where forbidden.

Sums of whole numbers below 2**53 are exact, and with them the optimum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel


@kernel("boolean(float64[:, ::1], int64[::1])")
def assign(cost: NDArray[np.float64], column: NDArray[np.int64]) -> bool:
    """Assign every row a column of its own at least total cost.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987; Crouse 2016).

    Parameters
    ----------
    cost : float64[n, n]
    column : int64[n]
        Filled with the column of every row.

    Returns
    -------
    bool
        False where no assignment has a finite cost; ``column`` means nothing then.
    """
    n = len(cost)
    high, row = np.zeros(n), np.full(n, -1, np.int64)
    low, distance = np.zeros(n), np.empty(n)
    before, seen = np.empty(n, np.int64), np.zeros(n, np.bool_)
    rows_seen = np.empty(n, np.int64)
    column[:] = -1
    for start in range(n):
        distance[:] = np.inf
        seen[:] = False
        n_seen, i, least, sink = 0, start, 0.0, -1
        while sink < 0:
            rows_seen[n_seen] = i
            n_seen += 1
            nearest, best = -1, np.inf
            for j in range(n):
                if seen[j]:
                    continue
                length = least + cost[i, j] - low[i] - high[j]
                if length < distance[j]:
                    distance[j] = length
                    before[j] = i
                # a free column first among equals ends the path at once
                if distance[j] < best or (distance[j] == best and nearest >= 0 and row[j] < 0):
                    best = distance[j]
                    nearest = j
            if nearest < 0 or best == np.inf:
                return False
            least = best
            seen[nearest] = True
            if row[nearest] < 0:
                sink = nearest
            else:
                i = row[nearest]
        low[start] += least
        for k in range(1, n_seen):
            low[rows_seen[k]] += least - distance[column[rows_seen[k]]]
        for j in range(n):
            if seen[j]:
                high[j] -= least - distance[j]
        j = sink
        while True:
            i = before[j]
            row[j] = i
            j, column[i] = column[i], j
            if i == start:
                break
    return True


@kernel("boolean(float64[:, ::1], int64[::1])")
def assign_bottleneck(cost: NDArray[np.float64], column: NDArray[np.int64]) -> bool:
    """Assign every row a column of its own so that the largest cost is least.

    Rows get columns one by one along paths of pairs no dearer than a threshold. Where a row finds
    none, the rows and columns its search reached are closed under pairs within the threshold, and
    the threshold rises to the cheapest pair that leads out: no assignment does with less, for the
    rows reached outnumber the columns reached by one.

    Parameters and result are those of `assign`.
    """
    n = len(cost)
    row = np.full(n, -1, np.int64)
    distance, before = np.empty(n), np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    column[:] = -1
    threshold = -np.inf
    for start in range(n):
        distance[:] = np.inf
        seen[:] = False
        i, sink = start, -1
        while sink < 0:
            nearest = -1
            for j in range(n):
                if seen[j]:
                    continue
                if cost[i, j] < distance[j]:
                    distance[j] = cost[i, j]
                    before[j] = i
                if nearest < 0:
                    nearest = j
                    continue
                here = max(distance[j], threshold)
                there = max(distance[nearest], threshold)
                if here < there or (here == there and row[j] < 0 <= row[nearest]):
                    nearest = j
            if distance[nearest] == np.inf:
                return False
            threshold = max(threshold, distance[nearest])
            seen[nearest] = True
            if row[nearest] < 0:
                sink = nearest
            else:
                i = row[nearest]
        j = sink
        while True:
            i = before[j]
            row[j] = i
            j, column[i] = column[i], j
            if i == start:
                break
    return True
