"""Bits problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field

from mapc.errors import InstanceError
from mapc.graph.operators import Ragged
from mapc.instances.codec import Codec
from mapc.instances.columns import Index, Strict, check_length, int64, mask
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem, FloatArray, Pairwise

# the problem itself refuses what is out of range, and names group and format
Whole = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Count = Annotated[int, Meta(ge=0, lt=2**31)]


class BitsUnits(Strict, frozen=True, kw_only=True):
    """What the numbers mean; costs have the unit of their resource."""

    loss: Literal["any additive"] = "any additive"


class ResourceColumns(Strict, frozen=True, kw_only=True):
    """One entry per resource; without a budget it is only reported."""

    name: list[str]
    unit: list[str]
    budget: list[Whole | None]


class GroupColumns(Strict, frozen=True, kw_only=True):
    """One entry per group; ``options`` is how many of the options are its own, in order."""

    name: list[str]
    weights: list[Whole]
    options: list[Count]


class OptionColumns(Strict, frozen=True, kw_only=True):
    """One entry per option; ``cost`` has one such column per resource."""

    format: list[Index]
    loss: list[float]
    cost: list[list[Whole]]
    forbidden: Annotated[list[Index], Meta(description="options")] = field(default_factory=list)


class EdgeColumns(Strict, frozen=True, kw_only=True):
    """One entry per pair of neighbours, and what it loses where their formats differ."""

    first: list[Index]
    second: list[Index]
    loss: list[float]


class PairwiseColumns(Strict, frozen=True, kw_only=True):
    """One entry per pair of groups: a table, rows options of the first, columns of the second."""

    first: list[Index]
    second: list[Index]
    table: list[list[list[float]]]


class BitsBody(Strict, frozen=True, kw_only=True):
    """A bits problem: one format for every group, least total or largest loss within budgets."""

    objective: Literal["sum", "max"] = "sum"
    formats: list[str]
    resources: ResourceColumns
    groups: GroupColumns
    options: OptionColumns
    ties: Annotated[list[list[Index]], Meta(description="groups that agree on a format")] = field(
        default_factory=list
    )
    edges: EdgeColumns | None = None
    pairwise: PairwiseColumns | None = None


class BitsPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of a bits problem: one option per group, as an index into all options."""

    option: list[Index]


def _to_body(problem: BitsProblem) -> BitsBody:
    edges, terms = problem.edges, problem.pairwise
    return BitsBody(
        objective="max" if problem.objective == "max" else "sum",
        formats=list(problem.formats),
        resources=ResourceColumns(
            name=list(problem.resources),
            unit=list(problem.units),
            budget=[None if b is None else int(b) for b in problem.budget],
        ),
        groups=GroupColumns(
            name=list(problem.groups),
            weights=problem.weights.tolist(),
            options=np.diff(problem.start).tolist(),
        ),
        options=OptionColumns(
            format=problem.format_of.tolist(),
            loss=problem.loss.tolist(),
            cost=problem.cost.tolist(),
            forbidden=np.flatnonzero(~problem.allowed).tolist(),
        ),
        ties=[problem.ties[i].tolist() for i in range(len(problem.ties))],
        edges=EdgeColumns(
            first=edges[:, 0].tolist(),
            second=edges[:, 1].tolist(),
            loss=problem.switch_loss.tolist(),
        )
        if len(edges)
        else None,
        pairwise=None
        if terms is None
        else PairwiseColumns(
            first=terms.first.tolist(),
            second=terms.second.tolist(),
            table=[table.tolist() for table in terms.table],
        ),
    )


def _from_body(body: BitsBody, name: str, provenance: Mapping[str, Any], where: str) -> BitsProblem:
    _check_lengths(body, where)
    m, k = len(body.options.loss), len(body.resources.name)
    forbidden = mask(body.options.forbidden, m, f"{where}.options.forbidden")
    edges, terms = body.edges, body.pairwise
    return BitsProblem(
        name=name,
        groups=tuple(body.groups.name),
        formats=tuple(body.formats),
        start=np.concatenate([[0], np.cumsum(int64(body.groups.options))]).astype(np.int64),
        format_of=int64(body.options.format),
        loss=_floats(body.options.loss),
        resources=tuple(body.resources.name),
        units=tuple(body.resources.unit),
        cost=np.array(body.options.cost, dtype=np.int64).reshape(k, m),
        budget=tuple(body.resources.budget),
        weights=int64(body.groups.weights),
        allowed=~forbidden,
        ties=Ragged.of(body.ties),
        edges=np.stack([int64(edges.first), int64(edges.second)], axis=1)
        if edges
        else np.zeros((0, 2), dtype=np.int64),
        switch_loss=_floats(edges.loss if edges else []),
        pairwise=None
        if terms is None
        else Pairwise(
            int64(terms.first), int64(terms.second), tuple(_table(t, where) for t in terms.table)
        ),
        objective=body.objective,
        provenance=provenance,
    )


def _check_lengths(body: BitsBody, where: str) -> None:
    groups, options, resources = body.groups, body.options, body.resources
    n, m, k = len(groups.name), len(options.loss), len(resources.name)
    check_length(groups.weights, n, f"{where}.groups.weights")
    check_length(groups.options, n, f"{where}.groups.options")
    check_length(options.format, m, f"{where}.options.format")
    if sum(groups.options) != m:
        raise InstanceError(
            f"{sum(groups.options)} options in all", f"{where}.groups.options", f"{m}"
        )
    check_length(resources.unit, k, f"{where}.resources.unit")
    check_length(resources.budget, k, f"{where}.resources.budget")
    check_length(options.cost, k, f"{where}.options.cost")
    for r, cost in enumerate(options.cost):
        check_length(cost, m, f"{where}.options.cost[{r}]")
    for name, part in (("edges", body.edges), ("pairwise", body.pairwise)):
        if part is not None:
            for column in part.__struct_fields__:
                check_length(getattr(part, column), len(part.first), f"{where}.{name}.{column}")


def _table(rows: list[list[float]], where: str) -> FloatArray:
    if len({len(row) for row in rows}) > 1:
        raise InstanceError("rows of different lengths", f"{where}.pairwise.table", "a rectangle")
    return np.array(rows, dtype=np.float64)


def _floats(column: Sequence[float]) -> FloatArray:
    return np.asarray(column, dtype=np.float64)


def _to_columns(plan: BitsPlan) -> BitsPlanColumns:
    return BitsPlanColumns(option=plan.option.tolist())


def _from_columns(columns: BitsPlanColumns, problem: BitsProblem, where: str) -> BitsPlan:
    check_length(columns.option, problem.n_groups, f"{where}.option")
    return BitsPlan(int64(columns.option))


CODEC = Codec(
    kind="bits",
    problem_type=BitsProblem,
    plan_type=BitsPlan,
    body_type=BitsBody,
    columns_type=BitsPlanColumns,
    to_body=_to_body,
    from_body=_from_body,
    to_columns=_to_columns,
    from_columns=_from_columns,
    units=BitsUnits(),
)
