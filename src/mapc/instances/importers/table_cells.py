"""Cells of a table of options, column by column, as arrays.

Columns are read whole; a cell is looked at on its own only where its column turns out to hold
something unexpected. Of several things that are wrong, the one in the first row is told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.bits.problem import MAX_COST, FloatArray

_TRUTH = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}
_WHOLE = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)
_DIGITS = 18

Codes = tuple[tuple[str, ...], IntArray]
"""Distinct texts in the order in which they appear, and for every row which one it has."""


@dataclass(frozen=True, eq=False)
class Options:
    """What a table says of ``m`` options, in the order of its rows, and of ``n`` groups.

    Attributes
    ----------
    groups, formats : (tuple of str, int64[m])
        Names in the order in which they appear, and for every option an index into them.
    loss : float64[m]
    cost : int64[k, m]
    allowed : bool[m]
    weights : int64[n]
        0 where the table says nothing.
    tie : int64[n]
        Equal numbers are equal labels; -1: none.
    """

    groups: Codes
    formats: Codes
    loss: FloatArray
    cost: IntArray
    allowed: BoolArray
    weights: IntArray
    tie: IntArray


def read_options(
    columns: Mapping[str, Sequence[Any]], resources: Sequence[str], place: Callable[[int], str]
) -> Options:
    """Return the columns of a table as arrays.

    Parameters
    ----------
    columns : mapping of str to sequence
        ``group``, ``format``, ``loss``, the resources, and optionally ``weights``, ``tie`` and
        ``allowed``: texts, or any JSON values, None where there is no cell; all of one length.
    resources : sequence of str
        The columns that hold costs.
    place : callable
        ``place(row) -> str``, for messages.

    Raises
    ------
    InstanceError
        For the first row with a cell that is not what it should be, a format that its group has
        already, or a value that contradicts an earlier one of its group.
    """
    cells = _Cells(columns)
    groups, formats = cells.codes("group"), cells.codes("format")
    if cells.wrong is not None:
        # without its name no row can be compared with others; those before it can
        if cells.row > 0:
            before = {name: column[: cells.row] for name, column in columns.items()}
            read_options(before, resources, place)
        raise cells.wrong.inside(place(cells.row))
    cells.check_distinct(groups, formats)
    costs = [cells.whole(resource) for resource in resources]
    options = Options(
        groups,
        formats,
        loss=cells.losses(),
        cost=np.stack(costs) if costs else np.zeros((0, cells.n), dtype=np.int64),
        allowed=cells.truths(),
        weights=cells.weights(groups),
        tie=cells.ties(groups),
    )
    if cells.wrong is not None:
        raise cells.wrong.inside(place(cells.row))
    return options


class _Cells:
    """Columns as they were read, and the first thing found to be wrong with them."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self._columns = columns
        self.n = len(columns["group"])
        self.row, self.wrong = self.n, None  # type: tuple[int, InstanceError | None]

    def _refuse(self, rows: Iterable[int], describe: Callable[[int], InstanceError]) -> None:
        """Remember the first of some rows, given in ascending order, if none before it is wrong."""
        row = next(iter(rows), self.n)
        if row < self.row:
            self.row, self.wrong = row, describe(row)

    def _refuse_cells(self, column: str, good: Callable[[Any], bool], right: str) -> None:
        cells = self._columns[column]
        self._refuse(
            (row for row, cell in enumerate(cells) if not good(cell)),
            lambda row: InstanceError(f"{cells[row]!r}"[:60], f"column {column!r}", right),
        )

    # -- one column ------------------------------------------------------------------------------

    def codes(self, column: str) -> Codes:
        """Return the names in a column."""
        cells = self._columns[column]
        if set(map(type, cells)) != {str} or "" in cells:
            self._refuse_cells(column, lambda cell: isinstance(cell, str) and cell != "", "a name")
            return (), np.zeros(self.n, dtype=np.int64)
        return _coded(cells)

    def losses(self) -> FloatArray:
        """Return the losses; texts are numbers as Python reads them."""
        cells = self._columns["loss"]
        if set(map(type, cells)) <= {str, float, int}:
            try:
                loss = np.fromiter(map(float, cells), dtype=np.float64, count=self.n)
            except (ValueError, OverflowError):
                pass
            else:
                if (loss >= 0).all() and (loss < math.inf).all():
                    return loss
        self._refuse_cells("loss", _is_loss, "a finite number >= 0")
        return np.zeros(self.n)

    def truths(self) -> BoolArray:
        """Return which options are allowed: all of them, if the table does not say."""
        cells = self._columns.get("allowed")
        if cells is None:
            return np.ones(self.n, dtype=np.bool_)
        texts = list(map(str, cells))
        truth = {text: _TRUTH.get(text.strip().lower()) for text in set(texts)}
        if None in truth.values():
            self._refuse(
                (row for row, text in enumerate(texts) if truth[text] is None),
                lambda row: InstanceError(f"{cells[row]!r}"[:60], "column 'allowed'", "1 or 0"),
            )
        return np.fromiter((bool(truth[text]) for text in texts), dtype=np.bool_, count=self.n)

    def whole(self, column: str) -> IntArray:
        """Return the whole numbers >= 0 in a column; texts have at most 18 digits."""
        return self._whole(column, np.arange(self.n), self._columns[column])

    def _whole(self, column: str, rows: IntArray, cells: Sequence[Any]) -> IntArray:
        """Return the numbers in some cells, whose rows are given in ascending order."""
        numbers = _whole_numbers(cells)
        if numbers is not None:
            return numbers
        at = next(i for i, cell in enumerate(cells) if not _is_whole(cell))
        right = "a whole number >= 0, in a finer unit if need be"
        if type(cells[at]) is int and cells[at] > 0:
            right = f"0 to {MAX_COST}"
        where = f"column {column!r}"
        self._refuse([int(rows[at])], lambda _: InstanceError(f"{cells[at]!r}"[:60], where, right))
        return np.zeros(len(cells), dtype=np.int64)

    # -- columns that say something of a group ---------------------------------------------------

    def check_distinct(self, groups: Codes, formats: Codes) -> None:
        """Refuse a format that stands twice in a group."""
        names, group = groups
        _, first = np.unique(group * len(formats[0]) + formats[1], return_index=True)
        again = np.ones(self.n, dtype=np.bool_)
        again[first] = False
        self._refuse(
            np.flatnonzero(again).tolist(),
            lambda row: InstanceError(
                f"format {formats[0][int(formats[1][row])]!r} twice",
                f"group {names[int(group[row])]!r}",
                "every format once",
            ),
        )

    def weights(self, groups: Codes) -> IntArray:
        """Return the weights of every group; 0 where no row says them."""
        rows, cells = self._filled("weights")
        numbers = self._whole("weights", rows, cells)
        return np.maximum(self._agreed("weights", groups, rows, numbers, int), 0)

    def ties(self, groups: Codes) -> IntArray:
        """Return the label of every group as a number; -1 where no row says one."""
        rows, cells = self._filled("tie")
        labels, codes = _coded(list(map(str, cells)))
        return self._agreed("tie", groups, rows, codes, lambda code: labels[code])

    def _filled(self, column: str) -> tuple[IntArray, Sequence[Any]]:
        """Return the rows of the cells that are not empty, ascending, and these cells."""
        cells = self._columns.get(column, ())
        if None not in cells and "" not in cells:
            return np.arange(len(cells)), cells
        rows = [row for row, cell in enumerate(cells) if cell is not None and cell != ""]
        return np.asarray(rows, dtype=np.int64), [cells[row] for row in rows]

    def _agreed(
        self,
        column: str,
        groups: Codes,
        rows: IntArray,
        values: IntArray,
        shown: Callable[[int], Any],
    ) -> IntArray:
        """Return one value for each group, -1 for none; refuse rows that contradict earlier ones.

        ``shown`` turns a value into what messages show.
        """
        names, group = groups[0], groups[1][rows]
        found, first = np.unique(group, return_index=True)
        position = np.zeros(len(names), dtype=np.int64)
        position[found] = first
        before = position[group]
        wrong = np.flatnonzero(values != values[before])
        if len(wrong):
            at = int(wrong[0])
            self._refuse(
                [int(rows[at])],
                lambda _: InstanceError(
                    f"{shown(int(values[at]))!r} where an earlier row of group "
                    f"{names[int(group[at])]!r} has {shown(int(values[before[at]]))!r}",
                    f"column {column!r}",
                    "one value for the group",
                ),
            )
        agreed = np.full(len(names), -1, dtype=np.int64)
        agreed[found] = values[first]
        return agreed


def _coded(texts: Sequence[str]) -> Codes:
    index = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    codes = np.fromiter(map(index.__getitem__, texts), dtype=np.int64, count=len(texts))
    return tuple(index), codes


def _whole_numbers(cells: Sequence[Any]) -> IntArray | None:
    """Return the numbers, or None if a cell holds none."""
    kinds = set(map(type, cells))
    if kinds == {int} and min(cells) >= 0 and max(cells) < 2**63:
        return np.array(cells, dtype=np.int64)
    if kinds <= {str}:
        digits = "".join(cells)
        plain = digits.isascii() and digits.isdigit() and "" not in cells
        if plain and max(map(len, cells)) <= _DIGITS:
            return np.fromiter(map(int, cells), dtype=np.int64, count=len(cells))
    if not (kinds <= {int, str} and all(map(_is_whole, cells))):
        return None
    return np.fromiter(map(int, cells), dtype=np.int64, count=len(cells))


def _is_whole(cell: Any) -> bool:
    if isinstance(cell, str):
        return _WHOLE.match(cell) is not None and int(cell) >= 0
    return type(cell) is int and 0 <= cell < 2**63


def _is_loss(cell: Any) -> bool:
    try:
        loss = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return 0 <= loss < math.inf
