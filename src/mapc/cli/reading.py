"""Options that say how a file is read: the same for every command that reads one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

FILE_HELP = (
    "FILE is an ONNX model, a program of torch.export (.pt2), a plain operator graph or an "
    "instance (.json), a CSV of buffers, or - for standard input."
)


def _parse_dims(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, int] | None:
    """Return ``{"batch": 1}`` for ``("batch=1",)``."""
    dims: dict[str, int] = {}
    for value in values:
        name, equals, size = value.partition("=")
        if not (name and equals and size.isascii() and size.isdigit() and len(size) <= 16):
            raise click.BadParameter(f"{value!r}: expected NAME=SIZE, e.g. batch=1")
        if dims.setdefault(name, int(size)) != int(size):
            raise click.BadParameter(f"{name!r}: given as {dims[name]} and as {size}")
    return dims or None


def _parse_budgets(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[str] | None:
    """Return the budgets, or None where there are none; what they say depends on the problem."""
    for value in values:
        if not all(part.strip() for part in value.partition("=")):
            raise click.BadParameter(f"{value!r}: expected RESOURCE=AMOUNT, e.g. size=4.5bpw")
    return list(values) or None


_BUDGET = click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="RESOURCE=AMOUNT",
    callback=_parse_budgets,
    help="Most a resource may cost, e.g. size=4.5bpw, size=100MiB, latency=0.8x. Repeatable.",
)


def budget_option(command: Command) -> Command:
    """Add ``--budget``; the command receives it as ``budgets``, a list or None."""
    return _BUDGET(command)


_OPTIONS = (
    click.option(
        "--scratchpad",
        metavar="SIZE",
        help="Capacity: bytes, a size such as 1568KiB, or M_R (largest working set), M_P (smallest "
        "capacity without extra traffic), M_H (the middle).",
    ),
    click.option("--dtype", metavar="NAME", help="Number format to count tensors in, e.g. int8."),
    click.option(
        "--fuse/--no-fuse",
        default=None,
        help="Merge elementwise operators into their producers (ONNX, torch). [default: no-fuse]",
    ),
    click.option(
        "--weights/--no-weights",
        default=None,
        help="Count weights as tensors to load (ONNX, torch). [default: no-weights]",
    ),
    click.option(
        "--alignment",
        type=click.IntRange(1, 2**30),
        metavar="N",
        help="Bytes to which addresses and sizes are rounded.",
    ),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=N",
        callback=_parse_dims,
        help="Size of a symbolic dimension (ONNX), e.g. batch=1. Repeatable.",
    ),
    _BUDGET,
    click.option(
        "--rule",
        "rules",
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda ctx, param, values: list(values) or None,
        help="Option of a memory problem, e.g. weights=pinned, weights=streamed, prefetch=2, "
        "in-place=elementwise, recompute=elementwise, banks=512KiB+256KiB, objective=energy, "
        "write-cost=3. Repeatable.",
    ),
    click.option(
        "--keep-order",
        is_flag=True,
        default=None,
        help="Run operators in the file's order (memory); bounds hold for that order.",
    ),
)


def reading_options(command: Command) -> Command:
    """Add the options above; the command receives them as keywords to hand to `read_problem`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """Add ``--json``; the command receives it as ``as_json``."""
    text = "Print one JSON object on standard output and nothing else."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def read_problem(file: str, options: Mapping[str, Any]) -> Any:
    """Read a problem with the options as parsed; what was not given is left to the reader."""
    from mapc import api

    return api.read(file, **{name: value for name, value in options.items() if value is not None})


def given_rules(options: Mapping[str, Any]) -> list[str] | None:
    """Return the rules among the options as parsed, ``--keep-order`` being one of them."""
    rules = list(options["rules"] or ())
    if options["keep_order"]:
        rules.append("order=given")
    return rules or None


def parse_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return seconds > 0, or None, no limit, for ``0`` and ``none``."""
    if value is None or value.strip().lower() == "none":
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{value!r}: expected seconds, or 0 or none for no limit")
    return seconds or None
