"""What a reader says about itself, so that `mapc.instances.reading` can find and call it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from mapc.files import STREAM, decode_text
from mapc.instances import schema
from mapc.instances.documents import Plan, PlanInfo, Problem


@dataclass(frozen=True, eq=False)
class Source:
    """A file that has been read but not understood yet; its views are made on demand.

    Attributes
    ----------
    path : str or Path
        ``-`` for standard input.
    data : bytes
    where : str
        How messages call the file.
    """

    path: str | Path
    data: bytes
    where: str

    @property
    def streamed(self) -> bool:
        """Whether it came from standard input and has no name and no folder."""
        return str(self.path) == STREAM

    @property
    def suffix(self) -> str:
        """Lower case, with its dot; empty where there is none."""
        return Path(self.path).suffix.lower()

    @property
    def stem(self) -> str:
        """What a problem is called that has no name of its own."""
        return "graph" if self.streamed else _text(Path(self.path).stem)

    @cached_property
    def text(self) -> str:
        """The text; `InstanceError` where it is not UTF-8."""
        return decode_text(self.data, self.where)

    @cached_property
    def is_json(self) -> bool:
        """Whether suffix or first character promise JSON."""
        return self.suffix == ".json" or self.data[:4096].lstrip()[:1] in (b"{", b"[")

    @cached_property
    def members(self) -> Mapping[str, msgspec.Raw]:
        """Members of the JSON object, their values unparsed; empty for anything but JSON.

        `InstanceError` for malformed JSON and for any other value than an object.
        """
        return schema.decode(self.data, dict[str, msgspec.Raw], self.where) if self.is_json else {}

    @cached_property
    def schema(self) -> str | None:
        """Name of the schema a JSON document says it follows."""
        if "schema" not in self.members:
            return None
        return schema.decode(bytes(self.members["schema"]), str, f"{self.where}: $.schema")

    def provenance(self, form: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a problem keeps of where it came from: no folder, only the name."""
        return {"source": _text(Path(self.path).name), "format": form, "options": dict(options)}


def _text(name: str) -> str:
    """Return the name of a file as JSON can hold it: bytes that are no UTF-8 are U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


Found = tuple[Problem, Plan, PlanInfo]


@dataclass(frozen=True)
class Format:
    """A format of files that hold problems.

    Attributes
    ----------
    name : str
        As recorded in the provenance of a problem.
    title : str
        With its article, for messages: ``"an ONNX model"``.
    hint : str
        How to tell such a file, for messages: title and suffix.
    sniff : callable
        ``sniff(source) -> bool``; whether the file is to be read this way. It may raise for a file
        that can be nothing else and is malformed.
    parse : callable
        ``parse(source, options) -> problem``.
    parse_plan : callable, optional
        ``parse_plan(source)``: problem, plan and what was said about it, or None where the file
        holds no plan.
    options : frozenset of str
        Options of `mapc.instances.read` that apply.
    members : tuple of str
        What a JSON document without a ``schema`` holds in this format, for messages.
    binary : bool
        Whether it is no text: asked first, and read up to the limit for models.
    """

    name: str
    title: str
    hint: str
    sniff: Callable[[Source], bool]
    parse: Callable[[Source, Mapping[str, Any]], Problem]
    parse_plan: Callable[[Source], Found | None] | None = None
    options: frozenset[str] = frozenset()
    members: tuple[str, ...] = ()
    binary: bool = False
