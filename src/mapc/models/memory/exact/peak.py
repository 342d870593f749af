"""The smallest peak over all orders, M_P."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load
from mapc.models.memory.exact.layout import Rules, lay_out
from mapc.models.memory.exact.store import Store
from mapc.models.memory.problem import MemoryProblem

HERE = "mapc.models.memory.exact"
STEPS = 1_000_000
"""Moves tried between two questions whether to stop, times operators: some milliseconds."""
NO_PARTS = Rules(gaps=False, forced=False, tokens=False)
"""A peak has no bound but the level."""


@dataclass(frozen=True, eq=False)
class Peak:
    """What a search for the smallest peak has found; bytes.

    Attributes
    ----------
    order : int64[n_operators] or None
        An order with peak ``bytes``; None where nothing below what was known was found.
    bytes : int or None
        Its peak.
    bound : int
        No order has a smaller peak.
    proven : bool
        No order has a smaller peak than ``bytes``, or than what was known.
    states : int
    """

    order: IntArray | None
    bytes: int | None
    bound: int
    proven: bool
    states: int


def least_peak(
    problem: MemoryProblem,
    *,
    lower: int = 0,
    known: int | None = None,
    states: int | None = None,
    done: Callable[[], bool] | None = None,
) -> Peak:
    """Find the smallest capacity with which some order has no extra traffic, addresses aside.

    Parameters
    ----------
    problem : MemoryProblem
        Its capacity is of no interest.
    lower : int
        A peak that no order gets below; the closer, the faster.
    known : int, optional
        Peak of an order at hand: only lower ones are looked for.
    states : int, optional
        Limit on states stored.
    done : callable, optional
        Whether to stop, asked every few milliseconds.
    """
    kernel = load(f"{HERE}.peak_kernels", done)  # it calls the others
    state, table = load(f"{HERE}.state_kernels", done), load(f"{HERE}.table_kernels", done)
    lower = max(lower, problem.smallest_capacity)
    if kernel is None or state is None or table is None:
        return Peak(None, None, lower, False, 0)
    search = _Climb(problem, (state, table, kernel), lower, known)
    proven = search.run(states, done)
    now = search.layout.now
    best = int(now[state.BEST])
    bound = best if proven else min(best, max(lower, int(now[state.POPPED])))
    if now[state.GOAL] < 0:
        return Peak(None, None, bound, proven, search.states)
    return Peak(search.order(), best, bound, proven, search.states)


class _Climb(Store):
    """A search for the smallest peak, at ``lower`` or above, below ``known``."""

    def __init__(
        self,
        problem: MemoryProblem,
        kernels: tuple[ModuleType, ModuleType, ModuleType],
        lower: int,
        known: int | None,
    ) -> None:
        state, table, self.climb = kernels
        layout = lay_out(replace(problem, capacity=lower), state, NO_PARTS)
        super().__init__(layout, state, table)
        now = layout.now
        now[state.BEST] = 2**62 if known is None else known
        now[state.GOAL] = -1
        if lower < now[state.BEST]:
            self.climb.reach(
                layout.ops, layout.ts, self.nodes, self.lives, self.find, self.pool, self.heap,
                now, -1, -1, lower,
            )  # fmt: skip

    def run(self, states: int | None, done: Callable[[], bool] | None) -> bool:
        """Search to the end (true) or to a limit."""
        while True:
            said = self.climb.climb(
                *self.graph, self.nodes, self.lives, self.find, self.pool, self.heap,
                self.layout.now, 1 + STEPS // len(self.layout.ops),
            )  # fmt: skip
            if said == self.climb.CLOSED:
                return True
            if said == self.climb.FULL:
                self.grow()
            if (done is not None and done()) or (states is not None and self.states >= states):
                return False

    def order(self) -> IntArray:
        """Return the order on the way to the best complete state."""
        k, now = self.state, self.layout.now
        order: list[int] = []
        for before, after in pairwise(self.path()):
            node = int(self.pool[before, self.table.NODE])
            self.climb.stand(*self.graph, self.nodes, self.lives, node, now)
            k.run(*self.graph, now, int(self.pool[after, self.table.OP]))
            self.climb.settle(*self.graph, now, int(self.pool[after, self.table.PAID]))
            order += self.layout.ops[: int(now[k.N_RUN]), k.RUN].tolist()
        return np.array(order, dtype=np.int64)
