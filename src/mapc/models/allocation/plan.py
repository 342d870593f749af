"""The answer to an allocation problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray


@dataclass(frozen=True, eq=False)
class AllocationPlan:
    """Byte address of every buffer. ``offset``: int64[n]."""

    offset: IntArray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AllocationPlan) and np.array_equal(self.offset, other.offset)

    __hash__ = None  # type: ignore[assignment]
