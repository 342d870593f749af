"""The smallest capacity without extra cost, over all orders, with addresses.

The question of `capacities.bracket_peak`, asked as a problem of its own: the objective is the
highest address of a plan without extra cost. Bytes alive at one time bound it from below, whatever
the addresses: forced spans, and the search over sets of operators. A plan that packs without holes
attains that bound; where none does, the gap between the two is what addresses may cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.allocation import exact
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search, Verdict
from mapc.models.memory.addresses import NODES, Rectangles
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.capacities import PEAK_STATES, order_peak
from mapc.models.memory.cuts import peak_bound
from mapc.models.memory.exact import least_peak
from mapc.models.memory.methods import candidate_orders
from mapc.models.memory.options.greedy import take_all
from mapc.models.memory.options.layout import Layout
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from mapc.models.memory.verify import verify

COUNTED_NODES = 200_000
"""Nodes of the last search for addresses without a clock."""
SHARE = 0.5
"""Share of the time left that the search over sets of operators may take."""

Placement = tuple[AllocationProblem, Callable[[IntArray], MemoryPlan]]
"""What to place, and the plan with given addresses."""


def verify_peak(problem: MemoryProblem, plan: MemoryPlan) -> Verdict:
    """Replay a plan without a capacity; its objective is the highest address, in bytes.

    Extra cost breaks a rule: capacities without it are asked for.
    """
    verdict = verify(replace(problem, capacity=None), plan)
    violations = verdict.violations
    if verdict.objective is not None and verdict.objective > 0:
        violations = (*violations, f"plan: extra cost {verdict.objective}, expected none")
    return Verdict(violations, verdict.facts.get("peak_bytes"), verdict.facts)


def bound_by_forced_spans(problem: MemoryProblem, search: Search) -> None:
    """Bytes forced live beside one operator, in every order.

    What may be made again need not be live: then only the largest working set is proven.
    """
    if problem.options.recompute:
        search.prove(problem.smallest_capacity, "largest working set")
        return
    search.prove(ForcedSpans(problem).smallest_peak, "forced spans")


def place_known_orders(problem: MemoryProblem, search: Search) -> None:
    """The known orders with nothing lost, by rising peak; addresses by a short search."""
    for order, name in by_peak(problem):
        if search.done():
            return
        nodes = NODES if search.deterministic or exact.ready() else 0
        lower(problem, order, search, name, nodes)


def by_peak(problem: MemoryProblem) -> list[tuple[IntArray, str]]:
    """Return the known orders with their names, smallest peak first."""
    orders = candidate_orders(problem)
    names = sorted(orders, key=lambda name: order_peak(problem, orders[name]))
    return [(orders[name], name) for name in names]


def search_orders(problem: MemoryProblem, search: Search) -> None:
    """The order with the least peak of all, then the lowest addresses for it.

    The search over sets of operators knows no options; with these the best known order is placed.
    """
    order, source = by_peak(problem)[0]
    known = order_peak(problem, order)
    floor = 0 if search.bound is None else int(search.bound)
    if problem.plain and floor < known:
        floor = peak_bound(problem, [order], floor, search.done).bound
        started = search.remaining()

        def done() -> bool:
            spent = not search.deterministic and search.remaining() < (1 - SHARE) * started
            return spent or search.done()

        states = PEAK_STATES if search.deterministic else None
        found = least_peak(problem, lower=floor, known=known, states=states, done=done)
        search.prove(found.bound, "exact search")
        if found.order is not None:
            order, source = found.order, "exact search"
    lower(problem, order, search, source, COUNTED_NODES if search.deterministic else None)


def lower(
    problem: MemoryProblem, order: IntArray, search: Search, source: str, nodes: int | None
) -> None:
    """Place an order with nothing lost, as low as ``nodes`` of search get it; None: till done."""
    for allocation, plan_of in placements(problem, order):
        offset = greedy(allocation, search.seed, 1, search.done).offset
        search.propose(plan_of(offset), source)
        if nodes == 0 or search.done():
            return
        found = exact.least_peak(
            allocation, start=offset, seed=search.seed, nodes=nodes, done=search.done
        )
        search.propose(plan_of(found.offset), source)


def placements(problem: MemoryProblem, order: IntArray) -> Iterator[Placement]:
    """Yield what there is to place when an order loses nothing.

    With in-place pairs, first what is as large as it has to be, then all blocks as long as may be.
    """
    roomy = replace(problem, capacity=order_peak(problem, order))
    if problem.plain:
        schedule = Schedule(roomy, order)
        rectangles = Rectangles.of(schedule, np.ones(len(schedule.links[0]), dtype=np.bool_))
        yield replace(rectangles.problem(), capacity=None), rectangles.plan
        return
    timeline = Timeline(roomy, order)
    ease = timeline.at_ease()
    for choice in [ease, take_all(timeline, ease)] if len(timeline.pairs.step) else [ease]:
        layout = Layout(timeline, choice)
        yield replace(layout.problem(), capacity=None), layout.plan


METHODS: tuple[Method, ...] = (
    Method("forced-spans", BOUND, bound_by_forced_spans, "bytes forced live beside an operator"),
    Method("known-orders", HEURISTIC, place_known_orders, "known orders with nothing lost, placed"),
    Method("exact", EXACT, search_orders, "the least peak over all orders, then addresses"),
)
"""In the order in which they run."""
