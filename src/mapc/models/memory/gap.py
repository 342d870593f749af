r"""The gap model: what to keep in the scratchpad, for a fixed order.

Columns: ``keep[l]`` for every link that covers a step, ``write[t]`` for every tensor that would
pay a write. With size :math:`s`, capacity :math:`M`, working set :math:`W`:

.. math::
   \min \sum_l s_l (1 - keep_l) + \sum_t s_t\, write_t
   \quad\text{s.t.}\quad
   \sum_{l \ni step} s_l\, keep_l \le M - W_{step},\qquad
   write_t \ge 1 - keep_l .

It has no addresses: its optimum is a lower bound for the order, and the answer when the kept
residencies can be placed. A set of links that cannot be placed gives a *cut*: no plan keeps a
superset, since keeping more only joins residencies, and the joined ones would place the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.schedule import Schedule
from mapc.program import Program
from mapc.solvers.base import FloatArray


class GapModel:
    """The program of a schedule and how to read its solutions.

    Parameters
    ----------
    schedule : Schedule
    cuts : sequence of int64[k]
        Sets of links (indices into ``schedule.links``) that cannot all be kept.
    """

    def __init__(self, schedule: Schedule, cuts: Sequence[IntArray] = ()) -> None:
        self.schedule = schedule
        tensor, before, after = schedule.links
        problem = schedule.problem
        sizes = problem.sizes[tensor]
        free = schedule.covers & (sizes > 0)
        for cut in cuts:  # links between adjacent steps matter only where a cut names them
            free[cut] = True
        self.links = np.flatnonzero(free)
        """int64[m]: the links with a column."""
        self.program = Program(f"gap model of {problem.graph.name}")
        self.keep = self.program.variables(len(self.links), cost=-sizes[self.links], name="keep")
        self.program.minimise([], [], offset=float(sizes[self.links].sum()))
        self._add_writes(tensor[self.links])
        self._add_capacity(before[self.links], after[self.links], sizes[self.links])
        column = np.full(len(tensor), -1, dtype=np.int64)
        column[self.links] = self.keep.columns
        for i, cut in enumerate(cuts):
            self.program.rows(column[cut][None, :], 1.0, upper=len(cut) - 1, name=f"cut{i}")

    def _add_writes(self, tensor: IntArray) -> None:
        problem = self.schedule.problem
        paying = problem.pays_write[tensor]
        self.written, of = np.unique(tensor[paying], return_inverse=True)
        self.write = self.program.variables(
            len(self.written), cost=problem.sizes[self.written], name="write"
        )
        if paying.any():
            pairs = np.stack([self.write.columns[of], self.keep.columns[paying]], axis=1)
            self.program.rows(pairs, 1.0, lower=1.0, name="write_if_lost")

    def _add_capacity(self, before: IntArray, after: IntArray, sizes: IntArray) -> None:
        """One row for every run of steps covered by the same links, where they do not all fit."""
        schedule = self.schedule
        n = len(schedule.order)
        changes = np.zeros(n + 1, dtype=np.bool_)
        changes[before + 1] = True
        changes[after] = True
        changes[0] = True
        first = np.flatnonzero(changes[:n])
        room = schedule.problem.room - np.maximum.reduceat(schedule.needed, first)
        load = np.zeros(n + 1, dtype=np.int64)
        np.add.at(load, before + 1, sizes)
        np.add.at(load, after, -sizes)
        tight = np.cumsum(load)[first] > room
        covered = [np.flatnonzero((before < s) & (after > s)) for s in first[tight].tolist()]
        if not covered:
            return
        columns = np.concatenate(covered)
        start = np.concatenate([[0], np.cumsum([len(c) for c in covered])])
        names = schedule.problem.graph.operator_names
        self.program.ragged_rows(
            start,
            self.keep.columns[columns],
            sizes[columns],
            upper=room[tight],
            name="capacity",
            labels=[names[o] for o in schedule.order[first[tight]]],
        )

    def start_from(self, keep: BoolArray) -> None:
        """Hint a choice of links, bool[all links]."""
        self.program.hint(self.keep.columns, keep[self.links])
        lost = np.unique(self.schedule.links[0][~keep])
        self.program.hint(self.write.columns, np.isin(self.written, lost))

    def kept(self, values: FloatArray) -> BoolArray:
        """Return bool[all links] from the values of a solution; links without a column stay."""
        keep = np.ones(len(self.schedule.links[0]), dtype=np.bool_)
        keep[self.links] = self.keep.of(values) > 0.5
        return keep
