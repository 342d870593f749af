"""Complete enumeration for the allocation family, random small instances, and a bare search.

The oracle reads only the columns of `AllocationProblem` and shares nothing with the code under
test. It is exponential: use it up to about eight buffers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.models.allocation import FAMILY
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.program.cpsat import to_cp_model
from mapc.program.model import Program
from mapc.solvers.base import Solution, Status, Stop, settle


def problem_of(
    buffers: Sequence[tuple[int, int, int]], capacity: int | None = None, alignment: int = 1
) -> AllocationProblem:
    """Problem of ``(lower, upper, size)`` rows, named b0, b1, ..."""
    columns = np.array(buffers, dtype=np.int64).reshape(-1, 3).T
    names = tuple(f"b{i}" for i in range(len(buffers)))
    return AllocationProblem("case", names, *columns, capacity=capacity, alignment=alignment)


ABOVE_LOAD = [
    (
        [
            (4, 6, 5),
            (3, 7, 2),
            (2, 6, 1),
            (0, 4, 4),
            (6, 7, 6),
            (3, 4, 1),
            (0, 2, 4),
            (2, 3, 3),
        ],
        8,
        9,
    ),
    (
        [
            (0, 2, 4),
            (4, 5, 4),
            (3, 5, 2),
            (2, 4, 3),
            (1, 4, 1),
            (1, 3, 1),
            (0, 1, 2),
            (2, 3, 1),
        ],
        6,
        7,
    ),
]
"""Rare small cases that need more than their largest load: buffers, load, smallest peak."""


def pairs_in_conflict(problem: AllocationProblem, address: Sequence[int]) -> set[tuple[int, int]]:
    """All pairs that share a time and an address, by looking at every pair."""
    a = problem.alignment
    size = [-(-int(s) // a) * a for s in problem.size]
    return {
        (i, j)
        for i in range(len(size))
        for j in range(i)
        if size[i]
        and size[j]
        and problem.lower[i] < problem.upper[j]
        and problem.lower[j] < problem.upper[i]
        and address[i] < address[j] + size[j]
        and address[j] < address[i] + size[i]
    }


def smallest_peak(problem: AllocationProblem) -> int:
    """Smallest peak over all placements; -1 where there is none.

    In a placement pushed down as far as it goes, every buffer without a fixed address lies on the
    highest top among what is under it. Taking buffers and reserved ranges by ascending address,
    that is the highest top among all the overlapping ones taken before; so trying all sequences
    meets an optimal placement.
    """
    a = problem.alignment
    size = [-(-int(s) // a) * a for s in problem.size]
    lower, upper = problem.lower.tolist(), problem.upper.tolist()
    given = [-1] * len(size) if problem.fixed is None else problem.fixed.tolist()
    n = len(size)
    for begin, end, base, top in [] if problem.reserved is None else problem.reserved.tolist():
        lower.append(begin)
        upper.append(end)
        given.append(base // a * a)
        size.append(-(-top // a) * a - base // a * a)
    best = -1

    def extend(left: frozenset[int], top: dict[int, int], peak: int) -> None:
        nonlocal best
        if peak >= best >= 0:
            return
        if not left:
            best = peak
            return
        for i in left:
            under = [
                t
                for j, t in top.items()
                if lower[i] < upper[j] and lower[j] < upper[i] and min(i, j) < n
                if size[i] and size[j]
            ]
            at = max(under, default=0) if given[i] < 0 else given[i]
            if at < max(under, default=0):
                continue
            end = at + size[i]
            counts = i < n and size[i] > 0
            extend(left - {i}, {**top, i: end}, max(peak, end) if counts else peak)

    extend(frozenset(range(len(size))), {}, 0)
    return best


def holding(
    problem: AllocationProblem,
    fixed: Sequence[int | None],
    reserved: Sequence[tuple[int, int, int, int]] = (),
) -> AllocationProblem:
    """The problem with fixed addresses, in multiples of the alignment, and reserved ranges.

    Addresses that cannot be together are left out, the later ones.
    """
    held = np.full(problem.n_buffers, -1, dtype=np.int64)
    rows = np.array(reserved, dtype=np.int64).reshape(-1, 4)
    made = replace(problem, reserved=rows, fixed=held)
    for i, at in enumerate(fixed[: problem.n_buffers]):
        if at is not None:
            held = held.copy()
            held[i] = at * problem.alignment
            try:
                made = replace(made, fixed=held)
            except InstanceError:
                held[i] = -1
    return made


@st.composite
def held_problems(draw: st.DrawFn, *, max_buffers: int = 5) -> AllocationProblem:
    """Small problems with up to three fixed addresses and two reserved ranges."""
    problem = draw(small_problems(max_buffers=max_buffers))
    fixed = draw(st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=3))
    span, base = st.tuples(st.integers(-3, 7), st.integers(1, 6)), st.integers(0, 14)
    ranges = draw(st.lists(st.tuples(span, base, st.integers(1, 4)), max_size=2))
    rows = [(begin, begin + length, low, low + high) for (begin, length), low, high in ranges]
    return holding(problem, fixed, rows)


@st.composite
def small_problems(
    draw: st.DrawFn, *, max_buffers: int = 6, alignments: Sequence[int] = (1, 1, 4)
) -> AllocationProblem:
    """Up to ``max_buffers`` buffers, empty ones and gaps in time included, without a capacity."""
    buffers = draw(
        st.lists(
            st.tuples(st.integers(-3, 5), st.integers(1, 5), st.integers(0, 9)),
            min_size=0,
            max_size=max_buffers,
        )
    )
    rows = [(start, start + length, size) for start, length, size in buffers]
    return problem_of(rows, alignment=draw(st.sampled_from(alignments)))


def cpsat(program: Program, work: float = 20.0) -> Solution:
    """Solve with CP-SAT in this process: one worker, a limit in deterministic time."""
    from ortools.sat.python import cp_model

    form = to_cp_model(program)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = work
    outcome = solver.solve(form.model)
    if outcome == cp_model.INFEASIBLE:
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    if outcome not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Solution(Status.UNKNOWN, Stop.WORK)
    values = np.array(solver.response_proto.solution, dtype=np.float64)
    bound = form.bound(solver.best_objective_bound)
    optimal = outcome == cp_model.OPTIMAL
    return settle(
        program,
        Solution(
            Status.OPTIMAL if optimal else Status.FEASIBLE,
            Stop.PROVEN if optimal else Stop.WORK,
            bound=bound,
            values=values,
        ),
    )


class BareSearch:
    """The least that methods need: keeps the best verified plan and bound, solves in-process.

    A plan that the verifier refuses fails the test that proposed it.
    """

    deterministic = True

    def __init__(self, problem: AllocationProblem, *, missing: Sequence[str] = ()) -> None:
        self.problem, self.missing = problem, missing
        self.seed = 0
        self.plan: AllocationPlan | None = None
        self.objective: int | None = None
        self.bound: int | None = None
        self.notes: list[str] = []
        self.solved: list[str] = []

    def remaining(self) -> float:
        return math.inf

    def done(self) -> bool:
        return self.objective is not None and self.objective == self.bound

    def propose(self, plan: AllocationPlan, source: str) -> bool:
        verdict = FAMILY.verify(self.problem, plan)
        assert not verdict.violations, (source, verdict.violations)
        assert verdict.objective is not None
        better = self.objective is None or verdict.objective < self.objective
        if better:
            self.plan, self.objective = plan, int(verdict.objective)
        return better

    def prove(self, bound: float, source: str) -> None:
        self.bound = int(bound) if self.bound is None else max(self.bound, int(bound))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def solve(
        self,
        program: Program,
        *,
        prefer: Sequence[str] = ("highs", "cpsat"),
        time: float | None = None,
        work: float | None = None,
        on_values: Callable[[Any], None] | None = None,
    ) -> Solution:
        self.solved.append(prefer[0])
        if prefer[0] in self.missing:
            return Solution(Status.UNKNOWN, Stop.UNAVAILABLE)
        solution = cpsat(program, work or 20.0)
        if on_values is not None and solution.values is not None:
            on_values(solution.values)
        return solution
