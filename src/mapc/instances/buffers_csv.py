"""Buffers with lifetimes as CSV, the format of minimalloc and omnimalloc.

Columns in any order: ``id`` (or ``buffer``, ``buffer_id``), ``lower`` (or ``begin``, ``start``),
``upper`` or ``end``, ``size``. Lifetimes ``[lower, upper)`` are half-open; a column called ``end``
holds the last step *inside* the lifetime, as minimalloc reads it. Optional: ``alignment`` (of each
buffer's address; sizes are rounded up to the greatest common divisor of all), ``fixed`` (an address
that is given; empty or -1: none), ``offset`` (the address in a solution), ``gaps`` and ``kind``
(empty, ignored).
Lines before the header that start with ``#`` are comments.
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import write_whole
from mapc.graph.operators import IntArray
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

_SPELLINGS = {
    "buffer": "id",
    "buffer_id": "id",
    "begin": "lower",
    "start": "lower",
}
_REQUIRED = ("id", "lower", "upper", "size")
_KNOWN = (*_REQUIRED, "end", "alignment", "fixed", "offset", "gaps", "kind")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,16}\s*\Z")
_LIMIT = 2**53

Row = tuple[int, list[str]]


def is_header(line: str) -> bool:
    """Whether a line names the columns of such a file."""
    names = {_SPELLINGS.get(name.strip(), name.strip()) for name in line.split(",")}
    return len({"id", "lower", "upper", "end", "size"} & names) >= 2


def parse_buffers(
    text: str, where: str, name: str
) -> tuple[AllocationProblem, AllocationPlan | None]:
    """Return the problem a CSV text holds and, where every offset is filled in, the plan.

    Raises
    ------
    InstanceError
        With line and column: for missing, unknown or repeated columns, rows of another length,
        what is no integer, gaps in lifetimes, and all that
        `AllocationProblem` refuses.
    """
    try:
        columns, rows = _table(text)
        lower, upper = _integers("lower", columns, rows), _integers("upper", columns, rows)
        alignment, alignments = _alignment(columns, rows)
        _refuse_gaps(columns, rows)
        problem = AllocationProblem(
            name=name,
            names=tuple(row[columns["id"]] for _, row in rows),
            lower=np.asarray(lower, dtype=np.int64),
            upper=np.asarray(upper, dtype=np.int64),
            size=np.asarray(_integers("size", columns, rows), dtype=np.int64),
            alignment=alignment,
            fixed=_fixed(columns, rows),
            alignments=alignments,
        )
        return problem, _offsets(columns, rows)
    except InstanceError as error:
        raise error.inside(where) from None


def write_csv(
    problem: AllocationProblem | MemoryProblem,
    path: str | Path,
    plan: AllocationPlan | MemoryPlan | None = None,
) -> None:
    """Write buffers, and with a plan their offsets, as minimalloc does; ``-`` is standard output.

    Raises
    ------
    UsageError
        For a problem without lifetimes, with reserved ranges or banks, names with control
        characters, a plan of another family or length, or a file that cannot be written.
    """
    if not isinstance(problem, AllocationProblem):
        raise UsageError("a CSV holds buffers with lifetimes; a memory problem goes to JSON")
    if problem.reserved is not None and len(problem.reserved):
        raise UsageError("a CSV has no column for reserved ranges; write the problem to JSON")
    if problem.banks:
        raise UsageError("a CSV has no columns for banks; write the problem to JSON")
    for name in problem.names:
        if not name.isprintable():
            raise UsageError(f"buffer {name!r}: a CSV takes printable names only")
    columns: dict[str, list[str] | list[int] | list[str | int]] = {
        "id": list(problem.names),
        "lower": problem.lower.tolist(),
        "upper": problem.upper.tolist(),
        "size": problem.size.tolist(),
    }
    if problem.alignment != 1 or problem.alignments is not None:
        columns["alignment"] = problem.grain.tolist()
    if problem.fixed is not None:
        columns["fixed"] = ["" if at < 0 else at for at in problem.fixed.tolist()]
    if plan is not None:
        if not isinstance(plan, AllocationPlan) or len(plan.offset) != problem.n_buffers:
            raise UsageError(f"the plan does not place the {problem.n_buffers} buffers")
        columns["offset"] = plan.offset.tolist()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_whole(path, text.getvalue().encode("utf-8"))


def _table(text: str) -> tuple[dict[str, int], list[Row]]:
    """Return where each column stands, and the rows with their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: dict[str, int] = {}
    rows: list[Row] = []
    try:
        for row in reader:
            if not row or (not columns and row[0].lstrip().startswith("#")):
                continue
            if not columns:
                columns = _header(row)
                width = len(row)
            elif len(row) != width:
                raise InstanceError(
                    f"{len(row)} fields", f"line {reader.line_num}", f"{width} as in the header"
                )
            else:
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", f"line {reader.line_num}") from None
    if not columns:
        raise InstanceError("no header", "line 1", ",".join(_REQUIRED))
    if not rows:
        raise InstanceError("no buffers", "file", "one line for each buffer")
    return columns, rows


def _header(row: list[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for at, cell in enumerate(row):
        name = _SPELLINGS.get(cell.strip(), cell.strip())
        if name not in _KNOWN:
            raise InstanceError(f"column {cell!r}", "header", f"one of {', '.join(_KNOWN)}")
        if name in columns or {"upper", "end"} <= {*columns, name}:
            raise InstanceError(f"column {cell!r} is there twice", "header", "each column once")
        columns[name] = at
    for name in _REQUIRED:
        if name not in columns and not (name == "upper" and "end" in columns):
            raise InstanceError(f"no column {name!r}", "header", ",".join(_REQUIRED))
    return columns


def _integers(name: str, columns: dict[str, int], rows: list[Row]) -> list[int]:
    # the last step inside a lifetime is one before its half-open end
    shift = 1 if name == "upper" and "end" in columns else 0
    name = "end" if shift else name
    at = columns[name]
    return [_integer(row[at], line, name) + shift for line, row in rows]


def _integer(cell: str, line: int, column: str) -> int:
    if not _INTEGER.match(cell) or abs(int(cell)) > _LIMIT:
        raise InstanceError(
            f"{cell[:40]!r}", f"line {line}, column {column!r}", "an integer within 2**53"
        )
    return int(cell)


def _alignment(columns: dict[str, int], rows: list[Row]) -> tuple[int, IntArray | None]:
    """Return the alignment that all buffers share, and those of the buffers where they differ."""
    if "alignment" not in columns:
        return 1, None
    values = _integers("alignment", columns, rows)
    if min(values) < 1 or len(set(values)) == 1:
        return min(values), None
    return math.gcd(*values), np.asarray(values, dtype=np.int64)


def _refuse_gaps(columns: dict[str, int], rows: list[Row]) -> None:
    at = columns.get("gaps")
    for line, row in rows:
        if at is not None and row[at].strip():
            raise InstanceError(
                f"gap {row[at][:40]!r}", f"line {line}, column 'gaps'", "lifetimes without gaps"
            )


def _fixed(columns: dict[str, int], rows: list[Row]) -> IntArray | None:
    at = columns.get("fixed")
    if at is None:
        return None
    cells = [_integer(row[at], line, "fixed") if row[at].strip() else -1 for line, row in rows]
    return np.asarray(cells, dtype=np.int64) if max(cells) >= 0 or min(cells) < -1 else None


def _offsets(columns: dict[str, int], rows: list[Row]) -> AllocationPlan | None:
    at = columns.get("offset")
    if at is None or not any(row[at].strip() for _, row in rows):
        return None
    return AllocationPlan(np.asarray(_integers("offset", columns, rows), dtype=np.int64))
