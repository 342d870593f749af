"""Branch and bound on the groups that the relaxation splits.

The relaxation of ``k`` budgets splits at most ``k`` groups between options. Mostly they are small
and rounding them costs next to nothing; but where a large group is split, no choice comes near
the bound, and what is missing is not found by exchanging small groups. Deciding such a group, and
solving the dual again, mends both: of the parts of the problem the one with the lowest bound is
taken first, its most expensive split group decided in every possible way, each time with new
multipliers, a choice near them and a listing of what is left open. The lowest bound of the parts
that remain is a bound on all choices.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.exchange import State, exchanged, feasible_near
from mapc.models.bits.grid import Grid, lagrangian, lowest
from mapc.models.bits.joining import improved
from mapc.models.bits.multipliers import GridOracle, maximise
from mapc.models.bits.problem import FloatArray
from mapc.models.bits.proving import Prices, listed

HALVINGS, JOINED = 8, 4_000
"""How hard a choice is looked for in each part."""
LISTING = 120
"""Options left open beside one per group up to which a part is listed."""
LISTED_STATES = 10_000
SMALL = 20_000
"""Options up to which pruning with several multipliers costs little."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the problem: some groups decided, the grid infinite in their other options.

    Attributes
    ----------
    grid : Grid
    multipliers : float64[k]
    bound : int
        Quanta that every choice of the part loses.
    """

    grid: Grid
    multipliers: FloatArray
    bound: int


class Branching:
    """The search: `best` is the best choice, `bound` what no choice undercuts.

    Parameters
    ----------
    best : State
        A feasible choice.
    root : Part
    offer : callable
        Told of every better choice.
    stop : callable
    """

    def __init__(
        self,
        best: State,
        root: Part,
        offer: Callable[[State], None],
        stop: Callable[[], bool],
        seed: int = 0,
    ) -> None:
        self.best, self.offer, self.stop, self.seed = best, offer, stop, seed
        self._ticket = itertools.count()
        self._heap = [(root.bound, next(self._ticket), root)]
        self.parts = 0

    @property
    def bound(self) -> int:
        """Quanta that every choice loses."""
        lowest_part = self._heap[0][0] if self._heap else self.best.quanta
        return min(lowest_part, self.best.quanta)

    def run(self, parts: int, tell: Callable[[int], None] = lambda bound: None) -> bool:
        """Branch until nothing is left; say whether that is so.

        Parameters
        ----------
        parts : int
            Most parts to bound.
        tell : callable
            Told of every better bound.
        """
        told = self.bound
        while self._heap and self._heap[0][0] < self.best.quanta:
            if self.bound > told:
                told = self.bound
                tell(told)
            if self.stop() or self.parts >= parts:
                return False
            part = self._heap[0][2]
            children = [child for child in self._children(part) if child is not None]
            heapq.heappop(self._heap)
            for child in children:
                if child.bound < self.best.quanta:
                    heapq.heappush(self._heap, (child.bound, next(self._ticket), child))
        self._heap = []
        return True

    def _children(self, part: Part) -> Iterator[Part | None]:
        value = part.grid.priced(part.multipliers)
        row, least = lowest(value)
        value -= least
        group = _split(part, value, row)
        if group is None:
            return
        # what the best choice so far leaves room for, a little more for rounding
        room = float(self.best.quanta - part.bound) + 1e-9 * part.grid.loss_scale
        options = np.flatnonzero(value[:, group] <= room)
        for option in options[np.argsort(value[options, group], kind="stable")]:
            yield self._child(part, group, int(option))

    def _child(self, part: Part, group: int, option: int) -> Part | None:
        """Bound a part with one more group decided, and look for choices in it."""
        loss = part.grid.loss.copy()
        kept = loss[option, group]
        loss[:, group] = np.inf
        loss[option, group] = kept
        grid = replace(part.grid, loss=loss)
        self.parts += 1
        dual = maximise(GridOracle(grid), stop=self.stop, start=part.multipliers)
        if dual.hopeless:
            return None
        bound = max(part.bound, lagrangian(grid, dual.multipliers))
        child = Part(grid, dual.multipliers, bound)
        if bound >= self.best.quanta:
            return None
        self._look(child)
        if bound < self.best.quanta and self._list(child, dual.trail):
            return None
        return child

    def _look(self, part: Part) -> None:
        """Look for a better choice near the multipliers of a part."""
        state = feasible_near(part.grid, part.multipliers, HALVINGS)
        if state is None:
            return
        self._take(state)
        state = exchanged(state, part.multipliers, stop=self.stop)
        self._take(state)
        self._take(
            improved(
                state,
                part.multipliers,
                rounds=2,
                listed=JOINED,
                seed=self.seed,
                stop=self.stop,
            )
        )

    def _list(self, part: Part, trail: FloatArray) -> bool:
        """List the better choices of a part where few options are open; say whether all were."""
        small = part.grid.loss.size <= SMALL
        prices = Prices(part.grid, trail, 4 if small else 1)
        open_ = prices.open_options(self.best.quanta)
        if int(open_.sum()) - part.grid.n_groups > LISTING:
            return False
        found = State(self.best.grid, self.best.row)
        complete = listed(found, prices, states=LISTED_STATES, stop=self.stop)
        self._take(found)
        return complete

    def _take(self, state: State) -> None:
        if state.feasible and state.quanta < self.best.quanta:
            self.best = State(self.best.grid, state.row)
            self.offer(self.best)


def _split(part: Part, value: FloatArray, row: IntArray) -> int | None:
    """Return the group whose split moves most, priced, among those the relaxation splits."""
    n, k = part.grid.n_groups, part.grid.n_budgets
    second = value.copy()
    second[row, np.arange(n)] = np.inf
    other, runner_up = lowest(second)
    undecided = int(np.isfinite(runner_up).sum())
    if undecided == 0:
        return None
    count = min(k, undecided)
    near = np.argpartition(runner_up, count - 1)[:count]
    step = part.grid.cost[:, other[near], near] - part.grid.cost[:, row[near], near]
    jump = np.abs(part.multipliers[:, np.newaxis] * step).sum(axis=0)
    return int(near[int(jump.argmax())])
