"""Modelled step times of several ways to plan, over the steps of a training run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapc import api
from mapc.errors import CheckError, MapcError, UsageError
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.packing.search import WORK
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published import baselines
from mapc.models.sequence.verify import verify
from mapc.planner import Cluster, Planner

ALL = "all"


@dataclass(frozen=True)
class Limits:
    """What each way may take for a step; None: no clock, but counted work.

    Attributes
    ----------
    deadline : float or None
        Seconds of ``packing``.
    seconds : float or None
        Of ``solve``.
    flexsp_seconds : float or None
        Of ``flexsp``.
    seed : int
    work : int
        What ``packing`` counts without a deadline.
    """

    deadline: float | None = 0.3
    seconds: float | None = 5.0
    flexsp_seconds: float | None = 60.0
    seed: int = 0
    work: int = WORK


@dataclass(frozen=True)
class Outcome:
    """What a way did with one step.

    Attributes
    ----------
    step_ms, bound_ms : float or None
        Of its plan, verified, and what it proved; None where it found none.
    seconds : float
    """

    step_ms: float | None
    bound_ms: float | None
    seconds: float


@dataclass(frozen=True)
class Way:
    """A way to plan a step, by the name it has on the command line."""

    name: str
    summary: str
    run: Callable[[SequenceProblem, Limits], tuple[float | None, float | None]]
    quick: bool = True


@dataclass(frozen=True)
class Simulation:
    """Outcomes of all steps that were finished.

    Attributes
    ----------
    steps : list of str
        Names of the batches.
    bound_ms : list of float
        For each step the best bound on all of its plans.
    outcomes : dict of list of Outcome
        By way.
    interrupted : bool
        Whether there were to be more steps.
    """

    steps: list[str] = field(default_factory=list)
    bound_ms: list[float] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    interrupted: bool = False

    def best_ms(self) -> list[float | None]:
        """Return the least step time of each step, None where no way found a plan."""
        rows = zip(*self.outcomes.values(), strict=True)
        return [
            min((one.step_ms for one in row if one.step_ms is not None), default=None)
            for row in rows
        ]

    def figures(self, name: str) -> dict[str, Any]:
        """Return how one way did.

        ``plans`` (steps with a plan), and over them ``mean_ms``, ``times_best`` (the mean of the
        step over the best of all ways) and ``worst_times_best``; ``mean_gap`` to the bounds;
        ``seconds`` per step over all steps.
        """
        rows = self.outcomes[name]
        found = [
            (one.step_ms, best, bound)
            for one, best, bound in zip(rows, self.best_ms(), self.bound_ms, strict=True)
            if one.step_ms is not None and best is not None
        ]
        ratios = [ms / best if best else 1.0 for ms, best, _ in found]
        gaps = [1 - bound / ms if ms else 0.0 for ms, _, bound in found]
        return {
            "plans": len(found),
            "mean_ms": _mean([ms for ms, _, _ in found]),
            "times_best": _mean(ratios),
            "worst_times_best": max(ratios, default=None),
            "mean_gap": _mean(gaps),
            "seconds": _mean([one.seconds for one in rows]),
        }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# -- ways ------------------------------------------------------------------------------------------


def _static(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    return _step(problem, baselines.static(problem)), None


def _homogeneous(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    return _step(problem, baselines.best_homogeneous(problem)), None


def _megatron(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    return _step(problem, baselines.megatron_greedy(problem)), None


def _planner(problem: SequenceProblem, limits: Limits) -> Planner:
    return Planner(
        Cluster(problem.n_ranks, problem.node_ranks),
        problem.cost,
        padding=problem.padding,
        deadline=0.3 if limits.deadline is None else limits.deadline,
        work=limits.work if limits.deadline is None else None,
        seed=limits.seed,
        least=problem.least,
        most=problem.most,
        warm_start=False,
    )


def _packing(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    try:
        step = _planner(problem, limits).plan(problem.lengths)
    except MapcError:  # none within the deadline
        return None, None
    return step.step_ms, step.bound_ms


def _solve(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    return _solved(problem, None, limits.seconds, limits.seed)


def _flexsp(problem: SequenceProblem, limits: Limits) -> tuple[float | None, float | None]:
    return _solved(problem, ["flexsp"], limits.flexsp_seconds, limits.seed)


def _solved(
    problem: SequenceProblem, methods: list[str] | None, seconds: float | None, seed: int
) -> tuple[float | None, float | None]:
    result = api.solve(problem, time_limit=seconds, methods=methods, seed=seed)
    if result.interrupted:
        raise KeyboardInterrupt
    return result.objective, result.bound


def _step(problem: SequenceProblem, plan: SequencePlan | None) -> float | None:
    if plan is None:
        return None
    verdict = verify(problem, plan)
    if verdict.violations:
        raise CheckError(f"a baseline breaks a rule: {verdict.violations[0]}")
    return verdict.objective


WAYS: Mapping[str, Way] = {
    way.name: way
    for way in (
        Way("static", "the largest degree for everything", _static),
        Way("homogeneous", "the best degree for everything", _homogeneous),
        Way("megatron", "Megatron's greedy", _megatron),
        Way("packing", "mapc within the deadline, as mapc.Planner", _packing),
        Way("solve", "mapc with time to prove, as mapc.solve", _solve, quick=False),
        Way("flexsp", "FlexSP's programs", _flexsp, quick=False),
    )
}
"""Ways to plan a step, in the order of tables."""


def choose(names: Sequence[str] | None) -> list[Way]:
    """Return the ways with these names, in the order of `WAYS`; the quick ones by default.

    Raises
    ------
    UsageError
        For a name that is none, and not ``"all"``.
    """
    for name in names or ():
        if name != ALL and name not in WAYS:
            raise UsageError(f"way {name!r}: unknown; expected {', '.join(WAYS)} or {ALL}")
    if not names:
        return [way for way in WAYS.values() if way.quick]
    return [way for way in WAYS.values() if ALL in names or way.name in names]


def simulate(
    problems: Sequence[SequenceProblem],
    ways: Sequence[Way],
    limits: Limits,
    on_outcome: Callable[[int, str, Outcome], None] | None = None,
) -> Simulation:
    """Plan every problem in every way.

    Parameters
    ----------
    problems : sequence of SequenceProblem
    ways : sequence of Way
    limits : Limits
    on_outcome : callable, optional
        Receives the number of the step, the name of the way and its outcome.

    Returns
    -------
    Simulation
        After Ctrl-C, of the steps that were finished.
    """
    steps: list[str] = []
    bounds: list[float] = []
    outcomes: dict[str, list[Outcome]] = {way.name: [] for way in ways}
    interrupted = False
    try:
        if any(way.run is _packing for way in ways) and problems:
            _planner(problems[0], limits).wait()  # loading kernels is no part of a step
        for number, problem in enumerate(problems):
            row = list(_outcomes(number, problem, ways, limits, on_outcome))
            least = step_bound(problem) * problem.tick
            steps.append(problem.name)
            bounds.append(max([least, *(one.bound_ms for one in row if one.bound_ms is not None)]))
            for way, one in zip(ways, row, strict=True):
                outcomes[way.name].append(one)
    except KeyboardInterrupt:
        interrupted = True
    # the signal may have come between two of the lists
    whole = min(len(steps), len(bounds), *(len(row) for row in outcomes.values()))
    return Simulation(
        steps[:whole],
        bounds[:whole],
        {name: row[:whole] for name, row in outcomes.items()},
        interrupted,
    )


def _outcomes(
    number: int,
    problem: SequenceProblem,
    ways: Sequence[Way],
    limits: Limits,
    on_outcome: Callable[[int, str, Outcome], None] | None,
) -> Iterator[Outcome]:
    for way in ways:
        started = time.monotonic()
        step_ms, bound_ms = way.run(problem, limits)
        outcome = Outcome(step_ms, bound_ms, time.monotonic() - started)
        if on_outcome is not None:
            on_outcome(number, way.name, outcome)
        yield outcome
