"""Problems and plans to and from the JSON files of `mapc.instances.schema`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import write_whole
from mapc.instances import schema
from mapc.instances.codec import AnyCodec
from mapc.instances.codecs import codec_of

Problem = Any
"""A problem of any family; its codec knows the type."""
Plan = Any
"""A plan of any family."""


@dataclass(frozen=True)
class PlanInfo:
    """What a plan file says beside problem and plan.

    Attributes
    ----------
    instance_sha256 : str
        Content hash of the problem.
    provenance : mapping
        Where the problem came from.
    result : mapping
        What the solve reported: status, objective, bound, gap, method, seconds.
    """

    instance_sha256: str
    provenance: Mapping[str, Any]
    result: Mapping[str, Any]


def content_hash(problem: Problem) -> str:
    """Return the SHA-256 (hex) of what a problem says, whatever file it came from.

    Neither its own name nor its provenance count, nor what its codec calls silent.
    """
    family = codec_of(problem)
    body = msgspec.structs.replace(family.to_body(problem), **family.silent)
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


# -- writing -------------------------------------------------------------------------------------


def write_instance(
    problem: Problem, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a problem as an instance file; ``-`` is standard output.

    Parameters
    ----------
    problem : problem of any family
    path : path
    provenance : mapping, optional
        JSON values; by default what the problem itself carries.

    Raises
    ------
    InstanceError
        If the problem holds what no file may, such as a capacity above 1 PiB.
    UsageError
        If the file cannot be written.
    """
    data = _encode(_to_document(problem, provenance))
    # what has been written can be read back: find out before the old file is gone
    parse_instance(data, str(path))
    write_whole(path, data)


def write_plan(
    problem: Problem,
    plan: Plan,
    path: str | Path,
    result: Any = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a plan together with the problem it is for; ``-`` is standard output.

    Parameters
    ----------
    problem, plan : of one family
    path : path
    result : mapping or Result, optional
        What to keep of the solve; a ``Result`` is asked for its ``to_dict()``.
    provenance : mapping, optional
        As for `write_instance`.

    Raises
    ------
    InstanceError
        If plan and problem do not fit each other's shape.
    UsageError
        If the file cannot be written.
    """
    section = dict(result.to_dict() if hasattr(result, "to_dict") else result or {})
    data = _encode(_plan_document(problem, plan, section, provenance))
    parse_plan(data, str(path))
    write_whole(path, data)


def _plan_document(
    problem: Problem, plan: Plan, result: dict[str, Any], provenance: Mapping[str, Any] | None
) -> schema.PlanFile:
    family = codec_of(problem)
    if not isinstance(plan, family.plan_type):
        raise UsageError(f"{type(plan).__name__} is no plan for a {type(problem).__name__}")
    return schema.plan_file_type(family)(
        schema=schema.PLAN,
        version=schema.VERSION,
        instance_sha256=content_hash(problem),
        instance=_to_document(problem, provenance),
        plan=family.to_columns(plan),
        result=result,
    )


def _to_document(problem: Problem, provenance: Mapping[str, Any] | None) -> schema.Instance:
    family = codec_of(problem)
    return schema.instance_type(family)(
        schema=schema.INSTANCE,
        version=schema.VERSION,
        name=family.name_of(problem),
        units=family.units,
        provenance=dict(problem.provenance if provenance is None else provenance),
        problem=family.to_body(problem),
    )


def _encode(document: schema.Instance | schema.PlanFile) -> bytes:
    try:
        builtins = _ordered(msgspec.to_builtins(document, enc_hook=_plain))
        return msgspec.json.encode(builtins) + b"\n"
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot be written as JSON: {error}") from None


def _ordered(document: dict[str, Any]) -> dict[str, Any]:
    """Put the header first: the tag of a union is encoded before anything else."""
    if "instance" in document:
        document["instance"] = _ordered(document["instance"])
    return {key: document[key] for key in ("schema", "version")} | document


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


# -- reading -------------------------------------------------------------------------------------


def parse_instance(data: bytes, where: str) -> Problem:
    """Return the problem an instance document holds.

    Raises
    ------
    InstanceError
        For anything the schema or the problem itself refuses.
    """
    family, document = schema.decode_instance(data, where)
    return _from_document(family, document, where, "$")


def parse_plan(data: bytes, where: str) -> tuple[Problem, Plan, PlanInfo]:
    """Return the problem, the plan and the rest of a plan document.

    Raises
    ------
    InstanceError
        For anything the schema refuses, columns that do not fit the problem, or a hash that is
        not the instance's.
    """
    family, file = schema.decode_plan(data, where)
    problem = _from_document(family, file.instance, where, "$.instance")
    found = content_hash(problem)
    if found != file.instance_sha256:
        raise InstanceError(
            f"{file.instance_sha256[:80]!r} is not the hash of the instance",
            f"{where}: $.instance_sha256",
            found,
        )
    try:
        plan = family.from_columns(file.plan, problem, "$.plan")
    except InstanceError as error:
        raise error.inside(where) from None
    return problem, plan, PlanInfo(found, problem.provenance, file.result)


def _from_document(family: AnyCodec, document: schema.Instance, where: str, root: str) -> Problem:
    """Build the problem; ``root`` is the JSON path of the instance in its file."""
    try:
        return family.from_body(
            document.problem, document.name, document.provenance, f"{root}.problem"
        )
    except InstanceError as error:
        raise error.inside(where) from None
