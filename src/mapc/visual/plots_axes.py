"""What surrounds the marks, as artists: title, axes, names of rules, legend, scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapc.markup import clean
from mapc.visual.figure import Axis, Figure, Rects, Rule
from mapc.visual.plots_layout import (
    LABEL,
    Ticks,
    across,
    along,
    cut,
    domain,
    height_around,
    legend_columns,
    title_lines,
    x_ticks,
    y_label,
    y_ticks,
)
from mapc.visual.plots_marks import colours_of_values, norm
from mapc.visual.plots_style import RULE_SIZE, colour
from mapc.visual.words import ticks

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# names come from outside: said at every text, as drawing may happen when the style is left
_NAMES: dict[str, Any] = {"parse_math": False}


def frame(axes: Axes, figure: Figure, size: tuple[float, float], title: bool) -> None:
    """Set up the axes: domains, ticks, names, the title, and what rules are called."""
    width, height = size
    room = max(0.3, height - height_around(figure, width, title))
    if title:
        lines = title_lines(figure.title, width)
        axes.figure.suptitle("\n".join(lines), x=0.01, ha="left", **_NAMES)
    for axis, scale in ((figure.x, axes.set_xscale), (figure.y, axes.set_yscale)):
        if axis.log:
            scale("log", nonpositive="clip")
    axes.set_xlim(*domain(figure.x))
    low, high = domain(figure.y)
    axes.set_ylim(*((high, low) if figure.y.down else (low, high)))
    axes.set_xlabel(clean(figure.x.label, LABEL), **_NAMES)
    axes.set_ylabel(y_label(figure.y.label, room), **_NAMES)
    found, upright = x_ticks(figure.x, width)
    axes.set_xticks(*_split(found), rotation=90 if upright else 0, **_NAMES)
    axes.set_yticks(*_split(y_ticks(figure.y, room)), **_NAMES)
    _minor(axes.xaxis, figure.x)
    _minor(axes.yaxis, figure.y)
    _grid(axes, figure)
    _rule_names(axes, figure, width, room)


def _split(found: Ticks) -> tuple[list[float], list[str]]:
    return [at for at, _ in found], [text for _, text in found]


def _minor(axis_artist: Any, axis: Axis) -> None:
    """Show the decades of a logarithmic axis; no other has minor ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    decades = axis.log and axis.high < 1e5 * axis.low
    axis_artist.set_minor_locator(
        LogLocator(subs=tuple(range(2, 10)), numticks=99) if decades else NullLocator()
    )
    axis_artist.set_minor_formatter(NullFormatter())


def _grid(axes: Axes, figure: Figure) -> None:
    """Draw a grid below the marks: for lines both ways, for bars across, for categories none."""
    if not any(isinstance(mark, Rects) for mark in figure.marks):
        axes.grid(True, which="major")
    elif not figure.y.names:
        axes.grid(True, which="major", axis="y")
    axes.set_axisbelow(True)


def _rule_names(axes: Axes, figure: Figure, width: float, room: float) -> None:
    """Write beside every rule what it is called: to the right of the axes, or above them."""
    for mark, name, up in across(figure, width, room):
        axes.annotate(
            name,
            (1.0, mark.at),
            xytext=(3, up),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            **_words(mark),
        )
    for mark, level in along(figure, width):
        axes.annotate(
            clean(mark.name, LABEL),
            (mark.at, 1.0),
            xytext=(0, 2 + level * 1.25 * RULE_SIZE),
            xycoords=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            **_words(mark),
        )


def _words(mark: Rule) -> dict[str, Any]:
    style = {"textcoords": "offset points", "fontsize": RULE_SIZE, "annotation_clip": False}
    return {**style, "color": colour(mark.role), **_NAMES}


def legend(drawing: Drawing, handles: Sequence[Artist], width: float) -> None:
    """Put the legend below the axes, in as many columns as fit."""
    if not handles:
        return
    found = drawing.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=legend_columns([str(handle.get_label()) for handle in handles], width),
        frameon=False,
        handlelength=2.6,
        borderaxespad=0.1,
        columnspacing=1.4,
    )
    for text in found.get_texts():
        text.set_parse_math(False)


def scale_bar(drawing: Drawing, axes: Axes, figure: Figure) -> None:
    """Draw what colours say beside the axes, where there are such."""
    from matplotlib.cm import ScalarMappable

    scale = figure.scale
    if scale is None:
        return
    axis = Axis(scale.label, scale.low, scale.high, scale.unit)
    shown = ScalarMappable(norm(scale), colours_of_values())
    bar = drawing.colorbar(shown, ax=axes, fraction=0.03, pad=0.02, aspect=25)
    bar.outline.set_linewidth(0.4)
    at, names = _split(cut(ticks(axis, 5)))
    if not scale.high > scale.low:  # one value, one colour: its tick stands at the low end
        at = [bar.ax.get_ylim()[0]] * len(names)
    bar.ax.set_yticks(at, names, **_NAMES)
    bar.ax.minorticks_off()
    bar.set_label(clean(scale.label, LABEL), **_NAMES)
