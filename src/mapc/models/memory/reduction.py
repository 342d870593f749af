r"""A problem split where everything passes through one operator: parts that add up.

**Where.** Operator ``o`` *parts* the graph when it is comparable with every other operator (each
precedes it or follows it in every order), and no tensor but its outputs is used by it or before it
and read after it. Chains of blocks, stages of randomly wired networks, and networks with one stem
and one head have such operators.

Let A be what precedes ``o``, B what follows. The *upper part* has the operators A and ``o``; the
*lower part* has B and, first, a stand-in for ``o`` that reads nothing, needs no workspace, and has
the outputs of ``o``. Each part has the tensors that its operators touch.

**Claim.** The least extra traffic, addresses left aside, is the sum of those of the two parts; the
optimal orders one after another, with what either keeps, are optimal; and any lower bounds of the
parts add up to one of the whole.

*Proof.* The orders of the whole are those of the upper part, each of which ends with ``o``,
followed by those of the lower part without the stand-in, which comes first there since all of B
follows ``o``. Fix one, and look at its gap model (`mapc.models.memory.gap`). Every link has the
tensor of one part only: a tensor that is not an output of ``o`` has its uses either among A and
``o`` or in B, and an output of ``o`` has its production at ``o``, or at the stand-in, and its
other uses in B. So the links of the whole are those of the upper part and those of the lower one,
whose first step is the step of ``o``. A link of the upper part covers only steps before the one of
``o``, which is its last; one of the lower part covers only steps of B. The working sets of these
steps are the same in the whole and in the part. Hence the rows for room fall apart, as the costs
do: a tensor that leaves pays in the part that has its links (the outputs keep whether they pay a
write). That is, a choice of links fits in the whole just if both halves fit in the parts, and
costs what these cost together. By the theorem of the gap model the rest follows. ∎

With addresses the sum stays a lower bound. Options of a problem are not looked at: only plain
problems are split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, OperatorGraph, Ragged, steps_of
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule

FEWEST = 8
"""Operators of a part at least, where the cuts allow it: a search has costs of its own."""


@dataclass(frozen=True, eq=False)
class Part:
    """Operators between two cuts.

    Attributes
    ----------
    problem : MemoryProblem
        With the capacity and the alignment of the whole.
    operators : int64[n_operators of the part]
        Those of the whole; the first one is a stand-in in all parts but the first.
    tensors : int64[n_tensors of the part]
        Those of the whole.
    """

    problem: MemoryProblem
    operators: IntArray
    tensors: IntArray

    def order_of(self, order: IntArray) -> IntArray:
        """Return the order in which an order of the whole runs the operators of the part."""
        return np.argsort(steps_of(order)[self.operators], kind="stable")


@dataclass(frozen=True, eq=False)
class Parts:
    """A problem and its parts, in the order in which they run."""

    problem: MemoryProblem
    parts: tuple[Part, ...]

    def join(
        self, orders: Sequence[IntArray], keeps: Sequence[BoolArray]
    ) -> tuple[IntArray, BoolArray]:
        """Return order and kept links (bool, as `Schedule.links`) of the whole.

        Parameters
        ----------
        orders : sequence of int64[n_operators of the part]
        keeps : sequence of bool[links of that order of the part]
        """
        ran: list[IntArray] = []
        tensor: list[IntArray] = []
        step: list[IntArray] = []
        base = 0
        for i, (part, order) in enumerate(zip(self.parts, orders, strict=True)):
            ran.append(part.operators[order][min(i, 1) :])
            of, before, _ = Schedule(part.problem, order).links
            tensor.append(part.tensors[of])
            step.append(before + base)
            base += len(order) - 1
        by = np.lexsort((np.concatenate(step), np.concatenate(tensor)))
        return np.concatenate(ran), np.concatenate(list(keeps))[by]


def split(problem: MemoryProblem) -> Parts:
    """Split a plain problem at the operators that part it; one part if there is none."""
    graph = problem.graph
    n, given = graph.n_operators, graph.given_order
    ends = [s for s in parting_steps(graph).tolist() if s < n - 1] if problem.plain else []
    chosen = [-1]
    for end in ends:
        if end - chosen[-1] >= FEWEST and n - 1 - end >= FEWEST:
            chosen.append(end)
    if len(chosen) == 1:
        every = Part(problem, np.arange(n), np.arange(graph.n_tensors))
        return Parts(problem, (every,))
    found = [
        _part(problem, given[max(first, 0) : last + 1], first >= 0)
        for first, last in zip(chosen, [*chosen[1:], n - 1], strict=True)
    ]
    return Parts(problem, tuple(found))


def parting_steps(graph: OperatorGraph) -> IntArray:
    """Return the steps of the given order at which an operator parts the graph, ascending.

    The last operator parts nothing from the rest, and is among them if it follows all others.
    """
    n, given = graph.n_operators, graph.given_order
    related = graph.precedes.sum(axis=0) + graph.precedes.sum(axis=1)
    touched = graph.touched
    step = steps_of(given)[touched.row_of]
    first = np.full(graph.n_tensors, n)
    last = np.full(graph.n_tensors, -1)
    np.minimum.at(first, touched.values, step)
    np.maximum.at(last, touched.values, step)
    across = first < last
    change = np.zeros(n + 1, dtype=np.int64)
    np.add.at(change, first[across], 1)
    np.add.at(change, last[across], -1)
    passing = np.cumsum(change)[:-1]
    own = across & ~graph.is_source
    np.subtract.at(passing, first[own], 1)  # an output of the operator of that step
    steps: IntArray = np.flatnonzero((related[given] == n - 1) & (passing == 0))
    return steps


def _part(problem: MemoryProblem, operators: IntArray, stands_in: bool) -> Part:
    graph = problem.graph
    inputs = [graph.inputs[o] for o in operators.tolist()]
    workspace = graph.workspace[operators]
    if stands_in:
        inputs[0], workspace[0] = np.zeros(0, dtype=np.int64), 0
    outputs = [graph.outputs[o] for o in operators.tolist()]
    tensors = np.unique(np.concatenate([*inputs, *outputs]))
    part = OperatorGraph(
        name=graph.name,
        operator_names=tuple(graph.operator_names[o] for o in operators.tolist()),
        operator_kinds=tuple(graph.operator_kinds[o] for o in operators.tolist()),
        workspace=workspace,
        inputs=Ragged.of(np.searchsorted(tensors, row) for row in inputs),
        outputs=Ragged.of(np.searchsorted(tensors, row) for row in outputs),
        tensor_names=tuple(graph.tensor_names[t] for t in tensors.tolist()),
        tensor_bytes=graph.tensor_bytes[tensors],
        is_output=graph.is_output[tensors],
        is_constant=graph.is_constant[tensors],
    )
    return Part(replace(problem, graph=part, provenance={}), operators, tensors)
