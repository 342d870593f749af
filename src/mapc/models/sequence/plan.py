"""The answer to a sequence problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray
from mapc.markup import plain_rows


@dataclass(frozen=True, eq=False)
class SequencePlan:
    """Groups of ranks, and the group of every sequence.

    Attributes
    ----------
    micro_batch : int64[n_groups]
        Numbered from 0 without gaps.
    mode : int64[n_groups]
        Index into the problem's modes.
    first_rank : int64[n_groups]
        A group has the ranks from here on, as many as its mode's degree.
    group : int64[K]
        The group of every sequence; every group has one at least.
    """

    micro_batch: IntArray
    mode: IntArray
    first_rank: IntArray
    group: IntArray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequencePlan) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("micro_batch", "mode", "first_rank", "group")
        )

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of what the plan holds."""
        mode, count = np.unique(self.mode, return_counts=True)
        modes = zip(mode.tolist(), count.tolist(), strict=True)
        found = [
            ("sequences", f"{len(self.group):,}"),
            ("micro-batches", f"{len(np.unique(self.micro_batch)):,}"),
            ("groups", f"{len(self.mode):,}"),
            *((f"groups of mode {at}", f"{groups:,}") for at, groups in modes),
        ]
        return plain_rows(found)
