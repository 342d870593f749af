"""The whole step as a program: q micro-batches with makespans in boxes, groups summed by mode.

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
    sum of T_m <= known step - q b                             only faster steps matter

Memory is lifted by time. Let r = min over k of t_kj / s_k, e_k = t_kj / r - s_k >= 0 and
D = (hi_m - f_j + b) / r - c_j. A group has sum of (s_k + e_k) <= c_j + D by its time. For D >= 0
put lift_k = max(0, e_k - D): with none lifted the row is memory, and with x >= 1 lifted ones in the
group its left side is at most sum of (s_k + e_k) - x D <= c_j. The narrower the boxes, the more.

Short sequences are pooled (`mapc.models.sequence.classes.pooled_classes`): one of s_k tokens counts
as s_k / s >= 1 of a pool's shortest, s, in work and memory. The lift stands: with e that of the
shortest, the long one's own is at least (s_k / s) e, and an amount x >= 1 of lifted ones takes x D
off as before.

Times and tokens are taken low by a relative 2**-18. So the point of a plan keeps the rows of work,
area, memory and single sequences with room to spare; those of ranks and of the order are sums and
differences of what the point has itself. So what a solver tolerates should not rule it out. That is
no proof about solvers: their "infeasible" and their bounds, lowered, are taken at their word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.sequence.bounds import area
from mapc.models.sequence.classes import PooledClasses, pooled_classes
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.program import Block, Program
from mapc.solvers.base import Solution

MARGIN = 1e-6
"""What a solver's bound is lowered by, relative to it: its tolerances on rows and columns."""
SHAVED = 2.0**-18
"""By how much times and tokens are taken low.

More than tolerances on whole numbers, 1e-6 in HiGHS: with just that much, 1.13.1 takes rows such as
``0.999999 y <= n`` for sums of whole numbers, rounds them the wrong way and loses plans.
"""
PAD = 2.0**-14
"""Units of time by which boxes are widened: to solvers narrow ones are points, and not quite the
right ones. 2**-24 of the longest micro-batch."""
SHORTEST = 1.0
"""Units of time: nothing is whole in micro-batches that are shorter, whose rows are hardly above
tolerances; HiGHS 1.13.1 loses plans there as well. The longest micro-batch has 1,024."""
WHOLE = 8
"""Of how many of the longest sequences each goes to one place, not to several by parts."""
ALONE = 24
"""So many of the greatest lengths are classes of their own."""
RATIO = 1.1
"""The longest of a pool over its shortest at most."""
FINEST = 64
"""Groups of a mode are whole where not more than so many of them fill the cluster."""


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
    limits = np.minimum(slowest, (known - q * fixed) / np.arange(1, q + 1))
    return narrowed(np.stack([low, limits]), float(known - q * fixed), mean * (1.0 - 1e-12))


def narrowed(box: FloatArray, most: float, least: float = 0.0) -> FloatArray:
    """Return a box as narrow as sums of T between `least` and `most` and falling T leave it.

    Parameters
    ----------
    box : float64[2, q]
    most, least : float
        Ticks. The narrowed box has every point of the box with such a sum.
    """
    low, high = box
    for _ in range(2):
        high = np.minimum.accumulate(np.minimum(high, most - (low.sum() - low) + ROUND * most))
        spare = ROUND * max(abs(least), abs(float(high.sum())))  # the latter may be far larger
        low = np.maximum(low, least - (high.sum() - high) - spare)
        low = np.maximum.accumulate(low[::-1])[::-1]
    return np.stack([low, high])


ROUND = 2.0**-45
"""Far above what sums of some makespans lose in floating point, relative to the largest."""


def pools_of(problem: SequenceProblem) -> PooledClasses:
    """Return the classes that the program counts."""
    lengths = np.unique(problem.padded)
    keep = int(lengths[-ALONE - 1]) if len(lengths) > ALONE else -1
    return pooled_classes(problem, keep, RATIO)


def lower(
    problem: SequenceProblem,
    q: int | None = None,
    *,
    box: FloatArray | None = None,
    known: int | None = None,
    whole: int = WHOLE,
    integer: bool = True,
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
    integer : bool
        Whether anything is whole.

    Returns
    -------
    program : Program
        Columns ``makespan`` [q], ``groups`` and ``work`` [q, D], ``given`` [q, D, U].
    lift : StepLift
    """
    count = area.least_micro_batches(problem) if q is None else q
    limits = boxes(problem, count, known) if box is None else box
    step = StepPrograms(problem, pools_of(problem), whole)
    return step.program(limits, known, integer=integer)


class StepPrograms:
    """Programs of boxes of one problem.

    Parameters
    ----------
    problem : SequenceProblem
    classes : PooledClasses
    whole : int
        About so many of the longest sequences are whole.
    """

    def __init__(
        self, problem: SequenceProblem, classes: PooledClasses, whole: int = WHOLE
    ) -> None:
        self.problem, self.classes = problem, classes
        self.usable: IntArray = np.flatnonzero(classes.fits.any(axis=1))
        self.ranks = float(area.usable_ranks(problem))
        self.base = area.least_fixed(problem)
        self.degree = problem.cost.degree[self.usable].astype(np.float64)
        self.room = problem.cost.tokens[self.usable].astype(np.float64)
        self.extra = (problem.fixed_ticks[self.usable] - self.base) * (1.0 - SHAVED)
        self.time = classes.ticks[self.usable] * (1.0 - SHAVED)
        self.length = classes.length * (1.0 - SHAVED)
        self.fits: BoolArray = classes.fits[self.usable]
        self.count = np.asarray(classes.count, dtype=np.float64)
        longest = np.cumsum(classes.size[::-1])[::-1] <= whole
        self.whole: BoolArray = longest & (self.count == classes.size)
        self.fine: BoolArray = self.degree * FINEST >= self.ranks

    def columns(self, q: int) -> int:
        """Return how many columns a program of q micro-batches has."""
        return q * (1 + len(self.degree) * (2 + len(self.count)))

    def program(
        self, box: FloatArray, known: int | None, *, integer: bool
    ) -> tuple[Program, StepLift]:
        """Return the program of a box, float64[2, q] in ticks, and its lift."""
        return _Step(self, box, known, integer).build()


class _Step:
    """The program of one set of boxes under construction; times in units."""

    def __init__(self, of: StepPrograms, box: FloatArray, known: int | None, integer: bool) -> None:
        self.of, self.integer = of, integer
        self.q = box.shape[1]
        # makespans of some thousand units, so that absolute tolerances are far below them
        self.unit = max(1.0, float(box[0, 0]) / 1024, float(box[1, 0]) / 2.0**20)
        self.low = np.maximum(box[0] / self.unit - PAD, 0.0)
        self.high = box[1] / self.unit + PAD
        # what no box has time for is only told to be too long: large numbers hurt solvers
        never = 2.0 * float(self.high.max())
        self.extra = np.minimum(of.extra / self.unit, never)
        self.time = np.minimum(of.time / self.unit, never)
        self.most = np.inf if known is None else (known - self.q * of.base) / self.unit
        self.program = Program(f"{of.problem.name}: step")

    def build(self) -> tuple[Program, StepLift]:
        """Return the program and its lift."""
        of, program = self.of, self.program
        shape = (self.q, len(of.degree))
        makespan = program.variables(
            self.q, self.low, self.high, integer=False, cost=1.0, name="makespan"
        )
        most = np.broadcast_to(np.floor(of.ranks / of.degree), shape)
        whole = self.integer & (self.high >= SHORTEST)[:, None]
        self.groups = program.variables(
            shape, 0.0, most, integer=whole & of.fine, name="groups"
        ).columns
        work_most = of.ranks * self.high[:, None] * np.ones(shape)
        self.work = program.variables(shape, 0.0, work_most, integer=False, name="work").columns
        in_time = self.extra[:, None] + self.time <= self.high[:, None, None]
        allowed = of.fits & in_time
        given = program.variables(
            allowed.shape,
            0.0,
            np.where(allowed, of.count, 0.0),
            integer=np.broadcast_to(whole[:, :, None] & of.whole, allowed.shape),
            name="given",
        ).columns
        by_class = given.reshape(-1, given.shape[2]).T
        program.rows(by_class, 1.0, of.count, of.count, name="every sequence somewhere")
        self.makespan = makespan.columns
        self._ranks()
        for m in range(self.q):
            self._work(m, given[m])
            self._memory(m, given[m], allowed[m])
        self._singles(given)
        return program, StepLift(self.q * of.base, self.unit, makespan)

    def _ranks(self) -> None:
        """Append the sums over modes, the order of micro-batches and the known step."""
        of, program = self.of, self.program
        minus = np.full((self.q, 1), -of.ranks)
        columns = np.column_stack([self.work, self.makespan])
        ones = np.ones(self.work.shape)
        program.rows(columns, np.hstack([ones, minus]), upper=0.0, name="area")
        program.rows(self.groups, of.degree[None] * ones, upper=of.ranks, name="ranks")
        if self.q > 1:
            order = np.stack([self.makespan[:-1], self.makespan[1:]], axis=1)
            program.rows(order, [1.0, -1.0], lower=0.0, name="longest first")
        if np.isfinite(self.most):
            most = self.most * (1.0 + MARGIN)
            program.rows(self.makespan[None], 1.0, upper=most, name="faster than known")

    def _work(self, m: int, given: IntArray) -> None:
        """Append work and its bounds by groups and makespan; given int64[D, U]."""
        program, degree, ranks = self.program, self.of.degree[:, None], self.of.ranks
        groups, work = self.groups[m], self.work[m]
        columns = np.column_stack([given, groups, work])
        minus = np.full(degree.shape, -1.0)
        price = np.hstack([degree * self.time, degree * self.extra[:, None], minus])
        program.rows(columns, price, upper=0.0, name="work")
        both = np.column_stack([work, groups])
        high, low = float(self.high[m]), float(self.low[m])
        program.rows(both, np.hstack([-minus, -degree * high]), upper=0.0, name="longest groups")
        three = np.column_stack([both, np.broadcast_to(self.makespan[m], groups.shape)])
        price = np.hstack([-minus, -degree * low, minus * ranks])
        program.rows(three, price, upper=-ranks * low, name="shortest groups")

    def _memory(self, m: int, given: IntArray, allowed: BoolArray) -> None:
        """Append memory, lifted by what time the box leaves; both arrays [D, U]."""
        length, room = self.of.length, self.of.room
        pace = np.where(allowed, self.time / length, np.inf).min(axis=1)
        steady = np.isfinite(pace) & (pace > 0)
        rate = np.where(steady, pace, 1.0)[:, None]
        slack = (self.high[m] - self.extra)[:, None] / rate - room[:, None]
        lift = np.maximum(self.time / rate - length - np.maximum(slack, 0.0), 0.0)
        lifted = allowed & steady[:, None] & (slack >= 0)
        tokens = length + np.where(lifted, lift, 0.0)
        columns = np.column_stack([given, self.groups[m]])
        # by tokens of a group: coefficients of one at most
        price = np.hstack([tokens / room[:, None], np.full((len(given), 1), -1.0)])
        self.program.rows(columns, price, upper=0.0, name="memory")

    def _singles(self, given: IntArray) -> None:
        """Append that a sequence fits the makespan where it is; given int64[q, D, U]."""
        alone = np.flatnonzero((self.of.count == 1) & (self.of.classes.size == 1))
        if not len(alone):
            return
        some = given[:, :, alone].transpose(0, 2, 1).reshape(self.q * len(alone), -1)
        last = np.repeat(self.makespan, len(alone))
        price = (self.extra[:, None] + self.time[:, alone]).T
        price = np.hstack([np.tile(price, (self.q, 1)), np.full((len(some), 1), -1.0)])
        self.program.rows(np.column_stack([some, last]), price, upper=0.0, name="one sequence")
