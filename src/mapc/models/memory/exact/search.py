"""Least extra traffic over all orders: a quick plan first, then the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.exact.engine import Engine, load_kernels
from mapc.models.memory.exact.layout import ALL_RULES, Rules
from mapc.models.memory.problem import MemoryProblem

OnPlan = Callable[[IntArray, BoolArray, int], None]
QUICK = 1.5
"""Weight of the first search; its plan costs at most as many times the optimum."""
QUICK_STATES = 40_000
"""States of the first search."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search over orders and residencies has found.

    Attributes
    ----------
    order : int64[n_operators] or None
        None where nothing cheaper than what was known was found.
    keep : bool[links] or None
        Which links of the order stay, as `mapc.models.memory.schedule.Schedule` numbers them.
    cost : int or None
        Extra bytes of that choice; addresses are not looked at.
    bound : int
        No plan of any order, with or without addresses, has less extra traffic.
    proven : bool
        Nothing costs less than ``cost``, or than what was known.
    states : int
        States stored by all searches.
    """

    order: IntArray | None
    keep: BoolArray | None
    cost: int | None
    bound: int
    proven: bool
    states: int


def least_traffic(
    problem: MemoryProblem,
    *,
    weight: float = 1.0,
    known: int | None = None,
    states: int | None = None,
    done: Callable[[], bool] | None = None,
    on_plan: OnPlan | None = None,
    rules: Rules = ALL_RULES,
    quick: int = QUICK_STATES,
) -> Found:
    """Find the least extra traffic over all orders and residencies; addresses are not looked at.

    A search with the bound weighted by `QUICK` gives a plan, the exact one with that as its limit
    the proof. Sizes, capacity and costs are bytes.

    Parameters
    ----------
    problem : MemoryProblem
        With a capacity of at least its ``smallest_capacity``.
    weight : float
        1 for a proof; above it the plan found costs at most as many times the optimum, and nothing
        is claimed.
    known : int, optional
        Extra bytes of a plan at hand: nothing as dear is looked for.
    states : int, optional
        Limit on states stored by each search.
    done : callable, optional
        Whether to stop, asked every few milliseconds.
    on_plan : callable, optional
        Told order, kept links and cost of a plan that is not yet the last one.
    rules : Rules
        What may be switched off; the optimum is the same.
    quick : int
        Limit on states of the first search; 0: go for the proof at once.
    """
    kernels = load_kernels(done)
    if kernels is None:
        return Found(None, None, None, 0, False, 0)
    best: Engine | None = None
    total = 0
    if weight == 1.0 and quick > 0:
        first = Engine(problem, kernels, weight=QUICK, known=known, rules=rules)
        first.run(min(quick, states or quick), done)
        total += first.states
        if first.found:
            best, known = first, first.cost
            if on_plan is not None and known > 0:
                on_plan(*first.plan(), known)
    engine = Engine(problem, kernels, weight=weight, known=known, rules=rules)
    proven = engine.run(states, done)
    total += engine.states
    if engine.found:
        best = engine
    bound = 0
    if weight == 1.0:
        bound = engine.cost if proven else engine.bound
    if best is None:
        return Found(None, None, None, bound, proven and weight == 1.0, total)
    order, keep = best.plan()
    return Found(order, keep, best.cost, bound, proven and weight == 1.0, total)
