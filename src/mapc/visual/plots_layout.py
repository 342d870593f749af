"""Room for what surrounds the marks: how titles wrap, names of ticks turn, labels make way.

Widths of text are estimates, good enough to choose by; where things come to stand is left to
matplotlib. Nothing here needs it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Final

from mapc.markup import clean
from mapc.visual.figure import Axis, Figure, Rule
from mapc.visual.plots_style import LABEL_SIZE, RULE_SIZE, SIZE, TITLE_SIZE
from mapc.visual.words import ticks

TICK: Final = 28
"""Characters of the name of a category."""

LABEL: Final = 80
"""Characters of the name of an axis, or of a rule."""

NAME: Final = 40
"""Characters of a name in the legend."""

TITLE_LINES: Final = 2
RULE_LETTERS: Final = (22, 13)
"""Characters of a line of the name of a rule beside the axes; in narrow pictures, fewer."""

NARROW: Final = 5.0
"""Inches."""

EM: Final = 0.58
"""Width of a character on average, in sizes of the font."""

INCH: Final = 72.0
"""Points."""

Ticks = list[tuple[float, str]]


def height_around(figure: Figure, width: float, title: bool) -> float:
    """Return the inches that everything above and below the axes takes."""
    lines = len(title_lines(figure.title, width)) if title else 0
    points = lines * TITLE_SIZE * 1.25 + (4.0 if lines else 0.0)
    points += RULE_SIZE * 1.25 * (1 + max((level for _, level in along(figure, width)), default=-1))
    names, upright = x_ticks(figure.x, width)
    longest = max((len(name) for _, name in names), default=0)
    points += (longest * EM * SIZE if upright else SIZE * 1.3) + 6.0
    points += SIZE * 1.6 if figure.x.label else 0.0
    shown = legend_names(figure)
    points += -(-len(shown) // legend_columns(shown, width)) * SIZE * 1.7 if shown else 0.0
    return (points + 8.0) / INCH


# -- title and legend ----------------------------------------------------------------------------


def title_lines(text: str, width: float) -> list[str]:
    """Return a title in lines that fit a width in inches, two at most."""
    letters = max(20, int(width * INCH / (TITLE_SIZE * EM * 1.12)))  # bold is wider
    lines = textwrap.wrap(clean(text), letters, break_long_words=True) or [""]
    if len(lines) <= TITLE_LINES:
        return lines
    return [*lines[: TITLE_LINES - 1], clean(" ".join(lines[TITLE_LINES - 1 :]), letters)]


def legend_names(figure: Figure) -> list[str]:
    """Return what the legend lists; rules and colours of values are named beside the axes."""
    named = (m for m in figure.marks if m.name and not isinstance(m, Rule) and m.role != "heat")
    return list(dict.fromkeys(clean(m.name, NAME) for m in named))


def legend_columns(names: Sequence[str], width: float) -> int:
    """Return how many columns of a legend fit a width in inches."""
    column = (max(map(len, names), default=0) * EM + 5.0) * SIZE / INCH
    return max(1, min(len(names), int(width / column)))


def y_label(text: str, height: float) -> str:
    """Return the name of the vertical axis in lines that fit axes of so many inches."""
    return textwrap.fill(clean(text, LABEL), max(12, int(height * INCH / (LABEL_SIZE * EM))))


# -- ticks ---------------------------------------------------------------------------------------


def x_ticks(axis: Axis, width: float) -> tuple[Ticks, bool]:
    """Return the ticks below a picture of so many inches, and whether their names stand upright."""
    room = max(0.5, width - 1.2)
    if not axis.names:
        return cut(ticks(axis, max(3, int(room / 0.7)))), False
    letter = SIZE * EM / INCH
    longest = max(len(clean(name, TICK)) for name in axis.names)
    if longest <= 4:  # numbers: some are left out rather than all turned
        return cut(ticks(axis, max(1, int(room / ((longest + 2) * letter))))), False
    if room / len(axis.names) >= (longest + 1.5) * letter:
        return cut(ticks(axis, len(axis.names))), False
    return cut(ticks(axis, max(1, int(room / 0.125)))), True


def y_ticks(axis: Axis, height: float) -> Ticks:
    """Return the ticks beside axes of so many inches."""
    if axis.names:
        return cut(ticks(axis, min(60, max(2, int(height / 0.125)))))
    return cut(ticks(axis, min(8, max(2, int(height / 0.3)))))


def cut(found: Ticks) -> Ticks:
    """Return ticks with names that are harmless and not too long."""
    return [(at, clean(text, TICK)) for at, text in found]


# -- rules ---------------------------------------------------------------------------------------


def domain(axis: Axis) -> tuple[float, float]:
    """Return the domain of an axis, widened where there is none."""
    if axis.high > axis.low:
        return axis.low, axis.high
    return axis.low, (2 * axis.low if axis.log else axis.low + 1)


def across(figure: Figure, width: float, height: float) -> list[tuple[Rule, str, float]]:
    """Return horizontal rules within the axes, with their names and how far these move up.

    Parameters
    ----------
    figure : Figure
    width : float
        Of the picture, in inches.
    height : float
        Of the axes, in inches; the moves are in points, so that no two names lie on each other.
    """
    sign = -1.0 if figure.y.down else 1.0
    rules = _named(figure, "y")
    placed: list[tuple[Rule, str, float]] = []
    last = -math.inf
    for mark in sorted(rules, key=lambda m: sign * m.at):
        part = _part(figure.y, mark.at)
        at = height * INCH * (1 - part if figure.y.down else part)
        name = textwrap.fill(clean(mark.name, LABEL), RULE_LETTERS[width < NARROW])
        half = 1.25 * RULE_SIZE * (1 + name.count("\n")) / 2
        middle = max(at, last + half)
        placed.append((mark, name, middle - at))
        last = middle + half
    return placed


def along(figure: Figure, width: float) -> list[tuple[Rule, int]]:
    """Return vertical rules within the axes, with the line their name stands on, 0 the lowest."""
    room = max(0.5, width - 1.2) * INCH
    ends: list[float] = []
    placed = []
    for mark in sorted(_named(figure, "x"), key=lambda m: m.at):
        middle = room * _part(figure.x, mark.at)
        half = len(clean(mark.name, LABEL)) * RULE_SIZE * EM / 2 + 2
        level = next((k for k, end in enumerate(ends) if end <= middle - half), len(ends))
        ends[level : level + 1] = [middle + half]
        placed.append((mark, level))
    return placed


def _named(figure: Figure, axis: str) -> list[Rule]:
    low, high = domain(figure.x if axis == "x" else figure.y)
    return [
        mark
        for mark in figure.marks
        if isinstance(mark, Rule) and mark.name and mark.axis == axis and low <= mark.at <= high
    ]


def _part(axis: Axis, at: float) -> float:
    """Return where on an axis a value of its domain is, 0 to 1."""
    low, high = domain(axis)
    if axis.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)
