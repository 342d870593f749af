"""Methods for problems with options, under the names of those without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from mapc.models.base import Method, Search
from mapc.models.memory.problem import MemoryProblem

Run = Callable[[MemoryProblem, Search], None]

RUNS: dict[str, Run] = {}
"""By the name of the method; one that is not here leaves problems with options alone."""


def with_options(methods: Iterable[Method]) -> tuple[Method, ...]:
    """Return the methods such that each runs its own road on problems with options, or nothing."""
    return tuple(replace(method, run=_choose(method)) for method in methods)


def _choose(method: Method) -> Run:
    def run(problem: MemoryProblem, search: Search) -> None:
        if problem.plain:
            method.run(problem, search)
        elif method.name in RUNS:
            RUNS[method.name](problem, search)

    return run
