"""What an importer says about itself, so that a command line can offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapc.models.bits.budgets import apply_budgets
from mapc.models.bits.problem import BitsProblem
from mapc.options import Option, check_options


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
        Its keywords.
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
        given = {name: value for name, value in options.items() if value is not None}
        check_options(self.options, given, f"importer {self.name}")
        return apply_budgets(self.function(path, **given), budget)
