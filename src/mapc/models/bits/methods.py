"""How a bits problem is attacked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mapc.models.base import HEURISTIC, Method, Search
from mapc.models.bits.heuristics import greedy, hull_greedy, uniform
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem


def _propose(
    name: str,
    find: Callable[[BitsProblem], BitsPlan | None],
    problem: BitsProblem,
    search: Search,
) -> None:
    plan = find(problem)
    if plan is not None:
        search.propose(plan, name)


def _baseline(name: str, find: Callable[[BitsProblem], BitsPlan | None], summary: str) -> Method:
    return Method(name, HEURISTIC, partial(_propose, name, find), summary)


METHODS = (
    _baseline("uniform", uniform, "the best single format"),
    _baseline("greedy", greedy, "always the next step that saves most loss per cost"),
    _baseline("hull-greedy", hull_greedy, "the same along lower convex hulls"),
)
"""In the order in which they run."""
