"""One best-first search: its arrays, which grow, and the way back from a state to a plan."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.memory.exact.layout import ALL_RULES, Rules, lay_out
from mapc.models.memory.exact.store import Store
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule

HERE = "mapc.models.memory.exact"
STEPS = 1_000_000
"""Moves tried between two questions whether to stop, times operators: some milliseconds."""
MEMORY = 1_500_000_000
"""Bytes at which a search ends, as if at a limit."""
CROWD = 30_000
"""Moves of one state after which the search gives up on it, and so on the rest of the proof."""
SIDE = 200
"""Bytes per set of operators for its live tensors and its places in the table."""
NO_LIMIT = 2**62


class Engine(Store):
    """A search over orders and residencies at the room of a problem.

    Parameters
    ----------
    problem : MemoryProblem
    kernels : tuple of modules
        State, table and search kernels, loaded.
    weight : float
        Of the bound in the order of the queue; 1 for a proof.
    known : int or None
        Plans that cost as much, or more, are of no interest.
    """

    def __init__(
        self,
        problem: MemoryProblem,
        kernels: tuple[ModuleType, ...],
        *,
        weight: float = 1.0,
        known: int | None = None,
        rules: Rules = ALL_RULES,
    ) -> None:
        self.problem = problem
        state, self.closure, table, self.search = kernels
        layout = lay_out(problem, state, rules)
        now, k = layout.now, state
        now[k.WEIGHT] = round(weight * self.search.UNIT)
        now[k.BEST] = NO_LIMIT if known is None else known
        now[k.GOAL] = -1
        super().__init__(layout, state, table)
        self.pick = np.zeros((problem.graph.n_tensors + 2, 5), dtype=np.int64)
        self.offer_start()

    @property
    def row(self) -> int:
        """Bytes a state takes up at most, with its set of operators, and half of them spare."""
        arrays = (self.pool, self.nodes, self.heap)
        return 2 * (sum(array.strides[0] for array in arrays) + SIDE)

    @property
    def found(self) -> bool:
        """Whether there is a plan below ``known``."""
        return bool(self.layout.now[self.state.GOAL] >= 0)

    @property
    def cost(self) -> int:
        """Bytes of the best plan, or ``known``."""
        return int(self.layout.now[self.state.BEST])

    @property
    def bound(self) -> int:
        """No plan costs less, as far as the search has come (only with weight 1)."""
        return min(self.cost, int(self.layout.now[self.state.POPPED]))

    def offer_start(self) -> None:
        """Queue the state in which nothing has run."""
        self.search.offer(
            *self.graph, self.layout.heavy, self.layout.tokens, self.nodes, self.lives,
            self.find, self.pool, self.heap, self.layout.now, -1, -1,
        )  # fmt: skip

    def advance(self, steps: int) -> int:
        """Go on for some moves; return what the kernel says, once there is room to go on."""
        said = int(
            self.search.advance(
                *self.graph, self.layout.heavy, self.layout.tokens, self.nodes, self.lives,
                self.find, self.pool, self.heap, self.pick, self.layout.now, steps, CROWD,
            )
        )  # fmt: skip
        if said == self.search.FULL:
            self.grow()
            return int(self.search.MORE)
        if said == self.search.WIDE:
            self.widen()
            return int(self.search.MORE)
        return said

    def run(self, states: int | None = None, done: Callable[[], bool] | None = None) -> bool:
        """Search until nothing cheaper is left (true), or a limit is met, or a plan is found.

        ``states`` limits the states stored. With a weight above 1 the first plan ends it.
        """
        while True:
            said = self.advance(1 + STEPS // len(self.layout.ops))
            if said == self.search.CLOSED:
                return True
            if said != self.search.MORE or (done is not None and done()):
                return False
            if states is not None and self.states >= states:
                return False
            if self.states * self.row > MEMORY:
                return False

    def plan(self) -> tuple[IntArray, BoolArray]:
        """Order and kept links (bool, as `Schedule.links`) of the best plan."""
        order: list[int] = []
        evicted: list[tuple[int, int]] = []
        for before, after in pairwise(self.path()):
            evicted += [(len(order), t) for t in self._left(before, after)]
            order += self._rerun(before, after)
        schedule = Schedule(self.problem, np.array(order, dtype=np.int64))
        return schedule.order, _kept(schedule, evicted)

    def _status(self, q: int) -> tuple[IntArray, BoolArray]:
        """Live tensors of a state, and which of them are resident."""
        table, bits = self.table, self.state.BITS
        node = self.nodes[self.pool[q, table.NODE]]
        first, count = int(node[table.LIVES_AT]), int(node[table.LIVES_N])
        i = np.arange(count)
        words = self.pool[q, table.MASKS + i // bits]
        return self.lives[first : first + count].astype(np.int64), (words >> i % bits) & 1 > 0

    def _left(self, before: int, after: int) -> list[int]:
        """Tensors evicted between a state and the next: those resident in it and off after it."""
        live, held = self._status(before)
        later, there = self._status(after)
        return sorted({*live[held].tolist()} & {*later[~there].tolist()})

    def _rerun(self, before: int, after: int) -> list[int]:
        """Operators run between a state and the next: its move's, and those the closure ran."""
        k, now = self.state, self.layout.now
        self.table.enter(*self.graph, self.nodes, self.lives, self.pool, before, now)
        for t in self._left(before, after):
            k.evict(*self.graph, now, t)
        k.run(*self.graph, now, int(self.pool[after, self.table.OP]))
        if now[k.CLOSING]:
            self.closure.close(*self.graph, now)
        ops: list[int] = self.layout.ops[: int(now[k.N_RUN]), k.RUN].tolist()
        return ops


def _kept(schedule: Schedule, evicted: list[tuple[int, int]]) -> BoolArray:
    """Return which links are kept when tensors leave before given steps."""
    tensor, _, after = schedule.links
    keep = np.ones(len(tensor), dtype=np.bool_)
    start = np.searchsorted(tensor, np.arange(schedule.problem.graph.n_tensors + 1))
    for step, t in evicted:
        first, last = int(start[t]), int(start[t + 1])
        keep[first + int(np.searchsorted(after[first:last], step))] = False
    return keep


def load_kernels(done: Callable[[], bool] | None = None) -> tuple[ModuleType, ...] | None:
    """Return the kernel modules that an engine needs, or None when ``done`` says so before."""
    search = load(f"{HERE}.search_kernels", done)  # it calls the others
    if search is None:
        return None
    modules = [load(f"{HERE}.{name}_kernels", done) for name in ("state", "closure", "table")]
    found = [module for module in modules if module is not None]
    return (*found, search) if len(found) == 3 else None
