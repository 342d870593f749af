"""From kept links to a plan: addresses for the residencies of a schedule.

Residencies and workspaces are rectangles, steps times bytes. Where they do not pack, links are
lost one at a time until they do. Losing every link leaves each step with its working set alone,
which fits whenever the capacity is at least M_R: a plan always comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.heuristics import pack_within, place
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.schedule import Schedule


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
        """Addresses by the greedy packer, or None where it finds none."""
        memory = self.schedule.problem
        return place(
            self.lower, self.upper, self.size, memory.room, memory.alignment, seed, iterations
        )


def place_or_lose(schedule: Schedule, keep: BoolArray, seed: int = 0) -> MemoryPlan:
    """Return a plan that keeps as many of the kept links as the greedy packer can place.

    Each round packs in order of size; the rectangles left without room name the steps at which
    something has to give, and the kept link there that frees most bytes per byte of cost is lost.
    """
    keep = keep.copy()
    iterations = 20
    while True:
        rectangles = Rectangles.of(schedule, keep)
        offset = rectangles.place(seed, iterations)
        if offset is not None:
            return rectangles.plan(offset)
        iterations = 2  # a long chain of repairs does not deserve many tries each
        lose = _link_to_lose(schedule, keep, rectangles)
        keep[lose] = False


def _link_to_lose(schedule: Schedule, keep: BoolArray, rectangles: Rectangles) -> int:
    """Choose among the kept links that overlap, in time, a rectangle left without room."""
    memory = schedule.problem
    placed = pack_within(
        rectangles.lower, rectangles.upper, rectangles.size, memory.room, memory.alignment
    )
    homeless = np.flatnonzero(placed < 0)
    first = homeless[0] if len(homeless) else int(np.argmax(rectangles.size))
    lower, upper = rectangles.lower[first], rectangles.upper[first]
    tensor, before, after = schedule.links
    near = keep & (before < upper) & (after >= lower) & (memory.sizes[tensor] > 0)
    if not near.any():
        near = keep & (memory.sizes[tensor] > 0)
    candidates = np.flatnonzero(near)
    sizes = memory.sizes[tensor[candidates]]
    lost = np.isin(tensor[candidates], tensor[~keep])
    cost = sizes * (1 + (memory.pays_write[tensor[candidates]] & ~lost))
    length = after[candidates] - before[candidates]
    # least cost first; among equals the longest, which frees the most room
    return int(candidates[np.lexsort((-length, cost))[0]])
