"""The operator graph: operators, tensors and who reads and writes what, as columns.

Entities are integer indices; one numpy array holds one attribute of all of them; names stand
beside. Nothing here knows a solver or a problem family.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.units import MAX_BYTES

if TYPE_CHECKING:
    import networkx as nx

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def steps_of(order: IntArray) -> IntArray:
    """int64[n_operators]: the step at which each operator runs in an order of all of them."""
    step = np.empty(len(order), dtype=np.int64)
    step[order] = np.arange(len(order))
    return step


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths: row ``i`` is ``values[start[i]:start[i + 1]]``.

    Attributes
    ----------
    start : int64[n + 1]
    values : int64[start[-1]]
    """

    start: IntArray
    values: IntArray

    @classmethod
    def of(cls, rows: Iterable[Sequence[int] | IntArray]) -> Ragged:
        """Build from an iterable of rows."""
        parts = [np.asarray(row, dtype=np.int64) for row in rows]
        start = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=start[1:])
        values = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return cls(start, values.astype(np.int64))

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.values[self.start[row] : self.start[row + 1]]

    @property
    def lengths(self) -> IntArray:
        """int64[n]: length of every row."""
        return np.diff(self.start)

    @property
    def row_of(self) -> IntArray:
        """int64[len(values)]: the row each value stands in."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def transposed(self, n: int) -> Ragged:
        """Return, for each value ``0 .. n - 1``, the rows it occurs in, ascending."""
        rows = self.row_of[np.argsort(self.values, kind="stable")]
        start = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.values, minlength=n), out=start[1:])
        return Ragged(start, rows)


@dataclass(frozen=True, eq=False)
class OperatorGraph:
    """A DAG of operators over tensors.

    A tensor has at most one producer (none: a graph input or a weight) and any number of
    consumers. An operator that names a tensor twice among its inputs reads it once.

    Attributes
    ----------
    name : str
    operator_names, operator_kinds : tuple of str, n_operators long
    workspace : int64[n_operators]
        Bytes an operator needs for itself while it runs.
    inputs, outputs : Ragged
        Tensor indices read and written by each operator.
    tensor_names : tuple of str
    tensor_bytes : int64[n_tensors]
    is_output : bool[n_tensors]
        The tensor must end off-chip.
    is_constant : bool[n_tensors]
        A weight: a valid copy stays off-chip.

    Raises
    ------
    InstanceError
        For duplicate names, sizes outside ``0 .. 2**50``, indices out of range, a tensor with two
        producers, a constant with a producer, or a cycle (named).
    """

    name: str
    operator_names: tuple[str, ...]
    operator_kinds: tuple[str, ...]
    workspace: IntArray
    inputs: Ragged
    outputs: Ragged
    tensor_names: tuple[str, ...]
    tensor_bytes: IntArray
    is_output: BoolArray
    is_constant: BoolArray
    producer: IntArray = field(init=False)
    """int64[n_tensors]: the operator that writes the tensor, or -1."""
    given_order: IntArray = field(init=False)
    """int64[n_operators]: the file's order where it is a topological one, else the topological
    order that stays closest to it (smallest index first)."""

    def __post_init__(self) -> None:
        self._check_columns()
        self._check_sizes("tensor", self.tensor_names, self.tensor_bytes)
        self._check_sizes("workspace of operator", self.operator_names, self.workspace)
        object.__setattr__(self, "inputs", self._distinct(self.inputs))
        object.__setattr__(self, "producer", self._find_producers())
        object.__setattr__(self, "given_order", self._topological_order())
        for array in (self.workspace, self.tensor_bytes, self.is_output, self.is_constant):
            array.setflags(write=False)

    # -- shape -------------------------------------------------------------------------------

    @property
    def n_operators(self) -> int:
        """Number of operators."""
        return len(self.operator_names)

    @property
    def n_tensors(self) -> int:
        """Number of tensors."""
        return len(self.tensor_names)

    @cached_property
    def consumers(self) -> Ragged:
        """Operators that read each tensor, ascending."""
        return self.inputs.transposed(self.n_tensors)

    @cached_property
    def is_source(self) -> BoolArray:
        """bool[n_tensors]: no operator writes it (graph inputs and weights)."""
        return self.producer < 0

    @cached_property
    def touched(self) -> Ragged:
        """Distinct tensors each operator reads or writes, ascending."""
        return Ragged.of(
            np.union1d(self.inputs[o], self.outputs[o]) for o in range(self.n_operators)
        )

    @cached_property
    def working_set(self) -> IntArray:
        """int64[n_operators]: bytes of inputs, outputs and workspace of one operator."""
        sums = np.zeros(self.n_operators, dtype=np.int64)
        np.add.at(sums, self.touched.row_of, self.tensor_bytes[self.touched.values])
        return sums + self.workspace

    @cached_property
    def edges(self) -> IntArray:
        """int64[m, 2]: distinct (producer, consumer) pairs of operators."""
        source = self.producer[self.inputs.values]
        pairs = np.stack([source, self.inputs.row_of], axis=1)[source >= 0]
        return np.unique(pairs, axis=0) if len(pairs) else pairs.reshape(0, 2)

    @cached_property
    def successors(self) -> Ragged:
        """Operators that read something the operator writes, ascending."""
        start = np.zeros(self.n_operators + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.edges[:, 0], minlength=self.n_operators), out=start[1:])
        return Ragged(start, self.edges[:, 1].copy())

    @cached_property
    def predecessors(self) -> Ragged:
        """Operators that write something the operator reads, ascending."""
        return self.successors.transposed(self.n_operators)

    @cached_property
    def precedes(self) -> BoolArray:
        """bool[n, n]: ``precedes[i, j]`` when every order runs ``i`` before ``j``.

        n * n bytes; 25 MB at 5,000 operators.
        """
        n = self.n_operators
        words = (n + 63) // 64
        ancestors = np.zeros((n, words), dtype=np.uint64)
        bit = np.uint64(1) << (np.arange(n, dtype=np.uint64) % np.uint64(64))
        for o in self.given_order:
            before = self.predecessors[o]
            if len(before):
                ancestors[o] = np.bitwise_or.reduce(ancestors[before], axis=0)
                np.bitwise_or.at(ancestors[o], before // 64, bit[before])
        bits = np.unpackbits(ancestors.view(np.uint8), axis=1, bitorder="little", count=n)
        return np.ascontiguousarray(bits.astype(np.bool_).T)

    def is_topological(self, order: IntArray) -> bool:
        """Whether ``order`` names every operator once, producers first."""
        n = self.n_operators
        if len(order) != n or not np.array_equal(np.sort(order), np.arange(n)):
            return False
        position = steps_of(order)
        return bool((position[self.edges[:, 0]] < position[self.edges[:, 1]]).all())

    def to_networkx(self) -> nx.DiGraph[int]:
        """Return the operators as a ``networkx.DiGraph`` (nodes are operator indices)."""
        import networkx as nx

        view: nx.DiGraph[int] = nx.DiGraph(name=self.name)
        view.add_nodes_from(
            (o, {"name": self.operator_names[o], "kind": self.operator_kinds[o]})
            for o in range(self.n_operators)
        )
        view.add_edges_from((int(a), int(b)) for a, b in self.edges)
        return view

    # -- validation --------------------------------------------------------------------------

    def _check_columns(self) -> None:
        n, m = self.n_operators, self.n_tensors
        if n == 0:
            raise InstanceError("no operators", "graph", "at least one operator")
        lengths = (
            ("operator_kinds", len(self.operator_kinds), n),
            ("workspace", len(self.workspace), n),
            ("inputs", len(self.inputs), n),
            ("outputs", len(self.outputs), n),
            ("tensor_bytes", len(self.tensor_bytes), m),
            ("is_output", len(self.is_output), m),
            ("is_constant", len(self.is_constant), m),
        )
        for column, length, right in lengths:
            if length != right:
                raise InstanceError(f"{length} entries", column, f"{right}, one per entity")
        for what, names in (("operator", self.operator_names), ("tensor", self.tensor_names)):
            if len(set(names)) != len(names):
                twice = next(name for name, times in Counter(names).items() if times > 1)
                raise InstanceError("name used twice", f"{what} {twice!r}", "unique names")
        for column, rows in (("inputs", self.inputs), ("outputs", self.outputs)):
            wrong = (rows.values < 0) | (rows.values >= m)
            if wrong.any():
                at = int(np.argmax(wrong))
                raise InstanceError(
                    f"tensor index {rows.values[at]}",
                    f"{column} of operator {self.operator_names[rows.row_of[at]]!r}",
                    f"0 to {m - 1}",
                )

    @staticmethod
    def _check_sizes(what: str, names: tuple[str, ...], sizes: IntArray) -> None:
        wrong = (sizes < 0) | (sizes > MAX_BYTES)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(
                f"size {sizes[at]} bytes", f"{what} {names[at]!r}", f"0 to {MAX_BYTES}"
            )
        if int(sizes.sum(dtype=np.float64)) > 8 * MAX_BYTES:
            raise InstanceError("sizes add up to more than 8 PiB", what, "at most 2**53 bytes")

    def _distinct(self, rows: Ragged) -> Ragged:
        """Drop repeats inside a row, keeping the first."""
        return Ragged.of(list(dict.fromkeys(rows[i].tolist())) for i in range(len(rows)))

    def _find_producers(self) -> IntArray:
        producer = np.full(self.n_tensors, -1, dtype=np.int64)
        for tensor, operator in zip(self.outputs.values, self.outputs.row_of, strict=True):
            if producer[tensor] >= 0:
                first = self.operator_names[producer[tensor]]
                raise InstanceError(
                    f"written by operators {first!r} and {self.operator_names[operator]!r}",
                    f"tensor {self.tensor_names[tensor]!r}",
                    "one producer",
                )
            if self.is_constant[tensor]:
                raise InstanceError(
                    f"constant, but written by operator {self.operator_names[operator]!r}",
                    f"tensor {self.tensor_names[tensor]!r}",
                    "a constant without a producer",
                )
            producer[tensor] = operator
        return producer

    def _topological_order(self) -> IntArray:
        source = self.producer[self.inputs.values]
        waiting = np.bincount(self.inputs.row_of[source >= 0], minlength=self.n_operators)
        consumers = self.consumers
        ready = np.flatnonzero(waiting == 0).tolist()
        order: list[int] = []
        while ready:
            operator = heapq.heappop(ready)
            order.append(operator)
            for tensor in self.outputs[operator]:
                for reader in consumers[tensor].tolist():
                    waiting[reader] -= 1
                    if waiting[reader] == 0:
                        heapq.heappush(ready, reader)
        if len(order) < self.n_operators:
            raise InstanceError(self._describe_cycle(waiting), "graph", "a graph without cycles")
        return np.asarray(order, dtype=np.int64)

    def _describe_cycle(self, waiting: IntArray) -> str:
        """Walk producers backwards among the operators left over until one repeats."""
        operator = int(np.flatnonzero(waiting > 0)[0])
        path: list[int] = []
        while operator not in path:
            path.append(operator)
            producers = self.producer[self.inputs[operator]]
            operator = int(next(p for p in producers if p >= 0 and waiting[p] > 0))
        cycle = [*path[path.index(operator) :], operator][::-1]
        names = [self.operator_names[o] for o in cycle]
        if len(names) > 6:
            names = [*names[:5], "...", names[-1]]
        return "cycle " + " -> ".join(repr(name) for name in names)
