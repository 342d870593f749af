"""Placement problems in words: balance, traffic, moves, and where the time of a step goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mapc.cli import describe
from mapc.cli.describe import Rows

if TYPE_CHECKING:
    from mapc.models.placement.problem import PlacementProblem
    from mapc.solvers.result import Result

COMPARED = {
    "even": ("balancedness", ".4f"),
    "worst": ("worst_balancedness", ".4f"),
    "rank": ("cross_rank", ".1%"),
    "node": ("cross_node", ".1%"),
    "moves": ("moves", ","),
}
"""Columns of ``mapc compare``: header, fact, and how it is written."""
_TOLD = (
    "balancedness",
    "worst_balancedness",
    "min_layer_balancedness",
    "balancedness_by_profile",
    "cross_rank",
    "cross_node",
    "compute",
    "transfers",
    "fixed",
    "worst_rank",
    "moves",
    "redundant",
    "most_replicas",
)
"""Facts of a plan with rows of their own."""
_MOST_PROFILES = 8


def result_keys(problem: PlacementProblem, result: Result) -> dict[str, Any]:
    """Return what ``--json`` prints beside the keys every result has: the facts say it all."""
    return {}


def result_rows(problem: PlacementProblem, result: Result) -> Rows:
    """Return what a person wants to know about a result, most important first."""
    rows = describe.result_rows(result)
    if result.plan is None:
        return rows
    own = {describe.label(key) for key in _TOLD}
    head = [row for row in rows if row[0] in ("status", "objective", "bound", "gap")]
    tail = [row for row in rows if row not in head and row[0] not in own]
    head = [
        (name, f"{text} {problem.cost.unit}" if _is_time(name) else text) for name, text in head
    ]
    return [*head, *_plan_rows(problem, result.facts), *tail]


def _is_time(name: str) -> bool:
    return name == "objective"


def _plan_rows(problem: PlacementProblem, facts: Mapping[str, Any]) -> Rows:
    rows = [("balancedness", _balance(problem, facts))]
    by_profile = facts["balancedness_by_profile"]
    if 1 < len(by_profile) <= _MOST_PROFILES:
        rows.append(("by profile", "; ".join(f"{k}: {v:.4f}" for k, v in by_profile.items())))
    rows.append(("step", _step(facts)))
    rows.append(("cross traffic", _traffic(problem, facts)))
    if facts["moves"] is not None:
        rows.append(("moves", _moves(problem, facts["moves"])))
    if facts["redundant"]:
        rows.append(
            (
                "replicas",
                f"{facts['redundant']:,} more slots than experts in a layer, at most "
                f"{facts['most_replicas']} of one expert",
            )
        )
    return [*rows, ("busiest rank", str(facts["worst_rank"]))]


def _balance(problem: PlacementProblem, facts: Mapping[str, Any]) -> str:
    text = f"{facts['balancedness']:.4f}"
    if problem.n_profiles > 1:
        text += f", worst profile {facts['worst_balancedness']:.4f}"
    return f"{text}, worst layer {facts['min_layer_balancedness']:.4f}"


def _step(facts: Mapping[str, Any]) -> str:
    parts = [("work", "compute"), ("transfers", "transfers"), ("the rest", "fixed")]
    told = [f"{name} {facts[key]:.6g}" for name, key in parts if facts[key] or key == "compute"]
    return ", ".join(told)


def _traffic(problem: PlacementProblem, facts: Mapping[str, Any]) -> str:
    text = f"{100 * facts['cross_rank']:.2f} % of tokens leave their rank"
    if problem.n_nodes > 1:
        text += f", {100 * facts['cross_node']:.2f} % their node"
    return text


def _moves(problem: PlacementProblem, moves: int) -> str:
    text = f"{moves:,}"
    if problem.max_moves is not None:
        text += f" of {problem.max_moves:,}"
    if problem.expert_bytes:
        text += f", {describe.size(moves * problem.expert_bytes)}"
    return text


def limit_words(problem: PlacementProblem, facts: Mapping[str, Any]) -> list[str]:
    """Return balance, and how far a plan uses its budget of moves."""
    words = []
    if "balancedness" in facts:
        words.append(f"balancedness {facts['balancedness']:.4f}")
    if facts.get("moves") is not None:
        words.append(f"moves {_moves(problem, facts['moves'])}")
    return words


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return labels and values of the figures of a problem."""
    return describe.fact_rows(facts)
