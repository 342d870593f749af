"""The memory problem: run a graph of operators through a scratchpad of limited size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import BoolArray, IntArray, OperatorGraph


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
    provenance : mapping
        Where the problem was read from and with which options; files carry it along.

    Raises
    ------
    InstanceError
        For a negative capacity or an alignment below 1.
    """

    graph: OperatorGraph
    capacity: int | None = None
    alignment: int = 1
    capacity_note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.alignment < 1 or self.alignment > 2**30:
            raise InstanceError(f"alignment {self.alignment}", "memory", "1 to 2**30 bytes")
        if self.capacity is not None and self.capacity < 0:
            raise InstanceError(f"capacity {self.capacity}", "memory", ">= 0 bytes")

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
    def working_set(self) -> IntArray:
        """int64[n_operators]: bytes that must be resident while an operator runs."""
        touched = self.graph.touched
        sums = np.zeros(self.graph.n_operators, dtype=np.int64)
        np.add.at(sums, touched.row_of, self.sizes[touched.values])
        return sums + self.workspaces

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
