"""The weights of an ONNX model, wherever it keeps them: one tensor for each operator that has some.

Which input is a weight and which dimensions count channels follows from the operator: those of its
output, so that a runtime can fold the scales into it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UnavailableError
from mapc.files import STREAM, display_name, read_bytes
from mapc.instances.importers.onnx_constants import Constant, Scope
from mapc.instances.names import unique_names
from mapc.instances.onnx_operators import STANDARD_DOMAINS
from mapc.instances.onnx_protobuf import graphs_of_node, load_protobuf
from mapc.instances.sensitivity.tensors import WeightTensor

Axes = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Use:
    """A constant that an operator multiplies by."""

    node: str
    operator: str
    input: str
    constant: Constant
    axes: Axes


def onnx_weights(path: str | Path) -> list[WeightTensor]:
    """Return the weights of a model, in the order of its operators, subgraphs included.

    A group is named after its operator, with ``/W`` and ``/R`` for the two weights of a recurrent
    one. A constant that several operators read is one group, named after the first; all readers
    must agree on the channels, else those of the first count.

    Raises
    ------
    InstanceError
        For what is no valid model; one line.
    UnavailableError
        Without the ``onnx`` package.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UnavailableError("reading ONNX needs the onnx package: pip install 'mapc[onnx]'")
    where = display_name(path)
    folder = None if str(path) == STREAM else Path(path).parent
    try:
        proto = load_protobuf(read_bytes(path), folder, keep_data=True)
        opset = next(o.version for o in proto.opset_import if o.domain in STANDARD_DOMAINS)
        uses = list(_uses(proto.graph, Scope.of(proto.graph, opset, folder)))
    except InstanceError as error:
        raise error.inside(where) from None
    return _tensors(uses)


def _tensors(uses: list[Use]) -> list[WeightTensor]:
    shared: dict[Hashable, list[Use]] = {}
    for use in uses:
        shared.setdefault(use.constant.key, []).append(use)
    firsts = [readers[0] for readers in shared.values()]
    names = unique_names(use.node + use.input for use in firsts)
    return [
        WeightTensor(
            name=name,
            shape=readers[0].constant.shape,
            axis=readers[0].axes,
            load=readers[0].constant.load,
            facts={
                "operator": readers[0].operator,
                "tensor": readable(readers[0].constant.tensor),
                "nodes": list(dict.fromkeys(use.node for use in readers)),
                "axes": list(readers[0].axes),
            },
        )
        for name, readers in zip(names, shared.values(), strict=True)
    ]


def _uses(graph: Any, scope: Scope) -> Iterator[Use]:
    for at, node in enumerate(graph.node):
        label = readable(node.name) or f"{node.op_type}_{at}"
        if node.domain in STANDARD_DOMAINS:
            for position, suffix in _WEIGHTS.get(node.op_type, ()):
                if position >= len(node.input) or not node.input[position]:
                    continue
                constant = scope.float_tensor(node.input[position])
                axes = None if constant is None else _axes(node, position, len(constant.shape))
                if constant is not None and axes is not None:
                    yield Use(label, node.op_type, suffix, constant, axes)
        for inner in graphs_of_node(node):
            yield from _uses(inner, Scope.of(inner, scope.opset, scope.folder, scope))


_WEIGHTS: dict[str, tuple[tuple[int, str], ...]] = {
    "Conv": ((1, ""),),
    "ConvTranspose": ((1, ""),),
    "Gemm": ((0, ""), (1, "")),
    "MatMul": ((0, ""), (1, "")),
    "LSTM": ((1, "/W"), (2, "/R")),
    "GRU": ((1, "/W"), (2, "/R")),
    "RNN": ((1, "/W"), (2, "/R")),
    "Gather": ((0, ""),),
}
"""Inputs that may be weights, and what they add to the name of the operator."""


def _axes(node: Any, position: int, rank: int) -> Axes | None:
    """Return the channel dimensions of a weight; None where it is none after all."""
    kind = node.op_type
    if rank < 2:
        return None
    if kind == "Conv":
        return (0,)
    if kind == "ConvTranspose":
        # [in, out / groups, ...]: with groups, in and out together tell the channel
        return (1,) if _attribute(node, "group", 1) == 1 else None
    if kind == "Gemm":
        transposed = bool(_attribute(node, "transA" if position == 0 else "transB", 0))
        return (int(transposed),) if position == 0 else (int(not transposed),)
    if kind == "MatMul":
        summed = rank - 1 if position == 0 else rank - 2
        return tuple(axis for axis in range(rank) if axis != summed)
    if kind == "Gather":
        # a table of vectors, each a row; other dimensions are no lookup of an embedding
        return (0,) if rank == 2 and _attribute(node, "axis", 0) == 0 else None
    return (0, 1)


def readable(name: str | bytes) -> str:
    """Return a name; protobuf hands out one that is no UTF-8 as bytes."""
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else name


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
