"""Capacity against extra traffic: a front, or what one plan says of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.graph.operators import IntArray, steps_of
from mapc.models.fronts import ALL
from mapc.models.memory.problem import NEVER, MemoryProblem
from mapc.visual.figure import Axis, Figure, Mark, Points, Rule, Steps, Table, column
from mapc.visual.pictures.extents import MARGIN, covered
from mapc.visual.pictures.memory_transfers import Transfers
from mapc.visual.recorded import is_number
from mapc.visual.view import View
from mapc.visual.words import sentences, words

ROWS = 20
"""Points of a front in its table."""
DRAWN = 2_000
"""Points of a front in its picture."""

Front = list[tuple[int, int, int | None]]
"""Capacity, extra traffic and its bound or None, by rising capacity."""


def front_of(view: View) -> Front:
    """Return the points of the front beside a plan that can be drawn; none without one."""
    document: dict[str, Any] = dict(view.front or {})
    capacities = document.get("budget", document.get("cost", ()))
    traffic = document.get("traffic", ())
    bounds = document.get("bound", [None] * len(capacities))
    found = {
        (int(capacity), int(moved), int(bound) if is_number(bound) else None)
        for capacity, moved, bound in zip(capacities, traffic, bounds, strict=False)
        if is_number(capacity) and is_number(moved) and moved < NEVER
    }
    return sorted(found, key=lambda point: point[:2])


def in_bytes(problem: MemoryProblem) -> bool:
    """Whether extra cost is a number of bytes."""
    options = problem.options
    costs = {options.read_cost, options.write_cost}
    if options.streamable:
        costs.add(options.streaming_cost)
    return costs == {1} and not options.recompute


def kept_peak(problem: MemoryProblem, order: IntArray) -> int:
    """Return the most bytes in use at one step of an order in which nothing leaves too early.

    Every tensor is there from where it is made, or first read, to where it is last read. ``order``
    is int64[n_operators]; options are not looked at.
    """
    graph, n = problem.graph, len(order)
    step = steps_of(order)
    read = step[graph.inputs.row_of]
    first = np.full(graph.n_tensors, n, dtype=np.int64)
    last = np.full(graph.n_tensors, -1, dtype=np.int64)
    np.minimum.at(first, graph.inputs.values, read)
    np.maximum.at(last, graph.inputs.values, read)
    made = np.flatnonzero(graph.producer >= 0)
    first[made] = step[graph.producer[made]]
    last[made] = np.maximum(last[made], first[made])
    here = last >= 0
    live = covered(first[here], last[here] + 1, problem.sizes[here], n)
    return int((live + problem.workspaces[order]).max(initial=0))


def front_figure(view: View, moved: Transfers) -> Figure | None:
    """Return extra traffic against capacity; None with several banks, which have no one capacity.

    Without a front it shows this plan, what was proven, and what its order needs to move nothing.
    """
    problem = moved.problem
    if problem.options.banks:
        return None
    unit = "bytes" if in_bytes(problem) else ""
    whole = front_of(view)
    front = _some(whole, DRAWN)
    here = int(moved.tops().max(initial=0)), moved.extra_cost()
    known = [point[:2] for point in front] or _known(view, moved, here)
    capacities = [*(point[0] for point in known), here[0], problem.smallest_capacity]
    if problem.capacity is not None and problem.capacity <= 2 * max(capacities):
        capacities.append(problem.capacity)
    x = Axis("capacity", *_padded(min(capacities), max(capacities)), "bytes")
    label = "extra traffic" if unit else "extra cost"
    most = max(here[1], *(point[1] for point in known), _proven(view))
    y = Axis(label, 0.0, max(1.0, most * MARGIN), unit)
    return Figure(
        key="front",
        title=f"{label.capitalize()} against capacity",
        summary=_summary(view, here, front, unit),
        x=x,
        y=y,
        marks=(
            *(_front_marks(view, front, x, unit) if front else _plan_marks(view, known, here, x)),
            *_rules(view, x),
            _here(here, unit),
        ),
        note=f"{DRAWN:,} of {len(whole):,} points, evenly chosen." if len(whole) > DRAWN else "",
        table=_table(whole, unit) if front else None,
    )


def _some(front: Front, most: int) -> Front:
    """Return so many points at most, evenly chosen, the first and the last among them."""
    at = np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int)
    return [front[i] for i in np.unique(at).tolist()]


def _padded(low: int, high: int) -> tuple[float, float]:
    """Return the ends of an axis with some room beside what is drawn."""
    room = max(1.0, 0.08 * (high - low), 0.005 * high)
    return max(0.0, low - room), high + room


def _known(view: View, moved: Transfers, here: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the capacity from which on the order of this plan loses nothing, if that is news."""
    problem = moved.problem
    if not problem.plain or not here[1]:
        return []
    return [(kept_peak(problem, moved.plan.order), 0)]


def _proven(view: View) -> int:
    """Return the bound on the extra traffic within the capacity; 0 where none was proven."""
    bound = view.bound
    if bound is None or view.record.asked.get("minimize") == "peak":
        return 0
    return int(bound)


def _front_marks(view: View, front: Front, x: Axis, unit: str) -> list[Mark]:
    """Return the steps of a front, those of its bounds where these are lower, and its points."""
    capacity = column([point[0] for point in front])
    traffic = column([point[1] for point in front])
    edges = np.append(capacity, x.high)
    marks: list[Mark] = [Steps("least traffic found", "baseline", edges, traffic)]
    if view.front is not None and view.front.get("points") != ALL:
        # a bound holds at its capacity and at all below
        bound = column([np.nan if point[2] is None else point[2] for point in front])
        marks.append(Steps("bound", "bound", np.append(x.low, capacity), bound, dashed=True))
    titles = tuple(
        f"{words(at, 'bytes')}: {words(moved, unit)} extra{_bound_words(moved, bound, unit)}"
        for at, moved, bound in front
    )
    return [*marks, Points("points of the front", "baseline", capacity, traffic, titles)]


def _bound_words(moved: int, bound: int | None, unit: str) -> str:
    if bound is None:
        return ""
    return ", optimal" if bound == moved else f", bound {words(max(bound, 0), unit)}"


def _plan_marks(
    view: View, known: list[tuple[int, int]], here: tuple[int, int], x: Axis
) -> list[Mark]:
    """Return what is known from one plan and its bound alone."""
    ends = column([here[0], x.high])
    marks: list[Mark] = [Steps("enough, by this plan", "plan", ends, column([here[1]]))]
    proven, capacity = _proven(view), view.problem.capacity
    if view.bound is not None and capacity is not None and capacity <= x.high:
        ends = column([x.low, capacity])
        marks.append(
            Steps("bound up to the capacity", "bound", ends, column([proven]), dashed=True)
        )
    for at, extra in known:
        said = f"{words(at, 'bytes')}: this order, with nothing lost; holes not counted"
        marks.append(
            Points(
                "this order with nothing lost",
                "baseline",
                column([at]),
                column([extra]),
                (said,),
                "square",
            )
        )
    return marks


def _rules(view: View, x: Axis) -> list[Rule]:
    problem = view.problem
    least, capacity = problem.smallest_capacity, problem.capacity
    rules = [Rule("M_R", "bound", "x", float(least), dashed=True)]
    if view.record.asked.get("minimize") == "peak" and view.bound is not None:
        rules.append(Rule("bound on the peak", "bound", "x", float(view.bound), dashed=True))
    if capacity is not None and capacity <= x.high:
        rules.append(Rule("capacity", "limit", "x", float(capacity)))
    return rules


def _here(here: tuple[int, int], unit: str) -> Points:
    title = f"this plan: {words(here[1], unit)} extra within {words(here[0], 'bytes')}"
    return Points("this plan", "plan", column([here[0]]), column([here[1]]), (title,))


def _summary(view: View, here: tuple[int, int], front: Front, unit: str) -> str:
    parts = [
        f"This plan uses {words(here[0], 'bytes')} of memory and has {words(here[1], unit)} "
        f"of extra {'traffic' if unit else 'cost'}."
    ]
    if front:
        first, last = front[0], front[-1]
        parts.append(
            f"The front goes from {words(first[1], unit)} at {words(first[0], 'bytes')} "
            f"to {words(last[1], unit)} at {words(last[0], 'bytes')}."
        )
        if view.front is not None and view.front.get("points") == ALL:
            parts.append("All of it is proven.")
    least = words(view.problem.smallest_capacity, "bytes")
    return sentences(*parts, f"No plan has less than {least}, the largest working set (M_R).")


def _table(front: Front, unit: str) -> Table:
    some = _some(front, ROWS)
    return Table(
        caption="Points of the front",
        columns=("capacity", "extra", "bound"),
        rows=tuple(some),
        units=("bytes", unit, unit),
        note=f"{len(some)} of {len(front):,}, evenly chosen." if len(front) > len(some) else "",
    )
