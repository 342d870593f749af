"""Sequence problems in words: micro-batches and their times, groups by degree, who is idle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mapc.wording import common
from mapc.wording.common import Rows

if TYPE_CHECKING:
    from mapc.models.sequence.problem import SequenceProblem
    from mapc.solvers.result import Result

COMPARED = {
    "micro": ("micro_batches", ","),
    "groups": ("groups", ","),
    "idle": ("idle_rank_share", ".1%"),
    "memory": ("memory_share", ".1%"),
}
"""Columns of ``mapc compare``: header, fact, and how it is written; they all fit one line."""
SCOPE = "step"
"""What bounds hold for: every choice of micro-batches, and every number of them."""
_MOST_LISTED = 8


def result_keys(problem: SequenceProblem, result: Result) -> dict[str, Any]:
    """Return what ``--json`` prints beside the keys every result has.

    ``idle_ranks`` counts, for each micro-batch, the ranks that have no group in it.
    """
    keys: dict[str, Any] = {
        "step_ms": result.objective,
        "bound_step_ms": result.bound,
        "bound_scope": SCOPE,
    }
    if result.plan is not None:
        keys["idle_ranks"] = idle_ranks(problem, result.plan)
    return keys


def idle_ranks(problem: SequenceProblem, plan: Any) -> list[int]:
    """Return how many ranks have no group, for each micro-batch of a valid plan."""
    busy = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.add.at(busy, plan.micro_batch, problem.cost.degree[plan.mode])
    found: list[int] = (problem.n_ranks - busy).tolist()
    return found


def result_rows(problem: SequenceProblem, result: Result) -> Rows:
    """Return what a person wants to know about a result, most important first."""
    if result.plan is None:
        return common.result_rows(result)
    own = plan_rows(problem, result.plan, result.facts)
    return common.rows_around(result, [*own, *_problem_rows(result.facts)])


def plan_rows(problem: SequenceProblem, plan: Any, facts: Mapping[str, Any]) -> Rows:
    """Return the rows of what a plan comes to, as far as its facts are known."""
    if not facts.get("degrees"):
        return []
    idle = idle_ranks(problem, plan)
    time = f"{facts['idle_rank_share']:.1%}".replace("%", " %")
    return [
        ("micro-batches", _micro_batches(facts["micro_batch_ms"])),
        ("groups", _groups(facts["degrees"])),
        ("idle", f"{time} of all rank-time, {_ranks_without(idle)}"),
        ("memory", f"fullest group {_share(facts['memory_share'])} full"),
        ("padding", f"{_share(facts['padding_share'])} of the tokens computed"),
    ]


def _micro_batches(times: list[float]) -> str:
    from mapc.models.sequence import milliseconds

    shown = [milliseconds(time).removesuffix(" ms") for time in times[:_MOST_LISTED]]
    more = [f"{len(times) - len(shown)} more"] if len(times) > len(shown) else []
    return f"{len(times)}: {' + '.join([*shown, *more])} ms"


def _groups(degrees: Mapping[int, int]) -> str:
    parts = [f"{count:,} of {degree:,}" for degree, count in sorted(degrees.items(), reverse=True)]
    only_one = len(parts) == 1 and 1 in degrees
    return f"{', '.join(parts)} rank{'' if only_one else 's'}"


def _ranks_without(idle: list[int]) -> str:
    if not any(idle):
        return "no rank without a group"
    if len(idle) > _MOST_LISTED:
        return f"{sum(idle) / len(idle):,.1f} ranks without a group on average"
    return f"ranks without a group: {', '.join(f'{count:,}' for count in idle)}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def limit_words(problem: SequenceProblem, facts: Mapping[str, Any]) -> list[str]:
    """Return the number of micro-batches, and how full the fullest group is."""
    if "micro_batches" not in facts:
        return []
    n = facts["micro_batches"]
    return [
        f"{n:,} micro-batch{'' if n == 1 else 'es'}",
        f"memory {_share(facts['memory_share'])} full",
    ]


# -- what a problem is -----------------------------------------------------------------------------


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return labels and values of the figures of a problem."""
    rows = [("kind", facts["kind"]), *_problem_rows(facts), *_detail_rows(facts)]
    last = {key: facts[key] for key in ("sha256", "output") if key in facts}
    return rows + common.fact_rows(last)


def _problem_rows(facts: Mapping[str, Any]) -> Rows:
    nodes, n = facts["nodes"], facts["sequences"]
    return [
        ("name", str(facts["name"])),
        (
            "sequences",
            f"{n:,}, {facts['tokens']:,} tokens, longest {facts['longest']:,}, "
            f"padded to multiples of {facts['padding']:,}",
        ),
        ("ranks", f"{facts['ranks']:,}" + (f" in {nodes:,} nodes" if nodes > 1 else "")),
        (
            "allowed",
            f"groups of {_degrees(facts['allowed_degrees'])}, {' or '.join(facts['sharing'])}, "
            f"{facts['tokens_per_rank']:,} tokens per rank{_counts(facts)}",
        ),
    ]


def _degrees(degrees: list[int]) -> str:
    if len(degrees) > 2 and degrees[-1] == degrees[0] << (len(degrees) - 1):
        return f"{degrees[0]:,} to {degrees[-1]:,} ranks"
    listed = ", ".join(f"{degree:,}" for degree in degrees)
    return f"{listed} rank{'' if degrees == [1] else 's'}"


def _counts(facts: Mapping[str, Any]) -> str:
    """Return the limits on the number of micro-batches, where there are any."""
    least, most = facts["least_micro_batches"], facts["most_micro_batches"]
    if most is not None:
        number = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return f", {number} micro-batch{'' if most == 1 else 'es'}"
    return f", {least:,} micro-batches or more" if least > 1 else ""


def _detail_rows(facts: Mapping[str, Any]) -> Rows:
    """Return what ``show`` adds: lengths, what they need, and one degree for everything."""
    from mapc.models.sequence import milliseconds

    rows: Rows = []
    if "lengths" in facts:
        rows.append(("lengths", common.plain(facts["lengths"])))
        held = (f"{count:,} by {degree:,}" for degree, count in facts["least_degree"].items())
        rows.append(("held", ", ".join(held) + " ranks or more"))
        n = facts["needed_micro_batches"]
        rows.append(
            (
                "needed",
                f"{n:,} micro-batch{'' if n == 1 else 'es'} or more, of at most "
                f"{facts['micro_batch_tokens']:,} padded tokens",
            )
        )
        rows.append(("bound", f"{milliseconds(facts['bound_step_ms'])} for a step, by area"))
    for name, step in facts.get("homogeneous", {}).items():
        text = "no plan found" if step is None else f"a step of {milliseconds(step)}"
        rows.append((f"all {name}", text))
    return rows
