"""ONNX protobufs that can be trusted: parsed, checked, inlined, with shapes inferred.

External data is never opened: sizes follow from dimensions. A location outside the model's folder
is refused all the same, so that a file cannot point elsewhere and go unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UsageError
from mapc.instances.onnx_operators import STANDARD_DOMAINS

_KEPT_BYTES = 8192
"""Constants above this are emptied before shape inference: no shape is computed from them."""


def load_protobuf(data: bytes, folder: Path | None, *, keep_data: bool = False) -> Any:
    """Return a ``ModelProto`` without functions, of a known version.

    Large constants are emptied unless ``keep_data`` says otherwise.

    Raises
    ------
    InstanceError
        For garbage, unsupported versions, external data outside ``folder``, recursive functions.
    """
    proto = _parse(data)
    _check_versions(proto)
    for tensor in _tensors_of_model(proto):
        _check_external(tensor, folder)
        if not keep_data:
            _empty(tensor)
    return _inlined(proto)


def graphs_of_node(node: Any) -> Iterator[Any]:
    """Yield the subgraphs among a node's attributes: branches and bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _parse(data: bytes) -> Any:
    import onnx

    try:
        proto = onnx.load_model_from_string(data)
    except Exception:  # protobuf's DecodeError, which lives in a package of its own
        raise InstanceError("truncated, or no ONNX model", "", "an ONNX protobuf") from None
    if not proto.HasField("graph") or not proto.graph.node:
        raise InstanceError("no graph in it", "", "an ONNX model with operators")
    return proto


def _check_versions(proto: Any) -> None:
    import onnx

    if not 1 <= proto.ir_version <= onnx.IR_VERSION:
        raise InstanceError(
            f"IR version {proto.ir_version}", "ir_version", f"1 to {onnx.IR_VERSION}"
        )
    newest = onnx.defs.onnx_opset_version()
    versions = [o.version for o in proto.opset_import if o.domain in STANDARD_DOMAINS]
    if not versions:
        raise InstanceError("no version of the standard operators", "opset_import", "one")
    if not 1 <= versions[0] <= newest:
        raise InstanceError(f"operator set {versions[0]}", "opset_import", f"1 to {newest}")


def _tensors_of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        for graph in graphs_of_node(node):
            yield from _tensors_of_graph(graph)


def _tensors_of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_model(proto: Any) -> Iterator[Any]:
    yield from _tensors_of_graph(proto.graph)
    for function in proto.functions:
        yield from _tensors_of_nodes(function.node)


def _check_external(tensor: Any, folder: Path | None) -> None:
    """Refuse data outside the model's folder; what lies inside is not opened either."""
    if tensor.data_location != 1:  # TensorProto.EXTERNAL
        return
    where = f"tensor {tensor.name!r}"
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    if not location or "\0" in location:
        raise InstanceError("external data without a location", where, "a file name")
    # a backslash separates folders on some systems: refuse what would escape on any
    parts = location.replace("\\", "/")
    escapes = parts.startswith("/") or parts[1:2] == ":"
    escapes |= os.path.normpath(parts).split("/")[0] == ".."
    if not escapes and folder is not None:
        root = os.path.realpath(folder)
        escapes = os.path.commonpath([root, os.path.realpath(folder / parts)]) != root
    if escapes:
        raise InstanceError(
            f"external data {location!r} lies outside the model's folder",
            where,
            "a relative path inside it",
        )


def _empty(tensor: Any) -> None:
    """Drop the data of large constants: inference copies the model, and needs shapes only."""
    if len(tensor.raw_data) > _KEPT_BYTES:
        tensor.ClearField("raw_data")
    for column in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        if len(getattr(tensor, column)) > _KEPT_BYTES // 4:
            tensor.ClearField(column)


def _inlined(proto: Any) -> Any:
    """Replace calls of the model's own functions by their bodies."""
    if not proto.functions:
        return proto
    import networkx as nx
    import onnx.inliner

    calls: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
    for function in proto.functions:
        caller = (function.domain, function.name)
        calls.add_node(caller)
        calls.add_edges_from(
            (caller, (node.domain, node.op_type)) for node in _all_nodes(function.node)
        )
    if not nx.is_directed_acyclic_graph(calls):
        names = [name for (_, name), _ in nx.find_cycle(calls)]
        raise InstanceError("calls itself", f"function {names[0]!r}", "functions without recursion")
    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:  # the C++ inliner raises whatever its parts raise
        raise InstanceError(_first_line(error), "functions", "functions that inline") from None


def _all_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for graph in graphs_of_node(node):
            yield from _all_nodes(graph.node)


def fix_dimensions(graph: Any, dims: Mapping[str, int], where: str) -> set[str]:
    """Give symbolic dimensions a size; return the names of all the file has.

    Raises
    ------
    UsageError
        If ``dims`` names a dimension that is not there.
    """
    found: set[str] = set()
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            continue
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                found.add(dim.dim_param)
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
    for name in dims:
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise UsageError(f"{where}: no dimension is called {name!r}; the model has: {known}")
    return found


def infer_shapes(proto: Any) -> Any:
    """Return the model with the shape of every value that can be told.

    Raises
    ------
    InstanceError
        If the inference gives up on the whole model.
    """
    import onnx.shape_inference

    try:
        return onnx.shape_inference.infer_shapes(
            proto, check_type=False, strict_mode=False, data_prop=True
        )
    except Exception as error:  # the C++ inference raises RuntimeError, ValueError and its own
        raise InstanceError(
            f"shapes cannot be inferred: {_first_line(error)}", "graph", "a valid model"
        ) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
