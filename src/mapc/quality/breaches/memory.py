"""Ways to break memory plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.quality.breaking import Breach

ROWS = ("tensor", "start", "stop", "address", "written", "bank")
"""Columns of residencies."""


def breaches(problem: MemoryProblem, plan: MemoryPlan) -> Iterator[Breach]:
    """Yield plans that break one rule of `mapc.models.memory.verify` each."""
    it = _Breaker(problem, plan)
    for found in (
        it.order(),
        it.again(),
        it.absent(),
        it.overlapping(),
        it.outside(),
        it.misaligned(),
        it.twice(),
        it.without_copy(),
        it.unwritten(),
        it.late(),
        it.unpinned(),
        it.streamed(),
        it.outlives(),
        it.workspace(),
        it.banks(),
    ):
        yield from found


class _Breaker:
    """A plan and what its parts occupy."""

    def __init__(self, problem: MemoryProblem, plan: MemoryPlan) -> None:
        self.problem, self.plan = problem, plan
        self.graph, self.options = problem.graph, problem.options
        self.unit, self.n = problem.alignment, len(plan.order)
        self.size: IntArray = -(-self.graph.tensor_bytes[plan.tensor] // self.unit) * self.unit
        banks = self.options.banks or (("", problem.capacity),)
        self.room = [2**60 if size is None else size for _, size in banks]

    @cached_property
    def simple(self) -> BoolArray:
        """bool[k]: no option treats the tensor of a residency in a way of its own."""
        special = set(self.options.pinned) | {
            t for _, a, b in self.options.in_place for t in (a, b)
        }
        special |= {t for _, t in self.plan.streamed.tolist()}
        return ~np.isin(self.plan.tensor, list(special)) & (self.size > 0)

    def changed(self, row: int, **values: Any) -> MemoryPlan:
        columns = {}
        for name, value in values.items():
            columns[name] = getattr(self.plan, name).copy()
            columns[name][row] = value
        return replace(self.plan, **columns)

    def rows_of(self, tensor: int) -> IntArray:
        return np.flatnonzero(self.plan.tensor == tensor)

    def touches(self, step: int, tensor: int) -> bool:
        o = int(self.plan.order[step])
        return tensor in self.graph.inputs[o] or tensor in self.graph.outputs[o]

    def producing(self, tensor: int) -> set[int]:
        """Steps at which a tensor is produced."""
        producer = int(self.graph.producer[tensor])
        return set(np.flatnonzero(self.plan.order == producer).tolist()) if producer >= 0 else set()

    def reading(self, tensor: int) -> IntArray:
        """Steps at which a tensor is read, increasing."""
        return np.flatnonzero(np.isin(self.plan.order, self.graph.consumers[tensor]))

    def simple_rows(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.simple)]

    # -- order ---------------------------------------------------------------------------------

    def order(self) -> Iterator[Breach]:
        if self.n < 2:
            return
        order = self.plan.order.copy()
        order[0] = order[-1]
        if self.plan.order[0] not in order:
            yield Breach("an operator does not run", replace(self.plan, order=order))
        for step in range(self.n - 1):
            first, second = (int(o) for o in self.plan.order[step : step + 2])
            if set(self.graph.outputs[first].tolist()) & set(self.graph.inputs[second].tolist()):
                order = self.plan.order.copy()
                order[[step, step + 1]] = second, first
                if first not in self.plan.order[:step]:
                    rule = "an operator runs before what it reads is there"
                    yield Breach(rule, replace(self.plan, order=order))
                    return

    def again(self) -> Iterator[Breach]:
        """The last operator runs once more, with everything it needs."""
        last, plan = int(self.plan.order[-1]), self.plan
        in_place = any(o == last for o, _, _ in self.options.in_place)
        streams = any(run == plan.runs[-1] for run, _ in plan.streamed.tolist())
        if self.options.recompute or in_place or streams:
            return
        stop = np.where(plan.stop == self.n, self.n + 1, plan.stop)
        address, bank = plan.workspace_address, plan.workspace_bank
        run = int(plan.runs[-1])
        twice = replace(
            plan,
            order=np.append(plan.order, last),
            stop=stop,
            workspace_address=np.append(address, address[run]),
            workspace_bank=np.append(bank, bank[run]),
        )
        yield Breach("an operator runs twice that may run once", twice)

    # -- residencies -----------------------------------------------------------------------------

    def absent(self) -> Iterator[Breach]:
        plan = self.plan
        for row in self.simple_rows():
            stop = int(plan.stop[row])
            if stop - plan.start[row] > 1 and self.touches(stop - 1, int(plan.tensor[row])):
                rule = "a tensor leaves before an operator that needs it"
                yield Breach(rule, self.changed(row, stop=stop - 1))
                return

    def twice(self) -> Iterator[Breach]:
        for row in self.simple_rows()[:1]:
            columns = {
                name: np.insert(getattr(self.plan, name), row, getattr(self.plan, name)[row])
                for name in ROWS
            }
            yield Breach("a tensor is resident twice", replace(self.plan, **columns))

    def without_copy(self) -> Iterator[Breach]:
        """Split the first residency of what was produced: the second part is a load."""
        plan, ahead = self.plan, self.options.prefetch
        for row in self.simple_rows():
            t, start = int(plan.tensor[row]), int(plan.start[row])
            produced = self.producing(t)
            if start not in produced or start != plan.start[self.rows_of(t)].min():
                continue
            reads = self.reading(t)
            for at in range(start + 1, int(plan.stop[row])):
                after = reads[reads >= at]
                if at in produced or (len(after) and at > max(0, int(after[0]) - ahead)):
                    continue
                yield Breach("a tensor is loaded that was never written out", self.split(row, at))
                return

    def split(self, row: int, at: int) -> MemoryPlan:
        columns = {
            name: np.insert(getattr(self.plan, name), row, getattr(self.plan, name)[row])
            for name in ROWS
        }
        columns["stop"][row] = at
        columns["written"][row] = False
        columns["start"][row + 1] = at
        ordered = np.lexsort((columns["tensor"], columns["start"]))
        return replace(self.plan, **{name: column[ordered] for name, column in columns.items()})

    def unwritten(self) -> Iterator[Breach]:
        for row in np.flatnonzero(self.plan.written & self.simple).tolist():
            t = int(self.plan.tensor[row])
            if self.graph.is_output[t] and self.producing(t) and len(self.rows_of(t)) == 1:
                yield Breach("an output is never written out", self.changed(row, written=False))
                return

    def late(self) -> Iterator[Breach]:
        ahead = self.options.prefetch
        for row in self.simple_rows() if ahead else ():
            t, start, stop = (int(getattr(self.plan, c)[row]) for c in ("tensor", "start", "stop"))
            reads = [s for s in self.reading(t).tolist() if start <= s < stop]
            if not reads or start in self.producing(t):
                continue
            begin = max(0, reads[0] - ahead) + 1
            if begin <= reads[0] and begin not in self.producing(t):
                rule = "a load begins too late for the prefetch distance"
                yield Breach(rule, self.changed(row, start=begin))
                return

    def unpinned(self) -> Iterator[Breach]:
        for t in self.options.pinned:
            row = self.rows_of(t)
            if self.n > 1 and len(row) == 1 and not self.touches(self.n - 1, t):
                rule = "a pinned tensor leaves before the end"
                yield Breach(rule, self.changed(int(row[0]), stop=self.n - 1))
                return

    def streamed(self) -> Iterator[Breach]:
        allowed, used = set(self.options.streamable), self.plan.streamed.tolist()
        asked = [(o, int(t)) for o in range(self.graph.n_operators) for t in self.graph.inputs[o]]
        for o, t in asked:
            if (o, t) not in allowed and self.graph.producer[t] < 0:
                yield Breach("an operator streams what it may not", self.streaming(o, t))
                break
        for o, t in asked:
            copied = self.graph.producer[t] < 0 or self.plan.written[self.rows_of(t)].any()
            if (o, t) in allowed and [o, t] not in used and not copied:
                yield Breach("what was never written out is streamed", self.streaming(o, t))
                break
        for run, t in used[:1]:
            yield Breach("an operator streams a tensor twice", self.streaming(run, t))

    def streaming(self, run: int, t: int) -> MemoryPlan:
        rows = np.append(self.plan.streamed.reshape(-1, 2), [[run, t]], axis=0)
        return replace(self.plan, streamed=rows.astype(np.int64))

    # -- addresses -----------------------------------------------------------------------------

    def beside(self, row: int) -> BoolArray:
        """bool[k]: residencies in the scratchpad together with one, in its bank."""
        plan = self.plan
        together: BoolArray = (plan.start < plan.stop[row]) & (plan.start[row] < plan.stop)
        together &= (plan.bank == plan.bank[row]) & (self.size > 0)
        together[row] = False
        return together

    def overlapping(self) -> Iterator[Breach]:
        plan = self.plan
        for row in self.simple_rows():
            room = self.room[int(plan.bank[row])]
            fits = plan.address + self.size[row] <= room
            for other in np.flatnonzero(self.beside(row) & self.simple & fits)[:1].tolist():
                moved = self.changed(row, address=plan.address[other])
                yield Breach("two tensors share bytes at one time", moved)
                return

    def outside(self) -> Iterator[Breach]:
        for row in self.simple_rows()[:1]:
            room = self.room[int(self.plan.bank[row])]
            if room < 2**60:
                beyond = self.changed(row, address=-(-room // self.unit) * self.unit)
                yield Breach("a tensor lies beyond the capacity", beyond)
            below = self.changed(row, address=-int(self.size[row]))
            yield Breach("an address is negative", below)

    def misaligned(self) -> Iterator[Breach]:
        """Move something up by one byte that has room above it."""
        plan = self.plan
        for row in self.simple_rows() if self.unit > 1 else ():
            top = int(plan.address[row] + self.size[row])
            near = self.beside(row) & (plan.address <= top) & (plan.address + self.size > top)
            steps = range(int(plan.start[row]), int(plan.stop[row]))
            busy = any(self.graph.workspace[int(plan.order[s])] > 0 for s in steps)
            if top < self.room[int(plan.bank[row])] and not near.any() and not busy:
                moved = self.changed(row, address=plan.address[row] + 1)
                yield Breach("an address is not aligned", moved)
                return

    def outlives(self) -> Iterator[Breach]:
        """What is taken over stays for another step, beside what took it over."""
        plan = self.plan
        for step, operator in enumerate(plan.order.tolist()):
            for o, a, b in self.options.in_place:
                if o != operator or step + 2 > self.n:
                    continue
                old = [r for r in self.rows_of(a).tolist() if plan.stop[r] == step + 1]
                new = [r for r in self.rows_of(b).tolist() if plan.start[r] == step]
                if not old or not new or not self.size[[old[0], new[0]]].all():
                    continue
                same = all(c[old[0]] == c[new[0]] for c in (plan.address, plan.bank))
                if same and not (plan.start[self.rows_of(a)] == step + 1).any():
                    rule = "what is taken over in place stays"
                    yield Breach(rule, self.changed(old[0], stop=step + 2))
                    return

    def workspace(self) -> Iterator[Breach]:
        plan = self.plan
        for step, run in enumerate(plan.runs.tolist()):
            needs = int(self.graph.workspace[int(plan.order[step])])
            live = (plan.start <= step) & (step < plan.stop) & self.simple
            bank = int(plan.workspace_bank[run])
            live &= (plan.bank == bank) & (plan.address + needs <= self.room[bank])
            if needs > 0 and live.any():
                moved = plan.workspace_address.copy()
                moved[run] = plan.address[int(live.argmax())]
                rule = "a workspace shares bytes with a tensor"
                yield Breach(rule, replace(plan, workspace_address=moved))
                return

    def banks(self) -> Iterator[Breach]:
        count = len(self.options.banks)
        for t in sorted({t for t, _ in self.options.confined}):
            takes = {bank for of, bank in self.options.confined if of == t}
            rows, wrong = self.rows_of(t), sorted(set(range(count)) - takes)
            if len(rows) and wrong:
                rule = "a tensor lies in a bank that does not take it"
                yield Breach(rule, self.changed(int(rows[0]), bank=wrong[0]))
                break
        if len(self.plan.tensor):
            rule = "a tensor lies in a bank that is not there"
            yield Breach(rule, self.changed(0, bank=max(1, count)))
