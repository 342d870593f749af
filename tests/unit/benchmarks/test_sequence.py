"""What the sequence benchmarks print, and the peers they run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from mapc.models.sequence.published.flexsp import Options, homogeneous_starts
from mapc.models.sequence.published.flexsp_model import lower, one_micro_batch
from mapc.models.sequence.verify import verify
from oracles.sequence_cases import brute_force, problem_of

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
EXACT = Options(counts=9, least_degree=1, equality=False, prune=False, buckets=False)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def report():
    return import_module("sequence_report")


@pytest.fixture
def peers():
    pytest.importorskip("pyscipopt", reason="SCIP is not installed")
    return import_module("sequence_peers")


# -- records -------------------------------------------------------------------------------------


def test_a_journal_goes_on_where_it_stopped(report, tmp_path) -> None:
    path = tmp_path / "records.jsonl"
    case, limit = {"model": "gpt-7b", "batch": 3}, {"seconds": 5.0}
    first = report.Journal(path)
    first.add(report.Record(case, "proof", limit, 3200.0, 3150.0, 4.0, 3.0, {"by": "step"}))
    with path.open("a") as file:
        file.write('{"case": {"model": "gpt-7b"')  # ended while it wrote
    again = report.Journal(path)
    assert again.get(dict(reversed(case.items())), "proof", limit) == first.get(
        case, "proof", limit
    )
    assert again.get(case, "proof", {"seconds": 6.0}) is None
    assert again.get({**case, "batch": 4}, "proof", limit) is None
    assert len(again.records) == 1
    again.add(report.Record(case, "static", {}, 4000.0))
    again.add(report.Record({**case, "batch": 4}, "static", {}, 3000.0))
    assert again.best_ms(case) == 3200.0
    assert again.best_ms({}) == float("inf")
    assert len(report.Journal(path).records) == 3


def test_figures(report) -> None:
    def record(ms, bound=None):
        return report.Record({}, "", {}, ms, bound)

    case = {"a": record(110.0, 100.0), "b": record(105.0, 80.0), "c": record(None, 104.0)}
    assert report.gap(case["a"]) == pytest.approx(0.1)
    assert report.gap(case["c"]) is None
    assert report.excess(case["a"], 100.0) == pytest.approx(0.1)
    assert report.excess(case["c"], 100.0) is None
    cases = [case, {"a": record(5.0), "b": record(5.0)}, {"a": record(1.0)}]
    assert report.worse(cases, "a", "b") == (1, 2)
    assert report.worse(cases, "c", "a") == (1, 1)
    assert report.worse(cases, "a", "c") == (0, 0)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (10, 10), (100, 99), (101, 100), (200, 198)])
def test_percentile(report, n, expected) -> None:
    assert report.percentile(list(range(n, 0, -1)), 0.99) == expected


def test_a_table(report) -> None:
    text = report.markdown(["name", "ms"], [["a", "1"], ["longer", "1,000"]])
    assert text.splitlines() == [
        "| name   |    ms |",
        "| ------ | ----: |",
        "| a      |     1 |",
        "| longer | 1,000 |",
    ]


# -- peers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["scip", "highs"])
def test_the_peers_find_what_enumeration_finds(peers, solver) -> None:
    problem = problem_of([8, 8, 5, 3], most=1)
    answer = peers.flexsp(problem, solver, 20.0, EXACT)
    assert answer.plan is not None
    assert verify(problem, answer.plan).violations == ()
    assert answer.ms == brute_force(problem).step_ms
    assert answer.counts == [1]
    assert len(answer.seconds) == 1
    assert answer.together == answer.in_turn == answer.seconds[0]


def test_scip_without_time_returns_the_best_start(peers) -> None:
    rng = np.random.default_rng(1)
    problem = one_micro_batch(
        problem_of(rng.integers(1, 9, 24).tolist(), n_ranks=16), np.arange(24)
    )
    program, lift = lower(problem, buckets=6)
    starts = [lift.values(given) for given in homogeneous_starts(lift)]
    assert len(starts) == 3
    values = peers.by_scip(program, lift, starts[::-1], 0.0)
    assert values[-1] == pytest.approx(starts[0][-1], rel=1e-9)
    assert peers.by_scip(program, lift, [], 0.0) is None


# -- the run -------------------------------------------------------------------------------------


def test_a_run_is_resumed_and_told(report, tmp_path, capsys, monkeypatch) -> None:
    run = import_module("sequence")
    monkeypatch.setattr(run, "WARM", 0.05)
    rng = np.random.default_rng(0)
    lengths = tmp_path / "lengths.npz"
    np.savez(lengths, lengths=rng.integers(200, 9000, 3 * run.BATCH))
    arguments = argparse.Namespace(
        lengths=lengths, models=["gpt-7b"], max_lengths=["192K"], batches=2, first=1,
        deadline=0.05, seconds=0.05, flexsp=0, flexsp_highs=0, flexsp_seconds=1.0,
        minutes=5.0, json=None,
    )  # fmt: skip
    journal = report.Journal(tmp_path / "records.jsonl")
    assert run.advance(arguments, journal)
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == 2 * [
        *("homogeneous", "static", "megatron", "deadline", "proof")
    ]
    assert run.advance(arguments, journal)
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == len(lines)
    capsys.readouterr()
    run.report(arguments, journal)
    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if line.startswith("| gpt-7b |")]
    assert len(rows) == 2
    steps = {m: [] for m in ("homogeneous", "proof")}
    for record in journal.records.values():
        if record.method in steps:
            steps[record.method].append(record.ms)
    assert all(f"{ms:,.1f}" in row for ms, row in zip(steps["proof"], rows, strict=True))
    assert f"{sum(steps['homogeneous']) / 2:,.1f}" in told
    arguments.minutes, arguments.first = 0.0, 0
    assert not run.advance(arguments, journal)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are read from /proc")
def test_the_time_of_a_child_counts_while_it_lives() -> None:
    run = import_module("sequence")
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before, own = run.cpu_seconds(), time.process_time()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", busy], stdin=pipe, stdout=pipe) as child:
        assert child.stdout.readline() == b"\n"
        counted = run.cpu_seconds() - before
        child.communicate(b"\n")
    # the system counts in hundredths of a second
    assert counted - (time.process_time() - own) > 0.25


def test_the_table_of_sizes_has_a_row_for_every_measured_case(monkeypatch) -> None:
    scale = import_module("sequence_scale")
    problem = problem_of([8, 7, 5, 3, 2])
    exact = {"seconds": None}  # no clock
    record = scale.measured({"size": "4x5"}, exact, problem)
    assert record.ms == brute_force(problem).ticks * problem.tick
    record.settings["seconds"] = 1.0
    head, _, row = scale.table("ranks x sequences", [record]).splitlines()
    assert head.count("|") == row.count("|")
    assert "4x5" in row
