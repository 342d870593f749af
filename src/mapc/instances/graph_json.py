"""The plain operator graph: what a compiler of one's own dumps in ten lines.

::

    {"name": "net", "unit": "bytes", "inputs": ["x"], "outputs": ["y"],
     "tensors": {"x": 4096, "y": 1024},
     "ops": [{"op": "conv", "ins": ["x"], "outs": ["y"]}]}

Optional: per operator ``name`` and ``workspace`` (bytes), at the top ``constants`` or ``weights``
(tensors that have a copy off-chip; always kept). ``unit`` is ``bytes`` (also when absent), ``KiB``,
``MiB`` or a text starting with ``elements``; elements are one byte each unless a dtype is given.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.instances import schema
from mapc.instances.columns import Size
from mapc.instances.dtypes import bits_of
from mapc.instances.names import unique_names
from mapc.units import MAX_BYTES

_FACTORS = {"": 1, "b": 1, "byte": 1, "bytes": 1, "kib": 2**10, "mib": 2**20}


class PlainOperator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``ops``."""

    op: str
    ins: list[str]
    outs: Annotated[list[str], Meta(min_length=1)]
    name: str | None = None
    workspace: Size = 0


class PlainGraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    inputs: list[str]
    outputs: Annotated[list[str], Meta(min_length=1)]
    tensors: dict[str, Size]
    ops: list[PlainOperator]
    name: str | None = None
    unit: str = "bytes"
    constants: list[str] = []
    weights: list[str] = []


class _Sizes(msgspec.Struct):
    tensors: dict[str, Any] = {}


class _Tensors(msgspec.Struct):
    tensors: msgspec.Raw


def parse_graph(data: bytes, where: str, name: str, dtype: str | None = None) -> OperatorGraph:
    """Return the operator graph a plain JSON document holds.

    Parameters
    ----------
    data : bytes
    where : str
        The file, for messages.
    name : str
        What the graph is called where the document does not say.
    dtype : str, optional
        Width of an element; only for sizes counted in elements.

    Raises
    ------
    InstanceError
        For a document of another shape, tensors that are not declared, not written and no input,
        and all that `OperatorGraph` refuses.
    UsageError
        For a dtype with sizes in bytes.
    """
    try:
        plain = schema.decode(data, PlainGraph, where)
    except InstanceError:
        _check_sizes(data, where)
        raise
    try:
        _check_twice(data, where)
        _check_tensors(plain)
        return _graph(plain, name, _byte_sizes(plain, where, dtype))
    except InstanceError as error:
        raise error.inside(where) from None


def _graph(plain: PlainGraph, name: str, sizes: list[int]) -> OperatorGraph:
    tensors = {tensor: at for at, tensor in enumerate(plain.tensors)}
    outputs, constants = set(plain.outputs), {*plain.constants, *plain.weights}
    # an operator without a name goes by its first output, which is unique
    taken = [op.name for op in plain.ops if op.name is not None]
    automatic = iter(unique_names([op.outs[0] for op in plain.ops if op.name is None], taken))
    return OperatorGraph(
        name=plain.name or name,
        operator_names=tuple(next(automatic) if op.name is None else op.name for op in plain.ops),
        operator_kinds=tuple(op.op for op in plain.ops),
        workspace=np.asarray([op.workspace for op in plain.ops], dtype=np.int64),
        inputs=Ragged.of([tensors[t] for t in op.ins] for op in plain.ops),
        outputs=Ragged.of([tensors[t] for t in op.outs] for op in plain.ops),
        tensor_names=tuple(tensors),
        tensor_bytes=np.asarray(sizes, dtype=np.int64),
        is_output=np.asarray([t in outputs for t in tensors], dtype=np.bool_),
        is_constant=np.asarray([t in constants for t in tensors], dtype=np.bool_),
    )


def _byte_sizes(plain: PlainGraph, where: str, dtype: str | None) -> list[int]:
    unit = plain.unit.strip().lower()
    if unit.startswith("element"):
        bits = 8 if dtype is None else bits_of(dtype)
        return [-(-size * bits // 8) for size in plain.tensors.values()]
    if unit not in _FACTORS:
        raise InstanceError(f"unit {plain.unit!r}", "$.unit", "bytes, KiB, MiB or elements")
    if dtype is not None:
        raise UsageError(
            f"{where}: dtype {dtype} does not apply to sizes in {plain.unit or 'bytes'}; "
            'expected a graph with "unit": "elements"'
        )
    sizes = [size * _FACTORS[unit] for size in plain.tensors.values()]
    for tensor, size in zip(plain.tensors, sizes, strict=True):
        if size > MAX_BYTES:
            raise InstanceError(f"size {size} bytes", f"$.tensors.{tensor}", f"0 to {MAX_BYTES}")
    return sizes


def _check_tensors(plain: PlainGraph) -> None:
    """Every name is declared; every tensor comes from somewhere."""
    lists = {
        "inputs": plain.inputs,
        "outputs": plain.outputs,
        "constants": plain.constants,
        "weights": plain.weights,
    }
    for at, op in enumerate(plain.ops):
        lists[f"ops[{at}].ins"] = op.ins
        lists[f"ops[{at}].outs"] = op.outs
    for path, names in lists.items():
        for i, tensor in enumerate(names):
            if tensor not in plain.tensors:
                raise InstanceError(
                    f"tensor {tensor!r} is not in tensors", f"$.{path}[{i}]", "a declared tensor"
                )
    written = {tensor for op in plain.ops for tensor in op.outs}
    for i, tensor in enumerate(plain.inputs):
        if tensor in written:
            raise InstanceError(
                f"input {tensor!r} is written by an operator", f"$.inputs[{i}]", "no producer"
            )
    available = written.union(plain.inputs, plain.constants, plain.weights)
    for at, op in enumerate(plain.ops):
        for i, tensor in enumerate(op.ins):
            if tensor not in available:
                raise InstanceError(
                    f"tensor {tensor!r} is read, but nothing writes it",
                    f"$.ops[{at}].ins[{i}]",
                    "an operator's output, an input or a constant",
                )
    for i, tensor in enumerate(plain.outputs):
        if tensor not in available:
            raise InstanceError(f"nothing writes {tensor!r}", f"$.outputs[{i}]", "a written tensor")


def _check_sizes(data: bytes, where: str) -> None:
    """Name the tensor whose size is none: the decoder's own message leaves the key out."""
    sizes = schema.decode(data, _Sizes, where).tensors
    for tensor, size in sizes.items():
        try:
            msgspec.convert(size, Size)
        except msgspec.ValidationError as error:
            what = str(error) if "got" in str(error) else f"{error}, got {size!r}"
            raise InstanceError(what, f"{where}: $.tensors.{tensor}") from None


def _check_twice(data: bytes, where: str) -> None:
    """Refuse a tensor declared twice: a JSON decoder keeps the last one without a word."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InstanceError(f"tensor {twice!r} declared twice", "$.tensors", "unique names")
        return table

    json.loads(bytes(schema.decode(data, _Tensors, where).tensors), object_pairs_hook=distinct)
