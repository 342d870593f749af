"""Which addresses a buffer may have: multiples of its own alignment, in banks that take it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Domain:
    """Addresses of buffers, in any unit.

    Attributes
    ----------
    grain : int64[n]
        Addresses are multiples of it.
    ranges : int64[b, 2]
        Disjoint ranges ``base, end`` on the line, ascending.
    barred : bool[n, b]
        The buffer stays off the range.
    """

    grain: IntArray
    ranges: IntArray
    barred: BoolArray

    def of(self, members: IntArray) -> Domain:
        """Return the domain of some buffers, int64[k]."""
        return Domain(self.grain[members], self.ranges, self.barred[members])

    def over(self, unit: int) -> Domain:
        """Return the domain counted in units, which divide everything."""
        return Domain(np.maximum(self.grain // unit, 1), self.ranges // unit, self.barred)

    def walls(self, buffer: int) -> tuple[IntArray, IntArray]:
        """Bases and tops, int64[k], of the ranges that a buffer stays off."""
        base, top = self.ranges[self.barred[buffer]].T
        return base, top


def up_to(value: IntArray, grain: IntArray | int) -> IntArray:
    """Round up to multiples."""
    return np.asarray(-(-value // grain) * grain, dtype=np.int64)
