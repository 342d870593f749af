"""Marks as artists of matplotlib: one collection for each, never a patch for every rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mapc.markup import clean
from mapc.visual.figure import Figure, Line, Mark, Points, Rects, Rule, Scale, Steps, stretches
from mapc.visual.palette import HEAT
from mapc.visual.plots_layout import INCH, NAME, domain
from mapc.visual.plots_style import DASHED, DASHES, HATCHES, apart, colour, darker

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

LEAST = 2.0
"""Points that rectangles measure, most of them, to have edges; smaller ones would be all edge."""

MANY = 100
"""Dots of one mark that are drawn smaller."""

_FILL = 0.25
_SIZES = {"round": ("o", 13.0), "square": ("s", 11.0)}
_ABOVE = 3.0  # of the axes and their grid


@dataclass(frozen=True)
class Ways:
    """How roles are told apart in this figure, beside their colour.

    Attributes
    ----------
    hatches, solid, dashed : dict by role
    """

    hatches: dict[str, Any]
    solid: dict[str, Any]
    dashed: dict[str, Any]

    @staticmethod
    def of(marks: Sequence[Mark]) -> Ways:
        """Return the ways of all roles of a figure."""
        areas = [m.role for m in marks if isinstance(m, Rects) and m.role != "heat"]
        lines = [m for m in marks if isinstance(m, Line | Steps | Rule)]
        return Ways(
            apart(areas, HATCHES),
            apart([m.role for m in lines if not _dashed(m)], DASHES),
            apart([m.role for m in lines if _dashed(m)], DASHED),
        )

    def line(self, mark: Line | Steps | Rule) -> Any:
        """Return the dashes of a line."""
        return (self.dashed if _dashed(mark) else self.solid)[mark.role]


def _dashed(mark: Line | Steps | Rule) -> bool:
    """Return whether a line is dashed: as asked, and for every bound."""
    return mark.dashed or mark.role == "bound"


def add_marks(axes: Axes, figure: Figure, size: tuple[float, float]) -> list[Artist]:
    """Draw all marks, in their order, in a picture of so many inches.

    Returns
    -------
    list of artists
        For the legend, one for every name.
    """
    ways = Ways.of(figure.marks)
    points = _points_of(figure, size)
    handles: dict[str, Artist] = {}
    for at, mark in enumerate(figure.marks):
        artist = _artist(axes, mark, figure.scale, ways, points)
        artist.set_gid(f"mark-{at}")
        artist.set_zorder(_ABOVE + at / 1000)
        # the domain of the axes is given; marks have no say in the layout either
        artist.set_in_layout(False)
        if mark.name and not isinstance(mark, Rule) and mark.role != "heat":
            handles.setdefault(clean(mark.name, NAME), _handle(mark, ways))
    return list(handles.values())


def scale_of(marks: Sequence[Rects]) -> Scale:
    """Return a scale over the values of marks that come without one."""
    values = np.concatenate([m.values for m in marks if m.values is not None] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    return Scale("", float(values.min()), float(values.max())) if values.size else Scale("", 0, 0)


def _points_of(figure: Figure, size: tuple[float, float]) -> tuple[float, float]:
    """Return about how many points a unit of x and one of y are long; 0 where that differs."""
    found = []
    for axis, inches in ((figure.x, size[0] - 1.2), (figure.y, size[1] - 0.8)):
        low, high = domain(axis)
        found.append(0.0 if axis.log else max(0.3, inches) * INCH / (high - low))
    return found[0], found[1]


def _artist(
    axes: Axes, mark: Mark, scale: Scale | None, ways: Ways, points: tuple[float, float]
) -> Artist:
    if isinstance(mark, Rects):
        return _rects(axes, mark, scale, ways, points)
    if isinstance(mark, Points):
        marker, size = _SIZES[mark.shape]
        size = size / 2 if len(mark.x) > MANY else size
        return axes.scatter(
            mark.x, mark.y, s=size, marker=marker, color=colour(mark.role), linewidths=0
        )
    if isinstance(mark, Rule):
        return _rule(axes, mark, ways)
    if isinstance(mark, Steps):
        return _steps(axes, mark, ways)
    return _polylines(axes, runs(mark.x, mark.y), mark, ways)


# -- areas ---------------------------------------------------------------------------------------


def corners(mark: Rects) -> FloatArray:
    """Return the corners of rectangles, float64[n, 4, 2]: from the lower left, around."""
    x = np.stack([mark.x0, mark.x1, mark.x1, mark.x0], axis=1)
    y = np.stack([mark.y0, mark.y0, mark.y1, mark.y1], axis=1)
    return np.stack([x, y], axis=2).astype(np.float64, copy=False)


def _edged(mark: Rects, points: tuple[float, float]) -> bool:
    """Return whether rectangles are large enough for edges, half of them at least."""
    sides = ((mark.x0, mark.x1, points[0]), (mark.y0, mark.y1, points[1]))
    return all(
        unit == 0 or not len(low) or float(np.median(high - low)) * unit >= LEAST
        for low, high, unit in sides
    )


def _rects(
    axes: Axes, mark: Rects, scale: Scale | None, ways: Ways, points: tuple[float, float]
) -> Artist:
    from matplotlib.collections import PolyCollection

    places: Any = corners(mark)  # an array is drawn faster than the sequence that is declared
    if mark.role == "heat" and mark.values is not None and scale is not None:
        # an edge of its own colour closes the seams that viewers leave between cells
        cells = PolyCollection(places, edgecolors="face", linewidths=0.15)
        cells.set_array(mark.values)
        cells.set_cmap(colours_of_values())
        cells.set_norm(norm(scale))
        return axes.add_collection(cells, autolim=False)
    face = colour(mark.role)
    edged = _edged(mark, points)
    return axes.add_collection(
        PolyCollection(
            places,
            facecolors=face,
            edgecolors=darker(face) if edged else "face",
            linewidths=0.3 if edged else 0.15,
            hatch=ways.hatches.get(mark.role) or None,
        ),
        autolim=False,
    )


def colours_of_values() -> Any:
    """Return the colours of values from low to high, as the reports have them."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(HEAT[0], name="mapc").with_extremes(bad=HEAT[0][0])


def norm(scale: Scale) -> Any:
    """Return what takes values to colours; what is outside has the nearest."""
    from matplotlib.colors import Normalize

    return Normalize(scale.low, scale.high, clip=True)


# -- lines ---------------------------------------------------------------------------------------


def runs(x: FloatArray, y: FloatArray) -> list[FloatArray]:
    """Return the pieces of a line between its gaps (NaN), float64[m, 2] each."""
    both = np.stack([x, y], axis=1)
    return [both[a:b] for a, b in stretches(np.isfinite(x) & np.isfinite(y))]


def stairs(x: FloatArray, y: FloatArray) -> list[FloatArray]:
    """Return the pieces of a step function between its gaps, float64[2 m, 2] each.

    Parameters
    ----------
    x : float64[n + 1]
    y : float64[n]
    """
    there = np.isfinite(y) & np.isfinite(x[:-1]) & np.isfinite(x[1:])
    found = []
    for a, b in stretches(there):
        across = np.repeat(x[a : b + 1], 2)[1:-1]
        found.append(np.stack([across, np.repeat(y[a:b], 2)], axis=1))
    return found


def _steps(axes: Axes, mark: Steps, ways: Ways) -> Artist:
    from matplotlib.collections import PolyCollection

    pieces = stairs(mark.x, mark.y)
    if mark.fill:
        below = [
            np.concatenate([[[piece[0, 0], 0.0]], piece, [[piece[-1, 0], 0.0]]]) for piece in pieces
        ]
        area = PolyCollection(below, facecolors=colour(mark.role), alpha=_FILL, linewidths=0)
        area.set_zorder(_ABOVE - 0.1)
        area.set_in_layout(False)
        axes.add_collection(area, autolim=False)
    return _polylines(axes, pieces, mark, ways)


def _polylines(axes: Axes, pieces: Sequence[FloatArray], mark: Line | Steps, ways: Ways) -> Artist:
    from matplotlib.collections import LineCollection

    return axes.add_collection(
        LineCollection(pieces, colors=colour(mark.role), linestyles=[ways.line(mark)]),
        autolim=False,
    )


def _rule(axes: Axes, mark: Rule, ways: Ways) -> Artist:
    from matplotlib.collections import LineCollection

    across = mark.axis == "y"
    ends = [(0.0, mark.at), (1.0, mark.at)] if across else [(mark.at, 0.0), (mark.at, 1.0)]
    transform = axes.get_yaxis_transform() if across else axes.get_xaxis_transform()
    line = LineCollection(
        [ends],
        colors=colour(mark.role),
        linestyles=[ways.line(mark)],
        linewidths=0.9,
        transform=transform,
    )
    return axes.add_collection(line, autolim=False)


# -- legend --------------------------------------------------------------------------------------


def _handle(mark: Rects | Steps | Line | Points, ways: Ways) -> Artist:
    """Return what stands for a mark in the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    name, tint = clean(mark.name, NAME), colour(mark.role)
    if isinstance(mark, Rects):
        hatch = ways.hatches.get(mark.role) or None
        return Patch(facecolor=tint, edgecolor=darker(tint), linewidth=0.3, hatch=hatch, label=name)
    if isinstance(mark, Points):
        marker, size = _SIZES[mark.shape]
        return Line2D(
            [], [], color=tint, marker=marker, markersize=size**0.5, linestyle="none", label=name
        )
    return Line2D([], [], color=tint, linestyle=ways.line(mark), label=name)
