"""An oracle for memory problems with options, and random small ones.

Dijkstra over single moves, all orders at once, no addresses: load, drop, write, run, and run again
what may be recomputed. Running an operator chooses what it streams and which outputs take over an
input. It shares nothing with the models; it reads the columns of graph and problem only.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph
from mapc.models.memory.options import Options
from mapc.models.memory.problem import MemoryProblem
from oracles.memory_bruteforce import small_graphs

State = tuple[frozenset[int], frozenset[tuple[int, int]], frozenset[int]]
"""Operators done; tensors resident, each with the steps until it can be read; copied."""


class _Moves:
    """The rules, as moves between states."""

    def __init__(self, problem: MemoryProblem) -> None:
        graph, self.options = problem.graph, problem.options
        self.n, m = len(graph.operator_names), len(graph.tensor_names)
        pinned = set(self.options.pinned)
        self.size = problem.sizes.tolist()
        self.room = problem.room - sum(self.size[t] for t in pinned)
        self.workspace = problem.workspaces.tolist()
        self.inputs = [frozenset(graph.inputs[o].tolist()) - pinned for o in range(self.n)]
        self.outputs = [frozenset(graph.outputs[o].tolist()) for o in range(self.n)]
        self.source = frozenset(t for t in range(m) if graph.producer[t] < 0) - pinned
        self.must_write = frozenset(
            t for t in range(m) if graph.is_output[t] and graph.producer[t] >= 0
        )
        self.read = frozenset[int]().union(*self.inputs)
        self.q = self.options.streaming_cost
        self.again = dict(self.options.recompute)
        self.read_again = frozenset[int]().union(*(self.inputs[o] for o in self.again))

    def unavoidable(self) -> int:
        """Cost of writing outputs, and of each source by itself with room for everything."""
        options = self.options
        total = sum(options.write_cost * self.size[t] for t in self.must_write)
        for t in self.source & self.read:
            readers = [o for o in range(self.n) if t in self.inputs[o]]
            ways = [options.read_cost]
            if all((o, t) in options.streamable for o in readers):
                ways.append(self.q * len(readers))
            total += min(ways) * self.size[t]
        return total

    def of(self, state: State) -> Iterator[tuple[int, State]]:
        done, resident, copied = state
        here = {t for t, _ in resident}
        wanted = self.wanted(done)
        occupied = sum(self.size[t] for t in here)
        for t, wait in resident:
            yield 0, (done, resident - {(t, wait)}, copied)
            if t not in copied and t not in self.source:
                price = self.options.write_cost * self.size[t]
                yield price, (done, resident, copied | {t})
        for t in wanted & (copied | self.source) - here:
            if occupied + self.size[t] <= self.room:
                wait = self.options.prefetch if done else 0
                price = self.options.read_cost * self.size[t]
                yield price, (done, resident | {(t, wait)}, copied)
        for o in range(self.n):
            if o not in done or o in self.again:
                yield from self.run(o, state, occupied)

    def run(self, o: int, state: State, occupied: int) -> Iterator[tuple[int, State]]:
        done, resident, copied = state
        usable, here = {t for t, wait in resident if not wait}, {t for t, _ in resident}
        missing = self.inputs[o] - usable
        off_chip = copied | self.source
        if any((o, t) not in self.options.streamable or t not in off_chip for t in missing):
            return
        price = sum(self.q * self.size[t] for t in missing) + (o in done and self.again[o])
        new = self.outputs[o] - here
        among = [(a, b) for p, a, b in self.options.in_place if p == o]
        pairs = [(a, b) for a, b in among if a in usable and b in new]
        grown = occupied + self.workspace[o] + sum(self.size[t] for t in new)
        for taken in _apart(pairs):
            saved = sum(min(self.size[a], self.size[b]) for a, b in taken)
            if grown - saved <= self.room:
                gone = {a for a, _ in taken}
                left = frozenset((t, max(0, w - 1)) for t, w in resident if t not in gone)
                made = frozenset((t, 0) for t in new)
                yield price, self.tidy((done | {o}, left | made, copied))

    def tidy(self, state: State) -> State:
        """Forget what nobody reads any more."""
        done, resident, copied = state
        wanted = self.wanted(done)
        keep = wanted | (self.must_write - copied)
        there = frozenset((t, wait) for t, wait in resident if t in keep)
        return done, there, copied & (wanted | self.must_write)

    def wanted(self, done: frozenset[int]) -> frozenset[int]:
        """Tensors that some run to come may read."""
        if len(done) == self.n:
            return frozenset()
        return self.read_again.union(*(self.inputs[o] for o in range(self.n) if o not in done))


def _apart(pairs: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Sets of pairs that share no tensor."""
    for k in range(len(pairs) + 1):
        for some in itertools.combinations(pairs, k):
            tensors = [t for pair in some for t in pair]
            if len(set(tensors)) == len(tensors):
                yield some


def least_cost(problem: MemoryProblem) -> int | None:
    """Return the least extra cost over all orders, without addresses; None where nothing fits."""
    moves = _Moves(problem)
    if moves.room < 0:
        return None
    start: State = (frozenset(), frozenset(), frozenset())
    cheapest = {start: 0}
    queue: list[tuple[int, int, State]] = [(0, 0, start)]
    ticket = itertools.count(1)
    while queue:
        cost, _, state = heapq.heappop(queue)
        if cost > cheapest[state]:
            continue
        if len(state[0]) == moves.n and moves.must_write <= state[2]:
            return cost - moves.unavoidable()
        for price, reached in moves.of(state):
            if cost + price < cheapest.get(reached, cost + price + 1):
                cheapest[reached] = cost + price
                heapq.heappush(queue, (cost + price, next(ticket), reached))
    return None


# -- random instances ------------------------------------------------------------------------


@st.composite
def small_options(
    draw: st.DrawFn, graph: OperatorGraph, prefetch: bool = True, recompute: bool = False
) -> Options:
    """Draw any combination of options that fits the graph."""
    n = graph.n_operators
    sources = [t for t in range(graph.n_tensors) if graph.producer[t] < 0]
    read = [t for t in sources if len(graph.consumers[t])]
    pinned = [t for t in read if draw(st.integers(0, 4)) == 4]
    edges = [(o, t) for o in range(n) for t in graph.inputs[o].tolist() if t not in pinned]
    share = draw(st.sampled_from([0, 2, 4]))
    streamable = [edge for edge in edges if draw(st.integers(0, 4)) < share]
    over = [(o, t, b) for o, t in edges for b in graph.outputs[o].tolist()]
    share = draw(st.sampled_from([0, 2, 5]))
    in_place = [pair for pair in over if draw(st.integers(0, 4)) < share]
    per = {o: [p for p in in_place if p[0] == o][:8] for o in range(n)}
    return Options(
        read_cost=draw(st.sampled_from([1, 1, 2, 3, 0])),
        write_cost=draw(st.sampled_from([1, 1, 2, 5, 0])),
        stream_cost=draw(st.sampled_from([None, 1, 2, 3, 0])),
        pinned=tuple(pinned),
        streamable=tuple(streamable),
        in_place=tuple(pair for pairs in per.values() for pair in pairs),
        prefetch=draw(st.sampled_from([0, 0, 1, 2])) if prefetch else 0,
        recompute=draw(_further_runs(n)) if recompute else (),
    )


@st.composite
def _further_runs(draw: st.DrawFn, n: int) -> tuple[tuple[int, int], ...]:
    """Draw operators that may run again, and at what cost; sometimes all, sometimes for nothing."""
    share = draw(st.sampled_from([2, 4, 5]))
    costs = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 20])
    return tuple((o, draw(costs)) for o in range(n) if draw(st.integers(0, 4)) < share)


@st.composite
def optioned_problems(
    draw: st.DrawFn,
    max_operators: int = 5,
    max_links: int = 6,
    prefetch: bool = True,
    recompute: bool = False,
) -> MemoryProblem:
    """Draw a problem with options, its capacity from M_R to a few bytes more."""
    graph = draw(small_graphs(3, max_operators, max_links))
    alignment = draw(st.sampled_from([1, 1, 2]))
    options = draw(small_options(graph, prefetch, recompute))
    problem = MemoryProblem(graph, None, alignment, options=options)
    slack = draw(st.sampled_from([0, 0, 1, 2, 4, 8, 12]))
    return replace(problem, capacity=problem.smallest_capacity + slack)
