"""How an allocation problem is attacked: a bound, greedy placements, a solver on every part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.formulations import Lift, independent_parts, no_overlap_2d, part_of
from mapc.models.allocation.heuristics import ROUNDS, greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.solvers.base import Solution, Status, Stop

WORK = 60.0
"""Work for a solver on one part where the clock does not count."""


def bound(problem: AllocationProblem, search: Search) -> None:
    """Prove what every placement needs."""
    if problem.capacity is None:
        search.prove(lower_bound(problem), "largest load")
    else:
        search.prove(0, "no placement ends below the capacity by less than nothing")


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
    return problem.room is None or _peak(problem, plan.offset) <= problem.room


def _peak(problem: AllocationProblem, offset: IntArray) -> int:
    return int((offset + problem.padded).max(initial=0))


def place_exactly(problem: AllocationProblem, search: Search) -> None:
    """Have a solver place each part: within the capacity, or with the smallest peak.

    Parts come heaviest first. A part whose known placement is no higher than a proven bound, or
    than a part already settled, is left as it is.

    Raises
    ------
    InfeasibleError
        If a solver proves that some part does not fit the capacity.
    """
    start = search.plan if search.plan is not None else greedy(problem, search.seed, 1, search.done)
    offset = start.offset.copy()
    height = problem.room if problem.room is not None else int(search.bound or 0)
    for members in independent_parts(problem):
        part = part_of(problem, members)
        if _peak(part, offset[members]) > height:
            if search.done():
                return
            if problem.capacity is None:
                _lower_peak(part, members, offset, problem, search)
            else:
                _fit(part, members, offset, search)
        height = max(height, _peak(part, offset[members]))
    plan = AllocationPlan(offset)
    if fits(problem, plan):
        search.propose(plan, "no-overlap-2d")


def _fit(part: AllocationProblem, members: IntArray, offset: IntArray, search: Search) -> None:
    """Place one part within the capacity; ``offset`` is updated where it can be."""
    solution, lift = _solve(part, search)
    if solution.status is Status.INFEASIBLE:
        first, last = int(part.lower.min()), int(part.upper.max())
        raise InfeasibleError(
            f"{part.name}: the {part.n_buffers} buffers alive in [{first}, {last}) have no "
            f"placement in {part.room} bytes, though no time needs more than {part.max_load}"
        )
    if solution.values is not None:
        offset[members] = lift(solution).offset


def _lower_peak(
    part: AllocationProblem,
    members: IntArray,
    offset: IntArray,
    problem: AllocationProblem,
    search: Search,
) -> None:
    """Bring the peak of one part down and prove what it cannot go below."""
    start = AllocationPlan(offset[members])

    def adopt(found: AllocationPlan) -> None:
        if _peak(part, found.offset) < _peak(part, offset[members]):
            offset[members] = found.offset
            search.propose(AllocationPlan(offset.copy()), "no-overlap-2d")

    solution, lift = _solve(part, search, start, adopt)
    if solution.values is not None:
        adopt(lift(solution))
    if solution.bound is not None:
        # what one part needs, all need; objectives are whole bytes
        search.prove(int(np.ceil(solution.bound - 1e-6)), "no-overlap-2d")


def _solve(
    part: AllocationProblem,
    search: Search,
    start: AllocationPlan | None = None,
    adopt: Callable[[AllocationPlan], None] | None = None,
) -> tuple[Solution, Lift]:
    """Ask CP-SAT, and where that is not to be had, a MIP solver without the redundant records.

    ``adopt`` receives every incumbent as it arrives.
    """
    program, lift = no_overlap_2d(part, start=start)

    def on_values(values: Any) -> None:
        if adopt is not None:
            adopt(lift(Solution(Status.FEASIBLE, Stop.PROVEN, values=np.asarray(values))))

    solution = search.solve(program, prefer=("cpsat",), work=WORK, on_values=on_values)
    if solution.stop.failed and solution.values is None:
        program, _ = no_overlap_2d(part, start=start, cliques=False)  # the same columns
        solution = search.solve(program, prefer=("highs",), work=WORK, on_values=on_values)
    return solution, lift


METHODS: tuple[Method, ...] = (
    Method("bounds", BOUND, bound, "bytes that every placement needs"),
    Method("greedy", HEURISTIC, place_greedily, "common orders and filling from the floor up"),
    Method("no-overlap-2d", EXACT, place_exactly, "rectangles that must not overlap, by a solver"),
)
"""In the order of their stages."""
