"""Safetensors files: a JSON header with the place of every tensor, then the bytes.

Layout by the safetensors specification: eight bytes of header length, the header, the data. Files
are mapped, not read. An index (``model.safetensors.index.json``) stands for the files it names.
"""

from __future__ import annotations

import fnmatch
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.instances import schema

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"}
_MAX_HEADER = 10**8


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]


def float_tensors(path: str | Path) -> Iterator[Tensor]:
    """Yield the floating-point tensors of a file or an index, in the order of the header.

    Raises
    ------
    InstanceError
        For a file that breaks the rules of the format.
    """
    if Path(path).suffix.lower() != ".json":
        yield from _tensors_of_file(Path(path), _FLOATS)
        return
    where = display_name(path)
    index = schema.decode(read_bytes(path, MAX_TEXT_BYTES), dict[str, Any], where)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
        raise InstanceError("no weight_map", where, "an index of safetensors files")
    for shard in dict.fromkeys(shards.values()):
        if Path(shard).name != shard or shard in ("", ".", ".."):
            raise InstanceError(f"file {shard[:60]!r}", f"{where}: weight_map", "names of files")
        yield from _tensors_of_file(Path(path).parent / shard, _FLOATS)


def integer_tensors(path: str | Path) -> Iterator[Tensor]:
    """Yield the integer tensors of a file, in the order of the header.

    Raises
    ------
    InstanceError
        For a file that breaks the rules of the format.
    """
    yield from _tensors_of_file(Path(path), _INTEGERS)


def _tensors_of_file(path: Path, kinds: Mapping[str, str]) -> Iterator[Tensor]:
    where = display_name(path)
    try:
        data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "empty file"
        raise InstanceError(f"cannot be read: {reason}", where) from None
    if len(data) < 8 or not 2 <= (size := struct.unpack("<Q", bytes(data[:8]))[0]) <= _MAX_HEADER:
        raise InstanceError("no header", where, "a safetensors file")
    if 8 + size > len(data):
        raise InstanceError("the file ends inside its header", where, "a whole file")
    header = schema.decode(bytes(data[8 : 8 + size]), dict[str, msgspec.Raw], f"{where}: header")
    body = data[8 + size :]
    for name, raw in header.items():
        if name == "__metadata__":
            continue
        place = f"{where}: tensor {name[:60]!r}"
        entry = schema.decode(bytes(raw), _Entry, place)
        if entry.dtype in kinds:
            load = _loader(body, entry, np.dtype(kinds[entry.dtype]), place)
            yield Tensor(name, tuple(entry.shape), load)


def _loader(
    body: NDArray[np.uint8], entry: _Entry, dtype: np.dtype[Any], place: str
) -> Callable[[], NDArray[Any]]:
    begin, end = entry.data_offsets
    if min(entry.shape, default=0) < 0 or not 0 <= begin <= end <= len(body):
        raise InstanceError(f"bytes {begin} to {end}", place, f"within the {len(body)} of the file")
    if math.prod(entry.shape) * dtype.itemsize != end - begin:
        raise InstanceError(f"{end - begin} bytes", place, f"what shape {entry.shape} takes")

    def load() -> NDArray[Any]:
        # copied where the header leaves the data unaligned
        values = np.frombuffer(body[begin:end].tobytes(), dtype).reshape(entry.shape)
        if entry.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values

    return load


def selected(name: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    """Whether a name matches one of ``only`` (any where empty) and none of ``skip``, as globs."""
    wanted = not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only)
    return wanted and not any(fnmatch.fnmatchcase(name, pattern) for pattern in skip)
