"""A bound on the whole step over all choices of micro-batches, and plans near where it is least.

`mapc.models.sequence.bounds.step_program` relaxes the step for makespans in a box, and
`mapc.models.sequence.bounds.step_search` cuts boxes. The makespans of the least leaf are where a
faster plan may hide: the packing search is sent there in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.step_program import StepLift, boxes, lower
from mapc.models.sequence.bounds.step_search import BoxSearch
from mapc.models.sequence.problem import SequenceProblem
from mapc.program import Program
from mapc.solvers.base import Solution

if TYPE_CHECKING:
    from mapc.models.base import Search

__all__ = ["StepLift", "bound", "boxes", "lower", "run"]

LARGEST = 100_000
"""Columns above which a number of micro-batches is left to its area bound."""
STEPS = 60
"""Leaves that are worked on without a clock."""
WORK = 0.02
"""Work of a program without a clock."""
LINEAR, WHOLE = 2.0, 0.3
"""Seconds for a program, without and with whole numbers: what is proven by then counts."""
HARDEST = 5
"""How often the latter at most, in boxes whose halves are no easier."""

SHARE, STUCK_SHARE = 0.4, 0.75
"""Of the time goes into plans, usually and where the bound does not rise."""
STUCK = 25
"""Leaves after which it does not."""
SLICE, LOOKS = 0.12, 2_000_000
"""Seconds of packing at a time, or looks without a clock."""
EACH = 10
"""Leaves between two of them without a clock."""
SLACK = 1.004
"""By how much targets exceed the makespans of a relaxation."""

Solve = Callable[[Program], Solution]


def bound(
    problem: SequenceProblem,
    q: int,
    *,
    solve: Solve,
    known: int,
    nodes: int = STEPS,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Return a bound in ticks on steps of q micro-batches: `known`, or what boxes prove below it.

    Parameters
    ----------
    problem : SequenceProblem
    q : int
    solve : callable
        Program to solution; its bound counts, whether or not solved to the end.
    known : int
        Ticks of a step; steps that long or longer are of no interest.
    nodes : int
        Leaves to work on at most.
    stop : callable
        Whether to end early.
    """
    search = BoxSearch(problem, q, q, known, LARGEST)
    for _ in range(nodes):
        if search.closed or stop():
            break
        search.step(lambda program, _effort: solve(program))
    return search.bound


def run(problem: SequenceProblem, search: Search) -> None:
    """Prove a bound on the step over all numbers of micro-batches, and look for plans.

    Needs a plan to begin with: numbers of micro-batches whose area bound reaches its step are ruled
    out, and boxes begin with what it leaves. `Method.run`.
    """
    if not isinstance(problem, SequenceProblem) or search.objective is None or search.done():
        return
    known = round(search.objective / problem.tick)
    least = area.least_micro_batches(problem)
    tree = BoxSearch(problem, least, area.most_micro_batches(problem, known), known, LARGEST)
    plans = _Plans(problem, search)
    search.prove(tree.bound * problem.tick, "step")
    steps = 0
    while not search.done() and not tree.closed and not (search.deterministic and steps >= STEPS):
        steps += 1
        before = tree.bound
        tree.step(lambda program, effort: _solve(search, program, effort))
        plans.stuck = 0 if tree.bound > before else plans.stuck + 1
        search.prove(tree.bound * problem.tick, "step")
        if tree.leaves and tree.leaves[0].at is not None:
            plans.near(tree.leaves[0].number, tree.leaves[0].at + tree.base)
        tree.known = min(tree.known, round(search.objective / problem.tick))


def _solve(search: Search, program: Program, effort: int) -> Solution:
    if search.deterministic:
        return search.solve(program, prefer=("highs",), work=WORK * max(effort, 1))
    time = WHOLE * min(effort, HARDEST) if effort else LINEAR
    return search.solve(program, prefer=("highs",), time=min(time, search.remaining()))


class _Plans:
    """Slices of the packing search with targets from a bound's solutions."""

    def __init__(self, problem: SequenceProblem, search: Search) -> None:
        self.problem, self.search = problem, search
        self.begin, self.spent = search.remaining(), 0.0
        self.asked: set[int] = set()
        self.calls = 0
        self.stuck = 0

    def near(self, number: int, makespan: np.ndarray) -> None:
        """Look for plans of about these makespans, if it is their turn; float64[q] ticks."""
        from mapc.models.sequence.packing.hints import Hint
        from mapc.models.sequence.packing.search import plans

        search, self.calls = self.search, self.calls + 1
        if number in self.asked or not self._turn() or search.objective is None:
            return
        self.asked.add(number)
        before = search.remaining()

        def done() -> bool:
            return search.done() or before - search.remaining() >= SLICE

        for plan, source in plans(
            self.problem,
            seed=search.seed + self.calls,
            work=LOOKS if search.deterministic else None,
            done=search.done if search.deterministic else done,
            hint=Hint(np.maximum(makespan * SLACK, 1.0)),
            baselines=False,
            least=search.objective / self.problem.tick,
        ):
            search.propose(plan, source)
        self.spent += before - search.remaining() if not search.deterministic else 0.0

    def _turn(self) -> bool:
        if self.search.deterministic or math.isinf(self.begin):
            return self.calls % EACH == 0
        share = SHARE if self.stuck < STUCK else STUCK_SHARE
        return self.spent <= share * (self.begin - self.search.remaining())
