"""Numbers in words, and the ticks of an axis; alike in reports and figures for papers."""

from __future__ import annotations

import math
from typing import Any

from mapc.units import format_bytes
from mapc.visual.figure import Axis

_BYTE_STEPS = 1024.0


def words(value: Any, unit: str = "") -> str:
    """Return a value in words.

    Parameters
    ----------
    value : number, str or None
        None and NaN are a dash, text stays.
    unit : str
        One of `mapc.visual.figure.UNITS`.

    >>> words(1605632, "bytes"), words(0.0312, "share"), words(12345), words(2911.9, "ms")
    ('1,568 KiB', '3.12 %', '12,345', '2,911.9 ms')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        number = math.inf if value > 0 else -math.inf
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    if unit == "bytes":
        return format_bytes(value)
    if unit == "share":
        return f"{100 * number:.4g} %"
    if unit in ("ms", "s"):
        return f"{plain(number)} {unit}"
    return plain(value)


def plain(value: float) -> str:
    """Return a number: whole ones in full, others in five digits, at least one after the point.

    >>> plain(12345.0), plain(2911.94), plain(0.00012346), plain(3.5e-9)
    ('12,345', '2,911.9', '0.00012346', '3.5e-09')
    """
    if float(value) == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10_000:
        return f"{value:,.1f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,.5g}"


def sentences(*parts: str) -> str:
    """Return sentences one after another, without the empty ones."""
    return " ".join(part for part in parts if part)


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "reload"), counted(1200, "reload"), counted(2, "residency", "residencies")
    ('1 reload', '1,200 reloads', '2 residencies')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def between(low: float, high: float, unit: str = "") -> str:
    """Return a range in words: one value where both ends read alike.

    >>> between(0.5, 0.75, "share"), between(3, 3, "ms")
    ('50 % to 75 %', '3 ms')
    """
    first, last = words(low, unit), words(high, unit)
    return first if first == last else f"{first} to {last}"


def ticks(axis: Axis, most: int = 6) -> list[tuple[float, str]]:
    """Return positions within the domain of an axis, and what stands beside them.

    Categories are named at their middle, at most about ``most`` of them, evenly chosen. Bytes have
    ticks at round binary sizes, logarithmic axes at powers of ten.
    """
    if axis.names:
        stride = -(-len(axis.names) // max(1, most))
        return [(i + 0.5, axis.names[i]) for i in range(0, len(axis.names), stride)]
    if axis.log:
        return _powers(axis, most)
    span = axis.high - axis.low
    if not span > 0 or not math.isfinite(span):
        return [(axis.low, words(axis.low, axis.unit))]
    step = _round_step(span / most, axis.unit)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    places = [i * step for i in range(first, last + 1)]
    return list(zip(places, _told_apart(places, axis.unit), strict=True))


def _told_apart(places: list[float], unit: str) -> list[str]:
    """Return ticks in words, with as many digits as it takes for no two to be the same."""
    names = [words(_snap(place), unit) for place in places]
    if unit == "bytes" or len(set(names)) == len(names):
        return names
    share = unit == "share"
    after = {"share": " %", "ms": " ms", "s": " s"}.get(unit, "")
    for digits in range(6, 16):
        names = [f"{place * (100 if share else 1):,.{digits}g}{after}" for place in places]
        if len(set(names)) == len(names):
            break
    return names


def _snap(value: float) -> float:
    """Return a tick without the dust of its multiplication."""
    return float(f"{value:.12g}")


def _round_step(least: float, unit: str) -> float:
    """Return the least round step that is not below ``least``: 1, 2 or 5 of some power."""
    if unit == "bytes" and least > 1:
        block = _BYTE_STEPS ** math.floor(math.log(least, _BYTE_STEPS) + 1e-9)
        for twos in range(11):
            if 2**twos * block >= least * (1 - 1e-9):
                return float(2**twos * block)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return max(1.0, step) if unit == "count" else step


def _powers(axis: Axis, most: int) -> list[tuple[float, str]]:
    low, high = math.log10(axis.low), math.log10(axis.high)
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last < first:  # less than a decade, and no power in it
        return [(end, words(_snap(end), axis.unit)) for end in (axis.low, axis.high)]
    step = max(1, -(-(last - first + 1) // most))
    return [(10.0**p, words(10.0**p, axis.unit)) for p in range(first, last + 1, step)]
