"""A result in a notebook: a line, a table, and the gap over time.

Notebooks bring their own style and take some of what they are given away, style sheets and scripts
first. So the picture is an SVG with attributes alone, in the colour of the text around it and in
two that can be told apart on light and dark grounds; without it the table still says everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mapc.markup import Markup, element, escape, join, plain_rows
from mapc.visual import timeline
from mapc.visual.figure import Axis, Figure, FloatArray, Steps
from mapc.visual.svg_marks import Span
from mapc.visual.view import View, record_of
from mapc.visual.words import ticks, words

if TYPE_CHECKING:
    from mapc.solvers.result import Result

WIDTH: Final = 460
HEIGHT: Final = 150
"""Pixels of the picture."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 14, 22, 24
_NOTE: Final = 400
"""Characters of a note or a reason."""
_COLOURS: Final = {"plan": "#2f81d8", "bound": "#1a9c72"}
"""By role; contrast at least 3 to 1 with white and with the dark grounds of notebooks."""


def result_html(result: Result) -> str:
    """Return a result as HTML without style sheet or script.

    Parameters
    ----------
    result : Result

    Returns
    -------
    str
        One ``<div>``. What comes from outside is escaped.
    """
    figure = timeline.figure([_view(result)])
    return element(
        "div",
        element("p", element("b", element("bdi", escape(str(result), _NOTE)))),
        plain_rows(result_rows(result)),
        None if figure is None else picture(figure),
    )


def _view(result: Result) -> View:
    return View(
        label=result.kind,
        kind=result.kind,
        problem=None,
        plan=result.plan,
        record=record_of(result),
        objective=result.objective,
        facts=result.facts,
        violations=(),
        phrase=result.phrase,
    )


def result_rows(result: Result) -> list[tuple[str, object]]:
    """Return labels and values of what a result says, without what it does not know."""
    objective = None if result.objective is None else result.phrase(result.objective)
    bound = None if result.bound is None else result.phrase(result.bound)
    if bound is not None and result.bound_method:
        bound = f"{bound}, by {result.bound_method}"
    found = [
        ("family", result.kind),
        ("status", result.status.value),
        ("objective", objective),
        ("bound", bound),
        ("gap", None if result.gap is None else words(result.gap, "share")),
        ("method", result.method),
        ("time", words(round(result.seconds, 3), "s")),
        ("interrupted", "yes" if result.interrupted else None),
        ("reason", escape(result.reason, _NOTE) if result.reason else None),
    ]
    rows: list[tuple[str, object]] = [(label, value) for label, value in found if value]
    if result.notes:
        notes = (element("bdi", escape(note, _NOTE)) for note in result.notes)
        rows.append(("notes", join(notes, Markup("<br>"))))
    return rows


# -- the picture ---------------------------------------------------------------------------------


def picture(figure: Figure) -> Markup:
    """Return the step functions of a figure as a small SVG."""
    inner = (WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    steps = [mark for mark in figure.marks if isinstance(mark, Steps)]
    return element(
        "svg",
        element("title", f"{figure.title}. {figure.summary}"),
        _rule(_LEFT, bottom, right, bottom),
        _rule(_LEFT, _TOP, _LEFT, bottom),
        *(_across(x, label, bottom) for x, label in _placed(figure.x, 4, _LEFT, inner[0])),
        *(_up(bottom - y, label) for y, label in _placed(figure.y, 4, 0, inner[1])),
        *(_line(figure, mark, bottom, inner) for mark in steps),
        *(_key(mark, i) for i, mark in enumerate(steps)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=figure.title,
        font_family="sans-serif",
        font_size=11,
        fill="currentColor",
    )


def position(axis: Axis, values: FloatArray) -> FloatArray:
    """Return how far along an axis values lie, 0 to 1 within its domain."""
    span = Span.of(axis)
    return np.asarray((span.at(np.maximum(values, axis.low)) - span.low) / span.length)


def _placed(axis: Axis, most: int, start: int, length: int) -> list[tuple[float, str]]:
    found = ticks(axis, most)
    at = position(axis, np.array([value for value, _ in found], dtype=np.float64))
    named = zip(at.tolist(), (label for _, label in found), strict=True)
    return [(round(start + part * length, 2), label) for part, label in named]


def _rule(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_opacity="0.5")


def _across(x: float, label: str, bottom: int) -> Markup:
    return element("text", label, x=x, y=bottom + 15, text_anchor="middle")


def _up(y: float, label: str) -> Markup:
    return element("text", label, x=_LEFT - 6, y=y + 4, text_anchor="end")


def _key(mark: Steps, i: int) -> Markup:
    x = _LEFT + 100 * i
    return join(
        (
            _path(mark, f"M{x} 8h20"),
            element("text", mark.name, x=x + 25, y=12),
        )
    )


def _line(figure: Figure, mark: Steps, bottom: int, inner: tuple[int, int]) -> Markup | None:
    known = np.flatnonzero(np.isfinite(mark.y))
    if not len(known):
        return None
    x = np.round(_LEFT + position(figure.x, mark.x) * inner[0], 2).tolist()
    y = np.round(bottom - position(figure.y, mark.y) * inner[1], 2).tolist()
    pieces: list[str] = []
    for i in known.tolist():
        # a gap begins anew
        move = f"V{y[i]}" if pieces and np.isfinite(mark.y[i - 1]) else f"M{x[i]} {y[i]}"
        pieces.append(f"{move}H{x[i + 1]}")
    return _path(mark, "".join(pieces))


def _path(mark: Steps, way: str) -> Markup:
    return element(
        "path",
        d=way,
        fill="none",
        stroke=_COLOURS.get(mark.role, "currentColor"),
        stroke_width=2,
        stroke_dasharray="5 3" if mark.dashed else None,
    )
