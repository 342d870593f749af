"""Check a choice of formats by the rules alone. Shares nothing with what computes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Verdict
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import MAX, BitsProblem

MAX_LINES = 20
"""Violations of one kind that are spelled out; the rest is counted."""


def verify(problem: BitsProblem, plan: BitsPlan) -> Verdict:
    """Recompute loss, costs and rules from problem and plan.

    The objective is the total loss (or the largest one of a group), counted in the problem's
    quanta, so that equal choices have equal objectives whatever order they are added in.

    Returns
    -------
    Verdict
        Its facts are ``loss``, ``cost`` (per resource, in its unit), ``bits_per_weight`` (of the
        resource ``size``; None where that has no meaning), ``formats`` (groups per format) and
        ``switches`` (edges whose formats differ).
    """
    option = np.asarray(plan.option)
    n = len(problem.groups)
    if option.shape != (n,) or not np.issubdtype(option.dtype, np.integer):
        found = f"{option.dtype} options of shape {option.shape}"
        return Verdict((f"{found}; expected {n} whole numbers",), None, {"groups": n})
    foreign = (option < problem.start[:-1]) | (option >= problem.start[1:])
    if foreign.any():
        lines = (
            f"group {problem.groups[i]!r}: option {option[i]} is none of its own, "
            f"{problem.start[i]} to {problem.start[i + 1] - 1}"
            for i in np.flatnonzero(foreign)[:MAX_LINES]
        )
        return Verdict((*lines, *_rest(foreign)), None, {"groups": n})
    option = option.astype(np.int64)
    used = [int(cost[option].sum()) for cost in problem.cost]
    violations = _forbidden(problem, option) + _untied(problem, option) + _over(problem, used)
    objective, switches = _objective(problem, option)
    chosen = np.bincount(problem.format_of[option], minlength=len(problem.formats)).tolist()
    facts: dict[str, Any] = {
        "loss": objective,
        "cost": dict(zip(problem.resources, used, strict=True)),
        "bits_per_weight": _bits_per_weight(problem, option),
        "formats": {f: c for f, c in zip(problem.formats, chosen, strict=True) if c},
        "switches": switches,
    }
    return Verdict(tuple(violations), objective, facts)


def _forbidden(problem: BitsProblem, option: IntArray) -> list[str]:
    wrong = ~problem.allowed[option]
    lines = [
        f"group {problem.groups[i]!r}: format {problem.formats[problem.format_of[option[i]]]!r} "
        "is forbidden"
        for i in np.flatnonzero(wrong)[:MAX_LINES]
    ]
    return lines + _rest(wrong)


def _untied(problem: BitsProblem, option: IntArray) -> list[str]:
    """Compare every member of a set of ties with the first one."""
    ties = problem.ties
    if not len(ties.values):
        return []
    row = np.repeat(np.arange(len(ties)), np.diff(ties.start))
    first = ties.values[ties.start[row]]
    chosen = problem.format_of[option]
    wrong = chosen[ties.values] != chosen[first]
    lines = [
        f"groups {problem.groups[first[i]]!r} and {problem.groups[ties.values[i]]!r} are tied: "
        f"{problem.formats[chosen[first[i]]]!r} is not {problem.formats[chosen[ties.values[i]]]!r}"
        for i in np.flatnonzero(wrong)[:MAX_LINES]
    ]
    return lines + _rest(wrong)


def _over(problem: BitsProblem, used: list[int]) -> list[str]:
    return [
        f"resource {name!r}: {cost} {unit}, above the budget {budget}"
        for name, unit, cost, budget in zip(
            problem.resources, problem.units, used, problem.budget, strict=True
        )
        if budget is not None and cost > budget
    ]


def _objective(problem: BitsProblem, option: IntArray) -> tuple[float, int]:
    """Return the objective and the number of edges whose formats differ."""
    step = problem.quantum
    chosen = problem.format_of[option]
    loss = np.rint(problem.loss[option] / step)
    differ = chosen[problem.edges[:, 0]] != chosen[problem.edges[:, 1]]
    if problem.objective == MAX:
        return float(loss.max()) * step, int(differ.sum())
    # every term is a whole number of quanta and all of them stay below 2**53: floats are exact
    total = float(loss.sum()) + float(np.rint(problem.switch_loss[differ] / step).sum())
    if problem.pairwise is not None:
        terms = problem.pairwise
        local = option - problem.start[:-1]
        for a, b, table in zip(terms.first, terms.second, terms.table, strict=True):
            total += float(np.rint(table[local[a], local[b]] / step))
    return total * step, int(differ.sum())


def _bits_per_weight(problem: BitsProblem, option: IntArray) -> float | None:
    weights = int(problem.weights.sum())
    if "size" not in problem.resources or not weights:
        return None
    at = problem.resources.index("size")
    per_unit = {"bits": 1, "bytes": 8}.get(problem.units[at])
    if per_unit is None:
        return None
    size = problem.cost[at][option[problem.weights > 0]]
    return int(size.sum()) * per_unit / weights


def _rest(wrong: BoolArray) -> list[str]:
    more = int(wrong.sum()) - MAX_LINES
    return [f"and {more} more"] if more > 0 else []
