"""The memory problem: run a graph of operators through a scratchpad of limited size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import BoolArray, IntArray, OperatorGraph
from mapc.models.memory.options.model import PLAIN, Options, Triple, best_matching


@dataclass(frozen=True, eq=False)
class MemoryProblem:
    """Order, residency and addresses for an operator graph in ``capacity`` bytes.

    Attributes
    ----------
    graph : OperatorGraph
    capacity : int or None
        Bytes of scratchpad; None while it is not decided (facts only, no solve).
    alignment : int
        Every address is a multiple of it, every size rounded up to it.
    capacity_note : str
        How the capacity was arrived at, where it was not given in bytes.
    options : Options
        Costs per byte, pinned tensors, streamed operands, in-place pairs, prefetch distance.
    provenance : mapping
        Where the problem was read from and with which options; files carry it along.

    Raises
    ------
    InstanceError
        For a negative capacity, an alignment below 1, or options that do not fit the graph.
    """

    graph: OperatorGraph
    capacity: int | None = None
    alignment: int = 1
    capacity_note: str = ""
    options: Options = PLAIN
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.alignment < 1 or self.alignment > 2**30:
            raise InstanceError(f"alignment {self.alignment}", "memory", "1 to 2**30 bytes")
        if self.capacity is not None and self.capacity < 0:
            raise InstanceError(f"capacity {self.capacity}", "memory", ">= 0 bytes")
        self.options.check(self.graph)

    @property
    def plain(self) -> bool:
        """Whether no option is in use: methods that know of none may run."""
        return self.options.plain

    @property
    def room(self) -> int:
        """Usable bytes: the capacity, rounded down to the alignment."""
        if self.capacity is None:
            raise UsageError(
                "no scratchpad size; give scratchpad=... (--scratchpad), e.g. 1568KiB, M_R or M_P"
            )
        return self.capacity // self.alignment * self.alignment

    @cached_property
    def sizes(self) -> IntArray:
        """int64[n_tensors]: bytes, rounded up to the alignment."""
        return -(-self.graph.tensor_bytes // self.alignment) * self.alignment

    @cached_property
    def workspaces(self) -> IntArray:
        """int64[n_operators]: bytes, rounded up to the alignment."""
        return -(-self.graph.workspace // self.alignment) * self.alignment

    @cached_property
    def full_set(self) -> IntArray:
        """int64[n_operators]: bytes of inputs, outputs and workspace, and of what is pinned."""
        touched = self.graph.touched
        free = np.ones(self.graph.n_tensors, dtype=np.bool_)
        free[list(self.options.pinned)] = False
        sums = np.zeros(self.graph.n_operators, dtype=np.int64)
        np.add.at(sums, touched.row_of, self.sizes[touched.values] * free[touched.values])
        return sums + self.workspaces + self.pinned_bytes

    @cached_property
    def working_set(self) -> IntArray:
        r"""int64[n_operators]: bytes that must be in the scratchpad while an operator runs.

        Without options its inputs, outputs and workspace. In general

        .. math:: W_o = \mathit{pinned} + \mathit{workspace}_o
           + \sum_{t \in \mathit{in}_o \cup \mathit{out}_o \setminus \mathit{pinned}} s_t
           - \sum_{t\ \text{streamable at}\ o} s_t - \mathit{saved}_o ,

        where *saved* is the largest sum of :math:`\min(s_a, s_b)` over in-place pairs
        :math:`(a, b)` that share no tensor and whose input is not streamable. No plan has less at
        that step: an input is streamed (saves all of it), taken over (saves at most all of it), or
        neither, so streaming all that may be streamed leaves least, and what is taken over shares
        no input and no output. And a plan that streams and takes over just so has no more.
        """
        least = self.full_set.copy()
        for o, t in self.options.streamable:
            least[o] -= self.sizes[t]
        for o, a, b in self.matching:
            least[o] -= min(self.sizes[a], self.sizes[b])
        return least

    @cached_property
    def matching(self) -> tuple[Triple, ...]:
        """In-place pairs that make the working sets least; none of a streamable input."""
        streamable = set(self.options.streamable)
        pairs: dict[int, list[tuple[Triple, int]]] = {}
        for o, a, b in self.options.in_place:
            saves = int(min(self.sizes[a], self.sizes[b]))
            if (o, a) not in streamable and saves:
                pairs.setdefault(o, []).append(((o, a, b), saves))
        return tuple(pair for of in pairs.values() for pair in best_matching(of)[1])

    @cached_property
    def pinned_bytes(self) -> int:
        """Bytes of pinned tensors, taken at every step."""
        return int(self.sizes[list(self.options.pinned)].sum())

    @cached_property
    def pays_write(self) -> BoolArray:
        """bool[n_tensors]: losing it the first time costs a write of its size.

        Inputs and weights have a copy off-chip already; an output's write is compulsory.
        """
        return ~self.graph.is_source & ~self.graph.is_output

    @property
    def smallest_capacity(self) -> int:
        """M_R: the largest working set of one operator; below it no plan exists."""
        return int(self.working_set.max())

    @cached_property
    def compulsory(self) -> int:
        """Bytes every plan moves: first loads of what is read, writes of what is output."""
        graph = self.graph
        read = graph.is_source & (graph.consumers.lengths > 0)
        return int(self.sizes[read].sum() + self.sizes[graph.is_output & ~graph.is_source].sum())

    @cached_property
    def transfer_cost(self) -> IntArray:
        """int64[n_tensors]: least cost of getting a tensor to an operator that reads it off-chip.

        Size times the cost of a load, or of a streamed byte where that is less and some operator
        may stream the tensor.
        """
        options = self.options
        rate = np.full(self.graph.n_tensors, options.read_cost, dtype=np.int64)
        streamed = [t for _, t in options.streamable]
        rate[streamed] = min(options.read_cost, options.streaming_cost)
        return self.sizes * rate

    @cached_property
    def loss_cost(self) -> IntArray:
        """int64[n_tensors]: least extra cost of a tensor leaving the scratchpad once."""
        return self.transfer_cost + self.sizes * self.options.write_cost * self.pays_write

    @cached_property
    def compulsory_cost(self) -> int:
        """Cost that no plan avoids; what a plan costs beyond it is its extra cost.

        A source that is read reaches some operator for the first time at its `transfer_cost` or
        more, a pinned one by a load; an output that is produced is written.
        """
        graph, options = self.graph, self.options
        read = graph.is_source & (graph.consumers.lengths > 0)
        written = graph.is_output & ~graph.is_source
        loads = int(self.transfer_cost[read].sum())
        return loads + options.write_cost * int(self.sizes[written].sum())
