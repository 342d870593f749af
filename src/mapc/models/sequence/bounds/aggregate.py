"""Bounds on one micro-batch from its groups summed up by mode, bisecting on the makespan.

The groups of a mode are alike, which is what makes programs with a column per group weak and slow.
Add their rows up: for a makespan M, with n_j groups of mode j and y_kj sequences of class k in it,

    minimise   sum over j of d_j n_j
    sum over j of y_kj = n_k                                every sequence somewhere
    sum over k of t_kj y_kj <= (M - f_j) n_j                time of all groups of a mode
    sum over k of s_k y_kj <= c_j n_j                       memory of all groups of a mode
    y_kj = 0 where f_j + t_kj > M or s_k > c_j              each sequence fits its group

Every plan of makespan M or less gives a point of it, so when no point has an objective of N or
less, no plan lasts M or less. n is whole, or not: then only the multipliers of each mode's two rows
are left to choose, and for shares w_j of time in [0, 1] the objective is at least

    sum over k of n_k min over j of d_j (w_j t_kj / (M - f_j) + (1 - w_j) s_k / c_j)

(Lagrange, with the multipliers scaled so that n_j falls out: they add up to d_j). That needs no
solver: `density_bound` climbs this concave function of w and bisects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.sequence.bounds import area
from mapc.models.sequence.classes import Classes, classes_of
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.program import Program
from mapc.solvers.base import Number, Solution, Status

if TYPE_CHECKING:
    from mapc.models.base import Search

SHAVED = 2.0**-18
"""By how much the work of each group is taken too low: more than what solvers tolerate."""
PRECISION = 2e-4
"""Relative step at which bisection ends."""
CLIMB = 30
"""Steps of the climb for each makespan."""

Solve = Callable[[Program], Solution]
Stop = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class AggregateLift:
    """Reads the answers of the program; a relaxation, it has no plan to give.

    Attributes
    ----------
    ranks : int
        What a plan of the makespan can use.
    """

    ranks: int

    def __call__(self, solution: Solution) -> None:
        """Raise ``UsageError``."""
        from mapc.errors import UsageError

        raise UsageError("the aggregate program is a relaxation and has no plan to give")

    def refutes(self, solution: Solution) -> bool:
        """Whether a solution proves that no plan of one micro-batch keeps to the makespan."""
        if solution.status is Status.INFEASIBLE:
            return True
        return solution.bound is not None and solution.bound > self.ranks * (1 + SHAVED)


def lower(
    problem: SequenceProblem,
    makespan: float | None = None,
    *,
    members: IntArray | None = None,
    integer: bool = True,
) -> tuple[Program, AggregateLift]:
    """Lower one micro-batch and a makespan to the least ranks that its sums ask for.

    Parameters
    ----------
    problem : SequenceProblem
    makespan : float, optional
        Milliseconds. Default: the bound by area and longest sequence.
    members : int64[n], optional
        The sequences of the micro-batch; all by default.
    integer : bool
        Whether numbers of groups are whole.

    Returns
    -------
    program : Program
        Columns ``groups`` [D] and ``given`` [U, D]; the objective is in ranks.
    lift : AggregateLift
    """
    classes = classes_of(problem, members)
    if makespan is None:
        ticks = floor_ticks(problem, classes)
    else:
        ticks = int(np.floor(makespan / problem.tick))
    return lower_classes(problem, classes, ticks, integer=integer)


def lower_classes(
    problem: SequenceProblem, classes: Classes, ticks: int, *, integer: bool
) -> tuple[Program, AggregateLift]:
    """Lower classes of sequences and a makespan in ticks; see `lower`."""
    work, room, allowed = _shares(problem, classes, ticks)
    count = classes.count.astype(np.float64)
    degree = problem.cost.degree.astype(np.float64)
    program = Program(f"{problem.name}: aggregate")
    most = problem.n_ranks // problem.cost.degree + 1  # one more than there is: a bound can show it
    groups = program.variables(
        problem.n_modes, 0.0, most.astype(np.float64), integer=integer, cost=degree, name="groups"
    )
    high = np.where(allowed.T, count[:, None], 0.0)
    given = program.variables(high.shape, 0.0, high, integer=False, name="given")
    program.rows(given.columns, 1.0, count, count, name="every sequence somewhere")
    columns = np.column_stack([given.columns.T, groups.columns])
    for share, name in ((work, "time"), (room, "memory")):
        price = np.hstack([share * (1.0 - SHAVED), -np.ones((problem.n_modes, 1))])
        program.rows(columns, price, upper=0.0, name=name)
    return program, AggregateLift(area.usable_ranks(problem))


def _shares(
    problem: SequenceProblem, classes: Classes, ticks: int
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """float64[D, U] shares of a group's time and memory, bool[D, U] whether it may be there.

    Shares are 0 where a sequence may not be.
    """
    left = ticks - problem.fixed_ticks
    allowed = classes.fits & (classes.ticks <= left[:, None])
    work = classes.ticks / np.maximum(left, 1)[:, None]
    room = classes.length / np.maximum(problem.cost.tokens, 1)[:, None]
    return np.where(allowed, work, 0.0), np.where(allowed, room, 0.0), allowed


def floor_ticks(problem: SequenceProblem, classes: Classes) -> int:
    """Return ticks that one micro-batch of these sequences takes at least: its slowest alone."""
    alone = problem.fixed_ticks[:, None] + classes.ticks
    return int(np.where(classes.fits, alone, np.iinfo(np.int64).max).min(axis=0).max())


def density_bound(
    problem: SequenceProblem,
    members: IntArray | None = None,
    *,
    known: int | None = None,
    stop: Stop = lambda: False,
) -> int:
    """Return a bound on one micro-batch in ticks, without a solver.

    Parameters
    ----------
    problem : SequenceProblem
    members : int64[n], optional
        Its sequences; all by default.
    known : int, optional
        Ticks above which nothing need be shown; by default where the bound ends by itself.
    stop : callable
        Whether to end early, with what is proven.

    Notes
    -----
    The sums are in floating point, of U terms >= 0 that are each off by some 2**-50 of themselves:
    together less than a relative 2**-50 U, and the sums must exceed N by that and 1e-9 more.
    """
    classes = classes_of(problem, members)
    enough = area.usable_ranks(problem) * (1 + 1e-9 + 2.0**-50 * len(classes.count))
    weight = np.full(problem.n_modes, 0.9)

    def refuted(ticks: int) -> bool:
        nonlocal weight
        for start in (weight, np.full_like(weight, 0.5), np.ones_like(weight)):
            needed, reached = _climb(problem, classes, ticks, start)
            if needed > enough:
                weight = reached
                return True
        return False

    least, most = floor_ticks(problem, classes), _ceiling_ticks(problem, classes)
    return _bisect(refuted, least, most, known, stop)


def aggregate_bound(
    problem: SequenceProblem,
    members: IntArray | None = None,
    *,
    solve: Solve,
    integer: bool = True,
    known: int | None = None,
    stop: Stop = lambda: False,
) -> int:
    """Return a bound on one micro-batch in ticks, by programs for a sequence of makespans.

    Parameters are those of `density_bound`; ``solve`` takes a program to a solution, whose bound
    counts whether or not it was solved to the end. With ``integer=False`` it is what
    `density_bound` climbs to.
    """
    classes = classes_of(problem, members)
    least = density_bound(problem, members, known=known, stop=stop)

    def refuted(ticks: int) -> bool:
        program, lift = lower_classes(problem, classes, ticks, integer=integer)
        return lift.refutes(solve(program))

    return _bisect(refuted, least, _ceiling_ticks(problem, classes), known, stop)


def _ceiling_ticks(problem: SequenceProblem, classes: Classes) -> int:
    """Return ticks that no micro-batch of these sequences exceeds: all in one slow group."""
    return int((problem.fixed_ticks + classes.ticks @ classes.count).max())


def _bisect(
    refuted: Callable[[int], bool], least: int, most: int, known: int | None, stop: Stop
) -> int:
    """Return ticks that a micro-batch takes at least, `least` or more.

    Refuting a makespan refutes all shorter ones, so what is proven is one more than the largest
    refuted; trying in the wrong order costs time, never truth. When even `most` is refuted, no
    makespan will do. Strides grow from small ones: the start is often close already.
    """
    step = max(1, int(least * PRECISION))
    limit = most if known is None else min(most, known)
    high, stride = None, 4 * step
    while high is None and least <= limit and not stop():
        tried = min(least + stride, limit)
        if refuted(tried):
            least, stride = tried + 1, 4 * stride
        else:
            high = tried
    while high is not None and high - least > step and not stop():
        middle = (least + high) // 2
        if refuted(middle):
            least = middle + 1
        else:
            high = middle
    return least


def _climb(
    problem: SequenceProblem, classes: Classes, ticks: int, weight: FloatArray
) -> tuple[float, FloatArray]:
    """Return the most ranks that shares of time prove to be needed, and the shares.

    Projected supergradient steps (Polyak's rule towards just above N, where refuting ends), shorter
    with every step that is no progress: the target may be out of reach.
    """
    work, room, allowed = _shares(problem, classes, ticks)
    if not allowed.any(axis=0).all():
        return np.inf, weight
    degree, count = problem.cost.degree.astype(np.float64), classes.count
    target = area.usable_ranks(problem) * 1.001
    best, at, pace = -np.inf, weight, 1.0
    column = np.arange(len(count))
    for _ in range(CLIMB):
        price = degree[:, None] * (weight[:, None] * work + (1 - weight)[:, None] * room)
        price = np.where(allowed, price, np.inf)
        mode = price.argmin(axis=0)
        value = float(price[mode, column] @ count)
        if value > best:
            best, at = value, weight
        else:
            pace *= 0.9
        if value >= target:
            break
        slope = np.bincount(
            mode,
            weights=degree[mode] * (work[mode, column] - room[mode, column]) * count,
            minlength=len(degree),
        )
        steep = float(slope @ slope)
        if steep <= 0:
            break
        weight = np.clip(weight + slope * (pace * (target - value) / steep), 0.0, 1.0)
    return best, at


def step_bound(
    problem: SequenceProblem,
    *,
    solve: Solve | None = None,
    known: int | None = None,
    stop: Stop = lambda: False,
) -> int:
    """Return a bound on the step in ticks, over all micro-batches and their number.

    Where everything may be one micro-batch, it is the lower of that one's bound and of the area
    bound of two; else the area bound.
    """
    least = area.least_micro_batches(problem)
    most = area.most_micro_batches(problem)
    by_area = area.step_bounds(problem, least, min(least + 1, most))
    if least > 1:
        return int(by_area[0])
    limit = int(by_area[1]) if most > 1 else known
    if known is not None and limit is not None:
        limit = min(limit, known)
    if limit is not None and limit <= int(by_area[0]):
        return int(by_area[0])
    if solve is None:
        one = density_bound(problem, known=limit, stop=stop)
    else:
        one = aggregate_bound(problem, solve=solve, known=limit, stop=stop)
    return max(int(by_area[0]), one if limit is None else min(one, limit))


def run(problem: SequenceProblem, search: Search) -> None:
    """Prove what sums by mode show where one micro-batch may do: `Method.run`."""
    if not isinstance(problem, SequenceProblem) or search.done():
        return
    known = _ticks_of(problem, search.objective)
    quick = step_bound(problem, known=known, stop=search.done)
    search.prove(quick * problem.tick, "density")
    if search.done() or area.least_micro_batches(problem) > 1:
        return

    def solve(program: Program) -> Solution:
        if search.deterministic:
            return search.solve(program, prefer=("highs",), work=1.0)
        return search.solve(program, prefer=("highs",), time=min(2.0, search.remaining()))

    slow = step_bound(
        problem, solve=solve, known=_ticks_of(problem, search.objective), stop=search.done
    )
    search.prove(slow * problem.tick, "aggregate")


def _ticks_of(problem: SequenceProblem, objective: Number | None) -> int | None:
    return None if objective is None else round(objective / problem.tick)
