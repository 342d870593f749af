"""The verifier accepts what is right and names every kind of wrong."""

from dataclasses import replace

import numpy as np
import pytest

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify


@pytest.fixture
def problem() -> MemoryProblem:
    """x -> a -> t -> b -> u -> c(u, t) -> y, all 4 bytes; c has a workspace of 2."""
    graph = OperatorGraph(
        name="diamond",
        operator_names=("a", "b", "c"),
        operator_kinds=("any",) * 3,
        workspace=np.array([0, 0, 2]),
        inputs=Ragged.of([[0], [1], [2, 1]]),
        outputs=Ragged.of([[1], [2], [3]]),
        tensor_names=("x", "t", "u", "y"),
        tensor_bytes=np.array([4, 4, 4, 4]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.zeros(4, dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity=14)


def plan_of(rows: list[tuple[int, int, int, int, bool]], workspace: int = 12) -> MemoryPlan:
    columns = list(zip(*rows, strict=True))
    return MemoryPlan(
        order=np.array([0, 1, 2]),
        tensor=np.array(columns[0]),
        start=np.array(columns[1]),
        stop=np.array(columns[2]),
        address=np.array(columns[3]),
        written=np.array(columns[4]),
        workspace_address=np.array([-1, -1, workspace]),
    )


KEPT = [(0, 0, 1, 0, False), (1, 0, 3, 4, False), (2, 1, 3, 0, False), (3, 2, 3, 8, True)]
SPILLED = [
    (0, 0, 1, 0, False),
    (1, 0, 2, 4, True),
    (1, 2, 3, 8, False),
    (2, 1, 3, 0, False),
    (3, 2, 3, 4, True),
]


def test_a_plan_without_extra_traffic(problem: MemoryProblem) -> None:
    verdict = verify(problem, plan_of(KEPT))
    assert verdict.violations == ()
    assert verdict.objective == 0
    assert verdict.facts["compulsory_bytes"] == 8 == problem.compulsory
    assert verdict.facts["peak_bytes"] == 14


def test_a_spill_and_a_reload_are_counted_once_each(problem: MemoryProblem) -> None:
    verdict = verify(problem, plan_of(SPILLED))
    assert verdict.violations == ()
    assert verdict.objective == 8
    assert verdict.facts["spilled_bytes"] == verdict.facts["reloaded_bytes"] == 4


def test_a_second_write_of_an_output_and_an_idle_load_are_extra(problem: MemoryProblem) -> None:
    rows = [*KEPT, (0, 1, 2, 8, False)]
    assert verify(problem, plan_of(rows)).objective == 4


def change(rows: list, at: int, **new: object) -> list:
    names = ("tensor", "start", "stop", "address", "written")
    row = dict(zip(names, rows[at], strict=True)) | new
    return [*rows[:at], tuple(row.values()), *rows[at + 1 :]]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (change(KEPT, 1, address=2), "overlaps"),
        (change(KEPT, 3, address=11), "overlaps"),
        (change(KEPT, 3, address=-4), "not aligned and >= 0"),
        (change(KEPT, 1, stop=2), "'c' at step 2: tensor 't' not resident"),
        (change(KEPT, 3, written=False), "never written out"),
        (KEPT[:3], "never written out"),
        (KEPT[1:], "'a' at step 0: tensor 'x' not resident"),
        (change(SPILLED, 1, written=False), "loaded at step 2 without an off-chip copy"),
        (change(KEPT, 2, start=0), "tensor 'u': loaded at step 0 without an off-chip copy"),
        ([*KEPT, (1, 1, 2, 8, False)], "resident twice"),
        (change(KEPT, 0, stop=0), "outside the steps"),
        (change(KEPT, 0, stop=4), "outside the steps"),
        (change(KEPT, 0, tensor=9), "outside 0 to 3"),
    ],
)
def test_each_broken_rule_is_named(problem: MemoryProblem, rows: list, says: str) -> None:
    verdict = verify(problem, plan_of(rows))
    assert any(says in line for line in verdict.violations), verdict.violations


def test_workspace_needs_room_of_its_own(problem: MemoryProblem) -> None:
    says = verify(problem, plan_of(KEPT, workspace=10)).violations
    assert any("workspace of step 2" in line and "overlaps" in line for line in says)
    says = verify(problem, plan_of(KEPT, workspace=13)).violations
    assert any("ends at 15, capacity 14" in line for line in says)
    assert verify(problem, plan_of(KEPT, workspace=-1)).violations


def test_capacity_and_alignment_are_checked(problem: MemoryProblem) -> None:
    assert any(
        "capacity 13" in line
        for line in verify(replace(problem, capacity=13), plan_of(KEPT)).violations
    )
    aligned = replace(problem, alignment=8, capacity=64)
    assert any("not aligned" in line for line in verify(aligned, plan_of(KEPT)).violations)


def test_an_order_against_the_data_is_refused(problem: MemoryProblem) -> None:
    plan = replace(plan_of(KEPT), order=np.array([1, 0, 2]))
    assert any(
        "before 'a' has produced" in v or "before operator 'a'" in v
        for v in verify(problem, plan).violations
    )
    plan = replace(plan_of(KEPT), order=np.array([0, 0, 2]))
    assert "does not run each" in verify(problem, plan).violations[0]


def test_columns_of_unequal_length_are_refused(problem: MemoryProblem) -> None:
    plan = replace(plan_of(KEPT), written=np.array([True]))
    assert "written has 1 entries" in verify(problem, plan).violations[0]
    plan = replace(plan_of(KEPT), workspace_address=np.array([], dtype=np.int64))
    assert "workspace_address" in verify(problem, plan).violations[0]


def test_many_violations_end_with_a_hint(problem: MemoryProblem) -> None:
    rows = [(0, 0, 1, 0, False)] + [(1, 1, 2, 0, False)] * 40
    verdict = verify(problem, plan_of(rows))
    assert verdict.violations[-1] == "... and more"
    assert len(verdict.violations) <= 21
