"""States of tensors over time in the COSMA model: columns and rows (1) to (8), and (12).

The equations are in `mapc.models.memory.cosma`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.memory.problem import MemoryProblem
from mapc.program.model import Program

NONE = -1
"""No such column, operator or address."""


@dataclass(frozen=True)
class Windows:
    """When what may happen: int64 arrays of steps, bounds included.

    ``asap``, ``alap`` per operator; the rest per tensor. ``creator`` is the operator whose step
    creates the tensor, ``NONE`` for a source with several readers. ``lasting`` tensors have more
    than one user (producer or reader), the others are resident for one step.
    """

    users: Ragged

    asap: IntArray
    alap: IntArray
    lasting: BoolArray
    creator: IntArray
    first: IntArray  # earliest step of residency
    created: IntArray  # latest step of creation
    last: IntArray  # latest step of residency
    reread: IntArray  # earliest step of a use after creation


@dataclass(frozen=True)
class Columns:
    """Column numbers, ``NONE`` where there is no column.

    ``run`` is int64[operators, steps], the others int64[tensors, steps]. ``create`` repeats
    columns of ``run`` for tensors with a creator; ``own`` holds only those of its own.
    """

    run: IntArray
    create: IntArray
    own: IntArray
    keep: IntArray
    spill: IntArray
    retrieve: IntArray


@dataclass(frozen=True)
class Model:
    """A program under construction and what its parts have in common.

    ``sizes``, ``workspaces`` and ``room`` are in units of ``unit`` bytes, the gcd of all sizes.
    """

    program: Program
    problem: MemoryProblem
    windows: Windows
    columns: Columns
    unit: int
    sizes: IntArray
    workspaces: IntArray
    room: int

    def rows(
        self,
        name: str,
        columns: IntArray,
        coefficients: ArrayLike,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Append rows ``columns`` (int64[r, k]), leaving out the entries that are ``NONE``."""
        there = columns != NONE
        start = np.zeros(len(columns) + 1, dtype=np.int64)
        np.cumsum(there.sum(axis=1), out=start[1:])
        values = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), columns.shape)
        self.program.ragged_rows(
            start, columns[there], values[there], lower, upper, name=name, labels=labels
        )


def begin(problem: MemoryProblem, reload_at_once: bool) -> Model:
    """Start a program with the columns of all states and their costs."""
    program = Program(f"cosma {problem.graph.name}".strip())
    windows = _find_windows(problem)
    used = problem.sizes[windows.users.lengths > 0]
    unit = int(np.gcd.reduce(np.concatenate([used, problem.workspaces]))) or 1
    # room beyond everything at once would only loosen the big-M
    room = min(problem.room, int(used.sum() + problem.workspaces.max()))
    return Model(
        program=program,
        problem=problem,
        windows=windows,
        columns=_state_columns(program, problem, windows, reload_at_once),
        unit=unit,
        sizes=problem.sizes // unit,
        workspaces=problem.workspaces // unit,
        room=room // unit,
    )


# -- what may happen when --------------------------------------------------------------------


def _find_windows(problem: MemoryProblem) -> Windows:
    graph = problem.graph
    n, m = graph.n_operators, graph.n_tensors
    # the operators before and after one leave it the steps between
    asap = graph.precedes.sum(axis=0, dtype=np.int64)
    alap = n - 1 - graph.precedes.sum(axis=1, dtype=np.int64)
    users = graph.touched.transposed(m)
    lasting = users.lengths > 1
    first = _reduce(np.minimum, users, asap, 0)
    only_user = _reduce(np.minimum, users, np.arange(n), NONE)
    after_production = _reduce(np.minimum, graph.consumers, asap, n)
    return Windows(
        users=users,
        asap=asap,
        alap=alap,
        lasting=lasting,
        creator=np.where(graph.is_source & ~lasting, only_user, graph.producer),
        first=first,
        created=_reduce(np.minimum, users, alap, -1),
        last=_reduce(np.maximum, users, alap, -1),
        reread=np.where(graph.is_source, first + 1, after_production),
    )


def _reduce(how: np.ufunc, rows: Ragged, values: IntArray, empty: int) -> IntArray:
    """Reduce ``values[row]`` for every row, ``empty`` where it has no members."""
    result = np.full(len(rows), empty, dtype=np.int64)
    some = rows.lengths > 0  # reduceat takes no empty rows
    if some.any():
        result[some] = how.reduceat(values[rows.values], rows.start[:-1][some])
    return result


# -- columns ---------------------------------------------------------------------------------


def _state_columns(
    program: Program, problem: MemoryProblem, windows: Windows, reload_at_once: bool
) -> Columns:
    w, n = windows, problem.graph.n_operators
    step = np.arange(n)

    def between(low: IntArray, high: IntArray, where: BoolArray) -> BoolArray:
        mask: BoolArray = (step >= low[:, None]) & (step <= high[:, None]) & where[:, None]
        return mask

    pays = problem.pays_write & w.lasting
    away = 0 if reload_at_once else 1  # whole steps off-chip around a first spill
    run = _allocate(program, between(w.asap, w.alap, np.ones(n, dtype=np.bool_)), "run")
    by_itself = w.lasting & problem.graph.is_source
    own = _allocate(program, between(w.first, w.created, by_itself), "create")
    create = np.where((w.creator >= 0)[:, None], run[w.creator], own)
    keep = _allocate(program, between(w.first + 1, w.last, w.lasting), "keep")
    spill_mask = between(w.first + 1, w.last - away, pays)
    spill = _allocate(program, spill_mask, "spill", problem.sizes)
    earliest = np.maximum(w.reread, w.first + 1 + np.where(pays, away, 0))
    retrieve_mask = between(earliest, w.last, w.lasting)
    retrieve = _allocate(program, retrieve_mask, "retrieve", problem.sizes)
    return Columns(run, create, own, keep, spill, retrieve)


def _allocate(program: Program, mask: BoolArray, name: str, cost: ArrayLike = 0) -> IntArray:
    """Append one binary for every true cell and return their numbers in the mask's shape."""
    price = np.broadcast_to(np.asarray(cost)[..., None], mask.shape)[mask]
    block = program.variables(len(price), cost=price, name=name)
    index = np.full(mask.shape, NONE, dtype=np.int64)
    index[mask] = block.columns
    return index


# -- rows ------------------------------------------------------------------------------------


def _before(columns: IntArray) -> IntArray:
    """Shift by one step: the column at ``t - 1`` in place ``t``."""
    return np.concatenate([np.full_like(columns[:, :1], NONE), columns[:, :-1]], axis=1)


def order_rows(model: Model) -> None:
    """(7), one operator per step, and (5) operands resident."""
    graph, c = model.problem.graph, model.columns
    model.rows("operator runs once", c.run, 1, 1, 1, graph.operator_names)
    model.rows("one operator per step", c.run.T, 1, 1, 1)
    alone = np.flatnonzero((c.own != NONE).any(axis=1))
    names = [graph.tensor_names[a] for a in alone]
    model.rows("loaded first once", c.own[alone], 1, 1, 1, names)
    operator, tensor = graph.inputs.row_of, graph.inputs.values
    created_elsewhere = model.windows.creator[tensor] != operator
    operator, tensor = operator[created_elsewhere], tensor[created_elsewhere]
    pair, step = np.nonzero(c.run[operator] != NONE)
    at = (tensor[pair], step)
    uses = [c.run[operator[pair], step], c.own[at], c.keep[at], c.retrieve[at]]
    model.rows("operand resident", np.stack(uses, axis=1), [1, -1, -1, -1], upper=0)


def state_rows(model: Model, reload_at_once: bool) -> None:
    """(1), (2), (3) and (8)."""
    c = model.columns
    resident = [c.create, c.keep, c.retrieve]
    # a spill and its reload may share a step only where that is asked for
    exclusive = (
        [resident, [c.create, c.keep, c.spill]] if reload_at_once else [[*resident, c.spill]]
    )
    for states in exclusive:
        cells = np.stack(states, axis=-1).reshape(-1, len(states))
        several = (cells != NONE).sum(axis=1) > 1
        model.rows("one state", cells[several], 1, upper=1)
    for name, state, allowed in (
        ("kept from before", c.keep, resident),
        ("spilled from before", c.spill, resident[:2]),
    ):
        at = state != NONE
        cells = np.stack([state, *map(_before, allowed)], axis=-1)[at]
        model.rows(name, cells, [1] + [-1] * len(allowed), upper=0)
    spilled = np.flatnonzero((c.spill != NONE).any(axis=1))
    names = [model.problem.graph.tensor_names[a] for a in spilled]
    model.rows("spilled once", c.spill[spilled], 1, upper=1, labels=names)


def retrieve_rows(model: Model) -> None:
    """(4): an off-chip copy exists, from a spill or, for sources and outputs, from creation."""
    c = model.columns
    pays = model.problem.pays_write
    source = np.where(pays[:, None], c.spill, _before(c.create))
    tensor, step = np.nonzero(c.retrieve != NONE)
    # the columns of one tensor are consecutive: those up to a step are a range
    begin = np.argmax(source != NONE, axis=1)
    end = begin + (source != NONE).sum(axis=1)
    count = np.clip(np.minimum(step + 1, end[tensor]) - begin[tensor], 0, None)
    start = np.zeros(len(tensor) + 1, dtype=np.int64)
    np.cumsum(count + 1, out=start[1:])
    place = np.arange(start[-1]) - np.repeat(start[:-1], count + 1)
    first_column = source[tensor, begin[tensor]]
    index = np.repeat(first_column, count + 1) + place - 1
    index[start[:-1]] = c.retrieve[tensor, step]
    signs = np.where(place == 0, 1.0, -1.0)
    model.program.ragged_rows(start, index, signs, upper=0, name="copy before retrieval")


def size_rows(model: Model) -> None:
    """Sizes at every step fit; columns shared by what one operator creates are added up."""
    c, sizes, creator = model.columns, model.sizes, model.windows.creator
    created = model.workspaces.copy()
    np.add.at(created, creator[creator >= 0], sizes[creator >= 0])
    parts = np.concatenate([c.run, c.own, c.keep, c.retrieve]).T
    model.rows("capacity", parts, np.concatenate([created, sizes, sizes, sizes]), upper=model.room)
