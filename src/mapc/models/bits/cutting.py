"""Several budgets: prices of the budgets, a good choice near them, and proof on what is left open.

1. Cutting planes in the space of prices give a bound (`multipliers`).
2. Raised prices, exchanges and joins give a feasible choice (`exchange`, `joining`).
3. Options that bound and choice rule out are dropped; often few groups stay open, and listing
   their choices proves the optimum (`proving`).
4. Groups that the relaxation splits are decided, one part of the problem after another
   (`branching`); a better choice drops more options, and what is left is searched again.
5. A solver decides what is still open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.bits.branching import Branching, Part
from mapc.models.bits.exchange import State, exchanged, feasible_near
from mapc.models.bits.formulations import Lift, choice_of
from mapc.models.bits.grid import Grid, exact_sum, lagrangian, restricted, subproblem
from mapc.models.bits.joining import improved
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.proving import Prices, listed
from mapc.models.bits.questions import questions
from mapc.models.bits.reduction import Reduced
from mapc.solvers.base import Status

SOURCE = "cutting planes"
JOIN_ROUNDS = 4
LISTING_OPTIONS = 250
"""Options left open beside one per group up to which they are listed at once."""
PARTS = (4, 8, 16, 60, 240)
"""Parts of the problem looked at before it is cut down to what is still open."""
SOLVED_OPTIONS = 1000
"""Options left open up to which a solver comes before the many parts."""
WORK = 60.0
"""Work of a solver's call where the clock does not count."""


class Allocation:
    """A separable problem under attack: the best choice and bound so far, in quanta."""

    def __init__(self, problem: BitsProblem, reduced: Reduced, search: Search) -> None:
        self.problem, self.reduced, self.search = problem, reduced, search
        self.grid = Grid.of(reduced)
        self.state: State | None = None
        self.dual = maximise(GridOracle(self.grid), stop=search.done)
        self.bound = lagrangian(self.grid, self.dual.multipliers)
        self._prices: Prices | None = None

    @property
    def prices(self) -> Prices:
        """Reduced prices at the dual's multipliers and some on the way to them."""
        if self._prices is None:
            tests = 8 if len(self.reduced.quanta) < 20_000 else 1
            self._prices = Prices(self.grid, self.dual.trail, tests)
        return self._prices

    @property
    def closed(self) -> bool:
        """Whether the choice is proven optimal."""
        return self.state is not None and self.state.quanta <= self.bound

    def check_hope(self) -> None:
        """Raise ``InfeasibleError`` when the bound lies above every loss there is."""
        finite = np.where(np.isfinite(self.grid.loss), self.grid.loss, 0.0)
        most = self.grid.base + int(finite.max(axis=0, initial=0.0).astype(np.int64).sum())
        if self.bound > most:
            names = ", ".join(repr(self.problem.resources[r]) for r in self.problem.limited)
            raise InfeasibleError(f"no choice keeps the budgets of {names} at once; relax one")

    def raise_bound(self, quanta: int, source: str = SOURCE) -> None:
        """Note a bound that holds for every choice."""
        self.bound = max(self.bound, quanta)
        self.search.prove(self.bound * self.problem.quantum, source)

    def offer(self, state: State | None, source: str = SOURCE) -> None:
        """Note a feasible choice, if it is better than the one known."""
        if state is None or not state.feasible:
            return
        if self.state is None or state.quanta < self.state.quanta:
            self.state = state
            choice = self.grid.options(state.row)
            self.search.propose(self.reduced.lift(self.problem, choice), source)

    def adopt(self, choice: IntArray) -> None:
        """Start from a choice of options found elsewhere, -1 where an option is gone."""
        if (choice >= 0).all():
            state = State(self.grid, self.grid.rows(choice))
            if state.feasible and (self.state is None or state.quanta < self.state.quanta):
                self.state = state

    def prove_by_listing(self) -> bool:
        """List all better choices where few options are open; say whether that was complete."""
        state = self.state
        if state is None:
            return False
        spare = int(self.prices.open_options(state.quanta).sum()) - self.grid.n_groups
        if spare > LISTING_OPTIONS:
            return False
        trial = State(self.grid, state.row)
        complete = listed(trial, self.prices, stop=self.search.done)
        self.offer(trial, "listing")
        if complete and self.state is not None:
            self.raise_bound(self.state.quanta, "listing")
        return complete

    def open_options(self) -> BoolArray:
        """bool[m]: options that a better choice could have, and those of the best choice."""
        reduced, grid = self.reduced, self.grid
        if self.state is None:
            return np.ones(len(reduced.quanta), dtype=np.bool_)
        open_ = self.prices.open_options(self.state.quanta)
        row = np.arange(len(reduced.quanta)) - reduced.start[reduced.group_of]
        keep = open_[row, reduced.group_of]
        keep[grid.options(self.state.row)] = True
        return np.asarray(keep, dtype=np.bool_)

    def left_open(self) -> tuple[Grid, IntArray, IntArray]:
        """Return what is open: its grid, its groups, and the option behind each of its options.

        The quanta of the groups that are decided are in the grid's base.
        """
        assert self.state is not None
        keep = self.open_options()
        part, kept = restricted(self.reduced, keep), np.flatnonzero(keep)
        row = np.flatnonzero(np.isin(kept, self.grid.options(self.state.row)))
        groups = np.flatnonzero(np.diff(part.start) > 1)
        inner, behind = subproblem(part, groups, row)
        decided = np.ones(self.grid.n_groups, dtype=np.bool_)
        decided[groups] = False
        grid = Grid.of(inner)
        fixed = exact_sum(part.quanta[row[decided]])
        return replace(grid, base=grid.base + fixed), groups, kept[behind]


def attack(one: Allocation) -> None:
    """Run the steps of the module until the optimum is proven or the search is done."""
    search = one.search
    one.check_hope()
    one.raise_bound(one.bound)
    multipliers = one.dual.multipliers
    if one.state is None or one.grid.n_budgets != 1:
        one.offer(feasible_near(one.grid, multipliers))
    if one.state is not None and not search.done() and not one.closed:
        one.offer(exchanged(State(one.grid, one.state.row), multipliers, stop=search.done))
        join(one)
    if search.done() or one.closed or one.prove_by_listing():
        return
    for parts in PARTS[:2]:
        branch(one, parts)
    if int(one.open_options().sum()) - one.grid.n_groups <= SOLVED_OPTIONS:
        solve_open(one, one.search.remaining() / 2)
    for parts in PARTS[2:]:
        branch(one, parts)
    solve_open(one, one.search.remaining())


def join(one: Allocation) -> None:
    """Re-decide groups, a few dozen at a time."""
    assert one.state is not None
    state = State(one.grid, one.state.row)
    found = improved(
        state,
        one.dual.multipliers,
        rounds=JOIN_ROUNDS,
        seed=one.search.seed,
        stop=one.search.done,
    )
    one.offer(found, "joins")


def branch(one: Allocation, parts: int) -> None:
    """Branch on split groups of what is still open."""
    if one.state is None or one.search.done() or one.closed:
        return
    grid, groups, behind = one.left_open()
    base = one.state.row
    row = np.searchsorted(behind, one.grid.options(base)[groups]) - grid.reduced.start[:-1]

    def offer(state: State) -> None:
        whole = base.copy()
        whole[groups] = behind[grid.options(state.row)] - one.reduced.start[groups]
        one.offer(State(one.grid, whole), "branching")

    multipliers = one.dual.multipliers
    root = Part(grid, multipliers, lagrangian(grid, multipliers))
    search = Branching(State(grid, row), root, offer, one.search.done, one.search.seed)
    search.run(parts, lambda bound: one.raise_bound(bound, "branching"))
    one.raise_bound(search.bound, "branching")


def solve_open(one: Allocation, time: float) -> None:
    """Have a solver decide all that is still open, and prove.

    Without a choice to start from, the answer may be that there is none. ``time`` is in seconds.
    """
    for question in questions(one.search, ("cpsat", "highs"), time, WORK):
        if one.search.done() or one.closed:
            return
        keep = one.open_options()
        part, options = restricted(one.reduced, keep), np.flatnonzero(keep)
        start = None
        if one.state is not None:
            start = np.flatnonzero(np.isin(options, one.grid.options(one.state.row)))
        name = f"{one.problem.name}: choice"
        program, lift = choice_of(part, unit=question.unit, start=start, name=name)

        def take(values: Any, options: IntArray = options, lift: Lift = lift) -> None:
            row = one.grid.rows(options[lift.choice(np.asarray(values))])
            one.offer(State(one.grid, row), "MIP")

        solution = question.put(one.search, program, on_values=take)
        if solution.values is not None:
            take(solution.values)
        if solution.status is Status.INFEASIBLE and one.state is None:
            raise InfeasibleError("no choice keeps all budgets at once; relax one")
        if solution.bound is not None and question.trusts(solution):
            bound = lift.bound(solution.bound)
            # the options left out are only in choices that are no better than the best one
            best = bound if one.state is None else one.state.quanta
            one.raise_bound(min(bound, best), f"MIP ({solution.backend})")
        if not solution.stop.failed:
            return
