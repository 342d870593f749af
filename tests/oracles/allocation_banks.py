"""Complete enumeration for several banks and alignments of single buffers; random small problems.

Reads only the columns of `AllocationProblem`. It is exponential: up to about five buffers.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.models.allocation.problem import AllocationProblem
from oracles.allocation_bruteforce import problem_of


def fits(problem: AllocationProblem) -> bool:
    """Whether a placement exists, by all choices of banks and, in each bank, of who is lower.

    In a placement of one bank pushed down as far as it goes, a buffer lies at the first multiple of
    its alignment above the highest top under it. Taking buffers by ascending address, that is the
    highest top among all the overlapping ones taken before.
    """
    n = problem.n_buffers
    banks = [size for _, size in problem.banks] or [problem.capacity]
    choices = [
        [b for b in range(len(banks)) if problem.allowed is None or problem.allowed[i, b]]
        for i in range(n)
    ]
    return any(
        all(
            _fits_bank(problem, [i for i in range(n) if chosen[i] == b], b, int(size or 0))
            for b, size in enumerate(banks)
        )
        for chosen in product(*choices)
    )


def _fits_bank(problem: AllocationProblem, members: list[int], bank: int, capacity: int) -> bool:
    a = problem.alignment
    rows = []  # lower, upper, size, given address, grain
    for i in members:
        size = -(-int(problem.size[i]) // a) * a
        given = -1 if problem.fixed is None else int(problem.fixed[i])
        grain = a if problem.alignments is None else int(problem.alignments[i])
        if size:
            rows.append((int(problem.lower[i]), int(problem.upper[i]), size, given, grain))
    movable = len(rows)
    if problem.reserved is not None:
        of = problem.reserved_bank
        for r, (begin, end, base, top) in enumerate(problem.reserved.tolist()):
            if (0 if of is None else int(of[r])) == bank:
                low, high = base // a * a, -(-top // a) * a
                rows.append((begin, end, high - low, low, 1))

    def extend(left: frozenset[int], top: dict[int, int]) -> bool:
        if not left:
            return True
        for i in left:
            begin, end, size, given, grain = rows[i]
            under = max(
                (
                    t
                    for j, t in top.items()
                    if begin < rows[j][1] and rows[j][0] < end and min(i, j) < movable
                ),
                default=0,
            )
            at = -(-under // grain) * grain if given < 0 else given
            if at < under or (i < movable and at + size > capacity // a * a):
                continue
            if extend(left - {i}, {**top, i: at + size}):
                return True
        return False

    return extend(frozenset(range(len(rows))), {})


@st.composite
def banked_problems(
    draw: st.DrawFn, max_buffers: int = 5, max_banks: int = 3, held: bool = True
) -> AllocationProblem:
    """Small problems with banks, or with a capacity, and any combination of what they may have."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 7)),
            min_size=1,
            max_size=max_buffers,
        )
    )
    alignment = draw(st.sampled_from([1, 1, 2]))
    problem = problem_of([(low, low + life, size) for low, life, size in rows], alignment=alignment)
    n = problem.n_buffers
    sizes = draw(st.lists(st.integers(0, 13), min_size=0, max_size=max_banks))
    if sizes:
        banks = tuple((f"m{b}", size) for b, size in enumerate(sizes))
        problem = replace(problem, banks=banks)
        if draw(st.booleans()):
            flags = st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)).filter(any)
            allowed = draw(st.lists(flags, min_size=n, max_size=n))
            problem = replace(problem, allowed=np.array(allowed, dtype=np.bool_))
    else:
        problem = replace(problem, capacity=draw(st.integers(0, 16)))
    if draw(st.booleans()):
        steps = draw(st.lists(st.sampled_from([1, 1, 2, 3, 4]), min_size=n, max_size=n))
        problem = replace(problem, alignments=np.array(steps) * alignment)
    return draw(_with_held(problem)) if held else problem


@st.composite
def _with_held(draw: st.DrawFn, problem: AllocationProblem) -> AllocationProblem:
    """Fix an address and reserve a range, where that is possible."""
    if draw(st.booleans()):
        low, base = draw(st.integers(0, 4)), draw(st.integers(0, 8))
        row = (low, low + draw(st.integers(1, 5)), base, base + draw(st.integers(1, 4)))
        bank = draw(st.integers(0, max(0, len(problem.banks) - 1)))
        of = np.array([bank]) if draw(st.booleans()) else None
        problem = replace(problem, reserved=np.array([row]), reserved_bank=of)
    if draw(st.booleans()):
        who, at = draw(st.integers(0, problem.n_buffers - 1)), draw(st.integers(0, 4))
        fixed = np.full(problem.n_buffers, -1, dtype=np.int64)
        fixed[who] = at * problem.grain[who]
        try:
            problem = replace(problem, fixed=fixed)
        except InstanceError:
            return problem
    return problem
