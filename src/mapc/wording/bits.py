"""Bits problems in words: budget use, formats, and what one format for everything would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mapc.units import PER_BYTE, quantity, share
from mapc.wording import common
from mapc.wording.common import Rows, percent, plain

if TYPE_CHECKING:
    from mapc.models.bits.heuristics import Uniform
    from mapc.models.bits.problem import BitsProblem
    from mapc.solvers.result import Result

_NOT_ROWS = ("loss", "cost", "bits_per_weight", "formats", "switches", "budgets")
"""Facts with rows of their own."""
_ZERO_SAYS_NOTHING = ("tied_sets", "edges", "pairwise_terms", "switches")


def _bare(text: str, unit: str) -> str:
    """Return an amount without a unit that is about to be said."""
    return text if unit in PER_BYTE else text.removesuffix(unit).rstrip()


# -- what a solve found --------------------------------------------------------------------------


def result_keys(problem: BitsProblem, result: Result) -> dict[str, Any]:
    """Return what ``--json`` prints beside the keys every result has."""
    if result.plan is None:
        return {}
    return {
        "weights_per_format": weights_per_format(problem, result.plan.option),
        "uniform": [
            {
                "format": row.format,
                "loss": row.loss,
                "cost": dict(zip(problem.resources, row.cost, strict=True)),
                "within_budgets": row.feasible,
                "groups_without": row.exceptions,
            }
            for row in _uniform(problem)
        ],
    }


def result_rows(problem: BitsProblem, result: Result) -> Rows:
    """Return what a person wants to know about a result, most important first."""
    rows = common.result_rows(result)
    if result.plan is None:
        return rows
    own = {common.label(key) for key in (*_NOT_ROWS, *_ZERO_SAYS_NOTHING)}
    head = [row for row in rows if row[0] in ("status", "objective", "bound", "gap")]
    tail = [row for row in rows if row not in head and row[0] not in own]
    facts = result.facts
    middle = [*_budget_use(problem, facts), *_formats(problem, result.plan, facts)]
    middle += _counts(facts, _ZERO_SAYS_NOTHING)
    return [*head, *middle, *_baselines(problem, facts), *tail]


def plan_rows(problem: BitsProblem, plan: Any, facts: Mapping[str, Any]) -> Rows:
    """Return the rows of what a plan comes to, as far as its facts are known."""
    if "cost" not in facts:
        return []
    return [
        *_budget_use(problem, facts),
        *_formats(problem, plan, facts),
        *_counts(facts, ("switches",)),
        *_baselines(problem, facts),
    ]


def _counts(facts: Mapping[str, Any], keys: Sequence[str]) -> Rows:
    return [(common.label(key), plain(facts[key])) for key in keys if facts.get(key)]


def _budget_use(problem: BitsProblem, facts: Mapping[str, Any]) -> Rows:
    rows = []
    columns = zip(problem.resources, problem.units, problem.budget, strict=True)
    for name, unit, budget in columns:
        used = facts["cost"][name]
        text = quantity(used, unit)
        if budget is None:
            text += " (no budget)"
        else:
            text = f"{_bare(text, unit)} of {quantity(budget, unit)}"
            text += f" ({share(used, budget)})" if budget else ""
        if name == "size" and facts["bits_per_weight"] is not None:
            text += f", {facts['bits_per_weight']:.4g} bits per weight"
        rows.append((name, text))
    return rows


def limit_words(problem: BitsProblem, facts: Mapping[str, Any]) -> list[str]:
    """Return how far a plan uses each resource."""
    if "cost" not in facts:
        return []
    return [f"{name} {text}" for name, text in _budget_use(problem, facts)]


def weights_per_format(problem: BitsProblem, option: Any) -> dict[str, int]:
    """Return how many weights have each format that is used.

    Parameters
    ----------
    problem : BitsProblem
    option : int64[n_groups]
        As in a plan.
    """
    found = {}
    chosen = problem.format_of[option]
    for at, name in enumerate(problem.formats):
        groups = chosen == at
        if groups.any():
            found[name] = int(problem.weights[groups].sum())
    return found


def _formats(problem: BitsProblem, plan: Any, facts: Mapping[str, Any]) -> Rows:
    counts = facts["formats"]
    weights = weights_per_format(problem, plan.option)
    total = sum(weights.values())
    parts = []
    for name, count in counts.items():
        text = f"{name}: {count:,} group{'' if count == 1 else 's'}"
        if total:
            text += f", {100 * weights[name] / total:.1f} % of the weights"
        parts.append(text)
    return [("formats", "; ".join(parts))]


# -- beside one format for everything ------------------------------------------------------------


def _uniform(problem: BitsProblem) -> tuple[Uniform, ...]:
    from mapc.models.bits.heuristics import uniform_table

    return uniform_table(problem)


def _baselines(problem: BitsProblem, facts: Mapping[str, Any]) -> Rows:
    table = _uniform(problem)
    rows = [(f"all {row.format}", _baseline(problem, row)) for row in table]
    fitting = [row for row in table if row.feasible]
    best = min(fitting, key=lambda row: row.loss) if fitting else None
    return [*rows, ("mixed formats", verdict(float(facts["loss"]), best))]


def _baseline(problem: BitsProblem, row: Uniform) -> str:
    text = f"a loss of {row.loss:.6g}"
    if row.exceptions:
        groups = "group" if row.exceptions == 1 else "groups"
        text += f", {row.exceptions:,} {groups} cannot have it"
    over = [
        f"{name} takes {quantity(cost, unit)}"
        for name, unit, cost, budget in zip(
            problem.resources, problem.units, row.cost, problem.budget, strict=True
        )
        if budget is not None and cost > budget
    ]
    if row.feasible:
        return f"fits, {text}"
    return f"does not fit: {', '.join(over)}; {text}"


def verdict(ours: float, best: Uniform | None) -> str:
    """Say how a mixed plan of loss ``ours`` does beside the best single format that fits."""
    if best is None:
        return "no single format fits the budgets"
    if ours > best.loss:
        return f"worse than {best.format} everywhere, which loses {best.loss:.6g}"
    if ours == best.loss:
        return f"no better than {best.format} everywhere"
    if ours < 0:  # pairs may gain; a share of that says nothing
        return f"{best.loss - ours:.6g} less loss than {best.format} everywhere"
    return f"{percent(1 - ours / best.loss)} less loss than {best.format} everywhere"


# -- what a problem is ---------------------------------------------------------------------------


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return labels and values of the figures of a problem."""
    plainly = {
        key: value
        for key, value in facts.items()
        if not isinstance(value, Mapping) and not (key in _ZERO_SAYS_NOTHING and not value)
    }
    last: dict[str, Any] = {}
    for key in ("sha256", "output"):
        if key in plainly:
            last[key] = plainly.pop(key)
    rows = common.fact_rows(plainly)
    for name, resource in facts.get("budgets", {}).items():
        rows.append((name, _range(name, resource, facts)))
    for name, row in facts.get("uniform", {}).items():
        fits = "fits" if row["within_budgets"] else "does not fit"
        rows.append((f"all {name}", f"{fits}, a loss of {row['loss']:.6g}"))
    return rows + common.fact_rows(last)


def _range(name: str, resource: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    unit, budget = resource["unit"], resource["budget"]
    text = "no budget" if budget is None else f"budget {quantity(budget, unit)}"
    if "cheapest" in facts:
        low, high = facts["cheapest"][name], facts["costliest"][name]
        text += f"; choices take {_bare(quantity(low, unit), unit)} to {quantity(high, unit)}"
    return text
