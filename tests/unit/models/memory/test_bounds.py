"""Bounds over all orders, against brute force over all orders."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import all_orders, dijkstra, small_problems


def forced_span_optimum(problem: MemoryProblem, backend: str = "highs") -> int:
    program = ForcedSpans(problem).program()
    if not program.n_columns:
        return 0
    solution = registry.solve(program, backend, limits=Limits(workers=1))
    assert solution.status is Status.OPTIMAL
    return int(solution.objective)


@settings(max_examples=80, deadline=None)
@given(problem=small_problems(), backend=st.sampled_from(["highs", "cpsat"]))
def test_no_order_beats_the_bounds(problem: MemoryProblem, backend: str) -> None:
    optimum = dijkstra(problem)
    assert optimum is not None
    bound = forced_span_optimum(problem, backend)
    assert ForcedSpans(problem).single_operator_bound() <= bound <= optimum


@settings(max_examples=60, deadline=None)
@given(problem=small_problems())
def test_no_order_has_a_smaller_peak(problem: MemoryProblem) -> None:
    peaks = [Schedule(problem, np.array(o)).peak for o in all_orders(problem.graph)]
    lower = ForcedSpans(problem).smallest_peak
    assert problem.smallest_capacity <= lower <= min(peaks)
    assert dijkstra(replace(problem, capacity=min(peaks))) == 0
    if min(peaks) > problem.smallest_capacity:
        unit = problem.alignment
        assert dijkstra(replace(problem, capacity=min(peaks) - unit)) > 0


@settings(max_examples=40, deadline=None)
@given(problem=small_problems(), seed=st.integers(0, 2**32 - 1))
def test_relabelling_changes_no_bound(problem: MemoryProblem, seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = problem.graph
    operators, tensors = random.permutation(graph.n_operators), random.permutation(graph.n_tensors)
    new_of = np.argsort(tensors)
    renamed = OperatorGraph(
        name=graph.name,
        operator_names=tuple(graph.operator_names[o] for o in operators),
        operator_kinds=tuple(graph.operator_kinds[o] for o in operators),
        workspace=graph.workspace[operators],
        inputs=Ragged.of(new_of[graph.inputs[o]] for o in operators),
        outputs=Ragged.of(new_of[graph.outputs[o]] for o in operators),
        tensor_names=tuple(graph.tensor_names[t] for t in tensors),
        tensor_bytes=graph.tensor_bytes[tensors],
        is_output=graph.is_output[tensors],
        is_constant=graph.is_constant[tensors],
    )
    other = replace(problem, graph=renamed)
    assert forced_span_optimum(other) == forced_span_optimum(problem)
    assert ForcedSpans(other).smallest_peak == ForcedSpans(problem).smallest_peak


def test_a_chain_with_a_skip_is_bounded_exactly(chain: MemoryProblem) -> None:
    # t0 (5 bytes) is forced live while o2 runs (2 + 3 bytes)
    spans = ForcedSpans(chain)
    assert spans.smallest_peak == 10
    assert spans.live_bytes.tolist() == [0, 0, 5, 0]
    tight = replace(chain, capacity=9)
    assert ForcedSpans(tight).single_operator_bound() == 2  # one byte off, written and loaded
    assert forced_span_optimum(tight) == 10  # a tensor leaves whole


def test_two_separate_losses_pay_two_loads_and_one_write() -> None:
    """t is read by b and d; between them heavy operators leave no room for it, twice."""
    graph = OperatorGraph(
        name="twice",
        operator_names=("a", "h1", "b", "h2", "d"),
        operator_kinds=("any",) * 5,
        workspace=np.array([0, 10, 0, 10, 0]),
        inputs=Ragged.of([[], [1], [0, 2], [3], [0, 4]]),
        outputs=Ragged.of([[0, 1], [2], [3], [4], [5]]),
        tensor_names=("t", "s", "h", "v", "w", "y"),
        tensor_bytes=np.array([4, 1, 1, 1, 1, 1]),
        is_output=np.array([False] * 5 + [True]),
        is_constant=np.zeros(6, dtype=np.bool_),
    )
    problem = MemoryProblem(graph, capacity=12)
    assert forced_span_optimum(problem) == 12
    assert dijkstra(problem) == 12
