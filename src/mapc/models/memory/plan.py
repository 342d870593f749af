"""The answer to a memory problem."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.markup import plain_rows


def _none() -> IntArray:
    return np.zeros((0, 2), dtype=np.int64)


def _first() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def runs_of(order: IntArray) -> IntArray:
    """int64[n_steps]: the number of the run at each step of an order of all operators."""
    _, first = np.unique(order, return_index=True)
    again = np.ones(len(order), dtype=np.bool_)
    again[first] = False
    runs = order.copy()
    runs[again] = len(first) + np.arange(int(again.sum()))
    return runs


@dataclass(frozen=True, eq=False)
class MemoryPlan:
    """An order of the operators and when and where every tensor is in the scratchpad.

    Step ``s`` runs operator ``order[s]``; some operators may run again, if the problem says so.
    *Runs* are numbered: the first run of an operator has its number, further ones are
    ``n_operators``, ``n_operators + 1`` and so on, in the order of their steps.

    Residency ``k`` keeps tensor ``tensor[k]`` at ``address[k]`` during the half-open steps
    ``[start[k], stop[k])``. It begins with a load, unless its producer runs at ``start[k]``; it
    writes the tensor out where ``written[k]``.

    An output that takes over the bytes of an input has the same address, from the last step of
    the input's residency on.

    Attributes
    ----------
    order : int64[n_steps]
        Every operator at least once.
    tensor, start, stop, address : int64[k]
        Steps and bytes; sorted by start, then tensor.
    written : bool[k]
    workspace_address : int64[n_steps]
        Byte address of the workspace of each run, -1 for one that needs none.
    streamed : int64[j, 2]
        Run and tensor of every input that is read directly from off-chip.
    bank : int64[k]
        The bank that each residency lies in, all in the first where none are given.
    workspace_bank : int64[n_steps]
        The same for the workspace of each run.
    """

    order: IntArray
    tensor: IntArray
    start: IntArray
    stop: IntArray
    address: IntArray
    written: BoolArray
    workspace_address: IntArray
    streamed: IntArray = field(default_factory=_none)
    bank: IntArray = field(default_factory=_first)
    workspace_bank: IntArray = field(default_factory=_first)

    def __post_init__(self) -> None:
        for name, like in (("bank", self.tensor), ("workspace_bank", self.workspace_address)):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(len(like), dtype=np.int64))

    @property
    def runs(self) -> IntArray:
        """int64[n_steps]: the run at each step."""
        return runs_of(self.order)

    @property
    def residency(self) -> IntArray:
        """int64[k, 4]: tensor, start, stop, address of every residency."""
        return np.stack([self.tensor, self.start, self.stop, self.address], axis=1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryPlan) and all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of what the plan holds."""
        ran, kept = len(np.unique(self.order)), len(np.unique(self.tensor))
        found = [
            ("steps", f"{len(self.order):,}"),
            ("operators run again", f"{len(self.order) - ran:,}"),
            ("tensors kept", f"{kept:,}"),
            ("residencies", f"{len(self.tensor):,}"),
            ("residencies after the first of their tensor", f"{len(self.tensor) - kept:,}"),
            ("residencies written out", f"{np.count_nonzero(self.written):,}"),
            ("inputs read from off-chip", f"{len(self.streamed):,}"),
            ("banks used", f"{len(np.unique(self.bank)):,}"),
        ]
        return plain_rows(found)
