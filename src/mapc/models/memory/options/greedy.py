"""Choices without a solver: step by step, what frees most for what it costs.

At a step that does not fit, the cheapest per byte and step of these is done: losing a link across
the step, streaming a read whose tensor would be there, taking over an input. All of them only ever
free bytes, at every step, so that one pass over the steps is enough. With a prefetch distance of 0
and at least the largest working set of room it cannot fail: what can be done at a step leaves its
working set.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.solvers.base import FloatArray

Found = tuple[IntArray, IntArray, FloatArray]
"""Index, cost, and byte-steps freed from the step on, of every possibility."""


def fit(timeline: Timeline, room: int) -> Choice | None:
    """Return a choice with at most ``room`` bytes at every step, or None where it finds none."""
    greedy = _Greedy(timeline)
    for step in range(len(timeline.order)):
        while greedy.bytes[step] > room:
            if not greedy.free(step):
                return None
    return greedy.choice


class _Greedy:
    """A choice that gives way."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.choice = timeline.at_ease()
        self.bytes = timeline.occupancy(self.choice)
        problem = timeline.problem
        self.pays = problem.options.write_cost * problem.pays_write[timeline.tensor]
        index = np.arange(len(timeline.tensor))
        self.first = np.maximum.accumulate(np.where(timeline.into < 0, index, 0))
        self.next = np.where(timeline.out_of >= 0, index + 1, index)

    def free(self, step: int) -> bool:
        """Do what is best for this step; False where nothing is left to do."""
        self.written()
        best, chosen = np.inf, (-1, -1)
        for kind, (index, cost, freed) in enumerate(
            (self.links(step), self.streams(step), self.pairs(step))
        ):
            if len(index):
                score = cost / freed
                at = int(score.argmin())
                if score[at] < best:
                    best, chosen = float(score[at]), (kind, int(index[at]))
        if chosen[0] < 0:
            return False
        (self.lose, self.stream, self.take)[chosen[0]](chosen[1])
        self.bytes = self.timeline.occupancy(self.choice)
        return True

    # -- what can be done ----------------------------------------------------------------------

    def written(self) -> None:
        """Find the cost per byte of a first write, by use: nothing once it has been written."""
        timeline = self.timeline
        lost = timeline.lost(self.choice)
        self.write_rate = self.pays * ~np.isin(timeline.tensor, lost)
        self.into, self.out = timeline.kept_into(self.choice), timeline.kept_out(self.choice)

    def links(self, step: int) -> Found:
        """Kept links across the step whose reload would begin behind it."""
        timeline = self.timeline
        u = timeline.before
        there = self.choice.keep & (timeline.step[u] < step) & (step < timeline.start_by[u + 1])
        index = np.flatnonzero(there & (timeline.size[u] > 0))
        u = u[index]
        rate = timeline.problem.options.read_cost + self.write_rate[u]
        return index, rate * timeline.size[u], self._freed(timeline.start_by[u + 1] - step, u)

    def streams(self, step: int) -> Found:
        """Reads that may be streamed, at this step or later, their tensor being there for them."""
        timeline, options = self.timeline, self.timeline.problem.options
        begins = np.where(
            self.into, timeline.step[np.maximum(self._index - 1, 0)] + 1, timeline.start_by
        )
        may = timeline.may_stream & ~self.choice.streamed & (timeline.size > 0)
        may &= (begins <= step) & (step <= timeline.step)
        may &= ~self.out | (timeline.start_by[self.next] > self._resident_before())
        u = np.flatnonzero(may)
        out, into = self.out[u], self.into[u]
        rate = options.streaming_cost - options.read_cost * ~into + options.read_cost * out
        rate = rate + self.write_rate[u] * (out | into)
        later = np.maximum(timeline.start_by[self.next[u]] - timeline.step[u] - 1, 0) * out
        return u, rate * timeline.size[u], self._freed(timeline.step[u] - step + 1 + later, u)

    def pairs(self, step: int) -> Found:
        """Pairs of the operator whose input is there and can be brought back in time."""
        timeline, pairs = self.timeline, self.timeline.pairs
        u = pairs.old
        may = pairs.matched & ~self.choice.taken & (pairs.step == step) & ~self.choice.streamed[u]
        may &= ~self.out[u] | (timeline.start_by[self.next[u]] > step)
        index = np.flatnonzero(may)
        u, out = u[index], self.out[u[index]]
        rate = (timeline.problem.options.read_cost + self.write_rate[u]) * out
        later = np.maximum(timeline.start_by[self.next[u]] - step - 1, 0) * out
        freed = pairs.saves[index] + self._freed(later, u)
        return index, rate * timeline.size[u], freed

    @property
    def _index(self) -> IntArray:
        return np.arange(len(self.timeline.tensor))

    def _freed(self, steps: IntArray, u: IntArray) -> FloatArray:
        freed: FloatArray = steps.astype(np.float64) * self.timeline.size[u]
        return freed

    def _resident_before(self) -> IntArray:
        """int64[uses]: the step of the last use before it that is not streamed, or -1."""
        there = np.where(~self.choice.streamed, self._index, -1)
        last = np.full(len(there), -1, dtype=np.int64)
        last[1:] = np.maximum.accumulate(there)[:-1]
        steps = self.timeline.step[np.maximum(last, 0)]
        found: IntArray = np.where(last >= self.first, steps, -1)
        return found

    # -- doing it ------------------------------------------------------------------------------

    def lose(self, link: int) -> None:
        """Lose a link."""
        self.choice.keep[link] = False

    def stream(self, use: int) -> None:
        """Stream a read; no link reaches it any more."""
        self.choice.streamed[use] = True
        for link in (int(self.timeline.into[use]), int(self.timeline.out_of[use])):
            if link >= 0:
                self.choice.keep[link] = False

    def take(self, pair: int) -> None:
        """Let an output take over its input, which leaves."""
        self.choice.taken[pair] = True
        link = int(self.timeline.out_of[self.timeline.pairs.old[pair]])
        if link >= 0:
            self.choice.keep[link] = False


def spare_pairs(timeline: Timeline, choice: Choice, room: int) -> Choice:
    """Return the choice without pairs that are not needed to fit, which leaves addresses free."""
    spared = choice.copy()
    taken = np.flatnonzero(choice.taken)
    steps, saves = timeline.pairs.step[taken], timeline.pairs.saves[taken]
    bytes_at = timeline.occupancy(choice)
    for pair, step, saved in zip(taken.tolist(), steps.tolist(), saves.tolist(), strict=True):
        if bytes_at[step] + saved <= room:
            bytes_at[step] += saved
            spared.taken[pair] = False
    return spared


def take_all(timeline: Timeline, choice: Choice) -> Choice:
    """Return the choice with every matched pair whose input leaves at that step anyway."""
    pairs, streamed = timeline.pairs, choice.streamed
    leaves = ~timeline.kept_out(choice)[pairs.old] & ~streamed[pairs.old]
    taken: BoolArray = choice.taken.copy()
    for pair in np.flatnonzero(leaves & ~taken).tolist():
        used = np.isin(pairs.old[taken], pairs.old[pair]).any()
        used |= np.isin(pairs.new[taken], pairs.new[pair]).any()
        taken[pair] = not used
    return Choice(choice.keep, streamed, taken)
