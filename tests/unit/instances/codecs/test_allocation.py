from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc import instances
from mapc.errors import InstanceError
from mapc.models.allocation.problem import AllocationProblem
from oracles.allocation_bruteforce import held_problems, problem_of


@settings(max_examples=30, deadline=None, derandomize=True)
@given(held_problems().filter(lambda problem: problem.n_buffers > 0))
def test_options_come_back(
    tmp_path_factory: pytest.TempPathFactory, problem: AllocationProblem
) -> None:
    path = tmp_path_factory.mktemp("options") / "problem.json"
    instances.write_instance(problem, path)
    again = mapc.read(path)
    assert again.held.tolist() == problem.held.tolist()
    assert again.reserved is not None
    assert problem.reserved is not None
    assert again.reserved.tolist() == problem.reserved.tolist()
    assert instances.content_hash(again) == instances.content_hash(problem)


def test_files_without_options_stay_as_they_were(tmp_path: Path) -> None:
    problem = problem_of([(0, 3, 4), (2, 9, 5)])
    instances.write_instance(problem, tmp_path / "plain.json")
    body = json.loads((tmp_path / "plain.json").read_text())["problem"]
    assert set(body) == {"capacity", "alignment", "buffers"}
    assert set(body["buffers"]) == {"name", "lower", "upper", "size"}
    again = mapc.read(tmp_path / "plain.json")
    assert again.fixed is None
    assert again.reserved is None


def test_columns_of_different_lengths_are_named(tmp_path: Path) -> None:
    problem = problem_of([(0, 3, 4), (2, 9, 5)])
    held = replace(problem, reserved=np.array([[0, 3, 8, 9]]), fixed=np.array([-1, 0]))
    path = tmp_path / "held.json"
    instances.write_instance(held, path)
    whole = json.loads(path.read_text())
    whole["problem"]["reserved"]["top"] = []
    path.write_text(json.dumps(whole))
    with pytest.raises(InstanceError, match=r"reserved\.top: 0 entries"):
        mapc.read(path)
    whole["problem"]["reserved"]["top"] = [9]
    whole["problem"]["buffers"]["fixed"] = [0]
    path.write_text(json.dumps(whole))
    with pytest.raises(InstanceError, match="fixed: 1 entries; expected 2"):
        mapc.read(path)
