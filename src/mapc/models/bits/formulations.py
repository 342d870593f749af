"""A bits problem as a program: one binary per option of every group.

Losses are whole quanta and can need 52 bits, more than a solver's tolerances tell apart. A program
therefore counts them above the least of each group and in units of a power of two, rounded *down*,
so that its optimum is a bound: ``Lift.bound`` turns an objective or a bound of the program into
quanta that no plan undercuts. ``unit=1`` keeps every quantum, for solvers of exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.base import Formulation
from mapc.models.bits.grid import exact_sum
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import MAX, BitsProblem
from mapc.models.bits.reduction import Reduced, reduce
from mapc.program import Block, Program
from mapc.solvers.base import FloatArray, Solution

LARGEST = 1 << 30
"""Where a loss is scaled to: above it solvers lose digits."""
MARGIN = 1e-7
LARGEST_ROW = 1 << 50
"""Above it sums of costs are no longer exact in a solver's floats."""


@dataclass(frozen=True, eq=False)
class Lift:
    """Reads the answers of a program.

    Attributes
    ----------
    problem : BitsProblem or None
        None for a part of a problem, which has no plan of its own.
    reduced : Reduced
    x : Block
        One binary per option of ``reduced``.
    offset, unit : int
        A choice of objective ``v`` loses at least ``offset + unit * v`` quanta.
    values : int64[t], optional
        For ranks: the quanta that an objective stands for.
    """

    problem: BitsProblem | None
    reduced: Reduced
    x: Block
    offset: int = 0
    unit: int = 1
    values: IntArray | None = None

    def __call__(self, solution: Solution) -> BitsPlan:
        """Return the plan of a solution.

        Raises
        ------
        UsageError
            When the solution has no values.
        """
        if solution.values is None:
            raise UsageError(f"no options in a solution that is {solution.status.value}")
        if self.problem is None:
            raise UsageError("the program covers a part of a problem and has no plan")
        return self.reduced.lift(self.problem, self.choice(solution.values))

    def choice(self, values: FloatArray) -> IntArray:
        """int64[n]: the options chosen by a solution's values."""
        picked = np.flatnonzero(self.x.of(values) > 0.5)
        choice = np.empty(self.reduced.n_groups, dtype=np.int64)
        choice[self.reduced.group_of[picked]] = picked
        return choice

    def bound(self, value: float) -> int:
        """Return the quanta that every plan loses, from a lower bound of the program."""
        whole = int(np.ceil(value - 1e-6))
        if self.values is not None:
            return int(self.values[np.clip(whole, 0, len(self.values) - 1)])
        return self.offset + self.unit * whole


def choice_of(
    reduced: Reduced,
    *,
    problem: BitsProblem | None = None,
    unit: int | None = None,
    start: IntArray | None = None,
    name: str = "bits",
) -> tuple[Program, Lift]:
    """Lower a reduced problem: the multiple-choice knapsack with all its budgets.

    HAWQ-V3's ILP (Yao et al. 2021, section 3.4) restated, which has one budget at a time.

    Parameters
    ----------
    reduced : Reduced
    problem : BitsProblem, optional
        What plans are for.
    unit : int, optional
        Quanta per unit of the objective, a power of two; chosen by `LARGEST` when omitted.
    start : int64[n], optional
        A choice of options to start from.
    """
    program = Program(name)
    x = _choices(program, reduced)
    quanta, offset = _above_least(reduced, reduced.quanta)
    scale = unit or _unit(quanta)
    program.minimise(x.columns, (quanta // scale).astype(np.float64))
    _suggest(program, x, start)
    return program, Lift(problem, reduced, x, offset, scale)


def related_of(
    reduced: Reduced,
    *,
    problem: BitsProblem | None = None,
    unit: int | None = None,
    start: IntArray | None = None,
    name: str = "bits",
) -> tuple[Program, Lift]:
    """Lower a reduced problem with its switch costs and pairwise tables.

    A flow ``y[a, b]`` from the options of one end of an edge to those of the other, with the
    options as its row and column sums, makes the relaxation as tight as one edge at a time can
    be; on a chain without budgets it is exact. A switch costs the same whatever the formats, so
    of its flow only the entries of equal format matter: ``z[a] <= x[first, a], x[second, a]``
    and ``weight * (1 - sum z)``. Pairwise tables need the whole flow.

    Parameters are those of `choice_of`.
    """
    program = Program(name)
    x = _choices(program, reduced)
    quanta, offset = _above_least(reduced, reduced.quanta)
    tables = [table - table.min() for table in reduced.tables]
    offset += sum(int(table.min()) for table in reduced.tables)
    scale = unit or _unit(np.concatenate([quanta, reduced.switch_quanta, *map(np.ravel, tables)]))
    program.minimise(x.columns, (quanta // scale).astype(np.float64))
    _suggest(program, x, start)
    chosen = np.zeros(x.size, dtype=np.bool_)
    if start is not None:
        chosen[start] = True
    ends, same = _edge_flow(program, x, reduced, scale)
    flows = _table_flow(program, x, reduced, tables, scale)
    if start is not None:
        program.hint(same.columns, chosen[ends].all(axis=1))
        for flow, (first, second) in zip(flows, reduced.pairs.tolist(), strict=True):
            left, right = _options(reduced, first), _options(reduced, second)
            program.hint(flow.columns, np.outer(chosen[left], chosen[right]))
    return program, Lift(problem, reduced, x, offset, scale)


def largest_of(
    reduced: Reduced,
    *,
    problem: BitsProblem | None = None,
    start: IntArray | None = None,
    name: str = "bits",
) -> tuple[Program, Lift]:
    """Lower the largest loss: a threshold no chosen option exceeds.

    Only the order of losses matters, so the threshold is a rank among the distinct losses: small
    whole numbers, nothing rounded. Parameters are those of `choice_of`.
    """
    program = Program(name)
    values, rank = np.unique(reduced.quanta, return_inverse=True)
    rank = rank.ravel().astype(np.int64)
    x = _choices(program, reduced)
    floor = int(np.minimum.reduceat(rank, reduced.start[:-1]).max(initial=0))
    top = program.variables(1, floor, max(len(values) - 1, floor), cost=1.0, name="threshold")
    _below(program, x, reduced, rank, int(top.start))
    _suggest(program, x, start)
    if start is not None:
        program.hint(top.columns, int(rank[start].max(initial=floor)))
    return program, Lift(problem, reduced, x, values=values)


def better_than(program: Program, lift: Lift, quanta: int, known: Sequence[IntArray]) -> None:
    """Ask a program for choices better than ``quanta`` that are none of the known ones.

    A row keeps the rounded-down objective below what any better choice has, with a margin of
    `MARGIN` for a solver's tolerances; a row for each known choice asks for another one in some
    group. Where nothing is left, no choice is better, to the last quantum.

    Parameters
    ----------
    known : sequence of int64[n]
        Options of the reduced problem.
    """
    matrix = program.matrix
    costed = np.flatnonzero(matrix.cost)
    most = (quanta - 1 - lift.offset) // lift.unit
    most += max(1, int(abs(most) * MARGIN))
    side = most - round(program.offset)
    cost = matrix.cost[costed][np.newaxis]
    program.rows(costed[np.newaxis], cost, upper=side, name="better than the best")
    free = np.flatnonzero(np.diff(lift.reduced.start) > 1)
    for choice in known:
        columns = lift.x.columns[choice[free]][np.newaxis]
        program.rows(columns, 1.0, upper=len(free) - 1.0, name="not the same again")


# -- pieces ----------------------------------------------------------------------------------


def _choices(program: Program, reduced: Reduced) -> Block:
    """Append one binary per option, one chosen per group, and the budgets that can bind."""
    x = program.variables(len(reduced.quanta), name="x")
    program.ragged_rows(reduced.start, x.columns, 1.0, 1.0, 1.0, name="one option")
    for at, (cost, budget) in enumerate(zip(reduced.cost, reduced.budget, strict=True)):
        least = np.minimum.reduceat(cost, reduced.start[:-1])
        above = cost - least[reduced.group_of]
        room = int(budget) - exact_sum(least)
        most = exact_sum(np.maximum.reduceat(above, reduced.start[:-1]))
        if most <= room:
            continue
        divisor = max(1, int(np.gcd.reduce(above)))
        above, room, most = above // divisor, room // divisor, most // divisor
        # beyond exact floats: costs rounded down relax the budget, and plans are re-checked
        shrink = 1 << max(0, most.bit_length() - LARGEST_ROW.bit_length() + 1)
        used = np.flatnonzero(above // shrink)
        program.rows(
            x.columns[used][np.newaxis],
            (above[used] // shrink).astype(np.float64),
            upper=float(room // shrink),
            name=f"budget {at}",
        )
    return x


def _above_least(reduced: Reduced, quanta: IntArray) -> tuple[IntArray, int]:
    """Return losses above the least of their group, and the sum of the least ones."""
    least = np.minimum.reduceat(quanta, reduced.start[:-1])
    return quanta - least[reduced.group_of], exact_sum(least)


def _unit(quanta: IntArray) -> int:
    """Return the power of two that brings losses down to `LARGEST`."""
    return 1 << max(0, int(quanta.max(initial=0)).bit_length() - LARGEST.bit_length() + 1)


def _suggest(program: Program, x: Block, start: IntArray | None) -> None:
    if start is not None:
        hint = np.zeros(x.size)
        hint[start] = 1.0
        program.hint(x.columns, hint)


def _options(reduced: Reduced, group: int) -> IntArray:
    return np.arange(reduced.start[group], reduced.start[group + 1], dtype=np.int64)


def equal_formats(reduced: Reduced) -> tuple[IntArray, IntArray]:
    """Return the pairs of options of the same format across every edge.

    Returns
    -------
    ends : int64[c, 2]
        Options of the first and of the second group of an edge.
    edge : int64[c]
        The edge of each pair, ascending.
    """
    first, second = reduced.edges[:, 0], reduced.edges[:, 1]
    width = int(reduced.format_of.max(initial=0)) + 1
    lengths = np.diff(reduced.start)[first]
    edge = np.repeat(np.arange(len(first), dtype=np.int64), lengths)
    within = np.arange(len(edge)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    left = reduced.start[first][edge] + within
    key = reduced.group_of * width + reduced.format_of
    order = np.argsort(key)
    wanted = second[edge] * width + reduced.format_of[left]
    place = np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)
    right = order[place]
    found = key[right] == wanted
    return np.stack([left[found], right[found]], axis=1), edge[found]


def _edge_flow(program: Program, x: Block, reduced: Reduced, scale: int) -> tuple[IntArray, Block]:
    """Append the flow between equal formats of every edge; return its ends and its columns."""
    weight = (reduced.switch_quanta // scale).astype(np.float64)
    ends, edge = equal_formats(reduced)
    program.offset += float(weight.sum())
    same = program.variables(len(ends), cost=-weight[edge], name="same format")
    for side in (0, 1):
        pairs = np.stack([same.columns, x.columns[ends[:, side]]], axis=1)
        program.rows(pairs, [1.0, -1.0], upper=0.0, name="no flow past an option")
    return ends, same


def _table_flow(
    program: Program, x: Block, reduced: Reduced, tables: list[IntArray], scale: int
) -> list[Block]:
    """Append the whole flow of every pairwise table."""
    flows = []
    for (first, second), table in zip(reduced.pairs.tolist(), tables, strict=True):
        cost = (table // scale).astype(np.float64)
        flow = program.variables(cost.shape, cost=cost, name="both")
        for columns, group in ((flow.columns, first), (flow.columns.T, second)):
            own = x.columns[_options(reduced, group)][:, np.newaxis]
            sums = np.append(np.ones(columns.shape[1]), -1.0)
            program.rows(np.hstack([columns, own]), sums, 0.0, 0.0, name="flow of an option")
        flows.append(flow)
    return flows


def _below(program: Program, x: Block, reduced: Reduced, rank: IntArray, top: int) -> None:
    """Append ``sum(rank * x) <= threshold`` for every group."""
    n, counts = reduced.n_groups, np.diff(reduced.start)
    start = reduced.start + np.arange(n + 1)
    at = np.arange(len(rank)) + reduced.group_of
    columns = np.full(int(start[-1]), top, dtype=np.int64)
    values = np.full(int(start[-1]), -1.0)
    columns[at], values[at] = x.columns, rank
    assert (np.diff(start) == counts + 1).all()
    program.ragged_rows(start, columns, values, upper=0.0, name="below the threshold")


# -- by name ---------------------------------------------------------------------------------


def choice(problem: BitsProblem, unit: int | None = None) -> tuple[Program, Lift]:
    """Lower a problem whose loss is a plain sum; see `choice_of`."""
    _refuse(problem, edges=True, pairwise=True, largest=True)
    return choice_of(reduce(problem), problem=problem, unit=unit, name=f"{problem.name}: choice")


def edge_flow(problem: BitsProblem, unit: int | None = None) -> tuple[Program, Lift]:
    """Lower a problem with switch costs; see `related_of`."""
    _refuse(problem, pairwise=True, largest=True)
    return _related(problem, unit, "edge-flow")


def pairwise(problem: BitsProblem, unit: int | None = None) -> tuple[Program, Lift]:
    """Lower a problem with pairwise tables, and switch costs if any; see `related_of`."""
    _refuse(problem, largest=True)
    return _related(problem, unit, "pairwise")


def largest(problem: BitsProblem) -> tuple[Program, Lift]:
    """Lower a problem that minimises its largest loss; see `largest_of`."""
    if problem.objective != MAX:
        raise UsageError("formulation 'max': the problem minimises a sum; expected 'choice'")
    reduced = reduce(problem, dominance=False)
    return largest_of(reduced, problem=problem, name=f"{problem.name}: max")


def _related(problem: BitsProblem, unit: int | None, name: str) -> tuple[Program, Lift]:
    reduced = reduce(problem, dominance=False)
    return related_of(reduced, problem=problem, unit=unit, name=f"{problem.name}: {name}")


def _refuse(
    problem: BitsProblem, *, edges: bool = False, pairwise: bool = False, largest: bool = False
) -> None:
    """Raise ``UsageError`` for what a formulation leaves out."""
    if largest and problem.objective == MAX:
        raise UsageError("the problem minimises the largest loss; expected formulation 'max'")
    if pairwise and problem.pairwise is not None:
        raise UsageError("the problem has pairwise terms; expected formulation 'pairwise'")
    if edges and len(problem.edges):
        raise UsageError("the problem has switch costs; expected formulation 'edge-flow'")


FORMULATIONS: Mapping[str, Formulation] = {
    formulation.name: formulation
    for formulation in (
        Formulation("choice", choice, "one option per group within all budgets"),
        Formulation("edge-flow", edge_flow, "with the cost of changing formats along edges"),
        Formulation("pairwise", pairwise, "with products of options, linearised by their sums"),
        Formulation("max", largest, "the largest loss, as a rank among all losses"),
    )
}
"""By name."""
