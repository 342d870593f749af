"""One way in: recognise a file and read the problem or the plan in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UsageError
from mapc.files import MAX_MODEL_BYTES, MAX_TEXT_BYTES, display_name, read_bytes
from mapc.instances import schema
from mapc.instances.documents import Plan, PlanInfo, Problem
from mapc.instances.formats import Format, Source
from mapc.instances.readers import FORMATS
from mapc.units import MAX_BYTES


def read(
    path: str | Path,
    *,
    dtype: str | None = None,
    fuse: bool = False,
    weights: bool = False,
    alignment: int | None = None,
    dims: Mapping[str, int] | None = None,
) -> Problem:
    """Read a problem, whatever the format of its file; ``-`` is standard input.

    Parameters
    ----------
    path : path
        An ONNX model, an instance or a plan of mapc, a plain operator graph, a CSV of buffers;
        recognised by suffix and content. Text up to 512 MiB, models up to 2 GiB.
    dtype : str, optional
        Number format of the floating-point tensors of an ONNX model, or of a graph counted in
        elements, e.g. ``"int8"``.
    fuse : bool
        Merge elementwise operators into the one that produces their input (ONNX).
    weights : bool
        Keep weights as constants of the graph (ONNX).
    alignment : int, optional
        Bytes; replaces what the file says.
    dims : mapping, optional
        Sizes of symbolic dimensions, e.g. ``{"batch": 1}`` (ONNX).

    Returns
    -------
    problem of any family
        Without a capacity unless the file holds one. Its ``provenance`` names the file and the
        options used.

    Raises
    ------
    InstanceError
        For an input that cannot be read or breaks a rule of its format.
    UsageError
        For an option that does not apply to the format or has no meaning.
    UnavailableError
        For an ONNX model without the ``onnx`` package.
    """
    options: dict[str, Any] = {}
    for name, value, unset in (
        ("dtype", dtype, None),
        ("fuse", fuse, False),
        ("weights", weights, False),
        ("dims", dict(dims) if dims else None, None),
    ):
        if value != unset:
            options[name] = value
    _check_dims(options.get("dims", {}))
    source = Source(path, read_bytes(path, MAX_MODEL_BYTES), display_name(path))
    form = _recognise(source)
    for name in options:
        if name not in form.options:
            raise UsageError(f"{source.where}: option {name} does not apply to {form.title}")
    problem = form.parse(source, options)
    return problem if alignment is None else _with_alignment(problem, alignment, source, form)


def read_plan(path: str | Path) -> tuple[Problem, Plan, PlanInfo]:
    """Read a plan: the problem it is for, the plan, and what was said about it.

    A plan file of mapc, or a CSV of buffers with their offsets, as minimalloc writes it. The shape
    of the plan is checked (lengths, indices), its rules are not: that is the verifier's.

    Raises
    ------
    InstanceError
        If the file is no plan, or its instance is not the one it was made for.
    """
    source = Source(path, read_bytes(path, MAX_TEXT_BYTES), display_name(path))
    form = _recognise(source)
    found = form.parse_plan(source) if form.parse_plan else None
    if found is None:
        raise InstanceError(
            f"{form.title} without a plan",
            source.where,
            "a plan file, or a CSV with a column offset",
        )
    return found


def _recognise(source: Source) -> Format:
    """Return the format; what is no text is told before anything is decoded."""
    for form in FORMATS:
        if form.binary and form.sniff(source):
            return form
    if len(source.data) > MAX_TEXT_BYTES:
        raise InstanceError(
            "file too large", source.where, f"at most {MAX_TEXT_BYTES} bytes of text"
        )
    _ = source.text  # what is no UTF-8 is refused here, whatever it would have been
    for form in FORMATS:
        if not form.binary and form.sniff(source):
            return form
    raise _unrecognised(source)


def _unrecognised(source: Source) -> InstanceError:
    hints = ", ".join(form.hint for form in FORMATS[:-1]) + f" or {FORMATS[-1].hint}"
    if source.schema is not None:
        alone = source.schema == schema.LIBRARY_PLAN
        return InstanceError(
            f"schema {source.schema[:80]!r}" + (", a plan without its instance" if alone else ""),
            f"{source.where}: $.schema",
            f"{schema.INSTANCE} or {schema.PLAN}" + (", of mapc solve -o" if alone else ""),
        )
    if source.is_json:
        keys = [" and ".join(map(repr, form.members)) for form in FORMATS if form.members]
        return InstanceError(
            ", ".join(["no 'schema'", *map("no {}".format, keys)]), f"{source.where}: $", hints
        )
    return InstanceError("format not recognised", source.where, hints)


def _with_alignment(problem: Problem, alignment: int, source: Source, form: Format) -> Problem:
    if "alignment" not in {f.name for f in fields(problem)}:
        raise UsageError(f"{source.where}: option alignment does not apply to {form.title}")
    try:
        return replace(problem, alignment=alignment)
    except InstanceError as error:
        raise UsageError(str(error)) from None


def _check_dims(dims: Mapping[str, Any]) -> None:
    for name, size in dims.items():
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BYTES:
            raise UsageError(f"dims: {name!r} is {size!r}; expected an integer >= 0")
