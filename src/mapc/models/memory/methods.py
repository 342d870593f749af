"""How a memory problem is attacked: bounds, then orders with what to keep in each, then addresses.

Every plan that is proposed is complete: an order, the links kept, an address for every residency.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation import exact
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.models.memory import cosma
from mapc.models.memory.addresses import NODES, Rectangles, place_or_lose
from mapc.models.memory.beams import bound_by_tightest_step, search_beams, search_beams_shortly
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.cuts import traffic_bound
from mapc.models.memory.exact.stages import least_traffic_by_stages
from mapc.models.memory.gap import GapModel
from mapc.models.memory.localsearch import improve
from mapc.models.memory.orders import RULES, greedy_order
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.reduction import split
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.solvers.base import Status

PACKING_ROUNDS = 2
"""Rounds of the greedy packer before a solver is asked."""
LARGE = 2_000
"""Rectangles above which no solver is asked for their addresses."""
HOPE = 0.5
"""How much cheaper than Belady's rule the gap model is expected to be at best."""
MAX_CUTS = 5
"""Rounds of cutting off choices of links that cannot be placed, per order."""

SMALL = 2_000
"""Operators up to which the first plan may wait for all known orders."""

COUNTED_STATES = 200_000
"""States that the exact search may store without a clock."""
EXACT_SHARE = 0.5
"""Share of the time left that the exact search may take; the rest is for orders not proven."""
SHORT_TURN = 0.2
"""Part of either in its short turn, ahead of methods that wait for solvers."""
SHORT_SECONDS = 2.0
"""Seconds of its short turn at most."""
PARTED_TURN, PARTED_SECONDS = 0.5, 15.0
"""The same where it searches parts, with beams first: they are much smaller than the whole."""


def candidate_orders(
    problem: MemoryProblem, done: Callable[[], bool] | None = None
) -> dict[str, IntArray]:
    """Return the given order and the greedy ones, by name, without repeats, until ``done``."""
    orders: dict[str, IntArray] = {"given order": problem.graph.given_order}
    for rule in RULES:
        if done is not None and done():
            break
        order = greedy_order(problem, rule)
        if not any(np.array_equal(order, known) for known in orders.values()):
            orders[f"greedy order ({rule})"] = order
    return orders


def known_schedules(
    problem: MemoryProblem, done: Callable[[], bool] | None = None
) -> list[tuple[Schedule, BoolArray, str]]:
    """Return the known orders with what Belady's rule keeps in them, least extra traffic first.

    Fewer of them, or none, when ``done`` says to stop.
    """
    found: list[tuple[Schedule, BoolArray, str]] = []
    for name, order in candidate_orders(problem, done).items():
        schedule = Schedule(problem, order)
        choices: list[BoolArray] = []
        for by_cost in (False, True):
            if done is None or not done():
                choices.append(evict_by_next_use(schedule, by_cost))
        if choices:
            found.append((schedule, min(choices, key=schedule.cost), name))
    return sorted(found, key=lambda entry: entry[0].cost(entry[1]))


def bound_by_operator(problem: MemoryProblem, search: Search) -> None:
    """What one operator alone forces off, in every order; needs no solver."""
    search.prove(0, "no traffic is negative")
    bound = ForcedSpans(problem, search.done).single_operator_bound()
    search.prove(bound, "tightest operator")


def bound_by_forced_spans(problem: MemoryProblem, search: Search) -> None:
    """What all operators together force off, in every order."""
    spans = ForcedSpans(problem, search.done)
    if not spans.excess.any() or search.done():
        return
    program = spans.program()
    if program.n_columns and not search.done():
        solution = search.solve(program, time=max(1.0, search.remaining() / 4), work=20.0)
        if solution.bound is not None:
            search.prove(int(solution.bound), "forced spans")


def bound_by_cuts(problem: MemoryProblem, search: Search) -> None:
    """What one operator forces off, whatever has run before it; needs no solver.

    Then Belady's rule on the order in which least has to be live beside that operator.
    """
    if not problem.plain:
        return
    known = problem.graph.given_order if search.plan is None else search.plan.order
    found = traffic_bound(problem, [known], search.done)
    search.prove(found.bound, "narrowest cut")
    if found.order is None or search.done():
        return
    schedule = Schedule(problem, found.order)
    keep = evict_by_next_use(schedule)
    if worth_placing(schedule, keep, search):
        place(schedule, keep, search, "eviction, order of the narrowest cut")


def evict_in_known_orders(problem: MemoryProblem, search: Search) -> None:
    """Belady's rule on the given and the greedy orders; needs no solver.

    The given order at once, whatever it costs; then the cheapest choice that packs as it is, or
    else the cheapest of all, repaired.
    """
    first = Schedule(problem, problem.graph.given_order)
    many = problem.graph.n_operators > SMALL
    if search.plan is None and many:
        plan = place_or_lose(first, evict_by_next_use(first), lambda: True)
        search.propose(plan, "eviction, given order")
    schedules = known_schedules(problem, search.done)
    for schedule, keep, name in schedules:
        if search.done() or not worth_placing(schedule, keep, search):
            break
        rectangles = Rectangles.of(schedule, keep)
        nodes = NODES if exact.ready() else 0
        offset, _ = rectangles.attempt(search.seed, 1, nodes, search.done)
        if offset is not None:
            search.propose(rectangles.plan(offset), f"eviction, {name}")
            return
    for schedule, keep, name in schedules[:1]:
        if search.plan is None or not search.done():
            plan = place_or_lose(schedule, keep, search.done)
            search.propose(plan, f"eviction, {name}, repaired")


def keep_in_known_orders(problem: MemoryProblem, search: Search) -> None:
    """The gap model on the given and the greedy orders."""
    for schedule, keep, name in known_schedules(problem, search.done):
        if search.done():
            return
        if search.objective is not None and HOPE * schedule.cost(keep) > search.objective:
            continue
        solve_order(schedule, search, name)


def solve_order(schedule: Schedule, search: Search, name: str) -> None:
    """Best links for one order, with addresses: gap model, placement, cuts.

    A choice of links that is proven to have no placement is cut off, and the model solved again.
    """
    cuts: list[IntArray] = []
    for _ in range(MAX_CUTS + 1):
        keep = best_links(schedule, search, cuts)
        if keep is None or not worth_placing(schedule, keep, search):
            return
        if not place(schedule, keep, search, f"gap model, {name}"):
            return
        cuts.append(np.flatnonzero(keep))


def place(schedule: Schedule, keep: BoolArray, search: Search, source: str) -> bool:
    """Propose a plan that keeps these links, or as many as can be placed.

    The greedy packer first, then the search for addresses, then a solver; what none of them places
    is repaired. Returns whether the links are proven to have no placement.
    """
    rectangles = Rectangles.of(schedule, keep)
    # without a clock it is worth waiting for kernels that are not compiled yet
    nodes = NODES if search.deterministic or exact.ready() else 0
    offset, impossible = rectangles.attempt(search.seed, PACKING_ROUNDS, nodes, search.done)
    if offset is None and not impossible and not search.done():
        offset, impossible = place_exactly(rectangles, search)
    if offset is not None:
        search.propose(rectangles.plan(offset), source)
    else:
        search.propose(place_or_lose(schedule, keep, search.done), f"{source}, repaired")
    return impossible


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
    if len(rectangles.size) > LARGE:
        return None, False
    program, lift = no_overlap_2d(rectangles.problem())
    solution = search.solve(
        program, prefer=("cpsat",), time=max(1.0, min(20.0, search.remaining() / 3)), work=30.0
    )
    if solution.values is not None:
        return lift(solution).offset, False
    return None, solution.status is Status.INFEASIBLE


def search_states_shortly(problem: MemoryProblem, search: Search) -> None:
    """A short turn of `search_states`: enough for most networks."""
    if len(split(problem).parts) > 1:
        search_states(problem, search, PARTED_TURN, PARTED_SECONDS)
    else:
        search_states(problem, search, SHORT_TURN, SHORT_SECONDS)


def search_states(
    problem: MemoryProblem, search: Search, part: float = 1.0, most: float = math.inf
) -> None:
    """All orders and residencies, best first, part by part; then addresses for what it finds.

    Its bound leaves addresses aside. Where the plan cannot be placed as it is, a dearer one is
    proposed, and the gap between the two stays open. The proofs know no options of the problem.
    """
    if not getattr(problem, "plain", True):
        return
    until = 0.0 if search.deterministic else min(most, part * EXACT_SHARE * search.remaining())
    started = search.remaining()

    def done() -> bool:
        return search.done() or (not search.deterministic and started - search.remaining() > until)

    def offer(order: IntArray, keep: BoolArray, cost: int) -> None:
        if search.objective is None or cost < search.objective:
            place(Schedule(problem, order), keep, search, "exact search")

    states = round(part * COUNTED_STATES) if search.deterministic else None
    known = None if search.objective is None else int(search.objective)
    given = problem.graph.given_order
    orders = [given] if search.plan is None else [given, search.plan.order]
    found = least_traffic_by_stages(
        problem, orders, known=known, states=states, done=done, on_plan=offer
    )
    search.prove(found.bound, "exact search")
    if found.order is None or found.keep is None or found.cost is None:
        return
    offer(found.order, found.keep, found.cost)
    if search.objective is not None and found.cost < search.objective and not search.done():
        solve_order(Schedule(problem, found.order), search, "exact search")


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
    Method("tightest-operator", BOUND, bound_by_operator, "what one operator forces off"),
    Method("eviction", HEURISTIC, evict_in_known_orders, "Belady's rule on known orders"),
    Method("narrowest-cut", BOUND, bound_by_cuts, "what one operator forces off at best"),
    Method("forced-spans", BOUND, bound_by_forced_spans, "what all operators force off"),
    Method("exact-short", EXACT, search_states_shortly, "a short turn of exact"),
    Method("beam-short", HEURISTIC, search_beams_shortly, "a short turn of beam"),
    Method("tightest-step", BOUND, bound_by_tightest_step, "what the tightest step costs"),
    Method("gap", HEURISTIC, keep_in_known_orders, "gap model on known orders"),
    Method("exact", EXACT, search_states, "best-first over all orders and residencies"),
    Method("beam", HEURISTIC, search_beams, "the best few states of each number of operators"),
    Method("local-search", HEURISTIC, search_orders, "reorder around what is lost"),
    Method("cosma", EXACT, published_ilp, "the published ILP", default=False),
)
