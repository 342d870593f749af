"""Rows gathered term by term: what a rewriting of records needs and a formulation does not.

A formulation knows the shape of its rows; a rewritten record has rows whose terms come from
literals, negations and interval starts, some of which are constants and some the same column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapc.program.arrays import FloatArray, IntArray
from mapc.program.model import Program
from mapc.program.records import ALWAYS, NO_COLUMN


class Terms:
    """Rows ``lower <= sum of terms <= upper`` under construction.

    Terms on the same column of a row are added up, constants move to the sides, and rows that
    are left without a column are dropped when they hold.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.constant = np.zeros(n_rows)
        self._row: list[IntArray] = []
        self._column: list[IntArray] = []
        self._coefficient: list[FloatArray] = []

    def add(self, row: ArrayLike, column: ArrayLike, coefficient: ArrayLike = 1.0) -> None:
        """Add ``coefficient * x[column]``; a column ``NO_COLUMN`` counts as zero."""
        rows, columns, values = np.broadcast_arrays(
            np.asarray(row, dtype=np.int64),
            np.asarray(column, dtype=np.int64),
            np.asarray(coefficient, dtype=np.float64),
        )
        real = columns != NO_COLUMN
        self._row.append(rows[real])
        self._column.append(columns[real])
        self._coefficient.append(values[real])

    def add_constant(self, row: ArrayLike, value: ArrayLike) -> None:
        """Add a constant to the rows' activity."""
        np.add.at(self.constant, np.asarray(row, dtype=np.int64), np.asarray(value, np.float64))

    def add_literal(self, row: ArrayLike, literal: ArrayLike, coefficient: ArrayLike = 1.0) -> None:
        """Add ``coefficient`` where the literal holds; ``ALWAYS`` always holds."""
        rows, literals, values = np.broadcast_arrays(
            np.asarray(row, dtype=np.int64),
            np.asarray(literal, dtype=np.int64),
            np.asarray(coefficient, dtype=np.float64),
        )
        always, negated = literals == ALWAYS, literals < 0
        self.add_constant(rows[always | negated], values[always | negated])
        columns = np.where(negated, ~literals, literals)
        some = ~always
        self.add(rows[some], columns[some], np.where(negated, -values, values)[some])

    def append_to(
        self,
        program: Program,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        *,
        name: str,
    ) -> None:
        """Append the rows to the program under the given name."""
        low = np.broadcast_to(np.asarray(lower, np.float64), (self.n_rows,)) - self.constant
        up = np.broadcast_to(np.asarray(upper, np.float64), (self.n_rows,)) - self.constant
        row, column, coefficient = self._merged(program.n_columns)
        lengths = np.bincount(row, minlength=self.n_rows)
        idle = (lengths == 0) & (low <= 0) & (up >= 0)
        if idle.all():
            return
        start = np.zeros(int((~idle).sum()) + 1, dtype=np.int64)
        np.cumsum(lengths[~idle], out=start[1:])
        program.ragged_rows(start, column, coefficient, low[~idle], up[~idle], name=name)

    def _merged(self, n_columns: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Return rows, columns and coefficients sorted by row, no column twice, none zero."""
        if not self._row:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        key = np.concatenate(self._row) * max(n_columns, 1) + np.concatenate(self._column)
        unique, place = np.unique(key, return_inverse=True)
        total = np.bincount(place, weights=np.concatenate(self._coefficient), minlength=len(unique))
        unique, total = unique[total != 0], total[total != 0]
        return unique // max(n_columns, 1), unique % max(n_columns, 1), total
