"""The formats mapc reads; a further one is a further entry in `FORMATS`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError
from mapc.instances import schema
from mapc.instances.buffers_csv import is_header, parse_buffers
from mapc.instances.documents import PlanInfo, Problem, content_hash, parse_instance, parse_plan
from mapc.instances.formats import Format, Found, Source
from mapc.instances.graph_json import parse_graph
from mapc.instances.onnx_graph import to_operator_graph
from mapc.instances.onnx_model import load_model
from mapc.instances.torch_export import load_exported, lower_exported
from mapc.models.memory.problem import MemoryProblem


def _is_onnx(source: Source) -> bool:
    # an ONNX file begins with its IR version: field 1, a small number
    begins = source.suffix not in (".json", ".csv") and source.data[:1] == b"\x08"
    return source.suffix == ".onnx" or begins


def _onnx(source: Source, options: Mapping[str, Any]) -> Problem:
    folder = None if source.streamed else Path(source.path).parent
    reading = dict(options)
    model = load_model(source.data, source.where, folder, reading.pop("dims", None))
    name = source.stem if not source.streamed else model.name or "graph"
    try:
        graph, counts = to_operator_graph(model, name, **reading)
    except InstanceError as error:
        raise error.inside(source.where) from None
    return MemoryProblem(graph, provenance={**source.provenance("onnx", options), "counts": counts})


def _is_torch(source: Source) -> bool:
    # a ZIP like many; what tells them apart is the name
    return source.suffix == ".pt2" and source.data[:2] == b"PK"


def _torch(source: Source, options: Mapping[str, Any]) -> Problem:
    program = load_exported(io.BytesIO(source.data), source.where)
    try:
        return lower_exported(
            program, source.stem, source.provenance("torch", options), **dict(options)
        )
    except InstanceError as error:
        raise error.inside(source.where) from None


def _is_graph(source: Source) -> bool:
    # one of the two is enough: what is missing is better named by the reader
    return source.schema is None and ("ops" in source.members or "tensors" in source.members)


def _graph(source: Source, options: Mapping[str, Any]) -> Problem:
    graph = parse_graph(source.data, source.where, source.stem, options.get("dtype"))
    return MemoryProblem(graph, provenance=source.provenance("graph", options))


def _is_csv(source: Source) -> bool:
    if source.is_json:
        return False
    if source.suffix == ".csv":
        return True
    for line in source.text[:65536].splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return is_header(line)
    return False


def _csv(source: Source, options: Mapping[str, Any]) -> Problem:
    problem, _ = parse_buffers(source.text, source.where, source.stem)
    return replace(problem, provenance=source.provenance("csv", options))


def _csv_plan(source: Source) -> Found | None:
    problem, plan = parse_buffers(source.text, source.where, source.stem)
    return None if plan is None else (problem, plan, PlanInfo(content_hash(problem), {}, {}))


FORMATS: list[Format] = [
    Format(
        name="onnx",
        title="an ONNX model",
        hint="an ONNX model (.onnx)",
        sniff=_is_onnx,
        parse=_onnx,
        options=frozenset({"dtype", "fuse", "weights", "dims"}),
        binary=True,
    ),
    Format(
        name="torch",
        title="an exported torch program",
        hint="an exported torch program (.pt2)",
        sniff=_is_torch,
        parse=_torch,
        options=frozenset({"dtype", "fuse", "weights"}),
        binary=True,
    ),
    Format(
        name="instance",
        title="an instance file",
        hint="a mapc instance (.json)",
        sniff=lambda source: source.schema == schema.INSTANCE,
        parse=lambda source, _: parse_instance(source.data, source.where),
    ),
    Format(
        name="plan",
        title="a plan file",
        hint="a mapc plan (.json)",
        sniff=lambda source: source.schema == schema.PLAN,
        parse=lambda source, _: parse_plan(source.data, source.where)[0],
        parse_plan=lambda source: parse_plan(source.data, source.where),
    ),
    Format(
        name="graph",
        title="a plain operator graph",
        hint="a plain operator graph (.json)",
        sniff=_is_graph,
        parse=_graph,
        options=frozenset({"dtype"}),
        members=("ops", "tensors"),
    ),
    Format(
        name="csv",
        title="a CSV of buffers",
        hint="buffers (.csv with id,lower,upper,size)",
        sniff=_is_csv,
        parse=_csv,
        parse_plan=_csv_plan,
    ),
]
"""In the order in which they are asked."""
