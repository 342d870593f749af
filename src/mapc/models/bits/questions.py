"""How the bits family asks solvers: which one, in which unit, for how long.

CP-SAT calculates in whole numbers and is given every quantum, so that its proof is exact. Solvers
with floating-point tolerances are given losses in a coarser unit (see `formulations`), and prove
what is left of a quantum's precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mapc.models.base import Search
from mapc.program import Program
from mapc.solvers.base import Solution

EXACT = ("cpsat",)
"""Backends that calculate in whole numbers."""


@dataclass(frozen=True)
class Question:
    """One way to ask.

    Attributes
    ----------
    backend : str
    unit : int or None
        Quanta per unit of the objective; None for what floats can tell apart.
    time : float or None
        Seconds, at most what remains.
    work : float
        Where the clock does not count.
    """

    backend: str
    unit: int | None
    time: float | None
    work: float

    def put(
        self, search: Search, program: Program, on_values: Callable[[Any], None] | None = None
    ) -> Solution:
        """Have a program solved."""
        return search.solve(
            program, prefer=(self.backend,), time=self.time, work=self.work, on_values=on_values
        )

    def trusts(self, solution: Solution) -> bool:
        """Whether the bound of an answer holds to the last unit.

        It does not where a floating-point solver stepped in for an exact one and met losses of
        52 bits.
        """
        return self.unit is None or solution.backend in EXACT


def questions(
    search: Search, backends: Sequence[str], time: float | None, work: float
) -> list[Question]:
    """Return one question per backend; only the first of those a user chose, if any did."""
    chosen = getattr(search, "backends", None)
    if chosen is not None:
        backends = tuple(chosen)[:1] or ("none",)
    return [Question(b, 1 if b in EXACT else None, time, work) for b in backends]
