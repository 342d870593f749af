"""Groups with their options, gathered row by row and turned into the columns of a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import Ragged
from mapc.models.bits.problem import MAX_COST, BitsProblem


@dataclass(frozen=True)
class Choice:
    """An option of a group; ``cost`` holds one whole number for each resource."""

    format: str
    loss: float
    cost: tuple[int, ...]
    allowed: bool = True


@dataclass(frozen=True)
class Group:
    """A group; ``weights`` is 0 where bits per weight have no meaning."""

    name: str
    choices: Sequence[Choice]
    weights: int = 0


def build_problem(
    name: str,
    groups: Sequence[Group],
    *,
    resources: Sequence[str],
    units: Sequence[str],
    budget: Mapping[str, int] | None = None,
    ties: Ragged | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> BitsProblem:
    """Return the problem; formats are numbered in the order in which they appear.

    Raises
    ------
    InstanceError
        For costs beyond what a column holds, a budget for a resource that is not there, and all
        that `BitsProblem` refuses.
    """
    choices = [choice for group in groups for choice in group.choices]
    formats = {format: at for at, format in enumerate(dict.fromkeys(c.format for c in choices))}
    start = np.zeros(len(groups) + 1, dtype=np.int64)
    np.cumsum([len(group.choices) for group in groups], out=start[1:])
    try:
        cost = np.asarray([choice.cost for choice in choices], dtype=np.int64)
        weights = np.asarray([group.weights for group in groups], dtype=np.int64)
    except OverflowError:
        raise _too_large(groups, resources) from None
    return BitsProblem(
        name=name,
        groups=tuple(group.name for group in groups),
        formats=tuple(formats),
        start=start,
        format_of=np.asarray([formats[c.format] for c in choices], dtype=np.int64),
        loss=np.asarray([c.loss for c in choices], dtype=np.float64),
        resources=tuple(resources),
        units=tuple(units),
        cost=np.ascontiguousarray(cost.reshape(len(choices), len(resources)).T),
        budget=budgets_of(resources, budget or {}),
        weights=weights,
        allowed=np.asarray([c.allowed for c in choices], dtype=np.bool_),
        ties=Ragged.of([]) if ties is None else ties,
        provenance=dict(provenance or {}),
    )


def budgets_of(resources: Sequence[str], budget: Mapping[str, int]) -> tuple[int | None, ...]:
    """Return the budget of every resource, None for those that have none.

    Raises
    ------
    InstanceError
        For a budget of a resource that is not there.
    """
    for resource in budget:
        if resource not in resources:
            raise InstanceError(
                "no such resource", f"budget {resource!r}", ", ".join(resources) or "no budget"
            )
    return tuple(budget.get(resource) for resource in resources)


def _too_large(groups: Sequence[Group], resources: Sequence[str]) -> InstanceError:
    """Name the number that no int64 holds; what merely is too large, the problem refuses."""
    right = f"0 to {MAX_COST}"
    for group in groups:
        if abs(group.weights) >= 2**63:
            return InstanceError(f"weights {group.weights}", f"group {group.name!r}", right)
        for choice in group.choices:
            for resource, value in zip(resources, choice.cost, strict=True):
                if abs(value) >= 2**63:
                    where = f"group {group.name!r}, format {choice.format!r}"
                    return InstanceError(f"{resource} cost {value}", where, right)
    raise AssertionError("no number is too large")
