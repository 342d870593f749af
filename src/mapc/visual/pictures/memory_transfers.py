"""What a memory plan moves and holds, step by step, in columns.

The rules are those at the top of `mapc.models.memory.verify`; nothing is shared with what makes
plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, OperatorGraph, steps_of
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.visual.pictures.extents import covered, tops

INPUT, WEIGHT, ACTIVATION, OUTPUT = range(4)
KINDS = ("network input", "weight", "activation", "network output")


def kinds_of(graph: OperatorGraph) -> IntArray:
    """int64[n_tensors]: index into `KINDS`."""
    kind = np.full(graph.n_tensors, ACTIVATION, dtype=np.int64)
    kind[graph.is_output] = OUTPUT
    kind[graph.is_source] = INPUT
    kind[graph.is_constant] = WEIGHT
    return kind


def flaw(problem: MemoryProblem, plan: MemoryPlan) -> str:
    """Return why a plan cannot be drawn, or nothing.

    Every column has to be there and name what exists; whether rules are broken does not matter.
    """
    graph, k = problem.graph, len(plan.tensor)
    n = len(plan.order)
    columns = (plan.start, plan.stop, plan.address, plan.written, plan.bank)
    if any(len(column) != k for column in columns):
        return "its columns are of different lengths"
    if not np.array_equal(np.unique(plan.order), np.arange(graph.n_operators)):
        return "its order does not name every operator"
    if len(plan.workspace_address) != n or len(plan.workspace_bank) != n:
        return "there are not as many workspaces as steps"
    if ((plan.tensor < 0) | (plan.tensor >= graph.n_tensors)).any():
        return "it names tensors that do not exist"
    if ((plan.start < 0) | (plan.start >= plan.stop) | (plan.stop > n)).any():
        return "some of its residencies are outside the steps"
    banks = max(1, len(problem.options.banks))
    for bank in (plan.bank, plan.workspace_bank):
        if ((bank < 0) | (bank >= banks)).any():
            return "it names banks that do not exist"
    runs, tensors = plan.streamed.T
    if ((runs < 0) | (runs >= n) | (tensors < 0) | (tensors >= graph.n_tensors)).any():
        return "it streams what does not exist"
    return ""


@dataclass(frozen=True, eq=False)
class Transfers:
    """What the residencies and the streamed reads of a plan move.

    Residencies are numbered as in the plan, streamed reads by their row in ``plan.streamed``.
    """

    problem: MemoryProblem
    plan: MemoryPlan

    @cached_property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.plan.order)

    @cached_property
    def size(self) -> IntArray:
        """int64[k]: bytes of every residency, rounded up to the alignment."""
        found: IntArray = self.problem.sizes[self.plan.tensor]
        return found

    @cached_property
    def _produced(self) -> BoolArray:
        """bool[k]: the producer runs at the first step."""
        producer = self.problem.graph.producer[self.plan.tensor]
        found: BoolArray = (producer >= 0) & (self.plan.order[self.plan.start] == producer)
        return found

    @cached_property
    def loaded(self) -> BoolArray:
        """bool[k]: the residency begins with a load."""
        return ~self._produced

    @cached_property
    def remade(self) -> BoolArray:
        """bool[k]: the residency begins with a run of its producer that is not the first."""
        first_runs = self.plan.runs < self.problem.graph.n_operators
        found: BoolArray = self._produced & ~first_runs[self.plan.start]
        return found

    @cached_property
    def _read_source(self) -> BoolArray:
        """bool[n_tensors]: without a producer, and read."""
        graph = self.problem.graph
        found: BoolArray = graph.is_source & (graph.consumers.lengths > 0)
        return found

    @cached_property
    def load_due(self) -> BoolArray:
        """bool[k]: the load is compulsory: the first one of an input or weight that is read."""
        plan = self.plan
        return _firsts(self.loaded & self._read_source[plan.tensor], plan.tensor, plan.start)

    @cached_property
    def write_due(self) -> BoolArray:
        """bool[k]: the write is compulsory: the first one of an output that is produced."""
        graph, plan = self.problem.graph, self.plan
        due = graph.is_output & ~graph.is_source
        return _firsts(plan.written & due[plan.tensor], plan.tensor, plan.start)

    @cached_property
    def reloaded(self) -> BoolArray:
        """bool[k]: the residency begins with a load that is extra."""
        found: BoolArray = self.loaded & ~self.load_due
        return found

    @cached_property
    def spilled(self) -> BoolArray:
        """bool[k]: the residency ends with a write that is extra."""
        found: BoolArray = self.plan.written & ~self.write_due
        return found

    @cached_property
    def stream_step(self) -> IntArray:
        """int64[j]: the step of every streamed read."""
        found: IntArray = steps_of(self.plan.runs)[self.plan.streamed[:, 0]]
        return found

    @cached_property
    def stream_due(self) -> BoolArray:
        """bool[j]: the streamed read is compulsory: the first one of what is never loaded."""
        tensor = self.plan.streamed[:, 1]
        loaded = np.zeros(self.problem.graph.n_tensors, dtype=np.bool_)
        loaded[self.plan.tensor[self.loaded]] = True
        return _firsts((self._read_source & ~loaded)[tensor], tensor, self.stream_step)

    @property
    def streamed_size(self) -> IntArray:
        """int64[j]: bytes of every streamed read."""
        found: IntArray = self.problem.sizes[self.plan.streamed[:, 1]]
        return found

    def per_step(self) -> dict[str, IntArray]:
        """Bytes that every step moves, int64[n_steps] each.

        ``reloaded`` and ``streamed`` are extra reads, ``spilled`` extra writes; ``compulsory``
        is the rest. A load counts where the residency starts, a write at its last step.
        """
        plan, last = self.plan, self.plan.stop - 1

        def total(*parts: tuple[IntArray, IntArray, BoolArray]) -> IntArray:
            found = np.zeros(self.n_steps, dtype=np.int64)
            for step, size, chosen in parts:
                np.add.at(found, step[chosen], size[chosen])
            return found

        streams = self.stream_step, self.streamed_size
        return {
            "reloaded": total((plan.start, self.size, self.reloaded)),
            "spilled": total((last, self.size, self.spilled)),
            "streamed": total((*streams, ~self.stream_due)),
            "compulsory": total(
                (plan.start, self.size, self.load_due),
                (last, self.size, self.write_due),
                (*streams, self.stream_due),
            ),
        }

    def per_tensor(self) -> dict[str, IntArray]:
        """Counts of what is moved, int64[n_tensors] each: loads, writes and streamed reads.

        ``extra`` are the transfers among them that are not compulsory.
        """
        plan, n = self.plan, self.problem.graph.n_tensors
        tensor, streamed = plan.tensor, plan.streamed[:, 1]

        def count(*columns: IntArray) -> IntArray:
            found: IntArray = np.bincount(np.concatenate(columns), minlength=n).astype(np.int64)
            return found

        return {
            "loads": count(tensor[self.loaded]),
            "writes": count(tensor[plan.written]),
            "streams": count(streamed),
            "extra": count(tensor[self.reloaded], tensor[self.spilled], streamed[~self.stream_due]),
        }

    def extra_cost(self) -> int:
        """Return what the plan costs beyond what no plan avoids: the objective."""
        options, moved, size = self.problem.options, self.per_tensor(), self.problem.sizes
        graph = self.problem.graph
        due = graph.is_output & ~graph.is_source
        cost = (
            moved["loads"] * options.read_cost
            + (moved["writes"] - (due & (moved["writes"] > 0))) * options.write_cost
            + moved["streams"] * options.streaming_cost
        )
        free = np.where(due, 0, self.problem.compulsory_rate)
        runs = np.bincount(self.plan.order, minlength=graph.n_operators)
        again = sum((int(runs[o]) - 1) * each for o, each in options.recompute)
        return int(size @ (cost - free)) + again

    # -- what is there -----------------------------------------------------------------------

    @cached_property
    def workspace(self) -> IntArray:
        """int64[n_steps]: bytes of workspace at every step, rounded up to the alignment."""
        found: IntArray = self.problem.workspaces[self.plan.order]
        return found

    @cached_property
    def workspace_bank(self) -> IntArray:
        """int64[n_steps]: the bank of the workspace of every step."""
        found: IntArray = self.plan.workspace_bank[self.plan.runs]
        return found

    @cached_property
    def used_banks(self) -> IntArray:
        """int64[b]: the banks that hold something, ascending."""
        return np.union1d(self.plan.bank, self.workspace_bank[self.workspace > 0])

    def live(self, bank: int | None = None) -> IntArray:
        """int64[n_steps]: bytes in use at every step, in a bank or in all.

        An output that takes over an input counts once at the step of its operator.
        """
        plan, n = self.plan, self.n_steps
        here = np.ones(len(plan.tensor), np.bool_) if bank is None else plan.bank == bank
        found = covered(plan.start[here], plan.stop[here], self.size[here], n)
        there = True if bank is None else self.workspace_bank == bank
        work = np.where(there, self.workspace, 0)
        return found + work - self._shared(bank)

    def tops(self, bank: int = 0) -> IntArray:
        """int64[n_steps]: the highest byte in use at every step in a bank."""
        plan, steps = self.plan, np.arange(self.n_steps)
        here = (plan.bank == bank) & (self.size > 0)
        work = (self.workspace_bank == bank) & (self.workspace > 0)
        above = plan.address + self.size
        over = (plan.workspace_address[plan.runs] + self.workspace)[work]
        return tops(
            np.concatenate([plan.start[here], steps[work]]),
            np.concatenate([plan.stop[here], steps[work] + 1]),
            np.concatenate([above[here], over]),
            self.n_steps,
        )

    def _shared(self, bank: int | None) -> IntArray:
        """int64[n_steps]: bytes that two tensors of an in-place pair have together."""
        found = np.zeros(self.n_steps, dtype=np.int64)
        if not self.problem.options.in_place:
            return found
        plan, sizes = self.plan, self.problem.sizes
        ends = {(t, s): r for r, (t, s) in enumerate(_pairs(plan.tensor, plan.stop))}
        begins = {(t, s): r for r, (t, s) in enumerate(_pairs(plan.tensor, plan.start))}
        steps = np.argsort(plan.order, kind="stable")
        of = np.searchsorted(plan.order[steps], np.arange(self.problem.graph.n_operators + 1))
        used: set[tuple[int, int]] = set()
        for o, a, b in self.problem.options.in_place:
            least = int(min(sizes[a], sizes[b]))
            for step in steps[of[o] : of[o + 1]].tolist():
                old, new = ends.get((a, step + 1)), begins.get((b, step))
                if old is None or new is None or not least or used & {(step, a), (step, b)}:
                    continue
                place = plan.bank[old], plan.address[old]
                if place == (plan.bank[new], plan.address[new]):
                    used |= {(step, a), (step, b)}
                    found[step] += least if bank in (None, place[0]) else 0
        return found


def _pairs(tensor: IntArray, step: IntArray) -> list[tuple[int, int]]:
    return list(zip(tensor.tolist(), step.tolist(), strict=True))


def _firsts(chosen: BoolArray, tensor: IntArray, step: IntArray) -> BoolArray:
    """bool[k]: of the chosen rows of every tensor, the one with the first step."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((step[rows], tensor[rows]))]
    _, at = np.unique(tensor[rows], return_index=True)
    found: BoolArray = np.zeros(len(tensor), dtype=np.bool_)
    found[rows[at]] = True
    return found
