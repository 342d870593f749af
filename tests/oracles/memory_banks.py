"""An oracle for memory problems with banks, addresses included, and random small ones.

Dijkstra over single moves as in `oracles.memory_options`, but what is resident has a bank and an
address, which it keeps. Exponential in everything: three or four operators, few bytes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from mapc.models.memory.problem import MemoryProblem
from oracles.memory_bruteforce import small_graphs
from oracles.memory_options import _apart, _Moves, small_options

Place = tuple[int, int]
"""Bank and address."""
Resident = tuple[int, int, int, int]
"""Tensor, step from which it can be read, bank, address."""
State = tuple[frozenset[int], frozenset[Resident], frozenset[int]]


class _BankMoves:
    def __init__(self, problem: MemoryProblem) -> None:
        self.plain = _Moves(problem)
        self.options, self.step = problem.options, problem.alignment
        self.rooms = [size // self.step * self.step for _, size in problem.options.banks]
        confined = dict[int, list[int]]()
        for t, bank in problem.options.confined:
            confined.setdefault(t, []).append(bank)
        every = list(range(len(self.rooms)))
        self.banks = [confined.get(t, every) for t in range(problem.graph.n_tensors)]
        self.pinned = list(problem.options.pinned)
        self.every = every

    def free(self, taken: list[tuple[int, int, int]], size: int, banks: list[int]) -> list[Place]:
        """Places for so many bytes beside ``(bank, address, size)``; one for no bytes."""
        if size == 0:
            return [(banks[0], 0)]
        return [
            (b, at)
            for b in banks
            for at in range(0, self.rooms[b] - size + 1, self.step)
            if all(c != b or at + size <= low or low + n <= at for c, low, n in taken if n)
        ]

    def starts(self) -> Iterator[State]:
        """Pinned tensors, wherever they may lie."""

        def extend(rest: list[int], there: frozenset[Resident]) -> Iterator[State]:
            if not rest:
                yield frozenset(), there, frozenset()
                return
            t = rest[0]
            for b, at in self.free(self.taken(there), self.plain.size[t], self.banks[t]):
                yield from extend(rest[1:], there | {(t, 0, b, at)})

        yield from extend(self.pinned, frozenset())

    def taken(self, resident: frozenset[Resident]) -> list[tuple[int, int, int]]:
        return [(b, at, self.plain.size[t]) for t, _, b, at in resident]

    def of(self, state: State) -> Iterator[tuple[int, State]]:
        done, resident, copied = state
        plain, step = self.plain, len(state[0])
        here = {one[0] for one in resident}
        wanted = frozenset[int]().union(*(plain.inputs[o] for o in range(plain.n) if o not in done))
        for one in resident:
            t = one[0]
            if t not in self.pinned:
                yield 0, (done, resident - {one}, copied)
                if t not in copied and t not in plain.source:
                    price = self.options.write_cost * plain.size[t]
                    yield price, (done, resident, copied | {t})
        for t in wanted & (copied | plain.source) - here:
            ready = step + self.options.prefetch if step else 0
            price = self.options.read_cost * plain.size[t]
            for b, at in self.free(self.taken(resident), plain.size[t], self.banks[t]):
                yield price, (done, resident | {(t, ready, b, at)}, copied)
        for o in range(plain.n):
            if o not in done:
                yield from self.run(o, state)

    def run(self, o: int, state: State) -> Iterator[tuple[int, State]]:
        done, resident, copied = state
        plain, step = self.plain, len(done)
        usable = {t for t, ready, _, _ in resident if ready <= step}
        missing = plain.inputs[o] - usable
        off_chip = copied | plain.source
        if any((o, t) not in self.options.streamable or t not in off_chip for t in missing):
            return
        price = sum(plain.q * plain.size[t] for t in missing)
        pairs = [(a, b) for p, a, b in self.options.in_place if p == o and a in usable]
        for some in _apart(pairs):
            for made in self.outputs(o, resident, {b: a for a, b in some}):
                gone = {a for a, _ in some}
                left = frozenset(one for one in resident if one[0] not in gone)
                yield price, self.tidy((done | {o}, left | made, copied))

    def outputs(
        self, o: int, resident: frozenset[Resident], over: dict[int, int]
    ) -> Iterator[frozenset[Resident]]:
        """Places for outputs such that the workspace fits, too."""
        size = self.plain.size

        def extend(
            rest: list[int], taken: list[tuple[int, int, int]], made: frozenset[Resident]
        ) -> Iterator[frozenset[Resident]]:
            if not rest:
                if self.free(taken, self.plain.workspace[o], self.every):
                    yield made
                return
            t = rest[0]
            if t in over:
                _, _, b, at = next(one for one in resident if one[0] == over[t])
                beside = [x for x in taken if x != (b, at, size[over[t]])]
                if b not in self.banks[t] or (b, at) not in self.free(beside, size[t], [b]):
                    return
                there = [(b, at, max(size[t], size[over[t]]))]
                yield from extend(rest[1:], beside + there, made | {(t, 0, b, at)})
                return
            for b, at in self.free(taken, size[t], self.banks[t]):
                grown = [*taken, (b, at, size[t])]
                yield from extend(rest[1:], grown, made | {(t, 0, b, at)})

        first = sorted(self.plain.outputs[o], key=lambda t: t not in over)
        yield from extend(first, self.taken(resident), frozenset())

    def tidy(self, state: State) -> State:
        """Forget what nobody reads any more, and waits that are over."""
        done, resident, copied = state
        plain = self.plain
        wanted = frozenset[int]().union(*(plain.inputs[o] for o in range(plain.n) if o not in done))
        keep = wanted | (plain.must_write - copied) | set(self.pinned)
        step = len(done)
        there = frozenset(
            (t, ready if ready > step else 0, b, at) for t, ready, b, at in resident if t in keep
        )
        return done, there, copied & (wanted | plain.must_write)


def least_cost(problem: MemoryProblem) -> int | None:
    """Return the least extra cost over all orders, banks and addresses; None where nothing fits."""
    moves = _BankMoves(problem)
    cheapest: dict[State, int] = dict.fromkeys(moves.starts(), 0)
    ticket = itertools.count()
    queue = [(0, next(ticket), state) for state in cheapest]
    while queue:
        cost, _, state = heapq.heappop(queue)
        if cost > cheapest[state]:
            continue
        if len(state[0]) == moves.plain.n and moves.plain.must_write <= state[2]:
            return cost - moves.plain.unavoidable()
        for price, reached in moves.of(state):
            if cost + price < cheapest.get(reached, cost + price + 1):
                cheapest[reached] = cost + price
                heapq.heappush(queue, (cost + price, next(ticket), reached))
    return None


@st.composite
def banked_memory(draw: st.DrawFn, prefetch: bool = False) -> MemoryProblem:
    """Draw a tiny problem with two or three banks and any combination of the other options."""
    graph = draw(small_graphs(2, 3, 3))
    scaled = replace(graph, tensor_bytes=graph.tensor_bytes % 4, workspace=graph.workspace % 3)
    options = draw(small_options(scaled, prefetch))
    alone = MemoryProblem(scaled, None, 1, options=options)
    total = alone.smallest_capacity + draw(st.sampled_from([0, 0, 1, 2, 3]))
    first = draw(st.integers(0, total))
    banks = [first, total - first]
    if draw(st.integers(0, 3)) == 3:
        banks.append(draw(st.integers(0, 2)))
    named = tuple((f"m{b}", size) for b, size in enumerate(banks))
    confined = [
        (t, draw(st.integers(0, len(banks) - 1)))
        for t in range(graph.n_tensors)
        if draw(st.integers(0, 5)) == 5
    ]
    return replace(alone, options=replace(options, banks=named, confined=tuple(confined)))
