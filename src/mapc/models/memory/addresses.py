"""From kept links to a plan: addresses for the residencies of a schedule.

Residencies and workspaces are rectangles, steps times bytes. Where they do not pack, links are
lost one at a time until they do. Losing every link leaves each step with its working set alone,
which fits whenever the capacity is at least M_R: a plan always comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.heuristics import classic_orders, pack, place
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
    """Return a plan that keeps as much of the kept links as the packer can place.

    Each round packs in several orders; the rectangles that the best of them leaves without room
    name the steps at which something has to give, and one kept link there is lost for each. Two
    ways to choose that link are tried, and the cheaper outcome is returned.
    """
    rectangles = Rectangles.of(schedule, keep)
    offset = rectangles.place(seed, iterations=1)
    if offset is not None:
        return rectangles.plan(offset)
    best: tuple[int, MemoryPlan] | None = None
    for long_first in (True, False):
        found = _lose_until_placed(schedule, keep.copy(), long_first, best[0] if best else None)
        best = found or best
    assert best is not None  # without a limit on the cost it always ends
    return best[1]


def _lose_until_placed(
    schedule: Schedule, keep: BoolArray, long_first: bool, limit: int | None
) -> tuple[int, MemoryPlan] | None:
    """Lose links until the rest packs; None once that costs at least ``limit`` bytes."""
    while limit is None or schedule.cost(keep) < limit:
        rectangles = Rectangles.of(schedule, keep)
        offset = _pack(rectangles)
        homeless = np.flatnonzero(offset < 0)
        if not len(homeless):
            return schedule.cost(keep), rectangles.plan(offset)
        until = -1
        for at in homeless[np.argsort(rectangles.lower[homeless], kind="stable")].tolist():
            if rectangles.lower[at] >= until:  # one loss may also house what comes soon after
                link = _link_to_lose(schedule, keep, rectangles, at, long_first)
                keep[link] = False
                until = int(schedule.links[2][link])
    return None


def _pack(rectangles: Rectangles) -> IntArray:
    """Pack in the classic orders; the packing that leaves the fewest bytes without room."""
    memory = rectangles.schedule.problem
    lower, upper, size = rectangles.lower, rectangles.upper, rectangles.size
    best: tuple[int, IntArray] | None = None
    for order in classic_orders(lower, upper, size).values():
        for best_fit in (False, True):
            offset = pack(lower, upper, size, order, best_fit=best_fit, room=memory.room)
            left = int(size[offset < 0].sum())
            if best is None or left < best[0]:
                best = left, offset
            if left == 0:
                return offset
    assert best is not None
    return best[1]


def _link_to_lose(
    schedule: Schedule, keep: BoolArray, rectangles: Rectangles, at: int, long_first: bool
) -> int:
    """Choose among the kept links that meet, in time, a rectangle left without room.

    The cheapest one; with ``long_first`` of equals the longest, otherwise tensors at least half as
    large as the rectangle and links that cover a step come first.
    """
    memory = schedule.problem
    tensor, before, after = schedule.links
    solid = keep & (memory.sizes[tensor] > 0)
    near = solid & (before < rectangles.upper[at]) & (after >= rectangles.lower[at])
    candidates = np.flatnonzero(near if near.any() else solid)
    of = tensor[candidates]
    spilled = np.isin(of, tensor[~keep])
    cost = memory.sizes[of] * (1 + (memory.pays_write[of] & ~spilled))
    length = after[candidates] - before[candidates]
    small = memory.sizes[of] < rectangles.size[at] // 2
    keys = (-length, cost) if long_first else (cost, ~schedule.covers[candidates], small)
    return int(candidates[np.lexsort(keys)[0]])
