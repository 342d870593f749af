"""What memory plans are measured against: baselines, the published ILP, omnimalloc."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

import mapc
from mapc.errors import UsageError
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.addresses import Rectangles
from mapc.models.memory.online import Fit, Online, Policy
from mapc.models.memory.orders import RULES, greedy_order
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits

ALLOCATORS = (
    "best_fit",
    "greedy_by_size",
    "greedy_by_area",
    "greedy_by_all",
    "hill_climb",
    "tabu_search",
    "simulated_annealing",
    "telamalloc",
    "supermalloc",
)
"""Allocators of omnimalloc; those that its release does not have are left out."""


@dataclass(frozen=True)
class Outcome:
    """What one method did on one problem.

    Attributes
    ----------
    extra : int or None
        Bytes of extra off-chip traffic; None without a plan.
    seconds : float
        Wall time.
    status : str
    bound : int or None
    """

    extra: int | None
    seconds: float
    status: str
    bound: int | None = None


def eviction(problem: MemoryProblem, order: np.ndarray) -> Outcome:
    """Belady's rule on an order, then best fit step by step, losing what stands in the way."""
    begin = time.perf_counter()
    schedule = Schedule(problem, order)
    online = Online(schedule, evict_by_next_use(schedule), Policy(Fit.BEST))
    rectangles = Rectangles.of(schedule, online.keep)
    k = len(rectangles.tensor)
    plan = rectangles.plan(
        online.offsets(rectangles.tensor, rectangles.start, rectangles.lower[k:])
    )
    seconds = time.perf_counter() - begin
    verdict = verify(problem, plan)
    if verdict.violations:
        raise AssertionError(f"{problem.graph.name}: {verdict.violations[0]}")
    return Outcome(int(verdict.objective), seconds, "plan")


def free_eviction(problem: MemoryProblem) -> int:
    """Return the extra bytes of Belady's rule on the given order with addresses for nothing."""
    schedule = Schedule(problem, problem.graph.given_order)
    return schedule.cost(evict_by_next_use(schedule))


def smallest_peak_order(problem: MemoryProblem) -> np.ndarray:
    """Return the greedy order with the smallest peak."""
    orders = [greedy_order(problem, rule) for rule in RULES]
    return min(orders, key=lambda order: Schedule(problem, order).peak)


def published_ilp(problem: MemoryProblem, seconds: float, most_operators: int) -> Outcome:
    """Give the published ILP to HiGHS, one thread; building it counts."""
    if problem.graph.n_operators > most_operators:
        return Outcome(None, 0.0, "not tried")
    begin = time.perf_counter()
    try:
        program, lift = mapc.lower(problem, formulation="cosma")
    except UsageError:
        return Outcome(None, 0.0, "too large")
    left = max(1.0, seconds - (time.perf_counter() - begin))
    solution = registry.solve(program, "highs", limits=Limits(time=left))
    taken = time.perf_counter() - begin
    extra = None
    if solution.values is not None:
        extra = int(verify(problem, lift(solution)).objective)
    status = solution.status.value
    return Outcome(extra, taken, "limit" if extra is None and status != "infeasible" else status)


def ours(problem: MemoryProblem, seconds: float, seed: int) -> Outcome:
    """Run mapc with a limit."""
    begin = time.perf_counter()
    result = mapc.solve(problem, time_limit=seconds, seed=seed)
    taken = time.perf_counter() - begin
    if result.plan is None:
        return Outcome(None, taken, result.status.value)
    bound = None if result.bound is None else int(result.bound)
    return Outcome(int(result.objective), taken, result.status.value, bound)


def has_omnimalloc() -> bool:
    """Whether omnimalloc can be imported."""
    return find_spec("omnimalloc") is not None


def omnimalloc_peaks(problem: AllocationProblem) -> dict[str, tuple[int, float]]:
    """Return peak and seconds of each allocator of omnimalloc on buffers without a capacity."""
    import omnimalloc

    unit = problem.alignment
    buffers = [
        omnimalloc.Allocation(id=at, size=int(size) // unit, start=int(start), end=int(end))
        for at, (size, start, end) in enumerate(
            zip(problem.padded, problem.lower, problem.upper, strict=True)
        )
    ]
    known = omnimalloc.available_allocators()
    found = {}
    for name in ALLOCATORS:
        if name not in known:
            continue
        begin = time.perf_counter()
        placed = omnimalloc.allocate(buffers, name)
        seconds = time.perf_counter() - begin
        found[name] = (unit * max(one.offset + one.size for one in placed), seconds)
    return found


def our_peak(problem: AllocationProblem, seconds: float) -> tuple[int | None, float, str]:
    """Return peak, seconds and status of mapc, asked for the smallest peak."""
    result = mapc.solve(replace(problem, capacity=None), time_limit=seconds)
    peak = None if result.objective is None else int(result.objective)
    return peak, result.seconds, result.status.value
