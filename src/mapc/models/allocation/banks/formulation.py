"""Placement in banks as a program with an optional rectangle for every buffer in every bank.

Where `mapc.models.allocation.formulations` lays banks out on one line of addresses, here a literal
says which bank a buffer lies in, and rectangles of one bank, where present, must not overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.errors import InfeasibleError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.allocation.banks.check import misfit
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.program.model import Program
from mapc.program.records import NO_COLUMN
from mapc.solvers.base import Solution

Lift = Callable[[Solution], AllocationPlan]


def bank_by_bank(problem: AllocationProblem) -> tuple[Program, Lift]:
    r"""Lower a problem with banks to rectangles that are present in one bank each.

    For buffer i and bank b that takes it: :math:`z_{ib}` says that i lies in b, exactly one of them
    holds, the address is at most :math:`\sum_b (M_b - s_i) z_{ib}`, and a multiple of the
    alignment of i.

    Returns
    -------
    program : Program
        Columns ``in bank`` (one for each buffer that is not empty and bank), ``address`` and, where
        alignments differ, ``multiple``; bytes.
    lift : callable
        Solution to plan; raises ``UsageError`` for a solution without values.

    Raises
    ------
    UsageError
        For a problem without banks.
    InfeasibleError
        For a buffer that no bank that takes it has room for.
    """
    if not problem.banks:
        raise UsageError("formulation banks: the problem has none; take no-overlap-2d")
    alone = misfit(problem)
    if alone is not None:
        raise InfeasibleError(f"{problem.name}: {alone}")
    solid = np.flatnonzero(problem.padded > 0)
    k, size = len(solid), problem.padded[solid]
    room = problem.line.end - problem.line.base
    takes = np.ones((k, len(room)), dtype=np.bool_)
    if problem.allowed is not None:
        takes = problem.allowed[solid]
    takes = takes & (size[:, None] <= room)
    program = Program(f"{problem.name}: addresses in banks")
    inside = program.variables(takes.size, 0, takes.ravel(), name="in bank")
    literal = inside.columns.reshape(takes.shape)
    fixed = np.full(k, -1) if problem.fixed is None else problem.fixed[solid]
    most = np.where(fixed < 0, room.max() - size, fixed)
    address = program.variables(k, np.maximum(fixed, 0), most, name="address")
    if k:
        program.exactly_one(literal, name="one bank")
        columns = np.concatenate([address.columns[:, None], literal], axis=1)
        values = np.concatenate([np.ones((k, 1)), np.minimum(size[:, None] - room, 0)], axis=1)
        program.rows(columns, values, upper=0.0, name="within its bank")
        _align(program, address.columns, problem.grain[solid], most, fixed)
    for bank in range(len(room)):
        _apart(program, problem, solid, address.columns, literal[:, bank], bank)

    def lift(solution: Solution) -> AllocationPlan:
        if solution.values is None:
            raise UsageError(f"no addresses in a solution that is {solution.status.value}")
        plan = problem.plan(
            np.zeros(problem.n_buffers, dtype=np.int64)
        )  # empty ones have their place
        offset, of = plan.offset.copy(), plan.bank.copy()
        offset[solid] = np.rint(address.of(solution.values)).astype(np.int64)
        of[solid] = (inside.of(solution.values).reshape(takes.shape) > 0.5).argmax(axis=1)
        return AllocationPlan(offset, of)

    return program, lift


def _align(
    program: Program, address: IntArray, grain: IntArray, most: IntArray, fixed: IntArray
) -> None:
    """Keep addresses that are not fixed to multiples."""
    coarse = np.flatnonzero((grain > 1) & (fixed < 0))
    if not len(coarse):
        return
    step = grain[coarse]
    times = program.variables(len(coarse), 0, np.maximum(most[coarse], 0) // step, name="multiple")
    columns = np.stack([address[coarse], times.columns], axis=1)
    values = np.stack([np.ones(len(coarse)), -step.astype(np.float64)], axis=1)
    program.rows(columns, values, lower=0.0, upper=0.0, name="aligned")


def _apart(
    program: Program,
    problem: AllocationProblem,
    solid: IntArray,
    address: IntArray,
    literal: IntArray,
    bank: int,
) -> None:
    """Keep the rectangles of one bank apart, those of reserved ranges included."""
    lower, upper, size = problem.lower[solid], problem.upper[solid], problem.padded[solid]
    walls = problem.reserved_in(bank)
    if len(solid) + len(walls) < 2:
        return
    times = program.intervals(upper - lower, start=NO_COLUMN, offset=lower, presence=literal)
    rows = program.intervals(size, start=address, presence=literal)
    begin, end, base, top = walls.T
    always = program.intervals(end - begin, start=NO_COLUMN, offset=begin)
    ranges = program.intervals(top - base, start=NO_COLUMN, offset=base)
    program.no_overlap_2d(
        np.append(times.indices, always.indices), np.append(rows.indices, ranges.indices)
    )
