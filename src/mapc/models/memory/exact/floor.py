"""What the tightest step of every order costs, see `mapc.models.memory.exact.floor_kernels`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapc.kernels import load
from mapc.models.memory.exact import engine
from mapc.models.memory.exact.engine import HERE, NO_LIMIT, SIDE
from mapc.models.memory.exact.layout import lay_out
from mapc.models.memory.exact.peak import NO_PARTS
from mapc.models.memory.exact.store import Store
from mapc.models.memory.problem import MemoryProblem


@dataclass(frozen=True)
class Floor:
    """What a search for the tightest step has found.

    Attributes
    ----------
    bound : int
        Extra bytes; no plan of any order has fewer, with or without addresses.
    complete : bool
        Whether the search came to its end: it has no better bound to give, or what was known is
        the optimum.
    states : int
        Sets of operators stored.
    """

    bound: int
    complete: bool
    states: int


def tightest_step(
    problem: MemoryProblem,
    *,
    lower: int = 0,
    known: int | None = None,
    states: int | None = None,
    done: Callable[[], bool] | None = None,
) -> Floor:
    """Find the least, over all orders, of what the tightest step costs.

    Parameters
    ----------
    problem : MemoryProblem
        With a capacity of at least its ``smallest_capacity``.
    lower : int
        A bound at hand; the closer, the faster.
    known : int, optional
        Extra bytes of a plan at hand: the search ends where it is proven to be the best.
    states : int, optional
        Limit on states stored.
    done : callable, optional
        Whether to stop, asked every few milliseconds.
    """
    names = ("floor", "state", "table")
    kernels = [load(f"{HERE}.{name}_kernels", done) for name in names]
    peak = load(f"{HERE}.peak_kernels", done)
    rising, state, table = kernels
    if rising is None or state is None or table is None or peak is None:
        return Floor(lower, False, 0)
    store = Store(lay_out(problem, state, NO_PARTS), state, table)
    now = store.layout.now
    now[state.BEST] = NO_LIMIT if known is None else known
    now[state.GOAL] = -1
    unit = max(1, int(np.gcd.reduce(problem.sizes)))
    lower = -(-lower // unit) * unit
    rows = sum(array.strides[0] for array in (store.pool, store.nodes, store.heap)) + SIDE

    def arrays() -> tuple[object, ...]:
        return (*store.graph, store.nodes, store.lives, store.find, store.pool, store.heap)

    if lower < now[state.BEST]:
        ops, ts, _, *stored = arrays()
        peak.reach(ops, ts, *stored, now, -1, -1, lower)
    complete = False
    while True:
        said = rising.rise(*arrays(), now, unit, 1 + engine.STEPS // len(store.layout.ops))
        if said == rising.CLOSED:
            complete = True
            break
        if said == rising.FULL:
            store.grow()
        elif (done is not None and done()) or (states is not None and store.states >= states):
            break
        if 2 * store.states * rows > engine.MEMORY:
            break
    best = int(now[state.BEST])
    bound = best if complete else min(best, max(lower, int(now[state.POPPED])))
    return Floor(bound, complete, store.states)
