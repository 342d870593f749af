"""What a solve returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mapc.solvers.base import Event, Number, Status, relative_gap


@dataclass(frozen=True, eq=False)
class Result:
    """The best verified plan, what it costs, and what is proven about it.

    Attributes
    ----------
    kind : str
        Family, e.g. ``"memory"``.
    status : Status
        ``optimal`` only where objective and bound meet exactly.
    plan : object or None
        The family's plan; it has passed the verifier.
    objective, bound : number or None
        In the family's unit; ``bound`` holds for every plan of the problem.
    method : str
        Who found the plan.
    bound_method : str
        Who proved the bound.
    seconds : float
        Wall time.
    interrupted : bool
        The user stopped it.
    reason : str
        For ``infeasible``: why; for ``unknown``: what was missing. One line.
    facts : mapping
        Family figures of the plan, recomputed by the verifier (e.g. compulsory bytes).
    notes : tuple of str
        What failed on the way, and what else to know.
    trajectory : tuple of Event
        Every better plan and every better bound, with its time and source.
    phrase : callable
        Puts an objective value in words, with its unit.
    """

    kind: str
    status: Status
    plan: Any = None
    objective: Number | None = None
    bound: Number | None = None
    method: str = ""
    bound_method: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trajectory: tuple[Event, ...] = ()
    phrase: Callable[[Number], str] = str

    @property
    def gap(self) -> float | None:
        """Relative gap; 0 when objective and bound meet, None without both."""
        return relative_gap(self.objective, self.bound)

    def __str__(self) -> str:
        """Return the result in one line, e.g. ``optimal: 392 KiB extra ..., bound 392 KiB``."""
        if self.objective is None:
            return f"{self.status.value}: {self.reason}"
        text = f"{self.status.value}: {self.phrase(self.objective)}"
        if self.bound is not None:
            text += f", bound {self.phrase(self.bound)}"
        if self.gap:
            text += f", gap {self.gap:.2%}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the keys ``--json`` prints: status, objective, bound, gap, method, seconds, ..."""
        return {
            "kind": self.kind,
            "status": self.status.value,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "method": self.method,
            "bound_method": self.bound_method,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "reason": self.reason,
            **self.facts,
            "notes": list(self.notes),
        }
