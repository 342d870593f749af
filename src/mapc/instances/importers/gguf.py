"""GGUF files: metadata and tensors, as little of them as is needed.

Layout by the GGUF specification of ggml, versions 2 and 3, little endian: magic, version, counts,
key-value pairs, tensor descriptions, then tensor data at an alignment. The file is mapped, not
read: only what is asked for is touched.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.files import display_name

MAGIC = b"GGUF"
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_FLOATS: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    28: np.dtype("<f8"),
    30: np.dtype("<u2"),
}
_BF16 = 30
_LIMIT = 2**24
"""Most entries and tensors believed; a larger number is a sign of garbage."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file; ``shape`` is in numpy's order, rows first."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def is_float(self) -> bool:
        """Whether it holds plain floats."""
        return self.type in _FLOATS


class GgufFile:
    """A GGUF file.

    Attributes
    ----------
    metadata : dict
        Values by key; arrays are lists.
    tensors : dict
        `Tensor` by name, in the order of the file.

    Raises
    ------
    InstanceError
        For what is no GGUF file of a known version, or one that ends too early.
    """

    def __init__(self, path: str | Path) -> None:
        self.where = display_name(path)
        try:
            self._data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "empty file"
            raise InstanceError(f"cannot be read: {reason}", self.where) from None
        self._at = 0
        try:
            self._read_header()
        except InstanceError as error:
            raise error.inside(self.where) from None

    def array(self, name: str) -> NDArray[Any]:
        """Return a tensor of floats; bf16 as float32.

        Raises
        ------
        InstanceError
            For a tensor that is not there, is quantized already, or reaches beyond the file.
        """
        where = f"{self.where}: tensor {name!r}"
        tensor = self.tensors.get(name)
        if tensor is None:
            raise InstanceError("no such tensor", where, "a tensor of the file")
        if not tensor.is_float:
            raise InstanceError(f"type {tensor.type}, quantized", where, "F32, F16, BF16 or F64")
        dtype = _FLOATS[tensor.type]
        begin = self._base + tensor.offset
        size = math.prod(tensor.shape) * dtype.itemsize
        if begin + size > len(self._data):
            raise InstanceError("reaches beyond the end", where, "a whole file")
        # copied: an odd alignment would leave the data unaligned
        raw = self._data[begin : begin + size].tobytes()
        values: NDArray[Any] = np.frombuffer(raw, dtype).reshape(tensor.shape)
        if tensor.type == _BF16:
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values

    # -- reading -----------------------------------------------------------------------------

    def _read_header(self) -> None:
        if bytes(self._data[:4]) != MAGIC:
            raise InstanceError("does not begin with GGUF", "magic", "a GGUF file")
        self._at = 4
        version = self._scalar("I")
        if version not in (2, 3):
            raise InstanceError(f"version {version}", "header", "2 or 3, little endian")
        tensors, entries = self._scalar("Q"), self._scalar("Q")
        if max(tensors, entries) > _LIMIT:
            raise InstanceError(f"{max(tensors, entries)} entries", "header", "a GGUF file")
        self.metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._string()
            self.metadata[key] = self._value(self._scalar("I"), key)
        found = [self._tensor() for _ in range(tensors)]
        self.tensors: Mapping[str, Tensor] = {tensor.name: tensor for tensor in found}
        if len(self.tensors) < len(found):
            raise InstanceError("a tensor name is used twice", "tensors", "unique names")
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20:
            raise InstanceError(f"{alignment!r}"[:60], "general.alignment", "1 to 2**20")
        self._base = -(-self._at // alignment) * alignment

    def _bytes(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise InstanceError("the file ends too early", f"byte {self._at}", "a whole file")
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def _scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self._bytes(struct.calcsize("<" + code)))[0]

    def _string(self) -> str:
        return self._bytes(self._scalar("Q")).decode("utf-8", errors="replace")

    def _value(self, kind: int, key: str, nested: bool = False) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY or nested:
            raise InstanceError(f"value type {kind}", f"key {key!r}"[:80], "a type of GGUF")
        inner, count = self._scalar("I"), self._scalar("Q")
        if inner in _SCALARS:
            code = _SCALARS[inner]
            if count > len(self._data):
                raise InstanceError("the file ends too early", f"key {key!r}"[:80], "a whole file")
            return list(
                struct.unpack(f"<{count}{code}", self._bytes(count * struct.calcsize(code)))
            )
        # each string takes eight bytes at least
        if count * 8 > len(self._data):
            raise InstanceError("the file ends too early", f"key {key!r}"[:80], "a whole file")
        return [self._value(inner, key, nested=True) for _ in range(count)]

    def _tensor(self) -> Tensor:
        name = self._string()
        rank = self._scalar("I")
        if rank > 8:
            raise InstanceError(f"{rank} dimensions", f"tensor {name!r}"[:80], "at most 8")
        shape = tuple(self._scalar("Q") for _ in range(rank))[::-1]
        return Tensor(name, shape, self._scalar("I"), self._scalar("Q"))
