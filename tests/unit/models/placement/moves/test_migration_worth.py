from __future__ import annotations

import math

import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.moves.migration_worth import steps_worth
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem, StepTime


def problem_of(**changes) -> PlacementProblem:
    """Two nodes of two ranks, one expert each of 60, 20, 10, 10 tokens, two slots."""
    given = {
        "name": "worth",
        "counts": np.array([[[60, 20, 10, 10]]]),
        "profiles": ("p",),
        "weight": np.ones(1),
        "scale": np.ones(1),
        "cluster": DeviceGraph.cluster([2, 2], 1 << 40, 100.0, 10.0),
        "slots": 2,
        "cost": StepTime(token=0.5, unit="s"),
        "expert_bytes": 1000,
        "current": np.array([[[0, 1], [1, 2], [2, 3], [3, 1]]]),
    }
    return PlacementProblem(**{**given, **changes})


GO = PlacementPlan(np.array([[[0, 1], [0, 2], [2, 3], [0, 1]]]))
"""Expert 0 also on ranks 1 (same node) and 3 (the other node)."""


def test_copies_and_savings_by_hand() -> None:
    worth = steps_worth(problem_of(), GO)
    assert (worth.moves, worth.moved_bytes) == (2, 2000)
    # rank 0 sends both: 1000 / 100 inside the node, 1000 / 10 across
    assert worth.seconds == pytest.approx(110.0)
    # the busiest rank had 60 + 20 / 3 tokens and has 20 + 20 / 2
    assert worth.saved == pytest.approx(0.5 * (60 + 20 / 3 - 30))
    assert worth.steps == pytest.approx(worth.seconds / worth.saved)


def test_a_given_bandwidth_counts_for_what_each_rank_receives() -> None:
    assert steps_worth(problem_of(), GO, bandwidth=50.0).seconds == pytest.approx(20.0)


def test_what_saves_nothing_never_pays() -> None:
    problem = problem_of()
    stay = steps_worth(problem, PlacementPlan(problem.current))
    assert (stay.moves, stay.seconds, stay.saved, stay.steps) == (0, 0.0, 0.0, math.inf)


def test_steps_need_a_cost_in_seconds() -> None:
    worth = steps_worth(problem_of(cost=StepTime(token=0.5)), GO)
    assert worth.steps is None
    assert worth.saved > 0


def test_what_lost_an_expert_cannot_serve() -> None:
    """Rank 0 dies with the only copy of expert 0, which then comes from outside."""
    dead = np.array([True, False, False, False])
    plan = PlacementPlan(np.array([[[-1, -1], [0, 2], [2, 3], [3, 1]]]))
    worth = steps_worth(problem_of(dead=dead), plan)
    assert worth.moves == 1
    assert worth.saved == math.inf
    assert worth.steps == 0.0
    assert worth.seconds == pytest.approx(1000 / 10)


@pytest.mark.parametrize(
    ("changes", "word"), [({"current": None}, "current"), ({"expert_bytes": 0}, "expert_bytes")]
)
def test_what_is_missing_is_named(changes, word) -> None:
    with pytest.raises(UsageError, match=f"^{word}: "):
        steps_worth(problem_of(**changes), GO)


def test_a_plan_that_cannot_be_replayed_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^plan: .*; expected a plan"):
        steps_worth(problem_of(), PlacementPlan(np.zeros((1, 4, 2), dtype=np.int64)))
