from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc.errors import InstanceError
from mapc.instances.documents import content_hash, parse_instance, parse_plan, write_instance
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from oracles.bits_bruteforce import problem_of, small_bits_problems

ROWS = [[(0, 4.0, (4,)), (1, 1.0, (8,))], [(0, 2.0, (4,)), (1, 0.5, (8,)), (2, 0.0, (16,))]]


def full() -> BitsProblem:
    return problem_of(
        ROWS,
        [20],
        ties=[[0, 1]],
        edges=[(0, 1, 0.5)],
        forbidden=[4],
        terms=[(0, 1, [[1.0, -2.0, 0.0], [0.5, 0.0, 1e-9]])],
    )


def same(a: BitsProblem, b: BitsProblem) -> bool:
    names = ("name", "groups", "formats", "resources", "units", "budget", "objective")
    arrays = ("start", "format_of", "loss", "cost", "weights", "allowed", "edges", "switch_loss")
    tables = [() if p.pairwise is None else p.pairwise.table for p in (a, b)]
    return (
        all(getattr(a, name) == getattr(b, name) for name in names)
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
        and np.array_equal(a.ties.start, b.ties.start)
        and np.array_equal(a.ties.values, b.ties.values)
        and len(tables[0]) == len(tables[1])
        and all(np.array_equal(s, t) for s, t in zip(*tables, strict=True))
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_bits_problems())
def test_problems_come_back_as_they_were(tmp_path_factory: Any, problem: BitsProblem) -> None:
    path = tmp_path_factory.mktemp("bits") / "case.json"
    write_instance(problem, path)
    back = mapc.read(path)
    assert same(problem, back)
    assert content_hash(back) == content_hash(problem)


def test_plans_come_back_with_their_problem(tmp_path: Path) -> None:
    problem, plan = full(), BitsPlan(np.array([0, 2]))
    path = tmp_path / "plan.json"
    mapc.write(plan, path, problem=problem)
    back, found, _ = parse_plan(path.read_bytes(), "plan.json")
    assert found == plan
    assert same(problem, back)
    document = json.loads(path.read_text())
    document["plan"]["option"].append(1)
    with pytest.raises(InstanceError, match=r"plan.json: \$.plan.option: 3 entries; expected 2"):
        parse_plan(json.dumps(document).encode(), "plan.json")


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "case.json"
    write_instance(full(), path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("options.loss", [4.0, -1.0, 2.0, 0.5, 0.0], "group 'g0', format 'int8': loss -1.0"),
        ("options.cost", [[4, 8, 4, -8, 16]], "group 'g1', format 'int8': r0 cost -8"),
        ("options.cost", [[4, 8]], "$.problem.options.cost[0]: 2 entries; expected 5"),
        ("options.cost", [], "$.problem.options.cost: 0 entries; expected 1"),
        ("options.format", [0, 1, 0, 1, 7], "group 'g1': format 7; expected 0 to 5"),
        ("options.format", [0], "$.problem.options.format: 1 entries; expected 5"),
        ("options.forbidden", [5], "$.problem.options.forbidden[0]: index 5; expected 0 to 4"),
        ("groups.options", [2, 2], "$.problem.groups.options: 4 options in all; expected 5"),
        ("groups.options", [5, 0], "group 'g1': no options"),
        ("groups.weights", [1], "$.problem.groups.weights: 1 entries; expected 2"),
        ("resources.budget", [], "$.problem.resources.budget: 0 entries; expected 1"),
        ("resources.budget", [-4], "resource 'r0': budget -4"),
        ("resources.budget", [2**70], "$.problem.resources.budget[0]"),
        ("edges.loss", [], "$.problem.edges.loss: 0 entries; expected 1"),
        ("pairwise.table", [], "$.problem.pairwise.table: 0 entries; expected 1"),
        ("pairwise.table", [[[1.0], [1.0, 2.0]]], "rows of different lengths"),
        ("pairwise.table", [[[1.0, 1.0]]], "pairwise term of 'g0' and 'g1': shape (1, 2)"),
        ("ties", [[0, 2]], "ties: group 2; expected 0 to 1"),
        ("objective", "mean", "$.problem.objective"),
    ],
)
def test_what_a_file_may_not_say(
    document: dict[str, Any], path: str, value: Any, message: str
) -> None:
    section: Any = document["problem"]
    *parents, last = path.split(".")
    for parent in parents:
        section = section[parent]
    assert last in section
    section[last] = value
    with pytest.raises(InstanceError) as caught:
        parse_instance(json.dumps(document).encode(), "case.json")
    assert str(caught.value).startswith("case.json: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_is_named_by_its_path(document: dict[str, Any]) -> None:
    document["problem"]["options"]["loss"][2] = float("nan")
    with pytest.raises(InstanceError, match=r"case.json: \$.problem.options.loss\[2\]: NaN"):
        parse_instance(json.dumps(document).encode(), "case.json")
