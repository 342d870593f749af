"""FlexSP's program for one micro-batch, restated: virtual groups, and what each one is given.

Wang et al., FlexSP (ASPLOS 2025), as in Hetu-Galvatron, branch flexsp, ``flexsp_solver``. Every
mode j stands N / d_j times as a *virtual group* p, used (m_p = 1) or not; A_kp sequences of class k
go to group p:

    minimise M
    sum over p of A_kp = n_k                         every sequence somewhere
    sum over k of s_k A_kp <= c_p                    memory
    sum over k of t_kp A_kp + b + (f_p - b) m_p <= M time, b the least of all f
    m_p <= sum over k of A_kp <= K m_p               used means not empty
    sum over p of d_p m_p = N                        (<= N here, unless asked for)

Fixed ticks may differ between modes here; where they are equal, b is the constant that the
published program adds to every group. Its relaxation is weak: a group can be used by a fraction,
and groups of a mode are all alike.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from mapc.errors import InfeasibleError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.sequence.classes import Classes, buckets_of, classes_of
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.program import Block, Program
from mapc.solvers.base import Solution

LARGEST = 1 << 24
"""Where the longest group is scaled to: solvers lose digits of larger numbers."""


def one_micro_batch(problem: SequenceProblem, members: IntArray) -> SequenceProblem:
    """Return the problem of some sequences, int64[n], in a single micro-batch.

    Its tick is its own; times in milliseconds are what the two have in common.
    """
    return dataclasses.replace(
        problem, lengths=problem.lengths[members].copy(), least=1, most=1, provenance={}
    )


@dataclass(frozen=True, eq=False)
class FlexspLift:
    """Reads the answers of the program.

    Attributes
    ----------
    problem : SequenceProblem
    classes : Classes
    mode : int64[P]
        Of every virtual group.
    given : Block
        A, [U, P].
    used : Block
        m, [P].
    makespan : Block
        M, one column, in units.
    unit : int
        Ticks in a unit of the objective.
    """

    problem: SequenceProblem
    classes: Classes
    mode: IntArray
    given: Block
    used: Block
    makespan: Block
    unit: int

    def __call__(self, solution: Solution) -> SequencePlan:
        """Return the plan of a solution: one micro-batch, groups by descending degree.

        Raises
        ------
        UsageError
            When the solution has no values.
        """
        if solution.values is None:
            raise UsageError(f"no groups in a solution that is {solution.status.value}")
        return self.plan(np.rint(self.given.of(solution.values)).astype(np.int64))

    def plan(self, given: IntArray) -> SequencePlan:
        """Return the plan that gives every virtual group so many of each class, int64[U, P].

        Which sequences of a class those are makes a difference with buckets: there the shortest
        of each bucket goes to the group that would be the slowest.
        """
        used = np.flatnonzero(given.sum(axis=0) > 0)
        degree = self.problem.cost.degree[self.mode[used]]
        order = np.argsort(-degree, kind="stable")
        used, degree = used[order], degree[order]
        return SequencePlan(
            micro_batch=np.zeros(len(used), dtype=np.int64),
            mode=self.mode[used],
            first_rank=np.cumsum(degree) - degree,
            group=self._drawn(given[:, used], self.mode[used]),
        )

    def _drawn(self, given: IntArray, mode: IntArray) -> IntArray:
        """int64[K]: the group of every sequence; given int64[U, G], mode int64[G]."""
        problem, classes = self.problem, self.classes
        of = np.empty(problem.n_sequences, dtype=np.int64)
        time = problem.fixed_ticks[mode] + (given * classes.ticks[mode].T).sum(axis=0)
        start, shortest = classes.start, problem.padded[classes.members[classes.start[:-1]]]
        for u in range(len(given)):
            members = classes.members[start[u] : start[u + 1]]
            if shortest[u] == classes.length[u]:
                of[members] = np.repeat(np.arange(len(mode)), given[u])
                continue
            left = given[u].copy()
            for k in members.tolist():  # by ascending length: what saves most comes first
                g = int(np.where(left > 0, time, -1).argmax())
                time[g] -= classes.ticks[mode[g], u] - problem.ticks[mode[g], k]
                left[g] -= 1
                of[k] = g
        return of

    def values(self, given: IntArray) -> FloatArray:
        """float64[n_columns]: the program's columns for what every virtual group is given."""
        problem, unit = self.problem, self.unit
        used = given.sum(axis=0) > 0
        ticks, fixed = self.classes.ticks[self.mode].T // unit, problem.fixed_ticks[self.mode]
        time = (given * ticks).sum(axis=0) + np.where(used, fixed // unit, 0)
        return np.concatenate([given.ravel(), used, [time.max()]]).astype(np.float64)

    def bound(self, value: float) -> int:
        """Return ticks that no plan undercuts, from a lower bound of the program.

        Holds for plans of one micro-batch; with buckets, only for the lengths they round up to.
        """
        # solvers' bounds are good to some 1e-9 of themselves
        return self.unit * int(np.ceil(value - 1e-6 - 1e-8 * abs(value)))


def lower(
    problem: SequenceProblem,
    *,
    buckets: int | bool = False,
    symmetry: bool = False,
    equality: bool = False,
    tight: bool = False,
    least_degree: int = 1,
    prune: bool = False,
    unit: int | None = None,
) -> tuple[Program, FlexspLift]:
    """Lower a problem to FlexSP's program; all its sequences form one micro-batch.

    Parameters
    ----------
    problem : SequenceProblem
        See `one_micro_batch` for a part of a problem.
    buckets : int or bool
        Round lengths up into so many buckets; ``True``: as many as FlexSP's rule says. The
        optimum is then one for the rounded lengths, and no bound for the true ones.
    symmetry : bool
        Number the groups of a mode by descending tokens.
    equality : bool
        Use all ranks, as the published code asks: infeasible for few sequences.
    tight : bool
        Memory c_p m_p instead of c_p, which strengthens the relaxation.
    least_degree : int
        Leave out groups of fewer ranks; the published code leaves out those of one.
    prune : bool
        Set ranks aside for the sequences that need the largest degree, a group for each, and have
        no more groups of smaller degrees than fit the rest, as the published code does. Not safe:
        such sequences may share a group, and the optimum is then no bound.
    unit : int, optional
        Ticks per unit of the objective, a power of two; times are rounded down to units, so that
        the optimum is a bound. Default: the least for which no group takes more than 2**24.

    Returns
    -------
    program : Program
        Columns ``given`` [U, P], ``used`` [P] and ``makespan`` (units).
    lift : FlexspLift

    Raises
    ------
    UsageError
        When the problem asks for more than one micro-batch.
    """
    if problem.least > 1:
        raise UsageError(
            f"formulation 'flexsp': it has one micro-batch, {problem.name} at least {problem.least}"
        )
    if buckets is False:
        classes = classes_of(problem)
    else:
        classes = buckets_of(problem, n_buckets=None if buckets is True else buckets)
    mode = _virtual_groups(problem, classes, least_degree, prune)
    count, fits = classes.count.astype(np.float64), classes.fits[mode].T
    ticks, fixed = classes.ticks[mode].T, problem.fixed_ticks[mode]
    unit = unit or _unit(problem, classes)
    program = Program(f"{problem.name}: flexsp")
    given = program.variables(fits.shape, 0.0, np.where(fits, count[:, None], 0.0), name="given")
    used = program.variables(len(mode), name="used")
    most = _longest(problem, classes) // unit + 1
    makespan = program.variables(1, 0.0, float(most), cost=1.0, name="makespan")
    program.rows(given.columns, 1.0, count, count, name="every sequence somewhere")
    to = given.columns.T
    _memory(program, problem, classes, to, used, mode, tight)
    last = np.broadcast_to(makespan.columns, mode.shape)
    timed = np.column_stack([to, used.columns, last])
    ones = np.ones((len(mode), 1))
    least = int(fixed.min()) // unit
    time = np.hstack([(ticks // unit).T, (fixed // unit - least)[:, None], -ones])
    program.rows(timed, time, upper=-float(least), name="time")
    columns = np.column_stack([to, used.columns])
    each = np.ones(to.shape)
    program.rows(columns, np.hstack([each, -ones]), lower=0.0, name="used is not empty")
    most_given = np.hstack([each, -count.sum() * ones])
    program.rows(columns, most_given, upper=0.0, name="unused is empty")
    ranks, degree = float(problem.n_ranks), problem.cost.degree[mode].astype(np.float64)
    program.rows(used.columns[None], degree[None], ranks if equality else 0.0, ranks, name="ranks")
    if symmetry:
        _number(program, classes, to, used, mode)
    return program, FlexspLift(problem, classes, mode, given, used, makespan, unit)


def _virtual_groups(
    problem: SequenceProblem, classes: Classes, least_degree: int, prune: bool
) -> IntArray:
    """int64[P]: the mode of every virtual group, modes that fit nothing left out."""
    degree = problem.cost.degree
    wide = degree >= least_degree
    if not classes.fits[wide].any(axis=0).all():
        raise InfeasibleError(
            f"{problem.name}: a sequence, rounded up, fits no group of {least_degree} ranks or more"
        )
    copies = np.minimum(problem.n_ranks // degree, int(classes.count.sum()))
    copies = np.where(wide & classes.fits.any(axis=1), copies, 0)
    if prune:
        needed = degree[wide][problem.fits[wide].argmax(axis=0)]  # degrees increase
        largest = int(needed.max())
        rest = problem.n_ranks - largest * int((needed == largest).sum())
        copies = np.where(degree < largest, np.minimum(copies, max(0, rest) // degree), copies)
    return np.repeat(np.arange(problem.n_modes), copies)


def _longest(problem: SequenceProblem, classes: Classes) -> int:
    """Return ticks that no group exceeds: everything in one, in the slowest mode."""
    return int((problem.fixed_ticks + classes.ticks @ classes.count).max())


def _unit(problem: SequenceProblem, classes: Classes) -> int:
    return 1 << max(0, (_longest(problem, classes) // LARGEST).bit_length())


def _memory(
    program: Program,
    problem: SequenceProblem,
    classes: Classes,
    to: IntArray,
    used: Block,
    mode: IntArray,
    tight: bool,
) -> None:
    """Append the memory of every group; to int64[P, U] columns."""
    length = np.broadcast_to(classes.length.astype(np.float64), to.shape)
    room = problem.cost.tokens[mode].astype(np.float64)
    if tight:
        # more room than all tokens take would only make the coefficient large
        room = np.minimum(room, float(classes.tokens))
        columns = np.column_stack([to, used.columns])
        program.rows(columns, np.hstack([length, -room[:, None]]), upper=0.0, name="memory")
    else:
        program.rows(to, length, upper=room, name="memory")


def _number(program: Program, classes: Classes, to: IntArray, used: Block, mode: IntArray) -> None:
    """Order the groups of a mode: used ones first, by descending tokens."""
    p = np.flatnonzero(mode[1:] == mode[:-1])
    if not len(p):
        return
    order = np.stack([used.columns[p], used.columns[p + 1]], axis=1)
    program.rows(order, [1.0, -1.0], lower=0.0, name="used first")
    length = np.broadcast_to(classes.length.astype(np.float64), (len(p), to.shape[1]))
    both = np.hstack([to[p], to[p + 1]])
    program.rows(both, np.hstack([length, -length]), lower=0.0, name="most tokens first")
