"""How fast groups of ranks exchange data: figures measured by FlexSP, and what lies beyond them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray
from mapc.models.sequence.problem import FloatArray

NODE_RANKS = 8
"""Ranks in each node of the cluster that was measured."""
ALL_TO_ALL: Mapping[int, float] = {
    2: 119.54, 4: 104.07, 8: 96.5, 16: 10.33, 32: 5.94, 64: 4.87
}  # fmt: skip
"""GB/s by degree, of Hetu-Galvatron, branch flexsp, ``flexsp_solver/solver.py``: 64 GPUs."""
_MOST = 1e5


def bandwidths(
    degrees: Sequence[int], node_ranks: int, measured: Mapping[int, float] | None = None
) -> FloatArray:
    """Return float64[D]: GB/s of an all-to-all, infinite for degree 1.

    Without figures of one's own, FlexSP's hold: within a node by degree, from 8 on the one of 8;
    across nodes by the number of nodes, so that 16 ranks in nodes of 4 are as fast as 32 in nodes
    of 8.

    Beyond the last figure, of a group of n nodes, what is constant is how fast a rank sends out of
    its node. Of all that it sends the part ``1 - 1 / n`` goes there, hence for m nodes::

        v(m) = v(n) * (1 - 1 / n) / (1 - 1 / m)

    FlexSP's own figures times that part are 5.2, 4.5 and 4.3 GB/s for 2, 4 and 8 nodes: nearly
    constant, falling a little with congestion, which is ignored.

    Parameters
    ----------
    degrees : sequence of int
        Powers of two.
    node_ranks : int
    measured : mapping, optional
        GB/s by degree.

    Raises
    ------
    InstanceError
        For figures that are not above 0 or no GB/s, and for degrees that have none and are not
        beyond the last, or beyond a last that lies within a node.
    """
    if measured is not None and not isinstance(measured, Mapping):
        raise InstanceError(f"{measured!r}"[:60], "bandwidth", "GB/s by degree")
    figures = _published(node_ranks, max(degrees)) if measured is None else dict(measured)
    for degree, value in figures.items():
        if not isinstance(degree, Integral) or degree < 2 or degree & (degree - 1):
            right = "a power of two from 2 on; one rank sends nothing"
            raise InstanceError(f"{degree!r}"[:60], "degree of a bandwidth", right)
        if not (is_number(value) and 0 < value <= _MOST):
            raise InstanceError(f"{value!r}"[:60], f"bandwidth of degree {degree}",
                                f"GB/s, above 0 to {_MOST:g}")  # fmt: skip
    return np.array([_bandwidth(d, node_ranks, figures) for d in degrees])


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether this is a real number, of Python or NumPy; truth values are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _published(node_ranks: int, most: int) -> dict[int, float]:
    last = max(ALL_TO_ALL) // NODE_RANKS * node_ranks
    figures, degree = {}, 2
    while degree <= min(most, last):
        inside = degree <= node_ranks
        like = min(degree, NODE_RANKS) if inside else degree // node_ranks * NODE_RANKS
        figures[degree] = ALL_TO_ALL[like]
        degree *= 2
    return figures


def _bandwidth(degree: int, node_ranks: int, figures: Mapping[int, float]) -> float:
    if degree == 1:
        return np.inf
    if degree in figures:
        return float(figures[degree])
    last = max(figures, default=0)
    if degree < last or last < 2 or last <= node_ranks < degree:
        known = ", ".join(str(d) for d in sorted(figures)) or "none"
        raise InstanceError(f"none for degree {degree}", "bandwidth",
                            f"GB/s for it beside degrees {known}")  # fmt: skip
    if last <= node_ranks:
        return float(figures[last])
    leaving = figures[last] * (1 - node_ranks / last)
    return float(leaving / (1 - node_ranks / degree))


def hop_bandwidths(
    degree: IntArray,
    node_ranks: int,
    all_to_all: FloatArray,
    measured: Mapping[int, float] | None = None,
) -> FloatArray:
    """Return float64[D]: GB/s from a rank to the next in a ring, infinite for degree 1.

    Derived from what an all-to-all attains. Of what a rank sends in one, the part ``1 - 1 / d``
    goes to others, so that within a node it sends at ``v_d (1 - 1 / d)``. A ring leaves a node at
    one rank only, which then has all that the ranks of a node together send out of it in an
    all-to-all of n nodes, ``node_ranks * v_d (1 - 1 / n)``, or what the hops inside attain where
    that is less.

    Parameters
    ----------
    degree : int64[D]
    node_ranks : int
    all_to_all : float64[D]
        Of `bandwidths`.
    measured : mapping, optional
        As for `bandwidths`.
    """
    outside = degree > node_ranks
    hop = np.full(len(degree), np.inf)
    within = (degree > 1) & ~outside
    hop[within] = all_to_all[within] * (1 - 1 / degree[within])
    if outside.any():
        leaving = node_ranks * all_to_all[outside] * (1 - node_ranks / degree[outside])
        hop[outside] = np.minimum(leaving, _inside(node_ranks, measured))
    return hop


def _inside(node_ranks: int, measured: Mapping[int, float] | None) -> float:
    """GB/s of a hop within a node of a ring of several; infinite where nothing is known of it."""
    figures = _published(node_ranks, node_ranks) if measured is None else measured
    known = [d for d in figures if 2 <= d <= node_ranks]
    return figures[max(known)] * (1 - 1 / max(known)) if known else np.inf
