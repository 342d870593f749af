"""Local search over orders, aimed at the links that are lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.memory.orders import pull, push
from mapc.models.memory.schedule import Schedule, evict_by_next_use

ROUNDS = 6_000
"""Moves tried without a clock."""
SETTLE = 250
"""Moves without a better order after which the best one is handed over."""
EXHAUSTED = 300
"""Moves in a row to orders seen before, after which there is nothing new around."""
PATIENCE = 1_500
"""Moves without a better order after which the search goes back to the best one."""
TEMPERATURE = 0.03
"""How much worse, relative to the best cost, an accepted order may be at first."""
RESERVE = 0.25
"""Share of the time left at the start that is kept for what comes after the search."""


def improve(start: Schedule, search: Search, accept: Callable[[Schedule], None]) -> None:
    """Reorder around lost links, scored by eviction, and hand better orders to ``accept``.

    Threshold accepting: a move is taken when it is not worse than the current order by more than a
    margin that shrinks to nothing and is reset when the search has been stuck for ``PATIENCE``.
    Handing over costs a solve, so it waits until the search has settled.
    """
    rng = np.random.default_rng(search.seed)
    problem = start.problem
    reserve = 0.0 if search.deterministic else RESERVE * search.remaining()
    current = best = handed_over = start
    keep, cost = score(start)
    best_cost = cost
    stuck = tried = repeats = 0
    seen = {hash(start.order.tobytes())}
    while cost > 0 and not search.done() and search.remaining() > reserve:
        if search.deterministic and tried >= ROUNDS:
            break
        tried += 1
        stuck += 1
        order = propose_move(current, keep, rng)
        if order is None or repeats > EXHAUSTED:
            break
        known = len(seen)
        seen.add(hash(order.tobytes()))
        repeats = repeats + 1 if len(seen) == known else 0
        candidate = Schedule(problem, order)
        candidate_keep, candidate_cost = score(candidate)
        margin = TEMPERATURE * best_cost * max(0.0, 1.0 - stuck / PATIENCE)
        if candidate_cost <= cost + margin:
            current, keep, cost = candidate, candidate_keep, candidate_cost
        if cost < best_cost:
            best, best_cost, stuck = current, cost, 0
        elif stuck == SETTLE and best is not handed_over:
            accept(best)
            handed_over = best
        elif stuck > PATIENCE:
            current, (keep, cost), stuck = best, score(best), 0
    if best is not handed_over:
        accept(best)


def score(schedule: Schedule) -> tuple[IntArray, int]:
    """Return the lost links that cover a step, and the extra bytes, under Belady's rule."""
    keep = evict_by_next_use(schedule)
    return np.flatnonzero(~keep), schedule.cost(keep)


def propose_move(schedule: Schedule, lost: IntArray, rng: np.random.Generator) -> IntArray | None:
    """Pull or push at a lost link, chosen by its cost; None when nothing is lost."""
    if not len(lost):
        return None
    tensor, before, after = schedule.links
    weight = schedule.problem.sizes[tensor[lost]].astype(np.float64)
    link = int(rng.choice(lost, p=weight / weight.sum()))
    graph = schedule.problem.graph
    first, last = int(before[link]), int(after[link])
    kind = rng.integers(4)
    if kind == 0:
        return pull(graph, schedule.order, first, last)
    if kind == 1:
        return push(graph, schedule.order, first, last)
    # a use near the link, so that other tensors get out of its way
    inside = int(rng.integers(first + 1, last)) if last > first + 1 else first
    reach = int(rng.integers(1, 60))
    if kind == 2:
        return pull(graph, schedule.order, max(inside - reach, -1), inside)
    return push(graph, schedule.order, inside, min(inside + reach, len(schedule.order)))
