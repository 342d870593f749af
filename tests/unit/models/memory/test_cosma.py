from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError, UsageError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory import cosma, cosma_addresses
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.program.model import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits, Solution, Status, Stop
from oracles.memory_bruteforce import Split, all_orders, brute_force, dijkstra, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data"))
GRAPHS = DATA / "memory" / "graphs"

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
tiny = small_problems(min_operators=4, max_operators=5, max_links=9, max_slack=1)


def solve(program: Program) -> Solution:
    solution = registry.solve(program, "highs", limits=Limits(nodes=200_000))
    assert solution.stop is Stop.PROVEN, solution.message
    return solution


def optimum(problem: MemoryProblem, **options: bool) -> int | None:
    """Solve the ILP, hold its plan to the replay, and return the cost."""
    program, lift = cosma.lower(problem, **options)
    solution = solve(program)
    if solution.status is Status.INFEASIBLE:
        return None
    assert solution.status is Status.OPTIMAL
    if options.get("addresses", True):
        verdict = verify(problem, lift(solution))
        assert verdict.violations == ()
        assert verdict.objective == solution.objective
        assert verdict.facts["compulsory_bytes"] == problem.compulsory
    return round(solution.objective or 0)


def graph_of(
    sizes: list[int],
    inputs: list[list[int]],
    outputs: list[list[int]],
    results: list[int],
    workspace: int = 0,
) -> OperatorGraph:
    n, m = len(inputs), len(sizes)
    return OperatorGraph(
        name="handmade",
        operator_names=tuple(f"o{i}" for i in range(n)),
        operator_kinds=("any",) * n,
        workspace=np.full(n, workspace, dtype=np.int64),
        inputs=Ragged.of(inputs),
        outputs=Ragged.of(outputs),
        tensor_names=tuple(f"t{i}" for i in range(m)),
        tensor_bytes=np.array(sizes, dtype=np.int64),
        is_output=np.isin(np.arange(m), results),
        is_constant=np.zeros(m, dtype=np.bool_),
    )


def chain(sizes: list[int], workspace: int = 0) -> OperatorGraph:
    """Build t0 -> o0 -> t1 -> o1 ..., the last tensor an output."""
    n = len(sizes) - 1
    steps = [[i] for i in range(n)]
    return graph_of(sizes, steps, [[i + 1] for i in range(n)], [n], workspace)


def knot(results: list[int], also_read: dict[int, int]) -> MemoryProblem:
    """Build nine tensors that fill 6 bytes at every one of 5 steps and cannot be placed.

    Tensors of size 0 fix the order; ``also_read`` gives tensors one more reader.
    """
    lives = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 4), (4, 4), (4, 4)]
    sizes = [3, 3, 1, 2, 1, 2, 2, 1, 3, 0, 0, 0, 0]
    readers = [(t, last) for t, (first, last) in enumerate(lives) if last > first]
    readers += list(also_read.items()) + [(9 + step, step + 1) for step in range(4)]
    inputs = [[t for t, step in readers if step == s] for s in range(5)]
    outputs = [[t for t in range(9) if lives[t][0] == s] + [9 + s] * (s < 4) for s in range(5)]
    return MemoryProblem(graph_of(sizes, inputs, outputs, results), 6)


def load(name: str) -> OperatorGraph:
    path = GRAPHS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here; set MAPC_DATA")
    data = json.loads(path.read_text())
    index = {name: i for i, name in enumerate(data["tensors"])}
    return graph_of(
        list(data["tensors"].values()),
        [[index[t] for t in op["ins"]] for op in data["ops"]],
        [[index[t] for t in op["outs"]] for op in data["ops"]],
        [index[t] for t in data["outputs"]],
    )


# -- the oracles ------------------------------------------------------------------------------


@settings(few, max_examples=40)
@given(small_problems(max_operators=6, max_links=8))
def test_the_two_oracles_agree(problem: MemoryProblem) -> None:
    assert brute_force(problem) == dijkstra(problem)


@settings(few, max_examples=40)
@given(small_problems(max_operators=6, max_links=8))
def test_the_oracle_costs_at_least_as_much_under_more_rules(problem: MemoryProblem) -> None:
    costs = [brute_force(problem)]
    costs += [brute_force(problem, addresses=True, split_adjacent=s) for s in reversed(Split)]
    assert all(
        harder is None or (easier is not None and easier <= harder)
        for easier, harder in itertools.pairwise(costs)
    )
    by_order = [brute_force(problem, order=order) for order in all_orders(problem.graph)]
    assert min(cost for cost in by_order if cost is not None) == costs[0]


# -- the model against them -------------------------------------------------------------------


@few
@given(tiny)
def test_published_model_meets_brute_force(problem: MemoryProblem) -> None:
    expected = brute_force(problem, addresses=True, split_adjacent=Split.COPIED)
    assert optimum(problem) == expected


@few
@given(tiny, st.booleans())
def test_with_reload_at_once_it_is_the_memory_problem(
    problem: MemoryProblem, capacity_rows: bool
) -> None:
    expected = brute_force(problem, addresses=True, split_adjacent=True)
    found = optimum(problem, reload_at_once=True, capacity_rows=capacity_rows)
    assert found == expected


@few
@given(small_problems(max_operators=6, max_links=8))
def test_without_addresses_it_is_the_relaxation(problem: MemoryProblem) -> None:
    assert optimum(problem, addresses=False) == brute_force(problem)


@settings(few, max_examples=10)
@given(small_problems(min_operators=4, max_operators=4, max_links=7, max_slack=1))
def test_useless_moves_are_left_out_of_the_plan(problem: MemoryProblem) -> None:
    """Ask for the most wasteful solution: its plan is valid and moves no more than it says."""
    program, lift = cosma.lower(problem)
    cost = program.matrix.cost
    program.minimise(np.arange(len(cost)), -2 * cost)
    wasteful = solve(program)
    assume(wasteful.values is not None)  # the published model may have no solution
    assert wasteful.values is not None
    plan = lift(wasteful)
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    assert verdict.objective is not None
    assert verdict.objective <= cost @ wasteful.values
    # every residency begins and ends with a use
    step = np.empty_like(plan.order)
    step[plan.order] = np.arange(len(plan.order))
    touched = problem.graph.touched
    uses = set(zip(touched.values.tolist(), step[touched.row_of].tolist(), strict=True))
    assert set(zip(plan.tensor.tolist(), plan.start.tolist(), strict=True)) <= uses
    assert set(zip(plan.tensor.tolist(), (plan.stop - 1).tolist(), strict=True)) <= uses


@pytest.mark.parametrize(
    ("results", "also_read", "costs"),
    [
        # brute force: without addresses, always, if copied, never
        ([], {}, (0, 2, 4, 4)),
        ([1], {}, (0, 2, 3, 4)),
        ([6], {}, (0, 2, 2, 4)),
        ([3], {}, (0, 2, 2, 2)),
        ([], {3: 2}, (0, 2, None, None)),
    ],
)
def test_where_addresses_decide(
    results: list[int], also_read: dict[int, int], costs: tuple[int | None, ...]
) -> None:
    problem = knot(results, also_read)
    splits = (Split.ALWAYS, Split.COPIED, Split.NEVER)
    placed = [brute_force(problem, addresses=True, split_adjacent=s) for s in splits]
    assert (brute_force(problem), *placed) == costs
    assert optimum(problem, addresses=False) == costs[0]
    assert optimum(problem, reload_at_once=True) == costs[1]
    assert optimum(problem) == costs[2]


@pytest.mark.parametrize(("name", "extra"), [("hf_bert", 786_432), ("tv_r2plus1d_18", 51_380_224)])
def test_real_networks_at_their_smallest_capacity(name: str, extra: int) -> None:
    # 768 KiB and 50176 KiB: what the gap model and the forced spans say
    graph = load(name)
    assert optimum(MemoryProblem(graph, MemoryProblem(graph).smallest_capacity)) == extra


# -- size and shape ---------------------------------------------------------------------------


def test_densenet_is_built_small() -> None:
    graph = load("tv_densenet121")
    program, _ = cosma.lower(MemoryProblem(graph, MemoryProblem(graph).smallest_capacity))
    figures = program.statistics()
    # a model without windows has over a million rows and 19 million coefficients
    assert figures["rows"] < 60_000
    assert figures["columns"] < 40_000
    assert figures["nonzeros"] < 250_000
    assert program.integral


def test_sizes_are_divided_by_their_gcd() -> None:
    small, _ = cosma.lower(MemoryProblem(chain([3, 2, 5, 1], workspace=1), 9))
    large, _ = cosma.lower(MemoryProblem(chain([192, 128, 320, 64], workspace=64), 9 * 64 + 63))
    np.testing.assert_array_equal(small.matrix.coefficients, large.matrix.coefficients)
    np.testing.assert_array_equal(small.matrix.upper, large.matrix.upper)
    np.testing.assert_array_equal(64 * small.matrix.cost, large.matrix.cost)


def test_room_beyond_everything_does_not_loosen_the_model() -> None:
    graph = chain([3, 2, 5, 1], workspace=4)
    enough, _ = cosma.lower(MemoryProblem(graph, 15))
    plenty, _ = cosma.lower(MemoryProblem(graph, 10**12))
    np.testing.assert_array_equal(enough.matrix.coefficients, plenty.matrix.coefficients)
    np.testing.assert_array_equal(enough.matrix.row_lower, plenty.matrix.row_lower)


def test_a_chain_needs_no_pairs_beyond_its_neighbours() -> None:
    program, _ = cosma.lower(MemoryProblem(chain([1] * 7), 2))
    pairs = next(block for block in program.blocks if block.name == "above")
    assert pairs.size == 6


def test_a_retrieval_counts_only_spills_up_to_its_step() -> None:
    # t1 is made at step 0 and read at steps 1 and 4: spills at 1 to 3, retrievals at 2 to 4
    steps = [[0], [1], [2], [3], [4, 1]]
    graph = graph_of([1] * 6, steps, [[t] for t in range(1, 6)], [5])
    program, _ = cosma.lower(MemoryProblem(graph, 3))
    spill, retrieve = (
        next(b for b in program.blocks if b.name == n) for n in ("spill", "retrieve")
    )
    rows = next(rows for rows in program.row_blocks if rows.name == "copy before retrieval")
    matrix = program.matrix
    first, *_, last = bounds = matrix.indptr[rows.start : rows.start + rows.size + 1]
    found = np.split(matrix.indices[first:last], bounds[1:-1] - first)
    expected = [[retrieve[i], *spill[: min(i + 2, 3)]] for i in range(3)]
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]


def test_rows_are_named_after_operators_and_tensors() -> None:
    program, _ = cosma.lower(MemoryProblem(chain([3, 2, 5, 1]), 9))
    assert program.row_name(1) == "operator runs once[o1]"


# -- refusals ---------------------------------------------------------------------------------


def test_an_operator_that_does_not_fit_is_named() -> None:
    with pytest.raises(InfeasibleError, match=r"'o1' needs 8 bytes at once, the scratchpad has 7"):
        cosma.lower(MemoryProblem(chain([3, 2, 5, 1], workspace=1), 7))


def test_a_capacity_is_needed() -> None:
    with pytest.raises(UsageError, match="no scratchpad size"):
        cosma.lower(MemoryProblem(chain([3, 2])))


def test_too_many_pairs_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = MemoryProblem(chain([1] * 7), 2)
    monkeypatch.setattr(cosma_addresses, "MAX_PAIRS", 6)
    cosma.lower(problem)
    monkeypatch.setattr(cosma_addresses, "MAX_PAIRS", 5)
    with pytest.raises(UsageError, match=r"6 pairs .* at most 5 .* another formulation"):
        cosma.lower(problem)


def test_only_solutions_with_addresses_become_plans() -> None:
    problem = MemoryProblem(chain([3, 2]), 5)
    _, lift = cosma.lower(problem)
    with pytest.raises(UsageError, match="no solution to lift"):
        lift(Solution(Status.UNKNOWN, Stop.TIME))
    program, lift = cosma.lower(problem, addresses=False)
    with pytest.raises(UsageError, match="relaxation"):
        lift(solve(program))
