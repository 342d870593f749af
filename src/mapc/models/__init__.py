"""Problem families, one folder each, with the same file names in each."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from mapc.errors import UsageError
from mapc.models.base import Family

KINDS = ("memory", "allocation", "bits", "placement", "sequence")
"""Families by the name that instance files use; each module offers ``FAMILY``."""


def family(kind: str) -> Family:
    """Return the family of that name."""
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r}: no such family; expected one of {', '.join(KINDS)}")
    return cast("Family", import_module(f"mapc.models.{kind}").FAMILY)


def family_of(problem: Any) -> Family:
    """Return the family a problem belongs to."""
    for kind in KINDS:
        candidate = family(kind)
        if isinstance(problem, candidate.problem_type):
            return candidate
    raise UsageError(f"{type(problem).__name__} is not a problem of any family")
