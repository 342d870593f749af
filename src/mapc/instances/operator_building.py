"""Operator graphs put together one operator at a time, by names.

Generators of networks and readers of traced programs say what runs, on what, and how large each
result is. Here that becomes an `OperatorGraph`: operators that no output depends on are left out,
elementwise ones are merged into their producers where that is asked for, weights stay or go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.instances.names import unique_names


@dataclass
class BuiltOperator:
    """An operator on its way into the graph; tensors by name.

    ``elementwise``: every element of its output follows from the elements at the same place of its
    inputs, so that it can run where its only variable input was produced.
    """

    name: str
    kind: str
    inputs: list[str]
    constants: list[str]
    outputs: list[str]
    elementwise: bool


class GraphBuilder:
    """Collects tensors and operators, in an order in which they can run.

    Attributes
    ----------
    name : str
        Name of the graph.
    sizes : dict of str to int
        Bytes of every tensor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sizes: dict[str, int] = {}
        self._operators: list[BuiltOperator] = []
        self._constants: set[str] = set()
        self._outputs: dict[str, None] = {}

    def tensor(self, name: str, size: int) -> str:
        """Declare a tensor of so many bytes that nothing writes: an input. Return its name."""
        if name in self.sizes:
            raise ValueError(f"tensor {name!r} declared twice")
        self.sizes[name] = size
        return name

    def constant(self, name: str, size: int) -> str:
        """Declare a weight of so many bytes. Return its name."""
        self._constants.add(self.tensor(name, size))
        return name

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is a weight."""
        return name in self._constants

    def run(
        self,
        name: str,
        kind: str,
        reads: Iterable[str],
        writes: Mapping[str, int],
        elementwise: bool = False,
    ) -> None:
        """Add an operator that reads tensors declared before and writes new ones, with their bytes.

        A tensor read twice counts once; weights among ``reads`` are told by their declaration.
        """
        for tensor, size in writes.items():
            self.tensor(tensor, size)
        read = dict.fromkeys(reads)
        self._operators.append(
            BuiltOperator(
                name,
                kind,
                [t for t in read if t not in self._constants],
                [t for t in read if t in self._constants],
                list(writes),
                elementwise,
            )
        )

    def output(self, *names: str) -> None:
        """Say which tensors must end off-chip."""
        self._outputs.update(dict.fromkeys(names))

    def graph(
        self, fuse: bool = False, weights: bool = False
    ) -> tuple[OperatorGraph, Counter[str]]:
        """Return the graph, and how many operators were left out, by reason.

        Parameters
        ----------
        fuse : bool
            Merge an elementwise operator with one variable input into the operator that produces
            it, where nobody else reads it, it is no output, and the size stays the same.
        weights : bool
            Keep constants that operators read.

        Raises
        ------
        InstanceError
            If no operator is left, and for what `OperatorGraph` refuses.
        """
        counts: Counter[str] = Counter()
        operators = self._needed(counts)
        if not operators:
            raise InstanceError("no operators", "graph", "outputs that are computed from inputs")
        if fuse:
            operators = self._fused(operators, counts)
        return self._finished(operators, weights), counts

    def _needed(self, counts: Counter[str]) -> list[BuiltOperator]:
        needed = set(self._outputs)
        kept = []
        for op in reversed(self._operators):
            if needed.isdisjoint(op.outputs):
                counts["unused"] += 1
                continue
            needed.update(op.inputs)
            kept.append(op)
        return kept[::-1]

    def _fused(self, operators: list[BuiltOperator], counts: Counter[str]) -> list[BuiltOperator]:
        readers = Counter(tensor for op in operators for tensor in op.inputs)
        producer: dict[str, BuiltOperator] = {}
        kept = []
        for op in operators:
            into = producer.get(op.inputs[0]) if len(op.inputs) == 1 else None
            if into is not None and self._can_fuse(op, readers):
                into.outputs[into.outputs.index(op.inputs[0])] = op.outputs[0]
                into.kind += f"+{op.kind}"
                into.constants = list(dict.fromkeys([*into.constants, *op.constants]))
                counts["fused"] += 1
            else:
                into = BuiltOperator(
                    op.name, op.kind, op.inputs, op.constants, list(op.outputs), op.elementwise
                )
                kept.append(into)
            producer.update((tensor, into) for tensor in op.outputs)
        return kept

    def _can_fuse(self, op: BuiltOperator, readers: Counter[str]) -> bool:
        source = op.inputs[0]
        return (
            op.elementwise
            and len(op.outputs) == 1
            and readers[source] == 1
            and source not in self._outputs
            and self.sizes[source] == self.sizes[op.outputs[0]]
        )

    def _finished(self, operators: list[BuiltOperator], weights: bool) -> OperatorGraph:
        inputs = [[*op.inputs, *(op.constants if weights else ())] for op in operators]
        tensors = dict.fromkeys(
            tensor
            for op, reads in zip(operators, inputs, strict=True)
            for tensor in (*reads, *op.outputs)
        )
        index = {tensor: at for at, tensor in enumerate(tensors)}
        return OperatorGraph(
            name=self.name,
            operator_names=tuple(unique_names([op.name for op in operators])),
            operator_kinds=tuple(op.kind for op in operators),
            workspace=np.zeros(len(operators), dtype=np.int64),
            inputs=Ragged.of([index[t] for t in reads] for reads in inputs),
            outputs=Ragged.of([index[t] for t in op.outputs] for op in operators),
            tensor_names=tuple(tensors),
            tensor_bytes=np.asarray([self.sizes[t] for t in tensors], dtype=np.int64),
            is_output=np.asarray([t in self._outputs for t in tensors], dtype=np.bool_),
            is_constant=np.asarray([t in self._constants for t in tensors], dtype=np.bool_),
        )
