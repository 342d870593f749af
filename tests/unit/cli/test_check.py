import json

import pytest

from oracles.edited import edited


@pytest.fixture
def plan(run, net, tmp_path):
    path = tmp_path / "plan.json"
    assert run("solve", net, "--scratchpad", "M_R", "-o", path, "-q").exit_code == 0
    return path


def test_plan_alone(run, plan):
    done = run("check", plan)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "valid: 8 B extra off-chip traffic, capacity 12 B\n"


def test_plan_and_instance_agree_on_everything(run, plan, net):
    alone, beside = (
        json.loads(run("check", *files, "--json").stdout) for files in ([plan], [net, plan])
    )
    assert alone == beside
    assert alone["status"] == "valid"
    assert (alone["objective"], alone["capacity_bytes"], alone["peak_bytes"]) == (8, 12, 12)
    assert alone["recorded"] == {"status": "optimal", "objective": 8, "bound": 8}


def test_broken_rule(run, plan):
    def overlap(document):
        addresses = document["plan"]["address"]
        document["plan"]["address"] = [0] * len(addresses)

    done = run("check", edited(plan, overlap), "--json")
    assert done.exit_code == 7
    found = json.loads(done.stdout)
    assert (found["valid"], found["status"]) == (False, "invalid")
    assert any("overlaps" in text for text in found["violations"])
    assert done.stderr.startswith("mapc: error: check failed: ")
    assert len(done.stderr.splitlines()) == 1
    human = run("check", plan)
    assert (human.exit_code, human.stdout.splitlines()[0]) == (7, "invalid:")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": 4}, "recorded objective 4, recomputed 8"),
        ({"bound": 9}, "recorded bound 9 above the objective 8"),
        ({"bound": "9"}, "recorded bound 9 above"),
        ({"bound": 7}, "recorded as optimal with bound 7 and objective 8"),
        ({"bound": None}, "recorded as optimal with bound None"),
    ],
)
def test_claims_that_do_not_hold(run, plan, changes, message):
    done = run("check", edited(plan, lambda document: document["result"].update(changes)))
    assert done.exit_code == 7
    assert message in done.stdout


def test_plan_without_claims(run, plan):
    done = run("check", edited(plan, lambda document: document.update(result={})))
    assert done.exit_code == 0


def test_another_instance(run, plan, net):
    other = edited(net, lambda document: document["tensors"].update(b=12))
    done = run("check", other, plan, "--json")
    assert done.exit_code == 7
    assert "another instance" in done.stderr
    assert json.loads(done.stdout)["violations"][0].startswith("another instance")


def test_another_family(run, plan, buffers):
    done = run("check", buffers, plan)
    assert (done.exit_code, "another instance" in done.stderr) == (7, True)


def test_capacity_of_the_instance_counts(run, plan, net, tmp_path):
    instance = tmp_path / "instance.json"
    run("import", net, "--scratchpad", "16", "-o", instance)
    done = run("check", instance, plan)
    assert done.exit_code == 7
    assert "made for capacity 12, the instance has 16" in done.stderr
    assert run("check", instance, plan, "--scratchpad", "12").exit_code == 0
    assert run("check", instance, plan, "--scratchpad", "M_P").exit_code == 0


def test_smaller_capacity_breaks_a_rule(run, plan):
    done = run("check", plan, "--scratchpad", "11")
    assert done.exit_code == 7
    assert "capacity 11" in done.stdout


def test_instance_without_capacity_takes_that_of_the_plan(run, plan, net, tmp_path):
    instance = tmp_path / "instance.json"
    run("import", net, "-o", instance)
    assert run("check", instance, plan).exit_code == 0


def test_alignment_is_taken_from_the_plan(run, net, tmp_path):
    path = tmp_path / "aligned.json"
    run("solve", net, "--scratchpad", "M_R", "--alignment", "8", "-o", path, "-q")
    assert json.loads(run("check", net, path, "--json").stdout)["compulsory_bytes"] == 16
    assert run("check", net, path, "--alignment", "3").exit_code == 7


def test_reader_options_are_taken_from_the_plan(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"]),
        onnx.helper.make_node("Relu", ["c"], ["y"]),
    ]
    kind = onnx.TensorProto.FLOAT
    x, y = (onnx.helper.make_tensor_value_info(n, kind, ["batch", 1, 8, 8]) for n in "xy")
    weight = onnx.helper.make_tensor("w", kind, [1, 1, 1, 1], [1.0])
    graph = onnx.helper.make_graph(nodes, "tiny", [x], [y], [weight])
    model, plan, instance = (tmp_path / name for name in ("m.onnx", "plan.json", "instance.json"))
    onnx.save(onnx.helper.make_model(graph), model)
    options = ("--dtype", "int8", "--fuse", "--weights", "--dim", "batch=2")
    assert run("solve", model, *options, "--scratchpad", "M_R", "-o", plan).exit_code == 0
    assert run("check", model, plan).exit_code == 0
    assert run("check", model, plan, "--dtype", "fp32").exit_code == 7
    assert run("check", model, plan, "--no-fuse").exit_code == 7
    # recorded options are those of the model; an instance made from it takes none
    assert run("import", model, *options, "-o", instance).exit_code == 0
    assert run("check", instance, plan).exit_code == 0
    assert run("check", instance, plan, "--fuse").exit_code == 2


@pytest.mark.parametrize("options", ["all", [1], {"dtype": 5, "fuse": "yes", "dims": [1]}])
def test_recorded_options_can_be_anything(run, plan, net, options):
    def spoil(document):
        document["instance"]["provenance"]["options"] = options

    assert run("check", net, edited(plan, spoil)).exit_code == 0


def test_offsets_in_a_csv(run, buffers, tmp_path):
    placed = tmp_path / "placed.csv"
    run("solve", buffers, "--scratchpad", "12", "-o", placed)
    for files in ([placed], [buffers, placed]):
        assert run("check", *files).stdout.startswith("valid: a peak of 12 B")
        assert run("check", *files, "--scratchpad", "12").exit_code == 0
        assert run("check", *files, "--scratchpad", "11").exit_code == 7


def test_reading_options_need_an_instance(run, plan):
    done = run("check", plan, "--dtype", "int8")
    assert (done.exit_code, "expected INSTANCE PLAN" in done.stderr) == (2, True)


def test_unreadable(run, plan, net, tmp_path):
    assert run("check", tmp_path / "absent.json").exit_code == 5
    assert run("check", net).exit_code == 5  # an instance is no plan
    assert run("check", tmp_path / "absent.json", plan).exit_code == 5
    tampered = edited(plan, lambda document: document.update(instance_sha256="0" * 64))
    assert run("check", tampered).exit_code == 5
