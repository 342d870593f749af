"""The pieces a program is made of: blocks of columns, blocks of rows, and the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Block:
    """A range of columns, seen as an array of the given shape.

    ``block[i, j]`` and slices give column numbers; ``block.columns`` all of them.
    """

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of columns."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def columns(self) -> IntArray:
        """int64[shape]: column numbers."""
        return np.arange(self.start, self.start + self.size, dtype=np.int64).reshape(self.shape)

    def __getitem__(self, key: Any) -> IntArray:
        return np.asarray(self.columns[key], dtype=np.int64)

    def __len__(self) -> int:
        return self.shape[0]

    def of(self, values: FloatArray) -> FloatArray:
        """Return this block's part of a solution's values, in the block's shape."""
        return values[self.start : self.start + self.size].reshape(self.shape)


@dataclass(frozen=True, eq=False)
class RowBlock:
    """A range of rows with a common name; ``labels`` say what each row is about."""

    name: str
    start: int
    size: int
    labels: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Matrix:
    """The linear part of a program as arrays.

    Attributes
    ----------
    cost, lower, upper : float64[n_columns]
    integer : bool[n_columns]
    offset : float
    indptr : int64[n_rows + 1]
    indices : int32[nnz]
    coefficients : float64[nnz]
    row_lower, row_upper : float64[n_rows]
    """

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray
    offset: float
    indptr: IntArray
    indices: NDArray[np.int32]
    coefficients: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.cost)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.row_lower)

    @property
    def nnz(self) -> int:
        """Number of stored coefficients."""
        return len(self.coefficients)

    def activity(self, values: FloatArray) -> FloatArray:
        """float64[n_rows]: ``A @ values``."""
        if self.nnz == 0:
            return np.zeros(self.n_rows)
        products = np.append(self.coefficients * values[self.indices], 0.0)
        # reduceat gives the element itself for an empty row: mask those
        sums = np.add.reduceat(products, np.minimum(self.indptr[:-1], self.nnz))
        return np.where(np.diff(self.indptr) > 0, sums, 0.0)
