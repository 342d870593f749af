"""ONNX files: loaded without external data, checked, with the shape of every value inferred.

What comes out is plain Python (`Model`); nothing past this module sees a protobuf.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UnavailableError
from mapc.instances.names import unique_names
from mapc.instances.onnx_operators import STANDARD_DOMAINS
from mapc.instances.onnx_protobuf import (
    fix_dimensions,
    graphs_of_node,
    infer_shapes,
    load_protobuf,
)


@dataclass(frozen=True)
class Value:
    """Type of a tensor: element format by its ONNX name; a dimension that is no int is open.

    ``dims`` is None for an unknown rank; ``other`` names a type that is no tensor.
    """

    dtype: str = "UNDEFINED"
    dims: tuple[int | str, ...] | None = None
    other: str = ""


@dataclass
class Node:
    """An operator; ``captures`` are the outer values that its subgraphs read."""

    name: str
    kind: str
    standard: bool
    inputs: list[str]
    captures: list[str]
    outputs: list[str]
    training: bool = False
    """Runs as in training: a Dropout that drops, a BatchNormalization with its own statistics."""

    @property
    def reads(self) -> list[str]:
        """Names read, in order, without the empty ones of optional inputs."""
        return [name for name in (*self.inputs, *self.captures) if name]


@dataclass
class Model:
    """A graph in topological order, as close to the file's as there is one."""

    name: str
    nodes: list[Node]
    inputs: list[str]
    outputs: list[str]
    initializers: set[str]
    values: dict[str, Value] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)
    """Names of the dimensions that the file leaves open."""


def load_model(
    data: bytes, where: str, folder: Path | None, dims: Mapping[str, int] | None = None
) -> Model:
    """Return the model in an ONNX file.

    Parameters
    ----------
    data : bytes
    where : str
        The file, for messages.
    folder : Path or None
        Where the file lies; external data must name a place in it, and is never opened.
    dims : mapping, optional
        Sizes of symbolic dimensions, e.g. ``{"batch": 1}``.

    Raises
    ------
    InstanceError
        For what is no valid model; one line that names tensor or operator.
    UnavailableError
        Without the ``onnx`` package.
    UsageError
        If ``dims`` names a dimension that the model does not have.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UnavailableError("reading ONNX needs the onnx package: pip install 'mapc[onnx]'")
    try:
        proto = load_protobuf(data, folder)
        symbols = fix_dimensions(proto.graph, dims or {}, where)
        _sort_nodes(proto.graph)
        return _plain_model(infer_shapes(proto), symbols)
    except InstanceError as error:
        raise error.inside(where) from None


# -- names and order -----------------------------------------------------------------------------


def _captures(node: Any) -> list[str]:
    """Names that the subgraphs of a node read and do not define."""
    names: dict[str, None] = {}
    for graph in graphs_of_node(node):
        defined = {value.name for value in graph.input}
        defined.update(_initializer_names(graph))
        used: list[str] = []
        for inner in graph.node:
            defined.update(inner.output)
            used += [*inner.input, *_captures(inner)]
        used += [value.name for value in graph.output]
        names.update((name, None) for name in used if name and name not in defined)
    return list(names)


def _initializer_names(graph: Any) -> set[str]:
    names = {tensor.name for tensor in graph.initializer}
    return names | {sparse.values.name for sparse in graph.sparse_initializer}


def _label(node: Any, at: int) -> str:
    return node.name or f"{node.op_type}_{at}"


def _sort_nodes(graph: Any) -> None:
    """Put the operators into a topological order, the file's own if it is one.

    Raises
    ------
    InstanceError
        For a value written twice, read but never written, or a cycle.
    """
    sources = {value.name for value in graph.input} | _initializer_names(graph)
    producer = _producers(graph, sources)
    edges: list[tuple[int, int]] = []
    for at, node in enumerate(graph.node):
        for name in (*filter(None, node.input), *_captures(node)):
            if name in producer:
                edges.append((producer[name], at))
            elif name not in sources:
                raise InstanceError(
                    f"read by operator {_label(node, at)!r}, but nothing writes it",
                    f"tensor {name!r}",
                    "an operator's output, an input or an initializer",
                )
    for value in graph.output:
        if value.name not in producer and value.name not in sources:
            raise InstanceError("nothing writes it", f"output {value.name!r}", "a written tensor")
    if any(before >= after for before, after in edges):
        _reorder(graph, edges)


def _producers(graph: Any, sources: set[str]) -> dict[str, int]:
    """Return the position of the operator that writes each value."""
    producer: dict[str, int] = {}
    for at, node in enumerate(graph.node):
        for name in filter(None, node.output):
            first = "an input or constant" if name in sources else ""
            if name in producer:
                first = f"operator {_label(graph.node[producer[name]], producer[name])!r}"
            if first:
                raise InstanceError(
                    f"written by {first} and by operator {_label(node, at)!r}",
                    f"tensor {name!r}",
                    "one producer",
                )
            producer[name] = at
    return producer


def _reorder(graph: Any, edges: list[tuple[int, int]]) -> None:
    import networkx as nx

    view: nx.DiGraph[int] = nx.DiGraph(edges)
    view.add_nodes_from(range(len(graph.node)))
    try:
        order = list(nx.lexicographical_topological_sort(view))
    except nx.NetworkXUnfeasible:
        cycle = [before for before, _ in nx.find_cycle(view)]
        cycle = cycle[:5] + cycle[:1]
        path = " -> ".join(repr(_label(graph.node[at], at)) for at in cycle)
        raise InstanceError(f"cycle {path}", "graph", "a graph without cycles") from None
    for at, node in enumerate(graph.node):
        node.name = _label(node, at)  # the number is the place in the file
    nodes = [graph.node[at] for at in order]
    del graph.node[:]
    graph.node.extend(nodes)


# -- to plain Python -----------------------------------------------------------------------------


def _plain_model(proto: Any, symbols: set[str]) -> Model:
    graph = proto.graph
    initializers = _initializer_names(graph)
    false = _false_constants(graph)
    read = {name for node in graph.node for name in (*node.input, *_captures(node))}
    read.update(value.name for value in graph.output)
    versions = {o.domain: o.version for o in proto.opset_import}
    names = unique_names(_label(node, at) for at, node in enumerate(graph.node))
    nodes = [
        Node(
            name=name,
            kind=node.op_type,
            standard=node.domain in STANDARD_DOMAINS,
            inputs=list(node.input),
            captures=_captures(node),
            outputs=_outputs(node, read, versions),
            training=_is_training(node, false),
        )
        for name, node in zip(names, graph.node, strict=True)
    ]
    return Model(
        name=graph.name,
        nodes=nodes,
        # old files list constants among the inputs too
        inputs=[value.name for value in graph.input if value.name not in initializers],
        outputs=[value.name for value in graph.output],
        initializers=initializers,
        values=_values(graph),
        symbols=symbols,
    )


def _outputs(node: Any, read: set[str], versions: Mapping[str, int]) -> list[str]:
    """Leave out optional outputs that nobody reads: a runtime need not write them."""
    import onnx

    outputs = list(filter(None, node.output))
    if all(name in read for name in outputs):
        return outputs
    try:
        version = versions.get(node.domain, 1)
        formal = onnx.defs.get_schema(node.op_type, version, node.domain).outputs
    except onnx.defs.SchemaError:
        return outputs
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    kept = [
        name
        for at, name in enumerate(node.output)
        if name and (name in read or at >= len(formal) or formal[at].option != optional)
    ]
    return kept or outputs[:1]


def _false_constants(graph: Any) -> set[str]:
    """Names of boolean constants that are false: the training switch of Dropout."""
    import onnx

    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            tensors += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
    return {
        name
        for name, tensor in tensors
        if tensor.data_type == onnx.TensorProto.BOOL
        and not tensor.data_location
        and not any(tensor.raw_data)
        and not any(tensor.int32_data)
    }


def _is_training(node: Any, false: set[str]) -> bool:
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        return node.input[2] not in false
    return any(a.name == "training_mode" and a.i for a in node.attribute)


def _values(graph: Any) -> dict[str, Value]:
    import onnx

    names = onnx.TensorProto.DataType.Name
    values = {value.name: _value(value, names) for value in graph.value_info}
    values |= {value.name: _value(value, names) for value in (*graph.input, *graph.output)}
    for tensor in graph.initializer:
        values[tensor.name] = Value(_format_name(tensor.data_type, names), tuple(tensor.dims))
    for sparse in graph.sparse_initializer:
        dtype = _format_name(sparse.values.data_type, names)
        values[sparse.values.name] = Value(dtype, tuple(sparse.dims))
    return values


def _value(value: Any, names: Any) -> Value:
    other = value.type.WhichOneof("value")
    if other != "tensor_type":
        return Value(other=(other or "").removesuffix("_type"))
    tensor = value.type.tensor_type
    dtype = _format_name(tensor.elem_type, names)
    if not tensor.HasField("shape"):
        return Value(dtype)
    return Value(
        dtype,
        tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or "?"
            for d in tensor.shape.dim
        ),
    )


def _format_name(code: int, names: Any) -> str:
    try:
        return str(names(code))
    except ValueError:
        return f"number {code}"
