"""The whole step as a relaxation: q micro-batches with makespans in boxes, groups summed by mode.

Micro-batches are numbered by falling makespan. With b the least fixed part of a usable mode,
micro-batch m lasts b + T_m; n_jm groups of mode j, W_jm their rank-time above b, and y_kjm
sequences of class k in them:

    minimise  q b + sum of T_m,   lo_m <= T_m <= hi_m,   T_m >= T_(m+1)
    sum over j, m of y_kjm = n_k                               every sequence somewhere
    sum over k of d_j t_kj y_kjm + d_j (f_j - b) n_jm <= W_jm  work
    sum over j of W_jm <= N T_m,  sum over j of d_j n_jm <= N  ranks
    W_jm <= d_j hi_m n_jm                                      W <= d n T, from above
    W_jm <= N T_m + d_j lo_m n_jm - N lo_m                     (McCormick 1976)
    sum over k of (s_k + lift_kj) y_kjm <= c_j n_jm            memory
    sum over j of (t_kj + f_j - b) y_kjm <= T_m                a class of one sequence
    y_kjm = 0 where it does not fit by memory or hi_m

Memory is lifted by time. Let r = min over k of t_kj / s_k, e_k = t_kj / r - s_k >= 0 and
D = (hi_m - f_j + b) / r - c_j. A group has sum of (s_k + e_k) <= c_j + D by its time. For D >= 0
put lift_k = max(0, e_k - D): with none lifted the row is memory, and with x >= 1 lifted ones in the
group its left side is at most sum of (s_k + e_k) - x D <= c_j. The narrower the boxes, the more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.sequence.bounds import area
from mapc.models.sequence.classes import Classes, classes_of
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.program import Block, Program
from mapc.solvers.base import Solution, Status

if TYPE_CHECKING:
    from mapc.models.base import Search

MARGIN = 1e-6
"""What a solver's bound is lowered by, relative to it: its tolerances on rows and columns."""
WHOLE = 8
"""Of how many of the longest sequences each goes to one place, not to several by parts."""

LARGEST = 100_000
"""Columns above which `run` leaves a number of micro-batches to its area bound."""
NODES, SECONDS = 8, 2.0
"""Programs for each number of micro-batches, and seconds for each of them."""

Solve = Callable[[Program], Solution]


@dataclass(frozen=True, eq=False)
class StepLift:
    """Reads the answers of the program; a relaxation, it has no plan to give.

    Attributes
    ----------
    fixed : int
        Ticks of q times b.
    unit : float
        Ticks in a unit of time of the program.
    makespan : Block
        T, [q], in units.
    """

    fixed: int
    unit: float
    makespan: Block

    def __call__(self, solution: Solution) -> None:
        """Raise ``UsageError``."""
        raise UsageError("the step program is a relaxation and has no plan to give")

    def bound(self, value: float) -> int:
        """Return ticks that no step in the boxes undercuts, from a bound of the program."""
        return self.fixed + int(np.floor(value * self.unit * (1.0 - MARGIN)))


def boxes(problem: SequenceProblem, q: int, known: int | None = None) -> FloatArray:
    """Return where the makespans of q micro-batches can lie, for a step faster than a known one.

    The m-th longest is at most a m-th of the step. The longest has the sequence that is slowest
    alone and at least the mean of the area bound; the others have the quickest at least.

    Parameters
    ----------
    problem : SequenceProblem
    q : int
    known : int, optional
        Ticks of a step.

    Returns
    -------
    float64[2, q]
        lo and hi of T in ticks; lo > hi when no step of q micro-batches is faster.
    """
    fixed = area.least_fixed(problem)
    alone = area.alone_ticks(problem).astype(np.float64) - fixed
    mean = area.area_ticks(problem) / area.usable_ranks(problem)
    low = np.full(q, alone.min())
    low[0] = max(alone.max(), mean / q * (1.0 - 1e-12))
    slowest = float((problem.fixed_ticks + problem.ticks.sum(axis=1)).max() - fixed)
    if known is None:
        return np.stack([low, np.full(q, max(slowest, low[0]))])
    return np.stack([low, np.minimum(slowest, (known - q * fixed) / np.arange(1, q + 1))])


def lower(
    problem: SequenceProblem,
    q: int | None = None,
    *,
    box: FloatArray | None = None,
    known: int | None = None,
    whole: int = WHOLE,
) -> tuple[Program, StepLift]:
    """Lower a problem with a number of micro-batches.

    Parameters
    ----------
    problem : SequenceProblem
    q : int, optional
        Micro-batches; by default the fewest that memory allows.
    box : float64[2, q], optional
        Least and most of T in ticks; see `boxes`, the default.
    known : int, optional
        Ticks of a step: only faster ones are of interest.
    whole : int
        About so many of the longest sequences are whole.

    Returns
    -------
    program : Program
        Columns ``makespan`` [q], ``groups`` and ``work`` [q, D], ``given`` [q, D, U].
    lift : StepLift
    """
    count = area.least_micro_batches(problem) if q is None else q
    limits = boxes(problem, count, known) if box is None else box
    return _Step(problem, classes_of(problem), limits, whole).build()


class _Step:
    """The program of one set of boxes under construction; times in units."""

    def __init__(
        self, problem: SequenceProblem, classes: Classes, box: FloatArray, whole: int
    ) -> None:
        self.problem, self.classes, self.whole = problem, classes, whole
        usable = np.flatnonzero(classes.fits.any(axis=1))
        self.q, self.ranks = box.shape[1], float(area.usable_ranks(problem))
        self.base = area.least_fixed(problem)
        # makespans of some thousand units, so that absolute tolerances are far below them
        self.unit = max(1.0, float(box[0, 0]) / 1024, float(box[1, 0]) / 2.0**20)
        self.low, self.high = box / self.unit
        self.degree = problem.cost.degree[usable].astype(np.float64)
        self.room = problem.cost.tokens[usable].astype(np.float64)
        # what no box has time for is only told to be too long: large numbers hurt solvers
        never = 2.0 * float(self.high.max())
        extra = (problem.fixed_ticks[usable] - self.base) / self.unit
        self.extra = np.minimum(extra, never)
        self.time = np.minimum(classes.ticks[usable] / self.unit, never)
        self.fits: BoolArray = classes.fits[usable]
        self.program = Program(f"{problem.name}: step")

    def build(self) -> tuple[Program, StepLift]:
        """Return the program and its lift."""
        program, n_modes = self.program, len(self.degree)
        shape = (self.q, n_modes)
        count = self.classes.count.astype(np.float64)
        makespan = program.variables(
            self.q, self.low, self.high, integer=False, cost=1.0, name="makespan"
        )
        most = np.broadcast_to(np.floor(self.ranks / self.degree), shape)
        self.groups = program.variables(shape, 0.0, most, name="groups").columns
        work_most = self.ranks * self.high[:, None] * np.ones(shape)
        self.work = program.variables(shape, 0.0, work_most, integer=False, name="work").columns
        in_time = self.extra[:, None] + self.time <= self.high[:, None, None] * (1 + 1e-12)
        allowed = self.fits & in_time
        longest = np.cumsum(count[::-1])[::-1] <= self.whole
        given = program.variables(
            allowed.shape, 0.0, np.where(allowed, count, 0.0), integer=longest, name="given"
        ).columns
        by_class = given.reshape(-1, given.shape[2]).T
        program.rows(by_class, 1.0, count, count, name="every sequence somewhere")
        self.makespan = makespan.columns
        self._ranks()
        for m in range(self.q):
            self._work(m, given[m])
            self._memory(m, given[m], allowed[m])
        self._singles(given, count)
        return program, StepLift(self.q * self.base, self.unit, makespan)

    def _ranks(self) -> None:
        """Append the sums over modes and the order of micro-batches."""
        program = self.program
        minus = np.full((self.q, 1), -self.ranks)
        columns = np.column_stack([self.work, self.makespan])
        ones = np.ones(self.work.shape)
        program.rows(columns, np.hstack([ones, minus]), upper=0.0, name="area")
        program.rows(self.groups, self.degree[None] * ones, upper=self.ranks, name="ranks")
        if self.q > 1:
            order = np.stack([self.makespan[:-1], self.makespan[1:]], axis=1)
            program.rows(order, [1.0, -1.0], lower=0.0, name="longest first")

    def _work(self, m: int, given: IntArray) -> None:
        """Append work and its bounds by groups and makespan; given int64[D, U]."""
        program, degree = self.program, self.degree[:, None]
        groups, work = self.groups[m], self.work[m]
        columns = np.column_stack([given, groups, work])
        minus = np.full(degree.shape, -1.0)
        price = np.hstack([degree * self.time, degree * self.extra[:, None], minus])
        program.rows(columns, price, upper=0.0, name="work")
        both = np.column_stack([work, groups])
        high, low = float(self.high[m]), float(self.low[m])
        program.rows(both, np.hstack([-minus, -degree * high]), upper=0.0, name="longest groups")
        three = np.column_stack([both, np.broadcast_to(self.makespan[m], groups.shape)])
        price = np.hstack([-minus, -degree * low, minus * self.ranks])
        program.rows(three, price, upper=-self.ranks * low, name="shortest groups")

    def _memory(self, m: int, given: IntArray, allowed: BoolArray) -> None:
        """Append memory, lifted by what time the box leaves; both arrays [D, U]."""
        length = self.classes.length.astype(np.float64)
        pace = np.where(allowed, self.time / length, np.inf).min(axis=1)
        steady = np.isfinite(pace) & (pace > 0)
        rate = np.where(steady, pace, 1.0)[:, None]
        slack = (self.high[m] - self.extra)[:, None] / rate - self.room[:, None]
        lift = np.maximum(self.time / rate - length - np.maximum(slack, 0.0), 0.0)
        lifted = allowed & steady[:, None] & (slack >= 0)
        tokens = length + np.where(lifted, lift, 0.0)
        columns = np.column_stack([given, self.groups[m]])
        # by tokens of a group: coefficients of one at most
        price = np.hstack([tokens / self.room[:, None], np.full((len(given), 1), -1.0)])
        self.program.rows(columns, price, upper=0.0, name="memory")

    def _singles(self, given: IntArray, count: FloatArray) -> None:
        """Append that a sequence fits the makespan where it is; given int64[q, D, U]."""
        alone = np.flatnonzero(count == 1)
        if not len(alone):
            return
        some = given[:, :, alone].transpose(0, 2, 1).reshape(self.q * len(alone), -1)
        last = np.repeat(self.makespan, len(alone))
        price = (self.extra[:, None] + self.time[:, alone]).T
        price = np.hstack([np.tile(price, (self.q, 1)), np.full((len(some), 1), -1.0)])
        self.program.rows(np.column_stack([some, last]), price, upper=0.0, name="one sequence")


def bound(
    problem: SequenceProblem,
    q: int,
    *,
    solve: Solve,
    known: int,
    nodes: int = 8,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Return a bound in ticks on steps of q micro-batches: `known`, or what boxes prove below it.

    Best first: the box of least bound is solved anew on either side of a cut of its relatively
    widest makespan, near the makespan of its solution.

    Parameters
    ----------
    problem : SequenceProblem
    q : int
    solve : callable
        Program to solution; its bound counts, whether or not solved to the end.
    known : int
        Ticks of a step; steps that long or longer are of no interest.
    nodes : int
        Programs to solve at most.
    stop : callable
        Whether to end early.
    """
    floor = int(area.step_bounds(problem, q, q)[0])
    root = boxes(problem, q, known)
    classes = classes_of(problem)
    queue: list[tuple[int, int, FloatArray, FloatArray | None]] = [(floor, 0, root, None)]
    number, solved = 0, 0
    while queue and queue[0][0] < known and solved < nodes and not stop():
        least, _, box, at = heapq.heappop(queue)
        parts = [box] if at is None else _cut(box, at)
        for part in parts:
            number += 1
            solved += 1
            if (part[0] > part[1]).any():
                continue
            program, lift = _Step(problem, classes, part, WHOLE).build()
            solution = solve(program)
            if solution.status is Status.INFEASIBLE:
                continue
            proven = least if solution.bound is None else lift.bound(solution.bound)
            middle = part.mean(axis=0)
            if solution.values is not None:
                middle = lift.makespan.of(solution.values) * lift.unit
            heapq.heappush(queue, (max(least, proven), number, part, middle))
    return min([known, *(entry[0] for entry in queue)])


def run(problem: SequenceProblem, search: Search) -> None:
    """Prove a bound on the step over all numbers of micro-batches: `Method.run`.

    Needs a plan to compare with: numbers whose area bound reaches its step are ruled out, and the
    others are taken in increasing order, the least bound of all being what is proven.
    """
    if not isinstance(problem, SequenceProblem) or search.objective is None or search.done():
        return
    known = round(search.objective / problem.tick)
    least = area.least_micro_batches(problem)
    most = area.most_micro_batches(problem, known)
    if most < least:
        search.prove(known * problem.tick, "step")
        return
    proven = area.step_bounds(problem, least, most).tolist()
    size = len(classes_of(problem).length) * problem.n_modes

    def solve(program: Program) -> Solution:
        if search.deterministic:
            return search.solve(program, prefer=("highs",), work=1.0)
        return search.solve(program, prefer=("highs",), time=min(SECONDS, search.remaining()))

    for at, q in enumerate(range(least, most + 1)):
        if search.done() or q * size > LARGEST:
            break
        found = bound(problem, q, solve=solve, known=known, nodes=NODES, stop=search.done)
        proven[at] = max(proven[at], found)
        search.prove(min(known, *proven) * problem.tick, "step")
        if min(proven) == proven[at]:  # the numbers after it can not raise the least
            break


def _cut(box: FloatArray, at: FloatArray) -> list[FloatArray]:
    """Return the two halves of a box, float64[2, q], cut at about a point of it."""
    low, high = box
    m = int(np.argmax((high - low) / np.maximum(high, 1.0)))
    where = at[m] * 1.015
    if not low[m] < where < high[m]:
        where = at[m] * 0.985
    if not low[m] < where < high[m]:
        where = (low[m] + high[m]) / 2
    below, above = box.copy(), box.copy()
    below[1, m], above[0, m] = where, where
    # numbered by falling makespan: limits pass on to the neighbours
    below[1] = np.minimum.accumulate(below[1])
    above[0] = np.maximum.accumulate(above[0][::-1])[::-1]
    return [below, above]
