"""Timings of groups as CSV: the columns ``degree``, ``lengths`` and ``ms``, in any order.

``lengths`` holds the tokens of the group's sequences, separated by blanks or semicolons; a table of
single sequences may call it ``tokens``. A column ``kind`` says ``ulysses`` (the default) or
``ring``. Lines that start with ``#`` are comments.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, decode_text, display_name, read_bytes
from mapc.graph.operators import Ragged
from mapc.models.sequence.costs.fitting import Timings
from mapc.models.sequence.problem import ULYSSES

_COLUMNS = ("degree", "lengths", "ms")
_MOST_DIGITS = 15


def read_timings(path: str | Path) -> Timings:
    """Read a table of timings, for `mapc.models.sequence.costs.fitting.fit_cost`.

    Raises
    ------
    InstanceError
        With the line: for missing, repeated or unknown columns, rows of another width, and cells
        that are no whole numbers >= 1 or no times above 0.
    """
    where = display_name(path)
    text = decode_text(read_bytes(path, MAX_TEXT_BYTES), where)
    lines = [
        (at, line)
        for at, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    try:
        rows = list(csv.reader([line for _, line in lines], strict=True))
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", where, "a table") from None
    places = [f"{where}: line {at}" for at, _ in lines]
    if len(rows) < 2 or len(rows) != len(places):
        raise InstanceError("no rows", where, f"a header {','.join(_COLUMNS)} and one row or more")
    header = _header(rows[0], places[0])
    degree, lengths, kinds, times = [], [], [], []
    for row, place in zip(rows[1:], places[1:], strict=True):
        if len(row) != len(header):
            raise InstanceError(f"{len(row)} fields", place, f"{len(header)} as in the header")
        cells = dict(zip(header, map(str.strip, row), strict=True))
        degree.append(_whole(cells["degree"], f"{place}: degree"))
        parts = cells["lengths"].replace(";", " ").split() or [""]
        lengths.append([_whole(part, f"{place}: lengths") for part in parts])
        kinds.append(cells.get("kind", ULYSSES).lower() or ULYSSES)
        times.append(_time(cells["ms"], f"{place}: ms"))
    return Timings(np.array(degree), tuple(kinds), Ragged.of(lengths), np.array(times))


def _header(row: list[str], place: str) -> list[str]:
    names = [cell.strip().lower() for cell in row]
    header = ["lengths" if name == "tokens" else name for name in names]
    for name in _COLUMNS:
        if header.count(name) != 1:
            what = f"no column {name!r}" if name not in header else f"column {name!r} twice"
            raise InstanceError(what, place, ", ".join(_COLUMNS))
    for name in header:
        if name not in (*_COLUMNS, "kind") or header.count(name) > 1:
            raise InstanceError(f"column {name!r}"[:60], place, ", ".join((*_COLUMNS, "kind")))
    return header


def _whole(cell: str, place: str) -> int:
    # isdecimal admits digits of other scripts, which int reads as well
    if not cell.isdecimal() or len(cell) > _MOST_DIGITS or int(cell) < 1:
        raise InstanceError(f"{cell!r}"[:60], place, "a whole number >= 1")
    return int(cell)


def _time(cell: str, place: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InstanceError(f"{cell!r}"[:60], place, "milliseconds above 0")
    return value
