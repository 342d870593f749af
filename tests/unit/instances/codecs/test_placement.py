from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import InstanceError
from mapc.graph.devices import DeviceGraph
from mapc.instances.documents import content_hash, parse_instance, parse_plan, write_instance
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem, StepTime
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems, random_plan, random_split


def full() -> PlacementProblem:
    """A problem that uses every field."""
    counts = np.array([[[4, 3, 2, 1], [1, 1, 1, 1]], [[0, 0, 5, 5], [9, 1, 0, 0]]])
    return PlacementProblem(
        name="full",
        counts=counts,
        profiles=("prefill", "decode"),
        weight=np.array([0.1, 0.7]),
        scale=np.array([1 / 3, 2.0]),
        cluster=DeviceGraph.cluster([2, 2], 1 << 36, 4e11, 5e10),
        slots=2,
        cost=StepTime(1e-9, 2e-6, 3e-5, 7168.0, "busiest", True, "worst", "s"),
        traffic="home",
        dispatch="adaptive",
        transitions=np.arange(32).reshape(2, 1, 4, 4),
        sources=np.stack([counts - counts // 3, counts // 3], axis=2),
        top_k=2,
        layer_ids=np.array([3, 5]),
        model_layers=7,
        groups=2,
        expert_bytes=44040192,
        current=np.tile(np.array([[0, 1], [2, 3], [0, -1], [-1, -1]]), (2, 1, 1)),
        max_moves=5,
        pinned=np.array([[0, 1, 2]]),
        forbidden=np.array([[1, 0, 0], [1, 0, 1]]),
        dead=np.array([False, False, False, True]),
        max_imbalance=1.75,
        provenance={"source": "a test"},
    )


def same(a: Any, b: Any) -> bool:
    """Whether two values of a problem are the same to the last bit."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, PlacementProblem | DeviceGraph):
        names = [field.name for field in fields(a)]
        return all(same(getattr(a, name), getattr(b, name)) for name in names)
    return bool(a == b)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_problems_come_back_as_they_were(tmp_path_factory: Any, problem: PlacementProblem) -> None:
    path = tmp_path_factory.mktemp("placement") / "case.json"
    write_instance(problem, path)
    back = mapc.read(path)
    assert same(problem, back)
    assert content_hash(back) == content_hash(problem)


def test_every_field_comes_back(tmp_path: Path) -> None:
    write_instance(full(), tmp_path / "case.json")
    assert same(mapc.read(tmp_path / "case.json"), full())


def test_only_what_it_means_changes_the_hash() -> None:
    problem = full()
    whole = problem.replace(cost=replace(problem.cost, transfer=7168), top_k=np.int64(2))
    assert content_hash(whole) == content_hash(problem)
    assert content_hash(problem.replace(name="other", provenance={})) == content_hash(problem)
    assert content_hash(problem.replace(max_moves=4)) != content_hash(problem)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.integers(0, 2**20))
def test_plans_come_back_with_their_problem(
    tmp_path_factory: Any, problem: PlacementProblem, seed: int
) -> None:
    path = tmp_path_factory.mktemp("placement") / "plan.json"
    plan = random_plan(problem, seed)
    mapc.write(plan, path, problem=problem)
    back, found, _ = parse_plan(path.read_bytes(), "plan.json")
    assert found == plan
    assert same(problem, back)
    assert verify(back, found).objective == verify(problem, plan).objective


# -- clusters --------------------------------------------------------------------------------------


def cluster_of(problem: PlacementProblem, path: Path) -> dict[str, Any]:
    write_instance(problem, path)
    cluster: dict[str, Any] = json.loads(path.read_text())["problem"]["cluster"]
    return cluster


def linked(matrix: Any, latency: Any = None) -> DeviceGraph:
    """Four ranks in two nodes with the bandwidths of a matrix."""
    source, target = np.nonzero(matrix)
    given = np.zeros((4, 4)) if latency is None else latency
    return replace(
        DeviceGraph.cluster([2, 2], 1 << 36, 1.0, 1.0),
        link_source=source,
        link_target=target,
        bandwidth=matrix[source, target],
        latency=given[source, target],
    )


def test_two_bandwidths_are_two_numbers(tmp_path: Path) -> None:
    cluster = cluster_of(full(), tmp_path / "a.json")
    assert (cluster["intra"], cluster["inter"]) == (4e11, 5e10)
    assert cluster["bandwidth"] is None
    assert cluster["latency"] is None


def test_other_bandwidths_are_a_matrix(tmp_path: Path) -> None:
    matrix = np.arange(16.0).reshape(4, 4)
    np.fill_diagonal(matrix, 0)
    problem = full().replace(cluster=linked(matrix, matrix / 7))
    cluster = cluster_of(problem, tmp_path / "a.json")
    assert cluster["bandwidth"] == matrix.tolist()
    assert (cluster["intra"], cluster["inter"]) == (None, None)
    assert same(mapc.read(tmp_path / "a.json"), problem)


def test_missing_links_and_none_at_all(tmp_path: Path) -> None:
    some = np.zeros((4, 4))
    some[0, 3] = 2.0
    for matrix in (some, np.zeros((4, 4))):
        problem = full().replace(cluster=linked(matrix), cost=StepTime(), traffic="none")
        write_instance(problem, tmp_path / "a.json")
        assert same(mapc.read(tmp_path / "a.json"), problem)


def test_links_in_another_order_are_the_same_links(tmp_path: Path) -> None:
    cluster = full().cluster
    order = np.arange(len(cluster.bandwidth))[::-1]
    names = ("link_source", "link_target", "bandwidth", "latency")
    turned = replace(cluster, **{name: getattr(cluster, name)[order] for name in names})
    problem = full().replace(cluster=turned)
    assert content_hash(problem) == content_hash(full())
    write_instance(problem, tmp_path / "a.json")
    assert np.array_equal(mapc.read(tmp_path / "a.json").pair, full().pair)


def test_nodes_of_single_ranks_have_no_links_inside(tmp_path: Path) -> None:
    problem = full().replace(
        cluster=DeviceGraph.cluster([1, 1, 1, 1], 1 << 36, 9.0, 2.0), sources=None, traffic="none"
    )
    cluster = cluster_of(problem, tmp_path / "a.json")
    assert (cluster["intra"], cluster["inter"]) == (None, 2.0)
    assert same(mapc.read(tmp_path / "a.json"), problem)


# -- what is refused -------------------------------------------------------------------------------


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    write_instance(full(), tmp_path / "case.json")
    found: dict[str, Any] = json.loads((tmp_path / "case.json").read_text())
    return found


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("profiles.counts", [], "$.problem.profiles.counts: 0 entries; expected 2"),
        ("profiles.counts", [[[1]]], "$.problem.profiles.counts: 1 entries; expected 2"),
        (
            "profiles.counts",
            [[[1, 2, 3, 4]] * 2, [[1, 2, 3, 4], [1]]],
            "$.problem.profiles.counts[1][1]: 1 entries; expected 4",
        ),
        ("profiles.counts", [[[1, 2, 3, -4]]], "$.problem.profiles.counts[0][0][3]: Expected"),
        ("profiles.counts", [[[2**70]]], "$.problem.profiles.counts"),
        ("profiles.weight", [1.0], "$.problem.profiles.weight: 1 entries; expected 2"),
        ("profiles.scale", [], "$.problem.profiles.scale: 0 entries; expected 2"),
        (
            "profiles.scale",
            [1.0, -1.0],
            "profile 'decode': scale -1.0; expected a finite number > 0",
        ),
        ("layers.id", [3], "$.problem.profiles.counts[0]: 2 entries; expected 1"),
        ("layers.of", 5, "layer_ids[1]: layer 5 of a model of 5 layers; expected at most 4"),
        ("cluster.node", [0], "$.problem.cluster.node: 1 entries; expected 4"),
        ("cluster.speed", [1.0, 1.0, 1.0, 0.0], "devices.speed[3]: 0.0; expected > 0"),
        ("cluster.dead", [4], "$.problem.cluster.dead[0]: index 4; expected 0 to 3"),
        (
            "cluster.bandwidth",
            [[0.0] * 4] * 4,
            "$.problem.cluster.bandwidth: beside intra or inter",
        ),
        ("cluster.latency", [[0.0] * 4] * 3, "$.problem.cluster.latency: 3 entries; expected 4"),
        ("cluster.latency", [[0.0] * 3] * 4, "$.problem.cluster.latency[0]: 3 entries; expected 4"),
        (
            "cluster.latency",
            [[0.0] * 4] * 3 + [[0.0, 0.0, 0.0, 1.0]],
            "$.problem.cluster.latency[3][3]: 1.0; expected 0 on the diagonal",
        ),
        ("cluster.intra", -1.0, "devices.bandwidth[0]: -1.0; expected > 0 bytes/s"),
        ("cluster.inter", None, "link from rank 'rank0' to 'rank2': no link"),
        ("slots", 0, "$.problem.slots"),
        ("cost.links", "max", "$.problem.cost.links"),
        ("traffic", "ring", "$.problem.traffic"),
        ("dispatch", "random", "$.problem.dispatch"),
        ("transitions", [], "$.problem.transitions: 0 entries; expected 2"),
        ("sources", [[[[0] * 4]] * 2] * 2, "sources: shape (2, 2, 1, 4); expected"),
        ("sources", [[], []], "$.problem.sources[0]: 0 entries; expected 2"),
        ("sources", [[[], []], [[], []]], "sources: shape (2, 2, 0, 4); expected"),
        ("current", [[[0, 1]]], "$.problem.current: 1 entries; expected 2"),
        ("current", [[[0, 1]] * 4, [[-2, 1]] * 4], "$.problem.current[1][0][0]"),
        ("max_moves", -1, "$.problem.max_moves"),
        ("pinned", [[0, 1]], "$.problem.pinned[0]"),
        ("pinned", [[0, 1, 7]], "pinned[0]: rank 7; expected 0 to 3"),
        ("max_imbalance", 0.5, "max_imbalance: 0.5"),
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
    document["problem"]["profiles"]["scale"][1] = float("nan")
    with pytest.raises(InstanceError, match=r"case.json: \$.problem.profiles.scale\[1\]: NaN"):
        parse_instance(json.dumps(document).encode(), "case.json")


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("slots", [], "$.plan.slots: 0 entries; expected 2"),
        ("slots", [[[0]] * 4] * 2, "$.plan.slots[0][0]: 1 entries; expected 2"),
        ("slots", [[[0, -2]] * 4] * 2, "$.plan.slots[0][0][1]"),
        ("split", [], "$.plan.split: 0 entries; expected 2"),
        ("split", [[[[[1]]]]], "$.plan.split: 1 entries; expected 2"),
    ],
)
def test_what_a_plan_may_not_say(tmp_path: Path, member: str, value: Any, message: str) -> None:
    problem = full().replace(pinned=full().pinned[:0])
    slots = np.tile(np.array([[0, 1], [2, 3], [0, 2], [-1, -1]]), (2, 1, 1))
    split = random_split(problem, slots, np.random.default_rng(0))
    mapc.write(PlacementPlan(slots, split), tmp_path / "plan.json", problem=problem)
    document = json.loads((tmp_path / "plan.json").read_text())
    document["plan"][member] = value
    with pytest.raises(InstanceError) as caught:
        parse_plan(json.dumps(document).encode(), "plan.json")
    assert str(caught.value).startswith("plan.json: ")
    assert message in str(caught.value)


def test_large_instances_stay_within_the_limit_of_the_reader(tmp_path: Path) -> None:
    """A third of the layers of a model of 256 experts, with the transitions of two profiles."""
    rng = np.random.default_rng(0)
    problem = full().replace(
        counts=rng.integers(0, 10_000, (2, 20, 256)),
        transitions=rng.integers(0, 100, (2, 19, 256, 256)),
        cluster=DeviceGraph.cluster([8] * 4, 1 << 40, 4e11, 5e10),
        **{"slots": 9, "sources": None, "traffic": "none", "current": None, "max_moves": None},
        **{"pinned": full().pinned[:0], "forbidden": full().pinned[:0], "max_imbalance": None},
        **{"layer_ids": np.arange(20), "model_layers": 20, "expert_bytes": 0},
        dead=np.zeros(32, dtype=np.bool_),
    )
    write_instance(problem, tmp_path / "large.json")
    assert (tmp_path / "large.json").stat().st_size < 2**24
    assert same(mapc.read(tmp_path / "large.json"), problem)
