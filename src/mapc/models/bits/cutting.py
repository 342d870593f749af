"""Several budgets: prices of the budgets, a good choice near them, and proof on what is left open.

1. Cutting planes in the space of prices give a bound (`multipliers`).
2. Raised prices, exchanges and joins give a feasible choice (`exchange`, `joining`).
3. Options that bound and choice rule out are dropped; often few groups stay open, and listing
   their choices proves the optimum without a solver (`proving`).
4. A solver decides the groups that are cheapest to change, more of them each time, and as soon
   as few options are left open anywhere, the whole of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.bits.exchange import State, exchanged, feasible_near
from mapc.models.bits.formulations import Lift, choice_of
from mapc.models.bits.grid import Grid, lagrangian, restricted, subproblem
from mapc.models.bits.joining import improved
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.proving import Prices, listed
from mapc.models.bits.questions import Question, questions
from mapc.models.bits.reduction import Reduced
from mapc.solvers.base import Solution, Status

SOURCE = "cutting planes"
JOIN_ROUNDS = 4
LISTING_OPTIONS = 250
"""Options left open beside one per group up to which they are listed without a solver."""
OPEN_OPTIONS = 4000
"""Up to which a solver is given the whole problem at once."""
CORES = (64, 128, 256, 512)
"""Groups that a solver decides while the others are fixed."""
CORE_TIME, CORE_WORK = 1.5, 1.0
PROOF_WORK = 60.0
"""Work of a solver's calls where the clock does not count."""


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

    def ask(
        self, part: Reduced, options: IntArray, around: IntArray, question: Question
    ) -> tuple[Solution, Lift]:
        """Have a solver decide a part, the other groups as given.

        Parameters
        ----------
        part : Reduced
        options : int64[m']
            Option of the whole problem behind each of the part.
        around : int64[n]
            Rows of the grid for the groups outside.
        """
        start = None
        if self.state is not None:
            mine = np.zeros(len(self.reduced.quanta), dtype=np.bool_)
            mine[self.grid.options(self.state.row)] = True
            start = np.flatnonzero(mine[options])
        program, lift = choice_of(part, unit=question.unit, start=start, name=self.problem.name)
        source = f"MIP ({question.backend})"

        def take(values: Any) -> None:
            chosen = options[lift.choice(np.asarray(values))]
            row, group = around.copy(), self.reduced.group_of[chosen]
            row[group] = chosen - self.reduced.start[group]
            self.offer(State(self.grid, row), source)

        solution = question.put(self.search, program, on_values=take)
        if solution.values is not None:
            take(solution.values)
        return solution, lift


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
    solve_cores(one)
    solve_open(one)


def join(one: Allocation) -> None:
    """Re-decide groups until that no longer helps, or what is left can be listed."""
    for seed in range(3):
        state = one.state
        if state is None or one.search.done():
            return
        before = state.quanta
        found = improved(
            State(one.grid, state.row),
            one.dual.multipliers,
            rounds=JOIN_ROUNDS,
            seed=one.search.seed + seed,
            stop=one.search.done,
        )
        one.offer(found, "joins")
        gap = before - one.bound
        if before - found.quanta <= gap // 16:
            return


def solve_cores(one: Allocation) -> None:
    """Have a solver decide the groups that are cheapest to change, more of them each time.

    The groups around them stand where the multipliers put them: what they leave of the budgets
    is for the core to use up.
    """
    reduced, grid = one.reduced, one.grid
    if one.state is None or len(grid.loss) < 2:
        return
    value = one.prices.price[0]
    row = np.argmin(value, axis=0).astype(np.int64)
    near = np.argsort(np.partition(value, 1, axis=0)[1], kind="stable")
    for size in CORES:
        if one.search.done():
            return
        if int(one.open_options().sum()) - grid.n_groups <= OPEN_OPTIONS // 4:
            return
        before = one.state.quanta
        part, options = subproblem(reduced, near[:size], grid.options(row))
        question = questions(one.search, ("highs",), CORE_TIME, CORE_WORK)[0]
        one.ask(part, options, row, question)
        if one.state.quanta < before:
            join(one)


def solve_open(one: Allocation) -> None:
    """Have a solver decide all that is still open, and prove.

    A better choice closes more options, so that the next question is smaller. Without a choice
    to start from, the answer may be that there is none.
    """
    nothing = np.zeros(one.grid.n_groups, dtype=np.int64)
    for question in questions(one.search, ("cpsat", "highs"), None, PROOF_WORK):
        if one.search.done() or one.closed:
            return
        keep = one.open_options()
        part, options = restricted(one.reduced, keep), np.flatnonzero(keep)
        solution, lift = one.ask(part, options, nothing, question)
        if solution.status is Status.INFEASIBLE and one.state is None:
            raise InfeasibleError("no choice keeps all budgets at once; relax one")
        if solution.bound is not None and question.trusts(solution):
            bound = lift.bound(solution.bound)
            # the options left out are only in choices that are no better than the best one
            best = bound if one.state is None else one.state.quanta
            one.raise_bound(min(bound, best), f"MIP ({solution.backend})")
        if not solution.stop.failed:
            return
