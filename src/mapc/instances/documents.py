"""Problems and plans to and from the JSON files of `mapc.instances.schema`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import write_whole
from mapc.graph.operators import BoolArray, OperatorGraph, Ragged
from mapc.instances import schema
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

Problem = MemoryProblem | AllocationProblem
Plan = MemoryPlan | AllocationPlan


@dataclass(frozen=True)
class PlanInfo:
    """What a plan file says beside problem and plan.

    Attributes
    ----------
    instance_sha256 : str
        Content hash of the problem.
    provenance : mapping
        Where the problem came from.
    result : mapping
        What the solve reported: status, objective, bound, gap, method, seconds.
    """

    instance_sha256: str
    provenance: Mapping[str, Any]
    result: Mapping[str, Any]


def content_hash(problem: Problem) -> str:
    """Return the SHA-256 (hex) of what a problem says, whatever file it came from.

    Neither its own name nor its provenance nor the note on its capacity count.
    """
    document = _to_document(problem, {})
    body = msgspec.structs.replace(document.problem, **_SILENT[document.__class__])
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


_SILENT: dict[type, dict[str, Any]] = {
    schema.MemoryInstance: {"capacity_note": ""},
    schema.AllocationInstance: {},
}


# -- writing -------------------------------------------------------------------------------------


def write_instance(
    problem: Problem, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a problem as an instance file; ``-`` is standard output.

    Parameters
    ----------
    problem : MemoryProblem or AllocationProblem
    path : path
    provenance : mapping, optional
        JSON values; by default what the problem itself carries.

    Raises
    ------
    InstanceError
        If the problem holds what no file may, such as a capacity above 1 PiB.
    UsageError
        If the file cannot be written.
    """
    data = _encode(_to_document(problem, provenance))
    # what has been written can be read back: find out before the old file is gone
    _from_document(schema.decode_instance(data, str(path)), str(path))
    write_whole(path, data)


def write_plan(
    problem: Problem,
    plan: Plan,
    path: str | Path,
    result: Any = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a plan together with the problem it is for; ``-`` is standard output.

    Parameters
    ----------
    problem, plan : of one family
    path : path
    result : mapping or Result, optional
        What to keep of the solve; a ``Result`` is asked for its ``to_dict()``.
    provenance : mapping, optional
        As for `write_instance`.

    Raises
    ------
    InstanceError
        If plan and problem do not fit each other's shape.
    UsageError
        If the file cannot be written.
    """
    section = dict(result.to_dict() if hasattr(result, "to_dict") else result or {})
    data = _encode(_plan_document(problem, plan, section, provenance))
    parse_plan(data, str(path))
    write_whole(path, data)


def _plan_document(
    problem: Problem, plan: Plan, result: dict[str, Any], provenance: Mapping[str, Any] | None
) -> schema.PlanFile:
    instance = _to_document(problem, provenance)
    header: dict[str, Any] = {"schema": schema.PLAN, "version": schema.VERSION, "result": result}
    header["instance_sha256"] = content_hash(problem)
    if isinstance(instance, schema.MemoryInstance) and isinstance(plan, MemoryPlan):
        columns = {f.name: getattr(plan, f.name).tolist() for f in fields(plan)}
        return schema.MemoryPlanFile(
            instance=instance, plan=schema.MemoryPlanColumns(**columns), **header
        )
    if isinstance(instance, schema.AllocationInstance) and isinstance(plan, AllocationPlan):
        offsets = schema.AllocationPlanColumns(offset=plan.offset.tolist())
        return schema.AllocationPlanFile(instance=instance, plan=offsets, **header)
    raise UsageError(f"{type(plan).__name__} is no plan for a {type(problem).__name__}")


def _to_document(problem: Problem, provenance: Mapping[str, Any] | None) -> schema.Instance:
    if not isinstance(problem, MemoryProblem | AllocationProblem):
        raise UsageError(f"{type(problem).__name__} is not a problem of any family")
    header: dict[str, Any] = {"schema": schema.INSTANCE, "version": schema.VERSION}
    header["provenance"] = dict(problem.provenance if provenance is None else provenance)
    if isinstance(problem, MemoryProblem):
        return schema.MemoryInstance(
            name=problem.graph.name, problem=_memory_body(problem), **header
        )
    return schema.AllocationInstance(
        name=problem.name,
        problem=schema.AllocationBody(
            capacity=problem.capacity,
            alignment=problem.alignment,
            buffers=schema.BufferColumns(
                name=list(problem.names),
                lower=problem.lower.tolist(),
                upper=problem.upper.tolist(),
                size=problem.size.tolist(),
            ),
        ),
        **header,
    )


def _memory_body(problem: MemoryProblem) -> schema.MemoryBody:
    graph = problem.graph
    return schema.MemoryBody(
        capacity=problem.capacity,
        capacity_note=problem.capacity_note,
        alignment=problem.alignment,
        operators=schema.OperatorColumns(
            name=list(graph.operator_names),
            kind=list(graph.operator_kinds),
            workspace=graph.workspace.tolist(),
            inputs=[graph.inputs[o].tolist() for o in range(graph.n_operators)],
            outputs=[graph.outputs[o].tolist() for o in range(graph.n_operators)],
        ),
        tensors=schema.TensorColumns(
            name=list(graph.tensor_names),
            bytes=graph.tensor_bytes.tolist(),
            outputs=np.flatnonzero(graph.is_output).tolist(),
            constants=np.flatnonzero(graph.is_constant).tolist(),
        ),
    )


def _encode(document: schema.Instance | schema.PlanFile) -> bytes:
    try:
        builtins = _ordered(msgspec.to_builtins(document, enc_hook=_plain))
        return msgspec.json.encode(builtins) + b"\n"
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot be written as JSON: {error}") from None


def _ordered(document: dict[str, Any]) -> dict[str, Any]:
    """Put the header first: the tag of a union is encoded before anything else."""
    if "instance" in document:
        document["instance"] = _ordered(document["instance"])
    return {key: document[key] for key in ("schema", "version")} | document


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


# -- reading -------------------------------------------------------------------------------------


def parse_instance(data: bytes, where: str) -> Problem:
    """Return the problem an instance document holds.

    Raises
    ------
    InstanceError
        For anything the schema or the problem itself refuses.
    """
    return _from_document(schema.decode_instance(data, where), where)


def parse_plan(data: bytes, where: str) -> tuple[Problem, Plan, PlanInfo]:
    """Return the problem, the plan and the rest of a plan document.

    Raises
    ------
    InstanceError
        For anything the schema refuses, columns that do not fit the problem, or a hash that is
        not the instance's.
    """
    file = schema.decode_plan(data, where)
    problem = _from_document(file.instance, where, "$.instance")
    found = content_hash(problem)
    if found != file.instance_sha256:
        raise InstanceError(
            f"{file.instance_sha256[:80]!r} is not the hash of the instance",
            f"{where}: $.instance_sha256",
            found,
        )
    plan: Plan
    if isinstance(file, schema.MemoryPlanFile):
        plan = _memory_plan(file.plan, cast("MemoryProblem", problem), where)
    else:
        n = cast("AllocationProblem", problem).n_buffers
        _check_length("offset", file.plan.offset, n, where)
        plan = AllocationPlan(np.asarray(file.plan.offset, dtype=np.int64))
    return problem, plan, PlanInfo(found, problem.provenance, file.result)


def _memory_plan(
    columns: schema.MemoryPlanColumns, problem: MemoryProblem, where: str
) -> MemoryPlan:
    graph = problem.graph
    for name in ("order", "workspace_address"):
        _check_length(name, getattr(columns, name), graph.n_operators, where)
    for name in ("start", "stop", "address", "written"):
        _check_length(name, getattr(columns, name), len(columns.tensor), where)
    _check_indices(columns.order, graph.n_operators, f"{where}: $.plan.order")
    _check_indices(columns.tensor, graph.n_tensors, f"{where}: $.plan.tensor")
    arrays: dict[str, Any] = {
        f.name: np.asarray(
            getattr(columns, f.name), dtype=np.bool_ if f.name == "written" else np.int64
        )
        for f in fields(MemoryPlan)
    }
    return MemoryPlan(**arrays)


def _from_document(document: schema.Instance, where: str, root: str = "$") -> Problem:
    """Build the problem; ``root`` is the JSON path of the instance in its file."""
    try:
        if isinstance(document, schema.MemoryInstance):
            return MemoryProblem(
                graph=_graph(document, root),
                capacity=document.problem.capacity,
                alignment=document.problem.alignment,
                capacity_note=document.problem.capacity_note,
                provenance=document.provenance,
            )
        buffers = document.problem.buffers
        return AllocationProblem(
            name=document.name,
            names=tuple(buffers.name),
            lower=np.asarray(buffers.lower, dtype=np.int64),
            upper=np.asarray(buffers.upper, dtype=np.int64),
            size=np.asarray(buffers.size, dtype=np.int64),
            capacity=document.problem.capacity,
            alignment=document.problem.alignment,
            provenance=document.provenance,
        )
    except InstanceError as error:
        raise error.inside(where) from None


def _graph(document: schema.MemoryInstance, root: str) -> OperatorGraph:
    operators, tensors = document.problem.operators, document.problem.tensors
    n = len(tensors.bytes)
    return OperatorGraph(
        name=document.name,
        operator_names=tuple(operators.name),
        operator_kinds=tuple(operators.kind),
        workspace=np.asarray(operators.workspace, dtype=np.int64),
        inputs=Ragged.of(operators.inputs),
        outputs=Ragged.of(operators.outputs),
        tensor_names=tuple(tensors.name),
        tensor_bytes=np.asarray(tensors.bytes, dtype=np.int64),
        is_output=_mask(tensors.outputs, n, f"{root}.problem.tensors.outputs"),
        is_constant=_mask(tensors.constants, n, f"{root}.problem.tensors.constants"),
    )


def _mask(indices: list[int], n: int, where: str) -> BoolArray:
    _check_indices(indices, n, where)
    mask = np.zeros(n, dtype=np.bool_)
    mask[indices] = True
    return mask


def _check_indices(indices: Iterable[int], n: int, where: str) -> None:
    for at, index in enumerate(indices):
        if not 0 <= index < n:
            raise InstanceError(f"index {index}", f"{where}[{at}]", f"0 to {n - 1}")


def _check_length(name: str, column: list[Any], n: int, where: str) -> None:
    if len(column) != n:
        raise InstanceError(f"{len(column)} entries", f"{where}: $.plan.{name}", f"{n}")
