"""What an importer says about itself, so that a command line can offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapc.errors import UsageError
from mapc.models.bits.budgets import apply_budgets
from mapc.models.bits.problem import BitsProblem

TEXT, LIST, FILE, NUMBER = "text", "list", "file", "number"
"""Values of options: str; sequence of str (commas on a command line); a path; an int."""


@dataclass(frozen=True)
class Option:
    """A keyword of an importer's function.

    Attributes
    ----------
    name : str
        With underscores; a command line writes hyphens.
    kind : str
        ``TEXT``, ``LIST``, ``FILE`` or ``NUMBER``.
    help : str
    required : bool
    choices : tuple of str
        The only values of a ``TEXT``, where there are such.
    """

    name: str
    kind: str
    help: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importer:
    """A kind of file that holds, or leads to, a bits problem.

    Attributes
    ----------
    name : str
        As in ``mapc import NAME FILE``.
    function : callable
        ``function(path, **options) -> BitsProblem``.
    options : tuple of Option
    summary : str
        One line for listings.
    """

    name: str
    function: Callable[..., BitsProblem]
    options: tuple[Option, ...]
    summary: str

    def __call__(
        self, path: str | Path, *, budget: Sequence[str] = (), **options: Any
    ) -> BitsProblem:
        """Import a file and set budgets such as ``"size=0.25"`` or ``"size=4.5bpw"``.

        Options that are None count as not given.

        Raises
        ------
        InstanceError
            For a file that breaks the rules of its format.
        UsageError
            For an option that the importer does not have, one that it needs, and budgets that are
            none (see `mapc.models.bits.budgets.parse_budget`).
        """
        known = {option.name: option for option in self.options}
        given = {name: value for name, value in options.items() if value is not None}
        for name, value in given.items():
            if name not in known:
                listed = ", ".join(known) or "none"
                raise UsageError(f"import {self.name}: no option {name!r}; it has: {listed}")
            if known[name].choices and value not in known[name].choices:
                raise UsageError(
                    f"import {self.name}: {name} {value!r}; expected one of "
                    f"{', '.join(known[name].choices)}"
                )
        for option in self.options:
            if option.required and option.name not in given:
                raise UsageError(f"import {self.name}: option {option.name!r} is missing")
        return apply_budgets(self.function(path, **given), budget)
