"""The versioned JSON files of mapc: instances and plans.

Both start with ``schema``, ``version`` and ``kind``; everything below is columnar: one list per
attribute, entities by index. Header and envelope are here, the sections of each family with its
codec. Older versions are brought up to date one step at a time before they are checked. Numbers
are integers within stated ranges; nothing unknown is let through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import Struct, field

from mapc.errors import InstanceError
from mapc.instances.codec import AnyCodec
from mapc.instances.codecs import CODECS, codec
from mapc.instances.columns import Strict

INSTANCE: Final = "mapc/instance"
PLAN: Final = "mapc/plan"
LIBRARY_PLAN: Final = "mapc/library-plan"
"""A plan of a library, whose instance is another file; `mapc.quality.plans` reads it."""
VERSION: Final = 1
"""Version written; older ones are read through `UPGRADES`."""

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: dict[str, dict[int, Upgrade]] = {INSTANCE: {}, PLAN: {}}
"""For each schema, the function that turns a document of version ``v`` into one of ``v + 1``.

A plan holds an instance; its step has to bring that along.
"""

T = TypeVar("T")


class Instance(Strict, frozen=True, kw_only=True):
    """Header of an instance file; `instance_type` fills in the sections of a family."""

    schema: Literal["mapc/instance"]
    version: Literal[1]
    name: str
    units: Any
    provenance: dict[str, Any] = field(default_factory=dict)
    problem: Any


class PlanFile(Strict, frozen=True, kw_only=True):
    """Envelope of a plan file; `plan_file_type` fills in the sections of a family."""

    schema: Literal["mapc/plan"]
    version: Literal[1]
    instance_sha256: str
    instance: Any
    plan: Any
    result: dict[str, Any] = field(default_factory=dict)


@cache
def instance_type(family: AnyCodec) -> type[Instance]:
    """Return the struct of a family's instance files, tagged with its kind."""
    units = ("units", type(family.units), family.units)
    return _filled(
        Instance,
        family,
        "Instance",
        f"A file that holds {_article(family.kind)} problem.",
        [units, ("problem", family.body_type)],
    )


@cache
def plan_file_type(family: AnyCodec) -> type[PlanFile]:
    """Return the struct of a family's plan files, tagged with its kind."""
    return _filled(
        PlanFile,
        family,
        "PlanFile",
        f"{_article(family.kind).capitalize()} plan with the instance it is for.",
        [("instance", instance_type(family)), ("plan", family.columns_type)],
    )


def _filled(
    base: type[T], family: AnyCodec, suffix: str, description: str, sections: list[Any]
) -> type[T]:
    """Return an envelope with sections of stated types; redefined fields keep their place."""
    struct = msgspec.defstruct(
        family.kind.capitalize() + suffix,
        sections,
        bases=(base,),
        module=__name__,
        namespace={"__doc__": description},
        tag_field="kind",
        tag=family.kind,
        frozen=True,
        kw_only=True,
    )
    return cast("type[T]", struct)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


class _Header(Struct):
    version: int
    kind: str


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of both files, as ``mapc schema`` prints it."""
    families = [codec(kind) for kind in CODECS]
    types = [shape(family) for shape in (instance_type, plan_file_type) for family in families]
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mapc instance and plan files",
        "oneOf": list(references),
        "$defs": definitions,
    }


def decode_instance(data: bytes, where: str) -> tuple[AnyCodec, Instance]:
    """Return the instance a JSON document holds, at the current version, and its codec."""
    return _decode_versioned(data, INSTANCE, instance_type, where)


def decode_plan(data: bytes, where: str) -> tuple[AnyCodec, PlanFile]:
    """Return the plan a JSON document holds, at the current version, and its codec."""
    return _decode_versioned(data, PLAN, plan_file_type, where)


def _decode_versioned(
    data: bytes, schema: str, shape: Callable[[AnyCodec], type[T]], where: str
) -> tuple[AnyCodec, T]:
    header = decode(data, _Header, where)
    if header.version == VERSION:
        family = _codec(header.kind, where)
        return family, decode(data, shape(family), where)
    steps = UPGRADES[schema]
    document = upgrade(decode(data, dict, where), header.version, steps, VERSION, where)
    family = _codec(_convert(document, _Header, where).kind, where)
    return family, _convert(document, shape(family), where)


def _codec(kind: str, where: str) -> AnyCodec:
    if kind not in CODECS:
        raise InstanceError(
            f"Invalid enum value {kind[:80]!r}", f"{where}: $.kind", ", ".join(CODECS)
        )
    return codec(kind)


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
