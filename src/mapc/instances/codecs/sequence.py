"""Sequence problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from mapc.instances.codec import Codec
from mapc.instances.columns import Index, Strict, check_indices, check_length, int64
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, GroupCost, SequenceProblem

# the problem itself refuses what is out of range, and names sequence and mode
Whole = Annotated[int, Meta(ge=-(2**62), le=2**62)]


class SequenceUnits(Strict, frozen=True, kw_only=True):
    """What the numbers mean."""

    length: Literal["tokens"] = "tokens"
    time: Literal["ms"] = "ms"


class ClusterFields(Strict, frozen=True, kw_only=True):
    """Ranks, and how many of them share a node."""

    ranks: Whole
    node_ranks: Whole


class ModeColumns(Strict, frozen=True, kw_only=True):
    """One entry per mode: a group takes ``fixed + sum(quadratic * s**2 + linear * s)`` ms."""

    degree: Annotated[list[Whole], Meta(description="ranks of a group, powers of two")]
    kind: list[Literal["ulysses", "ring"]]
    quadratic: Annotated[list[float], Meta(description="ms per token squared")]
    linear: Annotated[list[float], Meta(description="ms per token")]
    fixed: Annotated[list[float], Meta(description="ms per group")]
    tokens: Annotated[list[Whole], Meta(description="most padded tokens of a group")]


class SequenceBody(Strict, frozen=True, kw_only=True):
    """A sequence problem: micro-batches, groups of ranks and their sequences, least step time."""

    lengths: Annotated[list[Whole], Meta(description="tokens of each sequence")]
    cluster: ClusterFields
    modes: ModeColumns
    padding: Annotated[Whole, Meta(description="lengths are rounded up to multiples of it")] = 1
    least: Annotated[Whole, Meta(description="micro-batches")] = 1
    most: Annotated[Whole | None, Meta(description="micro-batches; null: any number")] = None


class SequencePlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of a sequence problem: columns of groups, and ``group`` of every sequence."""

    micro_batch: Annotated[list[Index], Meta(description="from 0 on, without gaps")]
    mode: Annotated[list[Index], Meta(description="position in modes")]
    first_rank: Annotated[list[Index], Meta(description="ranks from here on, as many as degree")]
    group: list[Index]


def _to_body(problem: SequenceProblem) -> SequenceBody:
    cost = problem.cost
    return SequenceBody(
        lengths=problem.lengths.tolist(),
        cluster=ClusterFields(ranks=problem.n_ranks, node_ranks=problem.node_ranks),
        modes=ModeColumns(
            degree=cost.degree.tolist(),
            kind=list(cost.kind),  # type: ignore[arg-type]
            quadratic=cost.quadratic.tolist(),
            linear=cost.linear.tolist(),
            fixed=cost.fixed.tolist(),
            tokens=cost.tokens.tolist(),
        ),
        padding=problem.padding,
        least=problem.least,
        most=problem.most,
    )


def _from_body(
    body: SequenceBody, name: str, provenance: Mapping[str, Any], where: str
) -> SequenceProblem:
    modes, n = body.modes, len(body.modes.degree)
    for column in modes.__struct_fields__:
        check_length(getattr(modes, column), n, f"{where}.modes.{column}")
    return SequenceProblem(
        name=name,
        lengths=int64(body.lengths),
        n_ranks=body.cluster.ranks,
        node_ranks=body.cluster.node_ranks,
        cost=GroupCost(
            degree=int64(modes.degree),
            kind=tuple(modes.kind),
            quadratic=_floats(modes.quadratic),
            linear=_floats(modes.linear),
            fixed=_floats(modes.fixed),
            tokens=int64(modes.tokens),
        ),
        padding=body.padding,
        least=body.least,
        most=body.most,
        provenance=provenance,
    )


def _floats(column: Sequence[float]) -> FloatArray:
    return np.asarray(column, dtype=np.float64)


def _to_columns(plan: SequencePlan) -> SequencePlanColumns:
    return SequencePlanColumns(
        micro_batch=plan.micro_batch.tolist(),
        mode=plan.mode.tolist(),
        first_rank=plan.first_rank.tolist(),
        group=plan.group.tolist(),
    )


def _from_columns(
    columns: SequencePlanColumns, problem: SequenceProblem, where: str
) -> SequencePlan:
    n = len(columns.mode)
    check_length(columns.micro_batch, n, f"{where}.micro_batch")
    check_length(columns.first_rank, n, f"{where}.first_rank")
    check_length(columns.group, problem.n_sequences, f"{where}.group")
    check_indices(columns.mode, problem.n_modes, f"{where}.mode")
    check_indices(columns.group, n, f"{where}.group")
    return SequencePlan(
        int64(columns.micro_batch),
        int64(columns.mode),
        int64(columns.first_rank),
        int64(columns.group),
    )


CODEC = Codec(
    kind="sequence",
    problem_type=SequenceProblem,
    plan_type=SequencePlan,
    body_type=SequenceBody,
    columns_type=SequencePlanColumns,
    to_body=_to_body,
    from_body=_from_body,
    to_columns=_to_columns,
    from_columns=_from_columns,
    units=SequenceUnits(),
)
