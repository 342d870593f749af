"""Addresses for buffers whose lifetimes are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mapc.errors import InfeasibleError
from mapc.models.allocation.banks.check import misfit
from mapc.models.allocation.bounds import heights
from mapc.models.allocation.capacities import with_capacity
from mapc.models.allocation.formulations import FORMULATIONS, independent_parts
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.methods import METHODS
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.solvers.base import Number
from mapc.units import format_bytes


class AllocationFamily:
    """The allocation family, as the verbs and the portfolio see it."""

    kind = "allocation"
    problem_type = AllocationProblem
    methods = METHODS
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: AllocationProblem) -> None:
        """Refuse a capacity below the bytes alive at one time, naming the time; the same for banks.

        Also a buffer that none of the banks that take it has room for.
        """
        if problem.room is None:
            return
        alone = misfit(problem)
        if alone is not None:
            raise InfeasibleError(f"{problem.name}: {alone}")
        times, need = heights(problem)
        least = int(need.max(initial=0))
        if least <= problem.room:
            return
        if problem.banks:
            raise InfeasibleError(
                f"{problem.name}: more bytes are alive at time {times[need.argmax()]} than the "
                f"{len(problem.banks)} banks have together, what is fixed and reserved aside"
            )
        what = (
            "are taken, what is fixed and reserved included," if len(problem.walls) else "are alive"
        )
        raise InfeasibleError(
            f"{problem.name}: {least} bytes {what} at time {times[need.argmax()]}, the capacity "
            f"has {problem.room}; give at least {least}"
        )

    def facts(self, problem: AllocationProblem) -> dict[str, Any]:
        """Size of the problem, its capacity and its largest load; bytes."""
        return {
            "name": problem.name,
            "buffers": problem.n_buffers,
            "capacity_bytes": problem.capacity,
            "alignment": problem.alignment,
            "max_load_bytes": problem.max_load,
        }

    def details(self, problem: AllocationProblem) -> dict[str, Any]:
        """The peak a quick greedy placement reaches, and the parts no time connects."""
        if problem.banks:
            return {"independent_parts": len(independent_parts(problem))}
        free = replace(problem, capacity=None)
        return {
            "greedy_peak_bytes": verify(free, greedy(free, iterations=1)).objective,
            "independent_parts": len(independent_parts(problem)),
        }

    def with_capacity(self, problem: AllocationProblem, text: str | int) -> AllocationProblem:
        """Return the problem with ``text`` (bytes, a size, M_R or M_P) as its capacity."""
        return with_capacity(problem, text)

    def goals(self) -> Mapping[str, Callable[[AllocationProblem], tuple[Any, AllocationProblem]]]:
        """Return what can be asked for by name: ``peak``, which is the question of no capacity."""
        return {"peak": lambda problem: (self, with_capacity(problem, "M_P"))}

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a peak of 1,024 KiB``, or that all fits: the only valid excess is 0."""
        return f"a peak of {format_bytes(value)}" if value else "everything fits"


FAMILY = AllocationFamily()
