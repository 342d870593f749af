"""Figures and tables as HTML: SVG for the marks, text beside it for everything that is read.

The plot area is an SVG whose view box is the domain of the axes and which stretches to whatever
place there is; ticks, titles of axes and labels of rules are HTML placed in per cent, so that text
has its size on a telephone as well as on paper. Nothing here needs a script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from mapc.markup import Markup, clean, element, escape, join
from mapc.visual.figure import Axis, Cell, Figure, Mark, Points, Rule, Scale, Table
from mapc.visual.svg_marks import Span, draw_marks, number, rule_shown
from mapc.visual.words import ticks, words

NAME: Final = 40
"""Characters of the name of a category that stand beside an axis."""

NAMES: Final = 4_000
"""Categories of an axis up to which their names are kept for looking closer."""

ROWS: Final = 2_000
"""Rows of a table that are shown."""


def draw(figure: Figure, whose: str = "") -> Markup:
    """Return a figure as a whole ``<figure>`` element.

    Parameters
    ----------
    figure : Figure
    whose : str
        Name of the plan, where there are figures of several.

    Returns
    -------
    Markup
        Title, summary, legend, plot, scale, note, and the table of the figure folded away.
    """
    x, y = Span.of(figure.x), Span.of(figure.y)
    series, legend = _series(figure.marks)
    return element(
        "figure",
        element(
            "figcaption",
            element("h3", element("bdi", figure.title)),
            element("p", element("bdi", escape(figure.summary, 1_000)), class_="summary"),
        ),
        _legend(legend, figure.scale),
        _plot(figure, x, y, series),
        element("p", element("bdi", escape(figure.note, 1_000)), class_="note")
        if figure.note
        else None,
        _folded(figure.table, whose),
        data_key=figure.key,
        aria_label=_named(figure.title, whose) if whose else None,
    )


def table(table: Table, whose: str = "") -> Markup:
    """Return a table: numbers to the right in the unit of their column, a long one scrolls.

    Cells hold numbers also as data (``data-v``), exactly. ``whose`` is the name of the plan, where
    there are tables of several.
    """
    units = table.units or ("",) * len(table.columns)
    shown = table.rows[:ROWS]
    numeric = [
        any(isinstance(row[i], int | float) for row in shown) for i in range(len(table.columns))
    ]
    head = join(
        element("th", element("bdi", name), scope="col", class_="n" if numeric[i] else None)
        for i, name in enumerate(table.columns)
    )
    body = join(_row(row, units, numeric) for row in shown)
    notes = [table.note] if table.note else []
    if len(table.rows) > len(shown):
        notes.append(f"{len(shown):,} of {len(table.rows):,} rows are shown.")
    return element(
        "div",
        element(
            "table",
            element("caption", element("bdi", table.caption)) if table.caption else None,
            element("thead", element("tr", head)),
            element("tbody", body),
        ),
        element("p", element("bdi", escape(" ".join(notes), 1_000)), class_="note")
        if notes
        else None,
        class_="table",
        tabindex="0",
        role="group",
        aria_label=_named(table.caption or "Table", whose),
    )


def _row(row: Sequence[Cell], units: Sequence[str], numeric: Sequence[bool]) -> Markup:
    """Return a row; the name it starts with, if it does, is its header."""
    cells = list(map(_cell, row, units, numeric))
    if row and isinstance(row[0], str) and row[0].strip() and not numeric[0]:
        cells[0] = element("th", element("bdi", words(row[0])), scope="row")
    return Markup(f"<tr>{''.join(cells)}</tr>")


def _cell(cell: object, unit: str, numeric: bool) -> str:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        exact = number(cell) if isinstance(cell, float) else str(cell)
        return f'<td class="n" data-v="{exact}">{escape(words(cell, unit))}</td>'
    if cell is None:
        side = ' class="n"' if numeric else ""
        return f"<td{side}>{escape(words(None))}</td>"
    return f"<td><bdi>{escape(words(cell, unit))}</bdi></td>"


def _folded(table_: Table | None, whose: str) -> Markup | None:
    if table_ is None:
        return None
    return element(
        "details",
        element("summary", "In numbers"),
        table(table_, whose),
    )


def _named(what: str, whose: str) -> str:
    """Return what a part of the page is called, for those who only hear it."""
    return ", ".join(clean(part) for part in (what, whose) if part)


def _series(marks: Sequence[Mark]) -> tuple[list[int], list[Mark]]:
    """Return which entry of the legend each mark belongs to, and a mark for every entry.

    Marks of the same name and role are one entry; those without a name have -1.
    """
    entries: dict[tuple[str, str], int] = {}
    legend: list[Mark] = []
    series = []
    for mark in marks:
        key = (mark.name, mark.role)
        if not mark.name:
            series.append(-1)
            continue
        if key not in entries:
            entries[key] = len(legend)
            legend.append(mark)
        series.append(entries[key])
    return series, legend


def _legend(legend: Sequence[Mark], scale: Scale | None) -> Markup | None:
    entries = [
        element(
            "li",
            element(
                "button",
                element("i", class_=f"key {_key(mark)} {mark.role}"),
                element("bdi", mark.name),
                type="button",
                aria_pressed="true",
                data_series=i,
                disabled=True,  # until the script can do something with it
            ),
        )
        for i, mark in enumerate(legend)
    ]
    if scale is not None:
        low, high = (words(end, scale.unit) for end in (scale.low, scale.high))
        if low == high and scale.low < scale.high:  # they differ in digits that are not shown
            low, high = f"{scale.low:.9g}", f"{scale.high:.9g}"
        entries.append(
            element(
                "li",
                element("bdi", scale.label),
                element("span", low),
                element("i", class_="ramp"),
                element("span", high),
                class_="scale",
            )
        )
    return element("ul", join(entries), class_="legend", role="list") if entries else None


def _key(mark: Mark) -> str:
    shape = type(mark).__name__.lower()
    if isinstance(mark, Points):
        return f"points {mark.shape}" if mark.shape == "square" else "points"
    return f"{shape} dashed" if getattr(mark, "dashed", False) else shape


def _plot(figure: Figure, x: Span, y: Span, series: Sequence[int]) -> Markup:
    across, up = _ticks(figure.x, x, 8), _ticks(figure.y, y, _rows(figure))
    longest = max((len(text) for _, text in up), default=1)
    return element(
        "div",
        element("div", element("bdi", figure.y.label), class_="yl"),
        element("div", join(_tick(at, text, figure.y, "y") for at, text in up), class_="yt"),
        element(
            "div", _svg(figure, x, y, series), _rule_labels(figure, series, x, y), class_="area"
        ),
        element("div", join(_tick(at, text, figure.x, "x") for at, text in across), class_="xt"),
        element("div", element("bdi", figure.x.label), class_="xl"),
        class_="plot",
        # text size is unknown here: ticks of a vertical axis get room by their characters
        style=f"--h:{int(figure.height)}px;--yw:{min(24, longest)};--xn:{max(1, len(across))}",
        data_x=_axis_data(figure.x, x),
        data_y=_axis_data(figure.y, y),
    )


def _rows(figure: Figure) -> int:
    return max(2, min(len(figure.y.names) or 7, figure.height // (18 if figure.y.names else 44)))


def _axis_data(axis: Axis, span: Span) -> str:
    """Return what the script has to know to label a part of an axis.

    A value is ``coordinate * factor + offset``, and with ``log`` ten to the power of that.
    """
    names = [clean(name, NAME) for name in axis.names] if len(axis.names) <= NAMES else []
    found = {
        **{"unit": axis.unit, "log": span.log, "names": names, "down": axis.down},
        **{"factor": span.factor, "offset": span.offset},
    }
    return json.dumps(found, separators=(",", ":"))


def _ticks(axis: Axis, span: Span, most: int) -> list[tuple[float, str]]:
    """Return ticks as shares of the axis, from its low end, with their cleaned texts."""
    if not (np.isfinite(axis.low) and np.isfinite(axis.high) and axis.low < axis.high):
        return []
    if axis.log and not span.log:
        return []
    found = [(span.share(at), clean(text, NAME)) for at, text in ticks(axis, most)]
    return [(share, text) for share, text in found if -1e-6 <= share <= 1 + 1e-6]


def _tick(share: float, text: str, axis: Axis, direction: str) -> Markup:
    if direction == "y":
        return element(
            "span",
            element("bdi", text),
            style=f"{'top' if axis.down else 'bottom'}:{share:.4%}",
        )
    style = f"left:{share:.4%}"
    if axis.names and min(share, 1 - share) < 0.06:  # a long name must not leave the picture
        style += f";max-width:{max(0.03, 2 * min(share, 1 - share)):.2%}"
    # the last label must not leave a narrow screen
    return element("span", element("bdi", text), style=style, class_=share > 0.96 and "end")


def _svg(figure: Figure, x: Span, y: Span, series: Sequence[int]) -> Markup:
    top = y.low if figure.y.down else -y.high
    box = " ".join((number(x.low), number(top), number(x.length), number(y.length)))
    inner = join(
        (_grid(figure, x, y), draw_marks(figure, x, y, series)),
    )
    flip = None if figure.y.down else "scale(1,-1)"
    return element(
        "svg",
        element("g", inner, transform=flip, class_="marks"),
        viewBox=box,
        preserveAspectRatio="none",
        role="group",
        aria_label=clean(f"{figure.title}. {figure.summary}", 1_000),
    )


def _grid(figure: Figure, x: Span, y: Span) -> Markup:
    parts = []
    if not figure.x.names:
        for at in (x.low + share * x.length for share, _ in _ticks(figure.x, x, 8)):
            parts.append(f"M{number(at)} {number(y.low)}V{number(y.high)}")
    if not figure.y.names:
        for at in (y.low + share * y.length for share, _ in _ticks(figure.y, y, _rows(figure))):
            parts.append(f"M{number(x.low)} {number(at)}H{number(x.high)}")
    return element("path", d="".join(parts), class_="grid", aria_hidden="true")


def _rule_labels(figure: Figure, series: Sequence[int], x: Span, y: Span) -> Markup:
    """Return the names of rules beside them; of rules close to each other, in one place."""
    rules = [
        (mark, index)
        for mark, index in zip(figure.marks, series, strict=True)
        if isinstance(mark, Rule) and mark.name and rule_shown(mark, x, y)
    ]
    parts: list[Markup] = []
    for direction in ("y", "x"):
        span, axis = (y, figure.y) if direction == "y" else (x, figure.x)
        near = 20 / max(1, figure.height) if direction == "y" else 0.12
        placed = [
            (span.share(rule.at), index, rule) for rule, index in rules if rule.axis == direction
        ]
        groups: list[list[tuple[float, int, Rule]]] = []
        for entry in sorted(placed, key=lambda entry: entry[:2]):
            if groups and entry[0] - groups[-1][-1][0] < near:
                groups[-1].append(entry)
            else:
                groups.append([entry])
        parts.extend(_rule_group(group, axis, direction) for group in groups)
    return join(parts)


def _value(rule: Rule, axis: Axis) -> str | None:
    """Return the value of a rule; None where its name says it, or where places have names."""
    if axis.names or any(c.isdigit() for c in rule.name):
        return None
    return words(rule.at, axis.unit)


def _rule_group(group: list[tuple[float, int, Rule]], axis: Axis, direction: str) -> Markup:
    share = group[-1][0]
    labels = join(
        element(
            "span",
            element("bdi", join((rule.name, _value(rule, axis)), " ")),
            class_=rule.role,
            data_at=number(float(rule.at)),
            data_series=index,
        )
        for _, index, rule in group
    )
    if direction == "x":
        side, place = ("left", share) if share <= 0.5 else ("right", 1 - share)
        style = f"{side}:{place:.4%};max-width:{1 - place:.2%}"
        return element("div", labels, class_="rl x", style=style)
    height = 1 - share if axis.down else share
    # a label stands above its rule, and below one at the upper edge
    side, place = ("bottom", height) if height <= 0.9 else ("top", 1 - height)
    return element("div", labels, class_="rl y", style=f"{side}:{place:.4%}")
