"""Marks as SVG elements whose coordinates are the data.

Rectangles stand in the document as ``x``, ``y``, ``width`` and ``height`` in the units of their
axes (logarithmic axes: the decimal logarithm), so that numbers can be read back from a report.
Stretching the drawing to its place on the screen is left to the browser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapc.markup import Markup, escape
from mapc.visual.figure import (
    Axis,
    Figure,
    FloatArray,
    Line,
    Mark,
    Points,
    Rects,
    Rule,
    Scale,
    Steps,
    stretches,
)
from mapc.visual.palette import heat_step

EDGE_SHARE = 3 / 300
"""Share of the width from which rectangles have an edge in the colour of the ground: three pixels
on a telephone. Thinner ones would be nothing but edge."""

WIDTH = 960.0
"""Pixels that a picture is wide, about."""

THIN = 1.5
"""Pixels of width or height below which a rectangle has a hairline of its own colour around it, so
that it is seen."""

ROOM = 6.0
"""Pixels of height from which a wide rectangle has an edge among those that have none."""

MANY, MOST = 400, 2_000
"""Dots of one kind above which they are smaller, and smaller still."""

LARGE, SMALL = 2.0**24, 2.0**-4
"""Browsers lose what is farther from 0 than about 2**25, or shorter than about 2**-16 with room
for zooming by 2,000; domains beyond are drawn in other units."""


FARTHEST = 2.0**1000
"""Ends of domains beyond count as this, so that lengths and margins stay finite."""


@dataclass(frozen=True)
class Span:
    """The domain of an axis in the coordinates of the drawing.

    Coordinates are the values of the axis (with ``log`` their decimal logarithms); of very large,
    small or far-off domains they are ``(value - offset) / factor``, the factor a power of two.

    Attributes
    ----------
    low, high : float
        In coordinates, ``low < high``.
    log : bool
    factor, offset : float
        1 and 0 as a rule.
    """

    low: float
    high: float
    log: bool
    factor: float = 1.0
    offset: float = 0.0

    @staticmethod
    def of(axis: Axis) -> Span:
        """Return the domain of an axis; one that is empty or not finite becomes one unit long."""
        low, high = float(axis.low), float(axis.high)
        log = axis.log and low > 0 and math.isfinite(low)
        if log:
            low = math.log10(low)
            high = math.log10(high) if high > 0 else low
        low = min(max(low, -FARTHEST), FARTHEST) if math.isfinite(low) else 0.0
        high = min(max(high, -FARTHEST), FARTHEST)
        length = high - low
        if not (length > 0 and math.isfinite(length)):
            high = low + max(1.0, abs(low) * 1e-6)
            length = high - low
        offset = low if max(abs(low), abs(high)) > 2**14 * length else 0.0
        largest = max(abs(low - offset), abs(high - offset))
        factor = 1.0
        if largest > LARGE or length < SMALL:
            factor = 2.0 ** max(-1000, math.ceil(math.log2(largest)) - 12)
        return Span((low - offset) / factor, (high - offset) / factor, log, factor, offset)

    @property
    def length(self) -> float:
        """How long it is."""
        return self.high - self.low

    def at(self, values: FloatArray) -> FloatArray:
        """Return coordinates; what has none because it is infinite or has no logarithm is cut.

        NaN stays NaN.
        """
        found = np.asarray(values, dtype=np.float64)
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(found > 0, np.log10(np.maximum(found, 0.0)), found * 0 - np.inf)
        placed = (found - self.offset) / self.factor
        return np.where(np.isinf(found), np.where(found > 0, self.high, self.low), placed)

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 at the low end to 1 at the high one."""
        return (float(self.at(np.asarray(value))) - self.low) / self.length


def number(value: float) -> str:
    """Return a number so that it reads back exactly: whole ones without a point.

    >>> number(3.0), number(-0.0), number(0.1)
    ('3', '0', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def numbers(values: FloatArray) -> list[str]:
    """Return a column of numbers as text."""
    return [number(value) for value in values.tolist()]


def draw_marks(figure: Figure, x: Span, y: Span, series: Sequence[int]) -> Markup:
    """Return all marks of a figure in their order, those of one kind in one group.

    ``series`` says for every mark which entry of the legend hides it.
    """
    parts = []
    for mark, index in zip(figure.marks, series, strict=True):
        classes = ["s", type(mark).__name__.lower(), mark.role]
        thin = ""
        if isinstance(mark, Points):
            classes.extend(_sizes(mark))
        if isinstance(mark, Steps) and len(mark.y) > WIDTH:
            classes.append("many")
        if isinstance(mark, Rects):
            share = _thinness(mark, x)
            thin = f' data-w="{share:.4g}"'
            if _mostly(_thin(mark, x, y, figure)):
                classes.append("thin")
            elif share >= EDGE_SHARE:
                classes.append("edged")
        if getattr(mark, "dashed", False):
            classes.append("dashed")
        parts.append(f'<g class="{escape(" ".join(classes))}" data-series="{index}"{thin}>')
        parts.extend(_shapes(mark, x, y, figure))
        parts.append("</g>")
    return Markup("".join(parts))


def _sizes(mark: Points) -> Iterator[str]:
    """Yield the classes that say how dots look; many of them must not hide what is below."""
    if mark.shape == "square":
        yield "square"
    if len(mark.titles) > MANY:
        yield "most" if len(mark.titles) > MOST else "many"


def _thinness(mark: Rects, x: Span) -> float:
    """Return the share of the width that the thinner rectangles have: the lowest quarter."""
    width = (x.at(mark.x1) - x.at(mark.x0)) / x.length
    width = width[np.isfinite(width) & (width > 0)]
    return float(np.quantile(width, 0.25)) if len(width) else 0.0


def _thin(mark: Rects, x: Span, y: Span, figure: Figure) -> NDArray[np.bool_]:
    """Return which rectangles are hardly seen; colours of values stand side by side, and are."""
    if mark.role == "heat":
        return np.zeros(len(mark.titles), dtype=np.bool_)
    width = (x.at(mark.x1) - x.at(mark.x0)) / x.length
    height = (y.at(mark.y1) - y.at(mark.y0)) / y.length
    return (width < THIN / WIDTH) | (height < THIN / max(1, figure.height))


def _edges(mark: Rects, x: Span, y: Span, figure: Figure) -> list[str]:
    """Return what is said of edges for every rectangle that is unlike most of its kind."""
    thin = _thin(mark, x, y, figure)
    if not _mostly(thin) and _thinness(mark, x) >= EDGE_SHARE:
        return [' class="thin"' if one else "" for one in thin.tolist()]
    width = (x.at(mark.x1) - x.at(mark.x0)) / x.length
    height = (y.at(mark.y1) - y.at(mark.y0)) / y.length
    large = (width >= EDGE_SHARE) & (height >= ROOM / max(1, figure.height))
    own = [' class="edged"' if one else "" for one in large.tolist()]
    if _mostly(thin):  # which their group says
        return own
    return [' class="thin"' if one else edge for one, edge in zip(thin.tolist(), own, strict=True)]


def _mostly(thin: NDArray[np.bool_]) -> bool:
    return bool(len(thin)) and bool(thin.mean() > 0.5)


def _shapes(mark: Mark, x: Span, y: Span, figure: Figure) -> Iterator[str]:
    match mark:
        case Rects():
            yield from _rects(mark, x, y, figure)
        case Steps():
            yield from _steps(mark, x, y)
        case Line():
            yield from _line(mark, x, y)
        case Points():
            yield from _points(mark, x, y)
        case Rule():
            yield from _rule(mark, x, y)


def _rects(mark: Rects, x: Span, y: Span, figure: Figure) -> Iterator[str]:
    x0, x1, y0, y1 = x.at(mark.x0), x.at(mark.x1), y.at(mark.y0), y.at(mark.y1)
    width, height = x1 - x0, y1 - y0
    known = np.isfinite(width) & np.isfinite(height)
    places = zip(numbers(x0), numbers(y0), numbers(width), numbers(height), strict=True)
    if mark.values is not None and mark.role == "heat":
        extra = _heat(mark, mark.values, figure.scale)
    else:
        extra = _edges(mark, x, y, figure)
    for i, (left, low, wide, high) in enumerate(places):
        if known[i]:
            yield (
                f'<rect{extra[i]} x="{left}" y="{low}" width="{wide}" height="{high}">'
                f"<title>{escape(mark.titles[i])}</title></rect>"
            )


def _heat(mark: Rects, found: FloatArray, scale: Scale | None) -> list[str]:
    """Return what says the value of every rectangle: a class for its colour, and the number."""
    values = np.asarray(found, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if scale is not None:
        low, high = scale.low, scale.high
    else:
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return [
        f' class="{_colour(value, low, high)}" data-v="{number(value)}"'
        for value in values.tolist()
    ]


def _colour(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return f"q{heat_step(high if value > 0 else low, low, high)}"
    return f"q{heat_step(value, low, high)}"


def _steps(mark: Steps, x: Span, y: Span) -> Iterator[str]:
    ends, levels = x.at(mark.x), y.at(mark.y)
    known = np.isfinite(levels) & np.isfinite(ends[:-1]) & np.isfinite(ends[1:])
    across, up = numbers(np.nan_to_num(ends)), numbers(np.nan_to_num(levels))
    parts = []
    pieces = [(first, last, _level_pieces(levels, first, last)) for first, last in stretches(known)]
    for first, _, level in pieces:
        parts.append(f"M{across[first]} {up[first]}H{across[level[0][1]]}")
        parts.extend(f"V{up[i]}H{across[end]}" for i, end in level[1:])
    if not parts:
        return
    if mark.fill:
        floor = number(y.low if y.log else 0.0)
        under = []
        for first, _, level in pieces:
            under.append(f"M{across[first]} {floor}")
            under.extend(f"V{up[i]}H{across[end]}" for i, end in level)
            under.append(f"V{floor}z")
        yield f'<path class="under" d="{"".join(under)}"/>'
    yield f'<path class="way" d="{"".join(parts)}"><title>{escape(mark.name)}</title></path>'


def _level_pieces(levels: FloatArray, first: int, last: int) -> list[tuple[int, int]]:
    """Return where each level of a stretch begins and ends; equal neighbours are one."""
    turns = first + 1 + np.flatnonzero(np.diff(levels[first:last]))
    starts = [first, *turns.tolist()]
    return list(zip(starts, [*starts[1:], last], strict=True))


def _line(mark: Line, x: Span, y: Span) -> Iterator[str]:
    across, up = x.at(mark.x), y.at(mark.y)
    known = np.isfinite(across) & np.isfinite(up)
    places = list(zip(numbers(np.nan_to_num(across)), numbers(np.nan_to_num(up)), strict=True))
    parts = [
        "M" + "L".join(" ".join(place) for place in places[first:last])
        for first, last in stretches(known)
    ]
    if parts:
        yield f'<path class="way" d="{"".join(parts)}"><title>{escape(mark.name)}</title></path>'


def _points(mark: Points, x: Span, y: Span) -> Iterator[str]:
    across, up = x.at(mark.x), y.at(mark.y)
    known = np.isfinite(across) & np.isfinite(up)
    for i, (left, low) in enumerate(zip(numbers(across), numbers(up), strict=True)):
        if known[i]:
            yield f'<path d="M{left} {low}h0"><title>{escape(mark.titles[i])}</title></path>'


def _rule(mark: Rule, x: Span, y: Span) -> Iterator[str]:
    along, across = (y, x) if mark.axis == "y" else (x, y)
    if not rule_shown(mark, x, y):
        return
    at = number(float(along.at(np.asarray(mark.at))))
    low, high = number(across.low), number(across.high)
    ends = (
        f'x1="{low}" x2="{high}" y1="{at}" y2="{at}"'
        if mark.axis == "y"
        else f'x1="{at}" x2="{at}" y1="{low}" y2="{high}"'
    )
    yield f"<line {ends}><title>{escape(mark.name)}</title></line>"


def rule_shown(rule: Rule, x: Span, y: Span) -> bool:
    """Return whether a rule lies within the picture."""
    if not math.isfinite(rule.at):
        return False
    share = (y if rule.axis == "y" else x).share(rule.at)
    return -1e-9 <= share <= 1 + 1e-9
