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
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, STREAM, decode_text, display_name, read_bytes
from mapc.graph.operators import Ragged
from mapc.instances import schema
from mapc.instances.sensitivity.building import Choice, Group, build_problem
from mapc.models.bits.problem import BitsProblem

_REQUIRED = ("group", "format", "loss")
_OPTIONAL = ("weights", "tie", "allowed")
_RESOURCE = re.compile(r"([^\[\]]+?)\s*(?:\[([^\[\]]*)\])?\Z")
_TRUTH = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}
_WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)

Row = tuple[str, Mapping[str, Any]]
"""Place, for messages, and cells by column."""


@dataclass
class _Gathered:
    """What is known of one group so far."""

    choices: list[Choice] = field(default_factory=list)
    weights: int | None = None
    tie: str | None = None


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
            return _from_json(data, stem, source)
        rows = list(_csv_rows(decode_text(data, "")))
        columns = list(rows[0][1])
        return _problem(stem, rows, columns, {}, {}, [], source)
    except InstanceError as error:
        raise error.inside(where) from None


def _from_json(data: bytes, stem: str, source: Mapping[str, Any]) -> BitsProblem:
    found: Any = schema.decode(data, object, "JSON")
    document: dict[str, Any] = found if isinstance(found, dict) else {"rows": found}
    for key in document:
        if key not in ("rows", "name", "units", "budget", "ties"):
            raise InstanceError("no such member", repr(key)[:60], "rows, name, units, budget, ties")
    rows = document.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        raise InstanceError("no rows", "rows", "a list of objects, one for each option")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    units, budget = (document.get(key, {}) for key in ("units", "budget"))
    if not isinstance(units, dict) or not all(isinstance(u, str) for u in units.values()):
        raise InstanceError(f"{units!r}"[:60], "units", "texts by resource")
    if not isinstance(budget, dict) or any(type(b) is not int for b in budget.values()):
        raise InstanceError(f"{budget!r}"[:60], "budget", "whole numbers by resource")
    ties = document.get("ties", [])
    if not isinstance(ties, list) or not all(isinstance(t, list) for t in ties):
        raise InstanceError(f"{ties!r}"[:60], "ties", "lists of group names")
    placed = [(f"rows[{at}]", row) for at, row in enumerate(rows)]
    name = document.get("name", stem)
    return _problem(str(name), placed, columns, units, budget, ties, source)


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    seen = False
    try:
        for row in reader:
            place = f"line {reader.line_num}"
            if not row or (not header and row[0].lstrip().startswith("#")):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                if len(set(header)) < len(header) or "" in header:
                    raise InstanceError("a column without a name, or one twice", place, "names")
                _check_columns(header, place)
            elif len(row) != len(header):
                raise InstanceError(f"{len(row)} fields", place, f"{len(header)} as in the header")
            else:
                seen = True
                yield place, dict(zip(header, (cell.strip() for cell in row), strict=True))
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", f"line {reader.line_num}") from None
    if not seen:
        raise InstanceError("no options", "table", "a header and one line for each option")


def _check_columns(columns: Sequence[str], place: str) -> None:
    for name in _REQUIRED:
        if name not in columns:
            raise InstanceError(f"no column {name!r}", place, ", ".join(_REQUIRED))


def _problem(
    name: str,
    rows: Sequence[Row],
    columns: Sequence[str],
    units: Mapping[str, str],
    budget: Mapping[str, int],
    ties: Sequence[Sequence[Any]],
    source: Mapping[str, Any],
) -> BitsProblem:
    _check_columns(columns, "header")
    resources = _resources([c for c in columns if c not in (*_REQUIRED, *_OPTIONAL)], units)
    gathered: dict[str, _Gathered] = {}
    for place, row in rows:
        try:
            _gather(gathered, row, [column for column, _, _ in resources])
        except InstanceError as error:
            raise error.inside(place) from None
    return build_problem(
        name,
        [Group(group, g.choices, g.weights or 0) for group, g in gathered.items()],
        resources=[resource for _, resource, _ in resources],
        units=[unit for _, _, unit in resources],
        budget=budget,
        ties=_ties(gathered, ties),
        provenance=source,
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


def _gather(gathered: dict[str, _Gathered], row: Mapping[str, Any], resources: list[str]) -> None:
    name, format = _text(row, "group"), _text(row, "format")
    group = gathered.setdefault(name, _Gathered())
    if any(choice.format == format for choice in group.choices):
        raise InstanceError(f"format {format!r} twice", f"group {name!r}", "every format once")
    cost = tuple(_whole(row, resource) for resource in resources)
    group.choices.append(Choice(format, _loss(row), cost, _allowed(row)))
    if row.get("weights") not in (None, ""):
        group.weights = _same(group.weights, _whole(row, "weights"), "weights", name)
    if row.get("tie") not in (None, ""):
        group.tie = _same(group.tie, str(row["tie"]), "tie", name)


def _same(before: Any, now: Any, column: str, group: str) -> Any:
    if before not in (None, now):
        raise InstanceError(
            f"{now!r} where an earlier row of group {group!r} has {before!r}",
            f"column {column!r}",
            "one value for the group",
        )
    return now


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value:
        raise InstanceError(f"{value!r}"[:60], f"column {column!r}", "a name")
    return value


def _loss(row: Mapping[str, Any]) -> float:
    value = row.get("loss")
    try:
        loss = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        loss = math.nan
    if not 0 <= loss < math.inf:
        raise InstanceError(f"{value!r}"[:60], "column 'loss'", "a finite number >= 0")
    return loss


def _whole(row: Mapping[str, Any], column: str) -> int:
    value = row.get(column)
    number = int(value) if isinstance(value, str) and _WHOLE.match(value) else value
    if type(number) is not int or number < 0:
        raise InstanceError(
            f"{value!r}"[:60],
            f"column {column!r}",
            "a whole number >= 0, in a finer unit if need be",
        )
    return number


def _allowed(row: Mapping[str, Any]) -> bool:
    value = row.get("allowed", True)
    truth = _TRUTH.get(str(value).strip().lower())
    if truth is None:
        raise InstanceError(f"{value!r}"[:60], "column 'allowed'", "1 or 0")
    return truth


def _ties(gathered: Mapping[str, _Gathered], named: Sequence[Sequence[Any]]) -> Ragged:
    index = {name: at for at, name in enumerate(gathered)}
    labels: dict[str, list[int]] = {}
    for name, group in gathered.items():
        if group.tie is not None:
            labels.setdefault(group.tie, []).append(index[name])
    rows = [row for row in labels.values() if len(row) > 1]
    for at, names in enumerate(named):
        for name in names:
            if not isinstance(name, str) or name not in index:
                raise InstanceError(f"no group {name!r}"[:80], f"ties[{at}]", "names of groups")
        rows.append([index[name] for name in names])
    return Ragged.of(rows)
