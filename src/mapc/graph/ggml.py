"""Quantise and dequantise the block structures of ggml.

The plain types (q4_0 to q8_0, iq4_nl) follow the reference encoder. Encoders of the k-quants search
for the best scales; here each sub-block takes the scale that just covers it, so that the error is
an upper estimate of what the library reaches, of the right order between the types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float64
)
"""Levels of the iq4 types."""


def _half(values: FloatArray) -> FloatArray:
    """Round to fp16, saturating."""
    return np.clip(values, -65504.0, 65504.0).astype(np.float16).astype(np.float64)


def _divide(values: FloatArray, by: FloatArray) -> FloatArray:
    """Divide; where the scale is 0, any finite result will do: it is multiplied by 0 again."""
    return values / np.where(by != 0, by, 1.0)


def _extreme(blocks: FloatArray) -> FloatArray:
    """Return the value of largest magnitude of every block, with its sign."""
    at = np.abs(blocks).argmax(axis=-1)[..., None]
    return np.take_along_axis(blocks, at, axis=-1)


def _plain_symmetric(blocks: FloatArray, bits: int) -> FloatArray:
    """q4_0, q5_0: the extreme value becomes the lowest code."""
    half = 2.0 ** (bits - 1)
    scale = _extreme(blocks) / -half
    codes = np.clip(np.floor(_divide(blocks, scale) + half + 0.5), 0.0, 2.0 * half - 1.0)
    return (codes - half) * _half(scale)


def _plain_affine(blocks: FloatArray, bits: int) -> FloatArray:
    """q4_1, q5_1: steps above the minimum."""
    levels = 2.0**bits - 1.0
    low = blocks.min(axis=-1, keepdims=True)
    scale = (blocks.max(axis=-1, keepdims=True) - low) / levels
    codes = np.clip(np.floor(_divide(blocks - low, scale) + 0.5), 0.0, levels)
    return codes * _half(scale) + _half(low)


def _q8_0(blocks: FloatArray) -> FloatArray:
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / 127.0
    units = _divide(blocks, scale)
    # the reference rounds halves away from zero
    return np.trunc(units + np.copysign(0.5, units)) * _half(scale)


def _k_affine(blocks: FloatArray, sub: int, bits: int, scale_bits: int) -> FloatArray:
    """q2_k, q4_k, q5_k: scale and minimum of a sub-block are integers times fp16 of the block."""
    x = blocks.reshape(len(blocks), -1, sub)
    levels, steps = 2.0**bits - 1.0, 2.0**scale_bits - 1.0
    low = np.minimum(x.min(axis=-1), 0.0)
    scale = np.maximum(x.max(axis=-1) - low, 0.0) / levels
    scale = _in_steps(scale, steps)[..., None]
    low = -_in_steps(-low, steps)[..., None]
    codes = np.clip(np.rint(_divide(x - low, scale)), 0.0, levels)
    return (codes * scale + low).reshape(blocks.shape)


def _in_steps(values: FloatArray, steps: float) -> FloatArray:
    """Return values >= 0 as integers up to ``steps`` times one fp16 number for each row."""
    unit = _half(values.max(axis=-1, keepdims=True) / steps)
    return np.clip(np.rint(_divide(values, unit)), 0.0, steps) * unit


def _signed_scales(extremes: FloatArray, lowest: float, steps: float) -> FloatArray:
    """Return the scale of each sub-block as an integer ``-steps .. steps - 1`` times fp16."""
    scales = extremes / lowest
    unit = _half(_extreme(scales) / -steps)
    return np.clip(np.rint(_divide(scales, unit)), -steps, steps - 1.0) * unit


def _k_symmetric(blocks: FloatArray, bits: int, steps: float) -> FloatArray:
    """q3_k, q6_k: sub-blocks of 16 with a signed integer scale."""
    x = blocks.reshape(len(blocks), -1, 16)
    half = 2.0 ** (bits - 1)
    scale = _signed_scales(_extreme(x)[..., 0], -half, steps)[..., None]
    codes = np.clip(np.rint(_divide(x, scale)), -half, half - 1.0)
    return (codes * scale).reshape(blocks.shape)


def _nearest_level(units: FloatArray) -> FloatArray:
    middles = (IQ4_VALUES[1:] + IQ4_VALUES[:-1]) / 2.0
    return IQ4_VALUES[np.searchsorted(middles, units)]


def _iq4_nl(blocks: FloatArray) -> FloatArray:
    scale = _half(_extreme(blocks) / IQ4_VALUES[0])
    return np.asarray(_nearest_level(_divide(blocks, scale)) * scale)


def _iq4_xs(blocks: FloatArray) -> FloatArray:
    x = blocks.reshape(len(blocks), -1, 32)
    scale = _signed_scales(_extreme(x)[..., 0], IQ4_VALUES[0], 32.0)[..., None]
    return (_nearest_level(_divide(x, scale)) * scale).reshape(blocks.shape)


ENCODERS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "q4_0": partial(_plain_symmetric, bits=4),
    "q5_0": partial(_plain_symmetric, bits=5),
    "q4_1": partial(_plain_affine, bits=4),
    "q5_1": partial(_plain_affine, bits=5),
    "q8_0": _q8_0,
    "q2_k": partial(_k_affine, sub=16, bits=2, scale_bits=4),
    "q4_k": partial(_k_affine, sub=32, bits=4, scale_bits=6),
    "q5_k": partial(_k_affine, sub=32, bits=5, scale_bits=6),
    "q3_k": partial(_k_symmetric, bits=3, steps=32.0),
    "q6_k": partial(_k_symmetric, bits=6, steps=128.0),
    "iq4_nl": _iq4_nl,
    "iq4_xs": _iq4_xs,
}
"""``encoder(blocks[n, block]) -> blocks``: what the library would read back."""
