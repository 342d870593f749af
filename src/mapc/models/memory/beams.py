"""Plans with addresses by wider and wider beams, in less room where addresses call for it.

What a beam holds fits by its bytes, not always by its addresses. Where no addresses are found, the
next beam does with less room, and with more again once there are some. Each beam looks for a plan
that is cheaper than the best one with addresses, and takes the order of the last one, or the given
one, for reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation import exact
from mapc.models.base import Search
from mapc.models.memory.addresses import Rectangles, place_or_lose
from mapc.models.memory.exact.beam import sweep
from mapc.models.memory.exact.floor import tightest_step
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule

WIDTHS = tuple(4**k for k in range(7))
"""How many states go on, one beam after another."""
TURNS = 3
"""Beams of each width at most."""
LEANS = (24, 8, 40)
"""Sixteenths of a byte that a resident byte weighs, turn by turn."""
ROWS = 4_000_000
"""Width times operators at most."""
LESS, MORE = 4, 2
"""Hundredths of the room that are given up where there are no addresses, and taken back."""
NODES = 2_000
"""Nodes of the search for addresses."""
HOPELESS = 1.5
"""How many times dearer a plan may well be after what cannot be placed is lost."""
COUNTED_MOVES = 100_000
"""Moves tried without a clock."""
COUNTED_SETS = 50_000
"""Sets of operators stored without a clock."""
SHARE, FLOOR_SHARE = 0.15, 0.1
"""Shares of the time left, of the first turn and of the bound by the tightest step."""


def share_of(search: Search, part: float) -> Callable[[], bool]:
    """Return what says when a share of the time left is used up, or the search is over."""
    started = search.remaining()

    def done() -> bool:
        if search.done():
            return True
        return not search.deterministic and started - search.remaining() > part * started

    return done


def bound_by_tightest_step(problem: MemoryProblem, search: Search) -> None:
    """What the tightest step of every order costs."""
    if not problem.plain:
        return
    floor = tightest_step(
        problem,
        lower=int(search.bound or 0),
        known=None if search.objective is None else int(search.objective),
        states=COUNTED_SETS if search.deterministic else None,
        done=share_of(search, FLOOR_SHARE),
    )
    search.prove(floor.bound, "tightest step")


def search_beams_shortly(problem: MemoryProblem, search: Search) -> None:
    """A short turn of `search_beams`."""
    search_beams(problem, search, SHARE)


def search_beams(problem: MemoryProblem, search: Search, part: float = 1.0) -> None:
    """Wider and wider beams, each plan with addresses."""
    if problem.plain and not search.done():
        _Beams(problem, search, share_of(search, part)).run()


@dataclass
class _Beams:
    problem: MemoryProblem
    search: Search
    done: Callable[[], bool]
    percent: int = 100
    """Of the room."""
    moves: int = 0

    def run(self) -> None:
        """All widths; a width is left when nothing more is to be expected of it."""
        search, graph = self.search, self.problem.graph
        reference = graph.given_order if search.plan is None else search.plan.order
        for width in WIDTHS:
            if width * (graph.n_operators + 1) > ROWS:
                return
            for lean in LEANS[:TURNS]:
                for looked_at in (reference, graph.given_order):
                    if self.done() or (search.deterministic and self.moves >= COUNTED_MOVES):
                        return
                    order = self._turn(looked_at, width, lean)
                    reference = reference if order is None else order

    def _turn(self, reference: IntArray, width: int, lean: int) -> IntArray | None:
        """One beam; return the order of what it found."""
        known = self.search.objective
        swept = sweep(
            self.problem,
            reference,
            width=width,
            lean=lean,
            known=None if known is None else int(known),
            room=self.problem.room * self.percent // 100,
            done=self.done,
        )
        self.moves += swept.moves
        if swept.order is None or swept.keep is None or swept.cost is None:
            self.percent = min(100, self.percent + MORE)
            return None
        schedule = Schedule(self.problem, swept.order)
        placed = self._place(schedule, swept.keep, swept.cost, f"beam of width {width}")
        self.percent = min(100, self.percent + MORE) if placed else max(40, self.percent - LESS)
        return swept.order

    def _place(self, schedule: Schedule, keep: BoolArray, cost: int, source: str) -> bool:
        """Propose a plan that keeps these links, or nearly as many; whether they were placed."""
        search, rectangles = self.search, Rectangles.of(schedule, keep)
        nodes = NODES if search.deterministic or exact.ready() else 0
        offset, _ = rectangles.attempt(search.seed, 1, nodes, self.done)
        if offset is not None:
            search.propose(rectangles.plan(offset), source)
        elif search.objective is None or HOPELESS * cost < search.objective:
            plan = place_or_lose(schedule, keep, self.done)
            search.propose(plan, f"{source}, repaired")
        return offset is not None
