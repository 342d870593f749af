"""Ways to break addresses of buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.quality.breaking import Breach

UNLIMITED = 2**60


def breaches(problem: AllocationProblem, plan: AllocationPlan) -> Iterator[Breach]:
    """Yield plans that break one rule of `mapc.models.allocation.verify` each."""
    it = _Breaker(problem, plan)
    for found in (
        it.outside(),
        it.misaligned(),
        it.overlapping(),
        it.moved(),
        it.reserved(),
        it.banks(),
    ):
        yield from found


class _Breaker:
    """A plan and what its buffers occupy."""

    def __init__(self, problem: AllocationProblem, plan: AllocationPlan) -> None:
        self.problem, self.plan = problem, plan
        step = problem.alignment
        self.size: IntArray = -(-problem.size // step) * step
        n = len(problem.names)
        own = problem.alignments
        self.grain: IntArray = np.full(n, step, dtype=np.int64) if own is None else own
        banks = problem.banks or (("", problem.capacity),)
        self.room = [UNLIMITED if size is None else size - size % step for _, size in banks]
        free = np.ones(n, dtype=np.bool_) if problem.fixed is None else problem.fixed < 0
        self.movable = [int(i) for i in np.flatnonzero(free & (self.size > 0))]

    def at(self, buffer: int, address: int) -> AllocationPlan:
        offset = self.plan.offset.copy()
        offset[buffer] = address
        return replace(self.plan, offset=offset)

    def room_of(self, buffer: int) -> int:
        return self.room[int(self.plan.bank[buffer])]

    def beside(self, buffer: int) -> BoolArray:
        """bool[n]: others that live at the same time, in the same bank."""
        lower, upper = self.problem.lower, self.problem.upper
        found: BoolArray = (lower < upper[buffer]) & (lower[buffer] < upper) & (self.size > 0)
        found &= self.plan.bank == self.plan.bank[buffer]
        found[buffer] = False
        return found

    def free(self, buffer: int, address: int) -> bool:
        """Whether no buffer is there, and no end of the memory."""
        stop = address + int(self.size[buffer])
        offset = self.plan.offset
        hit = self.beside(buffer) & (offset < stop) & (address < offset + self.size)
        return not hit.any() and address >= 0 and stop <= self.room_of(buffer)

    def in_reserved(self, buffer: int, address: int) -> bool:
        stop = address + int(self.size[buffer])
        return any(
            base < stop and address < top
            for lower, upper, base, top in self.ranges(buffer)
            if lower < self.problem.upper[buffer] and self.problem.lower[buffer] < upper
        )

    def ranges(self, buffer: int) -> list[list[int]]:
        """Reserved ranges of the bank of a buffer."""
        rows = self.problem.reserved
        if rows is None:
            return []
        banks = self.problem.reserved_bank
        of = np.zeros(len(rows), dtype=np.int64) if banks is None else banks
        found: list[list[int]] = rows[of == self.plan.bank[buffer]].tolist()
        return found

    def up(self, buffer: int, address: int) -> int:
        grain = int(self.grain[buffer])
        return -(-address // grain) * grain

    # -- rules ---------------------------------------------------------------------------------

    def outside(self) -> Iterator[Breach]:
        for i in self.movable[:1]:
            yield Breach("an address is negative", self.at(i, -self.up(i, int(self.size[i]))))
            if self.room_of(i) < UNLIMITED:
                beyond = self.at(i, self.up(i, self.room_of(i)))
                yield Breach("a buffer lies above the capacity", beyond)

    def misaligned(self) -> Iterator[Breach]:
        for i in self.movable:
            end = int((self.plan.offset + self.size).max())
            for address in (int(self.plan.offset[i]) + 1, self.up(i, end) + 1):
                fits = self.free(i, address) and not self.in_reserved(i, address)
                if self.grain[i] > 1 and fits:
                    yield Breach("an address is not aligned", self.at(i, address))
                    return

    def overlapping(self) -> Iterator[Breach]:
        offset = self.plan.offset
        for i in self.movable:
            fits = (offset + self.size[i] <= self.room_of(i)) & (offset % self.grain[i] == 0)
            for j in np.flatnonzero(self.beside(i) & fits).tolist():
                if not self.in_reserved(i, int(offset[j])):
                    yield Breach("two buffers share bytes at one time", self.at(i, int(offset[j])))
                    return

    def moved(self) -> Iterator[Breach]:
        fixed = self.problem.fixed
        for i in np.flatnonzero(fixed >= 0).tolist() if fixed is not None else ():
            ends = (self.plan.offset + self.size).tolist()
            for address in sorted({self.up(i, end) for end in [0, *ends]}):
                fits = self.free(i, address) and not self.in_reserved(i, address)
                if address != self.plan.offset[i] and fits:
                    yield Breach("a buffer is not where it has to be", self.at(i, address))
                    return

    def reserved(self) -> Iterator[Breach]:
        for i in self.movable:
            for lower, upper, base, top in self.ranges(i):
                address = self.up(i, base)
                lives = lower < self.problem.upper[i] and self.problem.lower[i] < upper
                if lives and address < top and self.free(i, address):
                    yield Breach("a buffer lies in a reserved range", self.at(i, address))
                    return

    def banks(self) -> Iterator[Breach]:
        bank = self.plan.bank.copy()
        bank[:1] = len(self.room)
        if len(bank):
            yield Breach("a buffer lies in a bank that is not there", replace(self.plan, bank=bank))
        allowed = self.problem.allowed
        for i, b in np.argwhere(~allowed).tolist()[:1] if allowed is not None else ():
            bank = self.plan.bank.copy()
            bank[i] = b
            rule = "a buffer lies in a bank that does not take it"
            yield Breach(rule, replace(self.plan, bank=bank))
