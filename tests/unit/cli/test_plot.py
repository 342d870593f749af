from __future__ import annotations

import json
import subprocess
import sys

import pytest

from oracles.edited import edited

pytest.importorskip("matplotlib")


@pytest.fixture
def plan(run, buffers, tmp_path):
    path = tmp_path / "plan.json"
    assert run("solve", buffers, "--scratchpad", "12", "-o", path, "-q").exit_code == 0
    return path


def test_the_first_figure_is_drawn(run, plan, tmp_path):
    for suffix, magic in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("SVG", b"<?xml")):
        target = tmp_path / f"figure.{suffix}"
        done = run("plot", plan, "-o", target)
        assert (done.exit_code, done.stderr) == (0, "")
        assert target.read_bytes().startswith(magic)
        rows = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
        assert rows[:3] == ["figure", "title", "summary"]
        assert rows[-1] == "written"
        assert "buffer-map" in done.stdout


def test_a_figure_by_key_is_that_of_the_library(run, plan, tmp_path):
    from mapc.visual import plots
    from mapc.visual.loading import load

    target = tmp_path / "figure.svg"
    done = run(
        "plot", plan, "--figure", "live-bytes", "-o", target, "--width", 3.4, "--height", 2,
        "--no-title", "--json",
    )  # fmt: skip
    figure = plots.choose(plots.there(load(plan)), "live-bytes")
    wanted = plots.rendered(figure, "svg", width=3.4, height=2, title=False)
    assert target.read_bytes() == wanted
    assert json.loads(done.stdout) == {
        "figure": "live-bytes",
        "title": figure.title,
        "summary": figure.summary,
        "note": figure.note,
        "output": str(target),
    }


def test_pixels_follow_dpi(run, plan, tmp_path):
    target = tmp_path / "figure.png"
    assert run("plot", plan, "-o", target, "--width", 4, "--dpi", 50).exit_code == 0
    assert int.from_bytes(target.read_bytes()[16:20], "big") == 200


def test_a_plan_from_standard_input(run, plan, tmp_path):
    target = tmp_path / "figure.svg"
    done = run("plot", "-", "-o", target, input=plan.read_text())
    assert (done.exit_code, target.exists()) == (0, True)


def test_figures_are_listed(run, plan, monkeypatch):
    done = run("plot", plan, "--list")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["figure", "title"]
    assert [line.split()[0] for line in lines[1:3]] == ["buffer-map", "live-bytes"]
    listing = json.loads(run("plot", plan, "--list", "--json").stdout)["figures"]
    assert [one["figure"] for one in listing] == [line.split()[0] for line in lines[1:]]
    assert all(set(one) == {"figure", "title", "summary", "note"} for one in listing)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("plot", plan, "--list").stdout == done.stdout  # nothing is drawn for a list


def test_a_front_and_a_comparison_are_drawn(run, layers, tmp_path):
    plan, front, methods = tmp_path / "p.json", tmp_path / "f.json", tmp_path / "m.json"
    assert run("solve", layers, "-q", "-o", plan).exit_code == 0
    assert run("solve", layers, "--front", "-q", "-o", front).exit_code == 0
    methods.write_text(run("compare", layers, "-q", "--json", "--method", "core").stdout)
    target = tmp_path / "a.svg"
    extra = ("--front", front, "--comparison", methods)
    done = run("plot", plan, "--figure", "front", "-o", target, *extra)
    assert (done.exit_code, done.stderr) == (0, "")
    given = target.read_bytes()
    assert run("plot", plan, "--figure", "front", "-o", target).exit_code == 0
    assert target.read_bytes() != given
    done = run("plot", plan, "-o", target, "--front", plan)
    assert (done.exit_code, len(done.stderr.splitlines())) == (5, 1)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--figure", "map", "-o", "a.pdf"], 2, "figure 'map': not there; expected buffer-map, "),
        (["-o", "a.jpg"], 2, "a.jpg: unknown kind of file; expected .pdf or .png or .svg"),
        (["-o", "-"], 2, "-o -: does not say what to draw"),
        (["-o", "none/a.pdf"], 2, "cannot be written: no folder"),
        (["-o", "a.pdf", "--width", "0"], 2, "width 0: expected inches"),
        (["-o", "a.pdf", "--height", "nan"], 2, "height nan: expected inches"),
        (["-o", "a.png", "--dpi", "1e9"], 2, "dpi 1e+09: expected pixels per inch"),
        (["--list", "-o", "a.pdf"], 2, "--list and -o: expected one of them"),
        ([], 2, "expected -o FILE, or --list"),
        (["-o", "a.pdf", "--front", "missing.json"], 5, "missing.json: cannot be read"),
    ],
)
def test_what_cannot_be_drawn(run, plan, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = run("plot", plan, *args)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--front", "--comparison"])
def test_what_is_drawn_beside_a_plan_is_not_written_over(run, plan, tmp_path, option):
    beside = tmp_path / "beside.svg"
    beside.write_text("{}")
    done = run("plot", plan, option, beside, "-o", beside)
    assert done.exit_code == 2
    assert "is the file read from" in done.stderr
    assert beside.read_text() == "{}"


def test_a_plan_that_breaks_a_rule(run, plan, tmp_path):
    def overlap(document):
        document["plan"]["offset"] = [0] * len(document["plan"]["offset"])

    done = run("plot", edited(plan, overlap), "-o", tmp_path / "a.pdf")
    assert (done.exit_code, len(done.stderr.splitlines())) == (7, 1)
    assert "the plan breaks a rule" in done.stderr
    assert not (tmp_path / "a.pdf").exists()


def test_without_matplotlib(run, plan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("plot", plan, "-o", tmp_path / "a.pdf")
    assert done.exit_code == 6
    assert done.stderr == "mapc: error: drawing needs matplotlib: pip install 'mapc[plots]'\n"
    assert not (tmp_path / "a.pdf").exists()


def test_help_loads_no_arrays():
    code = (
        "import sys; from mapc.cli.plot import plot; "
        "assert not {'numpy', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
