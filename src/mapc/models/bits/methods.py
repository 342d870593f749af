"""How a bits problem is attacked: baselines, exact methods for its structure, then solvers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.models.bits import cutting, switches, threshold
from mapc.models.bits.core import solve_single
from mapc.models.bits.heuristics import greedy, hull_greedy, uniform
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import MAX, BitsProblem
from mapc.models.bits.reduction import Reduced, reduce

STATE_LIMIT = 4_000_000
"""States of the one-budget search before a solver may try."""


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


def bound(problem: BitsProblem, search: Search) -> None:
    """Prove what every plan loses: each group at its least, budgets ignored."""
    reduced = reduce(problem)
    search.prove(switches.floor(reduced) * problem.quantum, "least losses")


def one_budget(problem: BitsProblem, search: Search) -> None:
    """Search the core of a problem whose loss is a plain sum under one budget."""
    if not problem.separable or len(problem.limited) != 1:
        return
    reduced = reduce(problem)
    result = solve_single(reduced, state_limit=STATE_LIMIT, stop=search.done)
    search.propose(reduced.lift(problem, result.choice), "core")
    search.prove(result.bound * problem.quantum, "core")


def several_budgets(problem: BitsProblem, search: Search) -> None:
    """Bound, improve and prove a problem whose loss is a plain sum, whatever its budgets.

    Raises
    ------
    InfeasibleError
        If the budgets exclude each other.
    """
    if not problem.separable:
        return
    one = cutting.Allocation(problem, reduce(problem), search)
    one.adopt(known(problem, one.reduced, search))
    cutting.attack(one)


def related_groups(problem: BitsProblem, search: Search) -> None:
    """Bound, improve and prove a problem with switch costs or pairwise terms.

    Raises
    ------
    InfeasibleError
        If the budgets exclude each other.
    """
    if problem.separable or problem.objective == MAX:
        return
    reduced = reduce(problem)
    switches.attack(problem, reduced, search, known(problem, reduced, search))


def largest_loss(problem: BitsProblem, search: Search) -> None:
    """Minimise the largest loss.

    Raises
    ------
    InfeasibleError
        If the budgets exclude each other.
    """
    if problem.objective == MAX:
        threshold.attack(problem, reduce(problem), search)


def known(problem: BitsProblem, reduced: Reduced, search: Search) -> IntArray:
    """int64[n]: the best plan so far as reduced options, -1 where it has a dropped one or none."""
    if search.plan is None:
        return np.full(reduced.n_groups, -1, dtype=np.int64)
    return reduced.choice_of(problem, search.plan)


METHODS = (
    Method("floor", BOUND, bound, "the least loss of every group, budgets ignored"),
    _baseline("uniform", uniform, "the best single format"),
    Method("core", EXACT, one_budget, "one budget: dual and exact core"),
    Method("cutting", EXACT, several_budgets, "several budgets: prices, joins, listing, MIP"),
    Method("threshold", EXACT, largest_loss, "the largest loss, by bisection"),
    Method("switches", EXACT, related_groups, "losses between groups: forests, then a MIP"),
    _baseline("greedy", greedy, "always the next step that saves most loss per cost"),
    _baseline("hull-greedy", hull_greedy, "the same along lower convex hulls"),
)
"""In the order in which they run: what others do comes last, for comparison and as a reserve."""
