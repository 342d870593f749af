"""Byte sizes as people write them.

Binary units only mean powers of 1024 (``KiB``); ``KB``, ``MB`` and ``GB`` are powers of 1000, as
SI has it. Arithmetic is exact: ``1.5KiB`` is 1536 bytes, ``0.3B`` is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mapc.errors import UsageError

MAX_BYTES = 2**50
"""Largest single size accepted (1 PiB): sums of thousands stay exact in float64 and int64."""

_FACTORS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _FACTORS[f"{_letter}ib"] = 1024**_power
    _FACTORS[f"{_letter}b"] = 1000**_power

PER_BYTE = {"bits": 8, "bit": 8, "bytes": 1, "byte": 1}
"""Units of resources that are sizes, with how many of them make a byte."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*\Z", re.ASCII)


def parse_bytes(text: str | int, names: Sequence[str] = ()) -> int:
    """Return the number of bytes a text such as ``"1568KiB"`` or ``"4096"`` stands for.

    ``names`` are what else the caller would have taken; a complaint lists them.

    Raises
    ------
    UsageError
        If the text is no size, not a whole number of bytes, or above ``MAX_BYTES``.
    """
    if isinstance(text, int):
        value = Fraction(text)
    else:
        match = _SIZE.match(text)
        factor = _FACTORS.get(match[2].lower()) if match else None
        if match is None or factor is None or len(text) > 40:
            also = f", {', '.join(names)}" if names else ""
            raise UsageError(
                f"size {text[:40]!r}: not a size; expected e.g. 4096, 64KiB or 1.5MiB{also}"
            )
        value = Fraction(match[1]) * factor
    if value.denominator != 1:
        raise UsageError(f"size {text!r}: not a whole number of bytes")
    if not 0 <= value <= MAX_BYTES:
        raise UsageError(f"size {text!r}: outside 0 to {MAX_BYTES} bytes (1 PiB)")
    return int(value)


def format_bytes(value: float) -> str:
    """Return a size in the largest binary unit that keeps it at or above one.

    Whole numbers stay whole (``"392 KiB"``), others get three decimals at most.
    """
    sign, size = ("-", -value) if value < 0 else ("", value)
    unit, factor = "B", 1
    for name, power in (("KiB", 1), ("MiB", 2), ("GiB", 3), ("TiB", 4)):
        # KiB up to 100 MiB: planners compare capacities and traffic in KiB
        if size >= (100 if power == 2 else 1) * 1024**power:
            unit, factor = name, 1024**power
    number = f"{size / factor:,.3f}".rstrip("0").rstrip(".")
    return f"{sign}{number} {unit}"


def quantity(value: float, unit: str) -> str:
    """Return an amount of a resource with its unit, sizes in bytes.

    >>> quantity(8 * 2048, "bits")
    '2 KiB'
    >>> quantity(1234, "us")
    '1,234 us'
    """
    if unit in PER_BYTE:
        return format_bytes(value / PER_BYTE[unit])
    return f"{value:,} {unit}".rstrip()


def share(used: int, budget: int) -> str:
    """Return what part of a budget above 0 is used, rounded down: 100 % only where all of it is.

    >>> share(99_999, 100_000)
    '99.99 %'
    """
    hundredths = 10_000 * used // budget
    return f"{hundredths // 100}.{hundredths % 100:02d} %"
