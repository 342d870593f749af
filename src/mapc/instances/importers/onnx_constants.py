"""Constants of an ONNX model: initializers, ``Constant`` nodes, and what follows from them.

Values are made when they are asked for. Nodes that only move numbers about (a transpose, a
concatenation of gates) are followed, so that a weight is found however the exporter left it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError

FLOATS = {1: 32, 10: 16, 11: 64, 16: 16}
"""Bits of the element types that count as weights: float, float16, double, bfloat16."""
_MOVES = frozenset({"Cast", "Concat", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
_MOST_INPUTS = 64
_SMALL = 64


@dataclass
class Scope:
    """The constants that a graph sees: its own and those of the graphs around it.

    Attributes
    ----------
    tensors : mapping
        ``TensorProto`` by name.
    nodes : mapping
        Nodes that move numbers about, by the name of their output.
    outer : Scope or None
    opset : int
    folder : Path or None
        Of the model, for external data.
    """

    opset: int
    folder: Path | None
    outer: Scope | None = None
    tensors: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, graph: Any, opset: int, folder: Path | None, outer: Scope | None = None) -> Scope:
        """Return the scope of a graph."""
        scope = cls(opset, folder, outer)
        scope.tensors = {tensor.name: tensor for tensor in graph.initializer}
        scope.hidden = {value.name for value in graph.input} - scope.tensors.keys()
        for node in graph.node:
            tensor = _value_of_constant(node)
            if tensor is not None:
                scope.tensors[node.output[0]] = tensor
            elif node.op_type in _MOVES or node.op_type == "Identity":
                scope.nodes[node.output[0]] = node
            else:
                scope.hidden.update(node.output)
        return scope

    def origin(self, name: str) -> tuple[Scope, str] | None:
        """Return the scope that defines a name, and the name behind any ``Identity``."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.nodes and scope.nodes[name].op_type == "Identity":
                return scope.origin(scope.nodes[name].input[0])
            if name in scope.tensors or name in scope.nodes:
                return scope, name
            scope = None if name in scope.hidden else scope.outer
        return None

    def float_tensor(self, name: str) -> Constant | None:
        """Return the constant a name stands for, None where it is none or holds no floats."""
        found = self.origin(name)
        if found is None:
            return None
        scope, name = found
        if name in scope.tensors:
            tensor = scope.tensors[name]
            if tensor.data_type not in FLOATS:
                return None
            return Constant(scope, name, tuple(tensor.dims), name, (id(scope), name))
        if not scope._is_constant(name, 0):
            return None
        value = scope.value(name)
        if value.dtype.kind != "f":
            return None
        return Constant(scope, name, value.shape, scope._first_tensor(name), scope._key(name))

    def value(self, name: str) -> NDArray[Any]:
        """Return the values of a constant.

        Raises
        ------
        InstanceError
            For data that is missing or does not fit its shape.
        """
        found = self.origin(name)
        assert found is not None, "asked for a name that is no constant"
        scope, name = found
        if name in scope.tensors:
            return _array(scope.tensors[name], name, scope.folder)
        return _moved(
            scope.nodes[name], [scope.value(i) for i in scope.nodes[name].input if i], scope
        )

    def _is_constant(self, name: str, depth: int) -> bool:
        found = self.origin(name)
        if found is None or depth > 16:
            return False
        scope, name = found
        if name in scope.tensors:
            return True
        inputs = [i for i in scope.nodes[name].input if i]
        return len(inputs) <= _MOST_INPUTS and all(scope._is_constant(i, depth + 1) for i in inputs)

    def _key(self, name: str) -> Hashable:
        """Return the same key for constants that are made alike from the same tensors."""
        found = self.origin(name)
        assert found is not None, "asked for a name that is no constant"
        scope, name = found
        if name in scope.tensors:
            tensor = scope.tensors[name]
            if math.prod(tensor.dims) > _SMALL or tensor.data_location == 1:
                return id(scope), name
            # bounds of slices and the like are constants of their own in every branch
            values = _array(tensor, name, scope.folder)
            return values.dtype.str, values.shape, values.tobytes()
        node = scope.nodes[name]
        settings = tuple(sorted(a.SerializeToString() for a in node.attribute))
        inputs = tuple(scope._key(i) if i else None for i in node.input)
        return node.op_type, settings, inputs

    def _first_tensor(self, name: str) -> str:
        found = self.origin(name)
        assert found is not None, "asked for a name that is no constant"
        scope, name = found
        return name if name in scope.tensors else scope._first_tensor(scope.nodes[name].input[0])


@dataclass(frozen=True, eq=False)
class Constant:
    """A floating-point constant.

    ``tensor`` names the stored tensor it is, or begins with; ``key`` is the same for every use of
    the same constant.
    """

    scope: Scope
    name: str
    shape: tuple[int, ...]
    tensor: str
    key: Hashable

    def load(self) -> NDArray[Any]:
        """Return the values, of any float type."""
        return self.scope.value(self.name)


def _value_of_constant(node: Any) -> Any:
    if node.op_type != "Constant" or not node.output:
        return None
    return next((a.t for a in node.attribute if a.name == "value"), None)


def _moved(node: Any, inputs: list[NDArray[Any]], scope: Scope) -> NDArray[Any]:
    """Run one node by the reference implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = [i for i in node.input if i]
    values = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), None
        )
        for name, x in zip(names, inputs, strict=True)
    ]
    result = onnx.helper.make_empty_tensor_value_info(node.output[0])
    graph = onnx.helper.make_graph([node], "moved", values, [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", scope.opset)])
    try:
        feed: Mapping[str, Any] = dict(zip(names, inputs, strict=True))
        return np.asarray(ReferenceEvaluator(model).run(None, feed)[0])
    except Exception as error:  # the reference raises whatever numpy and its own checks raise
        text = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InstanceError(
            text, f"operator {node.name or node.op_type!r}", "a valid model"
        ) from None


def _array(tensor: Any, name: str, folder: Path | None) -> NDArray[Any]:
    import onnx.numpy_helper

    where = f"tensor {name!r}"
    if tensor.data_location == 1:  # TensorProto.EXTERNAL
        tensor = _with_external_data(tensor, where, folder)
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # numpy and onnx raise different things for data of another length
        text = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InstanceError(f"data unreadable: {text}", where, "data that fits its shape") from None
    # bfloat16 has no type of its own in numpy
    return np.asarray(values if values.dtype.kind in "fiub" else values.astype(np.float32))


def _with_external_data(tensor: Any, where: str, folder: Path | None) -> Any:
    """Return a copy with its data inside; the location has been checked when the model was read."""
    import onnx

    entries = {entry.key: entry.value for entry in tensor.external_data}
    if folder is None:
        raise InstanceError("external data", where, "a model read from a file")
    size = math.prod(tensor.dims) * FLOATS.get(tensor.data_type, 64) // 8
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or size)
        with open(folder / entries["location"], "rb") as file:
            file.seek(offset)
            data = file.read(min(length, size))
    except (OSError, ValueError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InstanceError(f"external data cannot be read: {reason}", where) from None
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.ClearField("external_data")
    copy.data_location = onnx.TensorProto.DEFAULT
    copy.raw_data = data
    return copy
