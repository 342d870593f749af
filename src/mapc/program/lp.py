"""LP files as CPLEX defines them."""

from __future__ import annotations

import itertools

import numpy as np

from mapc.program.arrays import FloatArray
from mapc.program.linearise import linearise
from mapc.program.model import Matrix, Program
from mapc.program.text import StrPath, column_names, number, numbers, row_names, write_whole

_TERMS_A_LINE = 4  # some readers stop at 510 characters


def write_lp(program: Program, path: StrPath) -> None:
    """Write the program as an LP file, its records rewritten into rows; whole or not at all.

    A row with two different sides becomes two rows, ``name.lo`` and ``name.up``: readers
    disagree on how to write one. Rows that bind nothing are left out.

    Raises
    ------
    OSError
        Where the file cannot be written.
    """
    write_whole(path, lp_text(program))


def lp_text(program: Program) -> str:
    """Return the text of the LP file."""
    linear = linearise(program)
    matrix = linear.matrix
    # the format has no empty expression: a program without columns gets one that is fixed at 0
    columns = column_names(linear) or ["nothing"]
    # readers meet a column first in the objective or in a row, if only with a zero
    binding = np.isfinite(matrix.row_lower) | np.isfinite(matrix.row_upper)
    listed = np.repeat(binding, np.diff(matrix.indptr))
    unseen = np.bincount(matrix.indices[listed], minlength=matrix.n_columns) == 0
    costed = np.flatnonzero((matrix.cost != 0) | unseen)
    cost = _expressions(np.array([0, len(costed)]), costed, matrix.cost[costed], columns)[0]
    constant = f" {_signed(matrix.offset)}" if matrix.offset else ""
    lines = ["Minimize", f" objective: {cost}{constant}", "Subject To"]
    lines += _row_lines(matrix, row_names(linear), columns)
    lines.append("Bounds")
    if not matrix.n_columns:
        lines.append(" nothing = 0")
    lines += _bound_lines(matrix, columns)
    binary = matrix.integer & (matrix.lower == 0) & (matrix.upper == 1)
    for section, members in (("Binaries", binary), ("Generals", matrix.integer & ~binary)):
        if members.any():
            lines.append(section)
            lines += [f" {columns[i]}" for i in np.flatnonzero(members).tolist()]
    lines.append("End\n")
    return "\n".join(lines)


def _expressions(
    pointer: np.ndarray, indices: np.ndarray, coefficients: FloatArray, columns: list[str]
) -> list[str]:
    """Return every row's terms as text, ``0 x`` for a row without any."""
    signs = np.where(coefficients < 0, "- ", "+ ").tolist()
    words = numbers(np.abs(coefficients))
    terms = [
        f"{sign}{word} {columns[j]}"
        for sign, word, j in zip(signs, words, indices.tolist(), strict=True)
    ]
    texts = []
    for a, b in itertools.pairwise(pointer.tolist()):
        pieces = [
            " ".join(terms[i : min(i + _TERMS_A_LINE, b)]) for i in range(a, b, _TERMS_A_LINE)
        ]
        texts.append("\n  ".join(pieces) if pieces else f"0 {columns[0]}")
    return texts


def _row_lines(matrix: Matrix, rows: list[str], columns: list[str]) -> list[str]:
    texts = _expressions(matrix.indptr, matrix.indices, matrix.coefficients, columns)
    lines: list[str] = []
    sides = zip(matrix.row_lower.tolist(), matrix.row_upper.tolist(), strict=True)
    for name, text, (low, up) in zip(rows, texts, sides, strict=True):
        if low == up:
            lines.append(f" {name}: {text} = {number(low)}")
            continue
        two = low > -np.inf and up < np.inf
        if low > -np.inf:
            lines.append(f" {name}{'.lo' if two else ''}: {text} >= {number(low)}")
        if up < np.inf:
            lines.append(f" {name}{'.up' if two else ''}: {text} <= {number(up)}")
    return lines


def _bound_lines(matrix: Matrix, columns: list[str]) -> list[str]:
    """Return a line per column, binaries left to their section."""
    lines: list[str] = []
    bounds = zip(matrix.lower.tolist(), matrix.upper.tolist(), matrix.integer, strict=True)
    for name, (low, up, whole) in zip(columns, bounds, strict=False):
        if whole and low == 0 and up == 1:
            continue
        if low == up:
            lines.append(f" {name} = {number(low)}")
        elif low == -np.inf and up == np.inf:
            lines.append(f" {name} free")
        else:
            left = "-inf" if low == -np.inf else number(low)
            lines.append(f" {left} <= {name}" + (f" <= {number(up)}" if up < np.inf else ""))
    return lines


def _signed(value: float) -> str:
    return f"- {number(-value)}" if value < 0 else f"+ {number(value)}"
