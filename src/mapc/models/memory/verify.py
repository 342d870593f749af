"""Replay of a memory plan by the rules alone.

Nothing here is shared with the models that produce plans: sizes, working sets and traffic are
computed again from the graph.

Rules
-----
* The order runs every operator once, producers before consumers.
* At the step of an operator its inputs, its outputs and its workspace are in the scratchpad.
* Things in the scratchpad at one step do not overlap, lie within the capacity and are aligned.
* A residency begins when its tensor is produced, or with a load; a load needs an off-chip copy:
  the tensor is an input or a constant, or an earlier residency wrote it out.
* Every output that an operator produces is written out.

Traffic
-------
``extra`` is everything but the first load of an input or constant that is read, and the first
write of an output.
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


class _TooManyError(Exception):
    """Enough violations were found."""


class _Replay:
    """One pass over the steps of a plan."""

    def __init__(self, problem: MemoryProblem, plan: MemoryPlan) -> None:
        self.graph = problem.graph
        self.plan = plan
        self.capacity = problem.capacity
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
        k, n = len(plan.tensor), graph.n_operators
        for column in ("start", "stop", "address", "written"):
            if len(getattr(plan, column)) != k:
                self.complain(f"plan: {column} has {len(getattr(plan, column))} entries, not {k}")
                return False
        if len(plan.order) != n or sorted(plan.order.tolist()) != list(range(n)):
            self.complain(f"order: does not run each of the {n} operators once")
            return False
        if len(plan.workspace_address) != n:
            self.complain(f"plan: workspace_address has not {n} entries")
            return False
        if k and not (int(plan.tensor.min()) >= 0 and int(plan.tensor.max()) < graph.n_tensors):
            self.complain(f"plan: a residency names a tensor outside 0 to {graph.n_tensors - 1}")
            return False
        wrong = (plan.start < 0) | (plan.start >= plan.stop) | (plan.stop > n)
        for r in np.flatnonzero(wrong):
            steps = f"[{plan.start[r]}, {plan.stop[r]})"
            self.complain(f"{self.tensor(plan.tensor[r])}: residency {steps} outside the steps")
        return not self.violations

    # -- rules ---------------------------------------------------------------------------------

    def check_order(self, step_of: dict[int, int]) -> None:
        for o in self.plan.order.tolist():
            for t in self.graph.inputs[o].tolist():
                p = int(self.graph.producer[t])
                if p >= 0 and step_of[p] >= step_of[o]:
                    self.complain(
                        f"{self.operator(o)} runs at step {step_of[o]}, before "
                        f"{self.operator(p)} has produced {self.tensor(t)}"
                    )

    def residencies(self) -> dict[int, list[int]]:
        """Residencies of each tensor, by start."""
        rows: dict[int, list[int]] = defaultdict(list)
        for r in sorted(range(len(self.plan.tensor)), key=lambda r: int(self.plan.start[r])):
            rows[int(self.plan.tensor[r])].append(r)
        return rows

    def check_residencies(self, t: int, rows: list[int], step_of: dict[int, int]) -> dict[str, int]:
        """Check one tensor's residencies and count its traffic in bytes."""
        plan, producer = self.plan, int(self.graph.producer[t])
        size = self.padded(int(self.graph.tensor_bytes[t]))
        on_chip_source = producer >= 0
        copy_since: int | None = None if on_chip_source else 0
        loads = writes = 0
        until = 0
        for r in rows:
            start, stop = int(plan.start[r]), int(plan.stop[r])
            if start < until:
                self.complain(f"{self.tensor(t)}: resident twice at step {start}")
            until = stop
            if not (on_chip_source and step_of[producer] == start):
                loads += 1
                if copy_since is None or copy_since > start:
                    self.complain(
                        f"{self.tensor(t)}: loaded at step {start} without an off-chip copy"
                    )
            if plan.written[r]:
                writes += 1
                copy_since = stop if copy_since is None else copy_since
        is_output = bool(self.graph.is_output[t])
        if is_output and on_chip_source and writes == 0:
            self.complain(f"{self.tensor(t)}: an output, never written out")
        read = len(self.graph.consumers[t]) > 0
        free_loads = min(loads, 1) if not on_chip_source and read else 0
        free_writes = min(writes, 1) if on_chip_source and is_output else 0
        return {
            "compulsory": (free_loads + free_writes) * size,
            "spilled": (writes - free_writes) * size,
            "reloaded": (loads - free_loads) * size,
        }

    def check_steps(self, rows_of: dict[int, list[int]]) -> int:
        """Replay step by step; return the highest address used."""
        plan, graph = self.plan, self.graph
        arriving: dict[int, list[int]] = defaultdict(list)
        for r in range(len(plan.tensor)):
            arriving[int(plan.start[r])].append(r)
        live: dict[int, int] = {}  # tensor -> residency
        highest = 0
        for step, o in enumerate(plan.order.tolist()):
            live = {t: r for t, r in live.items() if int(plan.stop[r]) > step}
            live.update({int(plan.tensor[r]): r for r in arriving[step]})
            for t in {*graph.inputs[o].tolist(), *graph.outputs[o].tolist()} - live.keys():
                self.complain(f"{self.operator(o)} at step {step}: {self.tensor(t)} not resident")
            spans = [
                (int(plan.address[r]), self.padded(int(graph.tensor_bytes[t])), self.tensor(t))
                for t, r in live.items()
            ]
            if graph.workspace[o] > 0:
                size = self.padded(int(graph.workspace[o]))
                spans.append((int(plan.workspace_address[o]), size, f"workspace of step {step}"))
            highest = max(highest, self.check_spans(step, spans))
        return highest

    def check_spans(self, step: int, spans: list[tuple[int, int, str]]) -> int:
        top, below = 0, ""
        for address, size, name in sorted(s for s in spans if s[1] > 0):
            if address < 0 or address % self.unit:
                self.complain(f"{name} at step {step}: address {address} is not aligned and >= 0")
            if address < top:
                self.complain(f"{name} at step {step}: overlaps {below} at address {address}")
            if address + size > top:
                top, below = address + size, name
        if self.capacity is not None and top > self.capacity:
            self.complain(f"{below} at step {step}: ends at {top}, capacity {self.capacity}")
        return top


def verify(problem: MemoryProblem, plan: MemoryPlan) -> Verdict:
    """Return the broken rules, the extra traffic in bytes and the other figures of a plan."""
    replay = _Replay(problem, plan)
    facts: dict[str, Any] = {}
    objective: int | None = None
    try:
        if replay.check_shape():
            step_of = {int(o): step for step, o in enumerate(plan.order)}
            replay.check_order(step_of)
            rows_of = replay.residencies()
            unwritten = [
                t
                for t in np.flatnonzero(problem.graph.is_output).tolist()
                if problem.graph.producer[t] >= 0 and t not in rows_of
            ]
            for t in unwritten:
                replay.complain(f"{replay.tensor(t)}: an output, never written out")
            traffic = [replay.check_residencies(t, rows, step_of) for t, rows in rows_of.items()]
            facts = {
                f"{key}_bytes": sum(part[key] for part in traffic)
                for key in ("compulsory", "spilled", "reloaded")
            }
            facts["peak_bytes"] = replay.check_steps(rows_of)
            objective = facts["spilled_bytes"] + facts["reloaded_bytes"]
    except _TooManyError:
        replay.violations.append("... and more")
    return Verdict(tuple(replay.violations), objective, facts)
