"""Each option changes the optimum of a small problem as a calculation by hand says."""

from dataclasses import replace

import numpy as np
import pytest

import mapc
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options import Options
from mapc.models.memory.options.model import best_matching
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Status
from mapc.solvers.result import Result
from oracles.memory_cases import chain_with_skip
from oracles.memory_options import least_cost


def graph_of(
    ins: list[list[int]], outs: list[list[int]], sizes: list[int], outputs: tuple[int, ...] = ()
) -> OperatorGraph:
    n, m = len(ins), len(sizes)
    return OperatorGraph(
        name="case",
        operator_names=tuple(f"o{o}" for o in range(n)),
        operator_kinds=("any",) * n,
        workspace=np.zeros(n, dtype=np.int64),
        inputs=Ragged.of(ins),
        outputs=Ragged.of(outs),
        tensor_names=tuple(f"t{t}" for t in range(m)),
        tensor_bytes=np.array(sizes),
        is_output=np.isin(np.arange(m), outputs),
        is_constant=np.zeros(m, dtype=np.bool_),
    )


def solved(problem: MemoryProblem) -> Result:
    result = mapc.solve(problem, time_limit=None)
    assert mapc.check(problem, result.plan) == []
    assert result.objective == least_cost(problem)
    return result


def weights() -> OperatorGraph:
    """Three matrix products in a row: tensors of 4 bytes, weights (4 to 6) of 6, 8 and 6 bytes.

    Weight 4 is read by the first and the last one.
    """
    return graph_of([[0, 4], [1, 5], [2, 4]], [[1], [2], [3]], [4, 4, 4, 4, 6, 8], (3,))


# t0, 5 bytes, leaves while o2 runs and comes back: a write and a load
@pytest.mark.parametrize(
    ("read", "write", "extra"), [(1, 1, 10), (2, 3, 25), (3, 0, 15), (0, 4, 20), (1000, 1, 5005)]
)
def test_costs_per_byte(read: int, write: int, extra: int) -> None:
    options = Options(read_cost=read, write_cost=write)
    result = solved(replace(chain_with_skip(capacity=9), options=options))
    assert result.objective == extra
    assert verify(replace(chain_with_skip(9), options=options), result.plan).facts == {
        "compulsory_bytes": 1,
        "spilled_bytes": 5,
        "reloaded_bytes": 5,
        "peak_bytes": result.facts["peak_bytes"],
    }


def test_dear_writes_change_what_leaves() -> None:
    """Beside o2, which takes 12 of 17 bytes, only one of t0 (an input, 5) and t1 (made, 4) stays.

    Losing t0 moves 5 bytes, losing t1 8: t0 leaves. With loads at 4 and free writes it is 20
    against 16.
    """
    graph = graph_of([[0], [0, 1], [2], [3, 0, 1]], [[1], [2], [3], [4]], [5, 4, 6, 6, 1], (4,))
    plain = MemoryProblem(graph, capacity=17)
    assert solved(plain).objective == 5
    dear = replace(plain, options=Options(read_cost=4, write_cost=0))
    assert solved(dear).objective == 16


def test_pinned_weights() -> None:
    """M_R is 16, at o1; pinning weight 4 adds its 6 bytes there, and spares its second load."""
    plain = MemoryProblem(weights(), capacity=21)
    assert plain.smallest_capacity == 16
    assert solved(plain).objective == 6
    pinned = replace(plain, options=Options(pinned=(4,)))
    assert pinned.smallest_capacity == 22
    assert mapc.solve(pinned, time_limit=None).status is Status.INFEASIBLE
    result = solved(replace(pinned, capacity=22))
    assert result.objective == 0
    assert result.status is Status.OPTIMAL
    rows = result.plan.residency[result.plan.tensor == 4]
    assert rows.tolist() == [[4, 0, 3, 0]]


@pytest.mark.parametrize(
    ("capacity", "cost", "extra"),
    [(14, 0, 0), (14, 1, 0), (14, 2, 8), (14, 3, 16), (16, 1, 0), (16, 2, 6), (16, 3, 6)],
)
def test_streamed_weights(capacity: int, cost: int, extra: int) -> None:
    """In 14 bytes o1 has to stream its weight: 8 (q - 1) beyond a load; weight 4 then stays.

    In 16 it may load it as well, which drives weight 4 out: 6 bytes more.
    """
    options = Options(streamable=((0, 4), (1, 5), (2, 4)), stream_cost=cost)
    problem = MemoryProblem(weights(), capacity=capacity, options=options)
    assert problem.smallest_capacity == 8
    result = solved(problem)
    assert result.objective == extra
    assert (result.status is Status.OPTIMAL) or capacity == 16
    if capacity == 14:
        assert [1, 5] in result.plan.streamed.tolist()
        assert mapc.solve(replace(problem, options=Options()), time_limit=None).plan is None


def test_a_produced_tensor_is_written_before_it_is_streamed() -> None:
    """t0 leaves at o2 and is streamed to o3: a write of 5, and 5 q; a load would cost 5."""
    options = Options(streamable=((3, 0),), stream_cost=0)
    problem = replace(chain_with_skip(capacity=9), options=options)
    result = solved(problem)
    assert result.objective == 5
    assert result.plan.streamed.tolist() == [[3, 0]]
    unwritten = replace(result.plan, written=result.plan.written & (result.plan.tensor != 0))
    assert any("without an off-chip copy" in line for line in mapc.check(problem, unwritten))


def test_in_place_pairs() -> None:
    """x -> t1 -> t2 -> y, 8 bytes each: 16 in general, 8 if every output takes over its input."""
    graph = graph_of([[0], [1], [2]], [[1], [2], [3]], [8, 8, 8, 8], (3,))
    pairs = ((0, 0, 1), (1, 1, 2), (2, 2, 3))
    problem = MemoryProblem(graph, capacity=8, options=Options(in_place=pairs))
    assert problem.smallest_capacity == 8
    result = solved(problem)
    assert result.objective == 0
    assert result.plan.address.tolist() == [0, 0, 0, 0]
    assert mapc.solve(replace(problem, options=Options()), time_limit=None).plan is None
    two = replace(problem, options=Options(in_place=pairs[:2]))
    assert two.smallest_capacity == 16


def test_an_input_read_again_is_written_out_before_it_is_taken_over() -> None:
    """t0 (8) is taken over by t1 in 8 bytes and read again by o2, in 24: a write and a load."""
    graph = graph_of([[], [0], [1, 0]], [[0], [1], [2]], [8, 8, 1], (2,))
    options = Options(in_place=((1, 0, 1),))
    problem = MemoryProblem(graph, capacity=17, options=options)
    assert solved(problem).objective == 0
    assert problem.smallest_capacity == 17
    streamed = replace(options, streamable=((2, 0),))
    small = replace(problem, capacity=9, options=streamed)
    assert small.smallest_capacity == 9
    assert solved(small).objective == 16


def test_outputs_of_other_sizes_take_the_larger_of_the_two() -> None:
    graph = graph_of([[0], [1]], [[1], [2]], [6, 9, 4], (2,))
    pairs = ((0, 0, 1), (1, 1, 2))
    problem = MemoryProblem(graph, capacity=9, options=Options(in_place=pairs))
    assert problem.working_set.tolist() == [9, 9]
    assert solved(problem).objective == 0


def test_the_best_pairs_of_an_operator_share_no_tensor() -> None:
    triples = [((0, 0, 2), 5), ((0, 0, 3), 4), ((0, 1, 2), 4), ((0, 1, 3), 1)]
    assert best_matching(triples) == (8, ((0, 0, 3), (0, 1, 2)))
    graph = graph_of([[0, 1]], [[2, 3]], [5, 4, 7, 4], (2, 3))
    problem = MemoryProblem(graph, options=Options(in_place=tuple(p for p, _ in triples)))
    assert problem.smallest_capacity == 20 - 5 - 4


def test_prefetch_distance() -> None:
    """Weights loaded a step early lie beside the operator before: 16 + 6, then + 8.

    With d = 1, weight 4 comes back while o1 runs (its 16 bytes), and weight 5 is loaded while o0
    runs (14 bytes). d = 2: at step 0, o0's 14 bytes and weight 5.
    """
    for distance, needed in ((0, 16), (1, 22), (2, 22)):
        problem = MemoryProblem(weights(), options=Options(prefetch=distance))
        fits = [
            capacity
            for capacity in range(14, 30)
            if least_cost(replace(problem, capacity=capacity)) is not None
        ]
        assert fits[0] == needed
        result = solved(replace(problem, capacity=needed))
        starts = result.plan.start[result.plan.tensor == 5]
        assert starts.tolist() == [max(0, 1 - distance)]
        assert result.objective == (6 if distance == 0 else 0)


def test_methods_that_know_no_options_say_so() -> None:
    problem = replace(chain_with_skip(capacity=9), options=Options(prefetch=1))
    result = mapc.solve(problem, methods=["cosma"], time_limit=None)
    assert result.plan is None
    assert any("cosma: knows no options" in note for note in result.notes)
    with pytest.raises(mapc.UsageError, match="no options"):
        mapc.lower(problem, "cosma")


def test_lowered_gap_models_lift_to_plans() -> None:
    problem = replace(chain_with_skip(capacity=9), options=Options(read_cost=2))
    program, lift = mapc.lower(problem, "gap")
    solution = registry.solve(program, "highs")
    plan = lift(solution)
    assert mapc.check(problem, plan) == []
    assert verify(problem, plan).objective == solution.objective == least_cost(problem) == 15
