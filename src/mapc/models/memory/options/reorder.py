"""Local search over orders under options, scored by greedy choices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.memory.options.greedy import fit
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.orders import pull, push

ROUNDS = 400
"""Moves tried without a clock."""
SETTLE = 60
"""Moves in a row without a better order after which the best one is handed over, once."""
STUCK = 300
"""Moves in a row without a better order after which the search ends."""
RESERVE = 0.25
"""Share of the time left at the start that is kept for what comes after the search."""


def improve(start: Timeline, search: Search, accept: Callable[[Timeline], None]) -> None:
    """Reorder around what is lost or streamed, and hand better orders to ``accept``.

    A move is taken when the greedy choice costs no more than before.
    """
    rng = np.random.default_rng(search.seed)
    reserve = 0.0 if search.deterministic else RESERVE * search.remaining()
    problem = start.problem
    current, choice = start, fit(start, problem.room)
    handed_over = start
    tried = stuck = 0
    while choice is not None and not search.done() and search.remaining() > reserve:
        if stuck >= STUCK or (search.deterministic and tried >= ROUNDS):
            break
        tried += 1
        stuck += 1
        order = propose_move(current, choice, rng)
        if order is None:
            break
        candidate = Timeline(problem, order)
        found = fit(candidate, problem.room)
        if found is not None:
            gain = current.cost(choice) - candidate.cost(found)
            if gain >= 0:
                current, choice = candidate, found
            if gain > 0:
                stuck = 0
        if stuck == SETTLE and current is not handed_over:
            accept(current)
            handed_over = current
    if current is not handed_over:
        accept(current)


def propose_move(timeline: Timeline, choice: Choice, rng: np.random.Generator) -> IntArray | None:
    """Pull or push at a link that is not kept, or near one; None where all are kept."""
    step, before = timeline.step, timeline.before
    gone = ~choice.keep & timeline.into_read
    lost = np.flatnonzero(gone & (step[before + 1] > step[before] + 1))
    lost = lost[timeline.size[before[lost]] > 0]
    if not len(lost):
        return None
    weight = timeline.size[before[lost]].astype(np.float64)
    link = int(rng.choice(lost, p=weight / weight.sum()))
    first, last = int(step[before[link]]), int(step[before[link] + 1])
    kind = int(rng.integers(4))
    graph, order = timeline.problem.graph, timeline.order
    if kind >= 2:
        inside, reach = int(rng.integers(first + 1, last)), int(rng.integers(1, 60))
        first = inside if kind == 3 else max(inside - reach, -1)
        last = min(inside + reach, len(order)) if kind == 3 else inside
    move = pull if kind % 2 == 0 else push
    return move(graph, order, first, last)
