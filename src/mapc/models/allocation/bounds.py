"""Lower bounds on the peak of any placement."""

from __future__ import annotations

from mapc.models.allocation.problem import AllocationProblem


def lower_bound(problem: AllocationProblem) -> int:
    """Return the best bound on the peak (bytes) that is cheap to compute.

    The largest load: buffers alive at one time occupy disjoint addresses from 0 up, each its size
    rounded up to the alignment (a buffer above another begins at a multiple of the alignment).
    """
    return problem.max_load
