"""Capacities of an allocation problem, by name."""

from __future__ import annotations

from dataclasses import replace

from mapc.errors import UsageError
from mapc.models.allocation.problem import AllocationProblem
from mapc.units import parse_bytes


def with_capacity(problem: AllocationProblem, text: str | int) -> AllocationProblem:
    """Return the problem with a capacity in bytes, as a size, ``M_R`` or ``M_P``.

    ``M_R`` is the largest number of bytes live at once; ``M_P`` asks for the smallest peak, which
    is the problem without a capacity.

    Raises
    ------
    UsageError
        For a problem with banks, which have capacities of their own.
    """
    if problem.banks:
        raise UsageError(f"scratchpad {text}: the problem has banks, whose sizes it gives")
    if text == "M_R":
        return replace(problem, capacity=problem.max_load)
    if text == "M_P":
        return replace(problem, capacity=None)
    if text == "M_H":
        raise UsageError("M_H: lifetimes are fixed here; give a size, M_R or M_P")
    return replace(problem, capacity=parse_bytes(text, ("M_R", "M_P")))
