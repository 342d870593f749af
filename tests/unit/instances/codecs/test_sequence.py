from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc.errors import InstanceError
from mapc.instances.documents import content_hash, parse_instance, parse_plan, write_instance
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import RING, ULYSSES, GroupCost, SequenceProblem
from mapc.models.sequence.verify import verify
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


def full() -> SequenceProblem:
    """A problem that uses every field, with coefficients that decimals do not end."""
    modes = [
        (2, ULYSSES, 5.128e-6 / 3, 0.1839576 / 2, 629.3563, 8192),
        (2, RING, 1e-17, 1 / 3, 0.0, 8192),
        (4, RING, 5e-324, 0.1 + 0.2, 7.0, 16384),
    ]
    problem = problem_of(
        [9000, 1, 128], modes, n_ranks=8, node_ranks=4, padding=128, least=2, most=3
    )
    return dataclasses.replace(problem, name="full", provenance={"source": "a test", "rms_ms": 0.5})


def same(a: Any, b: Any) -> bool:
    """Whether two values of a problem are the same to the last bit."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, SequenceProblem | GroupCost):
        names = [field.name for field in dataclasses.fields(a)]
        return all(same(getattr(a, name), getattr(b, name)) for name in names)
    return bool(a == b)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_sequence_problems())
def test_problems_come_back_as_they_were(tmp_path_factory: Any, problem: SequenceProblem) -> None:
    path = tmp_path_factory.mktemp("sequence") / "case.json"
    write_instance(problem, path)
    back = mapc.read(path)
    assert same(problem, back)
    assert content_hash(back) == content_hash(problem)


def test_every_field_comes_back(tmp_path: Path) -> None:
    write_instance(full(), tmp_path / "case.json")
    assert same(mapc.read(tmp_path / "case.json"), full())


def test_only_what_it_means_changes_the_hash() -> None:
    problem = full()
    for silent in ({"name": "other"}, {"provenance": {}}):
        assert content_hash(dataclasses.replace(problem, **silent)) == content_hash(problem)
    for other in ({"most": None}, {"padding": 64}, {"node_ranks": 8}, {"least": 1}):
        assert content_hash(dataclasses.replace(problem, **other)) != content_hash(problem)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(small_sequence_problems(max_sequences=4))
def test_plans_come_back_with_their_problem(
    tmp_path_factory: Any, problem: SequenceProblem
) -> None:
    best = brute_force(problem)
    if best is None:
        return
    path = tmp_path_factory.mktemp("sequence") / "plan.json"
    mapc.write(best.plan, path, problem=problem)
    back, found, _ = parse_plan(path.read_bytes(), "plan.json")
    assert found == best.plan
    assert found.group.dtype == np.int64
    assert same(problem, back)
    assert verify(back, found).objective == best.step_ms


# -- what is refused -------------------------------------------------------------------------------


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    write_instance(full(), tmp_path / "case.json")
    found: dict[str, Any] = json.loads((tmp_path / "case.json").read_text())
    return found


def changed(document: dict[str, Any], path: str, value: Any) -> bytes:
    """The document with another value at a place; the text ``DROP`` leaves it out."""
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    at = result
    for name in parents:
        at = at[name]
    if value == "DROP":
        del at[last]
    else:
        at[last] = value
    return json.dumps(result).encode()


REFUSED = [
    ("problem.lengths", "DROP", "$.problem: Object missing required field `lengths`"),
    ("problem.modes.linear", "DROP", "$.problem.modes: Object missing required field `linear`"),
    ("problem.modes.speed", [1.0], "unknown field `speed`"),
    ("problem.lengths", [5, "7", 1], "Expected `int`, got `str`"),
    ("problem.lengths", [5, 1.5, 1], "Expected `int`, got `float`"),
    ("problem.lengths", [5, None, 1], "Expected `int`, got `null`"),
    ("problem.lengths", [], "no sequences"),
    ("problem.lengths", [5, 0, 1], "sequence 1: length 0; expected 1 to"),
    ("problem.lengths", [5, -3, 1], "sequence 1: length -3"),
    ("problem.lengths", [5, 2**62 + 1, 1], "Expected `int` <="),
    ("problem.lengths", [5, 999_999, 1], "sequence 1: 1000064 padded tokens fit no group"),
    ("problem.lengths", {"0": 5}, "Expected `array`, got `object`"),
    ("problem.cluster.ranks", 6, "nodes of 4 ranks"),
    ("problem.cluster.ranks", 2, "node_ranks: 4; expected an int, 1 to 2"),
    ("problem.cluster.ranks", True, "Expected `int`, got `bool`"),
    ("problem.modes.degree", [2, 2], "$.problem.modes.kind: 3 entries; expected 2"),
    ("problem.modes.degree", [2, 2, 3], "mode 2: degree 3; expected a power of two"),
    ("problem.modes.degree", [2, 2, 16], "degree 16 on a cluster of 8 ranks; expected at most 8"),
    ("problem.modes.kind", ["ulysses", "tree", "ring"], "Invalid enum value 'tree'"),
    ("problem.modes.fixed", [1.0, 2.0], "$.problem.modes.fixed: 2 entries; expected 3"),
    ("problem.modes.quadratic", [5.128, 5.128, 5.128], "take 4.9 days; expected quadratic in ms"),
    ("problem.modes.linear", [-1, 0, 0], "mode 0 (degree 2 ulysses): linear -1.0; expected a fin"),
    ("problem.modes.tokens", [64, 64, 64], "memory for 64 tokens; expected 128 (the padding)"),
    ("problem.padding", 0, "padding: 0; expected an int, 1 to"),
    ("problem.least", 4, "least: 4; expected an int, 1 to 3"),
    ("problem.most", 1, "most: 1; expected an int, 2 to"),
    ("units.time", "s", "Invalid enum value 's'"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_hostile_files_are_refused_in_one_line(
    document: dict[str, Any], path: str, value: Any, message: str
) -> None:
    with pytest.raises(InstanceError) as caught:
        parse_instance(changed(document, path, value), "case.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("case.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none(document: dict[str, Any], text: str) -> None:
    raw = json.dumps(document).replace("629.3563", text)
    assert text in raw
    with pytest.raises(InstanceError, match=r"case.json: "):
        parse_instance(raw.encode(), "case.json")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("group", [0, 0], "$.plan.group: 2 entries; expected 3"),
        ("group", [0, 0, 2], "$.plan.group[2]: index 2; expected 0 to 1"),
        ("group", [0, 0, -1], ">= 0"),
        ("mode", [0, 3], "$.plan.mode[1]: index 3; expected 0 to 2"),
        ("mode", [0], "$.plan.micro_batch: 2 entries; expected 1"),
        ("first_rank", [0], "$.plan.first_rank: 1 entries; expected 2"),
        ("degree", [0], "unknown field `degree`"),
    ],
)
def test_hostile_plans_are_refused_in_one_line(
    tmp_path: Path, column: str, value: Any, message: str
) -> None:
    columns = ([0, 1], [2, 2], [0, 0], [0, 1, 1])
    plan = SequencePlan(*(np.array(row, dtype=np.int64) for row in columns))
    mapc.write(plan, tmp_path / "plan.json", problem=full())
    document = json.loads((tmp_path / "plan.json").read_text())
    with pytest.raises(InstanceError) as caught:
        parse_plan(changed(document, f"plan.{column}", value), "plan.json")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
