import json
from functools import partial
from types import SimpleNamespace

import pytest

import mapc
from mapc import simulate as simulation
from mapc.instances.importers.lengths import import_lengths
from mapc.models.sequence.published.baselines import best_homogeneous, static
from mapc.models.sequence.verify import verify

QUICK = ("--compare", "static,homogeneous")


@pytest.fixture
def lengths(tmp_path):
    path = tmp_path / "lengths.csv"
    path.write_text("length\n" + "\n".join(str(100 + 37 * k % 4000) for k in range(64)) + "\n")
    return path


@pytest.fixture
def simulate(run, lengths):
    def call(*args):
        return run("simulate", lengths, "--ranks", 16, "--memory-limit-gb", 60, *args)

    return call


def problem(lengths, index: int, **options):
    return import_lengths(lengths, ranks=16, batch=16, index=index, memory_limit_gb=60.0, **options)


def test_json_has_every_step(simulate, lengths):
    done = simulate("--batch", 16, "--steps", 3, "--index", 1, "--json", "-q", *QUICK)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["steps"] == ["lengths-1", "lengths-2", "lengths-3"]
    assert (found["interrupted"], found["bound_scope"]) == (False, "step")
    assert [row["way"] for row in found["ways"]] == ["static", "homogeneous"]
    for row, make in zip(found["ways"], (static, best_homogeneous), strict=True):
        batches = [problem(lengths, index) for index in (1, 2, 3)]
        steps = [verify(one, make(one)).objective for one in batches]
        assert row["step_ms"] == steps
        assert row["mean_ms"] == pytest.approx(sum(steps) / 3)
        assert row["plans"] == len(row["step_seconds"]) == 3
        assert all(s >= bound for s, bound in zip(steps, found["bound_ms"], strict=True))
    assert found["ways"][1]["times_best"] == 1.0 < found["ways"][0]["times_best"]
    assert found["mean_bound_ms"] == pytest.approx(sum(found["bound_ms"]) / 3)


def test_options_of_the_importer_count(simulate, lengths):
    done = simulate("--batch", 16, "--steps", 1, "--json", "-q", "--degrees", "1,2", "--padding",
                    64, *QUICK)  # fmt: skip
    own = problem(lengths, 0, degrees=[1, 2], padding=64)
    assert json.loads(done.stdout)["ways"][0]["step_ms"] == [verify(own, static(own)).objective]


def test_a_file_is_read_once(simulate, monkeypatch):
    from mapc.instances.importers import lengths as importer

    calls, read = [], importer.read_lengths
    monkeypatch.setattr(importer, "read_lengths", lambda path: calls.append(path) or read(path))
    done = simulate("--batch", 16, "--steps", 3, "--json", "-q", "--compare", "static")
    assert json.loads(done.stdout)["steps"] == ["lengths-0", "lengths-1", "lengths-2"]
    assert len(calls) == 1


def test_the_table(simulate):
    done = simulate("--batch", 32, "--steps", 2, *QUICK)
    header, *rows = [line.split("  ") for line in done.stdout.splitlines()]
    assert [cell.strip() for cell in header if cell] == [
        "way", "mean ms", "times best", "worst", "mean gap", "s per step",
    ]  # fmt: skip
    assert [row[0] for row in rows] == [
        "static", "homogeneous", "bound", "steps: 2, lengths-0 to lengths-1",
    ]  # fmt: skip
    assert max(map(len, done.stdout.splitlines())) <= 80
    said = done.stderr.splitlines()
    assert [line.split(" ms,")[0].split()[:5] for line in said] == [
        ["step", "1", "of", "2:", "static"],
        ["step", "1", "of", "2:", "homogeneous"],
        ["step", "2", "of", "2:", "static"],
        ["step", "2", "of", "2:", "homogeneous"],
    ]


def test_packing_without_a_clock_is_the_planner(simulate, lengths, monkeypatch):
    monkeypatch.setattr(simulation, "Limits", partial(simulation.Limits, work=30_000))
    done = simulate("--steps", 1, "--json", "-q", "--compare", "packing", "--deadline", 0)
    row = json.loads(done.stdout)["ways"][0]
    made = mapc.Planner(mapc.Cluster(16), "gpt-7b", memory_limit_gb=60.0, work=30_000)
    whole = import_lengths(lengths, ranks=16, memory_limit_gb=60.0)
    assert row["step_ms"] == [made.plan(whole.lengths).step_ms]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--steps", 5, "--batch", 16), 5, "64 sequences; expected 0 to 3"),
        (("--steps", 1, "--compare", "x"), 2, "way 'x': unknown; expected static, "),
        (("--steps", 0), 2, "--steps"),
        (("--steps", 1, "--deadline", "-1"), 2, "expected seconds"),
        (("--steps", 1, "--model", "gpt-8b"), 2, "gpt-8b"),
        (("--steps", 1, "--ranks-per-node", 3), 5, "ranks per node: 3; expected a power of two"),
        (("--steps", 1, "--most", 0), 5, "most"),
    ],
)
def test_bad_calls_are_one_line(simulate, args, code: int, message: str):
    done = simulate("-q", *args)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stdout == ""


def test_no_plan_is_an_end_of_its_own(run, tmp_path):
    path = tmp_path / "tight.csv"
    path.write_text("4200,4200,4200\n")  # two micro-batches of one group, no two in one
    done = run("simulate", path, "--ranks", 1, "--steps", 1, "--most", 2, "-q", *QUICK,
               "--model", "megatron", "--tokens-per-rank", "8Ki")  # fmt: skip
    assert done.exit_code == 4, done.stderr
    assert "no way found a plan" in done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["static", "-"]


@pytest.mark.parametrize(("at", "code"), [(1, 130), (2, 0), (3, 0)])
def test_an_interrupt_shows_the_steps_that_were_finished(simulate, monkeypatch, at, code):
    calls = []

    def solve(problem, **options):
        calls.append(problem)
        if len(calls) == at:
            raise KeyboardInterrupt
        return SimpleNamespace(interrupted=False, objective=1e6, bound=1.0)

    monkeypatch.setattr(simulation.api, "solve", solve)
    ways = ("--compare", "static,solve")
    done = simulate("--batch", 16, "--steps", 4, "--json", *ways)
    assert done.exit_code == code, done.stderr
    if code:
        assert (done.stdout, done.stderr.splitlines()[-1]) == ("", "mapc: error: interrupted")
        return
    found = json.loads(done.stdout)
    assert found["interrupted"] is True
    assert found["steps"] == [f"lengths-{index}" for index in range(at - 1)]
    assert [len(row["step_ms"]) for row in found["ways"]] == [at - 1, at - 1]
    calls.clear()
    assert "interrupted after" in simulate("--batch", 16, "--steps", 4, *ways).stdout
