"""Orders of the operators: greedy ones, and moves that improve one.

A move is aimed at a lost link: the steps between its two uses are reordered, so that the next use
comes right after the last one (*pull*: the consumer and what it needs first) or the last one right
before the next (*push*: what does not depend on it first). Both keep producers before consumers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, OperatorGraph
from mapc.models.memory.problem import MemoryProblem

Score = Callable[[int, int, int], tuple[int, ...]]
"""``score(working bytes, change of live bytes, age)``: the smallest runs next."""


def _by_growth(working: int, change: int, age: int) -> tuple[int, ...]:
    return (change, working, age)


def _by_working_set(working: int, change: int, age: int) -> tuple[int, ...]:
    return (working + max(change, 0), change, age)


def _depth_first(working: int, change: int, age: int) -> tuple[int, ...]:
    return (0 if change <= 0 else 1, age, change)


RULES: dict[str, Score] = {
    "growth": _by_growth,
    "working-set": _by_working_set,
    "depth-first": _depth_first,
}
"""Greedy rules: least growth of live bytes, smallest working set, most recently enabled."""


def greedy_order(problem: MemoryProblem, rule: str = "growth") -> IntArray:
    """List scheduling: among the operators that are ready, run the one with the smallest score.

    The change of live bytes counts what an operator writes (where something reads it) less the
    inputs it is the last to read.
    """
    graph, score = problem.graph, RULES[rule]
    sizes = problem.sizes.tolist()
    waiting = np.bincount(graph.edges[:, 1], minlength=graph.n_operators).tolist()
    readers_left = graph.consumers.lengths.tolist()
    inputs = [graph.inputs[o].tolist() for o in range(graph.n_operators)]
    kept_bytes = [
        sum(sizes[t] for t in graph.outputs[o].tolist() if readers_left[t])
        for o in range(graph.n_operators)
    ]
    working = problem.working_set.tolist()
    successors = [graph.successors[o].tolist() for o in range(graph.n_operators)]
    ready = {o: 0 for o in range(graph.n_operators) if waiting[o] == 0}
    order: list[int] = []
    while ready:

        def key(o: int) -> tuple[int, ...]:
            freed = sum(sizes[t] for t in inputs[o] if readers_left[t] == 1)
            return (*score(working[o], kept_bytes[o] - freed, ready[o]), o)

        chosen = min(ready, key=key)
        del ready[chosen]
        order.append(chosen)
        for t in inputs[chosen]:
            readers_left[t] -= 1
        for successor in successors[chosen]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready[successor] = -len(order)  # the younger, the sooner
    return np.asarray(order, dtype=np.int64)


def pull(graph: OperatorGraph, order: IntArray, first: int, last: int) -> IntArray:
    """Move the operator at step ``last``, and what it needs, to right after step ``first``."""
    window = order[first + 1 : last]
    needed: BoolArray = graph.precedes[window, order[last]]
    middle = np.concatenate([window[needed], order[last : last + 1], window[~needed]])
    return np.concatenate([order[: first + 1], middle, order[last + 1 :]])


def push(graph: OperatorGraph, order: IntArray, first: int, last: int) -> IntArray:
    """Move the operator at step ``first``, and what needs it, to right before step ``last``."""
    window = order[first + 1 : last]
    needs: BoolArray = graph.precedes[order[first], window]
    middle = np.concatenate([window[~needs], order[first : first + 1], window[needs]])
    return np.concatenate([order[:first], middle, order[last:]])
