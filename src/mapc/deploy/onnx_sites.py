"""Where the weights of an ONNX model are read: by which nodes, and along which channel axis."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UnavailableError
from mapc.files import read_bytes
from mapc.models.bits.problem import BitsProblem


@dataclass(frozen=True)
class Site:
    """The nodes that read one weight.

    Attributes
    ----------
    kinds : frozenset of str
        Their operators.
    nodes : tuple of str
        Their names; empty for a node without one.
    axis : int or None
        The dimension that counts output channels; None where the operator has no such, or two
        operators differ.
    """

    kinds: frozenset[str]
    nodes: tuple[str, ...]
    axis: int | None


def weight_sites(path: Path) -> dict[str, Site]:
    """Return the sites of all weights of the main graph, initializers and Constant nodes.

    Raises
    ------
    InstanceError
        For a file that is no valid model.
    UnavailableError
        Without the ``onnx`` package.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UnavailableError("reading ONNX files needs the onnx package; pip install mapc[onnx]")
    from mapc.instances.onnx_protobuf import load_protobuf

    try:
        graph = load_protobuf(read_bytes(path), path.parent).graph
    except InstanceError as error:
        raise error.inside(str(path)) from None
    ranks = dict(_constants(graph))
    found: dict[str, Site] = {}
    for node in graph.node:
        for name, axis in _weights(node, ranks):
            site = Site(frozenset({node.op_type}), (node.name,), axis)
            found[name] = _joined(found[name], site) if name in found else site
    return found


def recorded_sites(problem: BitsProblem) -> dict[str, tuple[str, Site]]:
    """Return weight tensor and site of every group, as reading an ONNX model recorded them.

    Groups of which nothing is known are left out.
    """
    facts: Any = problem.provenance.get("tensors")
    found: dict[str, tuple[str, Site]] = {}
    for group, fact in facts.items() if isinstance(facts, Mapping) else ():
        if not (isinstance(fact, Mapping) and {"tensor", "nodes", "operator"} <= fact.keys()):
            continue
        axes = fact.get("axes", ())
        axis = int(axes[0]) if len(axes) == 1 and fact["operator"] != "Gather" else None
        site = Site(frozenset({str(fact["operator"])}), tuple(map(str, fact["nodes"])), axis)
        found[str(group)] = (str(fact["tensor"]), site)
    return found


def _joined(one: Site, other: Site) -> Site:
    axis = one.axis if one.axis == other.axis else None
    return Site(one.kinds | other.kinds, one.nodes + other.nodes, axis)


def _constants(graph: Any) -> Iterator[tuple[str, int]]:
    """Yield name and rank of every constant tensor."""
    for tensor in graph.initializer:
        yield tensor.name, len(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], len(attribute.t.dims)


def _weights(node: Any, ranks: dict[str, int]) -> Iterator[tuple[str, int | None]]:
    """Yield the constant weights of a node and their channel axes."""
    inputs = list(node.input)
    kind = node.op_type
    if kind == "Gather" and inputs[0] in ranks:
        yield inputs[0], None
    if kind in ("Conv", "ConvTranspose", "Gemm", "MatMul") and inputs[1] in ranks:
        yield inputs[1], _axis(node, ranks[inputs[1]])


def _axis(node: Any, rank: int) -> int | None:
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        return 0 if transposed else 1
    return rank - 1 if rank > 1 else None
