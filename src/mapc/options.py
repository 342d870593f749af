"""Options that importers, generators and exporters declare.

One declaration serves both ways in: keywords of `mapc.read`, `mapc.generate` and `mapc.export`,
and flags of the command line. Nothing heavy is imported here, so that ``--help`` stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mapc.errors import UsageError


@dataclass(frozen=True)
class Option:
    """A keyword that an importer, a generator or an exporter takes.

    Attributes
    ----------
    name : str
        The keyword; ``group_size`` is ``--group-size`` on the command line.
    help : str
        One sentence.
    kind : type
        ``int``, ``float``, ``str``, ``bool``, or ``Path`` for a file, which may be a text as well.
    default : object
        Only said in help; an option that is not given is left to the function.
    choices : tuple of str
        The only values, where there are few.
    many : bool
        A list of such values, separated by commas on the command line.
    required : bool
    """

    name: str
    help: str
    kind: type = str
    default: Any = None
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = False

    @property
    def flag(self) -> str:
        """The option as the command line spells it."""
        return "--" + self.name.replace("_", "-")


def check_options(declared: Sequence[Option], given: Mapping[str, Any], what: str) -> None:
    """Refuse options that are not declared, missing ones, and values of another kind.

    Parameters
    ----------
    declared : sequence of Option
    given : mapping
        Values by name.
    what : str
        Whose options they are, for messages: ``"importer hawq"``.

    Raises
    ------
    UsageError
    """
    known = {option.name: option for option in declared}
    for name in given:
        if name not in known:
            takes = f"expected {', '.join(known)}" if known else "it takes none"
            raise UsageError(f"{what}: unknown option {name!r}; {takes}")
    for option in declared:
        if option.name in given:
            _check(option, given[option.name], what)
        elif option.required:
            raise UsageError(f"{what}: option {option.name!r} is missing: {option.help}")


def _check(option: Option, value: Any, what: str) -> None:
    if option.many and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise UsageError(f"{what}: option {option.name!r} is {value!r}; expected a list")
    for item in value if option.many else (value,):
        if not _is_of(item, option.kind):
            raise UsageError(
                f"{what}: option {option.name!r} is {item!r}; expected {_KINDS[option.kind]}"
            )
        if option.choices and item not in option.choices:
            raise UsageError(
                f"{what}: option {option.name!r} is {item!r}; "
                f"expected {', '.join(option.choices[:-1])} or {option.choices[-1]}"
            )


_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    Path: "a path",
}


def _is_of(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # a bool is an int, but nobody means it as one
        return kind is bool
    if kind is Path:
        return isinstance(value, str | PathLike)
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
