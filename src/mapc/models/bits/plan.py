"""The answer to a bits problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray
from mapc.markup import plain_rows

_SHOWN = 20
"""Options that a notebook shows."""


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

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of what the plan holds."""
        shown = ", ".join(str(one) for one in self.option[:_SHOWN].tolist())
        more = ", \N{HORIZONTAL ELLIPSIS}" if len(self.option) > _SHOWN else ""
        return plain_rows([("groups", f"{len(self.option):,}"), ("options", shown + more)])
