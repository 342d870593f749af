"""The allocation problem: addresses for buffers whose lifetimes are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray
from mapc.units import MAX_BYTES


@dataclass(frozen=True, eq=False)
class AllocationProblem:
    """Place buffers so that those alive at one time do not overlap.

    With a capacity the question is whether they fit, and the objective is the number of bytes
    above it (0 when they do); without one it is the smallest peak.

    Attributes
    ----------
    name : str
    names : tuple of str, n long
    lower, upper : int64[n]
        Half-open lifetime ``[lower, upper)``.
    size : int64[n]
        Bytes.
    capacity : int or None
        Bytes.
    alignment : int
        Addresses are multiples of it.
    provenance : mapping
        Where the problem was read from and with which options; files carry it along.

    Raises
    ------
    InstanceError
        For an empty or reversed lifetime, a size outside ``0 .. 2**50``, names used twice, a
        negative capacity.
    """

    name: str
    names: tuple[str, ...]
    lower: IntArray
    upper: IntArray
    size: IntArray
    capacity: int | None = None
    alignment: int = 1
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        n = len(self.names)
        for column in ("lower", "upper", "size"):
            if len(getattr(self, column)) != n:
                raise InstanceError(f"{len(getattr(self, column))} entries", column, f"{n}")
        if len(set(self.names)) != n:
            raise InstanceError("buffer id used twice", self.name, "unique ids")
        self._refuse(self.lower >= self.upper, "lifetime is empty or reversed", "lower < upper")
        self._refuse(
            (self.size < 0) | (self.size > MAX_BYTES), "size out of range", f"0 to {MAX_BYTES}"
        )
        if float(self.size.sum(dtype=np.float64)) > 8 * MAX_BYTES:
            raise InstanceError("sizes add up to more than 8 PiB", self.name, "at most 2**53")
        if self.capacity is not None and self.capacity < 0:
            raise InstanceError(f"capacity {self.capacity}", self.name, ">= 0 bytes")
        if self.alignment < 1 or self.alignment > 2**30:
            raise InstanceError(f"alignment {self.alignment}", self.name, "1 to 2**30 bytes")

    def _refuse(self, wrong: np.ndarray, what: str, right: str) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(
                f"{what} (lower {self.lower[at]}, upper {self.upper[at]}, size {self.size[at]})",
                f"buffer {self.names[at]!r}",
                right,
            )

    @property
    def n_buffers(self) -> int:
        """Number of buffers."""
        return len(self.names)

    @cached_property
    def padded(self) -> IntArray:
        """int64[n]: sizes rounded up to the alignment."""
        return -(-self.size // self.alignment) * self.alignment

    @cached_property
    def load(self) -> tuple[IntArray, IntArray]:
        """Points where the set of live buffers changes (int64[p]) and the bytes live from there."""
        points, index = np.unique(np.concatenate([self.lower, self.upper]), return_inverse=True)
        change = np.zeros(len(points), dtype=np.int64)
        np.add.at(change, index, np.concatenate([self.padded, -self.padded]))
        return points, np.cumsum(change)

    @property
    def max_load(self) -> int:
        """Largest number of bytes live at one time: a lower bound on the peak."""
        load = self.load[1]
        return int(load.max()) if len(load) else 0

    @property
    def room(self) -> int | None:
        """Capacity rounded down to the alignment."""
        return None if self.capacity is None else self.capacity // self.alignment * self.alignment
