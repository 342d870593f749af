"""A placement within one capacity, or the proof that there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.kernels import load, plain, warm
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact.priorities import Priorities, luby
from mapc.models.allocation.exact.setup import PRIME, Arrays, Shape
from mapc.models.allocation.problem import AllocationProblem

KERNELS = "mapc.models.allocation.exact.search_kernels"
STATE = "mapc.models.allocation.exact.state_kernels"
EACH = 2
"""Nodes of the shortest run, per buffer: where nothing goes wrong one is enough."""
MANY, FIRST_RUN, JUMPS_EVERY = 1500, 1.3, 4
"""Buffers above which reasons are dear: the first run is short, and few runs keep reasons."""
POLL = 100_000
"""Buffers times nodes between two questions whether to stop."""


def ready() -> bool:
    """Whether a search begins at once: its kernels are compiled."""
    if not plain() and KERNELS not in sys.modules and KERNELS not in _compiled and warm(KERNELS):
        _compiled.add(KERNELS)  # to ask takes longer than to solve a small problem
    return not plain() and (KERNELS in sys.modules or KERNELS in _compiled)


_compiled: set[str] = set()
"""Kernels that were found compiled."""


@dataclass(frozen=True, eq=False)
class Placed:
    """What a search for a placement came to.

    Attributes
    ----------
    offset : int64[n] or None
        Addresses in bytes.
    proven_infeasible : bool
        Whether no placement exists. With ``table`` that is exact up to equal hashes of different
        states, see `table_kernels`.
    nodes, restarts : int
    """

    offset: IntArray | None
    proven_infeasible: bool
    nodes: int
    restarts: int


class Placing:
    """A search that can be interrupted and gone on with; parameters as of `place`."""

    def __init__(
        self,
        problem: AllocationProblem,
        *,
        capacity: int | None = None,
        seed: int = 0,
        table: bool = True,
    ) -> None:
        room = problem.room if capacity is None else capacity
        if room is None:
            raise UsageError("no capacity to fit into; give one, or ask for the peak")
        self.problem, self.seed = problem, seed
        self.unit = problem.unit
        self.capacity = room // self.unit
        self.table = table and 2 * self.capacity + 2 < PRIME
        self.solid = np.flatnonzero(problem.padded > 0)
        self.offset: IntArray | None = None
        self.impossible = lower_bound(problem) > room
        self.nodes = self.restarts = 0
        self.until = 0
        self.engine: _Engine | None = None
        if not len(self.solid) and not self.impossible:
            self.offset = np.maximum(problem.held, 0)

    @property
    def settled(self) -> bool:
        """Whether the question is answered."""
        return self.impossible or self.offset is not None

    @property
    def placed(self) -> Placed:
        """What there is to say by now."""
        return Placed(self.offset, self.impossible, self.nodes, self.restarts)

    def go_on(self, nodes: int | None = None, done: Callable[[], bool] | None = None) -> Placed:
        """Search for ``nodes`` more, or until ``done``; both as of `place`."""
        if self.settled:
            return self.placed
        if self.engine is None:
            self.engine = _Engine.of(self, done)
            if self.engine is None:
                return self.placed
        end = None if nodes is None else self.nodes + nodes
        step = max(16, POLL // len(self.solid))
        while not self.settled and (end is None or self.nodes < end):
            if done is not None and done():
                break
            if self.nodes >= self.until:
                self._restart(self.engine)
            if not self.settled:
                stop = min(self.until, self.nodes + step)
                self._run(self.engine, stop if end is None else min(stop, end))
        return self.placed

    def _restart(self, engine: _Engine) -> None:
        n = len(self.solid)
        length, jump = float(EACH * luby(self.restarts)), True
        if n >= MANY:
            jump = self.restarts % JUMPS_EVERY == JUMPS_EVERY - 1
            length = FIRST_RUN if self.restarts == 0 else length
        self.until = self.nodes + int(length * n) + 1
        self.restarts += 1
        self.impossible = not engine.restart(jump, full=self.restarts % 2 == 0)

    def _run(self, engine: _Engine, until: int) -> None:
        ended = engine.run(until)
        self.nodes = engine.nodes
        self.impossible = ended == engine.kernels.IMPOSSIBLE
        if ended == engine.kernels.SOLVED:
            self.offset = np.maximum(self.problem.held, 0)
            self.offset[self.solid] = engine.addresses()[: len(self.solid)] * self.unit


class _Engine:
    """The kernels and what they work on."""

    def __init__(
        self, kernels: ModuleType, state: ModuleType, arrays: Arrays, priorities: Priorities
    ) -> None:
        self.kernels, self.state = kernels, state
        self.arrays, self.priorities = arrays, priorities

    @classmethod
    def of(cls, placing: Placing, done: Callable[[], bool] | None) -> _Engine | None:
        """Return the engine of a search; None when it is done before the kernels are there."""
        state, kernels = load(STATE, done), load(KERNELS, done)
        if state is None or kernels is None:
            return None
        seed = placing.seed
        lower, upper, size, held = _rectangles(placing)
        domain = placing.problem.domain
        if domain is not None:
            domain = domain.of(placing.solid).over(placing.unit)
        shape = Shape.of(lower, upper, size, held, domain)
        arrays = Arrays.empty(shape, placing.capacity, placing.table, seed, state)
        spans = shape.last - shape.first
        life = np.append(upper - lower, np.zeros(len(spans) - len(lower), dtype=np.int64))
        priorities = Priorities(life, spans, shape.size, shape.loads(), seed)
        return cls(kernels, state, arrays, priorities)

    @property
    def nodes(self) -> int:
        return int(self.arrays.core[4][self.state.NODES])

    def addresses(self) -> IntArray:
        """Return where buffers lie once all are placed, int64[n] units."""
        return np.asarray(self.arrays.core[0][:-1, self.state.LOW])

    def restart(self, jump: bool, full: bool) -> bool:
        """Begin a run with other priorities; false if it is proven that nothing fits.

        What has been proven without decisions stays. ``jump``: keep reasons; ``full``: of the
        lowest buffers try those first that are alive in a full section.
        """
        at = self.arrays
        at.core[0][:-1, self.state.RANK] = self.priorities.next()
        at.core[4][self.state.JUMP], at.core[4][self.state.PICK] = int(jump), int(full)
        return bool(self.kernels.start(at.slots, at.near, at.core, at.reasons, at.deep))

    def run(self, until: int) -> int:
        """Search until so many nodes in all; return why it ended."""
        while True:
            at = self.arrays
            ended = self.kernels.run(until, at.slots, at.near, at.core, at.reasons, at.deep)
            if ended != self.kernels.FULL:
                return int(ended)
            self.arrays = at.with_longer_trail()


def _rectangles(placing: Placing) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Lifetimes, sizes and given addresses, in units, of all buffers and then all obstacles.

    An obstacle is a buffer that does not move. What lies above the capacity is in nobody's way.
    """
    problem, solid, unit = placing.problem, placing.solid, placing.unit
    walls = problem.obstacles // np.array([1, 1, unit, unit])
    walls[:, 3] = np.minimum(walls[:, 3], placing.capacity)
    lower, upper, base, top = walls[walls[:, 2] < walls[:, 3]].T
    held = np.where(problem.held < 0, -1, problem.held // unit)[solid]
    return (
        np.concatenate([problem.lower[solid], lower]),
        np.concatenate([problem.upper[solid], upper]),
        np.concatenate([problem.padded[solid] // unit, top - base]),
        np.concatenate([held, base]),
    )


def place(
    problem: AllocationProblem,
    *,
    capacity: int | None = None,
    seed: int = 0,
    nodes: int | None = None,
    done: Callable[[], bool] | None = None,
    table: bool = True,
) -> Placed:
    """Place buffers within a capacity, or prove that they do not fit.

    Complete: without ``nodes`` and ``done`` it ends with one or the other, if after a long time.

    Parameters
    ----------
    problem : AllocationProblem
    capacity : int, optional
        Bytes; default: that of the problem.
    seed : int
        The same seed and nodes, without ``done``, give the same answer.
    nodes : int, optional
        Buffers placed, counted each time, after which it stops.
    done : callable, optional
        Whether to stop, asked every few milliseconds.
    table : bool
        Keep failed states; without them a proof needs no hashes.

    Returns
    -------
    Placed

    Raises
    ------
    UsageError
        Without any capacity.
    """
    return Placing(problem, capacity=capacity, seed=seed, table=table).go_on(nodes, done)
