"""The verifier on plans that run operators again: what they may do, and what breaks them."""

from dataclasses import replace

import numpy as np
import pytest

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options import Options
from mapc.models.memory.plan import MemoryPlan, runs_of
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify

GRAPH = OperatorGraph(
    name="skip",
    operator_names=("o0", "o1", "o2"),
    operator_kinds=("any",) * 3,
    workspace=np.array([2, 0, 0]),
    inputs=Ragged.of([[0], [1], [2, 1]]),
    outputs=Ragged.of([[1], [2], [3]]),
    tensor_names=("x", "a", "b", "y"),
    tensor_bytes=np.array([1, 4, 6, 1]),
    is_output=np.array([False, False, False, True]),
    is_constant=np.zeros(4, dtype=np.bool_),
)
PROBLEM = MemoryProblem(GRAPH, 13, options=Options(recompute=((0, 3),)))
PLAN = MemoryPlan(
    order=np.array([0, 1, 0, 2]),
    tensor=np.array([0, 1, 2, 1, 3]),
    start=np.array([0, 0, 1, 2, 3]),
    stop=np.array([3, 2, 4, 4, 4]),
    address=np.array([0, 1, 7, 3, 0]),
    written=np.array([False, False, False, False, True]),
    workspace_address=np.array([5, -1, -1, 1]),
)


def test_a_further_run_makes_a_tensor_again_at_its_cost() -> None:
    verdict = verify(PROBLEM, PLAN)
    assert verdict.violations == ()
    assert verdict.objective == 3
    assert verdict.facts["recomputed_bytes"] == 4
    assert verdict.facts["reloaded_bytes"] == verdict.facts["spilled_bytes"] == 0
    assert verify(PROBLEM, PLAN).facts["peak_bytes"] == 13


def test_runs_are_numbered_by_operator_then_by_step() -> None:
    assert PLAN.runs.tolist() == [0, 1, 3, 2]
    assert runs_of(np.array([1, 0, 1, 0, 1])).tolist() == [1, 0, 2, 3, 4]


def test_what_is_there_already_is_written_again_where_it_lies() -> None:
    """The second run needs no residency of its own, and pays nevertheless."""
    wide = replace(PROBLEM, capacity=20)
    kept = replace(
        PLAN,
        tensor=np.array([0, 1, 2, 3]),
        start=np.array([0, 0, 1, 3]),
        stop=np.array([3, 4, 4, 4]),
        address=np.array([0, 1, 7, 0]),
        written=np.array([False, False, False, True]),
        workspace_address=np.array([5, -1, -1, 13]),
        bank=np.zeros(4, dtype=np.int64),
    )
    verdict = verify(wide, kept)
    assert (verdict.violations, verdict.objective) == ((), 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stop": np.array([2, 2, 4, 4, 4])}, "'o0' at step 2: tensor 'x' not resident"),
        ({"start": np.array([0, 0, 1, 3, 3])}, "'a': loaded at step 3 without an off-chip copy"),
        ({"workspace_address": np.array([5, -1, -1, 2])}, "overlaps"),
        ({"workspace_address": np.array([5, -1, -1])}, "workspace_address has not 4 entries"),
        ({"order": np.array([0, 1, 1, 2])}, "'o1': runs 2 times, and may run once"),
        ({"order": np.array([0, 1, 0, 0])}, "does not run each"),
        ({"order": np.array([0, 1, 0, 3])}, "does not run each"),
        ({"order": np.array([0, 2, 0, 1])}, "'o2' runs at step 1, before operator 'o1'"),
        ({"streamed": np.array([[3, 0]])}, "streams tensor 0 at operator 0, which may not"),
        ({"streamed": np.array([[4, 0]])}, "streams tensor 0 at run 4, of 4"),
    ],
)
def test_broken_plans(change: dict[str, np.ndarray], says: str) -> None:
    found = verify(PROBLEM, replace(PLAN, **change)).violations
    assert any(says in line for line in found), found


def test_without_the_option_operators_run_once() -> None:
    assert "does not run each" in verify(replace(PROBLEM, options=Options()), PLAN).violations[0]


def test_each_run_streams_by_itself() -> None:
    """x leaves after the first run and is streamed to the second: one byte more."""
    options = Options(recompute=((0, 3),), streamable=((0, 0),))
    problem = replace(PROBLEM, options=options)
    plan = replace(PLAN, stop=np.array([1, 2, 4, 4, 4]), streamed=np.array([[3, 0]]))
    verdict = verify(problem, plan)
    assert (verdict.violations, verdict.objective) == ((), 4)
    first = replace(plan, streamed=np.array([[0, 0]]))
    assert "'o0' at step 2: tensor 'x' not resident" in verify(problem, first).violations[0]
