"""Placement problems in words: balance, traffic, moves, and where the time of a step goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mapc.wording import common
from mapc.wording.common import Rows

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
_MOST_PROFILES = 8


def result_keys(problem: PlacementProblem, result: Result) -> dict[str, Any]:
    """Return what ``--json`` prints beside the keys every result has: the facts say it all."""
    return {}


def result_rows(problem: PlacementProblem, result: Result) -> Rows:
    """Return what a person wants to know about a result, most important first."""
    if result.plan is None:
        return common.result_rows(result)
    own = plan_rows(problem, result.plan, result.facts)
    return common.rows_around(result, [*own, *_problem_rows(result.facts)])


def plan_rows(problem: PlacementProblem, plan: Any, facts: Mapping[str, Any]) -> Rows:
    """Return the rows of what a plan comes to, as far as its facts are known."""
    if "balancedness" not in facts:
        return []
    rows = [("balancedness", _balance(problem, facts))]
    by_profile = facts["balancedness_by_profile"]
    if 1 < len(by_profile) <= _MOST_PROFILES:
        rows.append(("by profile", "; ".join(f"{k}: {v:.4f}" for k, v in by_profile.items())))
    rows.append(("step", _step(facts)))
    rows.append(("cross traffic", _traffic(problem, facts)))
    if facts["moves"] is not None:
        rows.append(("moves", _moves(problem, facts["moves"])))
    if facts["redundant"]:
        rows.append(("most replicas", f"{facts['most_replicas']} of one expert"))
    return [*rows, ("busiest rank", str(facts["worst_rank"]))]


def _balance(problem: PlacementProblem, facts: Mapping[str, Any]) -> str:
    text = f"{facts['balancedness']:.4f}"
    if problem.n_profiles > 1:
        text += f", worst profile {facts['worst_balancedness']:.4f}"
    return f"{text}, worst layer {facts['min_layer_balancedness']:.4f}"


def _step(facts: Mapping[str, Any]) -> str:
    parts = [("work", "compute"), ("transfers", "transfers"), ("the rest", "fixed")]
    told = [f"{name} {facts[key]:,.6g}" for name, key in parts if facts[key] or key == "compute"]
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
        text += f", {common.size(moves * problem.expert_bytes)}"
    return text


def limit_words(problem: PlacementProblem, facts: Mapping[str, Any]) -> list[str]:
    """Return balance, and how far a plan uses its budget of moves."""
    words = []
    if "balancedness" in facts:
        words.append(f"balancedness {facts['balancedness']:.4f}")
    if facts.get("moves") is not None:
        words.append(f"moves {_moves(problem, facts['moves'])}")
    return words


# -- what a problem is -----------------------------------------------------------------------------


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return labels and values of the figures of a problem."""
    rows = [("kind", facts["kind"]), *_problem_rows(facts), *_detail_rows(facts)]
    last = {key: facts[key] for key in ("sha256", "output") if key in facts}
    return rows + common.fact_rows(last)


def _problem_rows(facts: Mapping[str, Any]) -> Rows:
    experts = facts["experts"]
    rows = [
        ("name", str(facts["name"])),
        ("layers", f"{facts['layers']:,} of {experts:,} expert{'' if experts == 1 else 's'}"),
        ("ranks", _ranks(facts)),
        ("profiles", _profiles(facts["tokens"])),
        ("paid for", _paid_for(facts)),
    ]
    rules = _rules(facts)
    return [*rows, ("rules", rules)] if rules else rows


def _ranks(facts: Mapping[str, Any]) -> str:
    text = f"{facts['ranks']:,}"
    if facts["nodes"] > 1:
        text += f" in {facts['nodes']:,} nodes"
    if facts["dead_ranks"]:
        text += f", {facts['dead_ranks']:,} of them dead"
    text += f", {facts['slots']:,} slot{'' if facts['slots'] == 1 else 's'} each"
    return text + (f", {facts['redundant']:,} for replicas" if facts["redundant"] else "")


def _profiles(tokens: Mapping[str, int]) -> str:
    listed = [f"{name}: {number:,} tokens" for name, number in tokens.items()]
    if len(listed) > _MOST_PROFILES:
        return f"{len(listed)}"
    return "; ".join(listed)


def _paid_for(facts: Mapping[str, Any]) -> str:
    traffic = {"none": "work", "chain": "work and moves along the chain of experts"}
    text = traffic.get(facts["traffic"], "work and moves from home and back")
    text += f", in {facts['unit']}; {facts['dispatch']} dispatch"
    return text + ("; the slowest profile counts" if facts["goal"] == "worst" else "")


def _rules(facts: Mapping[str, Any]) -> str:
    found = []
    for key, text in (
        ("pinned", "{:,} pinned"),
        ("forbidden", "{:,} forbidden"),
        ("max_moves", "at most 1 move" if facts["max_moves"] == 1 else "at most {:,} moves"),
        ("max_imbalance", "load at most {:.4g} times the mean"),
    ):
        value = facts[key]
        if value is not None and (value or key == "max_moves"):
            found.append(text.format(value))
    return ", ".join(found)


def _detail_rows(facts: Mapping[str, Any]) -> Rows:
    """Return what ``show`` adds: the hottest expert, and what two layouts give."""
    from mapc.models.placement import step_time

    rows = []
    hottest = facts.get("hottest_expert")
    if hottest is not None:
        rows.append(
            (
                "hottest expert",
                f"{hottest['times_mean']:.4g} times the mean: {hottest['expert']} of layer "
                f"{hottest['layer']}, {hottest['profile']}",
            )
        )
    for key in ("contiguous", "in_force"):
        layout = facts.get(key)
        if layout is not None:
            text = step_time(layout["objective"], facts["unit"])
            if "balancedness" in layout:
                text += f", balancedness {layout['balancedness']:.4f}"
            rows.append((common.label(key), text))
    return rows
