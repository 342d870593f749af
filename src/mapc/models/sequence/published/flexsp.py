"""FlexSP's whole road from lengths to groups, restated.

Wang et al., FlexSP (ASPLOS 2025, arXiv 2412.01523), as in Hetu-Galvatron, branch flexsp,
``flexsp_solver``: descending sequences are cut into consecutive micro-batches of even tokens, for
the least number of them that memory allows and the four after it. Each micro-batch is rounded up
into buckets and becomes a program of its own (`mapc.models.sequence.published.flexsp_model`), which
starts from one solution for each degree: all groups of that degree, longest bucket first, to the
group with fewest tokens. A solver has it for some seconds. Sequences are then drawn from the
buckets, and the number of micro-batches with the least sum wins.

What differs from the published code:

* There each program has 10 s (5 s by default) of SCIP in a process of its own, all at once. Here
  they come one after another on any solver, and share what remains of a time limit.
* Numbers of micro-batches that by `mapc.models.sequence.bounds.area` cannot beat a plan at hand are
  left out. What they would give could not win.
* There sequences are drawn from their bucket at random. Here the shortest go to the slowest groups,
  which never makes a plan slower than the program says.
* A solver that finds nothing leaves the best of the solutions it starts from, where HiGHS and
  CP-SAT are given that one only; SCIP keeps all of them, and returns one at least.
* Sequences of equal length are one class also where there are too few for buckets; such
  micro-batches have starts as well.
* A micro-batch may hold as many tokens as fit; there it has to stay below.
* Times are whole ticks rounded down to units of the program; groups of a degree may be of two
  kinds; several figures of the cost model follow from the problem.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.bounds.area import (
    least_micro_batches,
    micro_batch_tokens,
    most_micro_batches,
    step_bounds,
)
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.models.sequence.published.chunks import consecutive
from mapc.models.sequence.published.flexsp_model import FlexspLift, lower, one_micro_batch
from mapc.program import Program

if TYPE_CHECKING:
    from mapc.models.base import Search

SECONDS = 10.0
"""For one program, as in FlexSP's scripts; its command line has 5."""
WORK = 0.5
"""For one program without a clock, in the units of `mapc.models.base.Search.solve`."""
COUNTS = 5
"""Numbers of micro-batches that are tried."""
LEAST_DEGREE = 2
"""The published code leaves out groups of one rank."""


class Solve(Protocol):
    """Whoever solves the programs."""

    def __call__(
        self,
        program: Program,
        lift: FlexspLift,
        starts: list[FloatArray],
        *,
        programs: int,
        counts: int,
    ) -> FloatArray | None:
        """Return values of all columns, or None.

        ``starts`` are feasible values, best first. Still to come are ``programs`` of this number
        of micro-batches, this one included, and ``counts`` numbers, this one included.
        """


@dataclass(frozen=True)
class Options:
    """How the road is taken; the default is the published one.

    Attributes
    ----------
    counts : int
        Numbers of micro-batches that are tried.
    least_degree : int
        Groups have so many ranks, where all sequences fit such groups.
    equality : bool
        Whether every rank has to have a group.
    prune : bool
        Whether ranks are set aside for the longest sequences.
    buckets : int or bool
        As in `mapc.models.sequence.published.flexsp_model.lower`.
    """

    counts: int = COUNTS
    least_degree: int = LEAST_DEGREE
    equality: bool = True
    prune: bool = True
    buckets: int | bool = True


PUBLISHED = Options()


# -- micro-batches -------------------------------------------------------------------------------


def blasted(problem: SequenceProblem, count: int) -> list[IntArray]:
    """Return the sequences of ``count`` micro-batches: descending, consecutive, of even tokens."""
    order = np.argsort(-problem.padded, kind="stable")
    cut = consecutive(problem.padded[order], count)
    return [order[a:b] for a, b in itertools.pairwise(cut.tolist())]


def fewest(problem: SequenceProblem) -> int | None:
    """Return the least number of micro-batches none of which, cut evenly, exceeds the memory.

    Returns
    -------
    int or None
        None where it is more than the problem allows; other cuts may do with fewer.

    Raises
    ------
    InfeasibleError
        When no cut does.
    """
    room = micro_batch_tokens(problem)
    for count in range(least_micro_batches(problem), most_micro_batches(problem) + 1):
        if max(int(problem.padded[part].sum()) for part in blasted(problem, count)) <= room:
            return count
    return None


# -- one micro-batch -----------------------------------------------------------------------------


def homogeneous_starts(lift: FlexspLift) -> list[IntArray]:
    """Return int64[U, P] for each mode that holds everything: what its groups are given.

    Longest class first, every sequence to the group with fewest tokens that has room, as in the
    published code. Fastest first.
    """
    found = []
    for mode in np.unique(lift.mode).tolist():
        groups = np.flatnonzero(lift.mode == mode)
        given = _evenly(lift, groups, mode)
        if given is not None:
            found.append(given)
    return sorted(found, key=lambda given: float(lift.values(given)[-1]))


def _evenly(lift: FlexspLift, groups: IntArray, mode: int) -> IntArray | None:
    classes, room = lift.classes, int(lift.problem.cost.tokens[mode])
    given = np.zeros(lift.given.shape, dtype=np.int64)
    heap = [(0, int(p)) for p in groups]
    for u in range(len(classes.length) - 1, -1, -1):
        length = int(classes.length[u])
        for _ in range(int(classes.count[u])):
            held, p = heap[0]
            if held + length > room:  # no group holds less
                return None
            given[u, p] += 1
            heapq.heapreplace(heap, (held + length, p))
    return given


def micro_batch(
    problem: SequenceProblem, options: Options, solve: Callable[..., FloatArray | None]
) -> SequencePlan | None:
    """Return the plan for sequences that form one micro-batch.

    Parameters
    ----------
    problem : SequenceProblem
        See `mapc.models.sequence.published.flexsp_model.one_micro_batch`.
    options : Options
    solve : callable
        ``solve(program, lift, starts)``.

    Returns
    -------
    SequencePlan or None
        None where neither the solver nor groups of one degree hold everything.
    """
    wide = problem.fits[problem.cost.degree >= options.least_degree].any(axis=0).all()
    least_degree = options.least_degree if wide else 1
    try:
        program, lift = lower(
            problem,
            buckets=options.buckets,
            equality=options.equality,
            prune=options.prune,
            least_degree=least_degree,
        )
    except InfeasibleError:
        return None
    starts = homogeneous_starts(lift)
    usable = [values for given in starts if _fits(program, values := lift.values(given))]
    found = solve(program, lift, usable)
    plans = [lift.plan(given) for given in starts[:1]]
    if found is not None:
        plans.append(lift.plan(np.rint(lift.given.of(found)).astype(np.int64)))
    return min(plans, key=lambda plan: step_ticks(problem, plan), default=None)


def _fits(program: Program, values: FloatArray) -> bool:
    """Whether whole values meet all rows of whole coefficients."""
    matrix = program.matrix
    activity = matrix.activity(values)
    return bool((activity >= matrix.row_lower).all() and (activity <= matrix.row_upper).all())


# -- the road ------------------------------------------------------------------------------------


def plans(
    problem: SequenceProblem,
    solve: Solve,
    options: Options = PUBLISHED,
    done: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, SequencePlan]]:
    """Yield the plan of each number of micro-batches that has one, fewest first.

    Parameters
    ----------
    problem : SequenceProblem
    solve : Solve
    options : Options
    done : callable
        Whether to stop; asked before every program.

    Yields
    ------
    count : int
    plan : SequencePlan

    Raises
    ------
    InfeasibleError
        When memory asks for more micro-batches than the problem allows.
    """
    least = fewest(problem)
    if least is None:
        return
    most = min(least + options.counts - 1, most_micro_batches(problem))
    bounds, best = step_bounds(problem, least, most), np.iinfo(np.int64).max
    for count in range(least, most + 1):
        worth = int((bounds[count - least :] < best).sum())
        if not worth:
            return
        plan = _of_count(problem, count, worth, solve, options, done)
        if plan is not None:
            best = min(best, step_ticks(problem, plan))
            yield count, plan


def _of_count(
    problem: SequenceProblem,
    count: int,
    worth: int,
    solve: Solve,
    options: Options,
    done: Callable[[], bool],
) -> SequencePlan | None:
    """Return the plan of so many micro-batches, if each has one."""
    group = np.empty(problem.n_sequences, dtype=np.int64)
    modes: list[IntArray] = []
    for at, members in enumerate(blasted(problem, count)):
        if done():
            return None
        part = one_micro_batch(problem, members)
        plan = micro_batch(part, options, partial(solve, programs=count - at, counts=worth))
        if plan is None:
            return None
        group[members] = plan.group + sum(map(len, modes))
        modes.append(plan.mode)
    batch = np.repeat(np.arange(count), [len(mode) for mode in modes])
    return assemble(problem, batch, np.concatenate(modes), group)


def run(problem: SequenceProblem, search: Search) -> None:
    """Propose FlexSP's plans: `Method.run`."""
    if not isinstance(problem, SequenceProblem):
        return

    last, kept = 0, 0.0

    def solve(
        program: Program,
        lift: FlexspLift,
        starts: list[FloatArray],
        *,
        programs: int,
        counts: int,
    ) -> FloatArray | None:
        nonlocal last, kept
        if programs >= last:  # another number of micro-batches; leave the later ones their part
            kept = search.remaining() * (1.0 - 1.0 / counts)
        last = programs
        if search.done():
            return None
        if starts:
            program.hint(np.arange(program.n_columns), starts[0])
        if search.deterministic:
            return search.solve(program, work=WORK).values
        share = max(0.0, search.remaining() - kept) / programs
        return search.solve(program, time=min(SECONDS, share)).values

    for count, plan in plans(problem, solve, done=search.done):
        search.propose(plan, f"flexsp, micro-batches: {count}")
