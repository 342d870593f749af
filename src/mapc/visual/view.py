"""What a report is about: a problem, a plan, and what the run that found it said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mapc.solvers.base import Event, Number
from mapc.solvers.result import Result


@dataclass(frozen=True)
class Record:
    """What is known of the run that found a plan; of a plan from elsewhere, nothing.

    Attributes
    ----------
    status, method, bound_method, reason : str
        As in `Result`; empty where unknown.
    objective, bound, gap : number or None
        As the run reported them.
    seconds : float or None
    interrupted : bool
    notes : tuple of str
    asked : mapping
        What the run was asked for: ``time_limit``, ``gap``, ``seed``, ``workers``, ``methods``, ...
    versions : mapping
        Of mapc, Python and the solvers.
    command : str
        The command line, where there was one.
    trajectory : tuple of Event
        Every better plan and every better bound.
    """

    status: str = ""
    objective: Number | None = None
    bound: Number | None = None
    gap: float | None = None
    method: str = ""
    bound_method: str = ""
    seconds: float | None = None
    interrupted: bool = False
    reason: str = ""
    notes: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    trajectory: tuple[Event, ...] = ()


@dataclass(frozen=True, eq=False)
class View:
    """One plan to show.

    Attributes
    ----------
    label : str
        The file, or what else to call it.
    kind : str
        Family.
    problem : problem of that family
    plan : plan of that family, or None
        None: the run ended without one.
    record : Record
    objective : number or None
        Recomputed by the verifier.
    facts : mapping
        The family's figures of the problem, and the verifier's of the plan.
    violations : tuple of str
        Rules that the plan breaks; pictures may be drawn all the same, where they can be.
    phrase : callable
        Puts an objective value in words, with its unit.
    front : mapping of columns, or None
        Of ``mapc solve --front -o FILE.json``: equally long lists by name, ``cost`` among them.
    comparison : tuple of mappings
        Of ``mapc compare --json``: one for each method.
    plan_file : str
        Path of a file that holds the plan and its problem; empty where there is none.
    """

    label: str
    kind: str
    problem: Any
    plan: Any
    record: Record
    objective: Number | None
    facts: Mapping[str, Any]
    violations: tuple[str, ...]
    phrase: Callable[[Number], str]
    front: Mapping[str, Any] | None = None
    comparison: tuple[Mapping[str, Any], ...] = ()
    plan_file: str = ""

    @property
    def bound(self) -> Number | None:
        """The bound the run proved."""
        return self.record.bound


def record_of(result: Result) -> Record:
    """Return what a result says of its run."""
    return Record(
        status=result.status.value,
        objective=result.objective,
        bound=result.bound,
        gap=result.gap,
        method=result.method,
        bound_method=result.bound_method,
        seconds=result.seconds,
        interrupted=result.interrupted,
        reason=result.reason,
        notes=result.notes,
        asked=result.asked,
        versions=result.versions,
        command=result.command,
        trajectory=result.trajectory,
    )
