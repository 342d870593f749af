"""Addresses in the COSMA model: columns and rows (9) to (11).

The equations are in `mapc.models.memory.cosma`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.memory.cosma_states import NONE, Model

MAX_PAIRS = 2_000_000
"""Most (pair of tensors, step) triples built: some 30 million coefficients, 1 GB to build."""


@dataclass(frozen=True)
class Addresses:
    """Address columns: ``tensor`` int64[tensors, steps], ``workspace`` int64[steps]."""

    tensor: IntArray
    workspace: IntArray


def address_rows(model: Model) -> Addresses:
    """(9), (10) and (11)."""
    w, c, sizes = model.windows, model.columns, model.sizes
    step = np.arange(model.problem.graph.n_operators)
    mask = (step >= w.first[:, None]) & (step <= w.last[:, None]) & (sizes > 0)[:, None]
    tensor, _ = np.nonzero(mask)
    top = model.room - sizes[tensor]
    address = np.full(mask.shape, NONE, dtype=np.int64)
    address[mask] = model.program.variables(len(tensor), upper=top, name="address").columns

    kept, at = np.nonzero((c.keep != NONE) & mask)
    cells = np.stack([address[kept, at], address[kept, at - 1], c.keep[kept, at]], axis=1)
    slack = model.room - sizes[kept]
    one = np.ones_like(slack)
    for sign in (one, -one):
        model.rows("address kept", cells, np.stack([sign, -sign, slack], axis=1), upper=slack)

    _pair_rows(model, address)
    return Addresses(address, _workspace_rows(model, address))


def _pairs(model: Model) -> tuple[IntArray, IntArray, IntArray]:
    """Return (a, b, step) for all pairs of tensors that can be resident and of use together."""
    graph, w = model.problem.graph, model.windows
    # a is dead before b begins when all users of a precede every operator b can begin with
    begins = Ragged.of(
        w.users[a] if graph.producer[a] < 0 else graph.producer[a : a + 1]
        for a in range(graph.n_tensors)
    )
    dead = _all_rows(w.users, graph.precedes)
    dead = _all_rows(begins, dead.T).T
    low = np.maximum(w.first[:, None], w.first)
    high = np.minimum(w.last[:, None], w.last)
    placed = model.sizes > 0
    together = np.triu(placed[:, None] & placed & ~dead & ~dead.T & (low <= high), 1)
    left, right = np.nonzero(together)
    count = (high - low + 1)[left, right]
    if int(count.sum()) > MAX_PAIRS:
        raise UsageError(
            f"the COSMA model of {graph.name!r} has {int(count.sum()):,} pairs of tensors over all "
            f"steps; at most {MAX_PAIRS:,} are built: use another formulation for this graph"
        )
    first = np.cumsum(count) - count
    step = np.arange(int(count.sum())) - np.repeat(first - low[left, right], count)
    return np.repeat(left, count), np.repeat(right, count), step


def _all_rows(rows: Ragged, table: BoolArray) -> BoolArray:
    """For every row, whether all its members hold, per column of ``table``; false if empty."""
    result = np.zeros((len(rows), table.shape[1]), dtype=np.bool_)
    some = rows.lengths > 0
    if some.any():
        result[some] = np.logical_and.reduceat(table[rows.values], rows.start[:-1][some], axis=0)
    return result


def _pair_rows(model: Model, address: IntArray) -> None:
    """(10) for pairs of tensors."""
    program, c, room = model.program, model.columns, model.room
    a, b, step = _pairs(model)
    above = program.variables(len(a), name="above").columns
    below = program.variables(len(a), name="below").columns
    for upper_one, lower_one, chosen in ((a, b, above), (b, a, below)):
        cells = np.stack([address[upper_one, step], address[lower_one, step], chosen], axis=1)
        rhs = model.sizes[lower_one] - room
        program.rows(cells, [1.0, -1.0, -room], lower=rhs, name="apart")
    created_a, created_b = c.create[a, step], c.create[b, step]
    shared = (created_a == created_b) & (created_a != NONE)
    created_b = np.where(shared, NONE, created_b)
    states = [created_a, created_b]
    states += [of[which, step] for of in (c.keep, c.retrieve) for which in (a, b)]
    weights = np.full((len(a), 8), -1.0)
    weights[:, :2] = 1.0
    weights[:, 2] -= shared
    model.rows("ordered", np.stack([above, below, *states], axis=1), weights, lower=-1)


def _workspace_rows(model: Model, address: IntArray) -> IntArray:
    """(9) and (10) for the workspace of whatever runs at a step; its address per step."""
    program, c, room = model.program, model.columns, model.room
    needy = np.flatnonzero(model.workspaces > 0)
    size = model.workspaces[needy]
    run = c.run[needy]  # [needy, steps]
    place = np.full(run.shape[1], NONE, dtype=np.int64)
    steps = np.flatnonzero((run != NONE).any(axis=0))
    place[steps] = program.variables(len(steps), upper=room, name="workspace address").columns
    cells = np.concatenate([place[steps, None], run.T[steps]], axis=1)
    model.rows("workspace fits", cells, np.append(1, size), upper=room)

    a, step = np.nonzero((address != NONE) & (place != NONE))
    above = program.variables(len(a), name="above workspace").columns
    below = program.variables(len(a), name="below workspace").columns
    running = run.T[step]
    cells = np.column_stack([address[a, step], place[step], above, running])
    over = np.concatenate([[1.0, -1.0, -room], -size])
    model.rows("above workspace", cells, over, lower=-room)
    cells = np.stack([place[step], address[a, step], below], axis=1)
    program.rows(cells, [1.0, -1.0, -room], lower=model.sizes[a] - room, name="below workspace")
    # where the running operator creates the tensor, one column stands for both
    both = model.windows.creator[a][:, None] == needy
    created = np.where(both.any(axis=1), NONE, c.create[a, step])
    cells = np.column_stack([above, below, created, c.keep[a, step], c.retrieve[a, step], running])
    weights = np.column_stack([np.tile([1.0, 1, -1, -1, -1], (len(a), 1)), -1.0 - both])
    model.rows("ordered with workspace", cells, weights, lower=-1)
    return place
