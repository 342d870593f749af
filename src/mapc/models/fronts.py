"""Fronts: the best objective against one resource, for whoever sweeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mapc.errors import ExitCode, MapcError
from mapc.solvers.result import Result

SUPPORTED, ALL, OPEN, CERTIFIED = "supported", "all", "open", "certified"
"""Points: those that are optimal for some price of the resource; every one that nothing beats in
both; as many of these as were found, some of them with a gap; the best ones at given budgets, with
bounds.
"""

Columns = dict[str, list[Any]]


class FrontError(MapcError):
    """A front that cannot be listed."""

    exit_code = ExitCode.NO_PLAN


@dataclass(frozen=True)
class Front:
    """A front of one resource.

    Attributes
    ----------
    resource, unit : str
    columns : dict of equally long lists
        By rising ``cost``, what a point takes of the resource. Beside it the objective, under the
        name ``value`` says; of points that were searched for ``bound`` and ``gap``, of those at
        given budgets ``budget``; and what else the family has to say.
    kind : str
        ``SUPPORTED``, ``ALL``, ``OPEN`` or ``CERTIFIED``.
    value : str
        The column of the objective.
    notes : tuple of str
    """

    resource: str
    unit: str
    columns: Columns
    kind: str
    value: str = "loss"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns["cost"])


class Sweep(Protocol):
    """What the sweep of a family may use."""

    gap: float
    """Relative gap that is good enough."""

    def stop(self) -> bool:
        """Whether the time is up, or the user has had enough."""

    def remaining(self) -> float:
        """Seconds left; infinite without a limit."""

    def solve(
        self,
        problem: Any,
        *,
        minimize: str | None = None,
        methods: Sequence[str] | None = None,
        seconds: float | None = None,
        start: Any = None,
        bound: int | None = None,
    ) -> Result:
        """Solve one problem; ``start`` is a plan of it, ``bound`` holds for all of them."""

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""


Sweeper = Callable[[Any, "int | str | None", Sweep], Front]
"""``front(problem, points, sweep)``: ``points`` is a number of budgets, ``"all"`` or None."""
