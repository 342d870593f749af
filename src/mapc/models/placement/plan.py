"""The answer to a placement problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray


@dataclass(frozen=True, eq=False)
class PlacementPlan:
    """The expert in every slot.

    Attributes
    ----------
    slots : int64[L, G, C]
        Logical expert of every slot; -1 on dead ranks. The order within a rank means nothing.
    split : int64[P, L, Q, G, C] or None
        Under adaptive dispatch: tokens of the window that each slot takes, by source (Q = 1 unless
        the problem has sources and pays for home traffic). Over the slots of an expert they sum to
        its tokens.
    """

    slots: IntArray
    split: IntArray | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlacementPlan) or not np.array_equal(self.slots, other.slots):
            return False
        if self.split is None or other.split is None:
            return self.split is other.split
        return np.array_equal(self.split, other.split)

    __hash__ = None  # type: ignore[assignment]

    def replicas(self, n_experts: int) -> IntArray:
        """int64[L, E]: copies of every expert."""
        n_layers = len(self.slots)
        copies = np.zeros((n_layers, n_experts), dtype=np.int64)
        layer, rank, slot = np.nonzero(self.slots >= 0)
        np.add.at(copies, (layer, self.slots[layer, rank, slot]), 1)
        return copies
