"""Files as ``torch.save`` writes them, without torch: a ZIP with a pickle and raw storages."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int8": "CharStorage",
    "bool": "BoolStorage",
}


def torch_bytes(value: Any) -> bytes:
    """The file that holds dicts, lists, tuples, numbers, texts and arrays (as tensors)."""
    storages: list[np.ndarray] = []
    pickled = b"\x80\x02" + _emit(value, storages) + b"."
    return archive(pickled, {str(at): array.tobytes() for at, array in enumerate(storages)})


def archive(pickled: bytes, storages: dict[str, bytes], order: bytes = b"little") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("dump/data.pkl", pickled)
        target.writestr("dump/byteorder", order)
        for name, data in storages.items():
            target.writestr(f"dump/data/{name}", data)
        target.writestr("dump/version", b"3\n")
    return file.getvalue()


def _emit(value: Any, storages: list[np.ndarray]) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(_emit(item, storages) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_emit(item, storages) for item in value) + b"e"
    if isinstance(value, dict):
        items = [_emit(part, storages) for pair in value.items() for part in pair]
        return b"}(" + b"".join(items) + b"u"
    return _tensor(np.array(value, order="C"), storages)


def _tensor(array: np.ndarray, storages: list[np.ndarray]) -> bytes:
    storages.append(array)
    key, kind = str(len(storages) - 1), STORAGES[array.dtype.name]
    strides = tuple(s // array.itemsize for s in array.strides)
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            *[_emit("storage", []), f"ctorch\n{kind}\n".encode(), _emit(key, []), _emit("cpu", [])],
            *[_emit(array.size, []), b"tQ", _emit(0, []), _emit(array.shape, [])],
            *[_emit(strides, []), b"\x89", b"ccollections\nOrderedDict\n)R", b"tR"],
        ]
    )
