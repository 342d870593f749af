import json
import os

import pytest

import mapc


def test_generate(run, tmp_path):
    target = tmp_path / "instance.json"
    done = run("generate", "bits", "--groups", 7, "--formats", 3, "--budgets", 2, "-o", target)
    assert done.exit_code == 0, done.stderr
    assert "bits-7x3-llm-0" in done.stdout
    problem = mapc.read(target)
    assert (problem.n_groups, problem.n_options) == (7, 21)
    assert problem.resources == ("size", "bops")


def test_the_seed_decides(run, tmp_path):
    def sha256(*options):
        target = tmp_path / "instance.json"
        done = run("generate", "bits", "--groups", 5, *options, "-o", target, "--json")
        return json.loads(done.stdout)["sha256"]

    assert sha256() == sha256("--seed", 0) != sha256("--seed", 1)
    assert sha256() != sha256("--sizes", "continuous")


def test_generated_instances_can_be_solved_under_a_budget(run, tmp_path):
    target = tmp_path / "instance.json"
    run("generate", "bits", "--groups", 9, "-o", target)
    done = run("solve", target, "--budget", "size=4.5bpw", "--json", "-q")
    assert 2.5 <= json.loads(done.stdout)["bits_per_weight"] <= 4.5


def test_to_standard_output(run):
    done = run("generate", "bits", "--groups", 2, "-o", "-")
    assert json.loads(done.stdout)["kind"] == "bits"
    assert run("generate", "bits", "--groups", 2, "-o", "-", "--json").exit_code == 2


def test_a_reader_that_goes_away(start):
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("generate", "bits", "--groups", 2, "-o", "-", stdout=write_end)
    os.close(write_end)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_standard_output(start):
    with open("/dev/full", "w") as full:
        process = start("generate", "bits", "--groups", 2, "-o", "-", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stderr == "mapc: error: standard output: cannot be written: No space left on device\n"


def test_help(run):
    assert "\n  bits " in run("generate", "--help").stdout
    text = " ".join(run("generate", "bits", "--help").stdout.split())
    assert "--groups N Groups to choose a format for. [required]" in text
    assert "--sizes [llm|continuous]" in text
    assert "[default: llm]" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Missing option '--groups'"),
        (("--groups", "many"), "'many' is not a valid integer"),
        (("--groups", "0"), "groups 0: expected 1 to"),
        (("--groups", "2", "--formats", "99"), "formats 99: expected 1 to"),
        (("--groups", "2", "--sizes", "huge"), "'huge' is not one of"),
        (("--groups", "2", "--layers", "3"), "No such option"),
    ],
)
def test_bad_options(run, tmp_path, options, message):
    target = tmp_path / "instance.json"
    done = run("generate", "bits", *options, "-o", target)
    assert (done.exit_code, message in done.stderr, target.exists()) == (2, True, False)


def test_bad_targets_are_refused_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr("mapc.api.generate", lambda *a, **k: pytest.fail("generated"))
    for target in (tmp_path / "instance.csv", tmp_path / "nowhere" / "instance.json"):
        assert run("generate", "bits", "--groups", 2, "-o", target).exit_code == 2
    assert run("generate", "placement", "-o", tmp_path / "instance.json").exit_code == 2
