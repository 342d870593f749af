"""Lower and lower heights, or one capacity: when the walk is heated and how long it goes on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.local.walk import Kernels, Walk
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of

HOT, COLD = 0.2, 0.02
"""Temperatures of the first and the last round at one height."""
EACH = 4
"""Rounds at the first height, per buffer."""
CUT = 0.25
"""What is taken off the part of the peak that lies above the bound, at first."""
BATCH = 20_000
"""Buffers times rounds between two questions whether to stop."""
LARGEST = 20_000
"""Buffers above which neighbours are too many to be spelt out."""


def suits(problem: AllocationProblem) -> bool:
    """Whether addresses are free but for capacity and overlaps: nothing fixed, banks, walls."""
    plain = problem.domain is None and not len(problem.walls) and not problem.banks
    return plain and bool((problem.held < 0).all()) and problem.n_buffers <= LARGEST


class Descent:
    """A local search that can be interrupted and gone on with.

    With a capacity it looks for a placement within it. Without one it asks for a part less than
    the best peak; where that is reached, for less again, and where it is not after all its rounds,
    for half as much less in twice the rounds.

    Parameters
    ----------
    problem : AllocationProblem
        One that `suits`.
    start : int64[n]
        Addresses of a placement, valid but for the capacity.
    seed : int
        The same seed and rounds, without ``done``, give the same placement.
    """

    def __init__(self, problem: AllocationProblem, start: IntArray, seed: int = 0) -> None:
        self.problem, self.seed, self.offset = problem, seed, start.copy()
        self.unit, self.solid = problem.unit, np.flatnonzero(problem.padded > 0)
        self.size = problem.padded[self.solid] // self.unit
        least = lower_bound(problem) if problem.room is None else problem.room
        self.floor = least if problem.room is not None else -(-least // self.unit) * self.unit
        self.floor //= self.unit
        self.hopeless = lower_bound(problem) > self.floor * self.unit
        self.walk: Walk | None = None
        self.height = self.spent = self.rounds = 0
        self.length, self.cut = EACH * len(self.solid), CUT

    @property
    def top(self) -> int:
        """The best peak, in units."""
        return int((self.offset[self.solid] // self.unit + self.size).max(initial=0))

    @property
    def peak(self) -> int:
        """The best peak, in bytes."""
        return self.top * self.unit

    @property
    def settled(self) -> bool:
        """Whether the capacity or a proven bound is reached, or never will be."""
        return self.hopeless or self.top <= self.floor

    def go_on(self, rounds: int | None = None, done: Callable[[], bool] | None = None) -> bool:
        """Do ``rounds`` more, or until ``done``; false where the kernels did not come in time."""
        if self.settled:
            return True
        if self.walk is None and not self._begin(done):
            return False
        assert self.walk is not None
        step = max(1, BATCH // len(self.solid))
        end = None if rounds is None else self.rounds + rounds
        while not self.settled and (end is None or self.rounds < end):
            if done is not None and done():
                break
            many = min(step, self.length - self.spent)
            many = many if end is None else min(many, end - self.rounds)
            heat = HOT * (COLD / HOT) ** (self.spent / self.length)
            found = self.walk.rounds(many, self.height, heat)
            self.rounds, self.spent = self.rounds + many, self.spent + many
            if found:
                self.offset[self.solid] = self.walk.offset * self.unit
                self._aim(self.walk)
            elif self.spent >= self.length:
                self.cut, self.length = self.cut / 2, self.length * 2
                self._aim(self.walk)
        return True

    def learn(self, offset: IntArray) -> None:
        """Take a placement from elsewhere, int64[n], if it is better, and aim below it."""
        if peak_of(offset, self.problem.padded) < self.peak:
            self.offset = offset.copy()
            if self.walk is not None and not self.settled:
                self._aim(self.walk)

    def _begin(self, done: Callable[[], bool] | None) -> bool:
        kernels = Kernels.of(done)
        if kernels is None:
            return False
        lower, upper = self.problem.lower[self.solid], self.problem.upper[self.solid]
        self.walk = Walk(lower, upper, self.size, kernels, self.seed)
        self._aim(self.walk)
        return True

    def _aim(self, walk: Walk) -> None:
        """Choose the next height, and bring the walk below it."""
        self.spent = 0
        self.height = self.floor
        if self.problem.room is None:
            off = max(1, int(self.cut * (self.top - self.floor)))
            self.height = max(self.floor, self.top - off)
        walk.shrink(self.height)
        walk.fill(self.height)
