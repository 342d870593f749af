"""Allocation problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET, UnsetType

from mapc.graph.operators import BoolArray, IntArray
from mapc.instances.codec import Codec
from mapc.instances.columns import (
    Address,
    Alignment,
    Index,
    Size,
    Strict,
    Time,
    Units,
    check_indices,
    check_length,
    int64,
)
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem


class BufferColumns(Strict, frozen=True, kw_only=True):
    """One entry per buffer, alive in ``[lower, upper)``.

    ``alignment`` is that of the buffer's address, ``banks`` are the indices of those that take it.
    """

    name: list[str]
    lower: list[Time]
    upper: list[Time]
    size: list[Size]
    fixed: list[Address] | UnsetType = UNSET
    alignment: list[Alignment] | UnsetType = UNSET
    banks: list[list[Index]] | UnsetType = UNSET


class BankColumns(Strict, frozen=True, kw_only=True):
    """One entry per bank; capacities in bytes."""

    name: list[str]
    capacity: list[Size]


class ReservedColumns(Strict, frozen=True, kw_only=True):
    """One entry per range ``[base, top)`` of addresses that stays free in ``[lower, upper)``.

    ``bank`` is the index of the bank it lies in, the first one where there is no such column.
    """

    lower: list[Time]
    upper: list[Time]
    base: list[Address]
    top: list[Address]
    bank: list[Index] | UnsetType = UNSET


class AllocationBody(Strict, frozen=True, kw_only=True):
    """An allocation problem; without a capacity and banks the smallest peak is asked for."""

    capacity: Size | None = None
    alignment: Alignment = 1
    buffers: BufferColumns
    reserved: ReservedColumns | UnsetType = UNSET
    banks: BankColumns | UnsetType = UNSET


class AllocationPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of an allocation problem: one address per buffer, and its bank if not the first."""

    offset: list[Address]
    bank: list[Index] | UnsetType = UNSET


def _to_body(problem: AllocationProblem) -> AllocationBody:
    return AllocationBody(
        capacity=None if problem.banks else problem.capacity,
        alignment=problem.alignment,
        buffers=_to_buffers(problem),
        reserved=UNSET if problem.reserved is None else _to_reserved(problem),
        banks=to_banks(problem.banks),
    )


def _to_buffers(problem: AllocationProblem) -> BufferColumns:
    allowed = problem.allowed
    return BufferColumns(
        name=list(problem.names),
        lower=problem.lower.tolist(),
        upper=problem.upper.tolist(),
        size=problem.size.tolist(),
        fixed=UNSET if problem.fixed is None else problem.fixed.tolist(),
        alignment=UNSET if problem.alignments is None else problem.alignments.tolist(),
        banks=UNSET if allowed is None else [np.flatnonzero(row).tolist() for row in allowed],
    )


def _to_reserved(problem: AllocationProblem) -> ReservedColumns:
    assert problem.reserved is not None
    rows, bank = problem.reserved, problem.reserved_bank
    lower, upper, base, top = rows.T.tolist() if len(rows) else ([], [], [], [])
    of = UNSET if bank is None else bank.tolist()
    return ReservedColumns(lower=lower, upper=upper, base=base, top=top, bank=of)


def _from_reserved(columns: ReservedColumns, where: str) -> IntArray:
    lists = (columns.lower, columns.upper, columns.base, columns.top)
    for name, one in zip(("upper", "base", "top"), lists[1:], strict=True):
        check_length(one, len(columns.lower), f"{where}.reserved.{name}")
    return np.stack([int64(one) for one in lists], axis=1)


def to_banks(banks: Sequence[tuple[str, int]]) -> BankColumns | UnsetType:
    """Return banks as they stand in files; nothing where there are none."""
    if not banks:
        return UNSET
    return BankColumns(name=[name for name, _ in banks], capacity=[size for _, size in banks])


def from_banks(columns: BankColumns | UnsetType, where: str) -> tuple[tuple[str, int], ...]:
    """Return names and capacities of banks from a file."""
    if isinstance(columns, UnsetType):
        return ()
    check_length(columns.capacity, len(columns.name), f"{where}.banks.capacity")
    return tuple(zip(columns.name, columns.capacity, strict=True))


def _from_allowed(rows: list[list[int]] | UnsetType, n_banks: int, where: str) -> BoolArray | None:
    if isinstance(rows, UnsetType):
        return None
    allowed = np.zeros((len(rows), n_banks), dtype=np.bool_)
    for at, row in enumerate(rows):
        check_indices(row, n_banks, f"{where}.buffers.banks[{at}]")
        allowed[at, row] = True
    return allowed


def _given(column: list[int] | UnsetType) -> IntArray | None:
    return None if isinstance(column, UnsetType) else int64(column)


def _from_body(
    body: AllocationBody, name: str, provenance: Mapping[str, Any], where: str
) -> AllocationProblem:
    buffers = body.buffers
    reserved = None if isinstance(body.reserved, UnsetType) else body.reserved
    banks = from_banks(body.banks, where)
    return AllocationProblem(
        name=name,
        names=tuple(buffers.name),
        lower=int64(buffers.lower),
        upper=int64(buffers.upper),
        size=int64(buffers.size),
        capacity=body.capacity,
        alignment=body.alignment,
        provenance=provenance,
        fixed=_given(buffers.fixed),
        reserved=None if reserved is None else _from_reserved(reserved, where),
        alignments=_given(buffers.alignment),
        banks=banks,
        allowed=_from_allowed(buffers.banks, len(banks), where),
        reserved_bank=None if reserved is None else _given(reserved.bank),
    )


def _to_columns(plan: AllocationPlan) -> AllocationPlanColumns:
    bank = plan.bank.tolist()
    return AllocationPlanColumns(offset=plan.offset.tolist(), bank=bank if any(bank) else UNSET)


def _from_columns(
    columns: AllocationPlanColumns, problem: AllocationProblem, where: str
) -> AllocationPlan:
    check_length(columns.offset, problem.n_buffers, f"{where}.offset")
    if isinstance(columns.bank, UnsetType):
        return AllocationPlan(int64(columns.offset))
    check_length(columns.bank, problem.n_buffers, f"{where}.bank")
    check_indices(columns.bank, max(1, len(problem.banks)), f"{where}.bank")
    return AllocationPlan(int64(columns.offset), int64(columns.bank))


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
