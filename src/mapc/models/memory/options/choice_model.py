r"""The gap model with options: the cheapest choice of a fixed order.

Binaries: :math:`k_l` for every link, :math:`x_u` for every read that may be streamed, :math:`y_p`
for every in-place pair, :math:`w_t` for every tensor whose loss pays a write. A read :math:`u` with
link :math:`l` into it is loaded when :math:`\ell_u = 1 - k_l - x_u` is 1 (without a link, the first
read of a source: :math:`1 - x_u`). With the costs per byte :math:`r` (load), :math:`q` (streamed),
:math:`v` (written), the full working set :math:`F_i` of step :math:`i` and distance :math:`d`:

.. math::
   \min & \sum_u s_u (r\, \ell_u + q\, x_u) + \sum_t v\, s_t\, w_t - \mathit{compulsory} \\
   & \sum_{l:\ p_l < i < q_l} s_l k_l + \sum_{u:\ \max(0, i_u - d) \le i < i_u} s_u \ell_u
     - \sum_{u\ \text{at}\ i} s_u x_u - \sum_{p\ \text{at}\ i} \min(s_a, s_b)\, y_p \le M - F_i \\
   & k_l + x_u \le 1 \quad (u \text{ an end of } l), \qquad w_t + k_l \ge 1 \\
   & y_p + k_l \le 1 \quad (l \text{ out of the input}), \qquad y_p + x_u \le 1, \qquad
     \sum_{p \ni a} y_p \le 1, \qquad \sum_{p \ni b} y_p \le 1 \\
   & x_u + x_v + \sum_{z\ \text{between}} (1 - x_z) + k_l \ge 1
     \quad \text{where a load for } v \text{ would begin before } u \text{ has ended}

(:math:`k_l` only where :math:`u, v` are the ends of :math:`l`). *Its optimum is the least extra
cost of the order, addresses aside.* A choice gives residencies (`Timeline.residencies`) that follow
every rule: the last rows say that two residencies of a tensor do not overlap in time when the later
one begins :math:`d` steps early. Conversely read a choice off a plan: a link is kept where one
residency spans it and neither end is streamed; where a plan streams a read although the tensor is
there, not streaming it costs no more. Nothing then takes more room, and every transfer of the plan
is counted at most once. Joined residencies begin earlier only together with the part before.

In an order that runs operators again, links into a production are not kept and cost nothing
(`mapc.models.memory.options.timeline`); the optimum is that of the order with just these runs.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.program import Program
from mapc.solvers.base import FloatArray

NONE = -1


class ChoiceModel:
    """The program of a timeline and how to read its solutions.

    Parameters
    ----------
    timeline : Timeline
    room : int, optional
        Bytes to fit into; the room of the problem where none are given.
    """

    def __init__(self, timeline: Timeline, room: int | None = None) -> None:
        self.timeline = timeline
        problem, options = timeline.problem, timeline.problem.options
        self.room = problem.room if room is None else room
        self.program = Program(f"gap model with options of {problem.graph.name}")
        size = timeline.size
        links, self.reads = len(timeline.before), np.flatnonzero(timeline.may_stream)
        cost = -options.read_cost * size[timeline.before + 1] * timeline.into_read
        most = timeline.into_read.astype(np.float64)
        self.keep = self.program.variables(links, 0, most, cost=cost, name="keep")
        streaming = (options.streaming_cost - options.read_cost) * size[self.reads]
        self.stream = self.program.variables(len(self.reads), cost=streaming, name="stream")
        self.take = self.program.variables(len(timeline.pairs.step), name="take")
        paying = problem.pays_write[timeline.tensor[timeline.before]] & timeline.into_read
        self.written, of = np.unique(timeline.tensor[timeline.before[paying]], return_inverse=True)
        writes = options.write_cost * problem.sizes[self.written]
        self.write = self.program.variables(len(self.written), cost=writes, name="write")
        self.program.minimise([], [], offset=float(self._offset()))
        self.stream_of = np.full(len(size), NONE, dtype=np.int64)
        self.stream_of[self.reads] = self.stream.columns
        if paying.any():
            pairs = np.stack([self.write.columns[of], self.keep.columns[paying]], axis=1)
            self.program.rows(pairs, 1.0, lower=1.0, name="write_if_lost")
        self._add_streams()
        self._add_pairs()
        self._add_windows()
        self._add_capacity()

    def _offset(self) -> int:
        """Cost with nothing kept and nothing streamed, writes aside."""
        timeline, problem = self.timeline, self.timeline.problem
        nothing = Choice(
            np.zeros(len(timeline.before), dtype=np.bool_),
            np.zeros(len(timeline.tensor), dtype=np.bool_),
            np.zeros(len(timeline.pairs.step), dtype=np.bool_),
        )
        lost = timeline.lost(nothing)
        writes = int(problem.sizes[lost[problem.pays_write[lost]]].sum())
        return timeline.cost(nothing) - problem.options.write_cost * writes

    def _exclude(self, one: IntArray, other: IntArray, name: str) -> None:
        """At most one of two columns each, where both exist."""
        both = (one >= 0) & (other >= 0)
        if both.any():
            self.program.rows(np.stack([one[both], other[both]], 1), 1.0, upper=1.0, name=name)

    def _add_streams(self) -> None:
        before = self.timeline.before
        self._exclude(self.keep.columns, self.stream_of[before], "streamed_first")
        self._exclude(self.keep.columns, self.stream_of[before + 1], "streamed_last")

    def _add_pairs(self) -> None:
        timeline, pairs = self.timeline, self.timeline.pairs
        link = timeline.out_of[pairs.old]
        kept = np.full(len(link), NONE, dtype=np.int64)
        kept[link >= 0] = self.keep.columns[link[link >= 0]]
        self._exclude(self.take.columns, kept, "taken_leaves")
        self._exclude(self.take.columns, self.stream_of[pairs.old], "taken_is_there")
        for side, name in ((pairs.old, "one_taker"), (pairs.new, "one_taken")):
            for use in np.unique(side).tolist():
                among = self.take.columns[side == use]
                if len(among) > 1:
                    self.program.rows(among[None, :], 1.0, upper=1.0, name=f"{name}{use}")

    def _add_windows(self) -> None:
        """No load begins before the residency of an earlier use has ended."""
        timeline = self.timeline
        if timeline.problem.options.prefetch == 0:
            return
        for v in np.flatnonzero((timeline.into >= 0) & ~timeline.produces).tolist():
            between: list[int] = []
            u = v - 1
            while timeline.start_by[v] <= timeline.step[u]:
                self._forbid_reload(u, v, between)
                if timeline.into[u] < 0 or self.stream_of[u] < 0:
                    break
                between.append(int(self.stream_of[u]))
                u -= 1

    def _forbid_reload(self, u: int, v: int, between: list[int]) -> None:
        ends = [int(self.stream_of[use]) for use in (u, v) if self.stream_of[use] >= 0]
        if not between:
            ends.append(int(self.keep.columns[self.timeline.into[v]]))
        elif not ends:
            pass  # only streaming less helps
        columns = np.array([*ends, *between], dtype=np.int64)
        signs = np.array([1.0] * len(ends) + [-1.0] * len(between))
        self.program.rows(columns[None, :], signs, lower=1.0 - len(between), name=f"window{u}_{v}")

    def _add_capacity(self) -> None:
        """One row for every step at which not everything can be there at once."""
        timeline = self.timeline
        n = len(timeline.order)
        full = timeline.problem.full_set[timeline.order]
        steps: list[IntArray] = []
        columns: list[IntArray] = []
        values: list[IntArray] = []
        constant = np.zeros(n, dtype=np.int64)
        most = np.zeros(n + 1, dtype=np.int64)  # of what can be beside the full working set

        def add(first: IntArray, last: IntArray, column: IntArray, value: IntArray) -> None:
            length = np.maximum(last - first, 0) * (value != 0)
            starts = np.repeat(first, length)
            within = np.arange(len(starts)) - np.repeat(np.cumsum(length) - length, length)
            steps.append(starts + within)
            columns.append(np.repeat(column, length))
            values.append(np.repeat(value, length))

        before, step, size = timeline.before, timeline.step, timeline.size
        add(step[before] + 1, step[before + 1], self.keep.columns, size[before])
        np.add.at(most, step[before] + 1, size[before])
        np.subtract.at(most, step[before + 1], size[before])
        read = np.flatnonzero(~timeline.produces)
        early = read[timeline.start_by[read] < step[read]]
        linked = early[timeline.into[early] >= 0]
        streamed = early[self.stream_of[early] >= 0]
        for some, column in (
            (linked, self.keep.columns[timeline.into[linked]]),
            (streamed, self.stream_of[streamed]),
        ):
            add(timeline.start_by[some], step[some], column, -size[some])
        change = np.zeros(n + 1, dtype=np.int64)
        np.add.at(change, timeline.start_by[early], size[early])
        np.subtract.at(change, step[early], size[early])
        constant += np.cumsum(change)[:n]
        add(step[self.reads], step[self.reads] + 1, self.stream.columns, -size[self.reads])
        pairs = timeline.pairs
        add(pairs.step, pairs.step + 1, self.take.columns, -pairs.saves)

        tight = full + constant + np.cumsum(most)[:n] > self.room
        rows = np.flatnonzero(tight)
        if not len(rows):
            return
        at, column, value = (np.concatenate(parts) for parts in (steps, columns, values))
        at, column, value = _summed(at, column, value, self.program.n_columns, tight)
        counts = np.bincount(at, minlength=n)[rows]
        names = timeline.problem.graph.operator_names
        self.program.ragged_rows(
            np.concatenate([[0], np.cumsum(counts)]),
            column,
            value,
            upper=(self.room - full - constant)[rows],
            name="capacity",
            labels=[names[o] for o in timeline.order[rows]],
        )

    def start_from(self, choice: Choice) -> None:
        """Hint a choice."""
        timeline = self.timeline
        self.program.hint(self.keep.columns, choice.keep)
        self.program.hint(self.stream.columns, choice.streamed[self.reads])
        self.program.hint(self.take.columns, choice.taken)
        lost = timeline.lost(choice)
        self.program.hint(self.write.columns, np.isin(self.written, lost))

    def chosen(self, values: FloatArray) -> Choice:
        """Return the choice of a solution."""
        streamed: BoolArray = np.zeros(len(self.timeline.tensor), dtype=np.bool_)
        streamed[self.reads] = self.stream.of(values) > 0.5
        return Choice(self.keep.of(values) > 0.5, streamed, self.take.of(values) > 0.5)


def _summed(
    row: IntArray, column: IntArray, value: IntArray, width: int, wanted: BoolArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Add up entries at the same place in the rows that are wanted; sorted, without zeros."""
    here = wanted[row]
    places, of = np.unique(row[here] * width + column[here], return_inverse=True)
    sums = np.zeros(len(places), dtype=np.int64)
    np.add.at(sums, of, value[here])
    places, sums = places[sums != 0], sums[sums != 0]
    return places // width, places % width, sums
