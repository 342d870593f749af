"""Parts of the bound and the closure, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.exact.engine import Engine, load_kernels
from mapc.models.memory.exact.gaps import Gaps
from mapc.models.memory.exact.layout import Rules
from mapc.models.memory.exact.tokens import antichain_tokens, widths
from mapc.models.memory.problem import MemoryProblem
from oracles.memory_branches import branches
from oracles.memory_bruteforce import dijkstra


def problem_of(
    capacity: int, sizes: list[int], ins: list[list[int]], outs: list[list[int]], *outputs: int
) -> MemoryProblem:
    n = len(ins)
    graph = OperatorGraph(
        name="by hand",
        operator_names=tuple(f"o{i}" for i in range(n)),
        operator_kinds=("any",) * n,
        workspace=np.zeros(n, dtype=np.int64),
        inputs=Ragged.of(ins),
        outputs=Ragged.of(outs),
        tensor_names=tuple(f"t{i}" for i in range(len(sizes))),
        tensor_bytes=np.array(sizes),
        is_output=np.isin(np.arange(len(sizes)), outputs),
        is_constant=np.zeros(len(sizes), dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity)


def engine_of(problem: MemoryProblem, rules: Rules) -> Engine:
    kernels = load_kernels()
    assert kernels is not None
    return Engine(problem, kernels, rules=rules)


def two_branches(capacity: int) -> MemoryProblem:
    """t0 -> t1, read by two branches t1 -> 8 -> 8 -> 2, joined: no branch runs beside t1."""
    return problem_of(
        capacity,
        [1, 4, 8, 8, 2, 8, 8, 2, 1],
        [[0], [1], [2], [3], [1], [5], [6], [4, 7]],
        [[1], [2], [3], [4], [5], [6], [7], [8]],
        8,
    )


def test_keeping_a_tensor_between_two_branches_costs_a_link() -> None:
    problem = two_branches(16)
    gaps = Gaps(problem)
    assert gaps.chain(1, 1) == [2]  # 8 + 8 bytes and t1 beside them do not fit
    # the other branch begins with 4 + 8 bytes: no room for 8 more, which are written and loaded
    assert gaps.hold == {(1, 1): 16, (1, 4): 16}
    assert np.flatnonzero(gaps.held).tolist() == [1]
    assert np.flatnonzero(gaps.counted).tolist() == [1, 2, 5]
    # t1 leaves between its readers: 4 bytes out and 4 in (so do 2 bytes at the end, uncounted)
    engine = engine_of(problem, Rules(forced=False, tokens=False))
    assert engine.pool[0, engine.table.LEAST] == 8
    assert dijkstra(problem) == 12
    roomy = Gaps(two_branches(20))
    assert not roomy.hold  # t1 stays beside 8 + 8


def test_a_small_link_beside_the_other_branch_costs_nothing() -> None:
    # the link of 2 bytes fits beside the 4 + 8 of the other reader
    problem = problem_of(
        14, [1, 4, 2, 10, 8, 1], [[0], [1], [2], [1], [3, 4]], [[1], [2], [3], [4], [5]], 5
    )
    assert not Gaps(problem).hold


def test_tokens_of_two_large_operators_side_by_side() -> None:
    # two branches 1 -> 9 -> 5; beside the 9 + 1 or 9 + 5 of one, the 5 of the other does not fit
    problem = problem_of(
        16,
        [1, 1, 1, 9, 5, 9, 5, 1],
        [[0], [1], [3], [2], [5], [4, 6]],
        [[1, 2], [3], [4], [5], [6], [7]],
        7,
    )
    gaps = Gaps(problem)
    reach = widths(problem, gaps, 2)
    assert reach.tolist() == [0, 0, 0, 0, 0, 5]  # from the operator that writes t4 to the join
    tokens = antichain_tokens(problem, gaps)
    assert sorted(tokens[:, 0].tolist()) == [2, 4]
    assert tokens[:, 1].tolist() == [10, 10]
    engine = engine_of(problem, Rules(gaps=False, forced=False))
    assert engine.pool[0, engine.table.LEAST] == 10 == dijkstra(problem)


def test_forced_residents_pay_once_they_are_there() -> None:
    # t0 (5 bytes) is read again behind o2, which needs 5 bytes of 9
    problem = problem_of(9, [5, 2, 3, 1], [[], [0], [1], [2, 0]], [[0], [1], [2], [3]], 3)
    with_part = engine_of(problem, Rules(closure=False, gaps=False, tokens=False))
    without = engine_of(problem, Rules(closure=False, gaps=False, tokens=False, forced=False))
    for engine in (with_part, without):
        engine.advance(steps=1)  # o0 runs
    table = with_part.table
    assert with_part.pool[1, table.LEAST] == 2  # a byte too many, without a copy
    assert without.pool[1, table.LEAST] == 0


def test_the_closure_runs_a_chain_to_where_it_is_small_again() -> None:
    # 4 -> 6 -> 3: the middle is larger, the end is not
    problem = problem_of(12, [1, 4, 6, 3, 1], [[0], [1], [2], [3]], [[1], [2], [3], [4]], 4)
    engine = engine_of(problem, Rules())
    k, now, graph = engine.state, engine.layout.now, engine.graph
    k.run(*graph, now, 0)
    engine.closure.close(*graph, now)
    assert engine.layout.ops[: now[k.N_RUN], k.RUN].tolist() == [0, 1, 2, 3]


def test_the_closure_asks_for_half_of_a_tensor_with_a_copy() -> None:
    for size in (2, 3):
        # t0 is a graph input: it has a copy; its second reader may write half of its bytes
        problem = problem_of(
            60,
            [4, 9, size, 12, 5],
            [[0], [0], [1], [2, 3]],
            [[1], [2], [3], [4]],
            4,
        )
        engine = engine_of(problem, Rules())
        k, now, graph = engine.state, engine.layout.now, engine.graph
        k.run(*graph, now, 0)
        engine.closure.close(*graph, now)
        assert engine.layout.ops[1, k.DONE] == (size == 2)


def test_the_closure_needs_room_for_every_step() -> None:
    problem = problem_of(
        11, [1, 4, 6, 3, 1, 4], [[0], [1], [2], [3, 5]], [[1, 5], [2], [3], [4]], 4
    )
    engine = engine_of(problem, Rules())
    k, now, graph = engine.state, engine.layout.now, engine.graph
    k.run(*graph, now, 0)
    engine.closure.close(*graph, now)
    assert now[k.N_RUN] == 1  # 4 + 6 beside the 4 of t5 do not fit


@settings(max_examples=60, deadline=None)
@given(problem=branches())
def test_going_back_restores_the_state(problem: MemoryProblem) -> None:
    engine = engine_of(problem, Rules())
    k, now, graph = engine.state, engine.layout.now, engine.graph
    first = int(np.flatnonzero(engine.layout.ops[:, k.WAIT] == 0)[0])
    k.run(*graph, now, first)
    k.remember(engine.layout.ts, now)
    state = [k.LEFT, k.HELD, k.SAVED, k.AT, k.LIVE]
    m, live = problem.graph.n_tensors, int(now[k.N_LIVE])
    ops = engine.layout.ops[:, [k.DONE, k.WAIT]].copy()
    ts = engine.layout.ts[:m, state[:3]].copy()
    alive = engine.layout.ts[:live, k.LIVE].copy()
    entries = now[:6].copy()
    for t in alive.tolist():
        k.evict(*graph, now, t)
    ready = (engine.layout.ops[:, k.WAIT] == 0) & (engine.layout.ops[:, k.DONE] == 0)
    for o in np.flatnonzero(ready)[:1].tolist():
        k.run(*graph, now, o)
        engine.closure.close(*graph, now)
    k.back(*graph, now)
    assert np.array_equal(ops, engine.layout.ops[:, [k.DONE, k.WAIT]])
    assert np.array_equal(ts, engine.layout.ts[:m, state[:3]])
    assert np.array_equal(alive, engine.layout.ts[:live, k.LIVE])
    assert np.array_equal(entries, now[:6])
