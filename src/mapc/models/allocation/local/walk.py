"""A walk through partial placements within a height: the state of the kernels, and its moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.kernels import load, stream

CHAINS = "mapc.models.allocation.local.chains_kernels"
PLACES = "mapc.models.allocation.local.places_kernels"
KERNELS = "mapc.models.allocation.local.rounds_kernels"
MOST, BLINK = 10, 0.01
"""Buffers taken out in a round, at most; probability with which a place is overlooked."""
_SLICE = 2**22  # cells of a matrix of overlaps

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Kernels:
    """The compiled modules."""

    chains: ModuleType
    places: ModuleType
    rounds: ModuleType

    @classmethod
    def of(cls, done: Callable[[], bool] | None) -> Kernels | None:
        """Load them; None when ``done`` says so before they are there."""
        found = []
        for name in (CHAINS, PLACES, KERNELS):
            module = load(name, done)
            if module is None:
                return None
            found.append(module)
        return cls(*found)


def neighbours(lower: IntArray, upper: IntArray) -> tuple[IntArray, IntArray]:
    """Return who shares a time with whom, as lists one after another.

    Returns
    -------
    start, near : int64[n + 1], int64[e]
        Those of buffer i are ``near[start[i] : start[i + 1]]``, ascending.
    """
    n = len(lower)
    count, lists = np.zeros(n + 1, dtype=np.int64), [np.zeros(0, dtype=np.int64)]
    step = max(1, _SLICE // max(1, n))
    for begin in range(0, n, step):
        rows = np.arange(begin, min(n, begin + step))
        meet = (lower[rows, None] < upper) & (lower < upper[rows, None])
        meet[np.arange(len(rows)), rows] = False
        count[rows + 1] = meet.sum(axis=1)
        lists.append(np.nonzero(meet)[1].astype(np.int64))
    return np.cumsum(count), np.concatenate(lists)


class Walk:
    """Some buffers are in, all of them within a height; the others are out.

    Parameters
    ----------
    lower, upper, size : int64[n]
        Half-open lifetimes; sizes > 0, in any unit.
    kernels : Kernels
    seed : int
        Equal seeds, equal walks.
    """

    def __init__(
        self, lower: IntArray, upper: IntArray, size: IntArray, kernels: Kernels, seed: int = 0
    ) -> None:
        n, self.kernels = len(size), kernels
        self.rows = np.zeros((kernels.chains.ROWS, n), dtype=np.int64)
        self.rows[kernels.chains.SIZE] = size
        self.key = np.zeros(n)
        self.state = (self.rows, self.key, *neighbours(lower, upper))
        self.scratch = (np.zeros((4, n), dtype=np.int64), np.zeros(n), stream(seed, n))
        self.old = (np.zeros((kernels.rounds.KEPT, n), dtype=np.int64), np.zeros(n))
        self.lives = np.stack([lower, upper])
        self.random = np.random.default_rng([seed, n])
        life = (upper - lower).astype(np.float64)
        # long lives matter, but not as much as sizes: these must find one place for all their time
        self.weight = np.sqrt(life / life.mean()) * (size / size.mean())
        self.traits = np.stack([life, self.weight])

    @property
    def out(self) -> IntArray:
        """Indices of the buffers that are out."""
        return np.flatnonzero(self.rows[self.kernels.chains.IN] == 0)

    @property
    def offset(self) -> IntArray:
        """int64[n]: addresses of what is in, as low as they can be; 0 for what is out."""
        return np.where(self._row("IN") == 1, self._row("BELOW"), 0)

    @property
    def chain(self) -> IntArray:
        """int64[n]: the longest chain through each buffer that is in, 0 for those out."""
        length = self._row("BELOW") + self._row("SIZE") + self._row("ABOVE")
        return np.where(self._row("IN") == 1, length, 0)

    def _row(self, name: str) -> IntArray:
        return np.asarray(self.rows[getattr(self.kernels.chains, name)])

    def fill(self, height: int, stop: Callable[[], bool] | None = None) -> None:
        """Put in what fits, the heaviest first."""
        for at, i in enumerate(self.out[np.argsort(-self.weight[self.out], kind="stable")]):
            if at % 64 == 63 and stop is not None and stop():
                return
            self.kernels.places.put_in(int(i), height, 0.0, self.state, self.scratch)

    def shrink(self, height: int) -> None:
        """Take out buffers, of the longest chains, until all are within a height."""
        one = np.zeros(1, dtype=np.int64)
        while True:
            chain = self.chain
            if chain.max(initial=0) <= height:
                return
            one[0] = self.random.choice(np.flatnonzero(chain == chain.max()))
            self.kernels.chains.take_out(one, 1, self.state)

    def rounds(self, many: int, height: int, heat: float) -> bool:
        """Do up to ``many`` rounds of ruin and recreate; whether all is in by then.

        ``heat``: temperature, as a part of the mean weight of buffers.
        """
        dials = np.array([heat * self.weight.mean(), BLINK])
        limits = np.array([height, MOST], dtype=np.int64)
        self.kernels.rounds.rounds(
            many, limits, dials, self.lives, self.traits, self.state, self.scratch, self.old
        )
        self._sort()
        return not len(self.out)

    def _sort(self) -> None:
        """Give keys anew, in an order in which chains below or above count more or less.

        All such orders agree on neighbours that are in: along a chain BELOW rises and ABOVE falls.
        They differ in others, and so in the places that a buffer can be put in.
        """
        share = self.random.random()
        score = share * self._row("BELOW") - (1.0 - share) * self._row("ABOVE")
        self.key[np.argsort(score, kind="stable")] = np.arange(len(score), dtype=np.float64)
