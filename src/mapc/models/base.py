"""What a problem family offers, and what it may ask of a search while it works.

Families import no solver: a method receives a `Search`, through which it proposes plans and
bounds and has programs solved. The portfolio implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mapc.errors import UsageError
from mapc.program.model import Program
from mapc.solvers.base import Number, Solution

BOUND, HEURISTIC, EXACT = "bound", "heuristic", "exact"
"""What a method is for."""


@dataclass(frozen=True)
class Verdict:
    """What replaying a plan says.

    Attributes
    ----------
    violations : tuple of str
        Broken rules, one line each; empty for a valid plan.
    objective : int or float or None
        Recomputed from problem and plan alone; None where the plan is too broken to tell.
    facts : mapping
        Family figures recomputed on the way (e.g. compulsory bytes).
    """

    violations: tuple[str, ...]
    objective: Number | None
    facts: Mapping[str, Any]


class Search(Protocol):
    """A running search, as methods see it. All times are seconds of wall time."""

    seed: int

    @property
    def objective(self) -> Number | None:
        """Objective of the best verified plan so far."""

    @property
    def plan(self) -> Any:
        """The best verified plan so far, or None."""

    @property
    def bound(self) -> Number | None:
        """The best proven lower bound so far."""

    @property
    def deterministic(self) -> bool:
        """Whether limits must not depend on the clock: use counts of steps instead."""

    def remaining(self) -> float:
        """Seconds left; infinite without a limit."""

    def done(self) -> bool:
        """Whether to stop: limit reached, interrupted, or the gap asked for is closed."""

    def propose(self, plan: Any, source: str) -> bool:
        """Offer a plan. It is verified; True when it is the new best."""

    def prove(self, bound: Number, source: str) -> None:
        """Offer a lower bound that holds for every plan."""

    def note(self, text: str) -> None:
        """Say something the user should read beside the result."""

    def solve(
        self,
        program: Program,
        *,
        prefer: Sequence[str] = ("highs", "cpsat"),
        time: float | None = None,
        work: float | None = None,
        on_values: Callable[[Any], None] | None = None,
    ) -> Solution:
        """Have a program solved by the first backend that can.

        A backend that is missing or dies costs a note and the next one is tried. ``time`` is
        cut to what remains; ``work`` is a deterministic limit in the backend's own unit
        (deterministic time for CP-SAT, thousands of nodes for HiGHS). ``on_values`` receives
        the values of every incumbent as it arrives.
        """


@dataclass(frozen=True)
class Method:
    """One way to find plans or bounds.

    Attributes
    ----------
    name : str
        As in ``methods=[...]`` and ``--method``.
    stage : str
        ``BOUND``, ``HEURISTIC`` or ``EXACT``, for listings.
    run : callable
        ``run(problem, search)``; everything found goes through the search. It may raise
        ``InfeasibleError`` when it has proven that no plan exists.
    summary : str
        One line for listings.
    default : bool
        Whether it runs unless asked for by name.
    """

    name: str
    stage: str
    run: Callable[[Any, Search], None]
    summary: str
    default: bool = True


@dataclass(frozen=True)
class Formulation:
    """A named way to lower a problem into a program.

    ``lower(problem, **options)`` returns the program and ``lift(solution) -> plan``; a pure
    relaxation has no plan to give and its lift raises ``UsageError``.
    """

    name: str
    lower: Callable[..., tuple[Program, Callable[[Solution], Any]]]
    summary: str


class Family(Protocol):
    """A problem family: everything the verbs and the portfolio need to serve it."""

    kind: str
    problem_type: type
    methods: tuple[Method, ...]
    """In the order in which a portfolio runs them: cheap bounds, quick plans, then solvers."""
    formulations: Mapping[str, Formulation]

    def precheck(self, problem: Any) -> None:
        """Raise ``InfeasibleError`` or ``UsageError`` for what no search can mend."""

    def verify(self, problem: Any, plan: Any) -> Verdict:
        """Replay a plan by the rules alone."""

    def facts(self, problem: Any) -> dict[str, Any]:
        """Figures of the problem itself, cheap, printed with every result."""

    def details(self, problem: Any) -> dict[str, Any]:
        """Figures that cost some work, for ``show``."""

    def with_capacity(self, problem: Any, text: str | int) -> Any:
        """Return the problem with a capacity in bytes, as a size, or as a named reference."""

    def phrase(self, value: Number) -> str:
        """Return an objective value in words, with its unit."""


def phrase_of(family: Family, problem: Any) -> Callable[[Number], str]:
    """Return how objective values of a problem are put in words.

    A family whose unit depends on the problem has a ``phrase_of(problem)`` of its own.
    """
    own = getattr(family, "phrase_of", None)
    return family.phrase if own is None else own(problem)


def aimed(family: Family, problem: Any, minimize: str | None) -> tuple[Family, Any]:
    """Return family and problem for another objective than the family's own; None: that.

    A family with others has ``goals()``: by name, a function from a problem to the family that
    solves it for that objective, and the problem it solves.

    Raises
    ------
    UsageError
        For an objective that the family does not have.
    """
    if minimize is None:
        return family, problem
    goals = family.goals() if hasattr(family, "goals") else {}
    if not goals:
        raise UsageError(
            f"--minimize does not apply to {family.kind} problems; expected a memory or an "
            "allocation problem"
        )
    if minimize not in goals:
        raise UsageError(f"--minimize {minimize}: expected {', '.join(goals)}")
    found: tuple[Family, Any] = goals[minimize](problem)
    return found
