"""Flags of the command line from options that importers, generators and exporters declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mapc.errors import UsageError

if TYPE_CHECKING:
    from mapc.options import Option


def flag(option: Option) -> click.Option:
    """Return the click option for a declared one; what is not given stays None."""
    if option.kind is bool:
        off = "--no-" + option.flag.removeprefix("--")
        return click.Option([option.name, f"{option.flag}/{off}"], default=None, help=_help(option))
    return click.Option(
        [option.name, option.flag],
        type=click.STRING if option.many else _type(option),
        callback=_splitter(option) if option.many else None,
        required=option.required,
        metavar=_metavar(option),
        help=_help(option),
    )


def _splitter(option: Option) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def split(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
        return None if text is None else _values(option, text)

    return split


def _type(option: Option) -> click.ParamType[Any]:
    """Return what turns the text of one value into the value."""
    return click.Choice(option.choices) if option.choices else _TYPES[option.kind]


_TYPES: Mapping[type, click.ParamType[Any]] = {
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    bool: click.BOOL,
}
_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _metavar(option: Option) -> str | None:
    if option.choices and not option.many:
        return None
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


def parse_settings(
    settings: Sequence[str], declared: Sequence[Option], what: str
) -> dict[str, Any]:
    """Return options written as ``name=value``, each converted as it was declared.

    Raises
    ------
    UsageError
        For a text without ``=``, an option that is unknown or given twice, or a value of another
        kind.
    """
    known = {option.name.replace("_", "-"): option for option in declared}
    found: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        option = known.get(name.replace("_", "-"))
        if not equals:
            raise UsageError(f"option {text!r}: expected NAME=VALUE")
        if option is None:
            takes = f"expected {', '.join(known)}" if known else "it takes none"
            raise UsageError(f"{what}: unknown option {name!r}; {takes}")
        if option.name in found:
            raise UsageError(f"{what}: option {name!r} is given twice")
        found[option.name] = _parsed(option, value, what)
    return found


def _parsed(option: Option, text: str, what: str) -> Any:
    try:
        if option.many:
            return _values(option, text)
        return _type(option).convert(text, None, None)
    except click.BadParameter as error:
        raise UsageError(f"{what}: option {option.name!r}: {error.message}") from None


def _values(option: Option, text: str) -> list[Any]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise click.BadParameter(f"{text!r}: expected values separated by commas")
    return [_type(option).convert(part, None, None) for part in parts]
