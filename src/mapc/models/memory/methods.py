"""How a memory problem is attacked: bounds, then orders with what to keep in each, then addresses.

Every plan that is proposed is complete: an order, the links kept, an address for every residency.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.models.memory import cosma
from mapc.models.memory.addresses import Rectangles, place_or_lose
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.gap import GapModel
from mapc.models.memory.localsearch import improve
from mapc.models.memory.orders import RULES, greedy_order
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.solvers.base import Status

MAX_CUTS = 5
"""Rounds of cutting off choices of links that cannot be placed, per order."""


def candidate_orders(problem: MemoryProblem) -> dict[str, IntArray]:
    """Return the given order and the greedy ones, by name, without repeats."""
    orders: dict[str, IntArray] = {"given order": problem.graph.given_order}
    for rule in RULES:
        order = greedy_order(problem, rule)
        if not any(np.array_equal(order, known) for known in orders.values()):
            orders[f"greedy order ({rule})"] = order
    return orders


def bound_by_forced_spans(problem: MemoryProblem, search: Search) -> None:
    """Prove what every order must pay: first at one operator, then over all."""
    search.prove(0, "no plan gains bytes")
    spans = ForcedSpans(problem)
    search.prove(spans.single_operator_bound(), "tightest operator")
    program = spans.program()
    if program.n_columns and not search.done():
        solution = search.solve(program, time=max(1.0, search.remaining() / 4), work=20.0)
        if solution.bound is not None:
            search.prove(int(solution.bound), "forced spans")


def evict_in_known_orders(problem: MemoryProblem, search: Search) -> None:
    """Belady's rule on the given and the greedy orders; needs no solver."""
    for name, order in candidate_orders(problem).items():
        schedule = Schedule(problem, order)
        for by_cost in (False, True):
            if search.done():
                return
            keep = evict_by_next_use(schedule, by_cost)
            if search.objective is None or schedule.cost(keep) < search.objective:
                search.propose(place_or_lose(schedule, keep, search.seed), f"eviction, {name}")


def keep_in_known_orders(problem: MemoryProblem, search: Search) -> None:
    """The gap model on the given and the greedy orders."""
    for name, order in candidate_orders(problem).items():
        if search.done():
            return
        solve_order(Schedule(problem, order), search, name)


def solve_order(schedule: Schedule, search: Search, name: str) -> None:
    """Best links for one order, with addresses: gap model, placement, cuts."""
    cuts: list[IntArray] = []
    for _ in range(MAX_CUTS + 1):
        keep = best_links(schedule, search, cuts)
        if keep is None or not worth_placing(schedule, keep, search):
            return
        source = f"gap model, {name}"
        rectangles = Rectangles.of(schedule, keep)
        offset = rectangles.place(search.seed, iterations=20)
        impossible = False
        if offset is None:
            search.propose(place_or_lose(schedule, keep, search.seed), f"{source}, repaired")
            if search.done() or not worth_placing(schedule, keep, search):
                return
            offset, impossible = place_exactly(rectangles, search)
        if offset is not None:
            search.propose(rectangles.plan(offset), source)
            return
        if not impossible:
            return
        cuts.append(np.flatnonzero(keep))


def worth_placing(schedule: Schedule, keep: BoolArray, search: Search) -> bool:
    """Whether these links, if placed, would beat the best plan."""
    return search.objective is None or schedule.cost(keep) < search.objective


def best_links(schedule: Schedule, search: Search, cuts: list[IntArray]) -> BoolArray | None:
    """Solve the gap model; fall back to Belady's rule where no solver answers."""
    model = GapModel(schedule, cuts)
    if not model.program.n_columns:
        return np.ones(len(schedule.links[0]), dtype=np.bool_)
    if not cuts:
        model.start_from(evict_by_next_use(schedule))
    solution = search.solve(model.program, time=max(1.0, search.remaining() / 3), work=20.0)
    return None if solution.values is None else model.kept(solution.values)


def place_exactly(rectangles: Rectangles, search: Search) -> tuple[IntArray | None, bool]:
    """Ask a solver for addresses; return them, and whether it proved there are none."""
    program, lift = no_overlap_2d(rectangles.problem())
    solution = search.solve(
        program, prefer=("cpsat",), time=max(1.0, min(30.0, search.remaining() / 3)), work=30.0
    )
    if solution.values is not None:
        return lift(solution).offset, False
    return None, solution.status is Status.INFEASIBLE


def search_orders(problem: MemoryProblem, search: Search) -> None:
    """Local search over orders from the best plan, then the gap model on what it found."""
    if search.plan is None or search.done():
        return

    def accept(schedule: Schedule) -> None:
        solve_order(schedule, search, "local search")

    improve(Schedule(problem, search.plan.order), search, accept)


def published_ilp(problem: MemoryProblem, search: Search) -> None:
    """COSMA's ILP over all orders and addresses at once.

    Its bound is noted but not claimed: it forbids a reload to a new address between adjacent
    steps, which the problem allows.
    """
    program, lift = cosma.lower(problem)
    sizes = program.statistics()
    search.note(
        f"published ILP: {sizes['rows']} rows, {sizes['columns']} columns, "
        f"{sizes['nonzeros']} nonzeros"
    )
    solution = search.solve(program, work=60.0)
    search.note(
        f"published ILP: {solution.status.value} ({solution.stop.value}), "
        f"objective {solution.objective}, bound {solution.bound}"
    )
    if solution.values is not None:
        search.propose(lift(solution), "published ILP")


METHODS: tuple[Method, ...] = (
    Method("forced-spans", BOUND, bound_by_forced_spans, "bound over all orders"),
    Method("eviction", HEURISTIC, evict_in_known_orders, "Belady's rule on known orders"),
    Method("gap", HEURISTIC, keep_in_known_orders, "gap model on known orders"),
    Method("local-search", HEURISTIC, search_orders, "reorder around what is lost"),
    Method("cosma", EXACT, published_ilp, "the published ILP", default=False),
)
