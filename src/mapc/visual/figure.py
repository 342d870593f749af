"""What a picture shows, apart from how it is drawn.

A family lowers a plan into figures; `mapc.visual.svg` draws them for reports, `mapc.visual.plots`
for papers. Marks are columns of numbers in the units of the plan (bytes, steps, milliseconds), so
that what is drawn can be read back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

UNITS: Final = ("", "bytes", "count", "share", "ms", "s", "loss")
"""Units of axes, scales and columns: plain numbers, bytes, whole numbers, fractions shown as
percentages, milliseconds, seconds, and losses (plain, in few digits)."""

ROLES: Final = (
    *("c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"),  # categories
    "quiet",  # what is there but not meant
    "plan",  # this plan
    "baseline",  # what it is compared with
    "bound",  # a proven bound
    "limit",  # a capacity or a budget
    "mark",  # the one place to look at
    "reload",
    "spill",
    "heat",  # coloured by value, on the scale of the figure
)
"""What a mark stands for; it decides the colour, alike in every picture."""

MAX_MARKS: Final = 20_000
"""Marks of one figure; a family merges what would be more."""


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    label : str
    low, high : float
        Domain, ``low < high``; above 0 with ``log``.
    unit : str
        One of `UNITS`.
    log : bool
    names : tuple of str
        Categories: the i-th has the interval ``[i, i + 1)``, and the domain is ``[0, len(names)]``.
    down : bool
        Low values at the top (of a vertical axis).
    """

    label: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    log: bool = False
    names: tuple[str, ...] = ()
    down: bool = False

    @staticmethod
    def of_names(label: str, names: Sequence[str], down: bool = False) -> Axis:
        """Return an axis of categories; one at least."""
        return Axis(label, 0.0, float(max(1, len(names))), names=tuple(names), down=down)


@dataclass(frozen=True, eq=False)
class Rects:
    """Half-open rectangles of one kind: bars, residencies, groups, cells.

    Attributes
    ----------
    name : str
        In the legend; empty: not in it.
    role : str
        One of `ROLES`.
    x0, x1, y0, y1 : float64[n]
        ``x0 <= x1``, ``y0 <= y1``.
    titles : tuple of str, n long
        What hovering shows, and what filtering searches.
    values : float64[n], optional
        With the role ``heat``: what the colour says.
    """

    name: str
    role: str
    x0: FloatArray
    x1: FloatArray
    y0: FloatArray
    y1: FloatArray
    titles: tuple[str, ...]
    values: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function: ``y[i]`` from ``x[i]`` to ``x[i + 1]``; NaN leaves a gap.

    ``x`` is float64[n + 1], ``y`` float64[n]; ``fill`` shades down to 0.
    """

    name: str
    role: str
    x: FloatArray
    y: FloatArray
    fill: bool = False
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """Straight pieces through points, float64[n] each."""

    name: str
    role: str
    x: FloatArray
    y: FloatArray
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Points:
    """Dots, float64[n] each; ``shape`` is ``"round"`` or ``"square"``."""

    name: str
    role: str
    x: FloatArray
    y: FloatArray
    titles: tuple[str, ...]
    shape: str = "round"


@dataclass(frozen=True)
class Rule:
    """A straight line over the whole figure where ``axis`` (``"x"`` or ``"y"``) is ``at``."""

    name: str
    role: str
    axis: str
    at: float
    dashed: bool = False


Mark = Rects | Steps | Line | Points | Rule


@dataclass(frozen=True)
class Scale:
    """What colours say: from light at ``low`` to dark at ``high``."""

    label: str
    low: float
    high: float
    unit: str = ""


Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table; numbers stand to the right, in the unit of their column.

    Attributes
    ----------
    caption : str
    columns : tuple of str
    rows : tuple of tuples, as long as ``columns``
        None is shown as a dash.
    units : tuple of str
        One of `UNITS` for every column, or empty: all plain.
    note : str
        E.g. how many rows are not shown.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    units: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes
    ----------
    key : str
        Lower case and dashes, unique among the figures of a plan, e.g. ``"memory-map"``; names it
        on the command line and in the file.
    title : str
    summary : str
        What there is to see, in a sentence or two, for those who cannot see it.
    x, y : Axis
    marks : tuple of marks, in the order in which they are drawn
    scale : Scale or None
        For marks with the role ``heat``.
    height : int
        Pixels at 960 of width.
    note : str
        A remark below the picture, e.g. what was merged.
    table : Table or None
        The same in numbers, as far as that helps.
    """

    key: str
    title: str
    summary: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    scale: Scale | None = None
    height: int = 300
    note: str = ""
    table: Table | None = None

    def over(self, x: Axis, y: Axis, scale: Scale | None) -> Figure:
        """Return the figure on other axes and another scale of colours."""
        return replace(self, x=x, y=y, scale=scale)


@dataclass(frozen=True)
class Section:
    """A part of a report: a heading, a paragraph, pictures and tables."""

    key: str
    title: str
    text: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = field(default=())


def column(values: ArrayLike) -> FloatArray:
    """Return numbers as the float64 column that marks hold."""
    return np.asarray(values, dtype=np.float64)


def stretches(known: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open stretches of a column without a gap.

    Parameters
    ----------
    known : bool[n]

    >>> stretches(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    padded = np.concatenate(([False], known, [False])).astype(np.int8)
    turns = np.flatnonzero(np.diff(padded)).tolist()
    return list(zip(turns[::2], turns[1::2], strict=True))


def together(first: Axis, second: Axis) -> Axis:
    """Return the axis that shows both domains, of two that show the same thing.

    Categories have no domain in common: of two axes that have some, the one with more is returned.
    """
    if first.names or second.names:
        return first if len(first.names) >= len(second.names) else second
    return replace(first, low=min(first.low, second.low), high=max(first.high, second.high))
