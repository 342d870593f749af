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
    asked : mapping
        What the run was asked for: ``time_limit``, ``gap``, ``seed``, ``workers``, ``methods``,
        ``backends``, ``memory_limit``, ``minimize``; JSON values.
    versions : mapping of str to str
        Of mapc, Python and the packages that solve.
    command : str
        The command line, where there was one.
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
    asked: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

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

    def _repr_html_(self) -> str:
        """Return what notebooks show: the result in a line, a table, and the gap over time."""
        from mapc.visual.notebook import result_html

        return result_html(self)

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

    def record(self) -> dict[str, Any]:
        """Return what a plan file keeps: `to_dict`, and how the run came to it.

        ``asked``, ``versions`` and ``command`` are as above; ``trajectory`` has equally long lists
        ``seconds``, ``kind``, ``objective``, ``bound``, ``source``, at most `MAX_STEPS` long.
        """
        steps = thinned(self.trajectory)
        return {
            **self.to_dict(),
            "asked": dict(self.asked),
            "versions": dict(self.versions),
            "command": self.command,
            "trajectory": {
                "seconds": [round(step.time, 4) for step in steps],
                "kind": [step.kind for step in steps],
                "objective": [step.objective for step in steps],
                "bound": [step.bound for step in steps],
                "source": [step.source for step in steps],
            },
        }


MAX_STEPS = 1_000
"""Steps of a trajectory that a plan file keeps."""


def thinned(steps: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return at most `MAX_STEPS` steps, evenly chosen, the first and the last among them."""
    n = len(steps)
    if n <= MAX_STEPS:
        return steps
    return tuple(steps[i * (n - 1) // (MAX_STEPS - 1)] for i in range(MAX_STEPS))
