from __future__ import annotations

import pytest

from mapc.errors import InstanceError
from mapc.graph.operators import Ragged
from mapc.instances.sensitivity.building import Choice, Group, build_problem

GROUPS = [
    Group("a", [Choice("int4", 2.0, (4, 1)), Choice("int8", 1.0, (8, 2))], weights=1),
    Group("b", [Choice("bf16", 0.0, (16, 3), allowed=True), Choice("int4", 5.0, (4, 1), False)]),
]


def test_rows_become_columns() -> None:
    problem = build_problem(
        "p",
        GROUPS,
        resources=("size", "time"),
        units=("bits", "us"),
        budget={"time": 7},
        ties=Ragged.of([]),
        provenance={"source": "x"},
    )
    assert problem.formats == ("int4", "int8", "bf16")
    assert problem.start.tolist() == [0, 2, 4]
    assert problem.format_of.tolist() == [0, 1, 2, 0]
    assert problem.loss.tolist() == [2.0, 1.0, 0.0, 5.0]
    assert problem.cost.tolist() == [[4, 8, 16, 4], [1, 2, 3, 1]]
    assert problem.budget == (None, 7)
    assert problem.weights.tolist() == [1, 0]
    assert problem.allowed.tolist() == [True, True, True, False]
    assert problem.provenance == {"source": "x"}


def test_a_problem_without_resources_is_one() -> None:
    groups = [Group("a", [Choice("int4", 2.0, ())])]
    assert build_problem("p", groups, resources=(), units=()).cost.shape == (0, 1)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            Group("a", [Choice("int4", 0.0, (2**50 + 1,))]),
            "format 'int4': size cost 1125899906842625",
        ),
        (
            Group("a", [Choice("int4", 0.0, (2**70,))]),
            "format 'int4': size cost 1180591620717411303424",
        ),
        (Group("a", [Choice("int4", 0.0, (-1,))]), "format 'int4': size cost -1"),
        (Group("a", [Choice("int4", 0.0, (1,))], weights=2**70), "weights 1180591620717411303424"),
        (Group("a", [Choice("int4", -1.0, (1,))]), "-1.0"),
        (Group("a", [Choice("int4", float("nan"), (1,))]), "nan"),
        (Group("a", []), "a"),
        (Group("a", [Choice("int4", 0.0, (1,), allowed=False)]), "a"),
        (Group("a", [Choice("int4", 0.0, (1,)), Choice("int4", 0.0, (1,))]), "int4"),
    ],
)
def test_groups_that_make_no_problem_are_refused(group: Group, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        build_problem("p", [group], resources=("size",), units=("bits",))
    assert message in str(caught.value)
    assert "'a'" in str(caught.value)


def test_budgets_need_their_resource() -> None:
    with pytest.raises(InstanceError, match="budget 'time': no such resource; expected size"):
        build_problem(
            "p",
            [Group("a", [Choice("int4", 0.0, (1,))])],
            resources=("size",),
            units=("bits",),
            budget={"time": 1},
        )
