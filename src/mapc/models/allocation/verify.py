"""Check addresses by a sweep over time. Shares nothing with what computes them."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Any

import numpy as np

from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import Verdict

_BEGIN, _END = 1, 0  # ends come first: lifetimes are half-open


def verify(problem: AllocationProblem, plan: AllocationPlan) -> Verdict:
    """Replay a plan: every buffer takes its place when it begins and leaves it when it ends.

    A buffer occupies its size rounded up to the alignment. The objective is the peak (bytes)
    without a capacity; with one, the bytes above its aligned part, which a valid plan has not.

    Fixed addresses and reserved ranges are compared with the plan one by one.

    Returns
    -------
    Verdict
        Its facts are ``peak``, ``max_load``, ``capacity`` and ``buffers``.
    """
    offset = np.asarray(plan.offset)
    n = len(problem.names)
    if offset.shape != (n,) or not np.issubdtype(offset.dtype, np.integer):
        found = f"{offset.dtype} addresses of shape {offset.shape}"
        return Verdict((f"{found}; expected {n} whole numbers",), None, {"buffers": n})
    # Python integers: no address, however wrong, can overflow
    address = [int(value) for value in offset]
    step = problem.alignment
    size = [-(-int(value) // step) * step for value in problem.size]
    limit = None if problem.capacity is None else problem.capacity - problem.capacity % step
    violations = _misplaced(problem.names, address, size, step, limit)
    violations += _moved(problem, address) + _in_reserved(problem, address, size)
    overlaps, max_load = _sweep(problem, address, size)
    peak = max((a + s for a, s in zip(address, size, strict=True) if s), default=0)
    facts: dict[str, Any] = {
        "peak_bytes": peak,
        "max_load_bytes": max_load,
        "capacity_bytes": problem.capacity,
        "buffers": n,
    }
    objective = peak if limit is None else max(0, peak - limit)
    return Verdict(tuple(violations + overlaps), objective, facts)


def _misplaced(
    names: tuple[str, ...], address: list[int], size: list[int], step: int, limit: int | None
) -> list[str]:
    """Return the rules that buffers break on their own."""
    broken = []
    for name, at, extent in zip(names, address, size, strict=True):
        if at < 0:
            broken.append(f"buffer {name!r}: address {at} is negative")
        if at % step:
            broken.append(f"buffer {name!r}: address {at} is no multiple of {step}")
        if limit is not None and at + extent > limit:
            broken.append(f"buffer {name!r}: ends at {at + extent}, above the capacity {limit}")
    return broken


def _moved(problem: AllocationProblem, address: list[int]) -> list[str]:
    """Return the buffers that are not where they have to be."""
    if problem.fixed is None:
        return []
    return [
        f"buffer {name!r}: address {at} instead of the fixed {fixed}"
        for name, at, fixed in zip(problem.names, address, problem.fixed.tolist(), strict=True)
        if fixed not in (-1, at)
    ]


def _in_reserved(problem: AllocationProblem, address: list[int], size: list[int]) -> list[str]:
    """Return the buffers that touch a reserved range while it is."""
    if problem.reserved is None:
        return []
    lives = list(zip(problem.lower.tolist(), problem.upper.tolist(), strict=True))
    return [
        f"buffer {problem.names[i]!r} [{address[i]}, {address[i] + size[i]}) is in the range "
        f"[{base}, {top}) reserved during [{lower}, {upper})"
        for lower, upper, base, top in problem.reserved.tolist()
        for i, (begin, end) in enumerate(lives)
        if size[i] and begin < upper and lower < end
        if address[i] < top and base < address[i] + size[i]
    ]


def _sweep(
    problem: AllocationProblem, address: list[int], size: list[int]
) -> tuple[list[str], int]:
    """Return the overlaps met on the way through time, and the largest load."""
    solid = [i for i in range(len(size)) if size[i]]
    events = [(int(problem.lower[i]), _BEGIN, i) for i in solid]
    events += [(int(problem.upper[i]), _END, i) for i in solid]
    inside: list[tuple[int, int]] = []  # (address, buffer), pairwise disjoint
    seated: set[int] = set()
    violations: list[str] = []
    load = max_load = 0
    for time, kind, i in sorted(events):
        if kind == _END:
            load -= size[i]
            if i in seated:
                inside.remove((address[i], i))
            continue
        load += size[i]
        max_load = max(max_load, load)
        at = bisect_right(inside, (address[i], i))
        # disjoint neighbours on both sides: nothing else can reach this far
        clash = [
            j
            for base, j in inside[max(0, at - 1) : at + 1]
            if base < address[i] + size[i] and address[i] < base + size[j]
        ]
        if not clash:
            insort(inside, (address[i], i))
            seated.add(i)
        for j in clash:
            a, b = address[i], address[j]
            violations.append(
                f"buffers {problem.names[j]!r} [{b}, {b + size[j]}) and {problem.names[i]!r} "
                f"[{a}, {a + size[i]}) overlap at time {time}"
            )
    return violations, max_load
