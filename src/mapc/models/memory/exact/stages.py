"""Least extra traffic part by part, where operators part the graph.

The search over orders and residencies alone multiplies nothing at such an operator (all its states
are one there), but where several parts cost something, what is still open in one is tried again
below every cost of the others, and every move walks through the whole graph. Searched apart, parts
cost what they cost alone, and the bounds of those not finished add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.exact.beam import sweep
from mapc.models.memory.exact.floor import tightest_step
from mapc.models.memory.exact.search import QUICK_STATES, Found, OnPlan, least_traffic
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.reduction import Part, Parts, split
from mapc.models.memory.schedule import Schedule, evict_by_next_use

Done = Callable[[], bool]
FIRST_STATES = 5_000
"""States that each part may store in the first round."""
GROWTH = 8
"""How many times as many it may store in each further round."""
WIDTHS = (4, 16, 64, 256)
"""Widths of the beams through each part before its search, round by round; a good plan at hand is
what makes the search short. The last round has no limit of states."""
LEANS = (24, 8, 40)
"""Sixteenths of a byte that a resident byte weighs in these beams."""


@dataclass(eq=False)
class Stage:
    """What is known about a part: the best order, what it keeps, its cost, and a bound.

    And for how many states it was last searched.
    """

    part: Part
    order: IntArray
    keep: BoolArray
    cost: int
    lower: int = 0
    asked: int = 0

    @property
    def closed(self) -> bool:
        """Whether nothing better is to be found."""
        return self.lower >= self.cost

    def take(self, order: IntArray | None, keep: BoolArray | None, cost: int | None) -> None:
        """Put a cheaper order in place of the best one."""
        if order is not None and keep is not None and cost is not None and cost < self.cost:
            self.order, self.keep, self.cost = order, keep, cost


def open_stages(parts: Parts, references: list[IntArray]) -> list[Stage]:
    """Begin with Belady's rule on the orders at hand (of the whole), the best of each part."""
    stages = []
    for part in parts.parts:
        tried: list[Stage] = []
        for reference in references:
            schedule = Schedule(part.problem, part.order_of(reference))
            keep = evict_by_next_use(schedule)
            tried.append(Stage(part, schedule.order, keep, schedule.cost(keep)))
        stages.append(min(tried, key=lambda stage: stage.cost))
    return stages


class _Search:
    """The searches of all parts in turn; arguments as of `least_traffic_by_stages`."""

    def __init__(
        self,
        parts: Parts,
        references: list[IntArray],
        known: int | None,
        states: int | None,
        done: Done | None,
        on_plan: OnPlan | None,
    ) -> None:
        self.parts, self.known, self.states, self.done = parts, known, states, done
        self.on_plan, self.told = on_plan, known
        self.stages = open_stages(parts, references)
        self.used = 0

    @property
    def lower(self) -> int:
        """A bound on the whole: the parts' together."""
        return sum(stage.lower for stage in self.stages)

    @property
    def cost(self) -> int:
        """What the best orders of the parts cost together."""
        return sum(stage.cost for stage in self.stages)

    @property
    def open(self) -> list[Stage]:
        """Parts of which the optimum is not known."""
        return [stage for stage in self.stages if not stage.closed]

    @property
    def over(self) -> bool:
        """Whether there is nothing left to ask, or no time or space to do so."""
        best = self.cost if self.known is None else min(self.cost, self.known)
        if self.lower >= best or (self.done is not None and self.done()):
            return True
        return self.states is not None and self.used >= self.states

    def worth(self, stage: Stage) -> int:
        """Cost from which on a plan of a part is of no use beside the bounds of the others."""
        if self.known is None:
            return stage.cost
        return min(stage.cost, self.known - (self.lower - stage.lower))

    def beams(self, stage: Stage, width: int) -> None:
        """Run beams of one width, with the best order and the given one to look ahead by."""
        problem = stage.part.problem
        for lean in LEANS:
            for reference in (problem.graph.given_order, stage.order):
                if stage.closed or (self.done is not None and self.done()):
                    return
                known = self.worth(stage)
                swept = sweep(
                    problem, reference, width=width, lean=lean, known=known, done=self.done
                )
                stage.take(swept.order, swept.keep, swept.cost)

    def ask(self, stage: Stage, states: int | None, widths: tuple[int, ...]) -> None:
        """Search one part: beams, the tightest step, then best first."""
        left = None if self.states is None else max(1, self.states - self.used)
        limits = [limit for limit in (states, left) if limit is not None]
        limit = min(limits) if limits else None
        for width in widths:
            self.beams(stage, width)
        self.tell()
        problem, known = stage.part.problem, self.worth(stage)
        floor = tightest_step(problem, lower=stage.lower, known=known, states=limit, done=self.done)
        self.used += floor.states
        stage.lower = max(stage.lower, floor.bound)
        if stage.lower >= known or self.over:
            return
        # where the quick search came to its limit before, it would again
        quick = 0 if stage.asked >= QUICK_STATES else QUICK_STATES
        stage.asked = QUICK_STATES if limit is None else limit
        found = least_traffic(problem, known=known, states=limit, done=self.done, quick=quick)
        self.used += found.states
        stage.lower = max(stage.lower, found.bound)
        stage.take(found.order, found.keep, found.cost)

    def round(self, states: int | None, widths: tuple[int, ...]) -> None:
        """Search every part that is open, the smallest first."""
        rest = self.open
        for stage in sorted(rest, key=lambda stage: stage.part.problem.graph.n_operators):
            if self.over:
                return
            self.ask(stage, states, widths)

    def tell(self) -> None:
        """Hand over what the best orders of the parts are together, if that is new."""
        if self.on_plan is None or (self.told is not None and self.cost >= self.told):
            return
        self.told, found = self.cost, self.found()
        if found.order is not None and found.keep is not None and found.cost is not None:
            self.on_plan(found.order, found.keep, found.cost)

    def found(self) -> Found:
        """Return what is known about the whole."""
        lower = self.lower if self.known is None else min(self.lower, self.known)
        better = self.known is None or self.cost < self.known
        best = self.cost if better or self.known is None else self.known
        if not better:
            return Found(None, None, None, lower, lower >= best, self.used)
        order, keep = self.parts.join(
            [stage.order for stage in self.stages], [stage.keep for stage in self.stages]
        )
        return Found(order, keep, self.cost, lower, lower >= best, self.used)


def least_traffic_by_stages(
    problem: MemoryProblem,
    references: list[IntArray],
    *,
    known: int | None = None,
    states: int | None = None,
    done: Done | None = None,
    on_plan: OnPlan | None = None,
) -> Found:
    """Find the least extra traffic over all orders and residencies, part by part.

    As `mapc.models.memory.exact.search.least_traffic`, which it is where nothing parts the graph;
    see `mapc.models.memory.reduction`.

    Parameters
    ----------
    problem : MemoryProblem
        Plain, with a capacity of at least its ``smallest_capacity``.
    references : list of int64[n_operators]
        Orders at hand, one or more; a part that costs nothing in one of them is not searched.
    known, done, on_plan
        As there.
    states : int, optional
        Limit on states stored by all searches together.
    """
    parts = split(problem)
    if len(parts.parts) == 1:
        return least_traffic(problem, known=known, states=states, done=done, on_plan=on_plan)
    search = _Search(parts, references, known, states, done, on_plan)
    limit = FIRST_STATES
    for turn, width in enumerate(WIDTHS):
        if search.over:
            break
        if len(search.open) == 1 or width == WIDTHS[-1]:  # nothing else to take turns with
            search.round(None, WIDTHS[turn:])
        else:
            search.round(limit, (width,))
        limit *= GROWTH
    return search.found()
