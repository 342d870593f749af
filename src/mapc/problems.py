"""Where problems come from: files, seeded generators, and the same problem under other limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike, fspath
from typing import Any

from mapc.errors import UsageError
from mapc.models import family_of

Path = str | PathLike[str]
BUDGETED = ("bits",)
"""Families with budgets: ``mapc.models.<kind>.budgets`` has ``apply_budgets(problem, texts)``."""


def read(
    path: Path,
    *,
    scratchpad: str | int | None = None,
    dtype: str | None = None,
    fuse: bool = False,
    weights: bool | str = False,
    alignment: int | None = None,
    dims: Mapping[str, int] | None = None,
    budgets: Sequence[str] | None = None,
    rules: Sequence[str] | None = None,
    keep_order: bool = False,
    importer: str | None = None,
    **options: Any,
) -> Any:
    """Read a problem: an ONNX model, a torch program, an operator graph, lifetimes, an instance.

    With an ``importer`` the file is what that importer takes, such as a table of sensitivities::

        mapc.read("inputs.json", importer="hawq", model="resnet50", budgets=["size=0.25"])

    Parameters
    ----------
    path : path
        ``.onnx``, ``.pt2`` (torch), ``.json`` (instance, or plain operator graph) or ``.csv``
        (minimalloc). The importer ``torch`` also takes a ``torch.export.ExportedProgram``.
    scratchpad : str or int, optional
        Capacity: bytes, a size such as ``"1568KiB"``, or ``"M_R"``, ``"M_H"``, ``"M_P"``.
    dtype : str, optional
        Element type all tensors are counted in, e.g. ``"int8"`` (ONNX, torch).
    fuse : bool
        Merge single-consumer elementwise operators into their producers (ONNX, torch).
    weights : bool
        Count parameters as tensors to load (ONNX, torch); of the importer ``imatrix``, a file.
    alignment : int, optional
        Bytes to which addresses and sizes are rounded.
    dims : mapping, optional
        Values of symbolic dimensions (ONNX), e.g. ``{"batch": 1}``.
    budgets : sequence of str, optional
        Most that resources may cost (bits), e.g. ``["size=4.5bpw", "latency=0.8x"]``.
    rules : sequence of str, optional
        Options of a memory problem, e.g. ``["weights=pinned", "prefetch=2"]``; see `with_rules`.
    keep_order : bool
        Operators of a memory problem run in the file's order (the rule ``"order=given"``).
    importer : str, optional
        A key of `mapc.instances.importers.IMPORTERS`.
    **options
        What the importer takes.

    Raises
    ------
    InstanceError
        For a file that cannot be read as what it claims to be.
    UsageError
        For an option that does not apply, or a size that is none.
    """
    from mapc import instances

    reading = {"dtype": dtype, "fuse": fuse, "weights": weights, "alignment": alignment}
    if importer is not None:
        given = {name: value for name, value in {**reading, "dims": dims}.items() if value}
        # what is no path, some importers take as it is, others refuse
        file = fspath(path) if isinstance(path, str | PathLike) else path
        problem = _import(importer, file, {**given, **options})
    elif options:
        raise UsageError(f"option {next(iter(options))!r}: unknown without an importer")
    elif isinstance(weights, str):
        raise UsageError(f"weights {weights!r}: a file for an importer; expected True or False")
    else:
        problem = instances.read(
            fspath(path), dtype=dtype, fuse=fuse, weights=weights, alignment=alignment, dims=dims
        )
    if rules is not None:
        problem = with_rules(problem, rules)
    if keep_order:
        kind = family_of(problem).kind
        if kind != "memory":
            raise UsageError(f"--keep-order does not apply to {kind} problems; expected memory")
        problem = with_rules(problem, ["order=given"])
    if scratchpad is not None:
        problem = family_of(problem).with_capacity(problem, scratchpad)
    return problem if budgets is None else with_budgets(problem, budgets)


def _import(name: str, path: str, options: Mapping[str, Any]) -> Any:
    from mapc.instances.importers import IMPORTERS

    if name not in IMPORTERS:
        raise UsageError(f"importer {name!r}: unknown; expected {', '.join(IMPORTERS)}")
    return IMPORTERS[name](path, **options)


def generate(kind: str, **options: Any) -> Any:
    """Return a random problem; equal options give equal problems.

    Parameters
    ----------
    kind : str
        A key of `mapc.instances.generators.GENERATORS`, e.g. ``"bits"``.
    **options
        What the generator takes, e.g. ``groups=44_000, seed=0``.

    Raises
    ------
    UsageError
        For an option that is unknown, missing, or out of range.
    """
    from mapc.instances.generators import generator

    return generator(kind)(**options)


def with_budgets(problem: Any, budgets: Sequence[str]) -> Any:
    """Return a problem under other budgets; those that are not named stay as they are.

    Parameters
    ----------
    problem : problem of a family with budgets
    budgets : sequence of str
        ``RESOURCE=AMOUNT``, e.g. ``"size=4.5bpw"``, ``"size=100MiB"``, ``"latency=0.8x"``.

    Raises
    ------
    UsageError
        For a family without budgets, a resource the problem has not, or an amount that is none.
    """
    kind = family_of(problem).kind
    if kind not in BUDGETED:
        raise UsageError(
            f"budgets do not apply to {kind} problems; expected one of {', '.join(BUDGETED)}"
        )
    module = import_module(f"mapc.models.{kind}.budgets")
    return module.apply_budgets(problem, list(budgets))


def with_rules(problem: Any, rules: Sequence[str]) -> Any:
    """Return a memory problem with options by rule; those that are not named stay as they are.

    Parameters
    ----------
    problem : MemoryProblem
    rules : sequence of str
        ``NAME=VALUE``, e.g. ``"weights=streamed"``, ``"in-place=elementwise"``,
        ``"objective=energy"``; `mapc.models.memory.options.rules` has them all.

    Raises
    ------
    UsageError
        For a problem of another family, or a rule that is none.
    """
    from mapc.models.memory.options.rules import apply_rules

    kind = family_of(problem).kind
    if kind != "memory":
        raise UsageError(f"rules do not apply to {kind} problems; expected a memory problem")
    return apply_rules(problem, rules)
