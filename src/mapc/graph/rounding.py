"""What is left of a weight after a number format: quantise and dequantise, exactly as stored.

All rounding is to nearest, ties to even, and saturates; scales are rounded to their own format
first, so that a value on the grid of a format comes back unchanged. Source of the formulas: the OCP
Microscaling specification 1.0, section 6.3, for shared powers of two; absolute maximum over largest
element for every other scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapc.errors import InstanceError
from mapc.graph import ggml
from mapc.graph.formats import (
    BLOCK,
    CAST,
    INTEGER,
    PACKED,
    TENSOR,
    Format,
    channel_axes,
    largest_float,
)

FloatArray = NDArray[np.float64]


def quantise(
    weights: ArrayLike, format: Format, axis: int | tuple[int, ...] | None = 0
) -> FloatArray:
    """Return the weights as a runtime would see them after storing them in a format.

    Parameters
    ----------
    weights : float array, any shape
        Finite.
    format : Format
    axis : int, tuple of int or None
        Dimensions that count channels; blocks run along the others, in their order.

    Returns
    -------
    float64 array of the same shape

    Raises
    ------
    InstanceError
        If the format has no encoder here, or does not take rows of that length.
    """
    array = np.asarray(weights)
    rows = as_rows(array, axis)
    axes = channel_axes(array.ndim, axis)
    peak = float(np.abs(rows).max(initial=0.0))
    result = round_rows(rows.astype(np.float64), format, peak)
    order = (*axes, *(a for a in range(array.ndim) if a not in axes))
    moved = result.reshape([array.shape[a] for a in order])
    return np.ascontiguousarray(moved.transpose(np.argsort(order))) if order else moved


def as_rows(array: NDArray[np.floating], axis: int | tuple[int, ...] | None) -> NDArray:  # type: ignore[type-arg]
    """Return an array as a matrix [channels, weights of a row]; a view where it can be."""
    axes = channel_axes(array.ndim, axis)
    order = (*axes, *(a for a in range(array.ndim) if a not in axes))
    channels = int(np.prod([array.shape[a] for a in axes], dtype=np.int64))
    row = array.size // channels if channels else 0
    return array.transpose(order).reshape(channels, row)


def can_round(format: Format) -> bool:
    """Whether `quantise` knows the format; some packed formats are known by their size only."""
    return format.kind != PACKED or format.name in ggml.ENCODERS


def round_rows(rows: FloatArray, format: Format, peak: float) -> FloatArray:
    """Round a matrix, each row a channel.

    Parameters
    ----------
    rows : float64[channels, row]
    format : Format
    peak : float
        Largest absolute value of the whole tensor, of which ``rows`` may be a part.

    Raises
    ------
    InstanceError
        If the format has no encoder here, or does not take rows of that length.
    """
    if not can_round(format):
        raise InstanceError("no encoder for it", f"format {format.name!r}", "losses from a table")
    channels, row = rows.shape
    if not format.fits(row):
        right = f"rows that are a multiple of {format.align}"
        raise InstanceError(f"rows of {row} weights", f"format {format.name!r}", right)
    if rows.size == 0:
        return rows.copy()
    if format.kind == CAST:
        return round_float(rows, format.exponent, format.mantissa)
    if format.scope != BLOCK:
        return _scaled(rows, format, peak)
    # the last value again: it changes no extreme of its block
    padding = -row % format.block
    padded = np.pad(rows, ((0, 0), (0, padding)), mode="edge") if padding else rows
    blocks = padded.reshape(-1, format.block)
    if format.kind == PACKED:
        return ggml.ENCODERS[format.name](blocks).reshape(channels, row)
    return _scaled(blocks, format, peak).reshape(channels, -1)[:, :row]


def round_float(values: FloatArray, exponent: int, mantissa: int) -> FloatArray:
    """Round to a float with so many exponent and mantissa bits, subnormals included."""
    # the exponent bits of a double alone are the power of two below it
    power = (np.ascontiguousarray(values).view(np.int64) & 0x7FF0000000000000).view(np.float64)
    step = np.maximum(power, 2.0 ** (2 - 2 ** (exponent - 1))) * 2.0**-mantissa
    rounded = np.rint(values / step) * step
    largest = largest_float(exponent, mantissa)
    return np.asarray(np.clip(rounded, -largest, largest))


def _scaled(blocks: FloatArray, format: Format, peak: float) -> FloatArray:
    if format.zero_bits:
        return _affine(blocks, format)
    if format.scope == TENSOR:
        top = np.full((1, 1), peak)
    else:
        top = np.abs(blocks).max(axis=1, keepdims=True)
    scale = _scales(top, format, peak)
    units = _over(blocks, scale)
    if format.kind == INTEGER:
        return np.clip(np.rint(units), -format.largest, format.largest) * scale
    return round_float(units, format.exponent, format.mantissa) * scale


def _scales(top: FloatArray, format: Format, peak: float) -> FloatArray:
    """Return the scales of blocks by their largest absolute values, as they are stored."""
    if format.scale == "e8m0":
        # the power of two of the block's maximum over that of the largest element
        shared = np.frexp(top)[1] - np.frexp(format.largest)[1]
        return np.where(top > 0, np.ldexp(1.0, np.clip(shared, -127, 127)), 0.0)
    outer = 1.0
    if format.tensor_bits and peak > 0:
        largest = 448.0 if format.scale == "e4m3" else 1.0
        outer = float(np.float32(peak / (format.largest * largest))) or 1.0
    return outer * _STORED[format.scale](top / format.largest / outer)


_STORED: dict[str, Callable[[FloatArray], FloatArray]] = {
    "fp16": lambda x: round_float(x, 5, 10),
    "bf16": lambda x: round_float(x, 8, 7),
    "fp32": lambda x: round_float(x, 8, 23),
    "e4m3": lambda x: round_float(x, 4, 3),
}


def _affine(blocks: FloatArray, format: Format) -> FloatArray:
    """Round to ``0 .. 2**bits - 1`` steps above a minimum or around an integer zero point."""
    stored, levels = _STORED[format.scale], 2.0**format.bits - 1.0
    low, high = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
    whole = format.zero_bits == format.bits
    if whole:
        # zero must have a code of its own
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    scale = stored((high - low) / levels)
    if whole:
        zero = np.rint(_over(-low, scale))
        low = -np.clip(zero, 0.0, levels) * scale
    else:
        low = _STORED["fp16"](low)
    units = np.clip(np.rint(_over(blocks - low, scale)), 0.0, levels)
    return np.asarray(units * scale + low)


def _over(values: FloatArray, scale: FloatArray) -> FloatArray:
    """Divide; where the scale is 0, any finite result will do: it is multiplied by 0 again."""
    return values / np.where(scale > 0, scale, 1.0)
