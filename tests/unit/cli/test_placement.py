import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import mapc
from oracles.printed import table

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not (DATA / "placement").is_dir(), reason="the recorded loads are not there; set MAPC_DATA"
)
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"

# two ranks with two slots: experts 0 and 1 apart, 4 + 1 and 3 + 2 is the best there is
LOADS = "4,3,2,1\n1,2,3,4\n"
CHECKED = ("balancedness", "worst_balancedness", "cross_rank", "cross_node", "moves")


@pytest.fixture
def loads(tmp_path):
    path = tmp_path / "loads.csv"
    path.write_text(LOADS)
    return path


@pytest.fixture
def instance(run, loads, tmp_path):
    target = tmp_path / "instance.json"
    done = run("import", "counts", loads, "--ranks", 2, "-o", target)
    assert done.exit_code == 0, done.stderr
    return target


def test_import_and_show(run, loads, tmp_path):
    target = tmp_path / "instance.json"
    options = ("--ranks", 2, "--nodes", 2, "--slots", 3, "--layers-from", 3, "--pin", "4:0:1")
    done = run("import", "counts", loads, *options, "-o", target, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["layers"], found["experts"]) == ("placement", 2, 4)
    problem = mapc.read(target)
    assert problem.counts.tolist() == [[[4, 3, 2, 1], [1, 2, 3, 4]]]
    assert (problem.n_nodes, problem.slots, problem.pinned.tolist()) == (2, 3, [[1, 0, 1]])
    assert mapc.read(loads, importer="counts", ranks=2).n_layers == 2
    shown = run("show", target)
    rows = table(shown)
    assert rows["layers"] == "2 of 4 experts"
    assert rows["ranks"] == "2 in 2 nodes, 3 slots each, 2 for replicas"
    assert rows["profiles"] == "loads: 20 tokens"
    assert rows["paid for"] == "work, in balanced layers; equal dispatch"
    assert rows["rules"] == "1 pinned"
    assert rows["hottest expert"] == "1.6 times the mean: 0 of layer 0, loads"
    assert rows["contiguous"].startswith("a step time of ")
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_more_of_a_problem(run, tmp_path):
    np.savez(tmp_path / "c.npz", day=[[4, 3, 2, 1]], night=[[1, 2, 3, 4]])
    (tmp_path / "map.json").write_text('{"physical_to_logical_map": [[0, 1, 2, 3, 1, 2]]}')
    target = tmp_path / "instance.json"
    options = ("--profile", "all", "--ranks", 3, "--dead", 2, "--goal", "worst", "--slots", 2)
    rules = ("--max-moves", 0, "--max-imbalance", 1.5, "--forbid", "0:0:1", "--traffic", "home")
    more = ("--current", tmp_path / "map.json")
    done = run("import", "counts", tmp_path / "c.npz", *options, *rules, *more, "-o", target)
    assert done.exit_code == 0, done.stderr
    rows = table(done)
    assert rows["ranks"] == "3, 1 of them dead, 2 slots each"
    assert rows["profiles"] == "day: 10 tokens; night: 10 tokens"
    assert rows["paid for"] == (
        "work and moves from home and back, in balanced layers; equal dispatch; "
        "the slowest profile counts"
    )
    assert rows["rules"] == "1 forbidden, at most 0 moves, load at most 1.5 times the mean"
    again = run(
        "import",
        "counts",
        tmp_path / "c.npz",
        "--profile",
        "day",
        "--ranks",
        3,
        *more,
        "-o",
        target,
    )
    assert again.exit_code == 0, again.stderr
    in_force = table(run("show", target))["in force"]
    assert re.match(r"a step time of \S+ balanced layers, balancedness ", in_force)


def test_result_for_people(run, instance):
    done = run("solve", instance, "-q", "--method", "contiguous")
    rows = table(done)
    # 7 of 10 tokens on one rank in both layers: 1.4 times a balanced layer, twice
    assert rows["objective"] == "a step time of 2.8 balanced layers"
    assert rows["balancedness"] == "0.7143, worst layer 0.7143"
    assert rows["step"] == "work 2.8"
    assert rows["cross traffic"] == "50.00 % of tokens leave their rank"
    assert not {"moves", "most replicas", "cross rank", "compute"} & rows.keys()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_result_for_machines(run, instance):
    found = json.loads(run("solve", instance, "-q", "--json", "--method", "contiguous").stdout)
    assert found["balancedness"] == found["worst_balancedness"] == pytest.approx(5 / 7)
    assert (found["cross_rank"], found["cross_node"], found["moves"]) == (0.5, 0, None)
    assert found["objective"] == pytest.approx(2.8)


def test_replicas_profiles_nodes_and_moves(run, tmp_path):
    np.savez(tmp_path / "c.npz", day=[[4, 3, 2, 1]], night=[[1, 2, 3, 4]])
    (tmp_path / "map.json").write_text('{"physical_to_logical_map": [[0, 1, 2, 3, 1, 2]]}')
    target = tmp_path / "instance.json"
    options = ("--profile", "all", "--ranks", 2, "--nodes", 2, "--max-moves", 2)
    more = ("--current", tmp_path / "map.json", "--expert-bytes", "1MiB")
    done = run("import", "counts", tmp_path / "c.npz", *options, *more, "-o", target)
    assert done.exit_code == 0, done.stderr
    done = run("solve", target, "-q", "--method", "stay", "-o", tmp_path / "plan.json")
    rows = table(done)
    assert rows["moves"] == "0 of 2, 0 B"
    assert rows["most replicas"] == "2 of one expert"
    assert rows["by profile"].startswith("day: ")
    assert "worst profile" in rows["balancedness"]
    assert rows["cross traffic"].endswith("% their node")
    *lines, written = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert written.split() == ["written", str(tmp_path / "plan.json")]  # a path stays whole
    checked = run("check", tmp_path / "plan.json").stdout
    assert re.match(r"valid: a step time of \S+ balanced layers, ", checked)
    assert "moves 0 of 2, 0 B" in " ".join(checked.split())


def test_problems_have_no_budgets(run, loads, instance, tmp_path):
    target = ("-o", tmp_path / "other.json")
    done = run("import", "counts", loads, "--ranks", 2, "--budget", "size=4", *target)
    assert (done.exit_code, "No such option" in done.stderr) == (2, True)
    done = run("solve", instance, "--budget", "size=4")
    assert (done.exit_code, "do not apply to placement problems" in done.stderr) == (2, True)


ERRORS = {
    "no ranks": ((), 2, "on how many GPUs? expected --ranks N, or --cluster FILE"),
    "not divisible": (("--ranks", 3), 2, "4 experts do not fill 3 ranks evenly; expected --slots"),
    "nodes": (("--ranks", 2, "--nodes", 4), 2, "--ranks 2 on --nodes 4: expected a number of"),
    "profile": (("--ranks", 2, "--profile", "x"), 2, "no such profile; expected all, or loads"),
    "goal": (("--ranks", 2, "--goal", "good"), 2, "'good' is not one of 'expected', 'worst'"),
    "cluster": (("--cluster", "nowhere.toml"), 5, "nowhere.toml: cannot be read: No such file"),
    "pin": (("--ranks", 2, "--pin", "0:9:0"), 2, "--pin '0:9:0': no expert 9; expected 0 to 3"),
    "limit": (("--ranks", 2, "--max-imbalance", 0.5), 5, "max_imbalance: 0.5; expected"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, loads, tmp_path, name):
    options, code, message = ERRORS[name]
    target = tmp_path / "instance.json"
    done = run("import", "counts", loads, *options, "-o", target)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", "1,nan\n", "profile 'c'[0, 1]: nan; expected a whole number"),
        ("c.csv", "1,-2\n", "profile 'c'[0, 1]: -2; expected a whole number 0 to"),
        ("c.csv", "0,0\n", "no tokens in any layer; expected a recording of some traffic"),
        ("c.json", '{"a": [[1, 2]], "b": [[1]]}', "profile 'b': shape (1, 1); expected (1, 2)"),
        ("c.npz", "PK", "neither .npy nor .npz"),
    ],
)
def test_bad_loads(run, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    options = ("--ranks", 1, "--profile", "all", "-o", tmp_path / "instance.json")
    done = run("import", "counts", tmp_path / name, *options)
    assert (done.exit_code, done.stdout) == (5, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@needs_data
def test_recorded_loads(run, tmp_path):
    target = tmp_path / "inst.json"
    options = ("--profile", "prefill_in4096", "--ranks", 32, "--nodes", 4, "--slots", 9)
    done = run("import", "counts", COUNTS, *options, "-o", target)
    assert done.exit_code == 0, done.stderr
    found = json.loads(run("solve", target, "--json", "-q", "--method", "eplb-global").stdout)
    assert set(CHECKED) <= found.keys()
    assert 0.97 < found["balancedness"] < 1
    assert found["cross_node"] == pytest.approx(0.75)
    done = run("import", "counts", COUNTS, "--profile", "all", *options[2:], "-o", target)
    assert len(mapc.read(target).profiles) == 6


@needs_data
def test_a_recorded_trace(run, tmp_path):
    target = tmp_path / "inst.json"
    assert run("import", "trace", TRACE, "--ranks", 8, "--nodes", 1, "-o", target).exit_code == 0
    found = json.loads(run("solve", target, "--json", "-q").stdout)
    plain = json.loads(run("solve", target, "--json", "-q", "--method", "contiguous").stdout)
    assert found["status"] == "optimal"
    assert found["cross_rank"] < plain["cross_rank"]
    assert found["objective"] < plain["objective"]
