"""Who runs when, and the best plan and bound, whoever found them.

A family lists its methods in the order in which they run: bounds that cost nothing, heuristics
that need no solver, then bounds and exact methods that do.

Whatever strikes - the time limit, a dead or missing backend, Ctrl-C - the best verified plan so
far comes back with the best bound so far.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mapc.errors import InfeasibleError, UsageError
from mapc.models import family_of
from mapc.models.base import Family, Method, aimed, phrase_of
from mapc.program.model import Program
from mapc.solvers import registry
from mapc.solvers.base import (
    Event,
    Limits,
    Number,
    OnEvent,
    Solution,
    Status,
    Stop,
    relative_gap,
)
from mapc.solvers.result import Result
from mapc.versions import versions

MAX_FAILURES = 2
"""Times a backend may fail in one run before it is left alone."""
NODES_PER_WORK = 1_000
"""Branch-and-bound nodes that stand for one unit of work where a backend counts nodes."""


class Portfolio:
    """One run: implements `mapc.models.base.Search` for the family's methods.

    It begins with ``start``, a plan of the problem, and ``floor``, a bound that holds for all of
    its plans, where they are given.
    """

    def __init__(
        self,
        family: Family,
        problem: Any,
        *,
        time_limit: float | None,
        gap: float = 0.0,
        seed: int = 0,
        workers: int = 1,
        memory_limit: int | None = None,
        backends: Sequence[str] | None = None,
        on_event: OnEvent | None = None,
        start: Any = None,
        floor: Number | None = None,
        minimize: str | None = None,
    ) -> None:
        self.family, self.problem = family, problem
        self.start, self.floor = start, floor
        self.time_limit, self.target, self.seed = time_limit, gap, seed
        self.workers, self.memory_limit = workers, memory_limit
        self.backends = None if backends is None else tuple(backends)
        self.minimize = minimize
        self.methods: list[str] | None = None
        self.on_event = on_event
        self.started = clock.monotonic()
        self.plan: Any = None
        self.objective: Number | None = None
        self.bound: Number | None = None
        self.facts: dict[str, Any] = {}
        self.method = self.bound_method = ""
        self.notes: list[str] = []
        self.trajectory: list[Event] = []
        self.failures: dict[str, int] = {}
        self.interrupted = False

    # -- what methods see ----------------------------------------------------------------------

    @property
    def deterministic(self) -> bool:
        """No clock: methods stop after counted work."""
        return self.time_limit is None

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return clock.monotonic() - self.started

    def remaining(self) -> float:
        """Seconds left."""
        return math.inf if self.time_limit is None else self.time_limit - self.elapsed()

    def done(self) -> bool:
        """Whether to stop."""
        return self.remaining() <= 0 or self.closed()

    def closed(self) -> bool:
        """Whether the gap asked for is reached."""
        gap = relative_gap(self.objective, self.bound)
        return gap is not None and gap <= self.target

    def propose(self, plan: Any, source: str) -> bool:
        """Verify a plan and keep it if it is the best."""
        verdict = self.family.verify(self.problem, plan)
        if verdict.violations or verdict.objective is None:
            self.note(f"{source}: plan refused by the verifier: {'; '.join(verdict.violations)}")
            return False
        if self.objective is not None and verdict.objective >= self.objective:
            return False
        self.plan, self.objective, self.method = plan, verdict.objective, source
        self.facts = dict(verdict.facts)
        self._emit("incumbent", source)
        return True

    def prove(self, bound: Number, source: str) -> None:
        """Keep a bound if it is the best."""
        if self.bound is None or bound > self.bound:
            self.bound, self.bound_method = bound, source
            self._emit("bound", source)

    def note(self, text: str) -> None:
        """Keep a remark for the user, once."""
        if text not in self.notes:
            self.notes.append(text)
            self._emit("note", "", text)

    def solve(
        self,
        program: Program,
        *,
        prefer: Sequence[str] = ("highs", "cpsat"),
        time: float | None = None,
        work: float | None = None,
        on_values: Callable[[Any], None] | None = None,
    ) -> Solution:
        """Solve on the first backend that answers."""
        answer = Solution(Status.UNKNOWN, Stop.UNAVAILABLE, message="no backend left")
        for name in prefer if self.backends is None else self.backends:
            if self.failures.get(name, 0) >= MAX_FAILURES:
                continue
            limits = self._limits(time, work)
            if limits.time is not None and limits.time <= 0:
                return Solution(Status.UNKNOWN, Stop.TIME)
            answer = registry.solve(program, name, limits=limits, on_values=on_values)
            if not answer.stop.failed:
                return answer
            self.failures[name] = self.failures.get(name, 0) + 1
            if answer.stop is Stop.UNAVAILABLE:
                self.failures[name] = MAX_FAILURES
            what = f": {answer.message}" if answer.message else ""
            self.note(f"backend {name}: {answer.stop.value} on the {program.name}{what}")
            if answer.values is not None:
                return answer
        return answer

    # -- the run -------------------------------------------------------------------------------

    def run(self, methods: Sequence[str] | None = None) -> Result:
        """Run the methods one after another and return what they found."""
        self.methods = None if methods is None else list(methods)
        chosen = choose(self.family, methods)
        try:
            self.family.precheck(self.problem)
        except InfeasibleError as error:
            return self._result(Status.INFEASIBLE, str(error))
        registry.prepare(
            ("highs",) if self.backends is None else self.backends
        )  # loads while the first methods run
        if self.start is not None:
            self.propose(self.start, "known plan")
        if self.floor is not None:
            self.prove(self.floor, "known bound")
        failure: Exception | None = None
        try:
            for method in chosen:
                if self.done():
                    break
                try:
                    method.run(self.problem, self)
                except InfeasibleError as error:
                    if self.plan is None:
                        return self._result(Status.INFEASIBLE, str(error))
                    self.note(f"method {method.name} contradicts the plan: {error}")
                except Exception as error:  # one broken method must not cost the run
                    failure = error
                    self.note(f"method {method.name} failed: {type(error).__name__}: {error}")
        except KeyboardInterrupt:
            self.interrupted = True
        if self.plan is None:
            if failure is not None and not self.interrupted:
                raise failure
            return self._result(Status.UNKNOWN, self._why_nothing())
        met = self.bound is not None and self.objective is not None and self.objective <= self.bound
        return self._result(Status.OPTIMAL if met else Status.FEASIBLE, "")

    def _limits(self, time: float | None, work: float | None) -> Limits:
        if self.deterministic:
            return Limits(
                deterministic=work,
                nodes=None if work is None else int(work * NODES_PER_WORK),
                memory=self.memory_limit,
                workers=1,
                seed=self.seed,
            )
        left = self.remaining()
        return Limits(
            time=left if time is None else min(time, left),
            memory=self.memory_limit,
            workers=self.workers,
            seed=self.seed,
        )

    def _why_nothing(self) -> str:
        if self.interrupted:
            return "interrupted before a first plan"
        if self.notes:
            return "; ".join(self.notes)
        if self.remaining() <= 0:
            return "the limit was reached before a first plan"
        return "no method that ran found one"

    def _emit(self, kind: str, source: str, text: str = "") -> None:
        event = Event(self.elapsed(), kind, self.objective, self.bound, source, text)
        if kind != "note":
            self.trajectory.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def _result(self, status: Status, reason: str) -> Result:
        return Result(
            kind=self.family.kind,
            status=status,
            plan=self.plan,
            objective=self.objective,
            bound=self.bound,
            method=self.method,
            bound_method=self.bound_method,
            seconds=self.elapsed(),
            interrupted=self.interrupted,
            reason=reason,
            facts={**self.family.facts(self.problem), **self.facts},
            notes=tuple(self.notes),
            trajectory=tuple(self.trajectory),
            phrase=phrase_of(self.family, self.problem),
            asked=self._asked(),
            versions=versions(),
        )

    def _asked(self) -> dict[str, Any]:
        """Return the options of the run, as far as they were given."""
        given = {
            "minimize": self.minimize,
            "methods": self.methods,
            "backends": None if self.backends is None else list(self.backends),
            "memory_limit": self.memory_limit,
        }
        return {
            "time_limit": self.time_limit,
            "gap": self.target,
            "seed": self.seed,
            "workers": self.workers,
            **{name: value for name, value in given.items() if value is not None},
        }


class Sweeps:
    """The runs and the time of one front: implements `mapc.models.fronts.Sweep`."""

    def __init__(
        self,
        gap: float,
        time_limit: float | None,
        options: Mapping[str, Any],
        on_step: Callable[[str], None] | None,
    ) -> None:
        self.gap, self.time_limit, self.options, self.on_step = gap, time_limit, options, on_step
        self.started = clock.monotonic()

    def remaining(self) -> float:
        """Seconds left; infinite without a limit."""
        if self.time_limit is None:
            return math.inf
        return self.time_limit - (clock.monotonic() - self.started)

    def stop(self) -> bool:
        """Whether time is up."""
        return self.remaining() <= 0

    def say(self, text: str) -> None:
        """Tell who listens."""
        if self.on_step is not None:
            self.on_step(text)

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
        """Run a portfolio on one problem of the sweep."""
        family, asked = aimed(family_of(problem), problem, minimize)
        run = Portfolio(
            family,
            asked,
            time_limit=seconds,
            gap=self.gap,
            start=start,
            floor=bound,
            **self.options,
        )
        return run.run(methods)


def choose(family: Family, methods: Sequence[str] | None) -> list[Method]:
    """Return the methods to run, in the family's order; the default ones when none are named."""
    known = {method.name: method for method in family.methods}
    for name in methods or ():
        if name not in known:
            raise UsageError(
                f"method {name!r}: unknown for {family.kind}; expected {', '.join(known)}"
            )
    return [m for m in family.methods if (m.default if methods is None else m.name in methods)]
