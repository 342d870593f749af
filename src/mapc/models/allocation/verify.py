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

    A buffer occupies its size rounded up to the alignment, in its bank. The objective is the peak
    (bytes) without a capacity; with one, the bytes above its aligned part, of the bank where they
    are most; a valid plan has none.

    Fixed addresses and reserved ranges are compared with the plan one by one.

    Returns
    -------
    Verdict
        Its facts are ``peak``, ``max_load``, ``capacity`` and ``buffers``, and with banks the
        ``bank_peak_bytes`` of each, by name.
    """
    n = len(problem.names)
    for column, what in ((plan.offset, "addresses"), (plan.bank, "banks")):
        values = np.asarray(column)
        if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
            found = f"{values.dtype} {what} of shape {values.shape}"
            return Verdict((f"{found}; expected {n} whole numbers",), None, {"buffers": n})
    # Python integers: no address, however wrong, can overflow
    address = [int(value) for value in plan.offset]
    bank = [int(value) for value in plan.bank]
    step = problem.alignment
    size = [-(-int(value) // step) * step for value in problem.size]
    banks = problem.banks or (("memory", problem.capacity),)
    strays = [
        f"buffer {name!r}: in bank {b}, there are {len(banks)}"
        for name, b in zip(problem.names, bank, strict=True)
        if not 0 <= b < len(banks)
    ]
    if strays:
        return Verdict(tuple(strays), None, {"buffers": n})
    violations = _misplaced(problem, address, size, bank)
    violations += _moved(problem, address) + _in_reserved(problem, address, size, bank)
    peaks, excess = [0] * len(banks), 0
    loads = []
    for b, (_, capacity) in enumerate(banks):
        inside = [i for i in range(n) if bank[i] == b and size[i]]
        peaks[b] = max((address[i] + size[i] for i in inside), default=0)
        if capacity is not None:
            excess = max(excess, peaks[b] - (capacity - capacity % step))
        overlaps, load = _sweep(problem, address, size, inside)
        violations += overlaps
        loads.append(load)
    facts: dict[str, Any] = {
        "peak_bytes": max(peaks),
        "max_load_bytes": max(loads),
        "capacity_bytes": problem.capacity,
        "buffers": n,
    }
    if problem.banks:
        facts["bank_peak_bytes"] = {
            name: peak for (name, _), peak in zip(problem.banks, peaks, strict=True)
        }
    return Verdict(tuple(violations), excess if problem.capacity is not None else peaks[0], facts)


def _misplaced(
    problem: AllocationProblem, address: list[int], size: list[int], bank: list[int]
) -> list[str]:
    """Return the rules that buffers break on their own."""
    broken = []
    for i, name in enumerate(problem.names):
        at, extent = address[i], size[i]
        step = problem.alignment
        if problem.alignments is not None:
            step = int(problem.alignments[i])
        limit = problem.capacity if not problem.banks else problem.banks[bank[i]][1]
        if at < 0:
            broken.append(f"buffer {name!r}: address {at} is negative")
        if at % step:
            broken.append(f"buffer {name!r}: address {at} is no multiple of {step}")
        if limit is not None and extent and at + extent > limit - limit % problem.alignment:
            limit -= limit % problem.alignment
            broken.append(f"buffer {name!r}: ends at {at + extent}, above the capacity {limit}")
        if problem.allowed is not None and not problem.allowed[i, bank[i]]:
            broken.append(f"buffer {name!r}: in bank {problem.banks[bank[i]][0]!r}, not allowed")
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


def _in_reserved(
    problem: AllocationProblem, address: list[int], size: list[int], bank: list[int]
) -> list[str]:
    """Return the buffers that touch a reserved range while it is."""
    if problem.reserved is None:
        return []
    lives = list(zip(problem.lower.tolist(), problem.upper.tolist(), strict=True))
    of = [0] * len(problem.reserved)
    if problem.reserved_bank is not None:
        of = problem.reserved_bank.tolist()
    return [
        f"buffer {problem.names[i]!r} [{address[i]}, {address[i] + size[i]}) is in the range "
        f"[{base}, {top}) reserved during [{lower}, {upper})"
        for (lower, upper, base, top), b in zip(problem.reserved.tolist(), of, strict=True)
        for i, (begin, end) in enumerate(lives)
        if size[i] and bank[i] == b and begin < upper and lower < end
        if address[i] < top and base < address[i] + size[i]
    ]


def _sweep(
    problem: AllocationProblem, address: list[int], size: list[int], solid: list[int]
) -> tuple[list[str], int]:
    """Return the overlaps of some buffers met on the way through time, and their largest load."""
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
