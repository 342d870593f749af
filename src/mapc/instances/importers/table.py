"""A plain table of options as CSV or JSON: one row for each group and format.

Columns in any order: ``group``, ``format``, ``loss``, then optionally ``weights`` (parameters of
the group), ``tie`` (groups with the same label must agree), ``allowed`` (``1`` or ``0``); every
other column is a resource with whole-number costs, whose unit may follow in brackets:
``latency[us]``. ``size`` is in bits unless it says otherwise. Lines before the header that start
with ``#`` are comments.

JSON holds the same rows as objects: a list of them, or an object with ``rows`` and optionally
``name``, ``units`` (by resource), ``budget`` (by resource) and ``ties`` (lists of group names).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, STREAM, decode_text, display_name, read_bytes
from mapc.graph.operators import IntArray, Ragged
from mapc.instances import schema
from mapc.instances.importers.table_cells import Codes, Options, read_options
from mapc.instances.sensitivity.building import budgets_of
from mapc.models.bits.problem import BitsProblem

_REQUIRED = ("group", "format", "loss")
_RESERVED = (*_REQUIRED, "weights", "tie", "allowed")
_RESOURCE = re.compile(r"([^\[\]]+?)\s*(?:\[([^\[\]]*)\])?\Z")


@dataclass(frozen=True)
class _Table:
    """Cells by column, the place of a row for messages, and what JSON may say beside them."""

    name: str
    columns: Mapping[str, Sequence[Any]]
    place: Callable[[int], str]
    units: Mapping[str, str] = field(default_factory=dict)
    budget: Mapping[str, int] = field(default_factory=dict)
    ties: Sequence[Sequence[Any]] = ()


def import_table(path: str | Path) -> BitsProblem:
    """Read a table of options.

    Raises
    ------
    InstanceError
        With line and column: for missing or repeated columns, losses that are negative or not
        finite, costs that are no whole numbers >= 0, a format twice in a group, rows of a group
        that contradict each other, and all that `BitsProblem` refuses.
    """
    where = display_name(path)
    data = read_bytes(path, MAX_TEXT_BYTES)
    stem = "table" if str(path) == STREAM else Path(path).stem
    source = {"source": Path(path).name, "format": "table"}
    try:
        if Path(path).suffix.lower() == ".json" or data[:64].lstrip()[:1] in (b"{", b"["):
            return _problem(_from_json(data, stem), source)
        return _problem(_from_csv(decode_text(data, ""), stem), source)
    except InstanceError as error:
        raise error.inside(where) from None


# -- files ---------------------------------------------------------------------------------------


def _from_json(data: bytes, stem: str) -> _Table:
    found: Any = schema.decode(data, object, "JSON")
    document: dict[str, Any] = found if isinstance(found, dict) else {"rows": found}
    for key in document:
        if key not in ("rows", "name", "units", "budget", "ties"):
            raise InstanceError("no such member", repr(key)[:60], "rows, name, units, budget, ties")
    rows = document.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        raise InstanceError("no rows", "rows", "a list of objects, one for each option")
    units, budget = (document.get(key, {}) for key in ("units", "budget"))
    if not isinstance(units, dict) or not all(isinstance(u, str) for u in units.values()):
        raise InstanceError(f"{units!r}"[:60], "units", "texts by resource")
    if not isinstance(budget, dict) or any(type(b) is not int for b in budget.values()):
        raise InstanceError(f"{budget!r}"[:60], "budget", "whole numbers by resource")
    ties = document.get("ties", [])
    if not isinstance(ties, list) or not all(isinstance(t, list) for t in ties):
        raise InstanceError(f"{ties!r}"[:60], "ties", "lists of group names")
    # rows with the same members in the same order, most often all of them, are looked at once
    members = dict.fromkeys(key for keys in dict.fromkeys(map(tuple, rows)) for key in keys)
    columns = {key: _cells(rows, key) for key in members}
    name = str(document.get("name", stem))
    return _Table(name, columns, lambda row: f"rows[{row}]", units, budget, ties)


def _cells(rows: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    # an option is allowed unless its row says otherwise; null says nothing that is understood
    absent = True if key == "allowed" else None
    return [row.get(key, absent) for row in rows]


def _from_csv(text: str, stem: str) -> _Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    cells: list[str] = []  # of all rows, one after the other
    try:
        for row in reader:
            if len(row) == len(header) > 0:
                cells += row
            elif header and row:
                right = f"{len(header)} as in the header"
                raise InstanceError(f"{len(row)} fields", f"line {reader.line_num}", right)
            elif row and not row[0].lstrip().startswith("#"):
                header = _header(row, f"line {reader.line_num}")
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", f"line {reader.line_num}") from None
    if not cells:
        raise InstanceError("no options", "table", "a header and one line for each option")
    cells = list(map(str.strip, cells))
    columns = {name: cells[at :: len(header)] for at, name in enumerate(header)}
    return _Table(stem, columns, lambda row: f"line {_line_of(text, row)}")


def _line_of(text: str, row: int) -> int:
    """Return the line in which a row ends; only errors ask, so the text is read again for them."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    filled = (cells for cells in reader if cells)
    for cells in filled:
        if not cells[0].lstrip().startswith("#"):
            break  # the header
    next(islice(filled, row, None))
    return reader.line_num


def _header(row: Sequence[str], place: str) -> list[str]:
    header = [cell.strip() for cell in row]
    if len(set(header)) < len(header) or "" in header:
        raise InstanceError("a column without a name, or one twice", place, "names")
    _check_columns(header, place)
    return header


def _check_columns(columns: Sequence[str], place: str) -> None:
    for name in _REQUIRED:
        if name not in columns:
            raise InstanceError(f"no column {name!r}", place, ", ".join(_REQUIRED))


# -- the problem ---------------------------------------------------------------------------------


def _problem(table: _Table, source: Mapping[str, Any]) -> BitsProblem:
    _check_columns(list(table.columns), "header")
    found = _resources([c for c in table.columns if c not in _RESERVED], table.units)
    options = read_options(table.columns, [column for column, _, _ in found], table.place)
    resources = tuple(resource for _, resource, _ in found)
    names, group = options.groups
    order = np.argsort(group, kind="stable")  # rows of a group need not stand together
    formats, format_of = _renumbered(options.formats, order)
    start = np.zeros(len(names) + 1, dtype=np.int64)
    np.cumsum(np.bincount(group), out=start[1:])
    return BitsProblem(
        name=table.name,
        groups=names,
        formats=formats,
        start=start,
        format_of=format_of,
        loss=options.loss[order],
        resources=resources,
        units=tuple(unit for _, _, unit in found),
        cost=np.ascontiguousarray(options.cost[:, order]),
        budget=budgets_of(resources, table.budget),
        weights=options.weights,
        allowed=options.allowed[order],
        ties=_ties(options, table.ties),
        provenance=dict(source),
    )


def _resources(columns: Sequence[str], units: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (column, resource, unit)."""
    found = []
    for column in columns:
        match = _RESOURCE.match(column)
        if match is None:
            raise InstanceError(f"column {column!r}"[:80], "header", "a resource, e.g. latency[us]")
        default = "bits" if match[1] == "size" else ""
        found.append((column, match[1], match[2] or units.get(match[1], default)))
    for resource in units:
        if resource not in [name for _, name, _ in found]:
            raise InstanceError("no such resource", f"units {resource!r}", "columns of the table")
    return found


def _renumbered(formats: Codes, order: IntArray) -> Codes:
    """Return formats as they appear when rows are taken in another order."""
    names, codes = formats
    codes = codes[order]
    used, first = np.unique(codes, return_index=True)
    used = used[np.argsort(first)]
    position = np.zeros(len(names), dtype=np.int64)
    position[used] = np.arange(len(used))
    return tuple(names[i] for i in used.tolist()), position[codes]


def _ties(options: Options, named: Sequence[Sequence[Any]]) -> Ragged:
    labels: dict[int, list[int]] = {}
    for group in np.flatnonzero(options.tie >= 0).tolist():
        labels.setdefault(int(options.tie[group]), []).append(group)
    rows = [row for row in labels.values() if len(row) > 1]
    index = {name: at for at, name in enumerate(options.groups[0])}
    for at, names in enumerate(named):
        for name in names:
            if not isinstance(name, str) or name not in index:
                raise InstanceError(f"no group {name!r}"[:80], f"ties[{at}]", "names of groups")
        rows.append([index[name] for name in names])
    return Ragged.of(rows)
