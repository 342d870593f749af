"""Allocation problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import UNSET, UnsetType

from mapc.graph.operators import IntArray
from mapc.instances.codec import Codec
from mapc.instances.columns import (
    Address,
    Alignment,
    Size,
    Strict,
    Time,
    Units,
    check_length,
    int64,
)
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem


class BufferColumns(Strict, frozen=True, kw_only=True):
    """One entry per buffer, alive in ``[lower, upper)``."""

    name: list[str]
    lower: list[Time]
    upper: list[Time]
    size: list[Size]
    fixed: list[Address] | UnsetType = UNSET


class ReservedColumns(Strict, frozen=True, kw_only=True):
    """One entry per range ``[base, top)`` of addresses that stays free in ``[lower, upper)``."""

    lower: list[Time]
    upper: list[Time]
    base: list[Address]
    top: list[Address]


class AllocationBody(Strict, frozen=True, kw_only=True):
    """An allocation problem; without a capacity the smallest peak is asked for."""

    capacity: Size | None = None
    alignment: Alignment = 1
    buffers: BufferColumns
    reserved: ReservedColumns | UnsetType = UNSET


class AllocationPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of an allocation problem: one address per buffer."""

    offset: list[Address]


def _to_body(problem: AllocationProblem) -> AllocationBody:
    return AllocationBody(
        capacity=problem.capacity,
        alignment=problem.alignment,
        buffers=BufferColumns(
            name=list(problem.names),
            lower=problem.lower.tolist(),
            upper=problem.upper.tolist(),
            size=problem.size.tolist(),
            fixed=UNSET if problem.fixed is None else problem.fixed.tolist(),
        ),
        reserved=UNSET if problem.reserved is None else _to_reserved(problem.reserved),
    )


def _to_reserved(rows: IntArray) -> ReservedColumns:
    lower, upper, base, top = rows.T.tolist() if len(rows) else ([], [], [], [])
    return ReservedColumns(lower=lower, upper=upper, base=base, top=top)


def _from_reserved(columns: ReservedColumns, where: str) -> IntArray:
    lists = (columns.lower, columns.upper, columns.base, columns.top)
    for name, one in zip(("upper", "base", "top"), lists[1:], strict=True):
        check_length(one, len(columns.lower), f"{where}.reserved.{name}")
    return np.stack([int64(one) for one in lists], axis=1)


def _from_body(
    body: AllocationBody, name: str, provenance: Mapping[str, Any], where: str
) -> AllocationProblem:
    buffers = body.buffers
    return AllocationProblem(
        name=name,
        names=tuple(buffers.name),
        lower=int64(buffers.lower),
        upper=int64(buffers.upper),
        size=int64(buffers.size),
        capacity=body.capacity,
        alignment=body.alignment,
        provenance=provenance,
        fixed=None if isinstance(buffers.fixed, UnsetType) else int64(buffers.fixed),
        reserved=None
        if isinstance(body.reserved, UnsetType)
        else _from_reserved(body.reserved, where),
    )


def _to_columns(plan: AllocationPlan) -> AllocationPlanColumns:
    return AllocationPlanColumns(offset=plan.offset.tolist())


def _from_columns(
    columns: AllocationPlanColumns, problem: AllocationProblem, where: str
) -> AllocationPlan:
    check_length(columns.offset, problem.n_buffers, f"{where}.offset")
    return AllocationPlan(int64(columns.offset))


CODEC = Codec(
    kind="allocation",
    problem_type=AllocationProblem,
    plan_type=AllocationPlan,
    body_type=AllocationBody,
    columns_type=AllocationPlanColumns,
    to_body=_to_body,
    from_body=_from_body,
    to_columns=_to_columns,
    from_columns=_from_columns,
    units=Units(),
)
