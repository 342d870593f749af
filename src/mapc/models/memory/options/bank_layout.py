"""Plans with several banks: layouts whose rectangles lie in banks, and one that always fits.

A choice for an order says what is there at which step; it knows no banks. Which bank each block
lies in is chosen together with its address (`mapc.models.allocation.banks`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.heuristics import Stop, greedy
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of
from mapc.models.memory.options.bank_sets import WORKSPACE, splits
from mapc.models.memory.options.layout import Layout
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.plan import MemoryPlan


class BankLayout(Layout):
    """A layout in banks. Pinned tensors are rectangles as well, behind the others.

    Addresses are those on the line of banks one after another, see
    `mapc.models.allocation.banks.line`.
    """

    @cached_property
    def pinned(self) -> IntArray:
        """int64[p]: the pinned tensors."""
        return np.asarray(self.timeline.problem.options.pinned, dtype=np.int64)

    @cached_property
    def housing(self) -> BoolArray:
        """bool[rectangles, b]: banks that take all tensors of a block; all take workspaces."""
        takes = self.timeline.problem.takes
        blocks = np.unique(self.block)
        of_block: BoolArray = np.ones((len(blocks), takes.shape[1]), dtype=np.bool_)
        tensor = self.residencies[0]
        np.logical_and.at(of_block, np.searchsorted(blocks, self.block), takes[tensor])
        works: BoolArray = np.ones((len(self.spaced), takes.shape[1]), dtype=np.bool_)
        return np.concatenate([of_block, works, takes[self.pinned]])

    @cached_property
    def question(self) -> AllocationProblem | None:
        """Where all of it is to lie; None where no bank takes some block."""
        problem = self.timeline.problem
        if not self.housing.any(axis=1).all():
            return None
        lower, upper, size = self.rectangles
        none = np.zeros_like(self.pinned)
        names = len(size) + len(self.pinned)
        return AllocationProblem(
            name=problem.graph.name,
            names=tuple(str(i) for i in range(names)),
            lower=np.concatenate([lower, none]),
            upper=np.concatenate([upper, none + len(self.timeline.order)]),
            size=np.concatenate([size, problem.sizes[self.pinned]]),
            alignment=problem.alignment,
            banks=problem.options.banks,
            allowed=self.housing,
        )

    def problem(self) -> AllocationProblem:
        """Return `question`, where there is one."""
        assert self.question is not None
        return self.question

    def place(self, seed: int, iterations: int, stop: Stop = lambda: False) -> IntArray | None:
        """Addresses of all rectangles on the line, by the greedy packer; None where it fails."""
        question = self.question
        if question is None:
            return None
        offset = question.on_line(greedy(question, seed, iterations, stop))
        room = question.room
        assert room is not None
        return offset if peak_of(offset, question.padded) <= room else None

    def plan(self, offset: IntArray) -> MemoryPlan:
        """Return the plan with these addresses on the line."""
        assert self.question is not None
        placed = self.question.plan(offset)
        count = len(self.rectangles[0])
        base = super().plan(np.zeros(count, dtype=np.int64))
        of = np.searchsorted(np.unique(self.block), self.block)
        tensor, start, _, _ = self.residencies
        who = np.concatenate([np.arange(count, len(offset)), of])  # pinned ones first
        first = np.concatenate([np.zeros_like(self.pinned), start])
        by = np.lexsort((np.concatenate([self.pinned, tensor]), first))
        run, begin = self.timeline.run[self.spaced], count - len(self.spaced)
        workspace, bank = base.workspace_address.copy(), np.zeros_like(base.workspace_address)
        workspace[run], bank[run] = placed.offset[begin:count], placed.bank[begin:count]
        return replace(
            base,
            address=placed.offset[who][by],
            bank=placed.bank[who][by],
            workspace_address=workspace,
            workspace_bank=bank,
        )


def layout_of(timeline: Timeline, choice: Choice) -> Layout:
    """Return the layout of a choice, in banks where the problem has any."""
    return (BankLayout if timeline.problem.options.banks else Layout)(timeline, choice)


def placeable(layout: Layout) -> bool:
    """Whether there is a bank for every block."""
    return not isinstance(layout, BankLayout) or layout.question is not None


def nothing_kept(timeline: Timeline) -> MemoryPlan | None:
    """Return a plan that keeps nothing, each working set split among banks; or None.

    At a prefetch distance of 0 there is one whenever there is any plan of the problem, and the
    packings of `bank_sets` find it unless they give up.
    """
    problem = timeline.problem
    found = None if problem.options.prefetch else splits(problem)
    if found is None:
        return None
    pinned, of_operator = found
    wanted = {pair for one in of_operator for pair in one.pairs}
    least = timeline.at_least()
    taken: BoolArray = np.array([pair in wanted for pair in timeline.pairs.triple], dtype=np.bool_)
    layout = BankLayout(timeline, Choice(least.keep, least.streamed, taken))
    question = layout.question
    assert question is not None
    size = question.padded
    tensor = layout.residencies[0]
    blocks = np.unique(layout.block)
    count = len(layout.rectangles[0])
    height = np.zeros((len(timeline.order), len(problem.options.banks)), dtype=np.int64)
    offset = np.zeros(len(size), dtype=np.int64)
    for rank, t in enumerate(layout.pinned.tolist()):
        at = count + rank
        offset[at] = question.line.base[pinned[t]] + height[0, pinned[t]]
        height[:, pinned[t]] += size[at]
    for at in range(count):
        step = int(question.lower[at])
        split = of_operator[int(timeline.order[step])].bank
        assert split is not None
        bank = split[int(tensor[blocks[at]]) if at < len(blocks) else WORKSPACE]
        offset[at] = question.line.base[bank] + height[step, bank]
        height[step, bank] += size[at]
    return layout.plan(offset)
