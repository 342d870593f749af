"""The answer to an allocation problem."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mapc.graph.operators import IntArray
from mapc.markup import plain_rows


def _none() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class AllocationPlan:
    """Byte address of every buffer, and the bank it lies in.

    Attributes
    ----------
    offset : int64[n]
        From the beginning of the bank.
    bank : int64[n]
        All in the first where none are given.
    """

    offset: IntArray
    bank: IntArray = field(default_factory=_none)

    def __post_init__(self) -> None:
        if not len(self.bank):
            object.__setattr__(self, "bank", np.zeros(np.shape(self.offset), dtype=np.int64))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, AllocationPlan)
            and np.array_equal(self.offset, other.offset)
            and np.array_equal(self.bank, other.bank)
        )

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of what the plan holds."""
        highest = f"{int(self.offset.max()):,} B" if len(self.offset) else "none"
        found = [
            ("buffers", f"{len(self.offset):,}"),
            ("highest address", highest),
            ("banks used", f"{len(np.unique(self.bank)):,}"),
        ]
        return plain_rows(found)
