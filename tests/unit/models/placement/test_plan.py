from __future__ import annotations

import numpy as np
import pytest

from mapc.models.placement.plan import PlacementPlan

SLOTS = np.array([[[0, 1], [-1, -1], [2, 1]], [[2, 0], [-1, -1], [1, 0]]])


def test_replicas_leave_out_empty_slots() -> None:
    assert PlacementPlan(SLOTS).replicas(4).tolist() == [[1, 2, 1, 0], [2, 1, 1, 0]]


def test_plans_are_equal_by_value() -> None:
    split = np.ones((1, 2, 1, 3, 2), dtype=np.int64)
    assert PlacementPlan(SLOTS) == PlacementPlan(SLOTS.copy())
    assert PlacementPlan(SLOTS) != PlacementPlan(SLOTS[:, ::-1])
    assert PlacementPlan(SLOTS, split) == PlacementPlan(SLOTS, split.copy())
    assert PlacementPlan(SLOTS, split) != PlacementPlan(SLOTS, 2 * split)
    assert PlacementPlan(SLOTS, split) != PlacementPlan(SLOTS)
    assert PlacementPlan(SLOTS) != "a plan"


def test_plans_have_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(PlacementPlan(SLOTS))
