"""Heat maps: tables of numbers as coloured cells, merged where they would be too many to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mapc.visual.figure import Axis, FloatArray, Rects, column

MAX_CELLS = 4_096
"""Cells of one heat map; more are merged in blocks."""

Say = Callable[[float], str]


@dataclass(frozen=True, eq=False)
class Side:
    """Rows or columns of a heat map.

    Attributes
    ----------
    noun, nouns : str
        What one is called, and what several are.
    names : tuple of str
        Of each, as on the axis.
    called : tuple of str
        Of each, as in titles; empty: noun and name.
    lead : str
        Before what is called so, e.g. ``"from "``.
    """

    noun: str
    nouns: str
    names: tuple[str, ...]
    called: tuple[str, ...] = ()
    lead: str = ""

    def axis(self, label: str = "", down: bool = False) -> Axis:
        """Return the axis of categories."""
        return Axis.of_names(label or self.noun, self.names, down=down)

    def blocks(self, edges: Sequence[int]) -> list[str]:
        """Return what the blocks between edges are called, e.g. ``"layers 3 to 5"``."""
        each = self.called or tuple(f"{self.noun} {name}" for name in self.names)
        short = self.called or self.names
        return [
            self.lead + (each[a] if b - a == 1 else f"{self.nouns} {short[a]} to {short[b - 1]}")
            for a, b in pairwise(edges)
        ]


def height_of(n_rows: int, most: int = 620) -> int:
    """Return pixels that give a row some, and a figure no more than a screen."""
    return min(most, max(160, 90 + 9 * n_rows))


def block_edges(shape: tuple[int, int], most: int = MAX_CELLS) -> tuple[list[int], list[int]]:
    """Return the edges of blocks of rows and of columns, at most ``most`` blocks in all.

    The side with more blocks is merged first, by whole factors; the last block may be smaller.
    """
    counts, factors = list(shape), [1, 1]
    while counts[0] * counts[1] > most:
        side = 0 if counts[0] > counts[1] else 1
        factors[side] += 1
        counts[side] = -(-shape[side] // factors[side])
    rows, columns = ([*range(0, n, f), n] for n, f in zip(shape, factors, strict=True))
    return rows, columns


def merged(
    values: FloatArray, rows: Sequence[int], columns: Sequence[int], by: np.ufunc
) -> FloatArray:
    """Return one value for every block; what is not a number counts for nothing with ``np.fmax``.

    Parameters
    ----------
    values : float64[R, C]
    rows, columns : edges
    by : ufunc
        ``np.fmax`` or ``np.add``.
    """
    tall = by.reduceat(values, np.asarray(rows[:-1]), axis=0)
    return np.asarray(by.reduceat(tall, np.asarray(columns[:-1]), axis=1))


def heat(
    values: FloatArray,
    down: Side,
    across: Side,
    say: Say,
    by: np.ufunc = np.fmax,
    many: str = "at most ",
    most: int = MAX_CELLS,
) -> tuple[Rects, str]:
    """Return cells coloured by value, and a note of what was merged, empty if nothing was.

    Parameters
    ----------
    values : float64[R, C]
        NaN: no cell.
    down, across : Side
    say : callable
        Puts a value in words, for titles.
    by : ufunc
        What a block of cells shows of theirs: ``np.fmax`` or ``np.add``.
    many : str
        Before the words of a merged value.
    most : int
        Cells; where there are more, blocks of them are merged.
    """
    shape = (len(values), values.shape[1])
    there = int((~np.isnan(values)).sum())
    rows, columns = block_edges(shape, values.size if there <= most else most)
    whole = (len(rows) - 1, len(columns) - 1) == shape
    blocks = values if whole else merged(values, rows, columns, by)
    row, col = np.nonzero(~np.isnan(blocks))
    named = down.blocks(rows), across.blocks(columns)
    shown = blocks[row, col]
    prefix = "" if whole else many
    titles = tuple(
        f"{named[0][r]}, {named[1][c]}: {prefix}{say(v)}"
        for r, c, v in zip(row.tolist(), col.tolist(), shown.tolist(), strict=True)
    )
    y, x = column(rows), column(columns)
    rects = Rects("", "heat", x[col], x[col + 1], y[row], y[row + 1], titles, column(shown))
    if whole:
        return rects, ""
    how = "the largest value of" if by is np.fmax else "the sum of"
    size = f"{rows[1]} x {columns[1]}"
    return rects, f"Each cell shows {how} {size} ({down.nouns} x {across.nouns})."
