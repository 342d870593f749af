"""The verifier accepts what is right and names every kind of wrong."""

from dataclasses import replace

import numpy as np
import pytest

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options import Options
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


# -- options -------------------------------------------------------------------------------------


def with_options(problem: MemoryProblem, rows: list, streamed: list, **options: object) -> list:
    plan = replace(plan_of(rows), streamed=np.array(streamed, dtype=np.int64).reshape(-1, 2))
    return list(verify(replace(problem, options=Options(**options)), plan).violations)


STREAMED = [SPILLED[0], SPILLED[1], *SPILLED[3:]]  # t is not there for c


def test_streamed_reads_need_permission_and_a_copy(problem: MemoryProblem) -> None:
    allowed = {"streamable": ((2, 1),)}
    assert with_options(problem, STREAMED, [(2, 1)], **allowed) == []
    says = with_options(problem, STREAMED, [(2, 1)])
    assert any("which may not stream it" in line for line in says)
    says = with_options(problem, STREAMED, [], **allowed)
    assert any("'c' at step 2: tensor 't' not resident" in line for line in says)
    says = with_options(problem, STREAMED, [(2, 1), (2, 1)], **allowed)
    assert any("twice" in line for line in says)
    unwritten = change(STREAMED, 1, written=False)
    says = with_options(problem, unwritten, [(2, 1)], **allowed)
    assert any("streamed at step 2 without an off-chip copy" in line for line in says)
    # written by a residency that has not ended: nobody says that the copy is there
    lasting = change(KEPT, 1, written=True)
    says = with_options(problem, lasting, [(2, 1)], **allowed)
    assert any("streamed at step 2 without an off-chip copy" in line for line in says)


def test_streamed_reads_and_costs_are_counted(problem: MemoryProblem) -> None:
    options = Options(read_cost=2, write_cost=3, stream_cost=5, streamable=((2, 1),))
    dear = replace(problem, options=options)
    plan = replace(plan_of(STREAMED), streamed=np.array([(2, 1)]))
    verdict = verify(dear, plan)
    assert verdict.objective == 4 * 3 + 4 * 5
    assert verdict.facts["streamed_bytes"] == verdict.facts["spilled_bytes"] == 4
    assert verify(dear, plan_of(SPILLED)).objective == 4 * 3 + 4 * 2


def test_a_source_that_all_may_stream_has_the_cheaper_way_for_free(problem: MemoryProblem) -> None:
    plan = replace(plan_of(KEPT[1:]), streamed=np.array([(0, 0)]))
    for cost, loaded, streamed in ((1, 4, 0), (3, 0, 4)):
        options = Options(read_cost=2, stream_cost=cost, streamable=((0, 0),))
        free = replace(problem, options=options)
        assert verify(free, plan_of(KEPT)).objective == loaded
        assert verify(free, plan).objective == streamed
        assert verify(free, plan).facts["compulsory_bytes"] == 8


IN_PLACE = [(0, 0, 1, 0, False), (1, 0, 3, 4, False), (2, 1, 3, 0, False), (3, 2, 3, 0, True)]


def test_only_a_pair_at_one_address_may_overlap(problem: MemoryProblem) -> None:
    """At step 2, y (4 bytes at 0) lies where u does."""
    pair = {"in_place": ((2, 2, 3),)}
    assert with_options(problem, IN_PLACE, [], **pair) == []
    for other in ({}, {"in_place": ((2, 1, 3),)}, {"in_place": ((0, 0, 1),)}):
        assert any("overlaps" in line for line in with_options(problem, IN_PLACE, [], **other))
    moved = change(IN_PLACE, 3, address=2)
    assert any("overlaps" in line for line in with_options(problem, moved, [], **pair))
    # x is read by the first operator alone; one step longer, and t would overwrite it
    longer = [(0, 0, 2, 0, False), (1, 0, 3, 0, False), (2, 1, 3, 4, False), (3, 2, 3, 8, True)]
    says = with_options(problem, longer, [], in_place=((0, 0, 1),))
    assert any("step 0: overlaps" in line for line in says)
    assert with_options(problem, change(longer, 0, stop=1), [], in_place=((0, 0, 1),)) == []


def test_two_outputs_do_not_take_over_one_input() -> None:
    graph = OperatorGraph(
        name="split",
        operator_names=("a",),
        operator_kinds=("any",),
        workspace=np.array([0]),
        inputs=Ragged.of([[0]]),
        outputs=Ragged.of([[1, 2]]),
        tensor_names=("x", "y", "z"),
        tensor_bytes=np.array([4, 4, 4]),
        is_output=np.array([False, True, True]),
        is_constant=np.zeros(3, dtype=np.bool_),
    )
    problem = MemoryProblem(graph, 8, options=Options(in_place=((0, 0, 1), (0, 0, 2))))

    def plan(address: int) -> MemoryPlan:
        return MemoryPlan(
            order=np.array([0]),
            tensor=np.arange(3),
            start=np.zeros(3, dtype=np.int64),
            stop=np.ones(3, dtype=np.int64),
            address=np.array([0, 0, address]),
            written=np.array([False, True, True]),
            workspace_address=np.array([-1]),
        )

    assert problem.smallest_capacity == 8
    assert verify(problem, plan(4)).violations == ()
    assert any("overlaps" in line for line in verify(problem, plan(0)).violations)


def test_a_tensor_of_no_bytes_takes_over_nothing() -> None:
    graph = OperatorGraph(
        name="flag",
        operator_names=("a",),
        operator_kinds=("any",),
        workspace=np.array([0]),
        inputs=Ragged.of([[0]]),
        outputs=Ragged.of([[1, 2]]),
        tensor_names=("x", "flag", "y"),
        tensor_bytes=np.array([4, 0, 4]),
        is_output=np.array([False, False, True]),
        is_constant=np.zeros(3, dtype=np.bool_),
    )
    plan = MemoryPlan(
        order=np.array([0]),
        tensor=np.arange(3),
        start=np.zeros(3, dtype=np.int64),
        stop=np.ones(3, dtype=np.int64),
        address=np.zeros(3, dtype=np.int64),
        written=np.array([False, False, True]),
        workspace_address=np.array([-1]),
    )
    problem = MemoryProblem(graph, 4, options=Options(in_place=((0, 0, 1), (0, 0, 2))))
    assert verify(problem, plan).violations == ()


def test_a_larger_output_needs_the_room_above_its_input() -> None:
    graph = OperatorGraph(
        name="grow",
        operator_names=("a",),
        operator_kinds=("any",),
        workspace=np.array([3]),
        inputs=Ragged.of([[0]]),
        outputs=Ragged.of([[1]]),
        tensor_names=("x", "y"),
        tensor_bytes=np.array([4, 6]),
        is_output=np.array([False, True]),
        is_constant=np.zeros(2, dtype=np.bool_),
    )
    problem = MemoryProblem(graph, 9, options=Options(in_place=((0, 0, 1),)))
    for address, fits in ((6, True), (4, False)):
        plan = MemoryPlan(
            order=np.array([0]),
            tensor=np.arange(2),
            start=np.zeros(2, dtype=np.int64),
            stop=np.ones(2, dtype=np.int64),
            address=np.zeros(2, dtype=np.int64),
            written=np.array([False, True]),
            workspace_address=np.array([address]),
        )
        assert (verify(problem, plan).violations == ()) is fits


def test_pinned_tensors_are_there_from_first_to_last_step(problem: MemoryProblem) -> None:
    roomy = replace(problem, capacity=18)
    rows = [(0, 0, 3, 14, False), *KEPT[1:]]
    assert with_options(roomy, rows, [], pinned=(0,)) == []
    for broken in (change(rows, 0, stop=2), change(rows, 0, start=0, stop=1), rows[1:]):
        says = with_options(roomy, broken, [], pinned=(0,))
        assert any("'x': pinned, but not resident" in line for line in says)


def test_loads_begin_early_enough(problem: MemoryProblem) -> None:
    """At distance 1 t may not come back at step 2, at which it is read; x may at step 0."""
    says = with_options(problem, SPILLED, [], prefetch=1)
    assert says == ["tensor 't': loaded at step 2 for step 2, not 1 steps before"]
    early = [SPILLED[0], change(SPILLED, 1, stop=1)[1], change(SPILLED, 2, start=1)[2], SPILLED[3]]
    says = with_options(problem, [*early, SPILLED[4]], [], prefetch=1)
    # back at step 1 for step 1, for which it would have had to come before it left
    assert says == ["tensor 't': loaded at step 1 for step 1, not 1 steps before"]
    assert with_options(problem, KEPT, [], prefetch=1) == []
    assert with_options(problem, KEPT, [], prefetch=9) == []
