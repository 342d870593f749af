"""Tables of numbers that fit a line: closer columns, then shorter names, then a second table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from mapc.cli.output import one_line, padded
from mapc.cli.terminal import cells, table_width

LEAST_NAME = 20
"""Columns that are left of a name, at least, before a table is cut in two."""


def columns(table: Mapping[str, Sequence[str]], width: int | None = None) -> str:
    """Return a table with its first column to the left and the others to the right.

    Numbers are never cut. A table that is too wide has its columns closer to each other; then names
    in the first column lose their middle; then what is left over becomes another table below, with
    the same first column.

    Parameters
    ----------
    table : mapping of str to sequence of str
        Columns by header, equally long.
    width : int, optional
        By default what standard output has.
    """
    room = table_width(sys.stdout) if width is None else width
    (header, names), *others = [(name, list(map(one_line, cells))) for name, cells in table.items()]
    first = [header, *names]
    rest = [[name, *values] for name, values in others]
    tables = []
    while True:
        fitting, shortened, space = _fitting(first, rest, room)
        tables.append(_lines([shortened, *rest[:fitting]], space))
        rest = rest[fitting:]
        if not rest:
            return "\n\n".join("\n".join(lines) for lines in tables)


def _fitting(
    first: Sequence[str], rest: Sequence[Sequence[str]], room: int
) -> tuple[int, Sequence[str], str]:
    """Return how many columns fit beside the first, what that looks like, and what is between."""
    name, widths = _width(first), [_width(column) for column in rest]
    for space in ("  ", " "):
        if name + sum(widths) + len(space) * len(widths) <= room:
            return len(rest), first, space
    left = room - sum(widths) - len(widths)
    if left >= min(LEAST_NAME, name):
        return len(rest), _shortened(first, left), " "
    short = min(name, LEAST_NAME)
    used, fitting = short, 0
    for width in widths:
        used += 2 + width
        if fitting and used > room:
            break
        fitting += 1
    beside = sum(widths[:fitting]) + 2 * fitting
    return fitting, _shortened(first, max(short, room - beside)), "  "


def _width(column: Sequence[str]) -> int:
    return max(map(cells, column))


def _shortened(names: Sequence[str], columns: int) -> list[str]:
    return [middle_cut(name, columns) for name in names]


def middle_cut(text: str, columns: int) -> str:
    """Return a text of at most so many columns, without its middle where it was longer.

    >>> middle_cut("layers.11.attention.query.weight", 20)
    'layers.11...y.weight'
    """
    if cells(text) <= columns:
        return text
    keep = max(0, columns - 3)
    head, tail = text[: keep - keep // 2], text[len(text) - keep // 2 :]
    while cells(head) + cells(tail) > keep:  # wide characters
        head, tail = (head[:-1], tail) if cells(head) > cells(tail) else (head, tail[1:])
    return f"{head}...{tail}"


def _lines(table: Sequence[Sequence[str]], space: str) -> list[str]:
    widths = [_width(column) for column in table]
    lines = []
    for first, *others in zip(*table, strict=True):
        numbers = (padded(cell, w, right=True) for cell, w in zip(others, widths[1:], strict=True))
        lines.append(space.join([padded(first, widths[0]), *numbers]).rstrip())
    return lines
