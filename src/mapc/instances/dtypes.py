"""Widths of number formats, by the names people and exporters use."""

from __future__ import annotations

from mapc.errors import UsageError

BITS: dict[str, int] = {
    "int4": 4,
    "uint4": 4,
    "fp4": 4,
    "int8": 8,
    "uint8": 8,
    "fp8": 8,
    "int16": 16,
    "uint16": 16,
    "fp16": 16,
    "float16": 16,
    "bf16": 16,
    "bfloat16": 16,
    "int32": 32,
    "uint32": 32,
    "fp32": 32,
    "float32": 32,
    "fp64": 64,
    "float64": 64,
}
"""Bits per element."""


def bits_of(dtype: str) -> int:
    """Return the bits per element of a number format.

    Raises
    ------
    UsageError
        For a name that stands for none.
    """
    bits = BITS.get(dtype.lower()) if isinstance(dtype, str) else None
    if bits is None:
        raise UsageError(f"dtype {dtype!r}: no such format; expected one of {', '.join(BITS)}")
    return bits
