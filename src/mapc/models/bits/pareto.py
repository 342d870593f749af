"""Lists of partial choices, none cheaper and better than another, and how they grow.

A state is a pair (cost, loss) that some choice for the groups seen so far reaches. Adding a group
means one shifted copy of the list per option, merged by cost, less what is dominated: arrays
throughout. How a state came about is kept apart, in a history that only grows by states that
chose something; what all states share is not written down.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import numpy as np

from mapc.graph.operators import BoolArray, IntArray


class History:
    """Which options led to a state: a forest in arrays, one node per choice made.

    Node 0 is the root: nothing chosen.
    """

    def __init__(self) -> None:
        self._parents = [np.zeros(1, dtype=np.int64)]
        self._options = [np.full(1, -1, dtype=np.int32)]
        self._starts = [0]
        self._size = 1

    def append(self, parents: IntArray, options: IntArray) -> IntArray:
        """Add a node under each parent, int64[c], and return the nodes, int64[c]."""
        self._parents.append(parents)
        self._options.append(options.astype(np.int32))
        self._starts.append(self._size)
        self._size += len(parents)
        return np.arange(self._size - len(parents), self._size, dtype=np.int64)

    def options(self, node: int) -> list[int]:
        """Return the options chosen on the way to a node, the last first."""
        found = []
        while node:
            chunk = bisect_right(self._starts, node) - 1
            place = node - self._starts[chunk]
            found.append(int(self._options[chunk][place]))
            node = int(self._parents[chunk][place])
        return found


@dataclass(frozen=True, eq=False)
class States:
    """Undominated states: cost strictly rising, quanta strictly falling.

    Attributes
    ----------
    cost, quanta : int64[c]
        Either may be relative to a base choice, and negative.
    node : int64[c]
        Nodes of a `History`.
    """

    cost: IntArray
    quanta: IntArray
    node: IntArray

    @classmethod
    def root(cls) -> Self:
        """Return the one state of no groups."""
        zero = np.zeros(1, dtype=np.int64)
        return cls(zero, zero, zero)

    @classmethod
    def undominated(cls, cost: IntArray, quanta: IntArray, node: IntArray) -> Self:
        """Return the Pareto set of states in any order; of equal states, the first stays."""
        order = np.argsort(cost, kind="stable")  # a merge, when the parts are sorted
        cost, quanta = cost[order], quanta[order]
        lowest = np.minimum.accumulate(quanta)
        keep = np.ones(len(cost), dtype=np.bool_)
        keep[1:] = quanta[1:] < lowest[:-1]
        kept = np.flatnonzero(keep)
        last = np.ones(len(kept), dtype=np.bool_)
        last[:-1] = cost[kept[:-1]] < cost[kept[1:]]
        kept = kept[last]
        return cls(cost[kept], quanta[kept], node[order[kept]])

    def __len__(self) -> int:
        return len(self.cost)

    def where(self, keep: BoolArray) -> States:
        """Return the states marked."""
        return States(self.cost[keep], self.quanta[keep], self.node[keep])

    def within(self, room: IntArray) -> IntArray:
        """Return the index of the best state that costs at most ``room``; -1 where none does."""
        return np.searchsorted(self.cost, room, side="right").astype(np.int64) - 1
