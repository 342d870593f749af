from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.errors import InfeasibleError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.checks.precheck import check_possible, fewest_moves
from mapc.models.placement.problem import EQUAL, NONE, PlacementProblem
from oracles.placement_cases import brute_force, problems

OLD = np.array([[[0, 1], [2, 3]]])


def problem_with(**changes: Any) -> PlacementProblem:
    """One layer, four experts on two ranks of two slots."""
    given: dict[str, Any] = {
        "name": "case",
        "counts": np.array([[[8, 2, 1, 1]]]),
        "profiles": ("p",),
        "weight": np.ones(1),
        "scale": np.ones(1),
        "cluster": DeviceGraph.cluster([2], 1000, 1.0, 1.0),
        "slots": 2,
    }
    return PlacementProblem(**{**given, **changes})


def triples(*rows: tuple[int, int, int]) -> Any:
    return np.array(rows, dtype=np.int64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"forbidden": triples((0, 0, 1), (0, 1, 1), (0, 2, 1))},
            "layer 0, rank 'rank1': 1 experts are allowed there, for 2 slots",
        ),
        (
            {"pinned": triples((0, 0, 0), (0, 0, 1)), "layer_ids": np.array([3])},
            "layer 0 (layer 3 of the model): pins leave 2 slots for 3 experts",
        ),
        (
            {"current": OLD, "max_moves": 1, "pinned": triples((0, 0, 1), (0, 2, 0))},
            "the rules take at least 2 moves from the placement in force, above the budget 1",
        ),
        (
            {"max_imbalance": 1.3},
            "profile 'p', layer 0: expert 0 alone makes 1.33333 times the mean load with the most "
            "replicas it can have, 1; the limit is 1.3",
        ),
    ],
)
def test_what_is_impossible(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        check_possible(problem_with(**changes))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_imbalance": 4 / 3},
        {"slots": 3, "max_imbalance": 1.0},
        {"forbidden": triples((0, 0, 1), (0, 1, 1))},
        {"pinned": triples((0, 0, 0), (0, 0, 0))},
        {"current": OLD, "max_moves": 0},
        {"current": OLD, "max_moves": 2, "pinned": triples((0, 0, 1), (0, 2, 0))},
    ],
)
def test_what_is_not(changes: dict[str, Any]) -> None:
    check_possible(problem_with(**changes))


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({}, 0),
        ({"current": OLD}, 0),
        ({"current": np.array([[[0, -1], [2, 3]]])}, 1),
        ({"current": np.array([[[0, 1], [-1, -1]]])}, 2),
        ({"current": OLD, "pinned": triples((0, 0, 1))}, 1),
        ({"current": OLD, "forbidden": triples((0, 0, 0))}, 1),
        ({"current": np.array([[[0, 1, 2], [0, 1, 3]]]), "slots": 3}, 0),
        ({"current": np.array([[[0, 1, 2], [0, 1, -1]]]), "slots": 3}, 1),
    ],
)
def test_fewest_moves(changes: dict[str, Any], moves: int) -> None:
    assert fewest_moves(problem_with(**changes)) == moves


def test_experts_lost_with_their_rank_move() -> None:
    cluster = DeviceGraph.cluster([3], 1000, 1.0, 1.0)
    old = np.array([[[0, 1], [2, 0], [3, 1]]])
    dead = np.array([False, False, True])
    assert fewest_moves(problem_with(cluster=cluster, current=old, dead=dead)) == 1


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    problems(
        experts=3, dispatch=EQUAL, traffic=NONE, activated=False, rules=True, max_imbalance=None
    )
)
def test_nothing_possible_is_refused(problem: PlacementProblem) -> None:
    best = brute_force(problem)
    try:
        check_possible(problem)
    except InfeasibleError:
        assert best is None
    if best is not None and problem.current is not None:
        old, new = problem.current, best.plan.slots
        moved = sum(
            len(set(new[at].tolist()) - set(old[at].tolist()) - {-1})
            for at in np.ndindex(*new.shape[:2])
        )
        assert fewest_moves(problem) <= moved
