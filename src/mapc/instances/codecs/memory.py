"""Memory problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import numpy as np
from msgspec import UNSET, Meta, UnsetType, field

from mapc.graph.operators import IntArray, OperatorGraph, Ragged
from mapc.instances.codec import Codec
from mapc.instances.codecs.allocation import BankColumns, from_banks, to_banks
from mapc.instances.columns import (
    Address,
    Alignment,
    Index,
    Size,
    Step,
    Strict,
    Units,
    check_indices,
    check_length,
    int64,
    mask,
)
from mapc.models.memory.options import PLAIN, Options
from mapc.models.memory.options.model import MAX_COST, MAX_PREFETCH, MAX_RERUN, as_rows
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

Cost = Annotated[int, Meta(ge=0, le=MAX_COST, description="per byte")]
RerunCost = Annotated[int, Meta(ge=0, le=MAX_RERUN, description="per run after the first")]
Distance = Annotated[int, Meta(ge=0, le=MAX_PREFETCH, description="steps")]


class OperatorColumns(Strict, frozen=True, kw_only=True):
    """One entry per operator; ``inputs`` and ``outputs`` hold tensor indices."""

    name: list[str]
    kind: list[str]
    workspace: list[Size]
    inputs: list[list[Index]]
    outputs: list[list[Index]]


class TensorColumns(Strict, frozen=True, kw_only=True):
    """One entry per tensor in ``name`` and ``bytes``.

    ``outputs`` and ``constants`` are the indices of those that must end off-chip and of weights.
    """

    name: list[str]
    bytes: list[Size]
    outputs: list[Index]
    constants: list[Index] = field(default_factory=list)


class MemoryOptions(Strict, frozen=True, kw_only=True):
    """What the plain problem has not; indices of tensors and operators.

    ``pinned`` tensors stay resident over the whole run; ``streamable`` are pairs of an operator and
    an input it may read off-chip; ``in_place`` are an operator, an input, and an output that may
    take over its bytes; a null ``stream_cost`` is the ``read_cost``; ``recompute`` are operators
    that may run again, and what each further run costs; with ``keep_order`` operators run in their
    order here, or the topological one closest to it; ``banks`` are scratchpads instead of one, and
    ``confined`` pairs of a tensor and the index of a bank that takes it, where not all do.
    """

    read_cost: Cost = 1
    write_cost: Cost = 1
    stream_cost: Cost | None = None
    pinned: list[Index] = field(default_factory=list)
    streamable: list[tuple[Index, Index]] = field(default_factory=list)
    in_place: list[tuple[Index, Index, Index]] = field(default_factory=list)
    prefetch: Distance = 0
    keep_order: bool = False
    recompute: list[tuple[Index, RerunCost]] | UnsetType = UNSET
    banks: BankColumns | UnsetType = UNSET
    confined: list[tuple[Index, Index]] | UnsetType = UNSET


class MemoryBody(Strict, frozen=True, kw_only=True):
    """A memory problem; the capacity is null while it is not decided, or with banks."""

    capacity: Size | None = None
    capacity_note: str = ""
    alignment: Alignment = 1
    operators: OperatorColumns
    tensors: TensorColumns
    options: MemoryOptions | UnsetType = UNSET


class MemoryPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of a memory problem: one entry per step, per residency, per run.

    An operator that runs again stands in ``order`` again. Its first run has the operator's number,
    all further ones are counted on, by step, in ``workspace_address`` and ``streamed``.
    """

    order: list[Index]
    tensor: list[Index]
    start: list[Step]
    stop: list[Step]
    address: list[Address]
    written: list[bool]
    workspace_address: list[Address]
    streamed: list[tuple[Index, Index]] | UnsetType = UNSET
    bank: list[Index] | UnsetType = UNSET
    workspace_bank: list[Index] | UnsetType = UNSET


def _to_body(problem: MemoryProblem) -> MemoryBody:
    graph = problem.graph
    return MemoryBody(
        capacity=None if problem.options.banks else problem.capacity,
        capacity_note=problem.capacity_note,
        alignment=problem.alignment,
        operators=OperatorColumns(
            name=list(graph.operator_names),
            kind=list(graph.operator_kinds),
            workspace=graph.workspace.tolist(),
            inputs=[graph.inputs[o].tolist() for o in range(graph.n_operators)],
            outputs=[graph.outputs[o].tolist() for o in range(graph.n_operators)],
        ),
        tensors=TensorColumns(
            name=list(graph.tensor_names),
            bytes=graph.tensor_bytes.tolist(),
            outputs=np.flatnonzero(graph.is_output).tolist(),
            constants=np.flatnonzero(graph.is_constant).tolist(),
        ),
        options=_to_options(problem.options),
    )


def _to_options(options: Options) -> MemoryOptions | UnsetType:
    """Return nothing for the plain problem: its files, and their hashes, stay what they were."""
    if options == PLAIN:
        return UNSET
    columns: dict[str, Any] = {f.name: getattr(options, f.name) for f in fields(options)}
    columns |= {name: list(columns[name]) for name in _LISTS}
    columns["recompute"] = list(options.recompute) or UNSET
    columns["banks"] = to_banks(options.banks)
    columns["confined"] = list(options.confined) or UNSET
    return MemoryOptions(**columns)


_LISTS = ("pinned", "streamable", "in_place")


def _from_options(columns: MemoryOptions | UnsetType, where: str) -> Options:
    if isinstance(columns, UnsetType):
        return PLAIN
    said = {f.name: getattr(columns, f.name) for f in fields(Options)}
    said["banks"] = from_banks(columns.banks, f"{where}.options")
    return Options(**{name: value for name, value in said.items() if value is not UNSET})


def _from_body(
    body: MemoryBody, name: str, provenance: Mapping[str, Any], where: str
) -> MemoryProblem:
    operators, tensors = body.operators, body.tensors
    n = len(tensors.bytes)
    graph = OperatorGraph(
        name=name,
        operator_names=tuple(operators.name),
        operator_kinds=tuple(operators.kind),
        workspace=int64(operators.workspace),
        inputs=Ragged.of(operators.inputs),
        outputs=Ragged.of(operators.outputs),
        tensor_names=tuple(tensors.name),
        tensor_bytes=int64(tensors.bytes),
        is_output=mask(tensors.outputs, n, f"{where}.tensors.outputs"),
        is_constant=mask(tensors.constants, n, f"{where}.tensors.constants"),
    )
    return MemoryProblem(
        graph=graph,
        capacity=body.capacity,
        alignment=body.alignment,
        capacity_note=body.capacity_note,
        options=_from_options(body.options, where),
        provenance=provenance,
    )


def _to_columns(plan: MemoryPlan) -> MemoryPlanColumns:
    columns = {f.name: getattr(plan, f.name).tolist() for f in fields(plan)}
    columns["streamed"] = [(o, t) for o, t in columns["streamed"]] or UNSET
    for name in _BANKS:
        columns[name] = columns[name] if any(columns[name]) else UNSET
    return MemoryPlanColumns(**columns)


_BANKS = ("bank", "workspace_bank")
"""Columns of a plan that are left out where all is in the first bank."""


def _from_columns(columns: MemoryPlanColumns, problem: MemoryProblem, where: str) -> MemoryPlan:
    graph = problem.graph
    steps = len(columns.order)
    if steps < graph.n_operators or not problem.options.recompute:
        check_length(columns.order, graph.n_operators, f"{where}.order")
    check_length(columns.workspace_address, steps, f"{where}.workspace_address")
    for name in ("start", "stop", "address", "written"):
        check_length(getattr(columns, name), len(columns.tensor), f"{where}.{name}")
    check_indices(columns.order, graph.n_operators, f"{where}.order")
    check_indices(columns.tensor, graph.n_tensors, f"{where}.tensor")
    streamed = as_rows([] if isinstance(columns.streamed, UnsetType) else columns.streamed, 2)
    check_indices(streamed[:, 0].tolist(), steps, f"{where}.streamed")
    check_indices(streamed[:, 1].tolist(), graph.n_tensors, f"{where}.streamed")
    banks: dict[str, IntArray] = {}
    for name, like in zip(_BANKS, (columns.tensor, columns.order), strict=True):
        if not isinstance(getattr(columns, name), UnsetType):
            check_length(getattr(columns, name), len(like), f"{where}.{name}")
            count = max(1, len(problem.options.banks))
            check_indices(getattr(columns, name), count, f"{where}.{name}")
            banks[name] = int64(getattr(columns, name))
    return MemoryPlan(
        order=int64(columns.order),
        tensor=int64(columns.tensor),
        start=int64(columns.start),
        stop=int64(columns.stop),
        address=int64(columns.address),
        written=np.asarray(columns.written, dtype=np.bool_),
        workspace_address=int64(columns.workspace_address),
        streamed=streamed,
        **banks,
    )


CODEC = Codec(
    kind="memory",
    problem_type=MemoryProblem,
    plan_type=MemoryPlan,
    body_type=MemoryBody,
    columns_type=MemoryPlanColumns,
    to_body=_to_body,
    from_body=_from_body,
    to_columns=_to_columns,
    from_columns=_from_columns,
    units=Units(),
    name_of=lambda problem: problem.graph.name,
    # says how the capacity was arrived at, not what it is
    silent={"capacity_note": ""},
)
