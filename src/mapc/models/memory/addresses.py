"""From kept links to a plan: addresses for the residencies of a schedule.

Residencies and workspaces are rectangles, steps times bytes. Where they do not pack, more links
are lost (`mapc.models.memory.online`): a plan always comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation import exact
from mapc.models.allocation.heuristics import place
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.online import POLICIES, Online
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.schedule import Schedule

NODES = 20_000
"""Nodes of the search for addresses; a few tenths of a second."""


@dataclass(frozen=True, eq=False)
class Rectangles:
    """The residencies and workspaces of a choice of links.

    Attributes
    ----------
    tensor, start, stop : int64[k]
    written : bool[k]
    operator : int64[w]
        Operators that need a workspace.
    lower, upper, size : int64[k + w]
        Steps and bytes of all rectangles, residencies first.
    """

    schedule: Schedule
    tensor: IntArray
    start: IntArray
    stop: IntArray
    written: BoolArray
    operator: IntArray
    lower: IntArray
    upper: IntArray
    size: IntArray

    @classmethod
    def of(cls, schedule: Schedule, keep: BoolArray) -> Rectangles:
        """Lay out the residencies that ``keep`` (bool[links]) leaves."""
        problem = schedule.problem
        tensor, start, stop, written = schedule.residencies(keep)
        by = np.lexsort((tensor, start))
        tensor, start, stop, written = tensor[by], start[by], stop[by], written[by]
        operator = np.flatnonzero(problem.workspaces > 0)
        step = schedule.position[operator]
        return cls(
            schedule,
            tensor,
            start,
            stop,
            written,
            operator,
            np.concatenate([start, step]),
            np.concatenate([stop, step + 1]),
            np.concatenate([problem.sizes[tensor], problem.workspaces[operator]]),
        )

    def plan(self, offset: IntArray) -> MemoryPlan:
        """Return the plan with these addresses, int64[k + w]."""
        k = len(self.tensor)
        workspace = np.full(len(self.schedule.order), -1, dtype=np.int64)
        workspace[self.operator] = offset[k:]
        return MemoryPlan(
            order=self.schedule.order.copy(),
            tensor=self.tensor,
            start=self.start,
            stop=self.stop,
            address=offset[:k].copy(),
            written=self.written,
            workspace_address=workspace,
        )

    def problem(self) -> AllocationProblem:
        """Return the question whether they fit, as an allocation problem."""
        memory = self.schedule.problem
        return AllocationProblem(
            name=memory.graph.name,
            names=tuple(str(i) for i in range(len(self.size))),
            lower=self.lower,
            upper=self.upper,
            size=self.size,
            capacity=memory.room,
            alignment=memory.alignment,
        )

    def place(self, seed: int, iterations: int) -> IntArray | None:
        """Addresses by the greedy packer, then by the search; None where neither finds any.

        `attempt` with its usual number of nodes, or with none where kernels are not compiled yet:
        nothing here could end the wait for them.
        """
        return self.attempt(seed, iterations, NODES if exact.ready() else 0)[0]

    def attempt(
        self,
        seed: int,
        iterations: int,
        nodes: int = NODES,
        done: Callable[[], bool] | None = None,
    ) -> tuple[IntArray | None, bool]:
        """Look for addresses, and for a proof that there are none.

        Parameters
        ----------
        seed, iterations : int
            As of the greedy packer, which comes first.
        nodes : int
            For the complete search that follows it; 0: no search.
        done : callable, optional
            Whether to stop searching, asked every few milliseconds.

        Returns
        -------
        int64[k + w] or None
            Addresses.
        bool
            Whether it is proven that these rectangles cannot be placed, so that a cut may forbid
            them: by their load at one step, or by the search without a table of hashes.
        """
        memory = self.schedule.problem
        offset = place(
            self.lower, self.upper, self.size, memory.room, memory.alignment, seed, iterations
        )
        if offset is not None or nodes <= 0:
            return offset, False
        answer = exact.place(self.problem(), seed=seed, nodes=nodes, done=done, table=False)
        return answer.offset, answer.proven_infeasible


def place_or_lose(schedule: Schedule, keep: BoolArray) -> MemoryPlan:
    """Return a plan that keeps most of the kept links: the cheapest of several quick placements."""
    best = min(
        (Online(schedule, keep, policy) for policy in POLICIES),
        key=lambda online: schedule.cost(online.keep),
    )
    rectangles = Rectangles.of(schedule, best.keep)
    k = len(rectangles.tensor)
    return rectangles.plan(best.offsets(rectangles.tensor, rectangles.start, rectangles.lower[k:]))
