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
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import (
    address_unit,
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
    unit = address_unit(problem.padded, problem.alignment)
    size = problem.padded[solid] // unit
    known = None if start is None else start.offset[solid] // unit
    known_peak = None if known is None else int((known + size).max(initial=0))
    if minimise:
        assert known_peak is not None
        room = known_peak
    else:
        assert problem.room is not None
        room = problem.room // unit
    if problem.max_load > room * unit:
        raise InfeasibleError(
            f"{problem.name}: {problem.max_load} bytes alive at one time, room for {room * unit}"
        )
    program = Program(f"{problem.name}: addresses")
    address = program.variables(len(solid), 0, room - size, name="address")
    lower, upper = problem.lower[solid], problem.upper[solid]
    _rectangles(program, address.columns, lower, upper, size, cliques)
    if minimise:
        least = -(-lower_bound(problem) // unit)
        _minimise_peak(program, address.columns, size, least, room, unit)
    if known is not None and known_peak is not None and known_peak <= room:
        program.hint(address.columns, known)

    def lift(solution: Solution) -> AllocationPlan:
        if solution.values is None:
            raise UsageError(f"no addresses in a solution that is {solution.status.value}")
        offset = np.zeros(problem.n_buffers, dtype=np.int64)
        offset[solid] = np.rint(address.of(solution.values)).astype(np.int64) * unit
        return AllocationPlan(offset)

    return program, lift


def _rectangles(
    program: Program,
    address: IntArray,
    lower: IntArray,
    upper: IntArray,
    size: IntArray,
    cliques: bool,
) -> None:
    """Append the intervals of both axes and the records that keep rectangles apart."""
    if not len(size):
        return
    times = program.intervals(upper - lower, start=NO_COLUMN, offset=lower, name="lifetime")
    rows = program.intervals(size, start=address, name="extent")
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
    """Return the problem of some buffers alone, int64[k] indices."""
    return AllocationProblem(
        name=problem.name,
        names=tuple(problem.names[i] for i in members.tolist()),
        lower=problem.lower[members],
        upper=problem.upper[members],
        size=problem.size[members],
        capacity=problem.capacity,
        alignment=problem.alignment,
    )


def independent_parts(problem: AllocationProblem) -> list[IntArray]:
    """Return the buffers that no time connects, heaviest part first, empty buffers left out."""
    solid = np.flatnonzero(problem.padded > 0)
    parts = [solid[part] for part in components(problem.lower[solid], problem.upper[solid])]
    loads = [load_of(problem.lower[p], problem.upper[p], problem.padded[p]) for p in parts]
    return [parts[i] for i in np.argsort([-load for load in loads], kind="stable")]


FORMULATIONS: Mapping[str, Formulation] = {
    "no-overlap-2d": Formulation(
        "no-overlap-2d", no_overlap_2d, "rectangles that must not overlap, one column per buffer"
    )
}
"""By name."""
