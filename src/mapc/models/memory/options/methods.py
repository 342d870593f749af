"""Methods for problems with options, under the names of those without.

Orders are those of the plain methods. For each, a choice is made greedily or by the gap model with
options, and placed. A choice that cannot be placed is made again for less room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.allocation import exact
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.base import Method, Search
from mapc.models.memory import methods as plain
from mapc.models.memory.addresses import NODES
from mapc.models.memory.exact import least_traffic
from mapc.models.memory.options.bank_layout import layout_of, nothing_kept, placeable
from mapc.models.memory.options.choice_model import ChoiceModel
from mapc.models.memory.options.greedy import fit, spare_pairs, take_all
from mapc.models.memory.options.layout import Layout
from mapc.models.memory.options.relaxed import relaxation, relaxations, scaled
from mapc.models.memory.options.reorder import improve
from mapc.models.memory.options.rerun import best_runs, of_use
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.problem import MemoryProblem

Run = Callable[[MemoryProblem, Search], None]
PACKING_ROUNDS = 3
"""Rounds of the greedy packer for a choice."""
STATES = 2_000_000
"""States that the search over all orders may store; some 300 bytes each on a large network."""
COUNTED_STATES = 200_000
"""The same without a clock."""
SHARE = 0.5
"""Share of the time left that the search over all orders may take."""


def timelines(problem: MemoryProblem) -> list[tuple[Timeline, Choice | None, str]]:
    """Return the known orders with a greedy choice for each, cheapest first; None: none fits."""
    found = []
    for name, order in plain.candidate_orders(problem).items():
        timeline = Timeline(problem, order)
        found.append((timeline, fit(timeline, problem.room), name))
    return sorted(found, key=lambda entry: _cost(entry[0], entry[1]))


def _cost(timeline: Timeline, choice: Choice | None) -> float:
    return np.inf if choice is None else timeline.cost(choice)


def choose_in_known_orders(problem: MemoryProblem, search: Search) -> None:
    """Greedy choices on the known orders, the cheapest that is placed; needs no solver."""
    for timeline, choice, name in timelines(problem):
        if search.done():
            return
        if choice is not None and place(timeline, choice, search, f"eviction, {name}"):
            return
    for timeline, _, name in timelines(problem):
        if search.plan is None:
            place_with_less(timeline, search, f"eviction, {name}, repaired")


def solve_known_orders(problem: MemoryProblem, search: Search) -> None:
    """The gap model with options on the known orders."""
    for timeline, _, name in timelines(problem):
        if search.done():
            return
        solve_order(timeline, search, name)


def solve_order(timeline: Timeline, search: Search, name: str) -> None:
    """Best choice for one order, then addresses, for less room where it cannot be placed."""
    for room in rooms(timeline.problem):
        if search.done():
            return
        found = best_found(timeline, room, search)
        if found is None or not worth_placing(*found, search):
            return
        if place(*found, search, f"gap model, {name}", exactly=True):
            return


def rooms(problem: MemoryProblem) -> Iterator[int]:
    """Yield the room of the problem, and less and less of it."""
    cut = max(problem.alignment, problem.room >> 7)
    yield problem.room
    while problem.room - cut >= problem.smallest_capacity:
        yield problem.room - cut
        cut *= 2


def place_with_less(timeline: Timeline, search: Search, source: str) -> None:
    """Place a greedy choice for less room; in the end one that keeps nothing at all."""
    for room in rooms(timeline.problem):
        choice = None if search.done() else fit(timeline, room)
        if choice is None or place(timeline, choice, search, source):
            break
    if search.plan is None and timeline.problem.options.banks:
        plan = nothing_kept(timeline)
        if plan is not None:
            search.propose(plan, source)
    elif search.plan is None and timeline.problem.options.prefetch == 0:
        place(
            timeline, timeline.at_least(), search, source, patient=True
        )  # all alone at their steps: it fits


def best_found(timeline: Timeline, room: int, search: Search) -> tuple[Timeline, Choice] | None:
    """Return the best choice for an order, with the further runs it has, if any may help."""
    if not of_use(timeline.problem):
        choice = best_choice(timeline, room, search)
        return None if choice is None else (timeline, choice)
    found = best_runs(timeline, room, search)
    if found is None or not timeline.problem.options.prefetch:
        return found
    choice = best_choice(found[0], room, search)
    return None if choice is None else (found[0], choice)


def best_choice(timeline: Timeline, room: int, search: Search) -> Choice | None:
    """Solve the gap model; fall back to the greedy choice where no solver answers."""
    greedy = fit(timeline, room)
    model = ChoiceModel(timeline, room)
    if not model.program.n_columns:
        return greedy
    if greedy is not None:
        model.start_from(greedy)
    solution = search.solve(model.program, time=max(1.0, search.remaining() / 3), work=20.0)
    return greedy if solution.values is None else model.chosen(solution.values)


def worth_placing(timeline: Timeline, choice: Choice, search: Search) -> bool:
    """Whether the choice, if placed, would beat the best plan."""
    return search.objective is None or timeline.cost(choice) < search.objective


def place(
    timeline: Timeline,
    choice: Choice,
    search: Search,
    source: str,
    exactly: bool = False,
    patient: bool = False,
) -> bool:
    """Propose a plan of this choice; whether one was found.

    First with as few outputs in place as fit, which leaves addresses free; then with all, which
    makes fewer and longer blocks; ``exactly`` asks a solver as well. When the search is done, one
    try at each is all, unless ``patient``.
    """

    def stop() -> bool:
        return not patient and search.done()

    spared = spare_pairs(timeline, choice, timeline.problem.room)
    layouts = [layout_of(timeline, variant) for variant in (spared, take_all(timeline, choice))]
    layouts = [layout for layout in layouts if placeable(layout)]
    for layout in layouts:
        offset = layout.place(search.seed, PACKING_ROUNDS, stop)
        if offset is not None:
            search.propose(layout.plan(offset), source)
            return True
    for layout in layouts if exactly else []:
        if search.done():
            break
        offset = place_exactly(layout, search)
        if offset is not None:
            search.propose(layout.plan(offset), source)
            return True
    return False


def place_exactly(layout: Layout, search: Search) -> IntArray | None:
    """Ask a solver for addresses; in banks the search comes first, which mostly settles it."""
    problem = layout.problem()
    if problem.banks and (search.deterministic or exact.ready()):
        answer = exact.place(problem, seed=search.seed, nodes=NODES, done=search.done, table=False)
        if answer.offset is not None or answer.proven_infeasible:
            return answer.offset
    if lower_bound(problem) > (problem.room or 0):
        return None
    program, lift = no_overlap_2d(problem)
    solution = search.solve(
        program, prefer=("cpsat",), time=max(1.0, min(10.0, search.remaining() / 4)), work=15.0
    )
    return None if solution.values is None else problem.on_line(lift(solution))


def search_relaxation(problem: MemoryProblem, search: Search, most: int = 2) -> None:
    """All orders of plain relaxations: bounds, and orders to solve with the options.

    With in-place pairs there is no relaxation. Then the order is the best one without them, in the
    room that takes if there is less; it proves nothing.
    """
    bounds = relaxations(problem)[:most]
    relaxed = bounds[0][0] if bounds else None
    if relaxed is None:
        options = replace(problem.options, in_place=(), banks=(), confined=())
        apart = replace(problem, options=options)
        relaxed = relaxation(replace(apart, capacity=max(problem.room, apart.smallest_capacity)))
    if relaxed is None:
        return
    until = 0.0 if search.deterministic else SHARE * search.remaining()
    started = search.remaining()

    def done() -> bool:
        return search.done() or (not search.deterministic and started - search.remaining() > until)

    states = COUNTED_STATES if search.deterministic else STATES
    for plain_problem, part, whole in bounds or [(relaxed, 1, 1)]:
        found = least_traffic(plain_problem, states=states, done=done)
        if bounds:
            least = scaled(found.bound, problem.options)
            search.prove(-(-least * part // whole), "exact search")
        if found.order is not None and not search.done():
            solve_order(Timeline(problem, found.order), search, "exact search")


def search_relaxation_early(problem: MemoryProblem, search: Search) -> None:
    """Search the first relaxation ahead of programs for the known orders, with recomputation.

    Its order is one to which further runs are well added, and programs with optional steps take
    long.
    """
    if problem.options.recompute:
        search_relaxation(problem, search, most=1)


def search_orders(problem: MemoryProblem, search: Search) -> None:
    """Local search over orders from the best plan, then the gap model on what it found."""
    if search.plan is None or search.done():
        return

    def accept(timeline: Timeline) -> None:
        solve_order(timeline, search, "local search")

    improve(Timeline(problem, search.plan.order), search, accept)


RUNS: dict[str, Run] = {
    "tightest-operator": plain.bound_by_operator,
    "eviction": choose_in_known_orders,
    "forced-spans": plain.bound_by_forced_spans,
    "exact-short": search_relaxation_early,
    "gap": solve_known_orders,
    "exact": search_relaxation,
    "local-search": search_orders,
}
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
        elif not method.default:  # nobody has asked for the others by name
            search.note(f"method {method.name}: knows no options of the problem; left out")

    return run
