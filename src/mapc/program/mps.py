"""Free MPS files."""

from __future__ import annotations

import numpy as np

from mapc.program.arrays import FloatArray
from mapc.program.linearise import linearise
from mapc.program.model import Matrix, Program
from mapc.program.text import StrPath, column_names, number, numbers, row_names, write_whole

_OBJECTIVE = "cost.objective.row"  # row names have one dot


def write_mps(program: Program, path: StrPath) -> None:
    """Write the program as free MPS, its records rewritten into rows; whole or not at all.

    Every column of integers has its bounds written out, since readers differ on the default. A
    constant of the objective is the negative right-hand side of its row, as CPLEX has it.

    Raises
    ------
    OSError
        Where the file cannot be written.
    """
    write_whole(path, mps_text(program))


def mps_text(program: Program) -> str:
    """Return the text of the free MPS file."""
    linear = linearise(program)
    matrix = linear.matrix
    columns, rows = column_names(linear), row_names(linear)
    kind, side, width = _row_kinds(matrix)
    title = "".join(c if c.isalnum() and c.isascii() else "_" for c in program.name) or "program"
    lines = [f"NAME {title}", "ROWS", f" N {_OBJECTIVE}"]
    lines += [f" {k} {name}" for k, name in zip(kind, rows, strict=True)]
    lines.append("COLUMNS")
    lines += _column_lines(matrix, columns, rows)
    lines.append("RHS")
    if matrix.offset:
        lines.append(f" RHS {_OBJECTIVE} {number(-matrix.offset)}")
    lines += [f" RHS {rows[i]} {number(side[i])}" for i in np.flatnonzero(side).tolist()]
    ranged = np.flatnonzero(width > 0).tolist()
    if ranged:
        lines.append("RANGES")
        lines += [f" RANGE {rows[i]} {number(width[i])}" for i in ranged]
    lines.append("BOUNDS")
    lines += _bound_lines(matrix, columns)
    lines.append("ENDATA\n")
    return "\n".join(lines)


def _row_kinds(matrix: Matrix) -> tuple[list[str], FloatArray, FloatArray]:
    """Return the letter, the right-hand side and the range (0 for none) of every row."""
    low, up = matrix.row_lower, matrix.row_upper
    has_low, has_up = np.isfinite(low), np.isfinite(up)
    kind = np.where(has_up, np.where(low == up, "E", "L"), np.where(has_low, "G", "N"))
    side = np.where(has_up, up, np.where(has_low, low, 0.0))
    both = has_low & has_up & (low < up)
    width = np.where(both, np.where(both, up, 0.0) - np.where(both, low, 0.0), 0.0)
    # a reader computes ``up - width``: it may round below the lower side, never above
    width = np.where(both & (side - width > low), np.nextafter(width, np.inf), width)
    return list(kind.tolist()), side, width


def _column_lines(matrix: Matrix, columns: list[str], rows: list[str]) -> list[str]:
    """Return the entries column by column, costs first, integers between markers."""
    n = matrix.n_columns
    row = np.repeat(np.arange(matrix.n_rows), np.diff(matrix.indptr))
    # a column without entries is declared by a zero cost
    costed = np.flatnonzero((matrix.cost != 0) | (np.bincount(matrix.indices, minlength=n) == 0))
    column = np.concatenate([costed, matrix.indices])
    order = np.argsort(column, kind="stable")
    words = numbers(np.concatenate([matrix.cost[costed], matrix.coefficients])[order])
    place = np.concatenate([np.full(len(costed), -1), row])[order].tolist()
    named = [*rows, _OBJECTIVE]  # -1 is the last
    column = column[order]
    lines = [
        f" {columns[j]} {named[i]} {word}"
        for j, i, word in zip(column.tolist(), place, words, strict=True)
    ]
    first = np.searchsorted(column, np.arange(n))
    whole = np.concatenate([[False], matrix.integer, [False]])
    turns = np.flatnonzero(
        whole[1:] != whole[:-1]
    )  # columns where a run of integers starts or ends
    result: list[str] = []
    last = 0
    for count, turn in enumerate(turns.tolist()):
        at = int(first[turn]) if turn < n else len(lines)
        result += lines[last:at]
        result.append(f" MARK{count} 'MARKER' '{'INTEND' if count % 2 else 'INTORG'}'")
        last = at
    return result + lines[last:]


def _bound_lines(matrix: Matrix, columns: list[str]) -> list[str]:
    low, up, whole = matrix.lower, matrix.upper, matrix.integer
    ordinary = ~whole & (low == 0) & (up == np.inf)
    lines: list[str] = []
    bounds = zip(low.tolist(), up.tolist(), whole.tolist(), strict=True)
    for name, skip, (a, b, integer) in zip(columns, ordinary.tolist(), bounds, strict=True):
        if skip:
            continue
        if integer and a == 0 and b == 1:
            lines.append(f" BV BOUND {name}")
        elif a == b:
            lines.append(f" FX BOUND {name} {number(a)}")
        elif a == -np.inf and b == np.inf:
            lines.append(f" FR BOUND {name}")
        else:
            lines.append(f" LO BOUND {name} {number(a)}" if a > -np.inf else f" MI BOUND {name}")
            lines.append(f" UP BOUND {name} {number(b)}" if b < np.inf else f" PL BOUND {name}")
    return lines
