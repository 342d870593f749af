"""``mapc regress``, from the command line."""

from __future__ import annotations

import json

import pytest

from mapc.quality.index import Source
from mapc.quality.recording import record


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for seed, tier in ((1, 1), (2, 2), (3, 3)):
        record(
            folder,
            f"tiny-{seed}",
            source=Source(generate={"groups": 6, "formats": 3, "seed": seed}),
            kind="bits",
            origin="generated",
            tier=tier,
        )
    return folder


@pytest.fixture
def failing(built, tmp_path):
    """The same with a ceiling that no plan reaches."""
    for path in built.rglob("*.json"):
        target = tmp_path / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    index = json.loads((tmp_path / "index.json").read_text())
    index["instances"][1]["gate"]["objective"] = 0.5
    (tmp_path / "index.json").write_text(json.dumps(index))
    return tmp_path


def test_a_library_that_holds(run, built, tmp_path):
    result = run("regress", built, "-o", tmp_path / "report.txt")
    assert result.exit_code == 0
    assert result.stdout.endswith("2 instances: 2 pass, 0 better, 0 FAIL, 0 inconclusive\n")
    assert result.stderr == "1/2 bits/tiny-1: pass\n2/2 bits/tiny-2: pass\n"
    assert (tmp_path / "report.txt").read_text() == result.stdout
    assert run("regress", built, "-q").stdout == result.stdout


def test_one_that_does_not_ends_with_seven_and_a_difference(run, failing):
    result = run("regress", failing, "-q")
    assert result.exit_code == 7
    lines = result.stdout.splitlines()
    at = lines.index("bits/tiny-2: FAIL")
    assert lines[at + 1] == "  objective"
    assert lines[at + 2].startswith("    - at most 0.5 (best known ")
    assert lines[at + 3].startswith("    + ")
    assert result.stderr == (
        "mapc: error: quality has got worse: "
        "2 instances: 1 pass, 0 better, 1 FAIL, 0 inconclusive\n"
    )


@pytest.mark.parametrize(
    ("choice", "labels"),
    [
        (["--tier", 1], ["bits/tiny-1"]),
        (["--tier", 1, "--tier", 2], ["bits/tiny-1", "bits/tiny-2"]),
        (["--name", "tiny-2"], ["bits/tiny-2"]),
        (["--kind", "bits"], ["bits/tiny-1", "bits/tiny-2"]),
    ],
)
def test_a_part_of_a_library(run, built, choice, labels):
    document = json.loads(run("regress", built, "-q", "--json", *choice).stdout)
    assert [one["label"] for one in document["cases"]] == labels
    assert document["ok"] is True
    assert "seconds" not in document["cases"][0]


def test_seconds_only_if_asked_for(run, built):
    choice = ("--name", "tiny-1", "-q", "--timings")
    assert run("regress", built, *choice).stdout.splitlines()[2].endswith("seconds")
    document = json.loads(run("regress", built, "--json", *choice).stdout)
    assert document["cases"][0]["seconds"] >= 0


def test_a_clock_never_fails(run, failing):
    result = run("regress", failing, "--wall", "1e-6", "-q")
    assert result.exit_code == 0
    assert "2 inconclusive" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "tiny-9"], 2, "instance 'tiny-9': not in"),
        (["--name", "tiny-3"], 2, "no such instances; expected some of tier 1 or 2"),
        (["--kind", "sudoku"], 2, "kind 'sudoku': no such family"),
        (["--tier", 3], 2, "3 is not in the range 1<=x<=2"),
    ],
)
def test_a_choice_of_nothing(run, built, arguments, code, message):
    result = run("regress", built, *arguments)
    assert result.exit_code == code
    assert message in result.stderr


def test_no_library(run, tmp_path):
    result = run("regress", tmp_path)
    assert result.exit_code == 5
    assert "no library" in result.stderr
