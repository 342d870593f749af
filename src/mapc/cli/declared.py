"""Flags of the command line from options that importers, generators and exporters declare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mapc.options import Option


def flag(option: Option) -> click.Option:
    r"""Return the click option for a declared one; what is not given stays None.

    A list is separated by commas, repeated, or both; ``\,`` is a comma within a value.
    """
    if option.kind is bool:
        off = "--no-" + option.flag.removeprefix("--")
        return click.Option([option.name, f"{option.flag}/{off}"], default=None, help=_help(option))
    return click.Option(
        [option.name, option.flag],
        type=click.STRING if option.many else _type(option),
        multiple=option.many,
        callback=_joiner(option) if option.many else None,
        required=option.required,
        metavar=_metavar(option),
        help=_help(option),
    )


def _type(option: Option) -> click.ParamType[Any]:
    """Return what turns the text of one value into the value."""
    return click.Choice(option.choices) if option.choices else _TYPES[option.kind]


_TYPES: Mapping[type, click.ParamType[Any]] = {
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    Path: click.STRING,  # whether it can be read, the reader says
}
_COMMA = re.compile(r"(?<!\\),")


def _joiner(option: Option) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """Return what makes one list of all occurrences of an option."""

    def join(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Any:
        parts = [part.strip() for text in texts for part in _COMMA.split(text)]
        if not all(parts):
            raise click.BadParameter(f"{','.join(texts)!r}: expected values separated by commas")
        return [_type(option)(part.replace("\\,", ","), param, ctx) for part in parts] or None

    return join


_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "FILE"}


def _metavar(option: Option) -> str | None:
    if option.choices and not option.many:
        return None  # click lists them
    one = "|".join(option.choices) if option.choices else _METAVARS[option.kind]
    return f"{one},..." if option.many else one


def _help(option: Option) -> str:
    if option.default is None or option.required:
        return option.help
    value = option.default
    if option.kind is bool:
        value = option.name if value else f"no-{option.name}"
    elif option.many:
        value = ",".join(map(str, value))
    return f"{option.help} [default: {value}]"


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in values.items() if value is not None}
