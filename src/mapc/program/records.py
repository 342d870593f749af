"""CP records: relations that a constraint solver takes natively.

Literals are columns; ``~column`` (bitwise not) is the negation, as in ``at_most_one([a, ~b])``.
Intervals are half-open and of fixed size: ``[start, start + size)`` where ``start`` is ``offset``
plus the value of a column where one is named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.program.arrays import IntArray

ALWAYS = np.int64(np.iinfo(np.int64).max)
"""Presence of an interval that is never absent."""
NO_COLUMN = np.int64(-1)
"""Start column of an interval whose start is the constant ``offset``."""


@dataclass(frozen=True, eq=False)
class ExactlyOne:
    """Exactly one literal of every row holds. ``literals``: int64[r, k]."""

    literals: IntArray
    name: str


@dataclass(frozen=True, eq=False)
class AtMostOne:
    """At most one literal of every row holds. ``literals``: int64[r, k]."""

    literals: IntArray
    name: str


@dataclass(frozen=True, eq=False)
class Implication:
    """Where ``premise[i]`` holds, ``conclusion[i]`` holds. Both int64[r] literals."""

    premise: IntArray
    conclusion: IntArray
    name: str


@dataclass(frozen=True, eq=False)
class Intervals:
    """A block of intervals, numbered from ``first`` within the program.

    Attributes
    ----------
    start_column : int64[n]
        Integer column added to ``offset``, or ``NO_COLUMN``.
    offset, size : int64[n]
    presence : int64[n]
        Literal that says whether the interval exists, or ``ALWAYS``.
    """

    first: int
    start_column: IntArray
    offset: IntArray
    size: IntArray
    presence: IntArray
    name: str

    def __len__(self) -> int:
        return len(self.size)

    @property
    def indices(self) -> IntArray:
        """int64[n]: the intervals' numbers, to name them in other records."""
        return np.arange(self.first, self.first + len(self), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class NoOverlap:
    """Present intervals are pairwise disjoint; empty ones take no room.

    ``intervals``: int64[k].
    """

    intervals: IntArray
    name: str


@dataclass(frozen=True, eq=False)
class NoOverlap2D:
    """Rectangles ``x[i] x y[i]`` whose two intervals are present are pairwise disjoint.

    A rectangle with an empty side takes no room. ``x``, ``y``: int64[k] interval numbers.
    """

    x: IntArray
    y: IntArray
    name: str


@dataclass(frozen=True, eq=False)
class Cumulative:
    """At every point the demands of present intervals add up to at most ``capacity``."""

    intervals: IntArray
    demands: IntArray
    capacity: int
    name: str


@dataclass(frozen=True, eq=False)
class Element:
    """``target == values[index]``; ``index`` and ``target`` are integer columns."""

    index: int
    values: IntArray
    target: int
    name: str


Record = ExactlyOne | AtMostOne | Implication | NoOverlap | NoOverlap2D | Cumulative | Element
"""Everything but intervals, which only other records refer to."""
