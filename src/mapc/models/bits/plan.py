"""The answer to a bits problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray


@dataclass(frozen=True, eq=False)
class BitsPlan:
    """The option chosen for every group.

    Attributes
    ----------
    option : int64[n_groups]
        Index into the problem's options (not into those of the group).
    """

    option: IntArray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BitsPlan) and np.array_equal(self.option, other.option)

    __hash__ = None  # type: ignore[assignment]
