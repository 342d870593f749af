"""A fixed order under options: its uses, its links, and what a choice among them takes and costs.

As in `mapc.models.memory.schedule`, a *use* is a step at which a tensor is produced or read, and a
*link* joins two consecutive uses. Beside keeping or losing links, a choice streams some reads, and
lets some outputs take over the bytes of an input. Pinned tensors have no uses: they are there.

An operator may stand in the order more than once. A tensor is then produced by each of its runs. A
link into a production is never kept: the tensor is made there anyway, so that losing the link costs
nothing and frees its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.options.model import Triple
from mapc.models.memory.plan import runs_of
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
    """In-place pairs of a timeline that save something, once for every run of their operator.

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
    order : int64[n_steps]
        Every operator at least once, the first runs in a topological order.
    """

    problem: MemoryProblem
    order: IntArray

    @cached_property
    def run(self) -> IntArray:
        """int64[n_steps]: the run at each step, as plans number them."""
        return runs_of(self.order)

    @cached_property
    def rerun_cost(self) -> int:
        """Cost of all runs after the first of their operator."""
        costs = dict(self.problem.options.recompute)
        again = self.order[self.run >= self.problem.graph.n_operators]
        return sum(costs[o] for o in again.tolist())

    @cached_property
    def _uses(self) -> tuple[IntArray, IntArray, IntArray]:
        touched = self.problem.graph.touched
        length = touched.lengths[self.order]
        step = np.repeat(np.arange(len(self.order)), length)
        shift = touched.start[self.order] - (np.cumsum(length) - length)
        tensor = touched.values[np.repeat(shift, length) + np.arange(len(step))]
        pinned = list(self.problem.options.pinned)
        free = ~np.isin(tensor, np.asarray(pinned, dtype=np.int64))
        tensor, step = tensor[free], step[free]
        by = np.lexsort((step, tensor))
        return tensor[by], self.order[step[by]], step[by]

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
        """bool[uses]: production; the first use of every tensor that is no source is one."""
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
        found = [(p, i) for p in triples for i in np.flatnonzero(self.order == p[0]).tolist()]
        use_of = {code: u for u, code in enumerate((self.step * m + self.tensor).tolist())}
        best = set(problem.matching)
        return Pairs(
            tuple(p for p, _ in found),
            np.array([i for _, i in found], dtype=np.int64),
            np.array([min(sizes[a], sizes[b]) for (_, a, b), _ in found], dtype=np.int64),
            np.array([use_of[i * m + a] for (_, a, _), i in found], dtype=np.int64),
            np.array([use_of[i * m + b] for (_, _, b), i in found], dtype=np.int64),
            np.array([p in best for p, _ in found], dtype=np.bool_),
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

    @cached_property
    def into_read(self) -> BoolArray:
        """bool[links]: whether the later use reads; the others end where the tensor is produced."""
        read: BoolArray = ~self.produces[self.before + 1]
        return read

    def lost(self, choice: Choice) -> IntArray:
        """int64[k]: tensors that leave and are loaded or streamed later on, ascending."""
        return np.unique(self.tensor[self.before[~choice.keep & self.into_read]])

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
        return Choice(~streamed[self.before] & self.into_read, streamed, taken)

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
        """Extra cost of a choice: transfers, one write of a tensor that needs it, further runs."""
        problem, options = self.problem, self.problem.options
        cost = self.rerun_cost + options.read_cost * int(self.size[self.loaded(choice)].sum())
        cost += options.streaming_cost * int(self.size[choice.streamed].sum())
        lost = self.lost(choice)
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
        lost[self.lost(choice)] = True
        writes = (lost & self.problem.pays_write) | (graph.is_output & ~graph.is_source)
        start = np.where(self.produces[first], self.step[first], self.start_by[first])
        made_first = self.produces[first] & (self.into[first] < 0)
        return first, last, start, made_first & writes[self.tensor[first]]


def _through(keep: BoolArray, link: IntArray) -> BoolArray:
    """Look links up, where -1 is none."""
    found = np.zeros(len(link), dtype=np.bool_)
    there = link >= 0
    found[there] = keep[link[there]]
    return found
