"""``mapc record``, from the command line."""

from __future__ import annotations

import json

import pytest

GENERATED = ["--kind", "bits", "--generate", "groups=4", "--generate", "formats=3"]
ORIGIN = ["--origin", "a test"]


@pytest.fixture
def library(tmp_path):
    return tmp_path / "library"


def entry(library, name):
    index = json.loads((library / "index.json").read_text())
    return next(one for one in index["instances"] if one["name"] == name)


def test_a_generated_instance(run, library):
    result = run("record", library, "tiny", *GENERATED, *ORIGIN, "--budget", "size=4bpw")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "bits/tiny: new"
    assert lines[-1] == "bits/tiny: proven"
    found = entry(library, "tiny")
    assert found["source"] == {"generate": {"groups": 4, "formats": 3}, "budgets": ["size=4bpw"]}
    assert found["gate"]["proven"] is True
    again = run("record", library, "tiny")
    assert (again.exit_code, again.stdout) == (0, "bits/tiny: nothing new\n")


def test_a_file_and_a_plan_of_solve(run, library, net, tmp_path):
    plan = tmp_path / "plan.json"
    assert run("solve", net, "--scratchpad", 12, "-q", "-o", plan).exit_code == 0
    result = run("record", library, "net", net, "--scratchpad", 12, *ORIGIN, "--tier", 3)
    assert result.stdout == "memory/net: new\n"
    assert entry(library, "net")["best"] is None
    result = run("record", library, "net", "--plan", plan, "--json")
    document = json.loads(result.stdout)
    assert document["changes"] == ["objective 8"]
    assert document["entry"]["best"]["proven"] is False
    assert entry(library, "net") == document["entry"]


def test_options_of_the_gate(run, library, layers):
    arguments = ["--tier", 2, "--method", "floor", "--method", "core", "--seed", 7]
    result = run("record", library, "net", layers, *ORIGIN, *arguments, "--model", "choice")
    assert result.exit_code == 0
    found = entry(library, "net")
    assert found["run"] == {"methods": ["floor", "core"], "seed": 7}
    assert list(found["gate"]["models"]) == ["choice"]
    assert found["tier"] == 2


def test_a_plan_for_something_else_is_bad_input(run, library, net, layers, tmp_path):
    plan = tmp_path / "plan.json"
    run("solve", layers, "-q", "-o", plan)
    result = run("record", library, "net", net, "--scratchpad", 16, *ORIGIN, "--plan", plan)
    assert result.exit_code == 5
    assert "a plan for another problem" in result.stderr
    assert not library.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generate", "groups=4"], "--generate: of which family; expected --kind"),
        (["--kind", "bits", "--generate", "groups"], "--generate groups: expected NAME=VALUE"),
        (["--kind", "bits", "--generate", "groups=x"], "--generate groups=x: expected a whole"),
        (["--kind", "bits", "--generate", "size=4"], "generator bits has no 'size'; expected gro"),
        (["--kind", "memory", "--generate", "fuse=1"], "fuse=1: expected true or false"),
        ([*GENERATED, "--dtype", "int8"], "--dtype: says how to read a file; expected FILE"),
        (["net.json", *GENERATED], "--generate and FILE: two sources"),
        (GENERATED, "no origin; expected where it is from"),
        ([], "expected what it is made of"),
    ],
)
def test_bad_calls(run, library, arguments, message):
    result = run("record", library, "tiny", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not library.exists()
