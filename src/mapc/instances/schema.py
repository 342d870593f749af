"""The versioned JSON files of mapc: instances and plans.

Both start with ``schema``, ``version`` and ``kind``; everything below is columnar: one list per
attribute, entities by index. Older versions are brought up to date one step at a time before they
are checked. Numbers are integers within stated ranges; nothing unknown is let through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from mapc.errors import InstanceError
from mapc.units import MAX_BYTES

INSTANCE, PLAN = "mapc/instance", "mapc/plan"
VERSION = 1
"""Version written; older ones are read through `UPGRADES`."""

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: dict[str, dict[int, Upgrade]] = {INSTANCE: {}, PLAN: {}}
"""For each schema, the function that turns a document of version ``v`` into one of ``v + 1``.

A plan holds an instance; its step has to bring that along.
"""

Size = Annotated[int, Meta(ge=0, le=MAX_BYTES, description="bytes")]
Address = Annotated[int, Meta(ge=-1, le=2**53, description="bytes; -1: none")]
Index = Annotated[int, Meta(ge=0, lt=2**31, description="position in the columns")]
Step = Annotated[int, Meta(ge=0, lt=2**31, description="position in the order")]
Time = Annotated[int, Meta(ge=-(2**53), le=2**53, description="any unit; only order matters")]
Alignment = Annotated[int, Meta(ge=1, le=2**30, description="bytes")]

T = TypeVar("T")


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section: nothing unknown in it."""


class Units(Strict, frozen=True, kw_only=True):
    """What the numbers mean; there is one choice, said aloud."""

    size: Literal["bytes"] = "bytes"
    time: Literal["steps"] = "steps"


class OperatorColumns(Strict, frozen=True, kw_only=True):
    """One entry per operator; ``inputs`` and ``outputs`` hold tensor indices."""

    name: list[str]
    kind: list[str]
    workspace: list[Size]
    inputs: list[list[Index]]
    outputs: list[list[Index]]


class TensorColumns(Strict, frozen=True, kw_only=True):
    """One entry per tensor in ``name`` and ``bytes``.

    ``outputs`` and ``constants`` are the indices of those that must end off-chip and of weights.
    """

    name: list[str]
    bytes: list[Size]
    outputs: list[Index]
    constants: list[Index] = []


class MemoryBody(Strict, frozen=True, kw_only=True):
    """A memory problem; the capacity is null while it is not decided."""

    capacity: Size | None = None
    capacity_note: str = ""
    alignment: Alignment = 1
    operators: OperatorColumns
    tensors: TensorColumns


class BufferColumns(Strict, frozen=True, kw_only=True):
    """One entry per buffer, alive in ``[lower, upper)``."""

    name: list[str]
    lower: list[Time]
    upper: list[Time]
    size: list[Size]


class AllocationBody(Strict, frozen=True, kw_only=True):
    """An allocation problem; without a capacity the smallest peak is asked for."""

    capacity: Size | None = None
    alignment: Alignment = 1
    buffers: BufferColumns


class MemoryInstance(Strict, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    """A file that holds a memory problem."""

    schema: Literal["mapc/instance"]
    version: Literal[1]
    name: str
    units: Units = Units()
    provenance: dict[str, Any] = {}
    problem: MemoryBody


class AllocationInstance(Strict, frozen=True, kw_only=True, tag_field="kind", tag="allocation"):
    """A file that holds an allocation problem."""

    schema: Literal["mapc/instance"]
    version: Literal[1]
    name: str
    units: Units = Units()
    provenance: dict[str, Any] = {}
    problem: AllocationBody


class MemoryPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of a memory problem: one entry per step, per residency, per operator."""

    order: list[Index]
    tensor: list[Index]
    start: list[Step]
    stop: list[Step]
    address: list[Address]
    written: list[bool]
    workspace_address: list[Address]


class AllocationPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of an allocation problem: one address per buffer."""

    offset: list[Address]


class MemoryPlanFile(Strict, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    """A memory plan with the instance it is for."""

    schema: Literal["mapc/plan"]
    version: Literal[1]
    instance_sha256: str
    instance: MemoryInstance
    plan: MemoryPlanColumns
    result: dict[str, Any] = {}


class AllocationPlanFile(Strict, frozen=True, kw_only=True, tag_field="kind", tag="allocation"):
    """An allocation plan with the instance it is for."""

    schema: Literal["mapc/plan"]
    version: Literal[1]
    instance_sha256: str
    instance: AllocationInstance
    plan: AllocationPlanColumns
    result: dict[str, Any] = {}


Instance = MemoryInstance | AllocationInstance
PlanFile = MemoryPlanFile | AllocationPlanFile


class Header(Struct):
    """What tells the JSON formats apart; the rest of the document is skipped."""

    schema: msgspec.Raw = msgspec.Raw()
    ops: msgspec.Raw = msgspec.Raw()
    tensors: msgspec.Raw = msgspec.Raw()


class _Version(Struct):
    version: int
    kind: Literal["memory", "allocation"]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of both files, as ``mapc schema`` prints it."""
    types = (MemoryInstance, AllocationInstance, MemoryPlanFile, AllocationPlanFile)
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mapc instance and plan files",
        "oneOf": list(references),
        "$defs": definitions,
    }


def decode_instance(data: bytes, where: str) -> Instance:
    """Return the instance a JSON document holds, at the current version."""
    return _decode_versioned(data, INSTANCE, Instance, where)  # type: ignore[arg-type]


def decode_plan(data: bytes, where: str) -> PlanFile:
    """Return the plan a JSON document holds, at the current version."""
    return _decode_versioned(data, PLAN, PlanFile, where)  # type: ignore[arg-type]


def _decode_versioned(data: bytes, schema: str, kind: type[T], where: str) -> T:
    version = decode(data, _Version, where).version
    if version == VERSION:
        return decode(data, kind, where)
    document = upgrade(decode(data, dict, where), version, UPGRADES[schema], VERSION, where)
    return _convert(document, kind, where)


def upgrade(
    document: dict[str, Any],
    version: int,
    steps: Mapping[int, Upgrade],
    current: int,
    where: str,
) -> dict[str, Any]:
    """Bring a document of an older version up to date, one step after the other.

    Raises
    ------
    InstanceError
        If the version is newer than ``current``, or older than the first one known.
    """
    if version > current:
        raise InstanceError(
            f"version {version}", f"{where}: $.version", f"at most {current}; update mapc"
        )
    for step in range(version, current):
        if step not in steps:
            raise InstanceError(f"version {version}", f"{where}: $.version", f"1 to {current}")
        document = {**steps[step](document), "version": step + 1}
    return document


def decode(data: bytes, kind: type[T], where: str) -> T:
    """Return a JSON document as ``kind``.

    Raises
    ------
    InstanceError
        For malformed JSON or a document of another shape; the place is a JSON path.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _misfit(error, where) from None
    except RecursionError:
        raise InstanceError("nested too deeply", where, "the levels of the schema") from None
    except UnicodeDecodeError:
        raise InstanceError("a string is not UTF-8", where, "UTF-8 text") from None
    except msgspec.DecodeError as error:
        raise _malformed(data, error, where) from None


def _convert(document: Any, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _misfit(error, where) from None


def _misfit(error: Exception, where: str) -> InstanceError:
    """Turn "Expected `int`, got `float` - at `$.a[3]`" into an error with a place."""
    what, _, path = str(error).partition(" - at ")
    return InstanceError(what, f"{where}: {path.strip('`') or '$'}")


def _malformed(data: bytes, error: Exception, where: str) -> InstanceError:
    """Name the path of a NaN or an infinity, which are no JSON; otherwise the byte."""
    if b"NaN" in data or b"Infinity" in data:
        try:
            path = _path_of_nonfinite(json.loads(data))
        except (ValueError, RecursionError):
            path = ""
        if path:
            return InstanceError(
                "NaN and Infinity are no JSON numbers", f"{where}: {path}", "a finite number"
            )
    what = str(error).removeprefix("JSON is malformed: ")
    return InstanceError(f"malformed JSON: {what}", where, "a JSON document")


def _path_of_nonfinite(document: Any) -> str:
    """Return the path of the first number that is not finite, or nothing."""
    waiting = [("$", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}", value[key]) for key in reversed(value)]
        elif isinstance(value, list):
            waiting += [(f"{path}[{i}]", value[i]) for i in reversed(range(len(value)))]
    return ""
