"""From an ONNX model to the operator graph that a scratchpad sees.

Left out: constants and what is computed from constants or from shapes alone, views (which share
the bytes they look at), operators that no output depends on, and, unless asked for, weights. The
body of ``If``, ``Loop`` and ``Scan`` is one operator that also reads what its body captures; what
the body keeps for itself is not counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.instances.dtypes import bits_of
from mapc.instances.onnx_model import Model, Node, Value
from mapc.instances.onnx_operators import (
    ELEMENTWISE,
    FLOATS,
    OTHERS,
    RANDOM,
    SHAPE_ONLY,
    VIEWS,
)
from mapc.units import MAX_BYTES


@dataclass
class Operator:
    """An operator on its way into the graph; tensors by name, after resolving views."""

    name: str
    kind: str
    inputs: list[str]
    constants: list[str]
    outputs: list[str]
    node: Node


@dataclass
class Lowering:
    """What is known about a model while it is lowered.

    Attributes
    ----------
    model : Model
    bits : int or None
        Width that floating-point elements are given.
    constants : set of str
        Tensors whose values do not depend on the inputs.
    alias : mapping
        The tensor whose bytes a view looks at.
    counts : Counter
        How many nodes were left out, by reason.
    """

    model: Model
    bits: int | None = None
    constants: set[str] = field(default_factory=set)
    alias: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def resolve(self, name: str) -> str:
        """Return the tensor that holds the bytes of ``name``."""
        return self.alias.get(name, name)

    def width(self, dtype: str) -> int | None:
        """Return the bits of an element, None for formats without a fixed width."""
        if dtype in FLOATS:
            return self.bits or FLOATS[dtype]
        return OTHERS.get(dtype)

    def size(self, name: str, operator: str = "") -> int:
        """Return the bytes of a tensor.

        Raises
        ------
        InstanceError
            For a tensor without a fixed size: type, shape or dimension is open.
        """
        value = self.model.values.get(name, Value())
        where = f"tensor {name!r}" + (f" of operator {operator!r}" if operator else "")
        if value.other:
            raise InstanceError(f"is of type {value.other}", where, "tensors of fixed shape only")
        if value.dims is None:
            raise InstanceError("shape unknown", where, "a shape that can be inferred")
        dims = []
        for at, dim in enumerate(value.dims):
            if isinstance(dim, str):
                raise self._open_dimension(dim, at, where)
            dims.append(dim)
        bits = self.width(value.dtype)
        if bits is None:
            raise InstanceError(
                f"element type {value.dtype} has no fixed width", where, "numbers or booleans"
            )
        if min(dims, default=0) < 0 or (size := -(-prod(dims) * bits // 8)) > MAX_BYTES:
            raise InstanceError(f"shape {dims}", where, f"0 to {MAX_BYTES} bytes")
        return size

    def _open_dimension(self, dim: str, at: int, where: str) -> InstanceError:
        if dim in self.model.symbols:
            right = f'a fixed size: --dim {dim}=1 (dims={{"{dim}": 1}})'
        else:
            right = "a size that is fixed in the model or follows from its inputs"
        name = "" if dim == "?" else f" ({dim})"
        return InstanceError(f"dimension {at} is open{name}", where, right)


def to_operator_graph(
    model: Model, name: str, dtype: str | None = None, fuse: bool = False, weights: bool = False
) -> tuple[OperatorGraph, dict[str, int]]:
    """Lower an ONNX model.

    Parameters
    ----------
    model : Model
    name : str
        Name of the graph.
    dtype : str, optional
        Number format of every floating-point tensor; integers and booleans keep their width.
    fuse : bool
        Merge an elementwise operator with one variable input into the operator that produces it,
        where nobody else reads it, it is no output of the model, and the size stays the same.
    weights : bool
        Keep constants that operators read.

    Returns
    -------
    OperatorGraph
    dict
        Nodes in the file, and how many were ``constant``, ``view``, ``unused``, ``fused``.

    Raises
    ------
    InstanceError
        For tensors without a fixed size, and models with nothing to run.
    """
    low = Lowering(model, bits=None if dtype is None else bits_of(dtype))
    low.counts["nodes"] = len(model.nodes)
    operators = _without_unused(low, _variable_operators(low))
    if not operators:
        raise InstanceError("no operators", "graph", "outputs that are computed from the inputs")
    reads = {tensor for op in operators for tensor in op.inputs}
    for tensor in model.inputs:
        if tensor in reads:
            low.size(tensor)  # an open dimension of an input explains all that follow
    if fuse:
        operators = _fused(low, operators)
    return _graph(low, name, operators, weights), dict(low.counts)


def _variable_operators(low: Lowering) -> list[Operator]:
    """Sort out constants and views; what remains runs."""
    low.constants |= low.model.initializers
    read = set(low.model.outputs).union(*(node.reads for node in low.model.nodes))
    operators = []
    for node in low.model.nodes:
        if _is_constant(low, node):
            low.constants.update(node.outputs)
            low.counts["constant"] += 1
        elif _is_view(low, node, read):
            low.alias[node.outputs[0]] = low.resolve(node.inputs[0])
            low.counts["view"] += 1
        else:
            tensors = dict.fromkeys(low.resolve(tensor) for tensor in node.reads)
            operators.append(
                Operator(
                    node.name,
                    node.kind,
                    [t for t in tensors if t not in low.constants],
                    [t for t in tensors if t in low.constants],
                    list(node.outputs),
                    node,
                )
            )
    return operators


def _is_constant(low: Lowering, node: Node) -> bool:
    if node.standard and node.kind in SHAPE_ONLY and node.inputs:
        value = low.model.values.get(node.inputs[0], Value())
        return value.dims is not None and all(isinstance(dim, int) for dim in value.dims)
    if node.kind in RANDOM or (not node.reads and not node.standard):
        return False
    return all(low.resolve(name) in low.constants for name in node.reads)


def _is_view(low: Lowering, node: Node, read: set[str]) -> bool:
    if not node.standard or not node.inputs or not node.inputs[0] or not node.outputs:
        return False
    if node.kind == "Cast":
        # the same format before and after; another one of the same width is new data
        before, after = (
            low.model.values.get(n, Value()) for n in (node.inputs[0], node.outputs[0])
        )
        both = {before.dtype, after.dtype}
        return len(both) == 1 or (low.bits is not None and both <= FLOATS.keys())
    if node.kind == "Dropout":
        return not node.training and not read.intersection(node.outputs[1:])
    return node.kind in VIEWS


def _without_unused(low: Lowering, operators: list[Operator]) -> list[Operator]:
    needed = {low.resolve(name) for name in low.model.outputs}
    kept = []
    for op in reversed(operators):
        if needed.isdisjoint(op.outputs):
            low.counts["unused"] += 1
            continue
        needed.update(op.inputs)
        kept.append(op)
    return kept[::-1]


def _fused(low: Lowering, operators: list[Operator]) -> list[Operator]:
    readers = Counter(tensor for op in operators for tensor in op.inputs)
    outputs = {low.resolve(name) for name in low.model.outputs}
    producer: dict[str, Operator] = {}
    kept = []
    for op in operators:
        into = producer.get(op.inputs[0]) if len(op.inputs) == 1 else None
        if into is not None and _can_fuse(low, op, readers, outputs):
            into.outputs[into.outputs.index(op.inputs[0])] = op.outputs[0]
            into.kind += f"+{op.kind}"
            into.constants = list(dict.fromkeys([*into.constants, *op.constants]))
            low.counts["fused"] += 1
        else:
            kept.append(op)
            into = op
        producer.update((tensor, into) for tensor in op.outputs)
    return kept


def _can_fuse(low: Lowering, op: Operator, readers: Counter[str], outputs: set[str]) -> bool:
    source = op.inputs[0]
    return (
        op.kind in ELEMENTWISE
        and not op.node.training
        and len(op.outputs) == 1
        and readers[source] == 1
        and source not in outputs
        and low.size(source) == low.size(op.outputs[0], op.name)
    )


def _graph(low: Lowering, name: str, operators: list[Operator], weights: bool) -> OperatorGraph:
    sizes: dict[str, int] = {}
    inputs = [[*op.inputs, *(op.constants if weights else ())] for op in operators]
    for op, reads in zip(operators, inputs, strict=True):
        for tensor in (*reads, *op.outputs):
            if tensor not in sizes:
                sizes[tensor] = low.size(tensor, op.name)
    index = {tensor: at for at, tensor in enumerate(sizes)}
    outputs = {low.resolve(tensor) for tensor in low.model.outputs}
    return OperatorGraph(
        name=name,
        operator_names=tuple(op.name for op in operators),
        operator_kinds=tuple(op.kind for op in operators),
        workspace=np.zeros(len(operators), dtype=np.int64),
        inputs=Ragged.of([index[t] for t in reads] for reads in inputs),
        outputs=Ragged.of([index[t] for t in op.outputs] for op in operators),
        tensor_names=tuple(sizes),
        tensor_bytes=np.asarray(list(sizes.values()), dtype=np.int64),
        is_output=np.asarray([t in outputs for t in sizes], dtype=np.bool_),
        is_constant=np.asarray([t in low.constants for t in sizes], dtype=np.bool_),
    )
