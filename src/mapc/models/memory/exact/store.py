"""The growing arrays of a search: states, sets of operators done, and the queue."""

from __future__ import annotations

from types import ModuleType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.models.memory.exact.layout import Layout

Whole = TypeVar("Whole", np.int32, np.int64)


class Store:
    """What the kernels of a search write to, beside the state at hand.

    Parameters
    ----------
    layout : Layout
    state, table : modules
        Kernels, loaded.
    """

    def __init__(self, layout: Layout, state: ModuleType, table: ModuleType) -> None:
        self.layout, self.state, self.table = layout, state, table
        n_words = int(layout.now[state.N_WORDS])
        self.nodes = np.empty((256, table.NODE_WORDS + n_words), dtype=np.int64)
        self.lives: NDArray[np.int32] = np.empty(4096, dtype=np.int32)
        self.find = np.full(1024, -1, dtype=np.int64)
        self.pool = np.empty((256, table.MASKS + 2), dtype=np.int64)
        self.heap = np.empty((256, 3), dtype=np.int64)

    @property
    def graph(self) -> tuple[IntArray, IntArray, IntArray]:
        """Operators, tensors and neighbours, with the state at hand."""
        return self.layout.ops, self.layout.ts, self.layout.adj

    @property
    def states(self) -> int:
        """States stored."""
        return int(self.layout.now[self.state.N_STATES])

    def grow(self) -> None:
        """Double what is nearly full."""
        k, now = self.state, self.layout.now
        if now[k.N_STATES] + 1 >= len(self.pool):
            self.pool = _longer(self.pool, 2 * len(self.pool))
        if now[k.N_HEAP] + 2 >= len(self.heap):
            self.heap = _longer(self.heap, 2 * len(self.heap))
        if now[k.N_NODES] + 1 >= len(self.nodes):
            self.nodes = _longer(self.nodes, 2 * len(self.nodes))
            self.find = np.full(4 * len(self.nodes), -1, dtype=np.int64)
            self.table.rehash(self.nodes, int(now[k.N_NODES]), self.find)
        at_once = len(self.layout.ts)
        if now[k.N_LIVES] + at_once >= len(self.lives):
            self.lives = _longer(self.lives, 2 * len(self.lives) + at_once)

    def widen(self) -> None:
        """Double the bits per state."""
        at = self.table.MASKS
        half = (self.pool.shape[1] - at) // 2
        wide = np.zeros((len(self.pool), at + 4 * half), dtype=np.int64)
        wide[:, : at + half] = self.pool[:, : at + half]
        wide[:, at + 2 * half : at + 3 * half] = self.pool[:, at + half :]
        self.pool = wide

    def path(self) -> list[int]:
        """Rows of the states on the way to the best complete one, the first one first."""
        states = []
        q = int(self.layout.now[self.state.GOAL])
        while q >= 0:
            states.append(q)
            q = int(self.pool[q, self.table.PARENT])
        return states[::-1]


def _longer(array: NDArray[Whole], length: int) -> NDArray[Whole]:
    grown = np.empty((length, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
