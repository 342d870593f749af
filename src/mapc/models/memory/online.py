"""Addresses step by step, losing what stands in the way: linear in the steps, never fails.

The scratchpad is replayed along the order. What a step needs new is put into a free gap; where no
gap is large enough, the cheapest stretch of tensors that are idle at this step is lost; where the
step's own tensors split the space, they are loaded anew, side by side. A step alone always fits a
capacity of at least M_R, so every order gets a plan, in milliseconds.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.schedule import Schedule

WORKSPACE = -1
"""Stands for the workspace of the current step among the tensors."""


class Fit(StrEnum):
    """Which free gap a tensor goes to."""

    FIRST = "first fit"
    BEST = "best fit"
    ENDS = "first fit, short lives from the top"
    BEST_ENDS = "best fit, short lives from the top"


@dataclass(frozen=True)
class Policy:
    """How the scratchpad is filled. Lives up to ``short`` steps count as short."""

    fit: Fit
    short: int = 1


POLICIES = (
    Policy(Fit.FIRST),
    Policy(Fit.BEST),
    *(Policy(fit, short) for fit in (Fit.ENDS, Fit.BEST_ENDS) for short in (1, 2, 5, 20)),
)


class Online:
    """One pass over a schedule; ``keep`` shrinks by the links that are lost on the way.

    Parameters
    ----------
    schedule : Schedule
    keep : bool[links]
        What to keep; must fit the capacity at every step.
    policy : Policy

    Attributes
    ----------
    keep : bool[links]
        What is kept in the end.
    address : dict
        Address of every residency, by (tensor, first step), and of workspaces, by
        (``WORKSPACE``, step).
    """

    def __init__(self, schedule: Schedule, keep: BoolArray, policy: Policy) -> None:
        problem = schedule.problem
        self.schedule, self.policy = schedule, policy
        self.keep = keep.copy()
        self.room = problem.room
        self.sizes: list[int] = problem.sizes.tolist()
        tensor, before, after = (column.tolist() for column in schedule.links)
        self.after: list[int] = after
        self.next_link = dict(
            zip(zip(tensor, before, strict=True), range(len(tensor)), strict=True)
        )
        self.last_link = dict(zip(zip(tensor, after, strict=True), range(len(tensor)), strict=True))
        # a tensor pays a write the first time it is lost
        self.unwritten = set(np.flatnonzero(problem.pays_write).tolist()) - {
            tensor[link] for link in np.flatnonzero(~keep).tolist()
        }
        self.spans: list[tuple[int, int, int]] = []  # (address, end, tensor), by address
        self.held: dict[int, int] = {}  # tensor -> the kept link that holds it now
        self.address: dict[tuple[int, int], int] = {}
        self._run()

    def _run(self) -> None:
        problem = self.schedule.problem
        touched = problem.graph.touched
        for step, operator in enumerate(self.schedule.order.tolist()):
            needed = [t for t in touched[operator].tolist() if self.sizes[t]]
            wanted = [(self.sizes[t], t) for t in needed if t not in self.held]
            if problem.workspaces[operator]:
                wanted.append((int(problem.workspaces[operator]), WORKSPACE))
            wanted.sort(reverse=True)
            if not all(self._put(size, t, step, needed) for size, t in wanted):
                self._start_afresh(step, needed, wanted)
            self._pass_on(step, needed)

    def _put(self, size: int, tensor: int, step: int, needed: list[int]) -> bool:
        """Find room for a tensor, losing idle ones if need be; False when it is not to be had."""
        address = self._gap(size, self._is_long(tensor, step))
        if address is None:
            address = self._clear(size, needed)
        if address is None:
            return False
        insort(self.spans, (address, address + size, tensor))
        self.address[tensor, step] = address
        return True

    def _is_long(self, tensor: int, step: int) -> bool:
        link = self.next_link.get((tensor, step))
        return (
            link is not None
            and bool(self.keep[link])
            and (self.after[link] - step > self.policy.short)
        )

    def _gaps(self) -> Iterator[tuple[int, int]]:
        floor = 0
        for address, end, _ in self.spans:
            if address > floor:
                yield floor, address
            floor = end
        if floor < self.room:
            yield floor, self.room

    def _gap(self, size: int, is_long: bool) -> int | None:
        """Return the address the policy chooses among the gaps that are large enough."""
        fit = self.policy.fit
        gaps = [(low, high) for low, high in self._gaps() if high - low >= size]
        if not gaps:
            return None
        from_top = fit in (Fit.ENDS, Fit.BEST_ENDS) and not is_long
        if fit in (Fit.BEST, Fit.BEST_ENDS):
            low, high = min(gaps, key=lambda gap: gap[1] - gap[0])
        else:
            low, high = gaps[-1] if from_top else gaps[0]
        return high - size if from_top else low

    def _clear(self, size: int, needed: list[int]) -> int | None:
        """Lose the cheapest stretch of idle tensors that makes a gap; return its address."""
        pinned = {*needed, WORKSPACE}
        best: tuple[int, int, int, int] | None = None  # cost, -earliest next use, first, last
        for first in range(len(self.spans)):
            floor = self.spans[first - 1][1] if first else 0
            cost, soonest = 0, len(self.sizes) + len(self.after)
            for last in range(first, len(self.spans)):
                tensor = self.spans[last][2]
                if tensor in pinned:
                    break
                cost += self.sizes[tensor] * (1 + (tensor in self.unwritten))
                soonest = min(soonest, self.after[self.held[tensor]])
                end = self.spans[last + 1][0] if last + 1 < len(self.spans) else self.room
                if end - floor >= size:
                    best = min(best or (cost + 1, 0, 0, 0), (cost, -soonest, first, last))
                    break
        if best is None:
            return None
        _, _, first, last = best
        floor = self.spans[first - 1][1] if first else 0
        for _, _, tensor in self.spans[first : last + 1]:
            self._lose(self.held.pop(tensor), tensor)
        del self.spans[first : last + 1]
        return floor

    def _start_afresh(self, step: int, needed: list[int], wanted: list[tuple[int, int]]) -> None:
        """Empty the scratchpad and put what the step needs side by side."""
        loaded = {tensor for _, tensor in wanted}
        for _, _, tensor in self.spans:
            if tensor not in loaded:
                link = self.held.pop(tensor)
                self._lose(link, tensor)
        self.spans.clear()
        at = 0
        for size, tensor in sorted({*wanted, *((self.sizes[t], t) for t in needed)}, reverse=True):
            self.spans.append((at, at + size, tensor))
            self.address[tensor, step] = at
            at += size

    def _lose(self, link: int, tensor: int) -> None:
        self.keep[link] = False
        self.unwritten.discard(tensor)

    def _pass_on(self, step: int, needed: list[int]) -> None:
        """After a step only what a kept link carries on stays."""
        gone = {WORKSPACE}
        for tensor in needed:
            link = self.next_link.get((tensor, step))
            if link is not None and self.keep[link]:
                self.held[tensor] = link
            else:
                self.held.pop(tensor, None)
                gone.add(tensor)
        self.spans = [span for span in self.spans if span[2] not in gone]

    def offsets(self, tensor: IntArray, start: IntArray, steps: IntArray) -> IntArray:
        """Addresses of residencies (tensor and first step) and of the workspaces at ``steps``."""
        rows = [
            self.address.get(key, 0) for key in zip(tensor.tolist(), start.tolist(), strict=True)
        ]
        rows += [self.address[WORKSPACE, step] for step in steps.tolist()]
        return np.asarray(rows, dtype=np.int64)
