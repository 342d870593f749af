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
* *In-place pairs*: the working set is less by what the best pairs save, which is the most that any
  plan saves at that step. A tensor forced live at an operator is no input or output of it, so it
  lies beside all these.
* *Prefetch* only adds bytes at some steps: what holds without holds with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.problem import MemoryProblem
from mapc.program import Program


@dataclass(frozen=True, eq=False)
class ForcedSpans:
    """Tensors forced live at operators, in every order.

    Attributes
    ----------
    problem : MemoryProblem
    """

    problem: MemoryProblem

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

        At operator ``o`` at least ``W + live - M`` bytes are off; each costs a load, and a write
        as well where the tensor has no copy: a fractional knapsack, cheapest first.
        """
        problem = self.problem
        excess = problem.working_set + self.live_bytes - problem.room
        tensor, operator, _ = self.pairs
        best = 0
        for o in np.flatnonzero(excess > 0).tolist():
            live = tensor[operator == o]
            sizes = problem.sizes[live]
            rate = problem.loss_cost[live] // sizes
            by = np.argsort(rate, kind="stable")
            off = np.minimum(np.cumsum(sizes[by]), int(excess[o]))
            best = max(best, int(np.diff(off, prepend=0) @ rate[by]))
        return best

    def program(self) -> Program:
        """Lower the relaxation: only operators whose room is short get a row."""
        problem = self.problem
        _, operator, cls = self.pairs
        model = Program(f"forced spans of {problem.graph.name}")
        tight = problem.working_set + self.live_bytes > problem.room
        used = np.unique(cls[tight[operator]])
        if not len(used):
            return model
        of_tensor = self.class_tensor[used]
        tensors, index = np.unique(of_tensor, return_inverse=True)
        sizes = problem.sizes[tensors]
        kept = model.variables(len(used), name="kept")
        # depths are whole at every optimum; saying so makes the bound a whole number of bytes
        depth = model.variables(len(used), 0, len(used), name="depth")
        loading = sizes * problem.transfer_rate[tensors]
        writing = problem.loss_cost[tensors] - loading
        loads = model.variables(len(tensors), 0, len(used), cost=loading, name="loads")
        write = model.variables(len(tensors), cost=writing, name="write")
        self._add_room(model, np.flatnonzero(tight), used, kept.columns)
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

    def _add_room(
        self, model: Program, operators: IntArray, used: IntArray, kept: IntArray
    ) -> None:
        problem = self.problem
        tensor, operator, cls = self.pairs
        here = np.isin(operator, operators)
        by = np.argsort(operator[here], kind="stable")
        index = kept[np.searchsorted(used, cls[here][by])]
        counts = np.bincount(operator[here], minlength=problem.graph.n_operators)[operators]
        model.ragged_rows(
            np.concatenate([[0], np.cumsum(counts)]),
            index,
            problem.sizes[tensor[here][by]],
            upper=(problem.room - problem.working_set)[operators],
            name="room",
            labels=[problem.graph.operator_names[o] for o in operators],
        )
