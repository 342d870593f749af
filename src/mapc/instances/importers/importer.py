"""What an importer says about itself, so that a command line can offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mapc.errors import UsageError
from mapc.options import Option, check_options


@dataclass(frozen=True)
class Importer:
    """A kind of file that holds, or leads to, a problem of one family.

    Attributes
    ----------
    name : str
        As in ``mapc import NAME FILE``.
    function : callable
        ``function(path, **options) -> problem``.
    options : tuple of Option
        Its keywords.
    summary : str
        One line for listings.
    kind : str
        The family.
    """

    name: str
    function: Callable[..., Any]
    options: tuple[Option, ...]
    summary: str
    kind: str = "bits"

    @property
    def budgeted(self) -> bool:
        """Whether its problems have budgets to set."""
        return find_spec(f"mapc.models.{self.kind}.budgets") is not None

    def __call__(self, path: str | Path, *, budget: Sequence[str] = (), **options: Any) -> Any:
        """Import a file and set budgets such as ``"size=0.25"`` or ``"size=4.5bpw"``.

        Options that are None count as not given.

        Raises
        ------
        InstanceError
            For a file that breaks the rules of its format.
        UsageError
            For an option that the importer does not have, one that it needs, budgets that are none
            (see `mapc.models.bits.budgets.parse_budget`), and any budget of a family without them.
        """
        given = {name: value for name, value in options.items() if value is not None}
        check_options(self.options, given, f"importer {self.name}")
        if budget and not self.budgeted:
            raise UsageError(f"importer {self.name}: {self.kind} problems have no budgets")
        problem = self.function(path, **given)
        if not budget:
            return problem
        return import_module(f"mapc.models.{self.kind}.budgets").apply_budgets(problem, budget)
