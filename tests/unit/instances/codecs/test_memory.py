"""Options of memory problems, and streamed operands of plans, in files."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mapc import instances
from mapc.errors import InstanceError
from mapc.instances import documents
from mapc.models.memory.options import Options
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from oracles.memory_cases import chain_with_skip

EVERY = Options(2, 3, 1, (), ((3, 0),), ((2, 1, 2), (3, 2, 3)), 1)
PLAN = MemoryPlan(
    order=np.arange(4),
    tensor=np.array([0, 1, 2, 3]),
    start=np.array([0, 1, 2, 3]),
    stop=np.array([2, 3, 4, 4]),
    address=np.array([0, 5, 5, 5]),
    written=np.array([True, False, False, True]),
    workspace_address=np.full(4, -1),
    streamed=np.array([[3, 0]]),
)


@pytest.fixture
def problem() -> MemoryProblem:
    return replace(chain_with_skip(capacity=20), options=EVERY)


def test_options_and_streamed_operands_come_back(problem: MemoryProblem, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    instances.write_plan(problem, PLAN, path)
    read, plan, _ = instances.read_plan(path)
    assert read.options == EVERY
    assert plan == PLAN
    assert documents.content_hash(read) == documents.content_hash(problem)


def test_each_option_is_part_of_what_a_problem_says(problem: MemoryProblem) -> None:
    others = [{"read_cost": 1}, {"write_cost": 0}, {"stream_cost": None}, {"streamable": ()}]
    others += [{"in_place": EVERY.in_place[:1]}, {"prefetch": 0}]
    hashes = {
        documents.content_hash(replace(problem, options=replace(EVERY, **other)))
        for other in [{}, *others]
    }
    assert len(hashes) == 1 + len(others)


def test_files_without_options_stay_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    instances.write_instance(chain_with_skip(capacity=20), path)
    assert "options" not in msgspec.json.decode(path.read_bytes())["problem"]
    assert instances.read(path).plain


@pytest.mark.parametrize(
    ("section", "value", "says"),
    [
        ("pinned", [0], "tensor 't0'"),
        ("pinned", [9], "index 9"),
        ("streamable", [[0, 1]], "'o0' with 't1'"),
        ("streamable", [[3, 0], [3, 0]], "twice"),
        ("in_place", [[2, 2, 1]], "'o2' with 't2', 't1'"),
        ("in_place", [[7, 2, 1]], "index 7"),
        ("read_cost", 1001, "1000"),
        ("prefetch", -1, "0"),
    ],
)
def test_what_does_not_fit_the_graph_is_refused_in_one_line(
    problem: MemoryProblem, tmp_path: Path, section: str, value: object, says: str
) -> None:
    path = tmp_path / "instance.json"
    instances.write_instance(problem, path)
    document = msgspec.json.decode(path.read_bytes())
    document["problem"]["options"][section] = value
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(InstanceError, match=says) as caught:
        instances.read(path)
    assert "\n" not in str(caught.value)


def test_a_plan_that_streams_at_no_operator_is_refused(
    problem: MemoryProblem, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    instances.write_plan(problem, PLAN, path)
    document = msgspec.json.decode(path.read_bytes())
    document["plan"]["streamed"] = [[4, 0]]
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(InstanceError, match="streamed"):
        instances.read_plan(path)


def test_operators_that_run_again_come_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    problem = replace(chain_with_skip(capacity=20), options=Options(recompute=((0, 7), (2, 0))))
    plan = replace(
        PLAN,
        order=np.array([0, 1, 2, 0, 3]),
        workspace_address=np.full(5, -1),
        workspace_bank=np.zeros(5, dtype=np.int64),
        streamed=np.array([[4, 0]]),
    )
    instances.write_plan(problem, plan, path)
    read, found, _ = instances.read_plan(path)
    assert read.options.recompute == ((0, 7), (2, 0))
    assert found == plan
    others = [replace(problem, options=Options(recompute=pairs)) for pairs in (((0, 7),), ())]
    hashes = {documents.content_hash(one) for one in (problem, *others)}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("problem", "recompute", [[4, 1]], "index 4"),
        ("problem", "recompute", [[0, 1], [0, 2]], "0 twice"),
        ("problem", "recompute", [[0, -1]], "recompute"),
        ("problem", "recompute", [], "instance_sha256"),
        ("plan", "order", [0, 1, 2], "order"),
        ("plan", "order", [0, 1, 2, 4, 3], "order"),
        ("plan", "workspace_address", [-1, -1, -1, -1], "workspace_address"),
        ("plan", "streamed", [[5, 0]], "streamed"),
    ],
)
def test_runs_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, section: str, key: str, value: object, says: str
) -> None:
    path = tmp_path / "plan.json"
    problem = replace(chain_with_skip(capacity=20), options=Options(recompute=((0, 7),)))
    plan = replace(
        PLAN,
        order=np.array([0, 1, 2, 0, 3]),
        workspace_address=np.full(5, -1),
        workspace_bank=np.zeros(5, dtype=np.int64),
    )
    instances.write_plan(problem, plan, path)
    document = msgspec.json.decode(path.read_bytes())
    where = document["plan"] if section == "plan" else document["instance"]["problem"]["options"]
    where[key] = value
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(InstanceError, match=says) as caught:
        instances.read_plan(path)
    assert "\n" not in str(caught.value)
