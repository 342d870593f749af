"""Best-first search over boxes of makespans, for all numbers of micro-batches together.

The leaf of least bound is what is proven, so it is the one to work on. Boxes are cut by linear
programs as long as they are wide: those take milliseconds, while whole numbers prove hardly more.
In narrow boxes work is all but linear in groups and memory is lifted; there whole groups decide,
most often at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mapc.models.sequence.bounds import area
from mapc.models.sequence.bounds.step_program import StepPrograms, boxes, narrowed, pools_of
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.program import Program
from mapc.solvers.base import Solution, Status

NARROW = 0.02
"""Relative width of all makespans up to which whole numbers are asked for."""
CUT = 0.015
"""How far from the makespan of a solution a box is cut."""

Solve = Callable[[Program, int], Solution]
"""From a program and the effort it is worth to its solution; 0: it has no whole numbers."""


@dataclass(order=True)
class Leaf:
    """A box and what is proven of the steps in it.

    Attributes
    ----------
    bound : int
        Ticks.
    number : int
        Leaves are taken in this order where bounds are equal.
    box : float64[2, q]
        Ticks of T.
    at : float64[q], optional
        T of the solution; None for what no program was solved for.
    effort : int
        Of its program; 0 without whole numbers.
    """

    bound: int
    number: int
    box: FloatArray = field(compare=False)
    at: FloatArray | None = field(compare=False, default=None)
    effort: int = field(compare=False, default=0)


class BoxSearch:
    """Leaves over all numbers of micro-batches from `least` to `most`.

    Parameters
    ----------
    problem : SequenceProblem
    least, most : int
        Micro-batches.
    known : int
        Ticks of a step: only faster ones matter.
    largest : int
        Columns of a program at most; boxes of more keep the bound they have.
    """

    def __init__(
        self, problem: SequenceProblem, least: int, most: int, known: int, largest: int
    ) -> None:
        self.problem, self.known, self.largest = problem, known, largest
        self.programs = StepPrograms(problem, pools_of(problem))
        self.base = self.programs.base
        self.mean = area.area_ticks(problem) / self.programs.ranks * (1.0 - 1e-12)
        self.leaves: list[Leaf] = []
        self.number = 0
        floors = area.step_bounds(problem, least, most).tolist() if least <= most else []
        for q, floor in zip(range(least, most + 1), floors, strict=True):
            self._push(int(floor), boxes(problem, q, known), None, 0)

    @property
    def bound(self) -> int:
        """Ticks that no step undercuts, `known` at most."""
        return min(self.known, self.leaves[0].bound) if self.leaves else self.known

    @property
    def closed(self) -> bool:
        """Whether nothing is left to prove, or can be."""
        if self.bound >= self.known:
            return True
        return self.programs.columns(self.leaves[0].box.shape[1]) > self.largest

    def step(self, solve: Solve) -> Leaf:
        """Work on the leaf of least bound; return it."""
        leaf = heapq.heappop(self.leaves)
        if leaf.at is None:
            self._solve(leaf.bound, leaf.box, solve, 0)
        elif not leaf.effort and _width(leaf.box, self.base) <= NARROW:
            self._solve(leaf.bound, leaf.box, solve, 1)
        else:
            for part in cut(leaf.box, leaf.at, self.base):
                self._solve(leaf.bound, part, solve, leaf.effort)
        return leaf

    def _solve(self, least: int, box: FloatArray, solve: Solve, effort: int) -> None:
        """Keep a box with what its program proves, `least` or more; or drop it."""
        box = narrowed(box, float(self.known - box.shape[1] * self.base), self.mean)
        if (box[0] > box[1]).any():
            return
        program, lift = self.programs.program(box, self.known, integer=effort > 0)
        solution = solve(program, effort)
        if solution.status is Status.INFEASIBLE:
            return
        proven = least if solution.bound is None else max(least, lift.bound(solution.bound))
        if proven >= self.known:
            return
        at = box.mean(axis=0)
        if solution.values is not None:
            at = lift.makespan.of(solution.values) * lift.unit
        if effort and solution.status is not Status.OPTIMAL:
            effort += 1  # halves were no easier so far: they are given more
        self._push(proven, box, at, effort)

    def _push(self, bound: int, box: FloatArray, at: FloatArray | None, effort: int) -> None:
        self.number += 1
        heapq.heappush(self.leaves, Leaf(bound, self.number, box, at, effort))


def cut(box: FloatArray, at: FloatArray, base: int) -> list[FloatArray]:
    """Return the two halves of a box, float64[2, q], cut near a point of it.

    The cut is across the relatively widest makespan; makespans are `base` ticks longer than T.
    """
    low, high = box
    m = int(np.argmax((high - low) / np.maximum(high + base, 1.0)))
    where = at[m] * (1.0 + CUT)
    if not low[m] < where < high[m]:
        where = at[m] * (1.0 - CUT)
    if not low[m] < where < high[m]:
        where = (low[m] + high[m]) / 2
    below, above = box.copy(), box.copy()
    below[1, m], above[0, m] = where, where
    # numbered by falling makespan: limits pass on to the neighbours
    below[1] = np.minimum.accumulate(below[1])
    above[0] = np.maximum.accumulate(above[0][::-1])[::-1]
    return [below, above]


def _width(box: FloatArray, base: int) -> float:
    low, high = box
    return float(((high - low) / np.maximum(high + base, 1.0)).max())
