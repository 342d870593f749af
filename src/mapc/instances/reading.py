"""One way in: recognise a file and read the problem or the plan in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UsageError
from mapc.files import (
    MAX_MODEL_BYTES,
    MAX_TEXT_BYTES,
    STREAM,
    decode_text,
    display_name,
    read_bytes,
)
from mapc.instances import schema
from mapc.instances.buffers_csv import is_header, parse_buffers
from mapc.instances.documents import (
    Plan,
    PlanInfo,
    Problem,
    content_hash,
    parse_instance,
    parse_plan,
)
from mapc.instances.graph_json import parse_graph
from mapc.instances.onnx_graph import to_operator_graph
from mapc.instances.onnx_model import load_model
from mapc.models.memory.problem import MemoryProblem
from mapc.units import MAX_BYTES

FORMATS = (
    "an ONNX model (.onnx), a mapc instance or plan (.json), a plain operator graph (.json) "
    "or buffers (.csv with id,lower,upper,size)"
)

_OPTIONS = {
    "onnx": {"dtype", "fuse", "weights", "dims"},
    "graph": {"dtype"},
    "csv": set[str](),
    "instance": set[str](),
    "plan": set[str](),
}
_TITLES = {
    "onnx": "an ONNX model",
    "graph": "a plain operator graph",
    "csv": "a CSV of buffers",
    "instance": "an instance file",
    "plan": "a plan file",
}


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
    MemoryProblem or AllocationProblem
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
    where = display_name(path)
    data = read_bytes(path, MAX_MODEL_BYTES)
    form = _recognise(path, data, where)
    for name in options:
        if name not in _OPTIONS[form]:
            raise UsageError(f"{where}: option {name} does not apply to {_TITLES[form]}")
    problem = _parse(form, data, path, where, options)
    if alignment is None:
        return problem
    try:
        return replace(problem, alignment=alignment)
    except InstanceError as error:
        raise UsageError(str(error)) from None


def read_plan(path: str | Path) -> tuple[Problem, Plan, PlanInfo]:
    """Read a plan: the problem it is for, the plan, and what was said about it.

    A plan file of mapc, or a CSV of buffers with their offsets, as minimalloc writes it. The shape
    of the plan is checked (lengths, indices), its rules are not: that is the verifier's.

    Raises
    ------
    InstanceError
        If the file is no plan, or its instance is not the one it was made for.
    """
    where = display_name(path)
    data = read_bytes(path, MAX_TEXT_BYTES)
    form = _recognise(path, data, where)
    if form == "plan":
        return parse_plan(data, where)
    if form == "csv":
        problem, plan = parse_buffers(decode_text(data, where), where, _stem(path))
        if plan is not None:
            return problem, plan, PlanInfo(content_hash(problem), {}, {})
    raise InstanceError(
        f"{_TITLES[form]} without a plan", where, "a plan file, or a CSV with a column offset"
    )


def _parse(
    form: str, data: bytes, path: str | Path, where: str, options: dict[str, Any]
) -> Problem:
    if form == "instance":
        return parse_instance(data, where)
    if form == "plan":
        return parse_plan(data, where)[0]
    provenance: dict[str, Any] = {"source": Path(path).name, "format": form, "options": options}
    if form == "csv":
        problem, _ = parse_buffers(decode_text(data, where), where, _stem(path))
        return replace(problem, provenance=provenance)
    if form == "graph":
        graph = parse_graph(data, where, _stem(path), options.get("dtype"))
        return MemoryProblem(graph, provenance=provenance)
    folder = None if str(path) == STREAM else Path(path).parent
    reading = dict(options)
    model = load_model(data, where, folder, reading.pop("dims", None))
    name = _stem(path) if str(path) != STREAM else model.name or "graph"
    try:
        graph, counts = to_operator_graph(model, name, **reading)
    except InstanceError as error:
        raise error.inside(where) from None
    return MemoryProblem(graph, provenance={**provenance, "counts": counts})


def _stem(path: str | Path) -> str:
    return "graph" if str(path) == STREAM else Path(path).stem


def _recognise(path: str | Path, data: bytes, where: str) -> str:
    """Return the format: suffix first, content where that does not decide."""
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return "onnx"
    start = data[:4096].lstrip()
    # an ONNX file begins with its IR version: field 1, a small number
    if suffix not in (".json", ".csv") and data[:1] == b"\x08":
        return "onnx"
    if len(data) > MAX_TEXT_BYTES:
        raise InstanceError("file too large", where, f"at most {MAX_TEXT_BYTES} bytes of text")
    text = decode_text(data, where)
    if suffix == ".json" or start[:1] in (b"{", b"["):
        return _json_format(data, where)
    if suffix == ".csv" or _looks_like_csv(text):
        return "csv"
    raise InstanceError("format not recognised", where, FORMATS)


def _json_format(data: bytes, where: str) -> str:
    header = schema.decode(data, schema.Header, where)
    if header.schema:
        name = schema.decode(bytes(header.schema), str, f"{where}: $.schema")
        if name == schema.INSTANCE:
            return "instance"
        if name == schema.PLAN:
            return "plan"
        raise InstanceError(
            f"schema {name[:80]!r}", f"{where}: $.schema", f"{schema.INSTANCE} or {schema.PLAN}"
        )
    if header.ops or header.tensors:
        return "graph"
    raise InstanceError("no 'schema', no 'ops' and 'tensors'", f"{where}: $", FORMATS)


def _looks_like_csv(text: str) -> bool:
    for line in text[:65536].splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return is_header(line)
    return False


def _check_dims(dims: Mapping[str, Any]) -> None:
    for name, size in dims.items():
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BYTES:
            raise UsageError(f"dims: {name!r} is {size!r}; expected an integer >= 0")
