"""A fixed order under options: its uses, its links, and what a choice among them takes and costs.

As in `mapc.models.memory.schedule`, a *use* is a step at which a tensor is produced or read, and a
*link* joins two consecutive uses. Beside keeping or losing links, a choice streams some reads, and
lets some outputs take over the bytes of an input. Pinned tensors have no uses: they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, steps_of
from mapc.models.memory.options.model import Triple
from mapc.models.memory.problem import MemoryProblem


@dataclass(frozen=True, eq=False)
class Choice:
    """What an order does with its links, reads and in-place pairs.

    Attributes
    ----------
    keep : bool[links]
        The tensor stays from one use to the next; neither of the two is streamed.
    streamed : bool[uses]
    taken : bool[pairs]
        The output has the address of the input.
    """

    keep: BoolArray
    streamed: BoolArray
    taken: BoolArray

    def copy(self) -> Choice:
        """Return one that can be changed by itself."""
        return Choice(self.keep.copy(), self.streamed.copy(), self.taken.copy())


@dataclass(frozen=True, eq=False)
class Pairs:
    """In-place pairs of a timeline that save something.

    Attributes
    ----------
    triple : tuple of (operator, input, output)
    step, saves : int64[pairs]
        The step of the operator, and the bytes of the smaller tensor.
    old, new : int64[pairs]
        Uses of the input and of the output at that step.
    matched : bool[pairs]
        One of `MemoryProblem.matching`.
    """

    triple: tuple[Triple, ...]
    step: IntArray
    saves: IntArray
    old: IntArray
    new: IntArray
    matched: BoolArray


@dataclass(frozen=True, eq=False)
class Timeline:
    """An order of the operators of a problem with options.

    Attributes
    ----------
    problem : MemoryProblem
    order : int64[n_operators]
    """

    problem: MemoryProblem
    order: IntArray

    @cached_property
    def position(self) -> IntArray:
        """int64[n_operators]: the step at which each operator runs."""
        return steps_of(self.order)

    @cached_property
    def _uses(self) -> tuple[IntArray, IntArray, IntArray]:
        touched = self.problem.graph.touched
        pinned = list(self.problem.options.pinned)
        free = ~np.isin(touched.values, np.asarray(pinned, dtype=np.int64))
        tensor, operator = touched.values[free], touched.row_of[free]
        step = self.position[operator]
        by = np.lexsort((step, tensor))
        return tensor[by], operator[by], step[by]

    @property
    def tensor(self) -> IntArray:
        """int64[uses], ascending."""
        return self._uses[0]

    @property
    def operator(self) -> IntArray:
        """int64[uses]: who uses it."""
        return self._uses[1]

    @property
    def step(self) -> IntArray:
        """int64[uses], ascending within a tensor."""
        return self._uses[2]

    @cached_property
    def size(self) -> IntArray:
        """int64[uses]: bytes of the tensor."""
        return self.problem.sizes[self.tensor]

    @cached_property
    def produces(self) -> BoolArray:
        """bool[uses]: production, which is always a tensor's first use."""
        made: BoolArray = self.problem.graph.producer[self.tensor] == self.operator
        return made

    @cached_property
    def start_by(self) -> IntArray:
        """int64[uses]: the last step at which a load for this use may begin."""
        start: IntArray = np.maximum(0, self.step - self.problem.options.prefetch)
        return start

    @cached_property
    def may_stream(self) -> BoolArray:
        """bool[uses]: the operator may read the tensor off-chip."""
        m = self.problem.graph.n_tensors
        codes = [o * m + t for o, t in self.problem.options.streamable]
        may: BoolArray = np.isin(self.operator * m + self.tensor, np.asarray(codes, np.int64))
        return may

    @cached_property
    def before(self) -> IntArray:
        """int64[links]: the earlier use of a link; the later one is the next use."""
        before: IntArray = np.flatnonzero(self.tensor[1:] == self.tensor[:-1])
        return before

    @cached_property
    def into(self) -> IntArray:
        """int64[uses]: the link that ends at a use, or -1."""
        into = np.full(len(self.tensor), -1, dtype=np.int64)
        into[self.before + 1] = np.arange(len(self.before))
        return into

    @cached_property
    def out_of(self) -> IntArray:
        """int64[uses]: the link that begins at a use, or -1."""
        out = np.full(len(self.tensor), -1, dtype=np.int64)
        out[self.before] = np.arange(len(self.before))
        return out

    @cached_property
    def pairs(self) -> Pairs:
        """In-place pairs that save bytes."""
        problem = self.problem
        sizes, m = problem.sizes, problem.graph.n_tensors
        triples = tuple(p for p in problem.options.in_place if min(sizes[p[1]], sizes[p[2]]) > 0)
        rows = np.asarray(triples, dtype=np.int64).reshape(-1, 3)
        use_of = {code: u for u, code in enumerate((self.operator * m + self.tensor).tolist())}
        best = set(problem.matching)
        return Pairs(
            triples,
            self.position[rows[:, 0]],
            np.minimum(sizes[rows[:, 1]], sizes[rows[:, 2]]),
            np.array([use_of[o * m + a] for o, a, _ in triples], dtype=np.int64),
            np.array([use_of[o * m + b] for o, _, b in triples], dtype=np.int64),
            np.array([p in best for p in triples], dtype=np.bool_),
        )

    # -- choices -------------------------------------------------------------------------------

    def kept_into(self, choice: Choice) -> BoolArray:
        """bool[uses]: the tensor is still there from the use before."""
        return _through(choice.keep, self.into)

    def kept_out(self, choice: Choice) -> BoolArray:
        """bool[uses]: the tensor stays until the next use."""
        return _through(choice.keep, self.out_of)

    def loaded(self, choice: Choice) -> BoolArray:
        """bool[uses]: reads for which the tensor is loaded."""
        loaded: BoolArray = ~(self.produces | choice.streamed | self.kept_into(choice))
        return loaded

    def at_ease(self) -> Choice:
        """Return the choice without extra cost: all kept that is not streamed as cheaply.

        Sources that all their readers may stream at no more than the cost of one load are
        streamed; a pair is taken where the input has no later use. Its cost is 0.
        """
        problem = self.problem
        readers, options = problem.graph.consumers.lengths, problem.options
        dear = options.streaming_cost * readers > options.read_cost
        cheap = problem.graph.is_source & ~dear
        streaming = np.ones(problem.graph.n_tensors, dtype=np.bool_)
        streaming[self.tensor[~self.may_stream]] = False
        streamed: BoolArray = (cheap & streaming)[self.tensor]
        taken = self.pairs.matched & (self.out_of[self.pairs.old] < 0)
        return Choice(~streamed[self.before], streamed, taken)

    def at_least(self) -> Choice:
        """Return the choice that loses, streams and takes over all it can (distance 0)."""
        return Choice(
            np.zeros(len(self.before), dtype=np.bool_), self.may_stream, self.pairs.matched
        )

    def occupancy(self, choice: Choice) -> IntArray:
        """int64[steps]: bytes in the scratchpad.

        What the operator needs, less what is streamed or taken over; kept tensors between their
        uses; loads from their start to the step before their use.
        """
        n = len(self.order)
        change = np.zeros(n + 1, dtype=np.int64)
        change[:n] = self.problem.full_set[self.order]
        np.subtract.at(change, self.step[choice.streamed], self.size[choice.streamed])
        np.subtract.at(change, self.pairs.step[choice.taken], self.pairs.saves[choice.taken])
        held = np.zeros(n + 1, dtype=np.int64)
        kept = self.before[choice.keep]
        loads = np.flatnonzero(self.loaded(choice))
        for first, last, use in (
            (self.step[kept] + 1, self.step[kept + 1], kept),
            (self.start_by[loads], self.step[loads], loads),
        ):
            np.add.at(held, first, self.size[use])
            np.subtract.at(held, last, self.size[use])
        return (change + np.cumsum(held))[:n]

    def cost(self, choice: Choice) -> int:
        """Extra cost of a choice: loads, streamed reads, one write of a tensor that needs it."""
        problem, options = self.problem, self.problem.options
        cost = options.read_cost * int(self.size[self.loaded(choice)].sum())
        cost += options.streaming_cost * int(self.size[choice.streamed].sum())
        lost = np.unique(self.tensor[self.before[~choice.keep]])
        cost += options.write_cost * int(problem.sizes[lost[problem.pays_write[lost]]].sum())
        read = problem.graph.is_source.copy()
        read[list(options.pinned)] = False
        return cost - int((problem.sizes * problem.compulsory_rate)[read].sum())

    def residencies(self, choice: Choice) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        """First use, last use, start and written flag of every residency, by tensor, then step.

        A run of reads joined by kept links, from its production or the start of its load on. The
        first one of a tensor writes it out where it is an output, or has no copy and is read
        again after it left.
        """
        graph = self.problem.graph
        there = ~choice.streamed
        first = np.flatnonzero(there & ~self.kept_into(choice))
        last = np.flatnonzero(there & ~self.kept_out(choice))
        lost = np.zeros(graph.n_tensors, dtype=np.bool_)
        lost[self.tensor[self.before[~choice.keep]]] = True
        writes = (lost & self.problem.pays_write) | (graph.is_output & ~graph.is_source)
        made = self.produces[first]
        start = np.where(made, self.step[first], self.start_by[first])
        return first, last, start, made & writes[self.tensor[first]]


def _through(keep: BoolArray, link: IntArray) -> BoolArray:
    """Look links up, where -1 is none."""
    found = np.zeros(len(link), dtype=np.bool_)
    there = link >= 0
    found[there] = keep[link[there]]
    return found
