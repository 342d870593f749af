from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mapc.models.sequence.plan import SequencePlan


def plan() -> SequencePlan:
    return SequencePlan(
        micro_batch=np.array([0, 0, 1]),
        mode=np.array([1, 0, 2]),
        first_rank=np.array([0, 2, 0]),
        group=np.array([0, 1, 2, 2]),
    )


def test_equal_columns_are_equal_plans() -> None:
    assert plan() == plan()
    assert plan() != "plan"


@pytest.mark.parametrize("name", ["micro_batch", "mode", "first_rank", "group"])
def test_every_column_counts(name: str) -> None:
    column = getattr(plan(), name).copy()
    column[-1] += 1
    assert dataclasses.replace(plan(), **{name: column}) != plan()


def test_is_frozen_and_no_key() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().mode = np.array([0, 0, 0])  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(plan())
