"""From a problem to the arrays that the kernels of the search work on."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.memory.exact.gaps import Gaps
from mapc.models.memory.exact.tokens import antichain_tokens
from mapc.models.memory.problem import MemoryProblem

HEAVIEST = 64
"""Operators whose forced residents are looked at, those with the largest working sets."""
STREAM = 20240229
"""Seed of the hash of sets of operators; only speed depends on it."""


@dataclass(frozen=True)
class Rules:
    """Which parts of the bound and which rules a search uses; every choice is exact."""

    closure: bool = True
    dominance: bool = True
    gaps: bool = True
    forced: bool = True
    tokens: bool = True


ALL_RULES = Rules()


@dataclass(frozen=True, eq=False)
class Layout:
    """The arrays of `mapc.models.memory.exact.state_kernels`, before anything has run."""

    ops: IntArray
    ts: IntArray
    adj: IntArray
    heavy: IntArray
    tokens: IntArray
    now: IntArray


def lay_out(problem: MemoryProblem, kernels: ModuleType, rules: Rules = ALL_RULES) -> Layout:
    """Fill the arrays for a problem; ``kernels`` is the module of the state."""
    graph, k = problem.graph, kernels
    n, m = graph.n_operators, graph.n_tensors
    gaps = Gaps(problem)
    ops = np.zeros((n, k.OP_COLUMNS), dtype=np.int64)
    ts = np.zeros((max(n, m) + 1, k.TENSOR_COLUMNS), dtype=np.int64)
    parts: list[IntArray] = []
    at = 0
    for table, rows, first, last in (
        (ops, graph.inputs, k.IN_AT, k.IN_END),
        (ops, graph.outputs, k.OUT_AT, k.OUT_END),
        (ops, graph.successors, k.NEXT_AT, k.NEXT_END),
        (ts, graph.consumers, k.USE_AT, k.USE_END),
    ):
        table[: len(rows), first] = at + rows.start[:-1]
        table[: len(rows), last] = at + rows.start[1:]
        parts.append(rows.values)
        at += len(rows.values)
    adj = np.zeros((at, 2), dtype=np.int64)
    adj[:, k.TO] = np.concatenate(parts)
    if rules.gaps:
        hold = [np.zeros(0, dtype=np.int64), *(gaps.by_reader(t) for t in range(m))]  # m may be 0
        adj[at - len(graph.consumers.values) :, k.HOLD] = np.concatenate(hold)
        ts[:m, k.GAPPED] = gaps.held
    _fill_operators(problem, ops, k)
    ts[:m, k.SIZE] = problem.sizes
    ts[:m, k.FREE] = ~problem.pays_write
    ts[:m, k.SOURCE] = graph.is_source
    ts[:m, k.LEFT] = graph.consumers.lengths
    now = np.zeros(k.WORDS + -(-n // k.BITS), dtype=np.int64)
    now[k.N_WORDS] = -(-n // k.BITS)
    now[k.ROOM] = problem.room
    now[k.CLOSING], now[k.DOMINATING] = rules.closure, rules.dominance
    if rules.gaps:
        now[k.REST] = sum(_at_start(problem, gaps, t) for t in range(m))
    empty = np.zeros((0, 2), dtype=np.int64)
    return Layout(
        ops,
        ts,
        adj,
        _heavy(problem, k) if rules.forced else np.zeros((0, 3), dtype=np.int64),
        antichain_tokens(problem, gaps) if rules.tokens else empty,
        now,
    )


def _fill_operators(problem: MemoryProblem, ops: IntArray, k: ModuleType) -> None:
    graph = problem.graph
    n = graph.n_operators
    read = graph.consumers.lengths[graph.outputs.values] > 0
    produced = problem.sizes[graph.outputs.values]
    need, stay = problem.workspaces.copy(), np.zeros(n, dtype=np.int64)
    np.add.at(need, graph.outputs.row_of, produced)
    np.add.at(stay, graph.outputs.row_of, produced * read)
    ops[:, k.NEED], ops[:, k.STAY] = need, stay
    number = np.arange(n)
    ops[:, k.WORD] = number // k.BITS
    ops[:, k.BIT] = np.left_shift(np.int64(1), number % k.BITS)
    ops[:, k.KEY] = np.random.default_rng(STREAM).integers(1, 2**k.BITS, size=n)
    ops[:, k.WAIT] = graph.predecessors.lengths


def _at_start(problem: MemoryProblem, gaps: Gaps, t: int) -> int:
    """Return the gap part of a tensor before anything has run."""
    hold = np.sort(gaps.by_reader(t))[:-1]
    size = int(problem.sizes[t])
    capped = int(np.minimum(hold, size).sum())
    return min(int(hold.sum()), capped + size) if problem.pays_write[t] else capped


def _heavy(problem: MemoryProblem, k: ModuleType) -> IntArray:
    """Operators with the largest working sets, and which tensors each may force off.

    A tensor that it does not touch and that some operator behind it reads.
    """
    graph = problem.graph
    which = np.argsort(-problem.working_set, kind="stable")[:HEAVIEST]
    table = np.zeros((len(which), 2 + -(-graph.n_tensors // k.BITS)), dtype=np.int64)
    for r, b in enumerate(which.tolist()):
        table[r, 0], table[r, 1] = b, problem.working_set[b]
        behind = graph.precedes[b]
        forced = np.zeros(graph.n_tensors, dtype=np.bool_)
        forced[graph.inputs.values[behind[graph.inputs.row_of]]] = True
        forced[graph.touched[b]] = False
        for t in np.flatnonzero(forced).tolist():
            table[r, 2 + t // k.BITS] |= np.int64(1 << (t % k.BITS))
    return table
