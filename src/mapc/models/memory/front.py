r"""The front of extra traffic against capacity, with what is proven about every point.

The least extra traffic is a step function of the capacity that never rises: a plan within a
capacity is one within every larger one. So what is known at some capacities says something
at all of them:

* a plan with traffic :math:`T` and highest address :math:`p` bounds it by :math:`T` from above at
  all capacities from :math:`p` on;
* a bound :math:`b` at capacity :math:`c` bounds it by :math:`b` from below at all capacities up to
  :math:`c`, since it holds at :math:`c` for every plan that a smaller capacity has.

Where both meet, the front is known; in particular between two capacities with equal proven traffic
there is nothing left to ask, and a plan that is proven optimal within :math:`c` settles all of
:math:`[p, c]`.

**Unit.** Move everything down as far as it goes: then every address is a sum of sizes, and so is
the highest one. Capacities count in multiples of the greatest common divisor of all sizes only.

**What is asked.** First both ends: the largest working set, below which there is no plan, and the
smallest capacity without extra traffic. Then capacities in open spans, those where the bounds
differ, by their area, length times difference: the upper end, which says whether the step is where
a plan has put it, and in turn with that, while it is wide, the middle, which halves it. A span that
is not further open than the answer at one of its ends was left is not asked about: it would be
answered as little. When nothing else is left, what was left open is asked again, for longer.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import steps_of
from mapc.models import family
from mapc.models.allocation import exact
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import phrase_of
from mapc.models.fronts import ALL, CERTIFIED, OPEN, Columns, Front, Sweep
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.solvers.base import Number, Status, relative_gap
from mapc.solvers.result import Result

NO_PLAN = 2**62
"""Traffic where there is no plan; a bound of as much says that there is none."""
WIDE = 1 / 256
"""Part of the first open area above which a span is halved."""
QUICK = ("exact",)
"""Methods that settle most capacities; others are asked where they do not."""
NODES = 20_000
"""Nodes of the search that brings a plan down."""
TURN = 0.1
"""Part of the time left that one capacity may take at first."""
LEAST_TURN = 1.0
"""Seconds it may take in any case."""


@dataclass(frozen=True)
class Span:
    """Capacities from ``first`` to ``last``, in units, with the same bounds on the traffic."""

    first: int
    last: int
    upper: int
    lower: int

    @property
    def area(self) -> int:
        """Length times difference."""
        return (self.last - self.first + 1) * (self.upper - self.lower)


@dataclass
class Staircase:
    """What plans and bounds say about the least traffic at every capacity.

    Capacities are in units, from ``low`` on. Only what says more than the rest is kept.

    Attributes
    ----------
    low : int
        No plan has less.
    peaks, traffic, plans : lists
        Plans by rising highest address, and so by falling traffic.
    capacities, bounds : lists of int
        Bounds by rising capacity, and so by falling bound.
    """

    low: int
    peaks: list[int] = field(default_factory=list)
    traffic: list[int] = field(default_factory=list)
    plans: list[Any] = field(default_factory=list)
    capacities: list[int] = field(default_factory=list)
    bounds: list[int] = field(default_factory=list)

    def upper(self, capacity: int) -> int:
        """Return the least traffic of the known plans within a capacity, or `NO_PLAN`."""
        at = bisect_right(self.peaks, capacity) - 1
        return self.traffic[at] if at >= 0 else NO_PLAN

    def lower(self, capacity: int) -> int:
        """Return what every plan within a capacity moves at least."""
        at = bisect_left(self.capacities, capacity)
        return self.bounds[at] if at < len(self.bounds) else 0

    def plan(self, capacity: int) -> Any:
        """Return the plan that `upper` speaks of, or None."""
        at = bisect_right(self.peaks, capacity) - 1
        return self.plans[at] if at >= 0 else None

    def add_plan(self, peak: int, traffic: int, plan: Any = None) -> None:
        """Take in a plan."""
        if traffic >= self.upper(peak):
            return
        at = bisect_left(self.peaks, peak)
        end = at
        while end < len(self.peaks) and self.traffic[end] >= traffic:
            end += 1
        for column, value in ((self.peaks, peak), (self.traffic, traffic), (self.plans, plan)):
            column[at:end] = [value]

    def add_bound(self, capacity: int, bound: int) -> None:
        """Take in a bound."""
        if bound <= self.lower(capacity):
            return
        end = bisect_right(self.capacities, capacity)
        at = end
        while at > 0 and self.bounds[at - 1] <= bound:
            at -= 1
        self.capacities[at:end] = [capacity]
        self.bounds[at:end] = [bound]

    def open_spans(self) -> list[Span]:
        """Return where the bounds differ, up to the last plan; bounds do not change within one."""
        if not self.peaks:
            return []
        cuts = {self.low, *self.peaks, *(c + 1 for c in self.capacities)}
        end = self.peaks[-1]  # what the last plan moves, a bound says as well, or is asked here
        steps = [*sorted(c for c in cuts if self.low <= c <= end), end + 1]
        spans = [
            Span(first, after - 1, self.upper(first), self.lower(first))
            for first, after in pairwise(steps)
        ]
        return [span for span in spans if span.lower < span.upper]

    def least(self, traffic: int) -> int:
        """Return a capacity below which that little traffic is proven impossible."""
        above = [c for c, b in zip(self.capacities, self.bounds, strict=True) if b > traffic]
        return max([self.low - 1, *above]) + 1


class Chooser:
    """Which capacity to ask for next."""

    def __init__(self, stairs: Staircase, gap: float) -> None:
        self.stairs, self.gap = stairs, gap
        self.left: dict[int, int] = {}
        """Difference that the answer at a capacity has left."""
        self.area = max([span.area for span in stairs.open_spans()], default=0)
        self.halve = True

    def next(self) -> int | None:
        """Return a capacity that has not been asked for, in units; None: nothing is to be won."""
        best: Span | None = None
        for span in self.stairs.open_spans():
            for part in self._between_asked(span):
                worth = part.upper - part.lower > self.gap * abs(part.upper)
                if worth and not self._as_open_as_ends(part):
                    best = part if best is None or part.area > best.area else best
        if best is None:
            return None
        self.halve = not self.halve and best.area > WIDE * self.area
        return (best.first + best.last) // 2 if self.halve else best.last

    def _between_asked(self, span: Span) -> list[Span]:
        """Cut a span at capacities asked for, leaving these out."""
        inside = sorted(c for c in self.left if span.first <= c <= span.last)
        firsts = [span.first, *(c + 1 for c in inside)]
        lasts = [*(c - 1 for c in inside), span.last]
        return [
            replace(span, first=first, last=last)
            for first, last in zip(firsts, lasts, strict=True)
            if first <= last
        ]

    def _as_open_as_ends(self, part: Span) -> bool:
        ends = [self.left.get(part.first - 1, 0), self.left.get(part.last + 1, 0)]
        return part.upper - part.lower <= max(ends)

    def open_again(self) -> list[int]:
        """Return capacities asked for whose answers left something open, the widest gap first."""
        stairs = self.stairs
        rest = {c: stairs.upper(c) - stairs.lower(c) for c in self.left}
        wide = [c for c in rest if rest[c] > self.gap * abs(stairs.upper(c))]
        return sorted(wide, key=lambda c: (-rest[c], c))


def front(problem: MemoryProblem, points: int | str | None, sweep: Sweep) -> Front:
    """Return the front of extra traffic (or cost) against capacity.

    Parameters
    ----------
    problem : MemoryProblem
        Its capacity is of no interest.
    points : int, str or None
        How many capacities to ask for, from the largest working set to the smallest capacity
        without extra traffic; None or ``"all"``: every point there is, as far as time allows.
    sweep : Sweep

    Raises
    ------
    UsageError
        For a problem with several banks.
    KeyboardInterrupt
        If it is interrupted before a first plan; behind that, what is known is returned.

    Returns
    -------
    Front
        Bytes. ``cost`` is the capacity, ``least`` one below which the traffic of the point is
        proven impossible: if the two are equal and the gap is 0, the step is known exactly.
    """
    if problem.options.banks:
        raise UsageError("--front sweeps one capacity; this problem has several banks")
    asking = _Asking(problem, sweep)
    if not asking.ends():
        if asking.interrupted and not asking.stairs.peaks:
            raise KeyboardInterrupt
        return asking.whole()
    if isinstance(points, int):
        return asking.at(points)
    asking.fill()
    return asking.whole()


class _Asking:
    """A front in the making."""

    def __init__(self, problem: MemoryProblem, sweep: Sweep) -> None:
        self.problem, self.sweep = replace(problem, capacity=None), sweep
        self.unit = int(np.gcd.reduce(np.append(problem.sizes, problem.workspaces))) or 1
        # costs are whole multiples of sizes, but for those of running operators again
        self.quantum = 1 if problem.options.recompute else self.unit
        self.stairs = Staircase(self._units_up(problem.smallest_capacity))
        self.phrase = phrase_of_traffic(problem)
        self.interrupted = False
        self.asked = 0

    def _units_up(self, size: int) -> int:
        return -(-size // self.unit)

    def stop(self) -> bool:
        """Whether nothing more is asked."""
        return self.interrupted or self.sweep.stop()

    def turn(self, part: float = TURN) -> float | None:
        """Seconds that one capacity may take; None: no clock."""
        left = self.sweep.remaining()
        return None if math.isinf(left) else max(LEAST_TURN, min(left, part * left))

    def ends(self) -> bool:
        """Ask for the smallest capacity without extra cost and for the largest working set."""
        found = self.sweep.solve(self.problem, minimize="peak", seconds=self.turn())
        self.asked += 1
        self.interrupted = found.interrupted
        if found.plan is not None and found.objective is not None:
            self.stairs.add_plan(self._units_up(int(found.objective)), 0, found.plan)
        if found.bound is not None:  # below it something is moved: a byte, or what all sizes divide
            self.stairs.add_bound(self._units_up(int(found.bound)) - 1, self.quantum)
        if not self.stop() and self.stairs.upper(self.stairs.low) > 0:
            self.ask(self.stairs.low, self.turn())
        return bool(self.stairs.peaks) and not self.stop()

    def ask(self, capacity: int, seconds: float | None) -> None:
        """Solve at a capacity, in units."""
        stairs = self.stairs
        at = replace(self.problem, capacity=capacity * self.unit)
        for methods in (QUICK, None) if at.plain else (None,):
            if stairs.lower(capacity) >= stairs.upper(capacity) or self.interrupted:
                break
            start, bound = stairs.plan(capacity), stairs.lower(capacity)
            found = self.sweep.solve(at, methods=methods, seconds=seconds, start=start, bound=bound)
            self.interrupted = found.interrupted
            try:
                self._take_in(at, capacity, found)
            except KeyboardInterrupt:  # while a plan is brought down; what is known is worth having
                self.interrupted = True
        self.asked += 1
        self.sweep.say(self._state(capacity))

    def _take_in(self, at: MemoryProblem, capacity: int, found: Result) -> None:
        stairs = self.stairs
        if found.status is Status.INFEASIBLE:
            stairs.add_bound(capacity, NO_PLAN)
        if found.plan is not None and found.objective is not None:
            plan, peak = brought_down(at, found.plan, int(found.facts["peak_bytes"]), self.stop)
            stairs.add_plan(max(self._units_up(peak), stairs.low), int(found.objective), plan)
        if found.bound is not None:
            stairs.add_bound(capacity, -(-int(found.bound) // self.quantum) * self.quantum)

    def _state(self, capacity: int) -> str:
        upper, lower = self.stairs.upper(capacity), self.stairs.lower(capacity)
        size = f"capacity {capacity * self.unit}"
        if upper == NO_PLAN:
            return f"{size}: no plan"
        rest = "" if upper == lower else f", bound {self.phrase(lower)}"
        return f"{size}: {self.phrase(upper)}{rest}; {len(self.stairs.open_spans())} spans open"

    def fill(self) -> None:
        """Ask for capacities until the front is known, or the time is up."""
        chooser = Chooser(self.stairs, self.sweep.gap)
        part = TURN
        while not self.stop():
            capacity = chooser.next()
            if capacity is None:
                again = chooser.open_again()
                if not again or math.isinf(self.sweep.remaining()):
                    return
                capacity, part = again[0], min(1.0, 2 * part)
            self.ask(capacity, self.turn(part))
            chooser.left[capacity] = self.stairs.upper(capacity) - self.stairs.lower(capacity)

    def whole(self) -> Front:
        """Return the points that plans make, and whether these are all."""
        stairs = self.stairs
        columns: Columns = {
            "cost": [peak * self.unit for peak in stairs.peaks],
            **self._said(stairs.peaks),
            "least": [stairs.least(traffic) * self.unit for traffic in stairs.traffic],
        }
        spans = stairs.open_spans()
        notes = []
        if spans:
            share = sum(span.last - span.first + 1 for span in spans)
            all_of = stairs.peaks[-1] - stairs.low + 1
            notes.append(
                f"not proven at {share / all_of:.2%} of the capacities, in {len(spans)} "
                f"{'span' if len(spans) == 1 else 'spans'}"
            )
        if not stairs.peaks:
            notes.append("no plan was found in time")
        known = bool(stairs.peaks) and not spans and stairs.traffic[-1] == 0
        return self._front(columns, ALL if known else OPEN, notes)

    def at(self, n: int) -> Front:
        """Return what is best at ``n`` capacities, evenly from one end to the other."""
        stairs = self.stairs
        low, high = stairs.low, max(stairs.low, stairs.peaks[-1])
        budgets = [high - (high - low) * (n - 1 - i) // max(n - 1, 1) for i in range(n)]
        for count, i in enumerate(_ends_first(n)):
            capacity, left = budgets[i], n - count
            if stairs.upper(capacity) > stairs.lower(capacity) and not self.stop():
                self.ask(capacity, self.turn(1 / left))
        found = [bisect_right(stairs.peaks, capacity) - 1 for capacity in budgets]
        columns: Columns = {
            "budget": [capacity * self.unit for capacity in budgets],
            "cost": [stairs.peaks[max(at, 0)] * self.unit for at in found],
            **self._said(budgets),
        }
        return self._front(columns, CERTIFIED, [])

    def _said(self, capacities: list[int]) -> Columns:
        """Traffic, bound, gap and status at capacities."""
        upper = [self.stairs.upper(capacity) for capacity in capacities]
        lower = [self.stairs.lower(capacity) for capacity in capacities]
        pairs = list(zip(upper, lower, strict=True))
        return {
            "traffic": upper,
            "bound": lower,
            "gap": [relative_gap(u, b) for u, b in pairs],
            "status": [(Status.OPTIMAL if u == b else Status.FEASIBLE).value for u, b in pairs],
        }

    def _front(self, columns: Columns, kind: str, notes: list[str]) -> Front:
        asked = f"{self.asked} {'capacity' if self.asked == 1 else 'capacities'} asked for"
        return Front("capacity", "bytes", columns, kind, "traffic", (asked, *notes))


def brought_down(
    problem: MemoryProblem, plan: MemoryPlan, peak: int, done: Callable[[], bool]
) -> tuple[MemoryPlan, int]:
    """Return a plan that does the same at addresses as low as a short search finds, and its peak.

    Plans with tensors that are pinned or lie within each other stay as they are.
    """
    options = problem.options
    if options.pinned or options.in_place or options.recompute or not exact.ready():
        return plan, peak
    operators = np.flatnonzero(problem.workspaces > 0)
    step, k = steps_of(plan.order)[operators], len(plan.tensor)
    buffers = AllocationProblem(
        name=problem.graph.name,
        names=tuple(str(i) for i in range(k + len(operators))),
        lower=np.concatenate([plan.start, step]),
        upper=np.concatenate([plan.stop, step + 1]),
        size=np.concatenate([problem.sizes[plan.tensor], problem.workspaces[operators]]),
        alignment=problem.alignment,
    )
    start = np.concatenate([plan.address, plan.workspace_address[operators]])
    found = exact.least_peak(buffers, start=start, nodes=NODES, done=done)
    workspace = plan.workspace_address.copy()
    workspace[operators] = found.offset[k:]
    lower = replace(plan, address=found.offset[:k].copy(), workspace_address=workspace)
    return (lower, found.peak) if found.peak < peak else (plan, peak)


def phrase_of_traffic(problem: MemoryProblem) -> Callable[[Number], str]:
    """Return how traffic is put in words."""
    return phrase_of(family("memory"), problem)


def _ends_first(n: int) -> list[int]:
    """Return 0 to n - 1, such that the ones between two known ones come after these."""
    order, queue, seen = [], [(0, n - 1)], set()
    for i in (0, n - 1):
        if i not in seen:
            order.append(i)
            seen.add(i)
    while queue:
        first, last = queue.pop(0)
        middle = (first + last) // 2
        if last - first > 1:
            order.append(middle)
            queue += [(first, middle), (middle, last)]
    return order
