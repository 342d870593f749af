"""Number formats of weights: what one weight costs, exactly, and which rows a format can hold.

Bits per weight count everything stored beside the elements: scales, zero points, minima, and the
padding of a last block. A weight tensor is seen as rows, one for each channel, and blocks run along
a row; where a row is no multiple of the block, the last block is stored whole.

Sources: the OCP Microscaling specification 1.0 (mx), the OCP 8-bit floating point specification
(e4m3, e5m2), and the block structures of ggml (q and iq types).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from mapc.errors import InstanceError

CAST, INTEGER, FLOAT, PACKED = "cast", "integer", "float", "packed"
"""Kinds: a plain float; scaled integers; scaled floats; the block structures of a library."""
TENSOR, CHANNEL, BLOCK = "tensor", "channel", "block"
"""What shares a scale."""
SCALE_BITS = {"fp16": 16, "bf16": 16, "fp32": 32, "e8m0": 8, "e4m3": 8}
"""Formats of scales; ``e8m0`` is a power of two."""


@dataclass(frozen=True)
class Format:
    """A number format.

    Attributes
    ----------
    name : str
    kind : str
        ``CAST``, ``INTEGER``, ``FLOAT`` or ``PACKED``.
    bits : int
        Bits of one stored element; the nominal width of a packed format.
    exponent, mantissa : int
        Bits of a float's parts, without the sign.
    scope : str
        ``TENSOR``, ``CHANNEL`` or ``BLOCK``: what shares a scale; a cast has none.
    block : int
        Weights of a block, for scope ``BLOCK``.
    scale : str
        Format of a scale, a key of ``SCALE_BITS``.
    zero_bits : int
        Bits of what is stored beside each scale: as many as an element for an integer zero point,
        16 for a minimum in fp16, 0 for a symmetric format.
    tensor_bits : int
        Bits stored once for each tensor: 32 for the outer scale of a two-level format.
    packed_bits : int
        Bits of a whole block of a packed format, all included.
    align : int
        Rows must be a multiple of this; 1 where a last block may be padded.

    Raises
    ------
    InstanceError
        For values that describe no format.
    """

    name: str
    kind: str
    bits: int
    exponent: int = 0
    mantissa: int = 0
    scope: str = CHANNEL
    block: int = 0
    scale: str = "fp16"
    zero_bits: int = 0
    tensor_bits: int = 0
    packed_bits: int = 0
    align: int = 1

    def __post_init__(self) -> None:
        where = f"format {self.name!r}"
        for name, value, right in _rules(self):
            if value is not None:
                raise InstanceError(f"{name} {value!r}", where, right)

    @property
    def block_bits(self) -> int:
        """Bits of one whole block."""
        return self.packed_bits or self.block * self.bits + self._shared_bits

    @property
    def bits_per_weight(self) -> Fraction:
        """Exact bits per weight of whole blocks.

        What is stored once for each channel or tensor is left out here, its share depending on
        their size; `storage_bits` counts it.
        """
        return Fraction(self.block_bits, self.block) if self.block else Fraction(self.bits)

    @property
    def largest(self) -> float:
        """Largest finite value of one element before scaling."""
        if self.kind == INTEGER:
            return float(2 ** (self.bits - 1) - 1)
        if self.kind == PACKED:
            raise InstanceError("no element of its own", f"format {self.name!r}", "a float")
        return largest_float(self.exponent, self.mantissa)

    def fits(self, row: int) -> bool:
        """Whether rows of that many weights can be stored."""
        return row % self.align == 0

    @property
    def _shared_bits(self) -> int:
        return 0 if self.kind == CAST else SCALE_BITS[self.scale] + self.zero_bits


def largest_float(exponent: int, mantissa: int) -> float:
    """Return the largest finite value of a float with so many bits.

    From five exponent bits on the top exponent is kept for infinities, as IEEE has it; below, it
    holds numbers, and e4m3 gives up one code for NaN.
    """
    bias = 2 ** (exponent - 1) - 1
    if exponent >= 5:
        return float((2.0 - 2.0**-mantissa) * 2.0**bias)
    top = 2.0 - 2.0 ** (1 - mantissa) if (exponent, mantissa) == (4, 3) else 2.0 - 2.0**-mantissa
    return float(top * 2.0 ** (2**exponent - 1 - bias))


def _rules(f: Format) -> list[tuple[str, Any, str]]:
    """Return (field, offending value or None, what would be right)."""

    def unless(good: bool, value: Any) -> Any:
        return None if good else value

    blocked, real = f.scope == BLOCK, f.kind in (CAST, FLOAT)
    pair = (f.exponent, f.mantissa)
    return [
        ("name", unless(bool(_NAME.match(f.name)), f.name), "letters, digits, _ . -"),
        ("kind", unless(f.kind in (CAST, INTEGER, FLOAT, PACKED), f.kind), "integer or float"),
        ("bits", unless((2 if f.kind == INTEGER else 1) <= f.bits <= 32, f.bits), "2 to 32"),
        ("exponent", unless(not real or 2 <= f.exponent <= 8, f.exponent), "2 to 8 bits"),
        ("mantissa", unless(not real or 1 <= f.mantissa <= 23, f.mantissa), "1 to 23 bits"),
        (
            "exponent and mantissa",
            unless(not real or 1 + sum(pair) == f.bits, pair),
            f"{f.bits - 1} bits together, one being the sign",
        ),
        ("scope", unless(f.scope in (TENSOR, CHANNEL, BLOCK), f.scope), "tensor, channel or block"),
        ("block", unless((1 <= f.block <= 2**20) if blocked else f.block == 0, f.block), _BLOCK),
        ("scale", unless(f.scale in SCALE_BITS, f.scale), ", ".join(SCALE_BITS)),
        (
            "zero_bits",
            unless(f.zero_bits in ((0, 16, f.bits) if f.kind == INTEGER else (0,)), f.zero_bits),
            f"0, {f.bits} (integer zero point) or 16 (fp16 minimum)" if f.kind == INTEGER else "0",
        ),
        ("tensor_bits", unless(f.tensor_bits in (0, 32), f.tensor_bits), "0 or 32"),
        (
            "packed_bits",
            unless((f.packed_bits > 0) == (f.kind == PACKED), f.packed_bits),
            "bits of a block, for packed formats only",
        ),
        ("align", unless(1 <= f.align <= 2**20, f.align), "1 to 2**20 weights"),
    ]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_BLOCK = "weights of a block for scope 'block', else 0"


# -- the registry --------------------------------------------------------------------------------


def _integer(bits: int, block: int = 0, zero_bits: int = 0, suffix: str = "") -> Format:
    name = f"int{bits}" + (f"_g{block}" if block else "") + suffix
    scope = BLOCK if block else CHANNEL
    return Format(name, INTEGER, bits, scope=scope, block=block, zero_bits=zero_bits)


def _cast(name: str, exponent: int, mantissa: int) -> Format:
    return Format(name, CAST, 1 + exponent + mantissa, exponent, mantissa, scope=TENSOR)


def _mx(name: str, exponent: int, mantissa: int) -> Format:
    bits = 1 + exponent + mantissa
    return Format(name, FLOAT, bits, exponent, mantissa, scope=BLOCK, block=32, scale="e8m0")


def _fp8(name: str, exponent: int, mantissa: int, scope: str) -> Format:
    return Format(name, FLOAT, 8, exponent, mantissa, scope=scope, scale="fp32")


def _packed(name: str, bits: int, block: int, size: int) -> Format:
    return Format(name, PACKED, bits, scope=BLOCK, block=block, packed_bits=8 * size, align=block)


# name, nominal bits, weights of a block, its parts in bytes: d and dmin are fp16 scales
_GGML = [
    _packed("q4_0", 4, 32, 2 + 16),  # d, 32 x 4 bits
    _packed("q4_1", 4, 32, 2 + 2 + 16),  # d, minimum, 32 x 4 bits
    _packed("q5_0", 5, 32, 2 + 4 + 16),  # d, 32 x 1 high bit, 32 x 4 bits
    _packed("q5_1", 5, 32, 2 + 2 + 4 + 16),
    _packed("q8_0", 8, 32, 2 + 32),
    _packed("q2_k", 2, 256, 2 + 2 + 16 + 64),  # d, dmin, 16 x (4 + 4) bits, 256 x 2 bits
    _packed("q3_k", 3, 256, 2 + 12 + 32 + 64),  # d, 16 x 6 bits, 256 x 1, 256 x 2
    _packed("q4_k", 4, 256, 2 + 2 + 12 + 128),  # d, dmin, 8 x (6 + 6) bits, 256 x 4
    _packed("q5_k", 5, 256, 2 + 2 + 12 + 32 + 128),
    _packed("q6_k", 6, 256, 2 + 16 + 64 + 128),  # d, 16 x 8 bits, 256 x 2, 256 x 4
    _packed("iq1_s", 1, 256, 2 + 32 + 16),
    _packed("iq1_m", 1, 256, 32 + 16 + 8),
    _packed("iq2_xxs", 2, 256, 2 + 64),
    _packed("iq2_xs", 2, 256, 2 + 64 + 8),
    _packed("iq2_s", 2, 256, 2 + 64 + 16),
    _packed("iq3_xxs", 3, 256, 2 + 64 + 32),
    _packed("iq3_s", 3, 256, 2 + 64 + 8 + 32 + 4),
    _packed("iq4_nl", 4, 32, 2 + 16),
    _packed("iq4_xs", 4, 256, 2 + 2 + 4 + 128),  # d, 8 x 2 bits, 8 x 4 bits, 256 x 4
    _packed("tq1_0", 1, 256, 2 + 4 + 48),
    _packed("tq2_0", 2, 256, 2 + 64),
]

FORMATS: Mapping[str, Format] = {
    f.name: f
    for f in [
        *(_integer(bits) for bits in range(2, 9)),
        *(_integer(bits, block) for bits in range(2, 9) for block in (32, 64, 128)),
        _fp8("fp8_e4m3", 4, 3, CHANNEL),
        _fp8("fp8_e5m2", 5, 2, CHANNEL),
        _fp8("fp8_e4m3_tensor", 4, 3, TENSOR),
        _fp8("fp8_e5m2_tensor", 5, 2, TENSOR),
        Format("fp4_g16", FLOAT, 4, 2, 1, scope=BLOCK, block=16),
        Format("nvfp4", FLOAT, 4, 2, 1, scope=BLOCK, block=16, scale="e4m3", tensor_bits=32),
        _mx("mxfp4", 2, 1),
        _mx("mxfp6_e2m3", 2, 3),
        _mx("mxfp6_e3m2", 3, 2),
        _mx("mxfp8_e4m3", 4, 3),
        _mx("mxfp8_e5m2", 5, 2),
        _cast("fp16", 5, 10),
        _cast("bf16", 8, 7),
        _cast("fp32", 8, 23),
        *_GGML,
    ]
}
"""Formats by name; `format_named` also knows those of any group size."""

_ALIASES = {
    "fp8": "fp8_e4m3",
    "mxfp6": "mxfp6_e2m3",
    "mxfp8": "mxfp8_e4m3",
    "f16": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
    "f32": "fp32",
    "float32": "fp32",
}
_GROUPED = re.compile(r"(int|mlx)([2-8])_g([1-9]\d{0,5})(_asym)?\Z|fp4_g([1-9]\d{0,5})\Z")


def format_named(name: str, own: Mapping[str, Format] | None = None) -> Format:
    """Return a format by name, whatever the case.

    Beside `FORMATS` there are ``int4_g128`` (any width from 2 to 8 and any group; scale in fp16),
    ``int4_g128_asym`` (with an integer zero point), ``mlx4_g64`` (scale and minimum in 16 bits, as
    MLX stores them) and ``fp4_g32``; ``fp8``, ``mxfp6`` and ``mxfp8`` stand for the variant with
    the larger mantissa.

    Parameters
    ----------
    name : str
    own : mapping, optional
        Formats that come first, as from `formats_from`.

    Raises
    ------
    InstanceError
        For a name that stands for none.
    """
    if own and name in own:
        return own[name]
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key in FORMATS:
        return FORMATS[key]
    grouped = _GROUPED.match(key)
    if grouped is None or (grouped[1] == "mlx" and grouped[4]):
        near = difflib.get_close_matches(key, [*FORMATS, *_ALIASES, *(own or ())], n=3, cutoff=0.5)
        hint = f"e.g. {', '.join(near or ['int4', 'int8', 'fp8', 'nvfp4', 'bf16'])}"
        raise InstanceError("no such number format", f"format {name[:64]!r}", hint)
    if grouped[5]:
        return Format(key, FLOAT, 4, 2, 1, scope=BLOCK, block=int(grouped[5]))
    bits, block = int(grouped[2]), int(grouped[3])
    if grouped[1] == "mlx":
        return Format(key, INTEGER, bits, scope=BLOCK, block=block, zero_bits=16)
    asymmetric = bool(grouped[4])
    return _integer(bits, block, bits if asymmetric else 0, "_asym" if asymmetric else "")


def formats_from(document: Any, where: str) -> dict[str, Format]:
    """Return the formats that a parsed TOML or JSON document describes.

    The document holds a list ``formats``; each entry has the fields of `Format`, of which
    ``name``, ``kind`` and ``bits`` must be there.

    Raises
    ------
    InstanceError
        For an entry that describes no format, unknown fields, or a name given twice.
    """
    entries = document.get("formats") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise InstanceError("no formats in it", where, "a list 'formats' of tables")
    found: dict[str, Format] = {}
    for at, entry in enumerate(entries):
        place = f"{where}: formats[{at}]"
        if not isinstance(entry, Mapping):
            raise InstanceError(f"{entry!r}"[:60], place, "a table with name, kind and bits")
        try:
            new = Format(**_checked_fields(entry))
        except InstanceError as error:
            raise error.inside(place) from None
        if new.name in found:
            raise InstanceError(f"name {new.name!r} given twice", place, "unique names")
        found[new.name] = new
    return found


def _checked_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    types = {f.name: str if f.type == "str" else int for f in fields(Format)}
    for name, value in entry.items():
        if name not in types:
            raise InstanceError("no such field", repr(name)[:60], f"one of {', '.join(types)}")
        # bool is an int in Python, and never meant as one here
        if not isinstance(value, types[name]) or isinstance(value, bool):
            right = "text" if types[name] is str else "a whole number"
            raise InstanceError(f"{value!r}"[:60], f"field {name!r}", right)
    for name in ("name", "kind", "bits"):
        if name not in entry:
            raise InstanceError("missing", f"field {name!r}", "name, kind and bits")
    if entry["kind"] == PACKED or entry["kind"] == CAST:
        # neither has a scale of its own to describe
        return {"scope": BLOCK if entry["kind"] == PACKED else TENSOR, **entry}
    return dict(entry)


# -- storage -------------------------------------------------------------------------------------


def matrix_shape(shape: Sequence[int], axis: int | tuple[int, ...] | None) -> tuple[int, int]:
    """Return (channels, weights of a row) of a tensor.

    Parameters
    ----------
    shape : sequence of int
    axis : int, tuple of int or None
        Dimensions that count channels; None for one row.
    """
    chosen = channel_axes(len(shape), axis)
    channels = math.prod(shape[a] for a in chosen)
    total = math.prod(shape)
    return channels, total // channels if channels else 0


def channel_axes(rank: int, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the channel dimensions, counted from the front.

    Raises
    ------
    InstanceError
        For one that the tensor does not have, or twice the same.
    """
    wanted = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    found = tuple(a + rank if a < 0 else a for a in wanted)
    if len(set(found)) != len(found) or any(not 0 <= a < rank for a in found):
        raise InstanceError(f"channel axis {axis}", f"tensor of rank {rank}", f"within {rank} axes")
    return found


def storage_bits(format: Format, shape: Sequence[int], axis: int | tuple[int, ...] | None) -> int:
    """Return the bits that a tensor takes in a format, exactly.

    Parameters
    ----------
    format : Format
    shape : sequence of int
    axis : int, tuple of int or None
        Dimensions that count channels; see `matrix_shape`.

    Returns
    -------
    int
        Elements, scales, zero points, minima and the padding of last blocks.

    Raises
    ------
    InstanceError
        If the format does not take rows of that length.
    """
    channels, row = matrix_shape(shape, axis)
    if channels * row == 0:
        return 0
    if not format.fits(row):
        right = f"rows that are a multiple of {format.align}"
        raise InstanceError(f"rows of {row} weights", f"format {format.name!r}", right)
    if format.scope == BLOCK:
        return channels * -(-row // format.block) * format.block_bits + format.tensor_bits
    scales = channels if format.scope == CHANNEL else 1
    return channels * row * format.bits + scales * format._shared_bits + format.tensor_bits
