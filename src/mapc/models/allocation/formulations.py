"""Placement as a program: rectangles, time by addresses, that must not overlap.

Time is fixed, so only addresses are columns, counted in units of the greatest common divisor of the
sizes (see `structure.address_unit`). Two redundant views of the same rule help a constraint solver
where one alone does not: all rectangles of a part in one two-dimensional record, and for each
maximal set alive together its address intervals in a one-dimensional one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mapc.errors import InfeasibleError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.allocation.banks.domain import Domain
from mapc.models.allocation.banks.formulation import bank_by_bank
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import (
    alive,
    clique_times,
    components,
    load_of,
)
from mapc.models.base import Formulation
from mapc.program.model import Program
from mapc.program.records import NO_COLUMN
from mapc.solvers.base import Solution

CLIQUE_LIMIT = 1000
"""Buffers above which the one-dimensional records cost more than they prune."""

Lift = Callable[[Solution], AllocationPlan]


def no_overlap_2d(
    problem: AllocationProblem,
    peak: bool | None = None,
    start: AllocationPlan | None = None,
    cliques: bool = True,
) -> tuple[Program, Lift]:
    """Lower a problem to rectangles that must not overlap.

    Parameters
    ----------
    problem : AllocationProblem
    peak : bool, optional
        Minimise the peak (bytes) rather than ask whether the buffers fit the capacity, where
        the objective is 0. Default: whether there is no capacity.
    start : AllocationPlan, optional
        A valid plan to start from. It is used where it fits, and with ``peak`` nothing above its
        peak is looked at; the default there is the greedy one.
    cliques : bool
        Say it in one dimension too: for constraint solvers; a MIP solver would only see every
        pair several times.

    Returns
    -------
    program : Program
        Columns ``address`` in units (one for each buffer that is not empty) and, with ``peak``,
        ``peak`` in units.
    lift : callable
        Solution to plan; raises ``UsageError`` for a solution without values.

    Raises
    ------
    UsageError
        If neither ``peak`` nor a capacity is given.
    InfeasibleError
        If more bytes are alive at one time than the capacity holds.
    """
    minimise = problem.capacity is None if peak is None else peak
    if not minimise and problem.room is None:
        raise UsageError("no capacity to fit into; give one, or ask for the peak")
    if minimise and start is None:
        start = greedy(problem, iterations=1)
    solid = np.flatnonzero(problem.padded > 0)
    unit = problem.unit
    size = problem.padded[solid] // unit
    held = np.where(problem.held < 0, -1, problem.held // unit)[solid]
    known = None if start is None else problem.on_line(start)[solid] // unit
    known_peak = None if known is None else int((known + size).max(initial=0))
    if minimise:
        assert known_peak is not None
        room = known_peak
    else:
        assert problem.room is not None
        room = problem.room // unit
    if lower_bound(problem) > room * unit:
        raise InfeasibleError(
            f"{problem.name}: {lower_bound(problem)} bytes needed at one time, "
            f"room for {room * unit}"
        )
    program = Program(f"{problem.name}: addresses")
    highest = np.where(held < 0, room - size, held)
    address = program.variables(len(solid), np.maximum(held, 0), highest, name="address")
    walls = problem.obstacles // np.array([1, 1, unit, unit])
    _rectangles(
        program,
        np.append(address.columns, np.full(len(walls), NO_COLUMN)),
        np.append(np.zeros(len(solid), dtype=np.int64), walls[:, 2]),
        np.append(problem.lower[solid], walls[:, 0]),
        np.append(problem.upper[solid], walls[:, 1]),
        np.append(size, walls[:, 3] - walls[:, 2]),
        cliques,
    )
    if problem.domain is not None:
        free = held < 0
        within = problem.domain.of(solid[free]).over(unit)
        _within_domain(program, address.columns[free], size[free], room, within)
    if minimise:
        least = -(-lower_bound(problem) // unit)
        _minimise_peak(program, address.columns, size, least, room, unit)
    if known is not None and known_peak is not None and known_peak <= room:
        program.hint(address.columns, known)

    def lift(solution: Solution) -> AllocationPlan:
        if solution.values is None:
            raise UsageError(f"no addresses in a solution that is {solution.status.value}")
        offset = np.maximum(problem.held, 0)
        offset[solid] = np.rint(address.of(solution.values)).astype(np.int64) * unit
        return problem.plan(offset)

    return program, lift


def _within_domain(
    program: Program, address: IntArray, size: IntArray, room: int, domain: Domain
) -> None:
    """Keep addresses to multiples of grains, and buffers off the ranges that do not take them."""
    coarse = np.flatnonzero(domain.grain > 1)
    if len(coarse):
        grain = domain.grain[coarse]
        times = program.variables(len(coarse), 0, room // grain, name="multiple")
        columns = np.stack([address[coarse], times.columns], axis=1)
        values = np.stack([np.ones(len(coarse)), -grain.astype(np.float64)], axis=1)
        program.rows(columns, values, lower=0.0, upper=0.0, name="aligned")
    for i in np.flatnonzero(domain.barred.any(axis=1)).tolist():
        base, top = domain.walls(i)
        own = program.intervals(size[i : i + 1], start=address[i : i + 1], name="within")
        walls = program.intervals(top - base, start=NO_COLUMN, offset=base, name="barred")
        program.no_overlap(np.append(own.indices, walls.indices), name="in a bank that takes it")


def _rectangles(
    program: Program,
    address: IntArray,
    base: IntArray,
    lower: IntArray,
    upper: IntArray,
    size: IntArray,
    cliques: bool,
) -> None:
    """Append the intervals of both axes and the records that keep rectangles apart.

    Addresses are ``base``, and above it what a column says, where there is one.
    """
    if not len(size):
        return
    times = program.intervals(upper - lower, start=NO_COLUMN, offset=lower, name="lifetime")
    rows = program.intervals(size, start=address, offset=base, name="extent")
    parts = [part for part in components(lower, upper) if len(part) > 1]
    for part in parts:
        program.no_overlap_2d(times.indices[part], rows.indices[part], name="apart")
    if cliques and len(size) <= CLIQUE_LIMIT:
        for members in alive(lower, upper, clique_times(lower, upper)):
            if members.sum() > 1:
                program.no_overlap(rows.indices[members], name="alive together")


def _minimise_peak(
    program: Program, address: IntArray, size: IntArray, least: int, most: int, unit: int
) -> None:
    """Append the peak, its rows ``peak - address[i] >= size[i]`` and its cost in bytes."""
    top = program.variables(1, least, most, cost=float(unit), name="peak")
    columns = np.stack([np.broadcast_to(top.columns, size.shape), address], axis=1)
    program.rows(columns, [1.0, -1.0], lower=size, name="below peak")
    program.hint(top.columns, most)


def part_of(problem: AllocationProblem, members: IntArray) -> AllocationProblem:
    """Return the problem of some buffers alone, int64[k] indices.

    Of what does not move, only the life among the free buffers of ``members`` is left.
    """
    lower, upper = problem.lower[members], problem.upper[members]
    fixed = None if problem.fixed is None else problem.fixed[members]
    walls = problem.reserved
    free = problem.held[members] < 0
    of = problem.reserved_bank
    if free.any() and (fixed is not None or walls is not None):
        first, last = int(lower[free].min()), int(upper[free].max())
        lower, upper = np.clip(lower, first, last), np.clip(upper, first, last)
        if walls is not None:
            near = (walls[:, 0] < last) & (walls[:, 1] > first)
            walls, of = walls[near], None if of is None else of[near]
            walls[:, :2] = np.clip(walls[:, :2], first, last)
    return AllocationProblem(
        name=problem.name,
        names=tuple(problem.names[i] for i in members.tolist()),
        lower=lower,
        upper=upper,
        size=problem.size[members],
        capacity=problem.capacity,
        alignment=problem.alignment,
        fixed=fixed,
        reserved=walls,
        alignments=None if problem.alignments is None else problem.alignments[members],
        banks=problem.banks,
        allowed=None if problem.allowed is None else problem.allowed[members],
        reserved_bank=of,
    )


def independent_parts(problem: AllocationProblem) -> list[IntArray]:
    """Return the buffers that no time connects, heaviest part first, empty buffers left out.

    Buffers with fixed addresses connect nothing: they are in every part during which they live,
    and in none where nothing else does.

    Where alignments differ, so would the places of banks on the line of a part: then all is one
    part.
    """
    solid = np.flatnonzero((problem.padded > 0) & (problem.held < 0))
    fixed = np.flatnonzero((problem.padded > 0) & (problem.held >= 0))
    if problem.banks and problem.alignments is not None:
        parts = [solid][: len(solid)]
    else:
        parts = [solid[part] for part in components(problem.lower[solid], problem.upper[solid])]
    loads = [load_of(problem.lower[p], problem.upper[p], problem.padded[p]) for p in parts]
    parts = [parts[i] for i in np.argsort([-load for load in loads], kind="stable")]
    if not len(fixed):
        return parts
    return [np.sort(np.append(part, _alive_with(problem, part, fixed))) for part in parts]


def _alive_with(problem: AllocationProblem, part: IntArray, others: IntArray) -> IntArray:
    """Return those of ``others`` whose lives share a time with the part's range of times."""
    first, last = problem.lower[part].min(), problem.upper[part].max()
    meets = (problem.lower[others] < last) & (problem.upper[others] > first)
    return others[np.flatnonzero(meets)]


FORMULATIONS: Mapping[str, Formulation] = {
    "no-overlap-2d": Formulation(
        "no-overlap-2d", no_overlap_2d, "rectangles that must not overlap, one column per buffer"
    ),
    "banks": Formulation("banks", bank_by_bank, "an optional rectangle per buffer and bank"),
}
"""By name."""
