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

NEVER = 2**62
"""Cost of what cannot be done: more than anything that can."""


@dataclass(frozen=True, eq=False)
class MemoryProblem:
    """Order, residency and addresses for an operator graph in ``capacity`` bytes.

    Attributes
    ----------
    graph : OperatorGraph
    capacity : int or None
        Bytes of scratchpad; None while it is not decided (facts only, no solve). With banks it is
        what they have together.
    alignment : int
        Every address is a multiple of it, every size rounded up to it.
    capacity_note : str
        How the capacity was arrived at, where it was not given in bytes.
    options : Options
        Costs per byte, pinned tensors, streamed operands, in-place pairs, prefetch distance, which
        operators may run again.
    provenance : mapping
        Where the problem was read from and with which options; files carry it along.

    Raises
    ------
    InstanceError
        For a negative capacity, an alignment below 1, options that do not fit the graph, or a
        capacity other than that of the banks.
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
        if self.options.banks:
            total = sum(capacity for _, capacity in self.options.banks)
            if self.capacity not in (None, total):
                raise InstanceError(
                    f"capacity {self.capacity} beside banks", "memory", f"none, or {total} bytes"
                )
            object.__setattr__(self, "capacity", total)

    @property
    def plain(self) -> bool:
        """Whether no option is in use: methods that know of none may run."""
        return self.options.plain

    @property
    def room(self) -> int:
        """Usable bytes: the capacity, rounded down to the alignment; with banks that of each."""
        if self.options.banks:
            return int(self.bank_rooms.sum())
        if self.capacity is None:
            raise UsageError(
                "no scratchpad size; give scratchpad=... (--scratchpad), e.g. 1568KiB, M_R or M_P"
            )
        return self.capacity // self.alignment * self.alignment

    @cached_property
    def bank_rooms(self) -> IntArray:
        """int64[b]: usable bytes of the banks: their capacities, rounded down to the alignment."""
        capacity = np.array([size for _, size in self.options.banks], dtype=np.int64)
        return capacity // self.alignment * self.alignment

    @cached_property
    def takes(self) -> BoolArray:
        """bool[n_tensors, b]: whether a bank takes a tensor."""
        takes: BoolArray = np.ones((self.graph.n_tensors, len(self.options.banks)), dtype=np.bool_)
        for t in {t for t, _ in self.options.confined}:
            takes[t] = False
        for t, bank in self.options.confined:
            takes[t, bank] = True
        return takes

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
        no input and no output. And a plan that streams and takes over just so has no more. A
        further run of an operator takes what the first one does, so that running again changes
        nothing here: every operator runs once at least.
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
    def _all_streamable(self) -> BoolArray:
        """bool[n_tensors]: every operator that reads the tensor may stream it."""
        streamed = np.zeros(self.graph.n_tensors, dtype=np.int64)
        np.add.at(streamed, [t for _, t in self.options.streamable], 1)
        readers = self.graph.consumers.lengths
        every: BoolArray = np.logical_and(streamed == readers, readers > 0)
        return every

    @cached_property
    def compulsory_rate(self) -> IntArray:
        """int64[n_tensors]: cost per byte of transfers of the tensor that no plan avoids.

        A source that is read is loaded at least once, at the cost of a load, or streamed to every
        one of its readers, where all of them may. Nothing is unavoidable else, but the write of
        an output that is produced. A scratchpad that holds everything needs no more. Operators that
        run again only add reads.
        """
        graph, options = self.graph, self.options
        readers = graph.consumers.lengths
        rate: IntArray = np.where(graph.is_source & (readers > 0), options.read_cost, 0)
        every = self._all_streamable & graph.is_source
        rate[every] = np.minimum(options.read_cost, options.streaming_cost * readers[every])
        rate[graph.is_output & ~graph.is_source] = options.write_cost
        return rate

    @cached_property
    def compulsory_cost(self) -> int:
        """Cost that no plan avoids; what a plan costs beyond it is its extra cost."""
        return int(self.sizes @ self.compulsory_rate)

    @cached_property
    def transfer_rate(self) -> IntArray:
        r"""int64[n_tensors]: least extra cost per byte of bringing a tensor back, each time.

        Let :math:`r` and :math:`q` be the costs of a loaded and a streamed byte, and let a tensor
        reach its :math:`k` readers in :math:`m + 1` transfers or more, the first of which is its
        production if it has a producer. Without one, and if something is loaded, they cost
        :math:`r + m \min(r, q)` or more, and not more than :math:`r` of that is compulsory. If
        all are streamed they cost :math:`k q` or more, as a reader that runs again streams again;
        :math:`c = \min(r, k q)` of it is compulsory, and as :math:`1 \le m < k`, the rest is at
        least :math:`m \lfloor (k q - c)/(k - 1) \rfloor`.
        """
        graph, options = self.graph, self.options
        rate = np.full(graph.n_tensors, options.read_cost, dtype=np.int64)
        streamed = [t for _, t in options.streamable]
        rate[streamed] = min(options.read_cost, options.streaming_cost)
        readers = graph.consumers.lengths
        every = np.flatnonzero(self._all_streamable & graph.is_source & (readers > 1))
        whole = options.streaming_cost * readers[every] - self.compulsory_rate[every]
        rate[every] = np.minimum(rate[every], whole // (readers[every] - 1))
        return rate

    @cached_property
    def stream_rate(self) -> IntArray:
        r"""int64[n_tensors]: least extra cost per byte of each streamed read, writes aside.

        :math:`q`, as no streamed read is compulsory, but for a source that all its :math:`k`
        readers may stream. If one of them loads it, that pays for all that is compulsory and the
        streamed reads are extra; if none does, :math:`k q - \min(r, k q)` is extra, and each read
        has a :math:`k`-th of it, rounded down.
        """
        graph, options = self.graph, self.options
        rate = np.full(graph.n_tensors, options.streaming_cost, dtype=np.int64)
        readers = graph.consumers.lengths
        every = np.flatnonzero(self._all_streamable & graph.is_source)
        whole = options.streaming_cost * readers[every] - self.compulsory_rate[every]
        rate[every] = np.minimum(rate[every], whole // readers[every])
        return rate

    @cached_property
    def loss_cost(self) -> IntArray:
        """int64[n_tensors]: least extra cost of a tensor that leaves once and is read again."""
        rate = self.transfer_rate + self.options.write_cost * self.pays_write
        cost: IntArray = np.minimum(self.sizes * rate, self.remake_cost)
        return cost

    @cached_property
    def return_cost(self) -> IntArray:
        r"""int64[n_tensors]: least extra cost of each time a tensor comes back, writes aside.

        With :math:`a` its `remake_cost`, :math:`\tau` a transfer, and :math:`w` the first write,
        coming back :math:`n \ge 1` times costs at least :math:`n \min(\tau, a)` and
        :math:`\min(\tau + w, a) - \min(\tau, a)` once, which are `return_cost` and the rest of
        `loss_cost`. *Proof.* For :math:`a \le \tau` that is :math:`n a`, and each time costs
        :math:`a` or more. Else, if it is always made again, :math:`n a \ge n \tau + (a - \tau)`;
        if it is transferred once or more, :math:`n \tau + w` is paid.
        """
        cost: IntArray = np.minimum(self.sizes * self.transfer_rate, self.remake_cost)
        return cost

    @cached_property
    def remake_cost(self) -> IntArray:
        """int64[n_tensors]: least cost of producing a tensor again, each time; else `NEVER`.

        A run costs the same however many of its outputs are of use. It is shared among those that
        are read, by their size and rounded down: over any number of further runs the shares
        together are no more than what they cost. What it takes to have the inputs there is left
        out.
        """
        graph = self.graph
        cost = np.full(graph.n_tensors, NEVER, dtype=np.int64)
        for o, each in self.options.recompute:
            outputs = [t for t in graph.outputs[o].tolist() if len(graph.consumers[t])]
            total = sum(int(self.sizes[t]) for t in outputs)
            for t in outputs:
                cost[t] = each * int(self.sizes[t]) // max(1, total)
        return cost
