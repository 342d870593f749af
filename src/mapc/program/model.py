"""The solver-neutral optimisation model, built from blocks of columns and blocks of rows.

    minimise    offset + cost @ x
    subject to  row_lower <= A @ x <= row_upper,   lower <= x <= upper,   x[integer] whole,
                and the CP records

Blocks are appended as arrays and concatenated once, into CSR; nothing here loops over columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapc.program.arrays import Block, BoolArray, FloatArray, IntArray, Matrix, RowBlock
from mapc.program.records import (
    ALWAYS,
    NO_COLUMN,
    AtMostOne,
    Cumulative,
    Element,
    ExactlyOne,
    Implication,
    Intervals,
    NoOverlap,
    NoOverlap2D,
    Record,
)

__all__ = ["Block", "BoolArray", "FloatArray", "IntArray", "Matrix", "Program", "RowBlock"]


@dataclass
class _Columns:
    cost: list[FloatArray] = field(default_factory=list)
    lower: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)
    integer: list[BoolArray] = field(default_factory=list)


@dataclass
class _Rows:
    lengths: list[IntArray] = field(default_factory=list)
    indices: list[NDArray[np.int32]] = field(default_factory=list)
    coefficients: list[FloatArray] = field(default_factory=list)
    lower: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)


class Program:
    """A model under construction and, once ``matrix`` is asked for, its arrays.

    Errors in building (columns out of range, a column twice in one row, bounds that cross, NaN)
    raise ``ValueError``: they are mistakes of the formulation, not of the user's input.
    """

    def __init__(self, name: str = "program") -> None:
        self.name = name
        self.blocks: list[Block] = []
        self.row_blocks: list[RowBlock] = []
        self.records: list[Record] = []
        self.interval_blocks: list[Intervals] = []
        self.hints: list[tuple[IntArray, FloatArray]] = []
        self.offset = 0.0
        self.n_columns = 0
        self.n_rows = 0
        self.n_intervals = 0
        self._columns = _Columns()
        self._rows = _Rows()
        self._extra_cost: list[tuple[IntArray, FloatArray]] = []
        self._matrix: Matrix | None = None

    # -- columns and objective ---------------------------------------------------------------

    def variables(
        self,
        shape: int | tuple[int, ...],
        lower: ArrayLike = 0.0,
        upper: ArrayLike = 1.0,
        *,
        integer: ArrayLike = True,
        cost: ArrayLike = 0.0,
        name: str = "x",
    ) -> Block:
        """Append a block of columns; bounds, integrality and cost broadcast to its shape.

        The default is a block of binaries without cost.
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        block = Block(name, self.n_columns, shape)
        low, up, price = (
            np.broadcast_to(np.asarray(a, dtype=np.float64), shape).ravel()
            for a in (lower, upper, cost)
        )
        if not ((low <= up) & (low < np.inf) & (up > -np.inf)).all():
            raise ValueError(
                f"block {name!r}: a lower bound above its upper bound, NaN, or an infinite "
                "bound on the wrong side"
            )
        if not np.isfinite(price).all():
            raise ValueError(f"block {name!r}: cost is not finite")
        whole = np.broadcast_to(np.asarray(integer, dtype=np.bool_), shape).ravel()
        for part, values in (("lower", low), ("upper", up), ("cost", price), ("integer", whole)):
            getattr(self._columns, part).append(values)
        self.blocks.append(block)
        self.n_columns += block.size
        self._matrix = None
        return block

    def minimise(self, columns: ArrayLike, coefficients: ArrayLike, offset: float = 0.0) -> None:
        """Add ``sum(coefficients * x[columns]) + offset`` to the objective."""
        index = self._column_array(columns, "objective").ravel()
        price = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), np.shape(columns))
        if not np.isfinite(price).all():
            raise ValueError("objective: cost is not finite")
        self._extra_cost.append((index, price.ravel()))
        self.offset += offset
        self._matrix = None

    def hint(self, columns: ArrayLike, values: ArrayLike) -> None:
        """Suggest values to start from; later hints win. A full start is not required."""
        index = self._column_array(columns, "hint").ravel()
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), np.shape(columns)).ravel()
        if not np.isfinite(value).all():
            raise ValueError("hint: a value is not finite")
        self.hints.append((index, value))

    # -- rows --------------------------------------------------------------------------------

    def rows(
        self,
        columns: ArrayLike,
        coefficients: ArrayLike = 1.0,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        *,
        name: str = "row",
        labels: Sequence[str] | None = None,
    ) -> RowBlock:
        """Append ``r`` rows of ``k`` entries each.

        Parameters
        ----------
        columns : int[r, k]
        coefficients : broadcast to [r, k]
        lower, upper : broadcast to [r]
        labels : r words, optional
            What each row is about (an operator, a device), to name it to the user.
        """
        index = self._column_array(columns, name)
        if index.ndim != 2:
            raise ValueError(f"rows {name!r}: columns must be [rows, entries]")
        r, k = index.shape
        if _has_repeat(index):
            raise ValueError(f"rows {name!r}: a column twice in one row")
        lengths = np.full(r, k, dtype=np.int64)
        values = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), (r, k)).ravel()
        return self._append_rows(lengths, index.ravel(), values, lower, upper, name, labels)

    def ragged_rows(
        self,
        start: ArrayLike,
        columns: ArrayLike,
        coefficients: ArrayLike = 1.0,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        *,
        name: str = "row",
        labels: Sequence[str] | None = None,
    ) -> RowBlock:
        """Append rows of different lengths: row ``i`` has ``columns[start[i]:start[i + 1]]``."""
        index = self._column_array(columns, name)
        pointer = np.asarray(start, dtype=np.int64)
        lengths = np.diff(pointer)
        if pointer[0] != 0 or pointer[-1] != len(index) or (lengths < 0).any():
            raise ValueError(f"rows {name!r}: start does not fit columns")
        row = np.repeat(np.arange(len(lengths)), lengths)
        keys = np.sort(row * max(self.n_columns, 1) + index)
        if (keys[1:] == keys[:-1]).any():
            raise ValueError(f"rows {name!r}: a column twice in one row")
        values = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), index.shape)
        return self._append_rows(lengths, index, values, lower, upper, name, labels)

    def _append_rows(
        self,
        lengths: IntArray,
        index: IntArray,
        values: FloatArray,
        lower: ArrayLike,
        upper: ArrayLike,
        name: str,
        labels: Sequence[str] | None,
    ) -> RowBlock:
        r = len(lengths)
        low = np.broadcast_to(np.asarray(lower, dtype=np.float64), (r,))
        up = np.broadcast_to(np.asarray(upper, dtype=np.float64), (r,))
        if not ((low <= up) & (low < np.inf) & (up > -np.inf)).all():
            raise ValueError(
                f"rows {name!r}: a lower side above its upper side, NaN, or an infinite side "
                "on the wrong side"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"rows {name!r}: coefficient is not finite")
        if labels is not None and len(labels) != r:
            raise ValueError(f"rows {name!r}: {len(labels)} labels for {r} rows")
        block = RowBlock(name, self.n_rows, r, labels)
        self._rows.lengths.append(lengths)
        self._rows.indices.append(index.astype(np.int32))
        self._rows.coefficients.append(values)
        self._rows.lower.append(low)
        self._rows.upper.append(up)
        self.row_blocks.append(block)
        self.n_rows += r
        self._matrix = None
        return block

    # -- CP records --------------------------------------------------------------------------

    def exactly_one(self, literals: ArrayLike, *, name: str = "exactly_one") -> None:
        """In every row of ``literals`` (int[r, k] or int[k]) exactly one holds."""
        self.records.append(ExactlyOne(self._literal_rows(literals, name), name))

    def at_most_one(self, literals: ArrayLike, *, name: str = "at_most_one") -> None:
        """In every row of ``literals`` (int[r, k] or int[k]) at most one holds."""
        self.records.append(AtMostOne(self._literal_rows(literals, name), name))

    def implication(
        self, premise: ArrayLike, conclusion: ArrayLike, *, name: str = "implication"
    ) -> None:
        """Where a premise literal holds, the conclusion literal beside it holds."""
        left = np.atleast_1d(self._literals(premise, name))
        right = np.atleast_1d(self._literals(conclusion, name))
        if left.shape != right.shape or left.ndim != 1:
            raise ValueError(f"implication {name!r}: premises and conclusions must be int[r]")
        self.records.append(Implication(left, right, name))

    def intervals(
        self,
        size: ArrayLike,
        *,
        start: ArrayLike = NO_COLUMN,
        offset: ArrayLike = 0,
        presence: ArrayLike = ALWAYS,
        name: str = "interval",
    ) -> Intervals:
        """Append intervals ``[offset + x[start], offset + x[start] + size)``.

        Parameters
        ----------
        size : int[n]
            Fixed, >= 0.
        start : int[n] columns, or ``NO_COLUMN``
            An integer column; without one the start is ``offset``.
        presence : int[n] literals, or ``ALWAYS``
        """
        sizes = np.atleast_1d(np.asarray(size, dtype=np.int64))
        if (sizes < 0).any():
            raise ValueError(f"interval {name!r}: negative size")
        parts = [
            np.broadcast_to(np.asarray(a, np.int64), sizes.shape) for a in (start, offset, presence)
        ]
        self._whole(self._column_array(parts[0][parts[0] != NO_COLUMN], name), name)
        self._literals(parts[2][parts[2] != ALWAYS], name)
        block = Intervals(self.n_intervals, parts[0], parts[1], sizes, parts[2], name)
        self.interval_blocks.append(block)
        self.n_intervals += len(block)
        return block

    def no_overlap(self, intervals: ArrayLike, *, name: str = "no_overlap") -> None:
        """Present intervals (numbers, int[k]) are pairwise disjoint."""
        self.records.append(NoOverlap(self._interval_array(intervals, name), name))

    def no_overlap_2d(self, x: ArrayLike, y: ArrayLike, *, name: str = "no_overlap_2d") -> None:
        """Rectangles made of the intervals ``x[i]`` and ``y[i]`` are pairwise disjoint."""
        left, right = self._interval_array(x, name), self._interval_array(y, name)
        if left.shape != right.shape:
            raise ValueError(f"no_overlap_2d {name!r}: x and y differ in length")
        self.records.append(NoOverlap2D(left, right, name))

    def cumulative(
        self, intervals: ArrayLike, demands: ArrayLike, capacity: int, *, name: str = "cumulative"
    ) -> None:
        """Demands of the intervals present at any point add up to at most ``capacity``."""
        index = self._interval_array(intervals, name)
        demand = np.broadcast_to(np.asarray(demands, dtype=np.int64), index.shape)
        if (demand < 0).any() or capacity < 0:
            raise ValueError(f"cumulative {name!r}: negative demand or capacity")
        self.records.append(Cumulative(index, demand, int(capacity), name))

    def element(self, index: int, values: ArrayLike, target: int, *, name: str = "element") -> None:
        """``x[target] == values[x[index]]``, which also keeps ``x[index]`` within range.

        An empty table has no entry to point at: nothing satisfies it.
        """
        self._whole(self._column_array([index, target], name), name)
        table = np.asarray(values, dtype=np.int64)
        if table.ndim != 1:
            raise ValueError(f"element {name!r}: values must be int[k]")
        self.records.append(Element(int(index), table, int(target), name))

    # -- reading -----------------------------------------------------------------------------

    @property
    def matrix(self) -> Matrix:
        """The linear part, concatenated on first use."""
        if self._matrix is None:
            self._matrix = self._concatenate()
        return self._matrix

    def without_records(self) -> Program:
        """Return a copy with the same columns, rows and hints but no intervals and no records.

        Arrays are shared; appending to one of the two leaves the other as it is.
        """
        twin = Program(self.name)
        twin.blocks, twin.row_blocks = list(self.blocks), list(self.row_blocks)
        twin.hints, twin.offset = list(self.hints), self.offset
        twin.n_columns, twin.n_rows = self.n_columns, self.n_rows
        for part in fields(_Columns):
            setattr(twin._columns, part.name, list(getattr(self._columns, part.name)))
        for part in fields(_Rows):
            setattr(twin._rows, part.name, list(getattr(self._rows, part.name)))
        twin._extra_cost = list(self._extra_cost)
        return twin

    @property
    def all_intervals(self) -> Intervals:
        """All interval blocks as one."""
        if not self.interval_blocks:
            empty = np.zeros(0, dtype=np.int64)
            return Intervals(0, empty, empty, empty, empty, "none")
        parts = ("start_column", "offset", "size", "presence")
        joined = [np.concatenate([getattr(b, p) for b in self.interval_blocks]) for p in parts]
        return Intervals(0, joined[0], joined[1], joined[2], joined[3], "all")

    @property
    def start_values(self) -> tuple[IntArray, FloatArray]:
        """Hinted columns and their values, every column at most once, ascending."""
        if not self.hints:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        columns = np.concatenate([c for c, _ in self.hints])[::-1]
        values = np.concatenate([v for _, v in self.hints])[::-1]
        unique, last = np.unique(columns, return_index=True)
        return unique, values[last]

    def column_name(self, column: int) -> str:
        """Return e.g. ``"keep[12]"``."""
        starts = [block.start for block in self.blocks]
        at = int(np.searchsorted(starts, column, side="right")) - 1
        while self.blocks[at].size == 0:
            at -= 1
        block = self.blocks[at]
        position = np.unravel_index(column - block.start, block.shape)
        return f"{block.name}[{','.join(str(int(i)) for i in position)}]"

    def row_name(self, row: int) -> str:
        """Return e.g. ``"capacity[3]"``, or with its label ``"capacity[conv1]"``."""
        starts = [block.start for block in self.row_blocks]
        at = int(np.searchsorted(starts, row, side="right")) - 1
        while self.row_blocks[at].size == 0:
            at -= 1
        block = self.row_blocks[at]
        label = block.labels[row - block.start] if block.labels is not None else row - block.start
        return f"{block.name}[{label}]"

    @property
    def integral(self) -> bool:
        """Whether every feasible objective is a whole number (costs and costed columns are)."""
        m = self.matrix
        costed = m.cost != 0
        whole = m.integer[costed].all() and (m.cost[costed] == np.rint(m.cost[costed])).all()
        return bool(whole) and float(m.offset).is_integer()

    def statistics(self) -> dict[str, int]:
        """Rows, columns, integers, nonzeros, intervals and records, for reports and gates."""
        m = self.matrix
        return {
            "rows": m.n_rows,
            "columns": m.n_columns,
            "integers": int(m.integer.sum()),
            "nonzeros": m.nnz,
            "intervals": self.n_intervals,
            "records": len(self.records),
        }

    # -- inside ------------------------------------------------------------------------------

    def _concatenate(self) -> Matrix:
        c, r = self._columns, self._rows

        def join(parts: list[NDArray[np.generic]], kind: type) -> NDArray[np.generic]:
            return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)

        cost = join(c.cost, np.float64).astype(np.float64)  # type: ignore[arg-type]
        for columns, coefficients in self._extra_cost:
            np.add.at(cost, columns, coefficients)
        lengths = join(r.lengths, np.int64)  # type: ignore[arg-type]
        indptr = np.zeros(self.n_rows + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        return Matrix(
            cost=cost,
            lower=join(c.lower, np.float64),  # type: ignore[arg-type]
            upper=join(c.upper, np.float64),  # type: ignore[arg-type]
            integer=join(c.integer, np.bool_),  # type: ignore[arg-type]
            offset=self.offset,
            indptr=indptr,
            indices=join(r.indices, np.int32),  # type: ignore[arg-type]
            coefficients=join(r.coefficients, np.float64),  # type: ignore[arg-type]
            row_lower=join(r.lower, np.float64),  # type: ignore[arg-type]
            row_upper=join(r.upper, np.float64),  # type: ignore[arg-type]
        )

    def _column_array(self, columns: ArrayLike, name: str) -> IntArray:
        index = np.asarray(columns, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= self.n_columns):
            raise ValueError(f"{name!r}: column outside 0 to {self.n_columns - 1}")
        return index

    def _literals(self, literals: ArrayLike, name: str) -> IntArray:
        index = np.asarray(literals, dtype=np.int64)
        columns = self._column_array(np.where(index < 0, ~index, index), name)
        self._whole(columns, name)
        for at, inside in self._by_block(columns):
            low, up = self._columns.lower[at][inside], self._columns.upper[at][inside]
            if not ((low >= 0) & (up <= 1)).all():
                raise ValueError(f"{name!r}: a literal of {self.blocks[at].name!r} is not binary")
        return index

    def _literal_rows(self, literals: ArrayLike, name: str) -> IntArray:
        rows = np.atleast_2d(self._literals(literals, name))
        if rows.ndim != 2:
            raise ValueError(f"{name!r}: literals must be [rows, literals]")
        if _has_repeat(np.where(rows < 0, ~rows, rows)):
            raise ValueError(f"{name!r}: a column twice among the literals of one row")
        return rows

    def _whole(self, columns: IntArray, name: str) -> None:
        for at, inside in self._by_block(columns):
            if not self._columns.integer[at][inside].all():
                raise ValueError(f"{name!r}: a column of {self.blocks[at].name!r} is not integer")

    def _by_block(self, columns: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Yield the blocks that hold the columns, each with the positions inside it."""
        flat = columns.ravel()
        starts = np.array([block.start for block in self.blocks], dtype=np.int64)
        owner = np.searchsorted(starts, flat, side="right") - 1
        for at in np.unique(owner):
            yield int(at), flat[owner == at] - starts[at]

    def _interval_array(self, intervals: ArrayLike, name: str) -> IntArray:
        index = np.asarray(intervals, dtype=np.int64).ravel()
        if index.size and (index.min() < 0 or index.max() >= self.n_intervals):
            raise ValueError(f"{name!r}: interval outside 0 to {self.n_intervals - 1}")
        return index


def _has_repeat(index: IntArray) -> bool:
    """Whether a row of ``index`` (int[r, k]) holds a number twice."""
    k = index.shape[1]
    if k <= 8:  # comparing pairs of columns beats sorting short rows
        return any(
            bool((index[:, i] == index[:, j]).any()) for i in range(k) for j in range(i + 1, k)
        )
    ordered = np.sort(index, axis=1)
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())
