"""Two oracles for the memory family and random small instances.

Both read only the columns of `OperatorGraph` and `MemoryProblem`; neither shares code or ideas
with the models under test. They are exponential: use them up to about seven operators.

* `brute_force`: every order, every keep-or-lose choice between consecutive uses of every tensor,
  and, on request, every placement of the kept stretches.
* `dijkstra`: shortest path in the state space of single moves (load, drop, write, run), all
  orders at once, no addresses. It may load early, write early, keep or drop at will.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.problem import MemoryProblem


class Split(StrEnum):
    """When a tensor may leave and come back, to a new address, between two adjacent steps."""

    NEVER = "never"
    COPIED = "copied"  # if it has an off-chip copy by then: source, output, or spilled earlier
    ALWAYS = "always"


# -- brute force -----------------------------------------------------------------------------


def brute_force(
    problem: MemoryProblem,
    *,
    order: Sequence[int] | None = None,
    addresses: bool = False,
    split_adjacent: bool | Split = True,
) -> int | None:
    """Return the least extra traffic in bytes, over all orders or for one; None if none fits.

    ``split_adjacent`` only matters with ``addresses``: without them nothing is won by it.
    """
    if isinstance(split_adjacent, bool):
        split_adjacent = Split.ALWAYS if split_adjacent else Split.NEVER
    best: int | None = None
    for candidate in [tuple(order)] if order is not None else all_orders(problem.graph):
        cost = _best_of_order(problem, candidate, addresses, split_adjacent, best)
        best = cost if best is None or (cost is not None and cost < best) else best
        if best == 0:
            break
    return best


def all_orders(graph: OperatorGraph) -> Iterator[tuple[int, ...]]:
    """Yield every order that runs producers before readers."""
    needs = [{int(graph.producer[t]) for t in graph.inputs[o]} - {-1} for o in range(len_of(graph))]

    def extend(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == len(needs):
            yield done
        for o, before in enumerate(needs):
            if o not in done and before <= set(done):
                yield from extend((*done, o))

    return extend(())


def len_of(graph: OperatorGraph) -> int:
    return len(graph.operator_names)


def _best_of_order(
    problem: MemoryProblem,
    order: tuple[int, ...],
    addresses: bool,
    split: Split,
    to_beat: int | None,
) -> int | None:
    """Try all 2**links choices, cheapest first."""
    graph, n = problem.graph, len(order)
    uses: list[list[int]] = [[] for _ in range(len(graph.tensor_names))]
    busy = np.zeros(n, dtype=np.int64)
    for step, o in enumerate(order):
        for t in {*graph.inputs[o].tolist(), *graph.outputs[o].tolist()}:
            uses[t].append(step)
            busy[step] += problem.sizes[t]
        busy[step] += problem.workspaces[o]
    links = [(t, a, b) for t in range(len(uses)) for a, b in itertools.pairwise(uses[t])]
    size = np.array([problem.sizes[t] for t, _, _ in links], dtype=np.int64)
    covers = np.array(
        [[a < step < b for step in range(n)] for _, a, b in links], dtype=np.int64
    ).reshape(len(links), n)
    lose = (np.arange(2 ** len(links))[:, None] >> np.arange(len(links))) & 1
    fits = (busy + ((1 - lose) * size) @ covers <= problem.room).all(axis=1)
    lose = lose[fits]
    cost = lose @ size
    for t in range(len(uses)):
        mine = [i for i, link in enumerate(links) if link[0] == t]
        if graph.producer[t] >= 0 and not graph.is_output[t] and mine:
            cost = cost + lose[:, mine].any(axis=1) * problem.sizes[t]
    for row in np.argsort(cost, kind="stable"):
        if to_beat is not None and cost[row] >= to_beat:
            return None
        lost = [bool(x) for x in lose[row]]
        if addresses and not (
            _allowed(problem, links, lost, split) and _placeable(problem, order, uses, links, lost)
        ):
            continue
        return int(cost[row])
    return None


def _allowed(
    problem: MemoryProblem, links: list[tuple[int, int, int]], lost: list[bool], split: Split
) -> bool:
    graph = problem.graph
    copied = {
        t for t in range(len(graph.tensor_names)) if graph.producer[t] < 0 or graph.is_output[t]
    }
    for (t, a, b), gone in zip(links, lost, strict=True):
        if not gone:
            continue
        if b == a + 1 and (split is Split.NEVER or (split is Split.COPIED and t not in copied)):
            return False
        copied.add(t)
    return True


def _placeable(
    problem: MemoryProblem,
    order: tuple[int, ...],
    uses: list[list[int]],
    links: list[tuple[int, int, int]],
    lost: list[bool],
) -> bool:
    """Glue kept links into rectangles, add the workspaces, and place them."""
    gone = {(t, b) for (t, _, b), out in zip(links, lost, strict=True) if out}
    rectangles: list[tuple[int, int, int]] = []
    for t, steps in enumerate(uses):
        start = None
        for i, step in enumerate(steps):
            start = step if start is None else start
            if i + 1 == len(steps) or (t, steps[i + 1]) in gone:
                rectangles.append((start, step + 1, int(problem.sizes[t])))
                start = None
    rectangles += [(step, step + 1, int(problem.workspaces[o])) for step, o in enumerate(order)]
    return can_place(tuple(sorted(r for r in rectangles if r[2] > 0)), problem.room)


@lru_cache(maxsize=100_000)
def can_place(rectangles: tuple[tuple[int, int, int], ...], room: int) -> bool:
    """Whether half-open ``(start, stop, size)`` rectangles fit below ``room``, exhaustively.

    In a placement where nothing can fall any further, putting the rectangles down by ascending
    address lets each land on the skyline of those before it. So trying all orders of putting down
    finds a placement if there is one.
    """
    steps = max((stop for _, stop, _ in rectangles), default=0)
    failed: set[tuple[frozenset[int], tuple[int, ...]]] = set()

    def put(left: frozenset[int], skyline: tuple[int, ...]) -> bool:
        if not left:
            return True
        for s in range(steps):
            above = sum(rectangles[i][2] for i in left if rectangles[i][0] <= s < rectangles[i][1])
            if skyline[s] + above > room:
                return False
        if (left, skyline) in failed:
            return False
        for i in left:
            start, stop, size = rectangles[i]
            top = max(skyline[start:stop]) + size
            landed = skyline[:start] + (top,) * (stop - start) + skyline[stop:]
            if top <= room and put(left - {i}, landed):
                return True
        failed.add((left, skyline))
        return False

    return put(frozenset(range(len(rectangles))), (0,) * steps)


# -- single moves ----------------------------------------------------------------------------


def dijkstra(problem: MemoryProblem) -> int | None:
    """Return the least extra traffic in bytes over all orders, without addresses.

    A state is (operators done, tensors resident, tensors with an off-chip copy); a source counts
    as copied once its first load is paid for by nobody.
    """
    graph = problem.graph
    n, m = len(graph.operator_names), len(graph.tensor_names)
    size, room = problem.sizes.tolist(), problem.room
    inputs = [frozenset(graph.inputs[o].tolist()) for o in range(n)]
    outputs = [frozenset(graph.outputs[o].tolist()) for o in range(n)]
    must_write = frozenset(t for t in range(m) if graph.is_output[t] and graph.producer[t] >= 0)
    start = (frozenset[int](), frozenset[int](), frozenset[int]())
    cheapest = {start: 0}
    queue: list[tuple[int, int, tuple[frozenset[int], ...]]] = [(0, 0, start)]
    ticket = itertools.count(1)
    while queue:
        cost, _, state = heapq.heappop(queue)
        if cost > cheapest[state]:
            continue
        done, resident, copied = state
        if len(done) == n and must_write <= copied:
            return cost
        occupied = sum(size[t] for t in resident)
        moves = []
        for t in range(m):
            if t in resident:
                moves.append((0, done, resident - {t}, copied))
                if t not in copied:
                    price = 0 if t in must_write else size[t]
                    moves.append((price, done, resident, copied | {t}))
            elif occupied + size[t] <= room and (t in copied or graph.producer[t] < 0):
                moves.append((size[t] * (t in copied), done, resident | {t}, copied | {t}))
        for o in range(n):
            grown = occupied + sum(size[t] for t in outputs[o]) + int(problem.workspaces[o])
            if o not in done and inputs[o] <= resident and grown <= room:
                moves.append((0, done | {o}, resident | outputs[o], copied))
        for price, *parts in moves:
            reached = _without_dead(inputs, must_write, *parts)
            if cost + price < cheapest.get(reached, cost + price + 1):
                cheapest[reached] = cost + price
                heapq.heappush(queue, (cost + price, next(ticket), reached))
    return None


def _without_dead(
    inputs: list[frozenset[int]],
    must_write: frozenset[int],
    done: frozenset[int],
    resident: frozenset[int],
    copied: frozenset[int],
) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """Forget what nobody reads any more, to meet in the same state more often."""
    wanted = frozenset[int]().union(*(inputs[o] for o in range(len(inputs)) if o not in done))
    return done, resident & (wanted | (must_write - copied)), copied & (wanted | must_write)


# -- random instances ------------------------------------------------------------------------


@st.composite
def small_graphs(
    draw: st.DrawFn,
    min_operators: int = 4,
    max_operators: int = 7,
    max_links: int = 9,
    unit: int = 1,
) -> OperatorGraph:
    """Draw a connected-looking DAG: forks, joins, siblings, read outputs, weights, workspaces.

    ``max_links`` bounds (reads - tensors read), and so the work of `brute_force`; sizes are
    multiples of ``unit``. Operators are numbered at random, not along the graph.
    """
    n = draw(st.integers(min_operators, max_operators))
    sizes: list[int] = []
    constant: list[bool] = []
    output: list[bool] = []

    def tensor(*, weight: bool = False, result: bool = False) -> int:
        # large ones make steps that push others out; zero is what flags and shapes have
        sizes.append(draw(st.sampled_from([2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0])))
        constant.append(weight)
        output.append(result)
        return len(sizes) - 1

    ins: list[list[int]] = []
    outs: list[list[int]] = []
    latest = [tensor()]
    spare = max_links
    for o in range(n):
        # one operand from the operator before, others from anywhere: a chain with long skips
        picks = {draw(st.sampled_from(latest))}
        if draw(st.integers(0, 7)) == 7:
            picks = {draw(st.integers(0, len(sizes) - 1))}
        for _ in range(draw(st.sampled_from([1, 2, 0]))):
            if spare - len(picks) > n - o:
                picks.add(draw(st.integers(0, len(sizes) - 1)))
        spare -= len(picks)
        if draw(st.integers(0, 7)) == 7:
            picks.add(tensor(weight=draw(st.booleans())))
        ins.append(sorted(picks))
        produced = 2 if draw(st.integers(0, 3)) == 3 else 1
        latest = [tensor(result=draw(st.integers(0, 5)) == 5) for _ in range(produced)]
        outs.append(latest)
    read = {t for picks in ins for t in picks}
    for produced_here in outs:
        for t in produced_here:
            output[t] = output[t] or (t not in read and draw(st.integers(0, 3)) > 0)
    workspace = [draw(st.sampled_from([0, 0, 0, 1, 3])) for _ in range(n)]
    number = draw(st.permutations(range(n)))
    return OperatorGraph(
        name="random",
        operator_names=tuple(f"o{i}" for i in number),
        operator_kinds=("any",) * n,
        workspace=np.array([workspace[i] for i in number], dtype=np.int64) * unit,
        inputs=Ragged.of(ins[i] for i in number),
        outputs=Ragged.of(outs[i] for i in number),
        tensor_names=tuple(f"t{i}" for i in range(len(sizes))),
        tensor_bytes=np.array(sizes, dtype=np.int64) * unit,
        is_output=np.array(output, dtype=np.bool_),
        is_constant=np.array(constant, dtype=np.bool_),
    )


@st.composite
def small_problems(
    draw: st.DrawFn,
    min_operators: int = 4,
    max_operators: int = 7,
    max_links: int = 9,
    max_slack: int = 4,
) -> MemoryProblem:
    """Draw a graph of `small_graphs` and a capacity from M_R to M_R + ``max_slack`` units."""
    unit = draw(st.sampled_from([1, 1, 4]))
    graph = draw(small_graphs(min_operators, max_operators, max_links, unit))
    alignment = draw(st.sampled_from([1, 1, 1, 2]))
    smallest = MemoryProblem(graph, None, alignment).smallest_capacity
    slack = max(0, draw(st.integers(-max_slack, max_slack))) * unit  # half of them at M_R
    return MemoryProblem(graph, smallest + slack, alignment)
