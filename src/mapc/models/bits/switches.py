"""Losses between groups: switch costs along edges and pairwise tables.

Prices of the budgets leave a problem on the graph of the edges alone. On a forest that is solved
exactly (`forest`); edges that close a cycle count with the least they can add, which is still a
bound. The choice at slightly raised prices is feasible, single moves improve it, and options
whose least total exceeds it drop out before a solver sees the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.bits.forest import Folded, Forest, spanning_forest
from mapc.models.bits.formulations import Lift, better_than, equal_formats, related_of
from mapc.models.bits.grid import Grid, exact_sum, restricted
from mapc.models.bits.multipliers import Answer, maximise
from mapc.models.bits.problem import MAX, BitsProblem, FloatArray
from mapc.models.bits.questions import Question, questions
from mapc.models.bits.reduction import Reduced
from mapc.solvers.base import Solution, Status

SOURCE = "switches"
ROUNDS = 80
HALVINGS = 20
MOVES = 2000
WORK = 60.0
OTHERS = 12
"""Choices next to the best that are looked at to prove it."""


def floor(reduced: Reduced) -> int:
    """Return the quanta every choice loses: the least of every group and table."""
    least = np.minimum.reduceat(reduced.quanta, reduced.start[:-1])
    if reduced.objective == MAX:
        return int(least.max())
    return exact_sum(least) + sum(int(table.min()) for table in reduced.tables)


class Related:
    """Groups and what they lose between each other, as rectangles.

    Attributes
    ----------
    grid : Grid
    ends : int64[e, 2]
        Groups that an edge or a table relates, each pair once.
    tables : float64[e, width, width]
        What the pair loses above the least of it, in quanta; 0 where there is no option.
    base : int
        Quanta that loss and tables are counted above.
    """

    def __init__(self, reduced: Reduced) -> None:
        self.reduced, self.grid = reduced, Grid.of(reduced)
        width = len(self.grid.loss)
        both = np.concatenate([reduced.edges, reduced.pairs])
        self.ends, which = np.unique(both, axis=0, return_inverse=True)
        which = which.ravel()
        self.tables = np.zeros((len(self.ends), width, width))
        n_edges = len(reduced.edges)
        self.tables[which[:n_edges]] += reduced.switch_quanta[:, np.newaxis, np.newaxis]
        pairs, edge = equal_formats(reduced)
        rows = pairs - reduced.start[reduced.group_of[pairs]]
        same = which[:n_edges][edge], rows[:, 0], rows[:, 1]
        self.tables[same] -= reduced.switch_quanta[edge]
        for at, table in zip(which[n_edges:], reduced.tables, strict=True):
            self.tables[at, : table.shape[0], : table.shape[1]] += table
        there = np.isfinite(self.grid.loss).T
        real = there[self.ends[:, 0]][:, :, np.newaxis] & there[self.ends[:, 1]][:, np.newaxis]
        least = np.where(real, self.tables, np.inf).min(axis=(1, 2), initial=np.inf)
        self.tables = np.where(real, self.tables - least[:, np.newaxis, np.newaxis], 0.0)
        self.base = self.grid.base + exact_sum(least.astype(np.int64))

    def loss(self, row: IntArray) -> int:
        """Return the quanta a choice of rows loses."""
        first, second = self.ends[:, 0], self.ends[:, 1]
        between = self.tables[np.arange(len(self.ends)), row[first], row[second]]
        return self.base + self.grid.totals(row)[0] + exact_sum(between.astype(np.int64))

    def feasible(self, row: IntArray) -> bool:
        """Whether a choice of rows keeps every budget."""
        return min(self.grid.slack(row), default=0) >= 0

    def most(self) -> int:
        """Return a loss that no choice exceeds."""
        own = np.where(np.isfinite(self.grid.loss), self.grid.loss, 0.0).max(axis=0, initial=0.0)
        between = self.tables.max(axis=(1, 2), initial=0.0)
        return self.base + exact_sum(own.astype(np.int64)) + exact_sum(between.astype(np.int64))

    def with_neighbours(self, row: IntArray) -> FloatArray:
        """float64[width, n]: loss of every option, the neighbours as they are."""
        first, second = self.ends[:, 0], self.ends[:, 1]
        every = np.arange(len(self.ends))
        value = self.grid.loss.T.copy()
        np.add.at(value, first, self.tables[every, :, row[second]])
        np.add.at(value, second, self.tables[every, row[first]])
        return value.T


class ForestOracle:
    """Minimises loss plus priced costs, over a spanning forest of what relates groups."""

    def __init__(self, related: Related) -> None:
        self.related, grid = related, related.grid
        spread = related.tables.max(axis=(1, 2), initial=0.0).astype(np.int64)
        kept = spanning_forest(grid.n_groups, related.ends, spread)
        self.whole = len(kept) == len(related.ends)
        self.ends, self.tables = related.ends[kept], related.tables[kept]
        self.forest = Forest(grid.n_groups, self.ends)
        self.loss_scale = grid.loss_scale + float(self.tables.max(axis=(1, 2)).sum())
        self.cost_scale = grid.cost_scale

    def fold(self, multipliers: FloatArray) -> Folded:
        """Return the forest folded under priced costs."""
        return self.forest.solve(self.related.grid.priced(multipliers).T, self.tables)

    def __call__(self, multipliers: FloatArray) -> Answer:
        """Return a minimising choice."""
        grid, row = self.related.grid, self.fold(multipliers).choice()
        across = np.arange(grid.n_groups)
        loss = grid.loss[row, across].sum()
        loss += self.tables[
            np.arange(len(self.ends)), row[self.ends[:, 0]], row[self.ends[:, 1]]
        ].sum()
        excess = grid.cost[:, row, across].sum(axis=1) - np.array(grid.room, dtype=np.float64)
        return Answer(float(loss), excess, row)

    def error(self, total: float) -> float:
        """Return how far a folded total can be off.

        All terms are >= 0, so the relative error of their sum is at most their number plus the
        roundings of one priced option, times 2**-53, in whatever order they are added. Without
        prices all are whole numbers below 2**53, and nothing is rounded.
        """
        terms = self.related.grid.n_groups + len(self.ends) + 2 * len(self.cost_scale) + 2
        return 2.0 * terms * 2.0**-53 * total

    def bound(self, multipliers: FloatArray) -> int:
        """Return the quanta that every feasible choice loses, from the dual there."""
        total = self.fold(multipliers).total
        exact = Fraction(self.related.base) + Fraction(total)
        if (multipliers > 0).any():
            exact -= Fraction(self.error(total))
        for price, room in zip(multipliers, self.related.grid.room, strict=True):
            exact -= Fraction(float(price)) * room
        return -((-exact.numerator) // exact.denominator)


class _Attack:
    """What is known of a problem with losses between groups."""

    def __init__(self, problem: BitsProblem, reduced: Reduced, search: Search) -> None:
        self.problem, self.reduced, self.search = problem, reduced, search
        self.related = Related(reduced)
        self.oracle = ForestOracle(self.related)
        self.row: IntArray | None = None
        self.quanta = 0
        self.dual = maximise(self.oracle, ROUNDS, search.done)
        self.multipliers = self.dual.multipliers
        self.bound = self.oracle.bound(self.multipliers)

    def offer(self, row: IntArray, source: str = SOURCE) -> None:
        """Note a choice of rows, if it is feasible and the best."""
        quanta = self.related.loss(row)
        if self.related.feasible(row) and (self.row is None or quanta < self.quanta):
            self.row, self.quanta = row, quanta
            choice = self.related.grid.options(row)
            self.search.propose(self.reduced.lift(self.problem, choice), source)

    def raise_bound(self, quanta: int, source: str = SOURCE) -> None:
        """Note a bound on every choice."""
        self.bound = max(self.bound, quanta)
        self.search.prove(self.bound * self.problem.quantum, source)

    def raise_prices(self) -> None:
        """Offer the choice at the lowest raised prices that is feasible."""
        grid = self.related.grid
        tilt = np.maximum(self.multipliers, 1e-3 * self.oracle.loss_scale / grid.cost_scale)

        def at(raised: float) -> IntArray:
            return self.oracle(self.multipliers + raised * tilt).row

        row, low, high = at(0.0), 0.0, 1e-4
        self.offer(row)
        while not self.related.feasible(row := at(high)) and high < 1e5:
            low, high = high, high * 10
        self.offer(row)
        for _ in range(HALVINGS):
            if self.search.done() or not self.related.feasible(row):
                break
            middle = (low + high) / 2
            trial = at(middle)
            self.offer(trial)
            low, high = (low, middle) if self.related.feasible(trial) else (middle, high)

    def descend(self) -> None:
        """Take the best single move that fits, as long as there is one."""
        grid, row = self.related.grid, self.row
        if row is None:
            return
        row, across = row.copy(), np.arange(grid.n_groups)
        for _ in range(MOVES):
            slack = np.array(grid.slack(row), dtype=np.float64)
            loss = self.related.with_neighbours(row)
            step = loss - loss[row, across]
            cost = grid.cost - grid.cost[:, row, across][:, np.newaxis]
            step[(cost > slack[:, np.newaxis, np.newaxis]).any(axis=0)] = np.inf
            if step.min() >= 0 or self.search.done():
                break
            to, group = np.unravel_index(int(step.argmin()), step.shape)
            row[group] = to
        self.offer(row, "single moves")

    def open_options(self) -> BoolArray:
        """bool[m]: options a better choice could have, by their least total on the forest."""
        reduced = self.reduced
        if self.row is None:
            return np.ones(len(reduced.quanta), dtype=np.bool_)
        folded = self.oracle.fold(self.multipliers)
        slack = 8.0 * self.oracle.error(folded.total) + 1.0
        room = float(self.quanta - self.oracle.bound(self.multipliers)) + slack
        place = np.arange(len(reduced.quanta)) - reduced.start[reduced.group_of]
        above = folded.with_each()[reduced.group_of, place]
        keep = np.asarray(above <= room, dtype=np.bool_)
        keep[self.related.grid.options(self.row)] = True
        return keep

    def closed(self) -> bool:
        """Whether the choice is proven optimal."""
        return self.row is not None and self.quanta <= self.bound

    def solve(self) -> None:
        """Have solvers decide what is open, and prove.

        Switches want the linear relaxation that HiGHS works with; what its tolerances leave
        unproven is closed by asking for other choices as good, and is left to the exact one where
        that does not end.
        """
        for question in questions(self.search, ("highs", "cpsat"), None, WORK):
            if self.search.done() or self.closed():
                return
            solution, lift = self._ask(question, ())
            if solution.status is Status.INFEASIBLE and self.row is None:
                raise InfeasibleError("no choice keeps all budgets at once; relax one")
            if solution.bound is not None and question.trusts(solution):
                bound = lift.bound(solution.bound)
                best = bound if self.row is None else self.quanta
                self.raise_bound(min(bound, best), f"MIP ({solution.backend})")
            if question.unit is None and solution.status is Status.OPTIMAL:
                self._close(question)

    def _close(self, question: Question) -> None:
        """Prove the best choice optimal by asking for any other one that is as good."""
        known: list[IntArray] = []
        while self.row is not None and len(known) < OTHERS:
            if self.search.done() or self.closed():
                return
            if not any(row is self.row for row in known):
                known.append(self.row)
            solution, _ = self._ask(question, known, known)
            if solution.status is Status.INFEASIBLE:
                self.raise_bound(self.quanta, f"MIP ({solution.backend})")
            elif solution.values is None:
                return

    def _ask(
        self,
        question: Question,
        known: Sequence[IntArray],
        found: list[IntArray] | None = None,
    ) -> tuple[Solution, Lift]:
        """Put a question about what is open; with known choices, for other ones.

        Choices that come up and are not the best go to ``found``.
        """
        keep = self.open_options()
        options, part = np.flatnonzero(keep), restricted(self.reduced, keep)
        rows = self.related.grid
        name = f"{self.problem.name}: switches"
        start = None
        if self.row is not None and not known:
            start = np.flatnonzero(np.isin(options, rows.options(self.row)))
        program, lift = related_of(part, unit=question.unit, start=start, name=name)
        if known:
            inside = [c for c in map(rows.options, known) if np.isin(c, options).all()]
            same = [np.searchsorted(options, choice) for choice in inside]
            better_than(program, lift, self.quanta, same)

        def take(values: Any) -> None:
            row = rows.rows(options[lift.choice(np.asarray(values))])
            self.offer(row, "MIP")
            if found is not None and row is not self.row:
                found.extend([row] * (not any(np.array_equal(row, other) for other in found)))

        solution = question.put(self.search, program, on_values=take)
        if solution.values is not None:
            take(solution.values)
        return solution, lift


def attack(problem: BitsProblem, reduced: Reduced, search: Search, known: IntArray) -> None:
    """Bound, improve and prove a problem with losses between groups.

    Parameters
    ----------
    known : int64[n]
        A choice of options to start from, -1 where there is none.

    Raises
    ------
    InfeasibleError
        If the budgets exclude each other.
    """
    one = _Attack(problem, reduced, search)
    if one.bound > one.related.most():
        raise InfeasibleError("no choice keeps all budgets at once; relax one")
    one.raise_bound(one.bound)
    if (known >= 0).all():
        one.offer(one.related.grid.rows(known), "known")
    one.raise_prices()
    one.descend()
    one.solve()
