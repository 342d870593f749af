"""How good a run was, in one number each: against the best known, over time, over many instances.

The primal gap and the primal integral are those of T. Berthold, "Measuring the impact of primal
heuristics", Operations Research Letters 41 (2013) 611-614; shifted geometric means those of
T. Achterberg, "Constraint Integer Programming", PhD thesis, TU Berlin 2007, appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from mapc.quality.index import Number


class Step(Protocol):
    """What an event of a trajectory says here; `mapc.solvers.base.Event` has it."""

    @property
    def time(self) -> float:
        """Seconds from the start."""

    @property
    def kind(self) -> str:
        """``"incumbent"`` for a better plan."""

    @property
    def objective(self) -> float | None:
        """Of the best plan at that time."""


def to_best(objective: Number | None, best: Number | None) -> float | None:
    """Return how far a plan is from the best known; negative for a better one.

    ``(objective - best) / max(|objective|, |best|)``: the primal gap with a sign. It stays finite
    where the best known is 0; where the signs differ it is at most 1 in size, as defined there.

    Parameters
    ----------
    objective, best : number or None
        None: there is none, and neither is a distance.
    """
    if objective is None or best is None:
        return None
    if objective == best:
        return 0.0
    if objective * best < 0:
        return math.copysign(1.0, objective - best)
    return float((objective - best) / max(abs(objective), abs(best)))


def primal_integral(
    trajectory: Iterable[Step], best: Number | None, seconds: float, horizon: float | None = None
) -> float | None:
    """Return the integral over time of the primal gap of the best plan so far, in seconds.

    The gap is 1 before the first plan, 0 for the best known one, and ``|c - best| / max(|c|,
    |best|)`` for others. A run that spends 10 s without a plan and then finds the best one has an
    integral of 10; one that ends early, short of the best known, pays its last gap until
    the horizon. Where the run itself found something better than what is known, the gap is to
    that.

    Parameters
    ----------
    trajectory : iterable of Event
        Of a result; times in seconds from its start, in order.
    best : number or None
        Best objective known.
    seconds : float
        How long the run took.
    horizon : float, optional
        Until when to integrate: the time limit of the run. What is found after it does not
        count. By default the end of the run.

    Returns
    -------
    float or None
        None where nothing is known to measure against: no best value and no plan.
    """
    plans = [
        (step.time, step.objective)
        for step in trajectory
        if step.kind == "incumbent" and step.objective is not None
    ]
    known = [value for _, value in plans] + ([] if best is None else [best])
    if not known:
        return None
    reference = min(known)
    end = seconds if horizon is None else horizon
    total, since, gap = 0.0, 0.0, 1.0
    for time, objective in plans:
        now = min(time, end)
        total += gap * (now - since)
        since, gap = now, abs(to_best(objective, reference) or 0.0)
    return total + gap * max(0.0, end - since)


def shifted_geometric_mean(values: Iterable[float], shift: float) -> float | None:
    """Return ``prod(v + shift) ** (1 / n) - shift``; None without values.

    Parameters
    ----------
    values : iterable of float
        At least 0.
    shift : float
        Above 0, in the unit of the values: differences far below it hardly count.
    """
    # relative to the shift, so that zeros have the mean zero and not a rounding error
    logs = [math.log1p(value / shift) for value in values]
    return shift * math.expm1(math.fsum(logs) / len(logs)) if logs else None
