"""What the sections of a file are made of: ranges of numbers, strict structs, checked columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray
from mapc.units import MAX_BYTES

Size = Annotated[int, Meta(ge=0, le=MAX_BYTES, description="bytes")]
Address = Annotated[int, Meta(ge=-1, le=2**53, description="bytes; -1: none")]
Index = Annotated[int, Meta(ge=0, lt=2**31, description="position in the columns")]
Step = Annotated[int, Meta(ge=0, lt=2**31, description="position in the order")]
Time = Annotated[int, Meta(ge=-(2**53), le=2**53, description="any unit; only order matters")]
Alignment = Annotated[int, Meta(ge=1, le=2**30, description="bytes")]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section: nothing unknown in it."""


class Units(Strict, frozen=True, kw_only=True):
    """What the numbers mean; there is one choice, said aloud."""

    size: Literal["bytes"] = "bytes"
    time: Literal["steps"] = "steps"


def int64(column: Sequence[int]) -> IntArray:
    """Return a column as int64[n], also where it is empty."""
    return np.asarray(column, dtype=np.int64)


def mask(indices: Sequence[int], n: int, where: str) -> BoolArray:
    """Return bool[n], true at the indices.

    Raises
    ------
    InstanceError
        For an index outside ``0 .. n - 1``; ``where`` is the JSON path of the column.
    """
    check_indices(indices, n, where)
    mask = np.zeros(n, dtype=np.bool_)
    mask[int64(indices)] = True
    return mask


def check_indices(indices: Sequence[int], n: int, where: str) -> None:
    """Refuse a column with an index outside ``0 .. n - 1``, naming its place in the column."""
    column = int64(indices)
    wrong = (column < 0) | (column >= n)
    if wrong.any():
        at = int(wrong.argmax())
        raise InstanceError(f"index {column[at]}", f"{where}[{at}]", f"0 to {n - 1}")


def check_length(column: Sequence[Any], n: int, where: str) -> None:
    """Refuse a column that has not ``n`` entries."""
    if len(column) != n:
        raise InstanceError(f"{len(column)} entries", where, f"{n}")
