"""How an allocation problem is attacked: a bound, a complete search, greedy plans, a solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact import turns
from mapc.models.allocation.formulations import Lift, independent_parts, no_overlap_2d, part_of
from mapc.models.allocation.heuristics import ROUNDS, greedy
from mapc.models.allocation.local import method as local
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.program.model import Program
from mapc.solvers.base import Solution, Status, Stop

WORK = 30.0
"""Work for each call of a solver where the clock does not count."""
SOURCE = "no-overlap-2d"


def bound(problem: AllocationProblem, search: Search) -> None:
    """Prove what every placement needs."""
    if problem.capacity is None:
        search.prove(lower_bound(problem), "largest load")
    else:
        search.prove(0, "an excess is never negative")


def place_greedily(problem: AllocationProblem, search: Search) -> None:
    """Propose a quick placement, then ones from longer searches while they get better."""
    rounds = 1
    while not search.done() and rounds <= ROUNDS:
        plan = greedy(problem, search.seed, rounds, search.done)
        if fits(problem, plan):
            search.propose(plan, "greedy")
        rounds *= ROUNDS


def fits(problem: AllocationProblem, plan: AllocationPlan) -> bool:
    """Whether a placement stays within the capacity, if there is one."""
    return problem.room is None or _peak(problem, problem.on_line(plan)) <= problem.room


def _peak(problem: AllocationProblem, offset: IntArray) -> int:
    return peak_of(offset, problem.padded)


def place_exactly(problem: AllocationProblem, search: Search) -> None:
    """Have a solver place each part: within the capacity, or with the smallest peak.

    Parts come heaviest first. A part whose known placement is no higher than a proven bound, or
    than a part already settled, is left as it is.

    Raises
    ------
    InfeasibleError
        If a solver proves that some part does not fit the capacity.
    """
    if search.plan is not None:
        start = search.plan
    else:
        start = greedy(problem, search.seed, 1, search.done)
        if fits(problem, start):
            search.propose(start, "greedy")
    height = lower_bound(problem) if problem.room is None else problem.room
    parts = _Parts(problem, search, problem.on_line(start).copy())
    for members in independent_parts(problem):
        if search.done():
            return
        height = max(height, parts.settle(members, height))
    plan = problem.plan(parts.offset)
    if fits(problem, plan):
        search.propose(plan, SOURCE)


class _Parts:
    """Addresses of all buffers, bettered part by part with a solver."""

    def __init__(self, problem: AllocationProblem, search: Search, offset: IntArray) -> None:
        self.problem, self.search, self.offset = problem, search, offset

    def settle(self, members: IntArray, height: int) -> int:
        """Bring one part down to ``height``, or as far as it goes; return its peak."""
        part = part_of(self.problem, members)
        if _peak(part, self.offset[members]) > height:
            self._fit(part, members, height)
        # with a capacity, being above it is all there is to say
        low_enough = self.problem.capacity is not None or self.search.done()
        if not low_enough and _peak(part, self.offset[members]) > height:
            self._minimise(part, members)
        return _peak(part, self.offset[members])

    def _fit(self, part: AllocationProblem, members: IntArray, height: int) -> None:
        """Place a part within ``height``, the easier question: no objective holds it up."""
        free = self.problem.capacity is None
        share = max(1.0, self.search.remaining() / 2) if free else None
        within = part if part.banks else replace(part, capacity=height)
        solution, lift = self._solve(within, time=share)
        if solution.values is not None:
            self._adopt(part, members, lift(solution))
        if solution.status is not Status.INFEASIBLE:
            return
        if free:
            self.search.prove((height // part.unit + 1) * part.unit, SOURCE)
            return
        first, last = int(part.lower.min()), int(part.upper.max())
        raise InfeasibleError(
            f"{part.name}: the {part.n_buffers} buffers alive in [{first}, {last}) have no "
            f"placement in {height} bytes, though no time needs more than {lower_bound(part)}"
        )

    def _minimise(self, part: AllocationProblem, members: IntArray) -> None:
        """Bring the peak of a part down and prove what it cannot go below."""
        solution, lift = self._solve(
            part,
            start=part.plan(self.offset[members]),
            adopt=lambda plan: self._adopt(part, members, plan),
        )
        if solution.values is not None:
            self._adopt(part, members, lift(solution))
        if solution.bound is not None:
            # what one part needs, all need; objectives are whole bytes
            self.search.prove(int(np.ceil(solution.bound - 1e-6)), SOURCE)

    def _adopt(self, part: AllocationProblem, members: IntArray, plan: AllocationPlan) -> None:
        """Take better addresses for a part, and offer the whole."""
        offset = part.on_line(plan)
        if _peak(part, offset) < _peak(part, self.offset[members]):
            self.offset[members] = offset
            whole = self.problem.plan(self.offset.copy())
            if fits(self.problem, whole):
                self.search.propose(whole, SOURCE)

    def _solve(
        self,
        part: AllocationProblem,
        start: AllocationPlan | None = None,
        adopt: Callable[[AllocationPlan], None] | None = None,
        time: float | None = None,
    ) -> tuple[Solution, Lift]:
        """Ask CP-SAT, and without it a MIP solver, less the records that are redundant for it.

        ``adopt`` receives every incumbent as it arrives.
        """
        program, lift = no_overlap_2d(part, start=start)

        def on_values(values: Any) -> None:
            if adopt is not None:
                adopt(lift(Solution(Status.FEASIBLE, Stop.PROVEN, values=np.asarray(values))))

        def solve(program: Program, name: str) -> Solution:
            return self.search.solve(
                program, prefer=(name,), time=time, work=WORK, on_values=on_values
            )

        solution = solve(program, "cpsat")
        if solution.stop.failed and solution.values is None:
            # the same columns in the same order: `lift` serves both
            solution = solve(no_overlap_2d(part, start=start, cliques=False)[0], "highs")
        return solution, lift


METHODS: tuple[Method, ...] = (
    Method("bounds", BOUND, bound, "bytes that every placement needs"),
    Method(turns.SOURCE, EXACT, turns.run, "complete search, in turns with a constraint solver"),
    Method("greedy", HEURISTIC, place_greedily, "common orders and filling from the floor up"),
    Method(local.SOURCE, HEURISTIC, local.run, "local search: ruin and recreate below a height"),
    Method(SOURCE, EXACT, place_exactly, "rectangles that must not overlap, by a solver"),
)
"""In the order in which they run: a search mostly settles the question before heuristics would."""
