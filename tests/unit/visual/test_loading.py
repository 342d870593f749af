import json

import pytest

import mapc
from mapc.errors import InfeasibleError, InstanceError, UsageError
from mapc.models.fronts import Front
from mapc.solvers.base import Status
from mapc.visual.loading import carrier, comparison_of, failed, front_of, load, of_result, together

GRAPH = {
    "name": "net",
    "unit": "B",
    "inputs": ["x"],
    "outputs": ["y"],
    "tensors": {"x": 4, "a": 8, "b": 8, "y": 4},
    "ops": [
        {"name": "p", "op": "conv", "ins": ["x"], "outs": ["a"]},
        {"name": "q", "op": "conv", "ins": ["x"], "outs": ["b"]},
        {"name": "r", "op": "add", "ins": ["a", "b"], "outs": ["y"]},
    ],
}


@pytest.fixture
def problem(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(GRAPH))
    return mapc.read(path, scratchpad=20)


@pytest.fixture
def solved(problem, tmp_path):
    result = mapc.solve(problem, time_limit=None)
    mapc.write(result, tmp_path / "plan.json", problem=problem)
    return result, tmp_path / "plan.json"


def change(path, **sections):
    document = json.loads(path.read_text())
    document["result"] |= sections
    path.write_text(json.dumps(document))


def test_a_plan_file_says_what_its_run_said(problem, solved):
    result, path = solved
    view = load(path)
    assert view.kind == "memory"
    assert view.plan == result.plan
    assert (view.objective, view.violations) == (result.objective, ())
    assert view.record.asked == {"time_limit": None, "gap": 0.0, "seed": 0, "workers": 1}
    assert view.record.versions["mapc"] == mapc.__version__
    assert view.facts["compulsory_bytes"] == result.facts["compulsory_bytes"]
    assert len(view.record.trajectory) == len(result.trajectory)
    assert view.phrase(1024) == "1 KiB extra off-chip traffic"


def test_the_objective_is_the_verifiers_whatever_the_file_says(solved):
    result, path = solved
    change(path, objective=123456)
    view = load(path)
    assert view.record.objective == 123456
    assert view.objective == result.objective


def test_a_plan_for_the_smallest_capacity_is_judged_as_one(problem, tmp_path):
    result = mapc.solve(problem, minimize="peak", time_limit=None)
    view = of_result(problem, result)
    assert view.objective == result.objective == result.facts["peak_bytes"]
    assert view.phrase(view.objective).startswith("a peak of")


def test_a_file_may_ask_for_anything(solved):
    result, path = solved
    change(path, asked={"minimize": "nonsense"})
    assert load(path).objective == result.objective


def test_a_result_without_a_plan(problem):
    view = of_result(problem, failed(problem, InfeasibleError("too small"), {"seed": 1}))
    assert (view.plan, view.objective, view.record.status) == (None, None, "infeasible")
    broken = of_result(problem, failed(problem, ValueError("oops"), {}))
    assert broken.record.reason == "failed: ValueError: oops"
    assert broken.record.status == Status.UNKNOWN


def test_a_plan_that_breaks_rules_keeps_them(solved):
    _, path = solved
    document = json.loads(path.read_text())
    document["plan"]["order"] = document["plan"]["order"][::-1]
    path.write_text(json.dumps(document))
    assert load(path).violations


def test_a_front_beside_a_plan(problem, solved, tmp_path):
    _, path = solved
    front = tmp_path / "front.json"
    good = {"kind": "memory", "name": "net", "cost": [16, 20], "traffic": [8, 0], "notes": []}
    front.write_text(json.dumps(good))
    assert load(path, front=str(front)).front == good
    for wrong, where in (
        ({"kind": "bits"}, r"\$\.kind"),
        ({"name": "other"}, r"\$\.name"),
        ({"cost": []}, "no columns"),
        ({"traffic": [1]}, "no columns"),
        ({"cost": [None, 1]}, r"\$\.cost"),
        ({"traffic": [{}, 1]}, r"\$\.traffic"),
        ({"traffic": 8}, r"\$\.traffic: no column; expected a list of 2"),
        ({"bound": {}}, r"\$\.bound: no column"),
        ({"traffic": [10**400, 0]}, "a number beyond 1e308"),
    ):
        front.write_text(json.dumps(good | wrong))
        with pytest.raises(InstanceError, match=where):
            load(path, front=str(front))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "NaN", '{"methods": 3}', '{"methods": [1]}', '{"a": 1e999}', "[" * 10_000],
)
def test_what_is_no_comparison_is_refused_in_one_line(solved, tmp_path, text):
    other = tmp_path / "other.json"
    other.write_text(text)
    with pytest.raises(InstanceError) as refusal:
        load(solved[1], comparison=str(other))
    assert "\n" not in str(refusal.value)


def test_a_comparison_has_to_be_of_the_same_instance(solved, tmp_path):
    other = tmp_path / "other.json"
    methods = [{"method": "eviction", "objective": 8}]
    other.write_text(
        json.dumps({"kind": "memory", "instance_sha256": "0" * 64, "methods": methods})
    )
    with pytest.raises(InstanceError, match="instance_sha256"):
        load(solved[1], comparison=str(other))


def test_fronts_and_comparisons_of_the_api_are_those_of_files(problem):
    front = Front("capacity", "bytes", {"cost": [1], "traffic": [2]}, "all", "traffic")
    assert front_of(front)["cost"] == [1]
    results = mapc.compare(problem, time_limit=None, methods=["eviction"])
    (row,) = comparison_of(results)
    assert row["method"] == "eviction"
    assert row["objective"] == results["eviction"].objective


def test_one_page_is_of_one_family(problem, solved):
    buffers = mapc.generate("allocation", buffers=5)
    views = [of_result(problem, solved[0]), of_result(buffers, mapc.solve(buffers))]
    with pytest.raises(UsageError, match="allocation and memory"):
        together(views)


def test_a_plan_file_is_known_by_its_path_where_it_can_be_solved_again(solved):
    _, path = solved
    assert load(path).plan_file == str(path)
    assert carrier("a.plan.json") == "a.plan.json"
    assert carrier("placed.CSV") == carrier("-") == carrier(None) == ""


def test_a_front_or_a_comparison_is_no_plan(problem, tmp_path):
    """The complaint names the option that takes it."""
    front, comparison = tmp_path / "front.json", tmp_path / "comparison.json"
    front.write_text(json.dumps({"resource": "capacity", "points": "all", "cost": [1]}))
    comparison.write_text(json.dumps({"best": None, "methods": []}))
    for path, option in ((front, "--front"), (comparison, "--comparison")):
        with pytest.raises(InstanceError, match=option):
            load(path)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(InstanceError) as refusal:
        load(other)
    assert "--front" not in str(refusal.value)
