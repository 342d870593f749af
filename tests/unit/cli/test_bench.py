"""``mapc bench``, from the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest

from benching import build_library
from mapc.models import family

NO_CLOCK = ["--time-limit", "none", "-q"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_library(tmp_path_factory.mktemp("library"))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def edit(path, change):
    """Change the records of a journal."""
    found = lines(path)
    for one in found:
        change(one)
    path.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in found))


def test_the_table(run, library):
    result = run("bench", library, *NO_CLOCK)
    assert (result.exit_code, result.stderr) == (0, "")
    # what does not fit beside the name of the long model stands in a table of its own
    tables = [
        [line.split() for line in table.splitlines()] for table in result.stdout.split("\n\n")
    ]
    assert tables[0][0] == ["allocation"]
    header = "instance objective bound gap to best integral seconds model rows"
    assert " ".join(tables[0][1]) == header
    assert tables[0][2][0] == "pack"
    assert [row[0] for row in tables[1]] == ["instance", "pack"]
    assert tables[1][0] == ["instance", "cols", "nnz"]
    assert tables[2][0] == ["bits"]
    assert " ".join(tables[2][1]) == f"{header} cols nnz"
    assert [row[0] for row in tables[2][2:]] == ["tiny-0", "tiny-1", "tiny-2"]
    assert all(row[3:5] == ["0%", "0%"] for row in [tables[0][2], *tables[2][2:]])
    assert tables[3][0][0] == "family"
    assert [row[:5] for row in tables[3][1:]] == [
        ["allocation", "1", "0", "1", "1"],
        ["bits", "3", "0", "3", "3"],
        ["all", "4", "0", "4", "4"],
    ]


def test_progress_goes_to_standard_error(run, library):
    result = run("bench", library, "--name", "bits/tiny-1", "--time-limit", "5")
    assert result.stderr.startswith("1/1 bits/tiny-1 seed 0: ")
    assert len(result.stderr.splitlines()) == 1


def test_what_is_chosen(run, library, tmp_path):
    out = tmp_path / "out.jsonl"
    choice = ["--kind", "bits", "--tier", 2, "--seeds", "0-1,5", "--name", "tiny-0,tiny-2"]
    assert run("bench", library, *NO_CLOCK, *choice, "-o", out).exit_code == 0
    assert [(one["name"], one["seed"]) for one in lines(out)] == [
        ("tiny-2", 0),
        ("tiny-2", 1),
        ("tiny-2", 5),
    ]


def test_methods_models_and_backends(run, library, tmp_path):
    out = tmp_path / "out.jsonl"
    methods = [one.name for one in family("bits").methods][:2]
    options = ["--methods", ",".join(methods), "--models", "all", "--backends", "highs"]
    result = run("bench", library, *NO_CLOCK, "--name", "tiny-1", *options, "-o", out)
    assert result.exit_code == 0
    (found,) = lines(out)
    assert (found["methods"], found["backends"]) == (methods, ["highs"])
    assert len(found["models"]) > 1


def test_a_run_goes_on_after_half_a_line(run, library, tmp_path):
    out = tmp_path / "out.jsonl"
    first = run("bench", library, *NO_CLOCK, "-o", out)
    whole = out.read_bytes()
    out.write_bytes(whole[: -len(whole.splitlines()[-1]) // 2])
    kept = out.read_bytes().rpartition(b"\n")[0] + b"\n"
    again = run("bench", library, *NO_CLOCK, "-o", out)
    assert f"mapc: note: 3 of 4 runs are in {out} already" in again.stderr
    assert out.read_bytes().startswith(kept)
    assert [one["name"] for one in lines(out)] == ["pack", "tiny-0", "tiny-1", "tiny-2"]
    third = run("bench", library, *NO_CLOCK, "-o", out)
    assert (third.exit_code, third.stdout) == (0, again.stdout)
    assert again.stdout.splitlines()[:8] == first.stdout.splitlines()[:8]


def test_compare(run, library, tmp_path):
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    run("bench", library, *NO_CLOCK, "--kind", "bits", "-o", new)
    shutil.copy(new, old)

    def change(one):
        one["seconds"] = one["primal_integral"] = 4.0
        if one["name"] == "tiny-1":
            one["objective"] *= 2

    edit(old, change)
    edit(new, lambda one: one.update(seconds=1.0, primal_integral=0.0))
    result = run("bench", library, *NO_CLOCK, "--kind", "bits", "-o", new, "--compare", old)
    assert result.exit_code == 0
    text = result.stdout[result.stdout.index("since then") :]
    rows = [line.split() for line in text.splitlines()]
    assert rows[3][0] == "tiny-1"
    assert rows[3][3] == "+"
    assert rows[3][-2:] == ["4.00", "1.00"]
    assert [row[0] for row in rows if row and row[0].startswith("tiny")] == ["tiny-1"]
    assert rows[-1] == ["bits", "3", "1", "2", "0", "0%", "0%", "4.00", "0.00", "4.00", "1.00"]


def test_json(run, library, tmp_path):
    out = tmp_path / "out.jsonl"
    run("bench", library, *NO_CLOCK, "--name", "pack", "-o", out)
    arguments = [library, *NO_CLOCK, "--name", "pack", "--compare", out, "--json"]
    result = run("bench", *arguments)
    document = json.loads(result.stdout)
    (found,) = document["records"]
    assert {key: found[key] for key in ("kind", "name", "status")} == {
        "kind": "allocation",
        "name": "pack",
        "status": "optimal",
    }
    assert document["comparison"]["means"][0]["equal"] == 1
    assert document["comparison"]["pairs"][0]["objective"] == [found["objective"]] * 2


def test_list(run, library):
    result = run("bench", library, "--list", "--kind", "bits")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["bits/tiny-0", "1"],
        ["bits/tiny-1", "2"],
        ["bits/tiny-2", "2"],
    ]
    assert {row[-1] for row in rows[1:]} == {"yes"}
    document = json.loads(run("bench", library, "--list", "--json").stdout)
    assert [one["name"] for one in document["instances"]] == ["pack", "tiny-0", "tiny-1", "tiny-2"]


def test_a_missing_instance_is_told_and_fails(run, library, tmp_path):
    shutil.copytree(library, tmp_path / "copy")
    (tmp_path / "copy" / "allocation" / "files" / "pack.json").unlink()
    result = run("bench", tmp_path / "copy", *NO_CLOCK)
    assert result.exit_code == 7
    said = " ".join(result.stdout.split())  # the sentence is wrapped
    assert "allocation/pack: instance 'allocation/pack': " in said
    assert "pack.json: cannot be read" in said
    assert "1 of 4 runs failed" in result.stderr
    assert "tiny-2" in result.stdout


def test_a_contradiction_fails(run, library, tmp_path):
    out = tmp_path / "out.jsonl"
    run("bench", library, *NO_CLOCK, "--name", "tiny-1", "-o", out)
    edit(out, lambda one: one.update(bound=one["best"] * 1.1, bound_method="broken"))
    result = run("bench", library, *NO_CLOCK, "--name", "tiny-1", "-o", out)
    assert result.exit_code == 7
    assert "of broken is above a plan of" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "nobody"], 2, "not in"),
        (["--methods", "simplex"], 2, "method 'simplex': unknown for"),
        (["--seeds", "x"], 2, "expected seeds such as"),
        (["--seeds", "5-1"], 2, "expected at most 1000 seeds, upwards"),
        (["--executor", "threads"], 2, "expected serial, process or dask://HOST:PORT"),
        (["--executor", "serial", "--jobs", "2"], 2, "does not go with the executor serial"),
        (["--compare", "nothing.jsonl"], 5, "nothing.jsonl: cannot be read"),
        (["-o", "a.jsonl", "--compare", "a.jsonl"], 2, "what this run writes"),
        (["--name", ","], 2, "expected names, with commas between them"),
    ],
)
def test_what_cannot_be_asked(run, library, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = run("bench", library, *NO_CLOCK, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert os.listdir(tmp_path) == []


def test_no_suite(run, tmp_path):
    result = run("bench", tmp_path)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "no library" in result.stderr


# -- ends that come from outside -------------------------------------------------------------------


def children(pid):
    """Process numbers of the children of a process."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition):
    """Wait, as long as it takes; the test as a whole is what hangs if it never comes."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("never happened")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_keeps_its_records_and_leaves_no_worker(
    run, start, library, tmp_path, number
):
    out = tmp_path / "out.jsonl"
    # enough seeds that the run is not over before it is stopped
    arguments = ["bench", library, *NO_CLOCK, "-o", out, "--kind", "bits"]
    many = [*arguments, "--seeds", "0-999", "--executor", "process"]
    process = start(*many)
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") >= 2)
    workers = children(process.pid)
    assert workers
    process.send_signal(number)
    _, errors = process.communicate()
    wait_for(lambda: all(map(gone, workers)))
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert "the same command goes on" in errors
        assert len(errors.splitlines()) == 1
    kept = out.read_bytes().count(b"\n")
    assert 2 <= kept < 3000
    result = run(*arguments, "--name", "tiny-0", "--seeds", "0-1")
    assert result.exit_code == 0
    assert "2 of 2 runs are in" in result.stderr
