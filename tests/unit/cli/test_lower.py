import json

import pytest

from mapc.cli.lower import SUFFIXES


@pytest.mark.parametrize("formulation", [None, "gap", "cosma", "forced-spans"])
def test_statistics(run, net, formulation):
    chosen = () if formulation is None else ("--formulation", formulation)
    done = run("lower", net, "--scratchpad", "M_R", *chosen, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["formulation"] == (formulation or "gap")
    assert found["build_seconds"] >= 0
    assert {"rows", "columns", "nonzeros", "integers"} <= found.keys()
    assert found["columns"] > 0


def test_table(run, net):
    rows = dict(
        line.split("  ", 1) for line in run("lower", net, "--scratchpad", "12").stdout.splitlines()
    )
    assert rows["formulation"].strip() == "gap"
    assert int(rows["columns"]) > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_model_files(run, net, tmp_path, suffix):
    target = tmp_path / f"model{suffix}"
    done = run("lower", net, "--scratchpad", "M_R", "-o", target, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["output"] == str(target)
    assert target.stat().st_size > 0


def test_written_model_has_the_optimum(run, net, tmp_path):
    highspy = pytest.importorskip("highspy")
    target = tmp_path / "model.mps"
    run("lower", net, "--scratchpad", "M_R", "-o", target)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(str(target))
    solver.run()
    assert solver.getInfo().objective_function_value == pytest.approx(8)


def test_buffers(run, buffers):
    found = json.loads(run("lower", buffers, "--json").stdout)
    assert (found["kind"], found["formulation"]) == ("allocation", "no-overlap-2d")


def test_mistakes(run, net, tmp_path):
    done = run("lower", net, "--scratchpad", "M_R", "--formulation", "magic")
    assert (done.exit_code, "expected gap, cosma, forced-spans" in done.stderr) == (2, True)
    assert run("lower", net, "--scratchpad", "M_R", "-o", tmp_path / "model.txt").exit_code == 2
    assert run("lower", net).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json"]
