"""From a choice to a plan: blocks of bytes, their addresses, and pinned tensors below them.

Tensors that follow one another in place share an address; they are packed as one block from the
first step of the first to the last of the last, as large as the largest: a restriction where their
sizes differ. Pinned tensors lie at the bottom, one above the other. That restricts nothing: a
tensor that is there at every step separates what is below it from what is above, so moving it to
the bottom and what was below it up by its size leaves everything apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.heuristics import Stop, place
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.options.model import as_rows
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.plan import MemoryPlan


@dataclass(frozen=True, eq=False)
class Layout:
    """The residencies of a choice, and the blocks they form.

    Attributes
    ----------
    timeline : Timeline
    choice : Choice
    """

    timeline: Timeline
    choice: Choice

    @cached_property
    def residencies(self) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        """Tensor, start, stop and written flag of every residency."""
        first, last, start, written = self._runs
        return self.timeline.tensor[first], start, self.timeline.step[last] + 1, written

    @cached_property
    def _runs(self) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        return self.timeline.residencies(self.choice)

    @cached_property
    def block(self) -> IntArray:
        """int64[residencies]: the block each lies in."""
        first, last, _, _ = self._runs
        pairs, taken = self.timeline.pairs, self.choice.taken
        n = len(first)
        at = np.zeros(len(self.timeline.tensor), dtype=np.int64)
        at[last] = np.arange(n)
        old = at[pairs.old[taken]]
        at[first] = np.arange(n)
        new = at[pairs.new[taken]]
        block = np.arange(n)
        by = np.argsort(pairs.step[taken], kind="stable")  # along each chain
        for before, after in zip(old[by].tolist(), new[by].tolist(), strict=True):
            block[after] = block[before]
        return block

    @cached_property
    def rectangles(self) -> tuple[IntArray, IntArray, IntArray]:
        """Start, stop and bytes of all blocks, then of the workspaces, in the order of steps."""
        tensor, start, stop, _ = self.residencies
        problem = self.timeline.problem
        blocks = np.unique(self.block)
        of = np.searchsorted(blocks, self.block)
        lower = np.full(len(blocks), len(self.timeline.order), dtype=np.int64)
        upper, size = np.zeros_like(lower), np.zeros_like(lower)
        np.minimum.at(lower, of, start)
        np.maximum.at(upper, of, stop)
        np.maximum.at(size, of, problem.sizes[tensor])
        step = self.spaced
        return (
            np.concatenate([lower, step]),
            np.concatenate([upper, step + 1]),
            np.concatenate([size, problem.workspaces[self.timeline.order[step]]]),
        )

    @cached_property
    def spaced(self) -> IntArray:
        """int64[w]: steps at which an operator with a workspace runs."""
        return np.flatnonzero(self.timeline.problem.workspaces[self.timeline.order] > 0)

    def place(self, seed: int, iterations: int, stop: Stop = lambda: False) -> IntArray | None:
        """Addresses of all rectangles by the greedy packer, or None where it finds none."""
        problem = self.timeline.problem
        room = problem.room - problem.pinned_bytes
        return place(*self.rectangles, room, problem.alignment, seed, iterations, stop)

    def problem(self) -> AllocationProblem:
        """Return the question whether they fit above the pinned ones, as an allocation problem."""
        problem = self.timeline.problem
        lower, upper, size = self.rectangles
        return AllocationProblem(
            name=problem.graph.name,
            names=tuple(str(i) for i in range(len(size))),
            lower=lower,
            upper=upper,
            size=size,
            capacity=problem.room - problem.pinned_bytes,
            alignment=problem.alignment,
        )

    def plan(self, offset: IntArray) -> MemoryPlan:
        """Return the plan with these addresses of the rectangles."""
        timeline, problem = self.timeline, self.timeline.problem
        base = problem.pinned_bytes
        tensor, start, stop, written = self.residencies
        pinned = np.asarray(problem.options.pinned, dtype=np.int64)
        below = np.cumsum(problem.sizes[pinned]) - problem.sizes[pinned]
        workspace = np.full(len(timeline.order), -1, dtype=np.int64)
        workspace[timeline.run[self.spaced]] = base + offset[len(offset) - len(self.spaced) :]
        of = np.searchsorted(np.unique(self.block), self.block)
        zero, all_steps = np.zeros_like(pinned), np.full(len(pinned), len(timeline.order))
        columns = (
            np.concatenate([pinned, tensor]),
            np.concatenate([zero, start]),
            np.concatenate([all_steps, stop]),
            np.concatenate([below, base + offset[of]]),
            np.concatenate([zero > 0, written]),
        )
        by = np.lexsort((columns[0], columns[1]))
        streamed = np.flatnonzero(self.choice.streamed).tolist()
        run, of_read = timeline.run[timeline.step], timeline.tensor
        tensor, start, stop, address, written = (column[by] for column in columns)
        return MemoryPlan(
            order=timeline.order.copy(),
            tensor=tensor,
            start=start,
            stop=stop,
            address=address,
            written=written,
            workspace_address=workspace,
            streamed=as_rows([(int(run[u]), int(of_read[u])) for u in streamed], 2),
        )
