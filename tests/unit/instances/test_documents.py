import json
import os
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc import instances
from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.instances import schema
from mapc.instances.documents import content_hash, parse_instance, parse_plan
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

names = st.text(st.characters(codec="utf-8"), max_size=6)
sizes = st.integers(0, 2**50 // 64)


@st.composite
def memory_problems(draw):
    """Operators that read earlier tensors, so that there is no cycle."""
    n_sources, n_operators = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    inputs, outputs, n_tensors = [], [], n_sources
    for _ in range(n_operators):
        inputs.append(draw(st.lists(st.integers(0, n_tensors - 1), max_size=3, unique=True)))
        new = draw(st.integers(1, 2))
        outputs.append(list(range(n_tensors, n_tensors + new)))
        n_tensors += new
    flags = st.lists(st.booleans(), min_size=n_tensors, max_size=n_tensors)
    constant = np.array(draw(flags))
    constant[n_sources:] = False
    graph = OperatorGraph(
        name=draw(names),
        operator_names=tuple(
            draw(st.lists(names, min_size=n_operators, max_size=n_operators, unique=True))
        ),
        operator_kinds=tuple(draw(st.lists(names, min_size=n_operators, max_size=n_operators))),
        workspace=np.array(draw(st.lists(sizes, min_size=n_operators, max_size=n_operators))),
        inputs=Ragged.of(inputs),
        outputs=Ragged.of(outputs),
        tensor_names=tuple(
            draw(st.lists(names, min_size=n_tensors, max_size=n_tensors, unique=True))
        ),
        tensor_bytes=np.array(draw(st.lists(sizes, min_size=n_tensors, max_size=n_tensors))),
        is_output=np.array(draw(flags)),
        is_constant=constant,
    )
    return MemoryProblem(
        graph,
        capacity=draw(st.none() | st.integers(0, 2**50)),
        alignment=draw(st.integers(1, 2**30)),
        capacity_note=draw(names),
        provenance=draw(st.dictionaries(names, st.integers() | st.booleans() | names, max_size=2)),
    )


@st.composite
def allocation_problems(draw):
    n = draw(st.integers(1, 5))
    lower = np.array(draw(st.lists(st.integers(-(2**53), 2**53 - 8), min_size=n, max_size=n)))
    return AllocationProblem(
        name=draw(names),
        names=tuple(draw(st.lists(names, min_size=n, max_size=n, unique=True))),
        lower=lower,
        upper=lower + np.array(draw(st.lists(st.integers(1, 8), min_size=n, max_size=n))),
        size=np.array(draw(st.lists(sizes, min_size=n, max_size=n))),
        capacity=draw(st.none() | st.integers(0, 2**50)),
        alignment=draw(st.integers(1, 2**30)),
    )


@st.composite
def plans(draw, problem):
    """Plans of the right shape; whether they obey any rule is not the reader's business."""
    if isinstance(problem, AllocationProblem):
        n = problem.n_buffers
        return AllocationPlan(np.array(draw(st.lists(sizes, min_size=n, max_size=n))))
    n, k = problem.graph.n_operators, draw(st.integers(0, 4))
    column = st.lists(st.integers(0, 2**31 - 1), min_size=k, max_size=k)
    tensor = st.lists(st.integers(0, problem.graph.n_tensors - 1), min_size=k, max_size=k)
    return MemoryPlan(
        order=np.array(draw(st.permutations(range(n)))),
        tensor=np.array(draw(tensor), dtype=np.int64),
        start=np.array(draw(column), dtype=np.int64),
        stop=np.array(draw(column), dtype=np.int64),
        address=np.array(draw(column), dtype=np.int64),
        written=np.array(draw(st.lists(st.booleans(), min_size=k, max_size=k)), dtype=np.bool_),
        workspace_address=np.array(draw(st.lists(st.integers(-1, 9), min_size=n, max_size=n))),
    )


problems = memory_problems() | allocation_problems()


def as_tuple(problem):
    """Everything a problem says, comparable."""
    if isinstance(problem, AllocationProblem):
        columns = (problem.lower, problem.upper, problem.size)
        own = (problem.name, problem.names)
    else:
        g = problem.graph
        columns = (
            g.workspace, g.tensor_bytes, g.is_output, g.is_constant,
            g.inputs.start, g.inputs.values, g.outputs.start, g.outputs.values,
        )  # fmt: skip
        own = (g.name, g.operator_names, g.operator_kinds, g.tensor_names, problem.capacity_note)
    fixed = (problem.capacity, problem.alignment, dict(problem.provenance))
    return (*own, *fixed, *(column.tolist() for column in columns))


@pytest.fixture
def problem():
    graph = OperatorGraph(
        name="net",
        operator_names=("a", "b"),
        operator_kinds=("Conv", "Relu"),
        workspace=np.array([16, 0]),
        inputs=Ragged.of([[0, 1], [2]]),
        outputs=Ragged.of([[2], [3]]),
        tensor_names=("x", "w", "t", "y"),
        tensor_bytes=np.array([100, 30, 40, 50]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.array([False, True, False, False]),
    )
    return MemoryProblem(graph, capacity=4096, provenance={"source": "net.onnx"})


@pytest.fixture
def plan():
    column = np.arange(3)
    return MemoryPlan(
        order=np.arange(2),
        tensor=column,
        start=np.array([0, 0, 0]),
        stop=np.array([1, 1, 2]),
        address=np.array([0, 100, 130]),
        written=np.array([False, False, True]),
        workspace_address=np.array([170, -1]),
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_round_trip(tmp_path_factory, data):
    problem = data.draw(problems)
    path = tmp_path_factory.mktemp("round") / "instance.json"
    instances.write_instance(problem, path)
    again = instances.read(path)
    assert as_tuple(again) == as_tuple(problem)
    assert content_hash(again) == content_hash(problem)
    plan = data.draw(plans(problem))
    instances.write_plan(problem, plan, path, result={"status": "optimal", "gap": 0.5})
    again, plan_again, info = instances.read_plan(path)
    assert as_tuple(again) == as_tuple(problem)
    assert plan_again == plan
    assert info.instance_sha256 == content_hash(problem)
    assert info.result == {"status": "optimal", "gap": 0.5}
    assert as_tuple(instances.read(path)) == as_tuple(problem)


def test_header_comes_first_and_a_plan_holds_its_instance(problem, plan, tmp_path):
    instances.write_plan(problem, plan, tmp_path / "plan.json")
    file = json.loads((tmp_path / "plan.json").read_text())
    assert list(file)[:3] == ["schema", "version", "kind"]
    assert list(file["instance"])[:3] == ["schema", "version", "kind"]
    assert file["instance"]["provenance"] == {"source": "net.onnx"}
    assert file["instance"]["problem"]["tensors"]["outputs"] == [3]
    assert file["instance"]["problem"]["operators"]["inputs"] == [[0, 1], [2]]


def test_provenance_can_be_given(problem, tmp_path):
    instances.write_instance(problem, tmp_path / "a.json", {"source": "other"})
    assert instances.read(tmp_path / "a.json").provenance == {"source": "other"}


def test_the_hash_is_of_the_problem_alone(problem):
    def named(name):
        columns = {f: getattr(problem.graph, f) for f in OperatorGraph.__match_args__[1:10]}
        return replace(problem, graph=OperatorGraph(name, **columns))

    same = [
        replace(problem, provenance={}),
        replace(problem, capacity_note="M_R"),
        named("another name"),
    ]
    other = [replace(problem, capacity=4097), replace(problem, alignment=2)]
    assert {content_hash(p) for p in same} == {content_hash(problem)}
    assert len({content_hash(p) for p in [problem, *other]}) == 3


def test_the_result_section_takes_numpy_and_objects_with_to_dict(problem, plan, tmp_path):
    class Result:
        def to_dict(self):
            return {"objective": np.int64(3), "curve": np.arange(2), "gap": float("nan")}

    instances.write_plan(problem, plan, tmp_path / "plan.json", result=Result())
    info = instances.read_plan(tmp_path / "plan.json")[2]
    assert info.result == {"objective": 3, "curve": [0, 1], "gap": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": 2**51}, r"\$\.problem\.capacity"),
        ({"provenance": {"a": object()}}, "object has no JSON form"),
        ({"provenance": {"a": "\ud800"}}, "cannot be written as JSON"),
    ],
)
def test_what_no_file_may_hold_is_not_written(problem, tmp_path, change, message):
    with pytest.raises((InstanceError, UsageError), match=message):
        instances.write_instance(replace(problem, **change), tmp_path / "a.json")
    assert os.listdir(tmp_path) == []


def test_plan_and_problem_must_belong_together(problem, plan, tmp_path):
    with pytest.raises(UsageError, match="AllocationPlan is no plan for a MemoryProblem"):
        instances.write_plan(problem, AllocationPlan(np.zeros(1)), tmp_path / "a")
    with pytest.raises(UsageError, match="str is not a problem"):
        instances.write_instance("problem", tmp_path / "a")
    with pytest.raises(InstanceError, match=r"plan\.order: 1 entries; expected 2"):
        instances.write_plan(problem, replace(plan, order=plan.order[:1]), tmp_path / "a")
    assert os.listdir(tmp_path) == []


def _edit(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    if value is KeyError:
        del document[last]
    else:
        document[last] = value


_PROBLEM = ("instance", "problem")
MALFORMED = [
    (("schema",), "mapc/other", r"\$\.schema: schema 'mapc/other'"),
    (("version",), 2, r"\$\.version: version 2; expected at most 1"),
    (("version",), 0, r"\$\.version: version 0"),
    (("version",), 1.0, r"\$\.version: Expected `int`, got `float`"),
    (("version",), True, r"\$\.version: Expected `int`, got `bool`"),
    (("kind",), "memories", r"\$\.kind: Invalid enum value 'memories'"),
    (("kind",), KeyError, "missing required field `kind`"),
    (("extra",), 1, "unknown field `extra`"),
    (("instance_sha256",), "0" * 64, r"\$\.instance_sha256: '0+' is not the hash"),
    (("instance", "kind"), "allocation", r"\$\.instance"),
    (("instance", "units"), {"size": "KiB"}, r"\$\.instance\.units\.size: Invalid enum value"),
    ((*_PROBLEM, "capacity"), -1, r"\$\.instance\.problem\.capacity: Expected `int` >= 0"),
    ((*_PROBLEM, "capacity"), 2**70, r"problem\.capacity: Expected `int` <="),
    ((*_PROBLEM, "alignment"), 0, r"problem\.alignment: Expected `int` >= 1"),
    ((*_PROBLEM, "tensors", "bytes"), [1, 2, 3, 4, 5], "tensor_bytes: 5 entries; expected 4"),
    ((*_PROBLEM, "tensors", "bytes", 2), 1e400, r"tensors\.bytes\[2\]: .*finite number"),
    ((*_PROBLEM, "tensors", "bytes", 2), float("nan"), r"tensors\.bytes\[2\]: NaN"),
    ((*_PROBLEM, "tensors", "bytes", 2), 2.5, r"bytes\[2\]: Expected `int`, got `float`"),
    (
        (*_PROBLEM, "tensors", "outputs", 0),
        4,
        r"\$\.instance\.problem\.tensors\.outputs\[0\]: index 4; expected 0 to 3",
    ),
    ((*_PROBLEM, "tensors", "constants", 0), 2, "tensor 't': constant, but written"),
    ((*_PROBLEM, "tensors", "name", 0), "y", "tensor 'y': name used twice"),
    ((*_PROBLEM, "operators", "inputs", 0), [3], "cycle 'a' -> 'b' -> 'a'|cycle 'b' -> 'a' -> 'b'"),
    ((*_PROBLEM, "operators", "outputs", 1), [2], "tensor 't': written by operators 'a' and 'b'"),
    ((*_PROBLEM, "operators", "kind"), [], "operator_kinds: 0 entries; expected 2"),
    (("plan", "order"), [0], r"\$\.plan\.order: 1 entries; expected 2"),
    (("plan", "order", 1), 2, r"\$\.plan\.order\[1\]: index 2; expected 0 to 1"),
    (("plan", "tensor", 1), 4, r"\$\.plan\.tensor\[1\]: index 4; expected 0 to 3"),
    (("plan", "stop"), [1], r"\$\.plan\.stop: 1 entries; expected 3"),
    (("plan", "written", 0), 1, r"\$\.plan\.written\[0\]: Expected `bool`, got `int`"),
    (("plan",), KeyError, "missing required field `plan`"),
]


@pytest.mark.parametrize(("path", "value", "message"), MALFORMED)
def test_malformed_plans_are_named_in_one_line(problem, plan, tmp_path, path, value, message):
    file = tmp_path / "plan.json"
    instances.write_plan(problem, plan, file)
    document = json.loads(file.read_text())
    _edit(document, path, value)
    file.write_text(json.dumps(document))
    with pytest.raises(InstanceError, match=message) as caught:
        instances.read_plan(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["plan.json"]


def test_an_instance_is_no_plan(problem, tmp_path):
    instances.write_instance(problem, tmp_path / "a.json")
    with pytest.raises(InstanceError, match="an instance file without a plan"):
        instances.read_plan(tmp_path / "a.json")


def test_older_versions_are_upgraded_in_order(problem, plan, tmp_path, monkeypatch):
    """A past in which sizes were called differently, twice."""

    def to_2(document):
        document["problem"]["tensors"]["sizes"] = document["problem"]["tensors"].pop("kib")
        return document

    def to_1(document):
        tensors = document["problem"]["tensors"]
        tensors["bytes"] = [1024 * size for size in tensors.pop("sizes")]
        return document

    instances.write_instance(problem, tmp_path / "a.json")
    old = json.loads((tmp_path / "a.json").read_text())
    old["problem"]["tensors"]["kib"] = old["problem"]["tensors"].pop("bytes")
    old["version"] = -1
    monkeypatch.setitem(schema.UPGRADES, schema.INSTANCE, {-1: to_2, 0: to_1})
    read = parse_instance(json.dumps(old).encode(), "old.json")
    assert read.graph.tensor_bytes.tolist() == [1024 * 100, 1024 * 30, 1024 * 40, 1024 * 50]
    monkeypatch.setitem(schema.UPGRADES, schema.INSTANCE, {0: to_1})
    with pytest.raises(InstanceError, match=r"old\.json: \$\.version: version -1"):
        parse_instance(json.dumps(old).encode(), "old.json")


def test_the_frozen_files_of_version_1_are_read():
    """Byte for byte what version 1 wrote; never edit, add a file for each new version."""
    problem, plan, info = parse_plan(FROZEN_V1, "v1.json")
    assert problem.graph.operator_names == ("a", "b")
    assert problem.capacity == 4096
    assert plan.address.tolist() == [0, 100, 130]
    assert info.result == {"status": "feasible"}


def test_json_schema_describes_what_is_written(problem, plan, tmp_path):
    """Checked by hand on required fields: every one is in the file, every field is known."""
    published = instances.json_schema()
    instances.write_plan(problem, plan, tmp_path / "plan.json")
    document = json.loads((tmp_path / "plan.json").read_text())

    def check(value, node):
        if "$ref" in node:
            node = published["$defs"][node["$ref"].rpartition("/")[2]]
        if "properties" in node:
            assert set(node.get("required", ())) <= set(value) <= set(node["properties"])
            for key, inner in value.items():
                check(inner, node["properties"][key])

    assert {"$ref": "#/$defs/MemoryPlanFile"} in published["oneOf"]
    check(document, {"$ref": "#/$defs/MemoryPlanFile"})
    assert set(published["$defs"]) >= {"MemoryInstance", "AllocationInstance", "MemoryPlanColumns"}
    assert published["$defs"]["TensorColumns"]["properties"]["bytes"]["items"]["minimum"] == 0
    assert msgspec.json.decode(msgspec.json.encode(published)) == published


FROZEN_V1 = (
    b'{"schema":"mapc/plan","version":1,"kind":"memory","instance_sha256":"8938f5692d0bf8cde22'
    b'c8378fe4e81de885f1d15d16f3b527cad19aa01236e00","instance":{"schema":"mapc/instance","ver'
    b'sion":1,"kind":"memory","name":"net","units":{"size":"bytes","time":"steps"},"provenance'
    b'":{"source":"net.onnx"},"problem":{"capacity":4096,"capacity_note":"","alignment":1,"ope'
    b'rators":{"name":["a","b"],"kind":["Conv","Relu"],"workspace":[16,0],"inputs":[[0,1],[2]]'
    b',"outputs":[[2],[3]]},"tensors":{"name":["x","w","t","y"],"bytes":[100,30,40,50],"output'
    b's":[3],"constants":[1]}}},"plan":{"order":[0,1],"tensor":[0,1,2],"start":[0,0,0],"stop":'
    b'[1,1,2],"address":[0,100,130],"written":[false,false,true],"workspace_address":[170,-1]}'
    b',"result":{"status":"feasible"}}'
)
