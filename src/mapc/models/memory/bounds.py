r"""Lower bounds on extra traffic and on the peak that hold for every order.

**Forced spans.** Tensor ``t`` is *forced live* at operator ``o`` when ``o`` does not touch it, a
use of ``t`` precedes ``o`` in every order, and a consumer of ``t`` follows ``o`` in every order.
At the step of ``o`` it is either resident, or off and loaded again before that consumer.

The operators at which ``t`` is forced live fall into *classes* with the same uses before and the
same consumers after them; ``kept`` is one binary per class (1: resident at all its operators).

* Room: at each operator the forced-live tensors that are kept fit beside its working set.
* Reloads: class ``j`` is *separated from* ``i`` when some consumer ``c`` of ``t`` comes after every
  operator of ``i`` and before every one of ``j``. If ``t`` is off in both it was loaded for ``c``
  in between, and again later: along a chain of separated classes every loss pays a load of its
  own. Separation is transitive, so a longest path counts the loads of the worst chain:
  ``depth[j] >= depth[i] + 1 - kept[j]``, ``loads >= depth[j]``.
* Write: the first loss of an intermediate pays one write.

Every plan of every order gives a feasible point of no larger cost (``kept`` = 0 for a class as soon
as ``t`` is off at one of its operators, which only relaxes the other rows), so the optimum, and any
valid bound on it, is a bound over all orders, with or without addresses.

**Options.** What each changes, and why the bounds still hold:

* *Cost per byte*: a load costs `MemoryProblem.transfer_rate`, the first write of a paying tensor
  the cost of a write; both per byte.
* *Pinned tensors* are never off. They count in every working set and have no forced spans.
* *Streamed operands*: the working set leaves out what may be streamed, and a tensor that was off
  may be streamed to its next reader instead of loaded. Along a chain of separated classes each
  loss still is followed by a transfer of its own, loaded or streamed, and `transfer_rate` says what
  these cost at least beyond what is compulsory. Streaming needs a copy, as loading does.
  What the room at an operator forces it to stream costs at least `MemoryProblem.stream_rate`, and a
  write where the tensor pays one. Only tensors without forced spans, which would charge the same
  transfers, and only inputs that nothing takes over, which would free their bytes otherwise.
* *In-place pairs*: the working set is less by what the best pairs save, which is the most that any
  plan saves at that step. A tensor forced live at an operator is no input or output of it, so it
  lies beside all these.
* *Prefetch* only adds bytes at some steps: what holds without holds with it.
* *Recomputation*: precedence, and what is forced live at an operator, are about first runs. The
  first run of ``o`` comes after the first run of all that precede it, since their outputs can come
  from nowhere else; a consumer that follows ``o`` still has its first run ahead. A tensor that is
  off at the first run of ``o`` comes back before that: by a transfer, or by a further run of its
  producer. Along a chain of separated classes each loss has one of these of its own. What coming
  back costs at least, `MemoryProblem.return_cost` and `MemoryProblem.loss_cost` say; the shares of
  a run that several tensors pay add up to no more than its cost. Nothing is charged for the inputs
  of that run. What must be streamed at the first run of ``o`` is charged for as before: making it
  again would bring it into the scratchpad, where there is no room for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.problem import MemoryProblem
from mapc.program import Program

ASK = 64
"""Tensors, or operators, between two questions whether to stop."""


@dataclass(frozen=True, eq=False)
class ForcedSpans:
    """Tensors forced live at operators, in every order.

    Attributes
    ----------
    problem : MemoryProblem
    done : callable, optional
        Whether to stop looking: tensors not looked at by then are taken to be forced live nowhere,
        and operators not looked at to force nothing, which only lowers the bounds.
    """

    problem: MemoryProblem
    done: Callable[[], bool] | None = None

    @cached_property
    def pairs(self) -> tuple[IntArray, IntArray, IntArray]:
        """Tensor, operator and class of every forced-live pair, by tensor.

        Classes are numbered over all tensors, in the order of ``classes``.
        """
        return self._found[0]

    @cached_property
    def class_tensor(self) -> IntArray:
        """int64[classes]: the tensor of each class."""
        return self._found[1]

    @cached_property
    def separations(self) -> IntArray:
        """int64[k, 2]: pairs of classes (i, j), j separated from i."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[tuple[IntArray, IntArray, IntArray], IntArray, IntArray]:
        pairs: list[IntArray] = []
        class_tensor: list[int] = []
        separations: list[IntArray] = []
        for t in range(self.problem.graph.n_tensors):
            if self.done is not None and t % ASK == ASK - 1 and self.done():
                break
            operators, before, after = self._of_tensor(t)
            if not len(operators):
                continue
            pattern = np.concatenate([before, after], axis=1)
            classes, first, of = np.unique(pattern, axis=0, return_index=True, return_inverse=True)
            base = len(class_tensor)
            pairs.append(
                np.stack([np.full(len(operators), t), operators, base + of.ravel()], axis=1)
            )
            class_tensor.extend([t] * len(classes))
            # int32: the product of boolean arrays would saturate
            between = after[first].astype(np.int32) @ before[first].astype(np.int32).T
            separations.append(base + np.argwhere(between > 0))
        found = np.concatenate(pairs) if pairs else np.zeros((0, 3), dtype=np.int64)
        edges = np.concatenate(separations) if separations else np.zeros((0, 2), dtype=np.int64)
        return (
            (found[:, 0], found[:, 1], found[:, 2]),
            np.asarray(class_tensor, dtype=np.int64),
            edges,
        )

    def _of_tensor(self, t: int) -> tuple[IntArray, BoolArray, BoolArray]:
        """Operators where ``t`` is forced live, and which consumers precede and follow each.

        The columns of both masks are the consumers of ``t``. A produced tensor has its producer as
        a first use; an input has none until a consumer has run.
        """
        graph = self.problem.graph
        none = np.zeros(0, dtype=np.int64), np.zeros((0, 0), np.bool_), np.zeros((0, 0), np.bool_)
        consumers, producer = graph.consumers[t], graph.producer[t]
        if self.problem.sizes[t] == 0 or len(consumers) + (producer >= 0) < 2:
            return none
        if t in self.problem.options.pinned:
            return none
        before = graph.precedes[consumers].T  # [operator, consumer]
        after = graph.precedes[:, consumers]
        started: BoolArray = np.any(before, axis=1) if producer < 0 else graph.precedes[producer]
        live: BoolArray = np.logical_and(started, np.any(after, axis=1))
        live[consumers] = False
        operators = np.flatnonzero(live)
        return operators, before[operators], after[operators]

    @cached_property
    def live_bytes(self) -> IntArray:
        """int64[n_operators]: bytes forced live beside each operator's working set."""
        tensor, operator, _ = self.pairs
        total = np.zeros(self.problem.graph.n_operators, dtype=np.int64)
        np.add.at(total, operator, self.problem.sizes[tensor])
        return total

    @property
    def _streaming(self) -> IntArray:
        """int64[n_tensors]: cost per byte of a read that has to be streamed, with the write."""
        problem = self.problem
        rate: IntArray = problem.stream_rate + problem.options.write_cost * problem.pays_write
        return rate

    @cached_property
    def streams(self) -> tuple[IntArray, IntArray]:
        """Operator and tensor of the streamed reads that are charged for."""
        problem = self.problem
        spanned, over = set(self.class_tensor.tolist()), {p[:2] for p in problem.options.in_place}
        rate = self._streaming
        charged = [
            (o, t)
            for o, t in problem.options.streamable
            if t not in spanned and (o, t) not in over and rate[t] > 0 and problem.sizes[t] > 0
        ]
        rows = np.asarray(charged, dtype=np.int64).reshape(-1, 2)
        return rows[:, 0], rows[:, 1]

    @cached_property
    def excess(self) -> IntArray:
        """int64[n_operators]: bytes to be off, or streamed at a cost, where positive."""
        problem = self.problem
        operator, tensor = self.streams
        excess = problem.working_set + self.live_bytes - problem.room
        np.add.at(excess, operator, problem.sizes[tensor])
        return excess

    @property
    def smallest_peak(self) -> int:
        """Bytes below which no order runs without extra cost: a lower bound on M_P.

        Without extra cost a forced-live tensor is resident, since off it would be loaded (or
        streamed) again, unless that costs nothing.
        """
        tensor, operator, _ = self.pairs
        total = self.problem.working_set.copy()
        held = self.problem.loss_cost[tensor] > 0
        np.add.at(total, operator[held], self.problem.sizes[tensor[held]])
        return int(total.max())

    def single_operator_bound(self) -> int:
        """Extra cost (bytes, without options) forced by the tightest operator. Needs no solver.

        At operator ``o`` at least ``W + live - M`` bytes are off, and what each tensor costs then
        is known: a fractional knapsack.
        """
        problem = self.problem
        tensor, operator, _ = self.pairs
        reader, streamed = self.streams
        streaming = problem.sizes * self._streaming
        best = 0
        for i, o in enumerate(np.flatnonzero(self.excess > 0).tolist()):
            if self.done is not None and i % ASK == ASK - 1 and self.done():
                break
            live, read = tensor[operator == o], streamed[reader == o]
            cost = np.concatenate([problem.loss_cost[live], streaming[read]])
            sizes = problem.sizes[np.concatenate([live, read])]
            best = max(best, least_cover(cost, sizes, int(self.excess[o])))
        return best

    def program(self) -> Program:
        """Lower the relaxation: only operators whose room is short get a row."""
        problem = self.problem
        _, operator, cls = self.pairs
        model = Program(f"forced spans of {problem.graph.name}")
        tight = self.excess > 0
        used = np.unique(cls[tight[operator]])
        reader, _ = self.streams
        forced = np.flatnonzero(tight[reader])
        if not len(used) + len(forced):
            return model
        of_tensor = self.class_tensor[used]
        tensors, index = np.unique(of_tensor, return_inverse=True)
        kept = model.variables(len(used), name="kept")
        # depths are whole at every optimum; saying so makes the bound a whole number of bytes
        depth = model.variables(len(used), 0, len(used), name="depth")
        loading = problem.return_cost[tensors]
        writing = problem.loss_cost[tensors] - loading
        loads = model.variables(len(tensors), 0, len(used), cost=loading, name="loads")
        write = model.variables(len(tensors), cost=writing, name="write")
        read = self._add_streams(model, forced)
        self._add_room(model, np.flatnonzero(tight), used, kept.columns, read)
        model.rows(np.stack([depth.columns, kept.columns], 1), 1.0, lower=1.0, name="loss")
        model.rows(
            np.stack([loads.columns[index], depth.columns], 1), [1.0, -1.0], lower=0, name="loads"
        )
        model.rows(np.stack([write.columns[index], kept.columns], 1), 1.0, lower=1.0, name="write")
        column = np.full(len(self.class_tensor), -1, dtype=np.int64)
        column[used] = np.arange(len(used))
        chain = column[self.separations]
        chain = chain[(chain >= 0).all(axis=1)]
        if len(chain):
            i, j = chain.T
            model.rows(
                np.stack([depth.columns[j], depth.columns[i], kept.columns[j]], 1),
                [1.0, -1.0, 1.0],
                lower=1.0,
                name="chain",
            )
        return model

    def _add_streams(self, model: Program, which: IntArray) -> IntArray:
        """Add a binary for each of these charged reads: int64[reads], -1 for the others."""
        problem = self.problem
        operator, tensor = self.streams
        column = np.full(len(operator), -1, dtype=np.int64)
        if not len(which):
            return column
        some = tensor[which]
        cost = problem.sizes[some] * problem.stream_rate[some]
        read = model.variables(len(which), cost=cost, name="streamed")
        column[which] = read.columns
        tensors, of = np.unique(some, return_inverse=True)
        pays = problem.sizes[tensors] * problem.pays_write[tensors]
        write = model.variables(
            len(tensors), cost=problem.options.write_cost * pays, name="write_streamed"
        )
        pairs = np.stack([write.columns[of], read.columns], 1)
        model.rows(pairs, [1.0, -1.0], lower=0.0, name="write_streamed")
        return column

    def _add_room(
        self, model: Program, operators: IntArray, used: IntArray, kept: IntArray, read: IntArray
    ) -> None:
        """What is kept, less what is streamed, fits beside the rest at these operators."""
        problem = self.problem
        tensor, operator, cls = self.pairs
        reader, streamed = self.streams
        here, forced = np.isin(operator, operators), read >= 0
        at = np.concatenate([operator[here], reader[forced]])
        by = np.argsort(at, kind="stable")
        index = np.concatenate([kept[np.searchsorted(used, cls[here])], read[forced]])
        sizes = np.concatenate([problem.sizes[tensor[here]], -problem.sizes[streamed[forced]]])
        counts = np.bincount(at, minlength=problem.graph.n_operators)[operators]
        room = problem.room - problem.working_set
        np.subtract.at(room, reader, problem.sizes[streamed])
        model.ragged_rows(
            np.concatenate([[0], np.cumsum(counts)]),
            index[by],
            sizes[by],
            upper=room[operators],
            name="room",
            labels=[problem.graph.operator_names[o] for o in operators],
        )


def least_cover(cost: IntArray, size: IntArray, amount: int) -> int:
    r"""Return a lower bound on the cost of a set of items with at least ``amount`` bytes.

    For any :math:`\lambda \ge 0` a set :math:`S` of that size costs
    :math:`\sum_S c_i \ge \lambda\,\mathit{amount} - \sum_i \max(0, \lambda s_i - c_i)`. With the
    cost per byte of the item at which the cheapest ones reach the amount this is the optimum of the
    fractional knapsack; it is computed in integers, so that the order of the others, found in
    floating point, decides how good the bound is and not whether it holds.

    Parameters
    ----------
    cost, size : int64[items]
        Sizes are positive.
    amount : int
        Bytes, positive. Where all items have less, all of them are taken.
    """
    by = np.argsort(cost / size, kind="stable")
    reached = np.cumsum(size[by])
    if not len(by) or int(reached[-1]) <= amount:
        return sum(cost.tolist())
    last = by[int(np.searchsorted(reached, amount))]
    above, below = int(cost[last]), int(size[last])
    slack: int = sum(
        max(0, above * s - c * below) for s, c in zip(size.tolist(), cost.tolist(), strict=True)
    )
    return max(0, -((slack - above * amount) // below))
