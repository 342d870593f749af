"""Replay of a memory plan by the rules alone.

Nothing here is shared with the models that produce plans: sizes, working sets and traffic are
computed again from the graph.

Rules
-----
* The order runs every operator once, producers before consumers; those that may be recomputed run
  once or more, the first time before their consumers. Where the order is to be kept, the first
  runs are in the graph's.
* At every step the inputs, the outputs and the workspace of the operator that runs are in the
  scratchpad. An input that it may stream, and the plan says that this run streams, need not be, but
  an off-chip copy exists. A run produces all outputs, wanted or not: what was there before is
  written again where it lies, with the same bytes.
* Things in the scratchpad at one step do not overlap, lie within the capacity and are aligned. An
  in-place pair may overlap at the step of its operator, if both are at one address, the input's
  residency ends with this step and the output's begins with it.
* With several banks that goes for each of them: every residency and every workspace lies in one,
  from its address there on, and in one that takes the tensor. So a tensor moves from one bank to
  another only by a load, from off-chip.
* A residency begins at a step at which its tensor is produced, or with a load; a load needs an
  off-chip copy: the tensor is an input or a constant, or an earlier residency wrote it out.
* A residency that begins with a load begins at least as many steps before the first operator that
  reads the tensor there as the prefetch distance says, or at step 0.
* A pinned tensor has one residency, over all steps.
* Every output that an operator produces is written out.

Cost
----
Loads, writes and streamed reads cost bytes times the cost per byte of each; every run of an
operator after its first costs what the problem says. What is *compulsory* is taken off: for an
input or constant that is read, one load, or one streamed read by each of its readers where these
are possible and cheaper; for an output that is produced, one write. In bytes, the first load (or
else the first streamed read) and the first write count as compulsory, the rest as reloaded,
streamed and spilled.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from mapc.models.base import Verdict
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

MAX_VIOLATIONS = 20
"""Violations listed before the replay gives up."""


Span = tuple[int, int, str]
"""Address, size and name of what lies in a bank."""


class _TooManyError(Exception):
    """Enough violations were found."""


class _Replay:
    """One pass over the steps of a plan."""

    def __init__(self, problem: MemoryProblem, plan: MemoryPlan) -> None:
        self.graph = problem.graph
        self.plan = plan
        self.options = problem.options
        self.streamed: set[tuple[int, int]] = set()  # step and tensor
        self.streamable = set(self.options.streamable)
        self.pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)  # in place, by operator
        for o, a, b in self.options.in_place:
            self.pairs[o].append((a, b))
        self.steps: dict[int, list[int]] = defaultdict(list)  # of every operator
        self.runs: list[int] = []  # step of every run, as plans count them
        self.banks = problem.options.banks or (("scratchpad", problem.capacity),)
        self.confined: dict[int, list[int]] = defaultdict(list)  # tensor -> banks that take it
        for t, bank in problem.options.confined:
            self.confined[t].append(bank)
        self.unit = problem.alignment
        self.violations: list[str] = []

    def padded(self, size: int) -> int:
        return -(-size // self.unit) * self.unit

    def complain(self, text: str) -> None:
        self.violations.append(text)
        if len(self.violations) >= MAX_VIOLATIONS:
            raise _TooManyError

    def tensor(self, t: int) -> str:
        return f"tensor {self.graph.tensor_names[t]!r}"

    def operator(self, o: int) -> str:
        return f"operator {self.graph.operator_names[o]!r}"

    # -- shape ---------------------------------------------------------------------------------

    def check_shape(self) -> bool:
        """Columns of equal length with indices in range; nothing else can be read otherwise."""
        plan, graph = self.plan, self.graph
        k, n = len(plan.tensor), len(plan.order)
        for column in ("start", "stop", "address", "written"):
            if len(getattr(plan, column)) != k:
                self.complain(f"plan: {column} has {len(getattr(plan, column))} entries, not {k}")
                return False
        if not self.check_runs():
            return False
        if len(plan.workspace_address) != n:
            self.complain(f"plan: workspace_address has not {n} entries")
            return False
        if k and not (int(plan.tensor.min()) >= 0 and int(plan.tensor.max()) < graph.n_tensors):
            self.complain(f"plan: a residency names a tensor outside 0 to {graph.n_tensors - 1}")
            return False
        if not self.check_banks():
            return False
        self.check_streamed()
        wrong = (plan.start < 0) | (plan.start >= plan.stop) | (plan.stop > n)
        for r in np.flatnonzero(wrong):
            steps = f"[{plan.start[r]}, {plan.stop[r]})"
            self.complain(f"{self.tensor(plan.tensor[r])}: residency {steps} outside the steps")
        return not self.violations

    def check_banks(self) -> bool:
        """Every residency and workspace is in a bank that is there and takes it."""
        plan = self.plan
        for name, column in (("bank", plan.tensor), ("workspace_bank", plan.workspace_address)):
            found = getattr(plan, name)
            if len(found) != len(column):
                self.complain(f"plan: {name} has {len(found)} entries, not {len(column)}")
                return False
            for wrong in np.flatnonzero((found < 0) | (found >= len(self.banks))).tolist():
                self.complain(
                    f"plan: {name}[{wrong}] is {found[wrong]}, of {len(self.banks)} banks"
                )
        if self.violations:
            return False
        for t, bank in zip(plan.tensor.tolist(), plan.bank.tolist(), strict=True):
            if t in self.confined and bank not in self.confined[t]:
                name = self.banks[bank][0]
                self.complain(f"{self.tensor(t)}: in bank {name!r}, which does not take it")
        return True

    def check_runs(self) -> bool:
        """Every operator runs, and those that may not be recomputed once."""
        n = self.graph.n_operators
        for step, o in enumerate(self.plan.order.tolist()):
            self.steps[o].append(step)
        again = dict(self.options.recompute)
        if sorted(self.steps) != list(range(n)) or (not again and len(self.plan.order) > n):
            self.complain(f"order: does not run each of the {n} operators once")
            return False
        for o, steps in sorted(self.steps.items()):
            if len(steps) > 1 and o not in again:
                self.complain(f"{self.operator(o)}: runs {len(steps)} times, and may run once")
        further = sorted(step for steps in self.steps.values() for step in steps[1:])
        self.runs = [self.steps[o][0] for o in range(n)] + further
        return not self.violations

    def check_streamed(self) -> None:
        """Only what may be streamed is streamed, and once."""
        for run, t in self.plan.streamed.tolist():
            if not 0 <= run < len(self.runs):
                self.complain(f"plan: streams tensor {t} at run {run}, of {len(self.runs)}")
                continue
            step = self.runs[run]
            o = int(self.plan.order[step])
            if (o, t) not in self.streamable:
                self.complain(f"plan: streams tensor {t} at operator {o}, which may not stream it")
            if (step, t) in self.streamed:
                self.complain("plan: an operator streams a tensor twice")
            self.streamed.add((step, t))

    # -- rules ---------------------------------------------------------------------------------

    def check_order(self) -> None:
        given = self.graph.given_order.tolist()
        runs = list(dict.fromkeys(self.plan.order.tolist()))
        if self.options.keep_order and runs != given:
            run, due = next(pair for pair in zip(runs, given, strict=True) if pair[0] != pair[1])
            self.complain(f"order: runs {self.operator(run)} where {self.operator(due)} is next")
        for step, o in enumerate(self.plan.order.tolist()):
            for t in self.graph.inputs[o].tolist():
                p = int(self.graph.producer[t])
                if p >= 0 and self.steps[p][0] >= step:
                    self.complain(
                        f"{self.operator(o)} runs at step {step}, before "
                        f"{self.operator(p)} has produced {self.tensor(t)}"
                    )

    def residencies(self) -> dict[int, list[int]]:
        """Residencies of each tensor, by start."""
        rows: dict[int, list[int]] = defaultdict(list)
        for r in sorted(range(len(self.plan.tensor)), key=lambda r: int(self.plan.start[r])):
            rows[int(self.plan.tensor[r])].append(r)
        return rows

    def check_residencies(self, t: int, rows: list[int], streams: list[int]) -> dict[str, int]:
        """Check one tensor's residencies and streamed reads, and count its traffic in bytes."""
        plan, producer = self.plan, int(self.graph.producer[t])
        on_chip_source = producer >= 0
        copy_since: int | None = None if on_chip_source else 0
        loads = writes = 0
        until = 0
        for r in rows:
            start, stop = int(plan.start[r]), int(plan.stop[r])
            if start < until:
                self.complain(f"{self.tensor(t)}: resident twice at step {start}")
            until = stop
            if not (on_chip_source and start in self.steps[producer]):
                loads += 1
                self.check_prefetch(t, start, stop)
                if copy_since is None or copy_since > start:
                    self.complain(
                        f"{self.tensor(t)}: loaded at step {start} without an off-chip copy"
                    )
            if plan.written[r]:
                writes += 1
                copy_since = stop if copy_since is None else copy_since
        for step in sorted(streams):
            if copy_since is None or copy_since > step:
                self.complain(f"{self.tensor(t)}: streamed at step {step} without an off-chip copy")
        if t in self.options.pinned and [(plan.start[r], plan.stop[r]) for r in rows] != [
            (0, len(plan.order))
        ]:
            self.complain(f"{self.tensor(t)}: pinned, but not resident from first to last step")
        if self.graph.is_output[t] and on_chip_source and writes == 0:
            self.complain(f"{self.tensor(t)}: an output, never written out")
        return self.traffic(t, loads, writes, len(streams))

    def check_prefetch(self, t: int, start: int, stop: int) -> None:
        reads = [step for o in self.graph.consumers[t].tolist() for step in self.steps[o]]
        here = (step for step in reads if start <= step < stop and (step, t) not in self.streamed)
        first = min(here, default=None)
        if first is not None and start > max(0, first - self.options.prefetch):
            self.complain(
                f"{self.tensor(t)}: loaded at step {start} for step {first}, not "
                f"{self.options.prefetch} steps before"
            )

    def traffic(self, t: int, loads: int, writes: int, streams: int) -> dict[str, int]:
        """Bytes of one tensor's transfers, compulsory and beyond, and the extra cost."""
        options = self.options
        size = self.padded(int(self.graph.tensor_bytes[t]))
        is_source = bool(self.graph.producer[t] < 0)
        read = is_source and len(self.graph.consumers[t]) > 0
        write_free = int(bool(self.graph.is_output[t]) and not is_source)
        load_free = min(loads, 1) if read else 0
        stream_free = min(streams, 1) if read and not load_free else 0
        cheapest = options.read_cost
        readers = self.graph.consumers[t].tolist()
        if {(o, t) for o in readers} <= self.streamable:
            cheapest = min(cheapest, options.streaming_cost * len(readers))
        cost = (
            loads * options.read_cost
            + (writes - write_free) * options.write_cost
            + streams * options.streaming_cost
            - read * cheapest
        )
        return {
            "compulsory": (load_free + stream_free + min(writes, write_free)) * size,
            "spilled": (writes - min(writes, write_free)) * size,
            "reloaded": (loads - load_free) * size,
            "streamed": (streams - stream_free) * size,
            "cost": cost * size,
        }

    def further_runs(self) -> tuple[int, int]:
        """Bytes of the outputs of all runs after the first of their operator, and their cost."""
        written = cost = 0
        for o, each in self.options.recompute:
            times = len(self.steps[o]) - 1
            outputs = self.graph.tensor_bytes[self.graph.outputs[o]].tolist()
            written += times * sum(self.padded(size) for size in outputs)
            cost += times * each
        return written, cost

    def check_steps(self) -> int:
        """Replay step by step; return the highest address used."""
        plan, graph = self.plan, self.graph
        # plain lists: there may be as many spans as steps times residencies
        tensor, bank, stop = plan.tensor.tolist(), plan.bank.tolist(), plan.stop.tolist()
        span = self.spans()
        arriving: dict[int, list[int]] = defaultdict(list)
        leaving: dict[int, list[int]] = defaultdict(list)
        for r, start in enumerate(plan.start.tolist()):
            arriving[start].append(r)
            leaving[stop[r]].append(r)
        live: dict[int, int] = {}  # tensor -> residency
        run_at = {step: run for run, step in enumerate(self.runs)}
        highest = 0
        for step, o in enumerate(plan.order.tolist()):
            for r in leaving[step]:
                if live.get(tensor[r]) == r:
                    del live[tensor[r]]
            live.update({tensor[r]: r for r in arriving[step]})
            for t in {*graph.inputs[o].tolist(), *graph.outputs[o].tolist()} - live.keys():
                if (step, t) not in self.streamed:
                    self.complain(
                        f"{self.operator(o)} at step {step}: {self.tensor(t)} not resident"
                    )
            over = self.taken_over(o, step, live)
            spans: list[list[Span]] = [[] for _ in self.banks]
            for t, r in live.items():
                if t not in over:
                    spans[bank[r]].append(span[r])
            if graph.workspace[o] > 0:
                size = self.padded(int(graph.workspace[o]))
                run = run_at[step]
                address = int(plan.workspace_address[run])
                spans[int(plan.workspace_bank[run])].append(
                    (address, size, f"workspace of step {step}")
                )
            for at, inside in enumerate(spans):
                highest = max(highest, self.check_spans(step, at, inside))
        return highest

    def spans(self) -> list[Span]:
        """Address, size and name of what every residency holds."""
        sizes = [self.padded(size) for size in self.graph.tensor_bytes.tolist()]
        rows = zip(self.plan.address.tolist(), self.plan.tensor.tolist(), strict=True)
        return [(address, sizes[t], self.tensor(t)) for address, t in rows]

    def taken_over(self, o: int, step: int, live: dict[int, int]) -> set[int]:
        """Of every in-place pair at one address, the smaller tensor: it lies within the other.

        A tensor of no bytes overlaps nothing, and so is no part of a pair. Two pairs at one address
        that share a tensor leave the other two overlapping.
        """
        plan = self.plan
        within: set[int] = set()
        used: set[int] = set()
        for a, b in self.pairs[o]:
            if not {a, b} <= live.keys() or {a, b} & used:
                continue
            if min(self.graph.tensor_bytes[a], self.graph.tensor_bytes[b]) == 0:
                continue
            old, new = live[a], live[b]
            place = plan.bank[old], plan.address[old]
            steps = plan.stop[old], plan.start[new]
            if place == (plan.bank[new], plan.address[new]) and steps == (step + 1, step):
                used |= {a, b}
                within.add(min((a, b), key=lambda t: int(self.graph.tensor_bytes[t])))
        return within

    def check_spans(self, step: int, bank: int, spans: list[Span]) -> int:
        name, capacity = self.banks[bank]
        within = f" of bank {name!r}" if self.options.banks else ""
        top, below = 0, ""
        for address, size, what in sorted(s for s in spans if s[1] > 0):
            if address < 0 or address % self.unit:
                self.complain(f"{what} at step {step}: address {address} is not aligned and >= 0")
            if address < top:
                self.complain(f"{what} at step {step}: overlaps {below} at address {address}")
            if address + size > top:
                top, below = address + size, what
        if capacity is not None and top > capacity:
            self.complain(f"{below} at step {step}: ends at {top}, capacity {capacity}{within}")
        return top


def verify(problem: MemoryProblem, plan: MemoryPlan) -> Verdict:
    """Return the broken rules, the extra cost (bytes, without options) and the other figures."""
    replay = _Replay(problem, plan)
    facts: dict[str, Any] = {}
    objective: int | None = None
    try:
        if replay.check_shape():
            replay.check_order()
            rows_of = replay.residencies()
            streamed = {t for _, t in replay.streamed}
            sources = np.flatnonzero(problem.graph.producer < 0).tolist()
            for t in streamed | set(sources) | set(problem.options.pinned):
                rows_of.setdefault(t, [])
            unwritten = [
                t
                for t in np.flatnonzero(problem.graph.is_output).tolist()
                if problem.graph.producer[t] >= 0 and t not in rows_of
            ]
            for t in unwritten:
                replay.complain(f"{replay.tensor(t)}: an output, never written out")
            streams: dict[int, list[int]] = defaultdict(list)
            for step, t in replay.streamed:
                streams[t].append(step)
            traffic = [replay.check_residencies(t, rows, streams[t]) for t, rows in rows_of.items()]
            keys = ["compulsory", "spilled", "reloaded", *["streamed"][: bool(streamed)]]
            facts = {f"{key}_bytes": sum(part[key] for part in traffic) for key in keys}
            facts["peak_bytes"] = replay.check_steps()
            recomputed, rerun_cost = replay.further_runs()
            if problem.options.recompute:
                facts["recomputed_bytes"] = recomputed
            objective = sum(part["cost"] for part in traffic) + rerun_cost
    except _TooManyError:
        replay.violations.append("... and more")
    return Verdict(tuple(replay.violations), objective, facts)
