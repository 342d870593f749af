import json

import mapc


def test_import(run, net, tmp_path):
    target = tmp_path / "instance.json"
    done = run("import", net, "--scratchpad", "M_H", "--alignment", "2", "-o", target, "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert (facts["kind"], facts["operators"], facts["capacity_bytes"]) == ("memory", 4, 14)
    assert facts["output"] == str(target)
    problem = mapc.read(target)
    assert (problem.capacity, problem.alignment) == (14, 2)


def test_buffers(run, buffers, tmp_path):
    target = tmp_path / "instance.json"
    done = run("import", buffers, "-o", target)
    assert done.exit_code == 0
    assert "allocation" in done.stdout
    assert mapc.read(target).names == ("p", "q", "r")


def test_to_standard_output(run, net):
    done = run("import", net, "-o", "-")
    assert json.loads(done.stdout)["schema"] == "mapc/instance"
    assert run("import", net, "-o", "-", "--json").exit_code == 2


def test_nothing_is_written_for_bad_input(run, tmp_path):
    bad, target = tmp_path / "bad.csv", tmp_path / "instance.json"
    bad.write_text("id,lower,upper,size\np,0,2,-4\n")
    assert run("import", bad, "-o", target).exit_code == 5
    assert not target.exists()


def test_target_must_be_json(run, net, tmp_path):
    done = run("import", net, "-o", tmp_path / "instance.csv")
    assert (done.exit_code, "expected .json" in done.stderr) == (2, True)
