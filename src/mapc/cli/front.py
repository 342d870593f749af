"""``mapc solve --front``: loss against one budget, whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mapc.cli.bits import quantity
from mapc.cli.describe import percent
from mapc.cli.output import print_columns, print_json, print_table
from mapc.errors import UsageError
from mapc.files import write_whole

if TYPE_CHECKING:
    from mapc.models.bits.problem import BitsProblem
    from mapc.models.bits.reduction import Reduced

SUFFIXES = (".csv", ".json")
SHOWN = 12
"""Points of a long front that a table shows."""

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Front:
    """A front of one resource.

    Attributes
    ----------
    resource, unit : str
    columns : dict of equally long lists
        By rising cost: ``cost``, ``loss`` and, where it has a meaning, ``bits_per_weight``; of
        certified points also ``budget``, ``bound`` and ``gap``.
    certified : bool
        Whether the points are the best ones at given budgets, or the supported ones: those that
        are optimal for some price of the resource.
    """

    resource: str
    unit: str
    columns: Columns
    certified: bool

    def __len__(self) -> int:
        return len(self.columns["cost"])


def check_front(problem: Any) -> int:
    """Return the resource whose front is asked for.

    Raises
    ------
    UsageError
        For a family without fronts, several budgets or none to choose from, and losses that are
        no plain sum over groups.
    """
    from mapc.models import family_of

    kind = family_of(problem).kind
    if kind != "bits":
        raise UsageError(f"--front does not apply to {kind} problems; expected one of bits")
    if not problem.separable:
        raise UsageError(
            "--front needs losses that add up over groups; this problem has switch losses, "
            "pairwise terms or the max objective"
        )
    limited = problem.limited.tolist()
    if len(limited) == 1:
        return int(limited[0])
    if not limited and len(problem.resources) == 1:
        return 0
    found = ", ".join(problem.resources[at] for at in limited) or "none"
    raise UsageError(
        f"--front sweeps the one budget there is, found {found}; expected --budget RESOURCE=AMOUNT "
        f"for one of {', '.join(problem.resources)} and RESOURCE=none for the others"
    )


def supported(problem: BitsProblem, at: int) -> Front:
    """Return all supported points of loss against resource ``at``."""
    from mapc.models.bits.dual import hull_steps

    reduced = _swept(problem, at)
    steps = hull_steps(reduced)
    cost = (steps.total_cost * int(reduced.scale[0])).tolist()
    loss = (steps.total_quanta * problem.quantum).tolist()
    return _front(problem, at, {"cost": cost, "loss": loss}, certified=False)


def certified(
    problem: BitsProblem, at: int, n: int, *, gap: float, stop: Callable[[], bool]
) -> Front:
    """Return the best choices at ``n`` budgets spread evenly over what choices take."""
    from mapc.models.bits.core import solve_single
    from mapc.models.bits.dual import hull_steps

    reduced = _swept(problem, at)
    steps, scale = hull_steps(reduced), int(reduced.scale[0])
    low, high = int(steps.total_cost[0]), int(steps.total_cost[-1])
    columns: Columns = {name: [] for name in ("budget", "cost", "loss", "bound", "gap")}
    for i in range(n):
        budget = high - (high - low) * (n - 1 - i) // max(n - 1, 1)
        limited = replace(reduced, budget=reduced.budget * 0 + budget)
        found = solve_single(limited, gap=gap, stop=stop, steps=steps)
        columns["budget"].append(budget * scale)
        columns["cost"].append(int(reduced.cost[0][found.choice].sum()) * scale)
        columns["loss"].append(found.quanta * problem.quantum)
        columns["bound"].append(found.bound * problem.quantum)
        columns["gap"].append(found.gap)
    return _front(problem, at, columns, certified=True)


def _swept(problem: BitsProblem, at: int) -> Reduced:
    """Return the core of a problem whose only budget leaves room for everything."""
    from mapc.models.bits.reduction import reduce

    highest = int(problem.cost_range[1][at])
    budgets = [highest if r == at else None for r in range(len(problem.resources))]
    return reduce(problem.with_budget(budgets))


def _front(problem: BitsProblem, at: int, columns: Columns, *, certified: bool) -> Front:
    weights = int(problem.weights.sum())
    unit = problem.units[at]
    per_weight = {"bits": 1, "bytes": 8}.get(unit)
    # what takes room and has no weights leaves nothing to divide by
    stray = (problem.weights[problem.group_of] == 0) & (problem.cost[at] > 0)
    if weights and per_weight is not None and not stray.any():
        columns["bits_per_weight"] = [cost * per_weight / weights for cost in columns["cost"]]
    return Front(problem.resources[at], unit, columns, certified)


# -- the command ---------------------------------------------------------------------------------


def run_front(
    problem: Any,
    points: int | None,
    gap: float,
    time_limit: float | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Print the front of a problem, or write it to a .csv or .json file.

    Parameters
    ----------
    problem : problem of any family
    points : int or None
        How many budgets to certify; None: all supported points.
    gap : float
        Relative gap that is good enough for a certified point.
    time_limit : float or None
        Seconds for all of them.
    output : str or None
    as_json : bool

    Raises
    ------
    UsageError
    """
    if not gap >= 0:
        raise UsageError(f"gap {gap}: expected a fraction >= 0")
    at = check_front(problem)
    started = time.monotonic()

    def stop() -> bool:
        return time_limit is not None and time.monotonic() - started > time_limit

    if points is None:
        front = supported(problem, at)
    else:
        front = certified(problem, at, points, gap=gap, stop=stop)
    seconds = time.monotonic() - started
    document = {
        "kind": "bits",
        "name": problem.name,
        "resource": front.resource,
        "unit": front.unit,
        "points": "certified" if front.certified else "supported",
        "count": len(front),
        "seconds": round(seconds, 3),
    }
    if output is not None:
        _write(output, front, document)
        document["output"] = output
    if as_json:
        print_json(document if output is not None else {**document, **front.columns})
    else:
        _print(front, document)


def _write(output: str, front: Front, document: Mapping[str, Any]) -> None:
    if output.lower().endswith(".json"):
        text = json.dumps({**document, **front.columns}) + "\n"
    else:
        lines = [",".join(front.columns)]
        lines += [",".join(map(repr, row)) for row in zip(*front.columns.values(), strict=True)]
        text = "\n".join(lines) + "\n"
    write_whole(output, text.encode())


_HEADINGS = {"bits_per_weight": "bits per weight"}


def _print(front: Front, document: Mapping[str, Any]) -> None:
    chosen = _spread(len(front), len(front) if front.certified else SHOWN)
    rows = [
        [_cell(name, column[i], front.unit) for name, column in front.columns.items()]
        for i in chosen
    ]
    print_columns([_HEADINGS.get(name, name) for name in front.columns], rows)
    left = len(front) - len(chosen)
    more = [("not shown", f"{left:,} points; -o FILE.csv writes all")] if left else []
    if "output" in document:
        more = [("written", str(document["output"]))]
    count = f"{len(front):,} {document['points']} points of loss against {front.resource}"
    print_table([("front", count), ("seconds", f"{document['seconds']:.2f}"), *more])


def _spread(n: int, shown: int) -> list[int]:
    """Return up to ``shown`` positions from first to last, evenly."""
    if n <= shown:
        return list(range(n))
    return [i * (n - 1) // (shown - 1) for i in range(shown)]


def _cell(name: str, value: Any, unit: str) -> str:
    if name in ("cost", "budget"):
        return quantity(value, unit)
    if name == "gap":
        return percent(value)
    return f"{value:.4f}" if name == "bits_per_weight" else f"{value:.6g}"
