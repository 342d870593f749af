"""Several plans beside each other: their figures in one table, their pictures on common axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from mapc.markup import Markup, element, escape, join
from mapc.visual.figure import Cell, Figure, Scale, Section, Table, together
from mapc.visual.page_words import gap, said, short
from mapc.visual.recorded import is_number
from mapc.visual.svg import draw, table
from mapc.visual.timeline import unit_of
from mapc.visual.view import View
from mapc.visual.words import words
from mapc.wording.common import label_of
from mapc.wording.families import problem_facts


def beside(views: Sequence[View], sections: Sequence[Sequence[Section]]) -> Markup:
    """Return the sections of all views; those of the same key in one, their pictures in a row."""
    names = short(views)
    keys = dict.fromkeys(section.key for of_view in sections for section in of_view)
    parts = []
    for key in keys:
        found = [
            (name, section)
            for name, of_view in zip(names, sections, strict=True)
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


def _row(found: Sequence[tuple[str, Section]]) -> Markup:
    figures = dict.fromkeys(figure.key for _, section in found for figure in section.figures)
    texts = dict.fromkeys(section.text for _, section in found if section.text)
    parts = []
    for key in figures:
        pairs = [
            (name, figure)
            for name, section in found
            for figure in section.figures
            if figure.key == key
        ]
        alike = common([figure for _, figure in pairs])
        parts.append(
            cells(
                [(name, draw(figure, name)) for (name, _), figure in zip(pairs, alike, strict=True)]
            )
        )
    most = max(len(section.tables) for _, section in found)
    parts.extend(
        cells([(name, table(s.tables[i], name)) for name, s in found if i < len(s.tables)])
        for i in range(most)
    )
    return element(
        "section",
        element("h2", element("bdi", found[0][1].title)),
        join(element("p", element("bdi", escape(text, 4_000))) for text in texts),
        join(parts),
    )


def cells(pairs: Iterable[tuple[str, Markup]]) -> Markup:
    """Return what is said of each plan, below its name; beside each other where there is room."""
    content = list(pairs)
    return element(
        "div",
        join(
            element(
                "div",
                element("p", element("bdi", escape(name, 1_000)), class_="which"),
                found,
            )
            for name, found in content
        ),
        class_="views",
        style=f"--n:{len(content)}",
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
    """Return single figures of all views in one table, with what the second has more or less."""
    run_unit = unit_of(views[0])
    lines: list[tuple[str, str, list[Any], list[str | None]]] = [
        ("objective", run_unit, *_each(views, lambda view: (view.objective, True))),
        ("bound", run_unit, *_each(views, lambda view: (view.bound, True))),
        ("gap", "share", *_each(views, lambda view: (gap(view), False), "share")),
        ("status", "", *_each(views, lambda view: (view.record.status or None, False))),
        ("method", "", *_each(views, lambda view: (view.record.method or None, False))),
        ("time", "s", *_each(views, lambda view: (view.record.seconds, False), "s")),
    ]
    for key in _figures(views):
        label, unit = label_of(key)
        values = [view.facts.get(key) for view in views]
        lines.append((label, unit, values, [words(value, unit) for value in values]))
    columns: tuple[str, ...] = ("figure", *short(views))
    body: list[tuple[Cell, ...]] = [(label, *texts) for label, _, _, texts in lines]
    if len(views) == 2:
        columns = (*columns, "difference")
        body = [
            (*row, difference(values[0], values[1], unit))
            for row, (_, unit, values, _) in zip(body, lines, strict=True)
        ]
    note = ""
    if len({str(view.facts.get("name")) for view in views}) > 1:
        note = "The plans are of different instances: their figures are not of the same thing."
    return table(Table("Figures of the plans", columns, tuple(body), note=note))


def _figures(views: Sequence[View]) -> list[str]:
    """Return which facts are single numbers; of problems those in which they differ."""
    of_problems = {
        key for view in views if view.problem is not None for key in problem_facts(view.problem)
    }
    keys = dict.fromkeys(key for view in views for key in view.facts)
    columns = {key: [view.facts.get(key) for view in views] for key in keys}
    return [
        key
        for key, values in columns.items()
        if all(value is None or is_number(value) for value in values)
        and any(value is not None for value in values)
        and not (key in of_problems and all(value == values[0] for value in values))
    ]


def _each(
    views: Sequence[View], what: Callable[[View], tuple[Any, bool]], unit: str = ""
) -> tuple[list[Any], list[str | None]]:
    """Return a figure of every view, as it is and in words (of the family, where so said)."""
    found = [what(view) for view in views]
    texts = [
        said(view, value) if own else words(value, unit)
        for view, (value, own) in zip(views, found, strict=True)
    ]
    return [value for value, _ in found], list(texts)


def difference(first: Any, second: Any, unit: str = "") -> str | None:
    """Return how much more (+) or less (-) the second is, in words; None where that says nothing.

    >>> difference(200, 100, "bytes"), difference(3, 3), difference("a", 3)
    ('-100 B (-50 %)', 'none', None)
    """
    if not (is_number(first) and is_number(second)):
        return None
    if first == second:
        return "none"
    change = second - first
    sign = "+" if change > 0 else "-"
    text = f"{sign}{words(abs(change), unit)}"
    if first and unit != "share":
        text += f" ({sign}{words(abs(change / first), 'share')})"
    return text
