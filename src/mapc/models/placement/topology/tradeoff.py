"""What balance costs in traffic, and the other way round: a sweep of load limits."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mapc.errors import UsageError
from mapc.models.base import Search, Verdict
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import HOME, NONE, PlacementProblem
from mapc.models.placement.topology import home, nodes, traffic_bounds
from mapc.models.placement.verify import verify
from mapc.program.model import Program
from mapc.solvers.base import Number, Solution

LIMITS = (1.005, 1.01, 1 / 0.98, 1.05, 1.1, 1.25, 1.5)
"""Largest loads of a rank, over the mean, from balanced to hardly limited."""


@dataclass(frozen=True, eq=False)
class Point:
    """What was found under one load limit.

    Attributes
    ----------
    limit : float
        Most load of a rank over the mean load.
    balancedness, min_layer_balancedness, cross_node, cross_rank : float
        As `verify` reports them.
    objective, bound : float
        In the unit of the cost; the bound holds under the limit, minus infinity for none.
    plan : PlacementPlan
    """

    limit: float
    balancedness: float
    min_layer_balancedness: float
    cross_node: float
    cross_rank: float
    objective: float
    bound: float
    plan: PlacementPlan


def front(
    problem: PlacementProblem,
    limits: Sequence[float] = LIMITS,
    *,
    seconds: float | None = None,
    seed: int = 0,
    done: Callable[[], bool] = lambda: False,
) -> list[Point]:
    """Return what can be had under each load limit, from the tightest to the loosest.

    A plan under a tight limit also keeps to a loose one, so that objectives never rise along the
    list; limits under which nothing was found are left out.

    Parameters
    ----------
    problem : PlacementProblem
        With traffic that costs something; its own load limit is put aside.
    limits : sequence of float
        Each >= 1.
    seconds : float, optional
        For each limit; without it the methods stop after counted work.
    seed : int
    done : callable
        Whether to stop early; the points so far are returned.

    Raises
    ------
    UsageError
        For a problem without traffic that costs something, or a limit below 1.
    """
    if problem.traffic == NONE or problem.balance_only:
        raise UsageError(f"{problem.name}: no traffic that costs something, nothing to trade")
    for limit in limits:
        if not 1 <= limit < math.inf:
            raise UsageError(f"limit {limit}: expected a multiple of the mean load, >= 1")
    method = home.run if problem.traffic == HOME else nodes.run
    found: list[Point] = []
    for limit in sorted(limits):
        if done():
            break
        limited = problem.replace(max_imbalance=limit)
        search = _Sweep(limited, seconds, seed, done)
        traffic_bounds.run(limited, search)
        if found:
            search.propose(found[-1].plan, "tighter limit")
        method(limited, search)
        if search.plan is not None:
            found.append(_point(limit, search))
    return found


def _point(limit: float, search: _Sweep) -> Point:
    facts = search.facts
    return Point(
        limit,
        facts["balancedness"],
        facts["min_layer_balancedness"],
        facts["cross_node"],
        facts["cross_rank"],
        float(search.objective if search.objective is not None else math.inf),
        float(search.bound if search.bound is not None else -math.inf),
        search.plan,
    )


class _Sweep(Search):
    """Keeps the best plan and bound of one limit; no solver."""

    def __init__(
        self,
        problem: PlacementProblem,
        seconds: float | None,
        seed: int,
        stop: Callable[[], bool],
    ) -> None:
        self.problem, self.seed, self.stop = problem, seed, stop
        self.ends = math.inf if seconds is None else clock.monotonic() + seconds
        self._verdict: Verdict | None = None
        self._plan: Any = None
        self._bound: Number | None = None

    @property
    def objective(self) -> Number | None:
        return None if self._verdict is None else self._verdict.objective

    @property
    def plan(self) -> Any:
        return self._plan

    @property
    def facts(self) -> Any:
        return {} if self._verdict is None else self._verdict.facts

    @property
    def bound(self) -> Number | None:
        return self._bound

    @property
    def deterministic(self) -> bool:
        return self.ends == math.inf

    def remaining(self) -> float:
        return math.inf if self.deterministic else self.ends - clock.monotonic()

    def done(self) -> bool:
        return self.remaining() <= 0 or self.stop()

    def propose(self, plan: Any, source: str) -> bool:
        verdict = verify(self.problem, plan)
        if verdict.violations or verdict.objective is None:
            return False
        if self.objective is not None and verdict.objective >= self.objective:
            return False
        self._plan, self._verdict = plan, verdict
        return True

    def prove(self, bound: Number, source: str) -> None:
        if self._bound is None or bound > self._bound:
            self._bound = bound

    def note(self, text: str) -> None:
        """Nobody reads it."""

    def solve(self, program: Program, **options: Any) -> Solution:
        raise NotImplementedError("no method of a sweep has programs solved")
