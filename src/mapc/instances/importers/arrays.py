"""Arrays of NumPy's ``.npy`` and ``.npz`` files; nothing in them is ever unpickled.

Headers are believed only as far as the bytes behind them go: the size of an array is compared with
what the file holds before anything is set aside for it.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.files import MAX_MODEL_BYTES, display_name, read_bytes
from mapc.graph.operators import IntArray

MAX_COUNT = 2**50
"""Most tokens in one place: sums of thousands stay exact in float64 and int64."""
_ZIP, _NPY = b"PK\x03\x04", b"\x93NUMPY"
_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name, or the one of a ``.npy`` file as ``""``.

    Raises
    ------
    InstanceError
        For another kind of file, a damaged or oversized one, and arrays of objects.
    """
    where = display_name(path)
    data = read_bytes(path)
    if data.startswith(_NPY):
        return {"": _array(data, where)}
    if not data.startswith(_ZIP):
        raise InstanceError("neither .npy nor .npz", where, "arrays saved by NumPy")
    arrays = {}
    for name, member in zip_members(data, where).items():
        if name.endswith(".npy"):
            stem = name.removesuffix(".npy")
            arrays[stem] = _array(member(), f"{where}: array {stem!r}"[:200])
    if not arrays:
        raise InstanceError("no arrays", where, "arrays saved by NumPy")
    return arrays


def zip_members(data: bytes, where: str) -> dict[str, Callable[[], bytes]]:
    """Return what reads each member of a ZIP file, by name.

    Raises
    ------
    InstanceError
        For a damaged file or one that unpacks to more than `MAX_MODEL_BYTES`; also when a member
        is read that is damaged.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InstanceError(f"damaged: {error}", where, "a whole file") from None
    if sum(info.file_size for info in infos) > MAX_MODEL_BYTES:
        raise InstanceError("unpacks to too much", where, f"at most {MAX_MODEL_BYTES} bytes")

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(info)  # never more than the size that was summed
            except Exception as error:  # whatever zipfile and the decompressors raise
                what = f"damaged: {error}"
                raise InstanceError(
                    what, f"{where}: {info.filename[:60]}", "a whole file"
                ) from None

        return read

    return {info.filename: reader(info) for info in infos}


def _array(data: bytes, where: str) -> NDArray[Any]:
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        shape, fortran, dtype = _HEADERS[version](file)
    except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError, EOFError):
        raise InstanceError("damaged header", where, "an array saved by NumPy") from None
    if dtype.kind not in "biuf":
        raise InstanceError(f"an array of {dtype}", where, "numbers")
    size = math.prod(shape)
    if size * dtype.itemsize != len(data) - file.tell():
        found = len(data) - file.tell()
        raise InstanceError(f"{found} bytes", where, f"what shape {shape} of {dtype} takes")
    flat = np.frombuffer(data, dtype, size, file.tell())
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def whole_numbers(values: Any, where: str, least: int = 0, most: int = MAX_COUNT) -> IntArray:
    """Return numbers as int64.

    Raises
    ------
    InstanceError
        For lists of unequal length, fractions, NaN, and numbers outside ``least`` to ``most``; the
        place of the first such number is named.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InstanceError("lists of unequal length", where, "a full table") from None
    if array.dtype.kind not in "biuf" and array.size:
        raise InstanceError(f"{array.flat[0]}"[:60], where, "numbers")
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= least) & (array <= most))
        if array.dtype.kind == "f":
            wrong |= array != np.floor(array)
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), array.shape)
        place = f"{where}[{', '.join(str(int(i)) for i in at)}]"
        raise InstanceError(f"{array[at]}", place, f"a whole number {least} to {most}")
    return array.astype(np.int64, order="C")
