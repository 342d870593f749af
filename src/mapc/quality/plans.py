"""Best plans as a library keeps them: the plan alone, tied to its instance by hash.

A plan file of ``mapc solve -o`` carries its instance along; in a library that stands beside the
plan already, or comes from a generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, read_bytes
from mapc.instances import content_hash, schema
from mapc.instances.codecs import codec_of
from mapc.instances.columns import Strict

SCHEMA: Final = schema.LIBRARY_PLAN
VERSION: Final = 1


class StoredPlan(Strict, frozen=True, kw_only=True):
    """What a plan file of a library holds.

    Attributes
    ----------
    kind : str
        Family.
    instance_sha256 : str
        Content hash of the problem the plan is for.
    plan : mapping
        The section ``plan`` of the family's plan files, as ``mapc schema`` describes it.
    """

    schema: Literal["mapc/library-plan"] = SCHEMA
    version: Literal[1] = VERSION
    kind: str
    instance_sha256: str
    plan: msgspec.Raw


def encode_plan(problem: Any, plan: Any) -> bytes:
    """Return the file of a plan; equal plans give equal bytes."""
    family = codec_of(problem)
    stored = StoredPlan(
        kind=family.kind,
        instance_sha256=content_hash(problem),
        plan=msgspec.Raw(msgspec.json.encode(family.to_columns(plan))),
    )
    return msgspec.json.encode(stored) + b"\n"


def read_stored_plan(path: str | Path, problem: Any) -> Any:
    """Read a plan for a problem; its rules are the verifier's to check.

    Raises
    ------
    InstanceError
        If the file is missing or no such plan, or made for another problem.
    """
    where = str(path)
    stored = schema.decode(read_bytes(path, MAX_TEXT_BYTES), StoredPlan, where)
    family = codec_of(problem)
    if stored.kind != family.kind:
        raise InstanceError(f"kind {stored.kind[:80]!r}", f"{where}: $.kind", family.kind)
    found = content_hash(problem)
    if stored.instance_sha256 != found:
        raise InstanceError(
            f"{stored.instance_sha256[:80]!r} is not the hash of the instance",
            f"{where}: $.instance_sha256",
            found,
        )
    columns = schema.decode(bytes(stored.plan), family.columns_type, f"{where}: $.plan")
    try:
        return family.from_columns(columns, problem, "$.plan")
    except InstanceError as error:
        raise error.inside(where) from None
