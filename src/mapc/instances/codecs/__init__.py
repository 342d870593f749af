"""The codec of every family, one module each, imported when a file or a problem asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from mapc.errors import UsageError
from mapc.instances.codec import AnyCodec
from mapc.models import KINDS

CODECS: dict[str, str] = {kind: f"{__name__}.{kind}" for kind in KINDS}
"""For each kind the module that offers its ``CODEC``; an entry is all a further family needs."""


def codec(kind: str) -> AnyCodec:
    """Return the codec of a kind, which has to be a key of `CODECS`."""
    return cast("AnyCodec", import_module(CODECS[kind]).CODEC)


def codec_of(problem: Any) -> AnyCodec:
    """Return the codec for a problem.

    Raises
    ------
    UsageError
        If it belongs to no family.
    """
    for kind in CODECS:
        candidate = codec(kind)
        if isinstance(problem, candidate.problem_type):
            return candidate
    raise UsageError(f"{type(problem).__name__} is not a problem of any family")
