"""Banks one after another on one line of addresses.

Methods know one memory. A problem with banks is one on the *line*: bank b takes the addresses
``[base[b], end[b])``, and what lies between the end of one bank and the base of the next is
reserved for all times. A buffer that stays off those ranges lies in one bank, and two buffers
overlap on the line exactly if they do in a bank. So placements on the line, up to the end of the
last bank, and placements in banks are the same thing.

Bases are multiples of all alignments: an address is aligned on the line if and only if it is in
its bank. Capacities are rounded down to the alignment that all buffers have in common, of which
every end of a buffer is a multiple.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray


@dataclass(frozen=True, eq=False)
class Line:
    """Where banks begin and end on the line, bytes.

    Attributes
    ----------
    base, end : int64[b]
        ``end[b] < base[b + 1]``.
    """

    base: IntArray
    end: IntArray

    @classmethod
    def of(cls, capacity: IntArray, alignment: int, grain: IntArray) -> Line:
        """Lay banks out.

        Parameters
        ----------
        capacity : int64[b]
            Bytes.
        alignment : int
            Of all buffers, which their sizes are rounded up to.
        grain : int64[k]
            Alignments of single buffers, multiples of it.
        """
        step = int(np.lcm.reduce(np.append(np.unique(grain), alignment)))
        base, end, at = [], [], 0
        for usable in (capacity // alignment * alignment).tolist():
            base.append(at)
            end.append(at + usable)
            at = (at + usable) // step * step + step
        return cls(np.array(base, dtype=np.int64), np.array(end, dtype=np.int64))

    def separators(self, lower: int, upper: int) -> IntArray:
        """int64[b - 1, 4]: what lies between banks, as ``lower, upper, base, top``."""
        gaps = len(self.base) - 1
        rows = np.empty((gaps, 4), dtype=np.int64)
        rows[:, 0], rows[:, 1] = lower, upper
        rows[:, 2], rows[:, 3] = self.end[:-1], self.base[1:]
        return rows

    def bank_of(self, address: IntArray) -> IntArray:
        """int64[n]: the bank in which an address on the line lies."""
        return np.asarray(np.searchsorted(self.base, address, side="right") - 1, dtype=np.int64)
