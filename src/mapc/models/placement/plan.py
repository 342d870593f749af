"""The answer to a placement problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray
from mapc.markup import plain_rows


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

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of what the plan holds."""
        n_layers, n_ranks, n_slots = self.slots.shape
        filled = int(np.count_nonzero(self.slots >= 0))
        placed = int(np.count_nonzero(self.replicas(int(self.slots.max(initial=-1)) + 1)))
        dead = int((self.slots < 0).all(axis=(0, 2)).sum())
        found = [
            ("layers", f"{n_layers:,}"),
            ("ranks", f"{n_ranks:,}" + (f", {dead:,} of them without experts" if dead else "")),
            ("slots per rank", f"{n_slots:,}"),
            ("experts, all layers", f"{placed:,}"),
            ("replicas beyond the first", f"{filled - placed:,}"),
            ("split of tokens", "by the dispatch rule" if self.split is None else "by the plan"),
        ]
        return plain_rows(found)

    def replicas(self, n_experts: int) -> IntArray:
        """int64[L, E]: copies of every expert."""
        n_layers = len(self.slots)
        copies = np.zeros((n_layers, n_experts), dtype=np.int64)
        layer, rank, slot = np.nonzero(self.slots >= 0)
        np.add.at(copies, (layer, self.slots[layer, rank, slot]), 1)
        return copies
