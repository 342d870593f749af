"""The least largest loss: which options a threshold leaves, and whether they fit the budgets.

Only the distinct losses matter as thresholds. What a threshold leaves cannot fit where the
cheapest of it exceeds a budget - with one budget, that decides - or where prices of the budgets
prove it; it does fit where a choice is found. Between the highest threshold that is ruled out and
the lowest that is met, a solver decides.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.bits.exchange import State, feasible_near
from mapc.models.bits.formulations import largest_of
from mapc.models.bits.grid import Grid, exact_sum, lagrangian, restricted
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.questions import questions
from mapc.models.bits.reduction import Reduced
from mapc.solvers.base import Status

SOURCE = "threshold"
WORK = 60.0


class Thresholds:
    """A problem that minimises its largest loss.

    Attributes
    ----------
    values : int64[t]
        Distinct losses in quanta, ascending.
    low : int
        No plan stays below ``values[low]``.
    high : int
        A plan stays within ``values[high]``; as many as there are values when none is known.
    """

    def __init__(self, problem: BitsProblem, reduced: Reduced, search: Search) -> None:
        self.problem, self.reduced, self.search = problem, reduced, search
        self.values, rank = np.unique(reduced.quanta, return_inverse=True)
        self.rank = rank.ravel().astype(np.int64)
        self.low = int(np.minimum.reduceat(self.rank, reduced.start[:-1]).max())
        self.high = len(self.values)

    def exceeds(self, at: int) -> bool:
        """Whether the cheapest options within ``values[at]`` exceed a budget."""
        return self._cheapest_over(self.rank <= at)

    def _cheapest_over(self, keep: BoolArray) -> bool:
        reduced = self.reduced
        for cost, budget in zip(reduced.cost, reduced.budget, strict=True):
            high = np.where(keep, cost, np.iinfo(np.int64).max)
            if exact_sum(np.minimum.reduceat(high, reduced.start[:-1])) > budget:
                return True
        return False

    def raise_low(self, at: int) -> None:
        """Note that no plan stays below ``values[at]``."""
        if at >= len(self.values):
            raise InfeasibleError("no choice keeps all budgets at once; relax one")
        self.low = max(self.low, at)
        self.search.prove(float(self.values[self.low]) * self.problem.quantum, SOURCE)

    def offer(self, choice: IntArray, source: str = SOURCE) -> None:
        """Note a feasible choice of options."""
        at = int(self.rank[choice].max())
        if at < self.high:
            self.high = at
            self.search.propose(self.reduced.lift(self.problem, choice), source)

    def rule_out(self) -> None:
        """Raise ``low`` to the first threshold whose cheapest options keep every budget."""
        low, high = self.low, len(self.values)
        while low < high:
            middle = (low + high) // 2
            if self.exceeds(middle):
                low = middle + 1
            else:
                high = middle
        self.raise_low(low)

    def meet(self) -> None:
        """Bisect for the lowest threshold that a choice meets, by prices of the budgets."""
        low, high = self.low, min(self.high, len(self.values))
        # first where nothing speaks against it, then wherever half of the doubt is
        at = low
        while low < high and not self.search.done():
            verdict = self.try_at(at)
            if verdict is True:
                high = min(at, self.high)
            else:
                low = at + 1
                if verdict is False:
                    self.raise_low(low)
            at = (low + high) // 2

    def try_at(self, at: int) -> bool | None:
        """Say whether ``values[at]`` can be met; None for not known."""
        keep = self.rank <= at
        part, options = restricted(self.reduced, keep), np.flatnonzero(keep)
        grid = Grid.of(part)
        if min(grid.room, default=0) < 0:
            return False
        cheapest = _cheapest(grid)
        if cheapest is not None:
            # one budget: what is left of it goes into lower losses
            state = feasible_near(grid, maximise(GridOracle(grid)).multipliers)
            self.offer(options[grid.options((state or cheapest).row)])
            return True
        dual = maximise(GridOracle(grid), stop=self.search.done)
        finite = np.where(np.isfinite(grid.loss), grid.loss, 0.0).max(axis=0)
        if lagrangian(grid, dual.multipliers) > grid.base + int(finite.astype(np.int64).sum()):
            return False
        state = feasible_near(grid, dual.multipliers)
        if state is None:
            return None
        self.offer(options[grid.options(state.row)])
        return True

    def settle(self) -> None:
        """Have a solver decide between ``low`` and ``high``."""
        last = min(self.high, len(self.values) - 1)
        keep = self.rank <= last
        part, options = restricted(self.reduced, keep), np.flatnonzero(keep)
        for question in questions(self.search, ("cpsat", "highs"), None, WORK):
            if self.search.done():
                return
            program, lift = largest_of(part, name=f"{self.problem.name}: max")
            solution = question.put(self.search, program)
            if solution.status is Status.INFEASIBLE and self.high > last:
                self.raise_low(len(self.values))
            if solution.values is not None:
                self.offer(options[lift.choice(solution.values)], f"MIP ({solution.backend})")
            if solution.bound is not None:
                quanta = min(lift.bound(solution.bound), int(self.values[last]))
                self.raise_low(int(np.searchsorted(self.values, quanta)))
            if not solution.stop.failed:
                return


def _cheapest(grid: Grid) -> State | None:
    """Return the choice that is cheapest in every budget at once, if there is one."""
    total = (grid.cost / grid.cost_scale[:, np.newaxis, np.newaxis]).sum(axis=0)
    total[~np.isfinite(grid.loss)] = np.inf
    state = State(grid, np.argmin(total, axis=0).astype(np.int64))
    return state if state.feasible else None


def attack(problem: BitsProblem, reduced: Reduced, search: Search) -> None:
    """Minimise the largest loss.

    Raises
    ------
    InfeasibleError
        If the budgets exclude each other.
    """
    one = Thresholds(problem, reduced, search)
    one.rule_out()
    one.meet()
    if one.low < one.high and not search.done():
        one.settle()
