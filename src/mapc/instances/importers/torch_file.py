"""Tensors in files written by ``torch.save``, read without torch and without running anything.

Such a file is a ZIP with a pickle and the bytes of every storage beside it. The pickle is not
unpickled: its opcodes are interpreted here, and of what they may refer to only containers, numbers
and the rebuilding of a plain tensor are known. Everything else is refused by name.

Format: ``torch.serialization`` (ZIP, since torch 1.6) and pickle protocol 2; persistent ids are
``("storage", type, key, location, size)``.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.instances.importers.arrays import zip_members

_MARK = object()
_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_REBUILD = "torch._utils _rebuild_tensor_v2"
_ORDERED = "collections OrderedDict"
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "INT", "LONG", "FLOAT", "UNICODE"),
)
_IGNORED = ("PROTO", "FRAME", "STOP")


class _Named:
    """A name that a pickle refers to; it is never looked up."""

    def __init__(self, name: str) -> None:
        self.name = name


def load_torch(data: bytes, where: str) -> Any:
    """Return what a file written by ``torch.save`` holds: containers, numbers and arrays.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str

    Raises
    ------
    InstanceError
        For a damaged file, one of the old format without a ZIP, and objects that are neither plain
        containers nor plain tensors.
    """
    members = zip_members(data, where)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("data.pkl")]
    if len(roots) != 1:
        raise InstanceError("no data.pkl", where, "a file written by torch.save")
    root = roots[0]
    order = members[f"{root}byteorder"]() if f"{root}byteorder" in members else b"little"
    if order.strip() != b"little":
        raise InstanceError(f"byte order {order[:20]!r}", where, "little endian")

    def storage(key: str, dtype: str) -> NDArray[Any]:
        name = f"{root}data/{key}"
        if name not in members:
            raise InstanceError("missing", f"{where}: {name[:60]}", "a whole file")
        raw = members[name]()
        width = np.dtype(dtype).itemsize
        return np.frombuffer(raw[: len(raw) // width * width], f"<{dtype}")

    try:
        return _Machine(storage).run(members[f"{root}data.pkl"]())
    except InstanceError as error:
        raise error.inside(where) from None
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, RecursionError):
        raise InstanceError("damaged pickle", where, "a file written by torch.save") from None


class _Machine:
    """Interprets the opcodes of a pickle that holds nothing but data."""

    def __init__(self, storage: Callable[[str, str], NDArray[Any]]) -> None:
        self._storage = storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            self._step(opcode.name, argument)
        (result,) = self._stack
        return result

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "GLOBAL":
            stack.append(_Named(argument))
        elif name not in _IGNORED:
            self._combine(name)

    def _combine(self, name: str) -> None:
        stack = self._stack
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name == "TUPLE":
            items = self._to_mark()
            stack.append(tuple(items))
        elif name == "APPEND":
            item = stack.pop()
            _of(stack[-1], list).append(item)
        elif name == "APPENDS":
            items = self._to_mark()
            _of(stack[-1], list).extend(items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _of(stack[-1], dict)[key] = value
        elif name == "SETITEMS":
            items = self._to_mark()
            _of(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
        elif name == "BINPERSID":
            stack[-1] = self._tensor_data(stack[-1])
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        else:
            named = [item.name for item in stack if isinstance(item, _Named)]
            what = f"an object of {named[-1]}" if named else f"pickle opcode {name}"
            raise InstanceError(what[:120], "data.pkl", "plain containers and tensors")

    def _to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _tensor_data(self, key: Any) -> NDArray[Any]:
        kind, storage, name, _, size = key
        dtype = _DTYPES.get(_of(storage, _Named).name.removeprefix("torch "))
        if kind != "storage" or dtype is None:
            raise InstanceError(f"{storage.name}"[:60], "data.pkl", "a storage of plain numbers")
        data = self._storage(name, dtype)
        if len(data) < size:
            raise InstanceError(f"{len(data)} numbers", f"storage {name[:20]}", f"{size}")
        return data


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _call(function: Any, arguments: Any) -> Any:
    name = _of(function, _Named).name
    if name == _ORDERED and arguments == ():
        return {}
    if name != _REBUILD:
        raise InstanceError(f"{name}"[:80], "data.pkl", "plain containers and tensors")
    data, offset, size, stride = arguments[:4]
    return _tensor(_of(data, np.ndarray), offset, size, stride)


def _tensor(
    data: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> NDArray[Any]:
    """Return a copy of the view that a tensor is of its storage."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # a stride of 0 makes much of little; no recorder writes such a thing
    if count > len(data) or (count and last >= len(data)):
        raise InstanceError(f"shape {size}"[:60], "tensor", f"within {len(data)} numbers")
    if not count:
        return np.zeros(size, dtype=data.dtype)
    steps = [step * data.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(data[offset:], size, steps, writeable=False).copy()
