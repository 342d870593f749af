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
from mapc.models.allocation.heuristics import shrink
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import components, load_of
from mapc.models.memory.online import POLICIES, Online
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.schedule import Schedule

NODES = 20_000
"""Nodes of the search for addresses; a few tenths of a second."""
MANY = 3_000
"""Rectangles above which the search takes too long to set up, and is left out."""


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
        offset = self._pack(seed, iterations, done or _never)
        if offset is not None or nodes <= 0 or len(self.size) > MANY:
            return offset, False
        answer = exact.place(self.problem(), seed=seed, nodes=nodes, done=done, table=False)
        return answer.offset, answer.proven_infeasible

    def _pack(self, seed: int, iterations: int, stop: Callable[[], bool]) -> IntArray | None:
        """Addresses by the greedy packer, part by part that no time connects, until ``stop``."""
        memory = self.schedule.problem
        padded = -(-self.size // memory.alignment) * memory.alignment
        if load_of(self.lower, self.upper, padded) > memory.room:
            return None
        offset = np.zeros(len(padded), dtype=np.int64)
        solid = np.flatnonzero(padded > 0)
        for part in components(self.lower[solid], self.upper[solid]):
            who = solid[part]
            if stop():
                return None
            part_of = self.lower[who], self.upper[who], padded[who]
            offset[who] = shrink(*part_of, memory.room, seed, iterations, stop)
            if (offset[who] + padded[who]).max() > memory.room:
                return None
        return offset


def _never() -> bool:
    return False


def place_or_lose(
    schedule: Schedule, keep: BoolArray, done: Callable[[], bool] = _never
) -> MemoryPlan:
    """Return a plan that keeps most of the kept links: the cheapest of several quick placements.

    ``done`` says whether to be content with those that there are, once there is one.
    """
    best = Online(schedule, keep, POLICIES[0])
    for policy in POLICIES[1:]:
        if done():
            break
        other = Online(schedule, keep, policy)
        if schedule.cost(other.keep) < schedule.cost(best.keep):
            best = other
    rectangles = Rectangles.of(schedule, best.keep)
    k = len(rectangles.tensor)
    return rectangles.plan(best.offsets(rectangles.tensor, rectangles.start, rectangles.lower[k:]))
