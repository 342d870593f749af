import json

import pytest

import mapc
from mapc.cli.compare import columns
from mapc.models import family
from mapc.models.base import HEURISTIC, Method


@pytest.fixture
def placement(run, tmp_path):
    source, target = tmp_path / "loads.csv", tmp_path / "instance.json"
    source.write_text("4,3,2,1\n1,2,3,4\n")
    assert run("import", "counts", source, "--ranks", 2, "-o", target).exit_code == 0
    return target


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_every_method_of_the_family(run, placement):
    done = run("compare", placement, "--json", "-q", "--time-limit", "none")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["method"] for row in found["methods"]] == [
        m.name for m in family("placement").methods
    ]
    assert found["kind"] == "placement"
    by_name = {row["method"]: row for row in found["methods"]}
    assert by_name["contiguous"]["objective"] == pytest.approx(2.8)
    assert by_name["contiguous"]["balancedness"] == pytest.approx(5 / 7)
    assert by_name["contiguous"]["cross_rank"] == 0.5
    assert by_name["contiguous"]["moves"] is None
    assert (by_name["floor"]["objective"], by_name["floor"]["stage"]) == (None, "bound")
    plans = [row for row in found["methods"] if row["objective"] is not None]
    assert found["bound"] == max(row["bound"] for row in found["methods"] if row["bound"])
    for row in plans:
        assert row["objective"] >= by_name[found["best"]]["objective"] >= found["bound"]
        assert row["gap"] == pytest.approx(1 - found["bound"] / row["objective"])
        assert row["seconds"] >= 0


def test_each_method_is_alone(run, placement):
    """What it finds is what ``solve --method`` finds."""
    options = ("--json", "-q", "--time-limit", "none", "--seed", 3)
    names = ("--method", "contiguous", "--method", "eplb")
    rows = json.loads(run("compare", placement, *options, *names).stdout)["methods"]
    assert [row["method"] for row in rows] == ["contiguous", "eplb"]
    for row in rows:
        alone = json.loads(run("solve", placement, *options, "--method", row["method"]).stdout)
        assert row["objective"] == alone["objective"]
        assert row["balancedness"] == alone["balancedness"]


def test_the_table(run, placement):
    names = ("floor", "contiguous", "eplb", "stay")
    done = run("compare", placement, "-q", *(x for n in names for x in ("--method", n)))
    header, *rows = cells(done.stdout)
    # of one profile the worst is the mean, and nothing is in force to move from
    assert header == ["method", "objective", "bound", "gap", "even", "rank", "node", "seconds"]
    assert [row[0] for row in rows[:4]] == list(names)
    assert rows[0][1:7] == ["-", "2", "-", "-", "-", "-"]
    assert rows[1][1:7] == ["2.8", "-", "28.57%", "0.7143", "50.0%", "0.0%"]
    assert rows[2][:6] == ["eplb", "*", "2", "-", "0%", "1.0000"]
    assert rows[3][1:7] == ["-"] * 6
    assert "* a step time of 2 balanced layers, the best plan" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_progress_goes_to_standard_error(run, placement):
    done = run("compare", placement, "--method", "contiguous")
    assert "contiguous ..." in done.stderr
    assert "contiguous ..." not in done.stdout
    assert run("compare", placement, "--method", "contiguous", "-q").stderr == ""


@pytest.mark.parametrize("file", ["layers", "buffers", "net"])
def test_other_families(run, request, file):
    path = request.getfixturevalue(file)
    done = run("compare", path, "--json", "-q", *(["--scratchpad", "M_P"] if file == "net" else []))
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    methods = [method.name for method in family(found["kind"]).methods]
    assert [row["method"] for row in found["methods"]] == methods
    best = min(row["objective"] for row in found["methods"] if row["objective"] is not None)
    assert best == (11 if file == "layers" else found["bound"])


def test_one_broken_method_does_not_cost_the_table(run, placement, monkeypatch):
    def broken(problem, search):
        raise ZeroDivisionError("by nothing")

    chosen = family("placement")
    methods = (Method("broken", HEURISTIC, broken, "."), *chosen.methods)
    monkeypatch.setattr(type(chosen), "methods", methods)
    names = ("--method", "broken", "--method", "contiguous")
    done = run("compare", placement, "-q", *names)
    assert done.exit_code == 0
    assert "broken: failed: ZeroDivisionError: by nothing" in done.stdout
    rows = json.loads(run("compare", placement, "-q", "--json", *names).stdout)["methods"]
    assert [row["objective"] is None for row in rows] == [True, False]
    assert rows[0]["reason"] == "failed: ZeroDivisionError: by nothing"


def test_an_interrupt_keeps_what_was_found(run, placement, monkeypatch):
    def interrupted(problem, search):
        raise KeyboardInterrupt

    chosen = family("placement")
    methods = (
        *chosen.methods[:2],
        Method("stopped", HEURISTIC, interrupted, "."),
        chosen.methods[2],
    )
    monkeypatch.setattr(type(chosen), "methods", methods)
    done = run("compare", placement, "-q", "--json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)["methods"]
    assert [row["method"] for row in rows] == ["floor", "contiguous", "stopped"]
    assert rows[-1]["interrupted"]
    monkeypatch.setattr(type(chosen), "methods", methods[2:])
    done = run("compare", placement, "-q")
    assert (done.exit_code, "interrupted" in done.stderr) == (130, True)


def test_ends(run, placement, layers, net):
    done = run("compare", placement, "-q", "--method", "floor")
    assert (done.exit_code, "no method found a plan" in done.stderr) == (4, True)
    done = run("compare", placement, "--method", "guess")
    assert (done.exit_code, "method 'guess': unknown for placement" in done.stderr) == (2, True)
    done = run("compare", layers, "-q", "--budget", "size=1")
    assert (done.exit_code, "proven infeasible" in done.stderr) == (3, True)
    assert run("compare", net, "-q").exit_code == 2  # no capacity is given


def test_as_a_verb(placement):
    seen = []
    results = mapc.compare(
        mapc.read(placement), methods=["eplb", "contiguous"], on_method=seen.append
    )
    assert list(results) == seen == ["contiguous", "eplb"]
    assert results["contiguous"].objective == pytest.approx(2.8)


def test_a_wide_table_gets_closer():
    text = columns({"method": ["a"], **{f"column{i:02}": ["1"] for i in range(8)}})
    assert [len(line) for line in text.splitlines()] == [78, 78]
    assert columns({"m": ["long", "x"], "n": ["1", "22"]}) == "m      n\nlong   1\nx     22"
