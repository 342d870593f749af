"""Plans alone in a file: what comes back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.errors import InstanceError
from mapc.models.allocation.plan import AllocationPlan
from mapc.quality.plans import encode_plan, read_stored_plan

PROBLEM = mapc.generate("allocation", buffers=3, capacity=8, steps=8)
PLAN = AllocationPlan(np.array([0, 2, 4]))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_bytes(encode_plan(PROBLEM, PLAN))
    return path


def test_a_plan_comes_back(stored: Path) -> None:
    assert np.array_equal(read_stored_plan(stored, PROBLEM).offset, PLAN.offset)
    assert encode_plan(PROBLEM, read_stored_plan(stored, PROBLEM)) == stored.read_bytes()
    assert "problem" not in json.loads(stored.read_text())


@pytest.mark.parametrize("kind", ["memory", "bits", "placement", "sequence"])
def test_every_family(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "memory": {"network": "layered", "operators": 4},
        "bits": {"groups": 3},
        "placement": {"layers": 1, "experts": 4, "ranks": 2, "slots": 3},
        "sequence": {"sequences": 4, "ranks": 8, "max_length": "8K"},
    }[kind]
    problem = mapc.generate(kind, **options)
    if kind == "memory":
        problem = mapc.models.family_of(problem).with_capacity(problem, "M_R")
    result = mapc.solve(problem, time_limit=None, methods=SIMPLE[kind], backends=[])
    (tmp_path / "plan.json").write_bytes(encode_plan(problem, result.plan))
    plan = read_stored_plan(tmp_path / "plan.json", problem)
    assert mapc.models.family_of(problem).verify(problem, plan).objective == result.objective


SIMPLE = {
    "memory": ["eviction"],
    "bits": ["uniform", "greedy"],
    "placement": ["contiguous", "eplb"],
    "sequence": ["homogeneous"],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "bits"}, r"plan\.json: \$\.kind: kind 'bits'; expected allocation"),
        ({"instance_sha256": "0" * 64}, r"\$\.instance_sha256: .*is not the hash of the instance"),
        ({"plan": {"offset": [0, 2]}}, r"plan\.json: \$\.plan.*2 entries; expected 3"),
        ({"plan": {"offset": [0, 2, 1.5]}}, r"plan\.json: \$\.plan: .*int"),
        ({"schema": "mapc/plan"}, r"schema"),
        ({"more": 1}, r"more"),
    ],
)
def test_what_is_refused(stored: Path, changes: dict[str, Any], message: str) -> None:
    stored.write_text(json.dumps({**json.loads(stored.read_text()), **changes}))
    with pytest.raises(InstanceError, match=message):
        read_stored_plan(stored, PROBLEM)
