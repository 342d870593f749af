r"""Which of some further runs to carry out: the gap model of an order with optional steps.

The order is *extended* by steps that may be left out, each one more run of an operator. Uses and
links are those of the extended order (`mapc.models.memory.options.timeline`). Binaries, beside
:math:`k_l` (kept), :math:`x_u` (streamed), :math:`y_p` (taken in place) and :math:`w_t` (written)
of `mapc.models.memory.options.choice_model`: :math:`z_c` for an optional step, :math:`h_u` for a
use at one (the tensor is there, used or only passing), and :math:`\ell_u` for a load. At the other
steps :math:`h_u = 1 - x_u`, and :math:`k_u, k_u'` are the links into and out of a use, or 0. With
the cost :math:`c_c` of a run and the rest as there:

.. math::
   \min & \sum_u s_u (r\, \ell_u + q\, x_u) + \sum_t v\, s_t\, w_t + \sum_c c_c z_c
     - \mathit{compulsory} \\
   & k_l \le h_u, \quad k_l \le h_v \quad (l = (u, v)) \\
   & \ell_u \ge h_u - k_u, \quad w_t \ge \ell_u + x_u \quad (u \text{ reads}) \\
   & z_c \le h_u + x_u \le 1, \quad x_u \le z_c, \quad h_u \le z_c + k_u
     \quad (u \text{ at an optional step}) \\
   & y_p + k_u' \le 1, \quad y_p + x_u \le 1 \quad (u \text{ the input}), \quad y_p \le z_c,
     \quad \text{one } y_p \text{ per tensor}

and the bytes at every step fit: at an optional one, those of all :math:`h_u` and the workspace for
:math:`z_c`. A source counts for :math:`w_t` and :math:`k_u` as it does there.

*Its optimum is the least extra cost, addresses aside, over all subsets of the optional steps, at
distance 0.* Fix :math:`z`. At a step left out, :math:`h_u \le k_u` and loads are useless, so a
tensor only passes, and the links around it are kept together or lost together: they are the one
link of the order without the step. At a step carried out the rows are those of that order; a
link that is kept into a production only takes room.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.program import Program
from mapc.solvers.base import FloatArray

NONE = -1
Entries = tuple[IntArray, IntArray, IntArray]
"""Step, column and value of entries of the rows of capacity."""


class RerunModel:
    """The program of an extended order and how to read its solutions.

    Parameters
    ----------
    timeline : Timeline
        Of the extended order; the prefetch distance is 0.
    optional : bool[n_steps]
        Steps that may be left out: no first run of an operator is one.
    room : int
        Bytes to fit into.
    """

    def __init__(self, timeline: Timeline, optional: BoolArray, room: int) -> None:
        self.timeline, self.optional, self.room = timeline, optional, room
        problem, options = timeline.problem, timeline.problem.options
        self.program = Program(f"further runs of {problem.graph.name}")
        size, self.loose = timeline.size, optional[timeline.step]
        self.steps = np.flatnonzero(optional)
        costs = dict(options.recompute)
        price = np.array([costs[o] for o in timeline.order[self.steps].tolist()], dtype=np.int64)
        variables = self.program.variables
        self.carry = variables(len(self.steps), cost=price, name="run")
        self.keep = variables(len(timeline.before), name="keep")
        self.take = variables(len(timeline.pairs.step), name="take")
        reads = np.flatnonzero(~timeline.produces)
        self.load_of = self._column_of(
            reads, variables(len(reads), cost=options.read_cost * size[reads], name="load").columns
        )
        self.reads = np.flatnonzero(timeline.may_stream)
        streaming = options.streaming_cost * size[self.reads]
        self.stream = variables(len(self.reads), cost=streaming, name="stream")
        self.stream_of = self._column_of(self.reads, self.stream.columns)
        there = np.flatnonzero(self.loose)
        self.there = variables(len(there), name="there")
        self.there_of = self._column_of(there, self.there.columns)
        paying = problem.pays_write[timeline.tensor] & ~timeline.produces
        self.written, self.write_of = np.unique(timeline.tensor[paying], return_inverse=True)
        writes = options.write_cost * problem.sizes[self.written]
        self.write = variables(len(self.written), cost=writes, name="write")
        read = problem.graph.is_source.copy()
        read[list(options.pinned)] = False
        compulsory = int((problem.sizes * problem.compulsory_rate)[read].sum())
        self.program.minimise([], [], offset=-float(compulsory))
        self._add_links()
        self._add_loads(np.flatnonzero(paying))
        self._add_optional_uses()
        self._add_pairs()
        self._add_capacity()

    def _column_of(self, uses: IntArray, columns: IntArray) -> IntArray:
        found = np.full(len(self.timeline.tensor), NONE, dtype=np.int64)
        found[uses] = columns
        return found

    @cached_property
    def carry_of(self) -> IntArray:
        """int64[uses]: column of the optional step of a use, or -1."""
        at_step = np.full(len(self.optional), NONE, dtype=np.int64)
        at_step[self.steps] = self.carry.columns
        return at_step[self.timeline.step]

    @cached_property
    def keep_into(self) -> IntArray:
        """int64[uses]: column of the link into a use, or -1."""
        into = self.timeline.into
        return np.where(into >= 0, self.keep.columns[into] if len(self.keep.columns) else 0, NONE)

    def _rows(
        self, terms: list[tuple[IntArray, float]], lower: float, upper: float, name: str
    ) -> None:
        """Add a row for every entry of the columns; -1 is no column."""
        count = len(terms[0][0])
        if not count:
            return
        columns = np.stack([column for column, _ in terms], axis=1)
        values = np.broadcast_to(np.array([value for _, value in terms]), columns.shape)
        there = columns >= 0
        starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        self.program.ragged_rows(
            starts, columns[there], values[there], lower=lower, upper=upper, name=name
        )

    def _add_links(self) -> None:
        """A link is kept between two uses at which the tensor is there."""
        timeline = self.timeline
        for ends, name in ((timeline.before, "from"), (timeline.before + 1, "to")):
            loose = self.loose[ends]
            kept, at = self.keep.columns[loose], ends[loose]
            self._rows([(kept, 1.0), (self.there_of[at], -1.0)], -np.inf, 0.0, f"kept_{name}")
            streamed = ~loose & (self.stream_of[ends] >= 0)
            kept, at = self.keep.columns[streamed], ends[streamed]
            self._rows([(kept, 1.0), (self.stream_of[at], 1.0)], -np.inf, 1.0, f"streamed_{name}")

    def _add_loads(self, paying: IntArray) -> None:
        """What is read and was not kept is loaded; what is loaded or streamed was written."""
        read = np.flatnonzero(self.load_of >= 0)
        for loose in (False, True):
            u = read[self.loose[read] == loose]
            there = (self.there_of[u], -1.0) if loose else (self.stream_of[u], 1.0)
            terms = [(self.load_of[u], 1.0), (self.keep_into[u], 1.0), there]
            self._rows(terms, 0.0 if loose else 1.0, np.inf, "loaded")
        u = paying
        terms = [
            (self.write.columns[self.write_of], 1.0),
            (self.load_of[u], -1.0),
            (self.stream_of[u], -1.0),
        ]
        self._rows(terms, 0.0, np.inf, "written")

    def _add_optional_uses(self) -> None:
        u = np.flatnonzero(self.loose)
        run, there, streamed = self.carry_of[u], self.there_of[u], self.stream_of[u]
        self._rows([(there, 1.0), (streamed, 1.0), (run, -1.0)], 0.0, np.inf, "used")
        terms = [(there, 1.0), (run, -1.0), (self.keep_into[u], -1.0)]
        self._rows(terms, -np.inf, 0.0, "passes")
        some = streamed >= 0
        self._rows([(there[some], 1.0), (streamed[some], 1.0)], -np.inf, 1.0, "streamed_off")
        self._rows([(streamed[some], 1.0), (run[some], -1.0)], -np.inf, 0.0, "streamed_run")

    def _add_pairs(self) -> None:
        timeline, pairs = self.timeline, self.timeline.pairs
        link, take = timeline.out_of[pairs.old], self.take.columns
        leaves = link >= 0
        terms = [(take[leaves], 1.0), (self.keep.columns[link[leaves]], 1.0)]
        self._rows(terms, -np.inf, 1.0, "taken_leaves")
        streamed = self.stream_of[pairs.old]
        some = streamed >= 0
        self._rows([(take[some], 1.0), (streamed[some], 1.0)], -np.inf, 1.0, "taken_is_there")
        run = self.carry_of[pairs.old]
        some = run >= 0
        self._rows([(take[some], 1.0), (run[some], -1.0)], -np.inf, 0.0, "taken_run")
        for side, name in ((pairs.old, "one_taker"), (pairs.new, "one_taken")):
            for use in np.unique(side).tolist():
                among = take[side == use]
                if len(among) > 1:
                    self.program.rows(among[None, :], 1.0, upper=1.0, name=f"{name}{use}")

    def _add_capacity(self) -> None:
        """One row for every step at which not everything can be there at once."""
        timeline, problem = self.timeline, self.timeline.problem
        n = len(timeline.order)
        full = problem.full_set[timeline.order]
        most = np.zeros(n + 1, dtype=np.int64)
        before, size = timeline.before, timeline.size
        first, last = timeline.step[before] + 1, timeline.step[before + 1]
        np.add.at(most, first, size[before])
        np.subtract.at(most, last, size[before])
        tight = full + np.cumsum(most)[:n] > self.room
        parts = [_spread(first, last, self.keep.columns, size[before])]
        u = self.reads[~self.loose[self.reads]]
        parts.append((timeline.step[u], self.stream_of[u], -size[u]))
        u = np.flatnonzero(self.loose)
        parts.append((timeline.step[u], self.there_of[u], size[u]))
        space = problem.workspaces[timeline.order[self.steps]]
        parts.append((self.steps, self.carry.columns, space))
        pairs = timeline.pairs
        parts.append((pairs.step, self.take.columns, -pairs.saves))
        step, column, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        wanted = tight[step] & (value != 0)
        step, column, value = step[wanted], column[wanted], value[wanted]
        by = np.argsort(step, kind="stable")
        rows = np.flatnonzero(tight)
        counts = np.bincount(step, minlength=n)[rows]
        fixed = np.where(self.optional, problem.pinned_bytes, full)
        if len(rows):
            self.program.ragged_rows(
                np.concatenate([[0], np.cumsum(counts)]),
                column[by],
                value[by],
                upper=(self.room - fixed)[rows],
                name="capacity",
            )

    # -- from and to choices -------------------------------------------------------------------

    def start_from(self, timeline: Timeline, choice: Choice, carried: BoolArray) -> None:
        """Hint a choice of the order without the optional steps that are not in ``carried``."""
        mine = self.timeline
        real = (~self.optional | carried)[mine.step]
        last = np.maximum(np.cumsum(real) - 1, 0)  # use of the other timeline, at or before
        kept = timeline.kept_out(choice)[last[mine.before]] & (
            timeline.tensor[last[mine.before]] == mine.tensor[mine.before]
        )
        into, out = np.zeros(len(real), np.bool_), np.zeros(len(real), np.bool_)
        into[mine.before + 1] = kept
        out[mine.before] = kept
        streamed = np.zeros(len(real), dtype=np.bool_)
        streamed[real] = choice.streamed
        there = np.where(real, ~streamed, into & out)
        self.program.hint(self.carry.columns, carried[self.steps])
        self.program.hint(self.keep.columns, kept)
        self.program.hint(self.there.columns, there[self.loose])
        self.program.hint(self.stream.columns, streamed[self.reads])
        loaded = np.zeros(len(real), dtype=np.bool_)
        loaded[real] = timeline.loaded(choice)
        reads = np.flatnonzero(self.load_of >= 0)
        self.program.hint(self.load_of[reads], loaded[reads])
        self.program.hint(self.write.columns, np.isin(self.written, timeline.lost(choice)))

    def chosen(self, values: FloatArray) -> tuple[Timeline, Choice]:
        """Return the order of a solution, without the steps it leaves out, and its choice."""
        mine = self.timeline
        carried = np.zeros(len(self.optional), dtype=np.bool_)
        carried[self.steps] = self.carry.of(values) > 0.5
        real_step = ~self.optional | carried
        timeline = Timeline(mine.problem, mine.order[real_step])
        real = real_step[mine.step]
        use = np.flatnonzero(real)
        lost = np.zeros(len(real) + 1, dtype=np.int64)  # links lost before each use
        lost[mine.before + 1] = self.keep.of(values) < 0.5
        lost = np.cumsum(lost)
        first, last = use[timeline.before], use[timeline.before + 1]
        streamed = np.zeros(len(real), dtype=np.bool_)
        streamed[self.reads] = self.stream.of(values) > 0.5
        taken = (self.take.of(values) > 0.5)[real_step[mine.pairs.step]]
        keep: BoolArray = (lost[last] == lost[first]) & timeline.into_read
        return timeline, Choice(keep, streamed[real], taken)


def _spread(first: IntArray, last: IntArray, column: IntArray, value: IntArray) -> Entries:
    """Entries of a value at every step from the first to the one before the last."""
    length = np.maximum(last - first, 0)
    start = np.repeat(first - (np.cumsum(length) - length), length)
    return start + np.arange(len(start)), np.repeat(column, length), np.repeat(value, length)
