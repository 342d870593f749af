"""The method ``search``: the complete search, in turns with a constraint solver.

Parts that no time connects are settled one by one, so that a part without a placement can be named.
The search gets turns of growing length, counted in nodes. Where a clock runs, a constraint solver
has as long a turn after each but the first ones: it finds some proofs that the search does not,
seldom placements. Parts of many buffers are walked through by local search as well, as long as the
search had. Without a clock both have their turns in the next methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact.peak import Lowering
from mapc.models.allocation.exact.place import Placing
from mapc.models.allocation.formulations import independent_parts, no_overlap_2d, part_of
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.local.descent import Descent, suits
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of
from mapc.models.base import Search
from mapc.solvers.base import Status

SOURCE = "search"
TURN = 20_000
"""Nodes of the first turn; each turn has twice as many."""
TURNS = 3
"""Turns without a clock."""
ALONE = 2
"""Turns before the constraint solver has one."""
MANY = 300
"""Buffers of a part from which local search has turns."""


def run(problem: AllocationProblem, search: Search) -> None:
    """Place everything within the capacity, or with the smallest peak.

    Raises
    ------
    InfeasibleError
        If some part is proven not to fit the capacity.
    """
    if search.plan is None:
        quick = greedy(problem, search.seed, 1, search.done)
        start = problem.on_line(quick)
        if problem.room is None or _peak(problem, start) <= problem.room:
            search.propose(quick, "greedy")
    else:
        start = problem.on_line(search.plan)
    turns = _Turns(problem, search, start)
    if problem.room is None:
        search.prove(turns.height, SOURCE)
    turn = 0
    while not turns.settled and not search.done():
        if turn == TURNS and math.isinf(search.remaining()):
            return
        before = search.remaining()
        turns.search_on(TURN << turn)
        turn += 1
        spent = before - search.remaining()
        if not math.isinf(before) and not turns.settled:
            turns.walk_on(max(1.0, spent))
        if turn >= ALONE and not math.isinf(before) and not turns.settled:
            turns.ask_solver(max(1.0, spent))


def _peak(problem: AllocationProblem, offset: IntArray) -> int:
    return peak_of(offset, problem.padded)


class _Part:
    """Buffers that some time connects, and what is known of where they fit."""

    def __init__(
        self, problem: AllocationProblem, members: IntArray, offset: IntArray, seed: int
    ) -> None:
        self.members = members
        self.problem = part_of(problem, members)
        self.offset = offset[members]
        self.lowering: Lowering | None = None
        self.placing: Placing | None = None
        self.descent: Descent | None = None
        if len(members) >= MANY and suits(self.problem):
            self.descent = Descent(self.problem, self.offset, seed)
        if problem.room is None:
            self.lowering = Lowering(self.problem, start=self.offset, seed=seed)
        elif self.peak > problem.room:
            self.placing = Placing(self.problem, seed=seed)

    @property
    def peak(self) -> int:
        return _peak(self.problem, self.offset)

    @property
    def bound(self) -> int:
        """Bytes that the part is proven to need."""
        return self.lowering.bound if self.lowering is not None else lower_bound(self.problem)

    def go_on(self, nodes: int, done: Callable[[], bool]) -> None:
        """Search on; raises ``InfeasibleError`` where no placement exists."""
        if self.lowering is not None:
            self.lowering.round(nodes, done)
            self.offset = self.lowering.offset
        elif self.placing is not None:
            answer = self.placing.go_on(nodes, done)
            if answer.offset is not None:
                self.offset = answer.offset
            if answer.proven_infeasible:
                self.refuse()

    def walk_on(self, search: Search, time: float) -> None:
        """Let local search go on for so many seconds, if it takes part."""
        if self.descent is None:
            return
        end = search.remaining() - time
        self.descent.learn(self.offset)
        self.descent.go_on(done=lambda: search.done() or search.remaining() < end)
        if self.descent.peak < self.peak:
            self.offset = self.descent.offset.copy()
            if self.lowering is not None:
                self.lowering.offset = self.offset

    def refuse(self) -> None:
        """Say that the part does not fit the capacity."""
        part = self.problem
        first, last = int(part.lower.min()), int(part.upper.max())
        raise InfeasibleError(
            f"{part.name}: the {part.n_buffers} buffers alive in [{first}, {last}) have no "
            f"placement in {part.room} bytes, though no time needs more than {lower_bound(part)}"
        )

    def ask_solver(self, search: Search, time: float) -> None:
        """Ask a constraint solver whether the part fits its capacity, or its bound."""
        room = self.bound if self.lowering is not None else self.problem.room
        part = self.problem
        program, lift = no_overlap_2d(part if part.banks else replace(part, capacity=room))
        solution = search.solve(program, prefer=("cpsat",), time=time)
        if solution.values is not None:
            self.offset = self.problem.on_line(lift(solution))
            if self.lowering is not None:
                self.lowering.offset = self.offset
        elif solution.status is Status.INFEASIBLE:
            if self.lowering is None:
                self.refuse()
            else:
                self.lowering.bound += self.lowering.unit


class _Turns:
    """All parts, and the whole that they make up."""

    def __init__(self, problem: AllocationProblem, search: Search, offset: IntArray) -> None:
        self.problem, self.search, self.offset = problem, search, offset.copy()
        self.least = lower_bound(problem)
        self.parts = [
            _Part(problem, members, offset, search.seed) for members in independent_parts(problem)
        ]

    @property
    def height(self) -> int:
        """What every part may take: the capacity, or the bound of all."""
        if self.problem.room is not None:
            return self.problem.room
        return max([self.least, *(part.bound for part in self.parts)])

    @property
    def settled(self) -> bool:
        """Whether all parts are as low as they have to be."""
        return all(part.peak <= self.height for part in self.parts)

    def search_on(self, nodes: int) -> None:
        """Search on in every part that is too high."""
        for part in self.parts:
            if part.peak > self.height and not self.search.done():
                part.go_on(nodes, self.search.done)
                self._offer(part)

    def walk_on(self, time: float) -> None:
        """Go on with local search in every part that is too high."""
        for part in self.parts:
            if part.peak > self.height and not self.search.done():
                part.walk_on(self.search, time)
                self._offer(part)

    def ask_solver(self, time: float) -> None:
        """Ask a solver about every part that is too high."""
        for part in self.parts:
            if part.peak > self.height and not self.search.done():
                part.ask_solver(self.search, time)
                self._offer(part)

    def _offer(self, part: _Part) -> None:
        """Prove and propose what is known by now."""
        if self.problem.room is None:
            self.search.prove(self.height, SOURCE)
        if part.peak < _peak(part.problem, self.offset[part.members]):
            self.offset[part.members] = part.offset
            if self.problem.room is None or _peak(self.problem, self.offset) <= self.problem.room:
                self.search.propose(self.problem.plan(self.offset.copy()), SOURCE)
