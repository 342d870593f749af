"""``mapc solve --front``: loss against one budget, whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.bits import quantity
from mapc.cli.describe import percent
from mapc.cli.outcome import OutcomeError
from mapc.cli.output import print_columns, print_json, print_table
from mapc.errors import ExitCode, UsageError
from mapc.files import write_whole

if TYPE_CHECKING:
    from mapc.models.bits.front import Front as Points
    from mapc.models.bits.problem import BitsProblem
    from mapc.models.bits.reduction import Reduced

SUFFIXES = (".csv", ".json")
SHOWN = 12
"""Points of a long front that a table shows."""

SUPPORTED, ALL, CERTIFIED = "supported", "all", "certified"
"""Points: those that are optimal for some price of the resource; every one that no choice beats in
both; the best ones at given budgets, with bounds.
"""

MAX_POINTS = 100_000
"""Budgets that may be certified in one run."""

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
    kind : str
        ``SUPPORTED``, ``ALL`` or ``CERTIFIED``.
    """

    resource: str
    unit: str
    columns: Columns
    kind: str

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
    from mapc.models.bits.front import points

    reduced = _swept(problem, at)
    return _front(problem, at, SUPPORTED, _points(problem, reduced, points(reduced)))


def complete(problem: BitsProblem, at: int) -> Front | None:
    """Return every point, supported or not; None where there are too many to list."""
    from mapc.models.bits.front import whole

    reduced = _swept(problem, at)
    found = whole(reduced)
    return None if found is None else _front(problem, at, ALL, _points(problem, reduced, found))


def certified(
    problem: BitsProblem, at: int, n: int, *, gap: float, stop: Callable[[], bool]
) -> Front:
    """Return the best choices at ``n`` budgets spread evenly over what choices take."""
    from mapc.models.bits.dual import hull_steps
    from mapc.models.bits.front import certify

    reduced = _swept(problem, at)
    steps, scale = hull_steps(reduced), int(reduced.scale[0])
    low, high = int(steps.total_cost[0]), int(steps.total_cost[-1])
    budgets = [high - (high - low) * (n - 1 - i) // max(n - 1, 1) for i in range(n)]
    found = certify(reduced, budgets, gap=gap, stop=stop, steps=steps)
    columns: Columns = {
        "budget": [budget * scale for budget in budgets],
        "cost": [int(reduced.cost[0][one.choice].sum()) * scale for one in found],
        "loss": [one.quanta * problem.quantum for one in found],
        "bound": [one.bound * problem.quantum for one in found],
        "gap": [one.gap for one in found],
    }
    return _front(problem, at, CERTIFIED, columns)


def _swept(problem: BitsProblem, at: int) -> Reduced:
    """Return the core of a problem whose only budget leaves room for everything."""
    from mapc.models.bits.reduction import reduce

    highest = int(problem.cost_range[1][at])
    budgets = [highest if r == at else None for r in range(len(problem.resources))]
    return reduce(problem.with_budget(budgets))


def _points(problem: BitsProblem, reduced: Reduced, found: Points) -> Columns:
    return {
        "cost": (found.cost * int(reduced.scale[0])).tolist(),
        "loss": (found.quanta * problem.quantum).tolist(),
    }


def _front(problem: BitsProblem, at: int, kind: str, columns: Columns) -> Front:
    weights = int(problem.weights.sum())
    unit = problem.units[at]
    per_weight = {"bits": 1, "bytes": 8}.get(unit)
    # what takes room and has no weights leaves nothing to divide by
    stray = (problem.weights[problem.group_of] == 0) & (problem.cost[at] > 0)
    if weights and per_weight is not None and not stray.any():
        columns["bits_per_weight"] = [cost * per_weight / weights for cost in columns["cost"]]
    return Front(problem.resources[at], unit, columns, kind)


def parse_points(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Return ``all``, or a number of points that make a front."""
    if value is None or value.strip().lower() == ALL:
        return None if value is None else ALL
    if not (value.isascii() and value.isdigit() and 2 <= int(value[:9]) <= MAX_POINTS):
        raise click.BadParameter(f"{value!r}: expected 2 to {MAX_POINTS}, or all")
    return int(value)


# -- the command ---------------------------------------------------------------------------------


def run_front(
    problem: Any,
    points: int | str | None,
    gap: float,
    time_limit: float | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Print the front of a problem, or write it to a .csv or .json file.

    Parameters
    ----------
    problem : problem of any family
    points : int, str or None
        How many budgets to certify; ``"all"``: every point; None: all supported points.
    gap : float
        Relative gap that is good enough for a certified point.
    time_limit : float or None
        Seconds for all of them.
    output : str or None
    as_json : bool

    Raises
    ------
    UsageError
    OutcomeError
        If every point is asked for and there are too many.
    """
    if not gap >= 0:
        raise UsageError(f"gap {gap}: expected a fraction >= 0")
    at = check_front(problem)
    started = time.monotonic()

    def stop() -> bool:
        return time_limit is not None and time.monotonic() - started > time_limit

    front = _asked_for(problem, at, points, gap, stop)
    seconds = time.monotonic() - started
    document = {
        "kind": "bits",
        "name": problem.name,
        "resource": front.resource,
        "unit": front.unit,
        "points": front.kind,
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


def _asked_for(
    problem: BitsProblem, at: int, points: int | str | None, gap: float, stop: Callable[[], bool]
) -> Front:
    if points is None:
        return supported(problem, at)
    if isinstance(points, int):
        return certified(problem, at, points, gap=gap, stop=stop)
    found = complete(problem, at)
    if found is None:
        raise OutcomeError(
            "--points all: too many points to list; expected --points N, or none for the supported "
            "points",
            ExitCode.NO_PLAN,
        )
    return found


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
    chosen = _spread(len(front), len(front) if front.kind == CERTIFIED else SHOWN)
    rows = [
        [_cell(name, column[i], front.unit) for name, column in front.columns.items()]
        for i in chosen
    ]
    print_columns([_HEADINGS.get(name, name) for name in front.columns], rows)
    left = len(front) - len(chosen)
    more = [("not shown", f"{left:,} points; -o FILE.csv writes all")] if left else []
    if "output" in document:
        more = [("written", str(document["output"]))]
    kind = "" if front.kind == ALL else f" {front.kind}"
    count = f"{len(front):,}{kind} points of loss against {front.resource}"
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
