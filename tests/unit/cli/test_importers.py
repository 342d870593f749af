import json
import os
from pathlib import Path

import pytest

import mapc
from mapc.instances.importers import IMPORTERS

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[4] / "shared" / "data"))

HAWQ = {
    "net": {
        "layers": ["a", "b"],
        "hutchinson_avg_trace": [1.0, 2.0],
        "delta_w_int4_sq": [0.5, 0.25],
        "delta_w_int8_sq": [0.0625, 0.125],
        "params_M": [0.001, 0.002],
        "params_unit": "1e6",
    }
}
TABLE = "group,format,loss,size,weights\nx,int4,2,16,4\nx,int8,1,32,4\ny,int4,3,16,4\n"


@pytest.fixture
def hawq(tmp_path):
    path = tmp_path / "inputs.json"
    path.write_text(json.dumps({**HAWQ, "other": HAWQ["net"]}))
    return path


def test_an_importer_with_its_option_and_a_budget(run, hawq, tmp_path):
    target = tmp_path / "instance.json"
    done = run(
        "import", "hawq", hawq, "--model", "net", "--budget", "size=0.5", "-o", target, "--json"
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["groups"]) == ("bits", 2)
    assert found["budgets"]["size"] == {"unit": "bits", "budget": 18000}
    problem = mapc.read(target)
    assert problem.loss.tolist() == [0.5, 0.0625, 0.5, 0.25]
    again = mapc.read(hawq, importer="hawq", model="net", budgets=["size=0.5"])
    assert again.budget == problem.budget


def test_to_standard_output(run, hawq):
    done = run("import", "hawq", hawq, "--model", "net", "-o", "-")
    assert json.loads(done.stdout)["kind"] == "bits"


def test_a_file_that_is_called_like_an_importer(run, net, tmp_path, monkeypatch):
    (tmp_path / "hawq").write_text(net.read_text())
    monkeypatch.chdir(tmp_path)
    assert run("import", "./hawq", "-o", "instance.json").exit_code == 0
    done = run("import", "hawq", "-o", "other.json")
    assert (done.exit_code, "Missing argument 'FILE'" in done.stderr) == (2, True)


def test_lists_are_separated_by_commas(run, tmp_path, monkeypatch):
    seen = {}

    def read(path, **options):
        seen.update(options)
        raise mapc.InstanceError("enough")

    monkeypatch.setattr("mapc.api.read", read)
    options = ("--formats", "int4,int8,fp8", "--min-weights", 100)
    run("import", "onnx-weights", "model.onnx", *options, "-o", tmp_path / "x.json")
    assert seen == {
        "importer": "onnx-weights",
        "formats": ["int4", "int8", "fp8"],
        "min_weights": 100,
    }


def test_table(run, tmp_path):
    source, target = tmp_path / "table.csv", tmp_path / "instance.json"
    source.write_text(TABLE)
    done = run("import", "table", source, "-o", target)
    assert done.exit_code == 0, done.stderr
    assert mapc.read(target).groups == ("x", "y")


ERRORS = {
    "no such option": (("--color", "x"), 2, "No such option"),
    "option of a reader": (("--dtype", "int8"), 2, "No such option"),
    "no such model": (("--model", "vgg"), 5, "no model 'vgg'"),
    "no such resource": (("--model", "net", "--budget", "bops=0.5"), 2, "no resource 'bops'"),
    "target": (("--model", "net", "-o", "instance.csv"), 2, "expected .json"),
    "onto itself": (("--model", "net", "-o", "FILE"), 2, "is the file read from"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, hawq, tmp_path, name):
    options, code, message = ERRORS[name]
    target = () if "-o" in options else ("-o", tmp_path / "instance.json")
    before = hawq.read_text()
    args = [str(hawq) if word == "FILE" else word for word in options]
    done = run("import", "hawq", hawq, *args, *target)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "instance.json").exists()
    assert hawq.read_text() == before


def test_every_importer_is_listed_and_has_help(run):
    text = run("import", "--help").stdout
    for name, importer in IMPORTERS.items():
        assert f"\n  {name} " in text
        done = run("import", name, "--help")
        assert done.exit_code == 0
        for option in importer.options:
            assert f"--{option.name.replace('_', '-')} " in done.stdout


def test_no_option_of_an_importer_hides_one_of_the_command():
    own = {"file", "path", "importer", "output", "json", "as_json", "budgets", "help"}
    taken = {option.name for importer in IMPORTERS.values() for option in importer.options}
    assert not taken & own


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data folder is not there; set MAPC_DATA")
def test_from_published_figures_to_a_bit_config(run, tmp_path):
    source = DATA / "bits" / "hawqv3_inputs.json"
    instance, plan = tmp_path / "instance.json", tmp_path / "plan.json"
    run("import", "hawq", source, "--model", "resnet50", "--budget", "size=0.25", "-o", instance)
    found = json.loads(run("solve", instance, "-q", "--json", "-o", plan).stdout)
    assert found["status"] == "optimal"
    assert found["loss"] == pytest.approx(0.0749494, abs=5e-8)
    config = json.loads(run("export", plan, "--to", "hawq").stdout)
    assert config["stage3.unit6.quant_convbn1"] == 8  # 4 in the published configuration
