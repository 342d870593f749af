"""Plans by a beam: many states side by side, the best few of each number of operators done go on.

For graphs on which the exact search gets nowhere: wide and irregular, with room for a small part of
what is live. A narrow beam takes milliseconds, a wide one is often near the optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.memory.exact import engine
from mapc.models.memory.exact.engine import HERE, Engine, load_kernels
from mapc.models.memory.problem import MemoryProblem

Done = Callable[[], bool]
LEAN = 24
"""Sixteenths of a byte that a resident byte weighs beside what is paid."""


@dataclass(frozen=True, eq=False)
class Swept:
    """What a beam has found.

    Attributes
    ----------
    order : int64[n_operators] or None
    keep : bool[links] or None
    cost : int or None
        As in `mapc.models.memory.exact.search.Found`; None without a plan.
    moves : int
        Moves tried.
    """

    order: IntArray | None
    keep: BoolArray | None
    cost: int | None
    moves: int


NOTHING = Swept(None, None, None, 0)


class Beam(Engine):
    """One beam over a problem.

    Parameters
    ----------
    problem, kernels, known
        As of `Engine`.
    beam : module
        Its kernels, loaded.
    width : int
        States that go on, of each number of operators done.
    lean : int
        Sixteenths of a byte that a resident byte weighs beside what is paid.
    reference : int64[n_operators]
        An order: what it reads last leaves first.
    room : int, optional
        Bytes to do with, if not all: the working set of an operator may need more at its step.
        What holds less is easier to place.
    """

    def __init__(
        self,
        problem: MemoryProblem,
        kernels: tuple[ModuleType, ...],
        beam: ModuleType,
        *,
        width: int,
        lean: int,
        reference: IntArray,
        known: int | None = None,
        room: int | None = None,
    ) -> None:
        super().__init__(problem, kernels, known=known)
        if room is not None:
            self.layout.now[self.state.ROOM] = room
        n = problem.graph.n_operators
        self.beam = beam
        self.bucket = np.zeros(((n + 1) * width, 2), dtype=np.int64)
        self.filled = np.zeros(n + 1, dtype=np.int64)
        self.filled[0] = self.states  # the state in which nothing has run, unless it costs too much
        self.step = np.empty(n, dtype=np.int64)
        self.step[reference] = np.arange(n)
        self.progress = np.zeros(4, dtype=np.int64)
        self.progress[beam.WIDTH], self.progress[beam.LEAN] = width, lean

    def advance(self, steps: int) -> int:
        """Go on for some moves; return what the kernel says, once there is room to go on."""
        said = int(
            self.beam.sweep(
                *self.graph, self.nodes, self.lives, self.find, self.pool, self.bucket,
                self.filled, self.pick, self.step, self.progress, self.layout.now, steps,
            )
        )  # fmt: skip
        if said == self.beam.FULL:
            self.grow()
            return int(self.beam.MORE)
        if said == self.beam.WIDE:
            self.widen()
            return int(self.beam.MORE)
        return said

    @property
    def moves(self) -> int:
        """Moves tried."""
        return int(self.layout.now[self.state.SETS])

    def run(self, states: int | None = None, done: Done | None = None) -> bool:
        """Go through all levels (true), or to a limit."""
        while True:
            if self.advance(1 + engine.STEPS // len(self.layout.ops)) == self.beam.CLOSED:
                return True
            if done is not None and done():
                return False
            if states is not None and self.states >= states:
                return False
            if self.states * self.row > engine.MEMORY:
                return False


def sweep(
    problem: MemoryProblem,
    reference: IntArray,
    *,
    width: int,
    lean: int = LEAN,
    known: int | None = None,
    room: int | None = None,
    done: Done | None = None,
) -> Swept:
    """Run one beam; addresses are not looked at.

    Parameters
    ----------
    problem : MemoryProblem
        With a capacity of at least its ``smallest_capacity``.
    reference, width, lean, room
        As of `Beam`.
    known : int, optional
        Extra bytes of a plan at hand: nothing as dear is looked for.
    done : callable, optional
        Whether to stop, asked every few milliseconds.
    """
    kernels = load_kernels(done)
    beam = None if kernels is None else load(f"{HERE}.beam_kernels", done)
    if kernels is None or beam is None:
        return NOTHING
    one = Beam(
        problem, kernels, beam, reference=reference, width=width, lean=lean, known=known, room=room
    )
    one.run(done=done)
    if not one.found:
        return Swept(None, None, None, one.moves)
    order, keep = one.plan()
    return Swept(order, keep, one.cost, one.moves)
