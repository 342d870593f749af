"""Squared quantization errors of weight arrays, a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapc.errors import InstanceError
from mapc.graph.formats import Format
from mapc.graph.rounding import as_rows, round_rows

FloatArray = NDArray[np.float64]
CHUNK = 2**16
"""Weights rounded at once: 512 KiB as float64, so that the temporaries stay in the cache."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one tensor.

    Attributes
    ----------
    squared : float64[f]
        ``sum(h * (Q(w) - w)**2)`` for each format; ``h`` is 1 without importance.
    norm : float
        ``sum(h * w**2)``.
    count : int
        Number of weights.
    """

    squared: FloatArray
    norm: float
    count: int

    @property
    def relative(self) -> FloatArray:
        """float64[f]: squared errors over the squared norm; 0 where all weights are."""
        return self.squared / self.norm if self.norm > 0 else np.zeros_like(self.squared)

    @property
    def mean(self) -> FloatArray:
        """float64[f]: mean squared errors."""
        return self.squared / max(self.count, 1)


def weight_errors(
    weights: NDArray[np.floating],
    formats: Sequence[Format],
    axis: int | tuple[int, ...] | None = 0,
    importance: ArrayLike | None = None,
    chunk: int = CHUNK,
) -> Errors:
    """Return what each format loses of a tensor.

    Parameters
    ----------
    weights : float array, any shape
    formats : sequence of Format, f long
    axis : int, tuple of int or None
        Dimensions that count channels; see `mapc.graph.formats.matrix_shape`.
    importance : float array [k, row], optional
        Weight of every column, >= 0; each of the ``k`` rows holds for ``channels / k`` channels in
        a run: one row for a matrix, one for each expert of a stack.
    chunk : int
        Weights rounded at once; whole rows, one at least. Does not change the result beyond the
        order of a floating-point sum.

    Raises
    ------
    InstanceError
        For weights or importance that are not finite or too large to be squared, importance of
        another shape, and formats that do not take such rows.
    """
    # what is not finite is refused by name
    with np.errstate(over="ignore", invalid="ignore"):
        found = _measured(as_rows(np.asarray(weights), axis), formats, importance, chunk)
    if not (np.isfinite(found.norm) and np.isfinite(found.squared).all()):
        raise InstanceError("squares too large for a float", "weights", "weights within 1e150")
    return found


def _measured(
    rows: NDArray[np.floating],
    formats: Sequence[Format],
    importance: ArrayLike | None,
    chunk: int,
) -> Errors:
    channels, row = rows.shape
    matter = _importance(importance, channels, row)
    squared, norm, peak = np.zeros(len(formats)), 0.0, 0.0
    step = max(1, chunk // max(row, 1))
    for at in range(0, channels, step):
        top = float(np.abs(rows[at : at + step]).max(initial=0.0))
        if not np.isfinite(top):
            raise InstanceError("a value that is not finite", "weights", "finite weights")
        peak = max(peak, top)
    for at in range(0, channels, step):
        part = rows[at : at + step].astype(np.float64)
        h = (
            None
            if matter is None
            else matter[np.arange(at, at + len(part)) * len(matter) // channels]
        )
        norm += _weighted(part, h)
        for f, format in enumerate(formats):
            squared[f] += _weighted(round_rows(part, format, peak) - part, h)
    return Errors(squared, norm, channels * row)


def _weighted(values: FloatArray, h: FloatArray | None) -> float:
    if h is None:
        return float(np.vdot(values, values))
    return float(np.einsum("cr,cr,cr->", h, values, values))


def _importance(importance: ArrayLike | None, channels: int, row: int) -> FloatArray | None:
    if importance is None:
        return None
    matter = np.atleast_2d(np.asarray(importance, dtype=np.float64))
    fits = matter.ndim == 2 and matter.shape[1] == row and len(matter) > 0
    if not fits or channels % len(matter):
        raise InstanceError(
            f"shape {matter.shape}", "importance", f"[k, {row}] with k dividing {channels}"
        )
    if not (np.isfinite(matter).all() and (matter >= 0).all()):
        raise InstanceError("a value that is negative or not finite", "importance", ">= 0")
    return matter
