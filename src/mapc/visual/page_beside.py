"""Several plans beside each other: their figures in one table, their pictures on common axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mapc.markup import Markup, clean, element, escape, join
from mapc.visual.figure import Cell, Figure, Scale, Section, Table, together
from mapc.visual.page_words import facts, gap, said, told
from mapc.visual.svg import draw, table
from mapc.visual.view import View
from mapc.visual.words import words


def beside(views: Sequence[View], sections: Sequence[Sequence[Section]]) -> Markup:
    """Return the sections of all views; those of the same key in one, their pictures in a row."""
    keys = dict.fromkeys(section.key for of_view in sections for section in of_view)
    parts = []
    for key in keys:
        found = [
            (view, section)
            for view, of_view in zip(views, sections, strict=True)
            for section in of_view
            if section.key == key
        ]
        parts.append(_alone(found[0][1]) if len(views) == 1 else _row(found))
    return join(parts)


def _alone(section: Section) -> Markup:
    return element(
        "section",
        element("h2", element("bdi", section.title)),
        element("p", element("bdi", escape(section.text, 4_000))) if section.text else None,
        join(draw(figure) for figure in section.figures),
        join(table(found) for found in section.tables),
    )


def _row(found: Sequence[tuple[View, Section]]) -> Markup:
    figures = dict.fromkeys(figure.key for _, section in found for figure in section.figures)
    texts = dict.fromkeys(section.text for _, section in found if section.text)
    parts = []
    for key in figures:
        pairs = [
            (view, figure)
            for view, section in found
            for figure in section.figures
            if figure.key == key
        ]
        alike = common([figure for _, figure in pairs])
        parts.append(
            _cells([(view, draw(figure)) for (view, _), figure in zip(pairs, alike, strict=True)])
        )
    most = max(len(section.tables) for _, section in found)
    parts.extend(
        _cells([(view, table(s.tables[i])) for view, s in found if i < len(s.tables)])
        for i in range(most)
    )
    return element(
        "section",
        element("h2", element("bdi", found[0][1].title)),
        join(element("p", element("bdi", escape(text, 4_000))) for text in texts),
        join(parts),
    )


def _cells(cells: Sequence[tuple[View, Markup]]) -> Markup:
    return element(
        "div",
        join(
            element(
                "div",
                element("p", element("bdi", escape(view.label, 1_000)), class_="which"),
                content,
            )
            for view, content in cells
        ),
        class_="views",
        style=f"--n:{len(cells)}",
    )


def common(figures: Sequence[Figure]) -> list[Figure]:
    """Return figures of one key on axes and a scale that show all of them.

    Those that show something else (another unit, a logarithm, other categories) stay as they are.
    """
    first = figures[0]
    alike = [figure for figure in figures if _same(first, figure)]
    x, y, scale = first.x, first.y, first.scale
    for figure in alike[1:]:
        x, y = together(x, figure.x), together(y, figure.y)
        if scale is not None and figure.scale is not None:
            scale = _both(scale, figure.scale)
    return [figure.over(x, y, scale) if figure in alike else figure for figure in figures]


def _same(first: Figure, second: Figure) -> bool:
    pairs = ((first.x, second.x), (first.y, second.y))
    scales = (first.scale, second.scale)
    return all(
        (a.unit, a.log, a.names, a.down) == (b.unit, b.log, b.names, b.down) for a, b in pairs
    ) and (
        scales == (None, None) or (None not in scales and scales[0].unit == scales[1].unit)  # type: ignore[union-attr]
    )


def _both(first: Scale, second: Scale) -> Scale:
    return replace(first, low=min(first.low, second.low), high=max(first.high, second.high))


def differences(views: Sequence[View]) -> Markup:
    """Return the figures of all views in one table, with what the second has more or less."""
    two = len(views) == 2
    labels = [clean(view.label) for view in views]
    lines: list[tuple[Cell, ...]] = [
        ("objective", *(said(view, view.objective) for view in views)),
        ("bound", *(said(view, view.bound) for view in views)),
        ("gap", *(words(gap(view), "share") for view in views)),
        ("status", *(view.record.status or "unknown" for view in views)),
        ("method", *(view.record.method or None for view in views)),
        ("seconds", *(words(view.record.seconds) for view in views)),
    ]
    figures: list[list[Any]] = [
        [view.objective for view in views],
        [view.bound for view in views],
        [None] * len(views),
        [None] * len(views),
        [None] * len(views),
        [view.record.seconds for view in views],
    ]
    keys = dict.fromkeys(key for view in views for key in view.facts)
    for key in keys:
        values = [view.facts.get(key) for view in views]
        named = [facts({key: value})[0] if value is not None else ("", None) for value in values]
        label = next((name for name, _ in named if name), str(key))
        lines.append((label, *(text for _, text in named)))
        figures.append(values)
    columns = ("", *labels)
    if two:
        lines = [(*line, _difference(*pair)) for line, pair in zip(lines, figures, strict=True)]
        columns = (*columns, "difference")
    note = ""
    if any(view.problem is not views[0].problem for view in views[1:]) and _names(views) > 1:
        note = "The plans are of different instances; their figures are not of one thing."
    return table(Table("", columns, tuple(lines), note=note))


def _names(views: Sequence[View]) -> int:
    return len({told(view.facts.get("name")) for view in views})


def _difference(first: Any, second: Any) -> str | None:
    for value in (first, second):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not math.isfinite(value):
            return None
    if first == second:
        return "none"
    change = second - first
    sign = "+" if change > 0 else "-"
    text = f"{sign}{words(abs(change))}"
    if first:
        text += f" ({sign}{words(abs(change / first), 'share')})"
    return text
