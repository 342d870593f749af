r"""What it costs to keep a tensor between two of its readers: the static part of the gap bound.

Let ``t`` have two readers or more, and let reader ``c`` read ``t`` alone and write one tensor
:math:`o_1`. Follow the chain of operators that read nothing but :math:`o_1`, write nothing but
:math:`o_2`, and so on, while each is the only reader of its input, to the first :math:`o_k` none
of whose readers b reads ``t`` or runs beside it: :math:`W_b + |t| > M`.

**Claim.** If c and later another reader :math:`c_2` of ``t`` run, and ``t`` stays resident in
between, then some :math:`o_i` is alive when :math:`c_2` runs: no reader of :math:`o_k` has run,
since ``t`` was resident; so the chain has stopped at some :math:`o_i` whose readers have not run.
No :math:`c_2` reads or writes it: chain operators read one tensor, which is not ``t``. If
:math:`W_{c_2} + \min_i |o_i| > M` it is off then: it has been written and is loaded again, that
is :math:`2 |o_i|` bytes, or :math:`|o_i|` where its write is compulsory, or counted elsewhere
because :math:`o_i` has several readers and a gap part of its own. ``hold(c)`` is the smallest of
these over the chain if every other reader :math:`c_2` leaves no room for the smallest link,
otherwise 0.

**In a state.** Of the readers of ``t`` that have not run, each but the last is followed by another.
After c, ``t`` either leaves, for :math:`|t|` bytes of reload, or costs hold(c). The last one is
unknown: leave out the dearest. With copy that is :math:`\sum \min(hold, |t|)`; without, the first
time that ``t`` leaves costs a write on top, so :math:`\min(\sum hold, \sum \min(hold, |t|) + |t|)`.

**Nothing is counted twice.** The reloads of ``t`` charged here come between readers that have not
run; the part for tensors that are off charges the one before the next reader. A link is off
between its production and its first reader, in a chain that only ``t`` and c lead to, and c has
not run.

A constant chain is followed only through operators with one input; weights beside it end it.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.problem import MemoryProblem


class Gaps:
    """Costs of keeping tensors between readers, at the capacity of a problem.

    Attributes
    ----------
    hold : dict of (tensor, reader) to int
        Bytes; only those above 0.
    held : bool[n_tensors]
        Tensors that have such a cost.
    counted : bool[n_tensors]
        Those, and the links of the chains behind them.
    """

    def __init__(self, problem: MemoryProblem) -> None:
        self.problem = problem
        graph = problem.graph
        self.readers = [graph.consumers[t].tolist() for t in range(graph.n_tensors)]
        self.inputs = [graph.inputs[o].tolist() for o in range(graph.n_operators)]
        self.outputs = [graph.outputs[o].tolist() for o in range(graph.n_operators)]
        self.sizes: list[int] = problem.sizes.tolist()
        self.needs: list[int] = problem.working_set.tolist()
        self.pays: list[bool] = problem.pays_write.tolist()
        self.hold: dict[tuple[int, int], int] = {}
        self.held: BoolArray = np.zeros(graph.n_tensors, dtype=np.bool_)
        self.counted: BoolArray = np.zeros(graph.n_tensors, dtype=np.bool_)
        for t in range(graph.n_tensors):
            if len(self.readers[t]) > 1 and self.sizes[t] > 0:
                for c in self.readers[t]:
                    self._add(t, c)

    def _add(self, t: int, c: int) -> None:
        links = self.chain(t, c)
        if not links:
            return
        smallest = min(self.sizes[link] for link in links)
        others = (self.needs[other] for other in self.readers[t] if other != c)
        if min(others) + smallest <= self.problem.room:
            return
        cost = min(
            self.sizes[link] * (1 + (self.pays[link] and len(self.readers[link]) == 1))
            for link in links
        )
        if cost > 0:
            self.hold[t, c] = cost
            self.held[t] = self.counted[t] = True
            self.counted[links] = True

    def chain(self, t: int, c: int) -> list[int]:
        """Links from reader ``c`` of ``t`` to where ``t`` cannot be any more; empty: not so."""
        room = self.problem.room - self.sizes[t]
        links: list[int] = []
        while len(self.inputs[c]) == 1 and len(self.outputs[c]) == 1:
            link = self.outputs[c][0]
            readers = self.readers[link]
            links.append(link)
            if readers and all(self.needs[b] > room and t not in self.inputs[b] for b in readers):
                return links
            if len(readers) != 1:
                return []
            c = readers[0]
        return []

    def by_reader(self, t: int) -> IntArray:
        """int64: ``hold`` of each reader of a tensor, 0 where keeping it costs nothing."""
        return np.array([self.hold.get((t, c), 0) for c in self.readers[t]], dtype=np.int64)
