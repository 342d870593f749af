"""The front of loss against the one budget, in the units of the problem."""

from __future__ import annotations

from collections.abc import Callable

from mapc.errors import UsageError
from mapc.models.bits import front as core
from mapc.models.bits.dual import hull_steps
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import Reduced, reduce
from mapc.models.fronts import ALL, CERTIFIED, SUPPORTED, Columns, Front, FrontError, Sweep


def front(problem: BitsProblem, points: int | str | None, sweep: Sweep) -> Front:
    """Return the front of the resource with a budget.

    Parameters
    ----------
    problem : BitsProblem
    points : int, str or None
        How many budgets to certify; ``"all"``: every point; None: all supported points.
    sweep : Sweep

    Raises
    ------
    UsageError
        For several budgets or none to choose from, and losses that are no plain sum over groups.
    FrontError
        If every point is asked for and there are too many.
    """
    at = swept_resource(problem)
    if points is None:
        return supported(problem, at)
    if isinstance(points, int):
        return certified(problem, at, points, gap=sweep.gap, stop=sweep.stop)
    found = complete(problem, at)
    if found is None:
        raise FrontError(
            "--points all: too many points to list; expected --points N, or none for the supported "
            "points"
        )
    return found


def swept_resource(problem: BitsProblem) -> int:
    """Return the resource whose front is asked for; errors are those of `front`."""
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
    reduced = _swept(problem, at)
    return _front(problem, at, SUPPORTED, _points(problem, reduced, core.points(reduced)))


def complete(problem: BitsProblem, at: int) -> Front | None:
    """Return every point, supported or not; None where there are too many to list."""
    reduced = _swept(problem, at)
    found = core.whole(reduced)
    return None if found is None else _front(problem, at, ALL, _points(problem, reduced, found))


def certified(
    problem: BitsProblem, at: int, n: int, *, gap: float, stop: Callable[[], bool]
) -> Front:
    """Return the best choices at ``n`` budgets spread evenly over what choices take."""
    reduced = _swept(problem, at)
    steps, scale = hull_steps(reduced), int(reduced.scale[0])
    low, high = int(steps.total_cost[0]), int(steps.total_cost[-1])
    budgets = [high - (high - low) * (n - 1 - i) // max(n - 1, 1) for i in range(n)]
    found = core.certify(reduced, budgets, gap=gap, stop=stop, steps=steps)
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
    highest = int(problem.cost_range[1][at])
    budgets = [highest if r == at else None for r in range(len(problem.resources))]
    return reduce(problem.with_budget(budgets))


def _points(problem: BitsProblem, reduced: Reduced, found: core.Front) -> Columns:
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
