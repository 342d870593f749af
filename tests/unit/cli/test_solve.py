import csv
import json
import os
import pty
import shutil
import signal

import pytest

from mapc.errors import UnavailableError

KEYS = {"status", "objective", "bound", "gap", "method", "seconds"}
SOLVERS_OFF = {"MAPC_DISABLE": "highs,cpsat,pyomo"}


def test_optimal_plan(run, net, tmp_path):
    plan = tmp_path / "plan.json"
    done = run("solve", net, "--scratchpad", "M_R", "-o", plan, "--json")
    assert done.exit_code == 0
    result = json.loads(done.stdout)
    assert result.keys() >= KEYS
    assert (result["status"], result["objective"], result["bound"]) == ("optimal", 8, 8)
    assert (result["gap"], result["kind"], result["capacity_bytes"]) == (0, "memory", 12)
    assert (result["compulsory_bytes"], result["peak_bytes"]) == (8, 12)
    assert result["output"] == str(plan)
    assert json.loads(plan.read_text())["result"]["objective"] == 8


@pytest.mark.parametrize(("scratchpad", "extra"), [("12", 8), ("16B", 0), ("M_H", 8), ("M_P", 0)])
def test_capacities(run, net, scratchpad, extra):
    done = run("solve", net, "--scratchpad", scratchpad, "--json", "-q")
    assert json.loads(done.stdout)["objective"] == extra


def test_table(run, net):
    done = run("solve", net, "--scratchpad", "M_R")
    assert done.exit_code == 0
    table = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    rows = {label: value.strip() for label, value in table.items()}
    assert rows["status"] == "optimal"
    assert rows["objective"] == "8 B extra off-chip traffic"
    assert rows["compulsory traffic"] == "8 B"
    assert rows["bound"].startswith("8 B, by ")
    assert rows["gap"] == "0 %"
    assert rows["capacity"] == "12 B (M_R)"
    assert rows["peak used"] == "12 B"
    assert rows["method"]
    assert float(rows["seconds"]) >= 0
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_progress_goes_to_stderr(run, net):
    done = run("solve", net, "--scratchpad", "M_R", "--json")
    lines = done.stderr.splitlines()
    assert any(" s incumbent: 8 B extra off-chip traffic, bound " in line for line in lines)
    assert any(" s bound: " in line for line in lines)
    json.loads(done.stdout)


def test_quiet(run, net):
    assert run("solve", net, "--scratchpad", "M_R", "--quiet").stderr == ""


def test_all_four_formats(run, net, buffers, tmp_path):
    instance = tmp_path / "instance.json"
    run("import", net, "--scratchpad", "M_R", "-o", instance)
    assert json.loads(run("solve", instance, "--json").stdout)["objective"] == 8
    assert json.loads(run("solve", buffers, "--json").stdout)["objective"] == 12
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 8])
        for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "relu", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "relu.onnx")
    options = ("--dtype", "int8", "--dim", "batch=2", "--scratchpad", "M_P", "--json")
    result = json.loads(run("solve", tmp_path / "relu.onnx", *options).stdout)
    assert (result["status"], result["compulsory_bytes"]) == ("optimal", 32)


def test_standard_input(run, net):
    done = run("solve", "-", "--scratchpad", "16", "--json", input=net.read_text())
    assert json.loads(done.stdout)["objective"] == 0


def test_offsets_as_csv(run, buffers, tmp_path):
    target = tmp_path / "placed.csv"
    assert run("solve", buffers, "--scratchpad", "12", "-o", target).exit_code == 0
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["id"] for row in rows] == ["p", "q", "r"]
    assert all(int(row["offset"]) + int(row["size"]) <= 12 for row in rows)


@pytest.mark.parametrize("limit", ["0", "none"])
def test_without_a_clock(run, net, limit):
    first, second = (
        json.loads(run("solve", net, "--scratchpad", "M_R", "--time-limit", limit, "--json").stdout)
        for _ in range(2)
    )
    assert first["status"] == "optimal"
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_options_reach_the_search(run, net, monkeypatch):
    seen = {}

    def solve(problem, **options):
        seen.update(options)
        raise UnavailableError("enough")

    monkeypatch.setattr("mapc.api.solve", solve)
    options = "--time-limit 5 --gap 0.25 --method gap --method cosma --seed 3 --workers 2"
    done = run("solve", net, *options.split(), "--memory-limit", "4GiB", "-q")
    assert done.exit_code == 6
    assert seen == {
        "minimize": None,
        "time_limit": 5.0,
        "gap": 0.25,
        "methods": ["gap", "cosma"],
        "seed": 3,
        "workers": 2,
        "memory_limit": 4 * 2**30,
        "on_event": None,
    }


# -- ends that are no success ----------------------------------------------------------------------

FAILURES = {
    "infeasible": (("--scratchpad", "11"), {}, 3, "proven infeasible: operator 'second'"),
    "no plan in time": (("--scratchpad", "12", "--time-limit", "1e-9"), {}, 4, "no plan"),
    "no scratchpad": ((), {}, 2, "no scratchpad size"),
    "no size": (("--scratchpad", "much"), {}, 2, "'much': not a size"),
    "no reference": (("--scratchpad", "M_X"), {}, 2, "1.5MiB, M_R, M_H, M_P"),
    "banks": (("--scratchpad", "12", "--rule", "banks=8+8"), {}, 2, "banks instead; expected no"),
    "banks too small": (("--rule", "banks=6+5"), {}, 3, "the banks together have 11"),
    "pinned": (("--scratchpad", "13", "--rule", "pinned=x"), {}, 3, "what is pinned included"),
    "front at a size": (("--scratchpad", "12", "--front"), {}, 2, "--front goes through all"),
    "method": (("--scratchpad", "12", "--method", "magic"), {}, 2, "'magic': unknown"),
    "gap": (("--scratchpad", "12", "--gap", "nan"), {}, 2, "gap nan"),
    "option": (("--scratchpad", "12", "--fuse"), {}, 2, "fuse does not apply"),
    "no solver": (("--scratchpad", "12", "--method", "cosma"), SOLVERS_OFF, 6, "not installed"),
    "no proof": (
        ("--scratchpad", "12", "--method", "eviction", "--require-optimal"),
        {},
        7,
        "not proven optimal",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("as_json", [False, True])
def test_failures_write_nothing(run, net, tmp_path, case, as_json):
    args, env, code, message = FAILURES[case]
    plan = tmp_path / "plan.json"
    plan.write_text("precious")
    before = sorted(os.listdir(tmp_path))
    extra = ("--json",) if as_json else ()
    done = run("solve", net, *args, "-o", plan, "--quiet", *extra, env=env)
    assert done.exit_code == code
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("mapc: error: ")
    assert message in done.stderr
    assert plan.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == before
    if as_json and code in (3, 4, 6, 7):
        result = json.loads(done.stdout)
        statuses = {3: "infeasible", 4: "unknown", 6: "unknown", 7: "feasible"}
        assert result["status"] == statuses[code]
        assert result["output"] is None
        assert bool(result["reason"]) == (code != 7)


def test_bad_input(run, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"ops": [')
    done = run("solve", bad, "--json")
    assert (done.exit_code, done.stdout) == (5, "")
    assert len(done.stderr.splitlines()) == 1
    assert run("solve", tmp_path / "absent.json").exit_code == 5


def test_infeasible_found_by_a_method(run, net, monkeypatch):
    from mapc.errors import InfeasibleError

    def solve(problem, **options):
        raise InfeasibleError("shown on the way")

    monkeypatch.setattr("mapc.api.solve", solve)
    done = run("solve", net, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["reason"] == "shown on the way"


def test_require_optimal_met(run, net):
    assert run("solve", net, "--scratchpad", "M_R", "--require-optimal").exit_code == 0


@pytest.mark.parametrize("target", ["absent/plan.json", "folder.json", "plan.txt", "net.json"])
def test_targets_are_refused_before_reading(run, net, tmp_path, monkeypatch, target):
    (tmp_path / "folder.json").mkdir()
    monkeypatch.setattr("mapc.api.read", lambda *a, **k: pytest.fail("read before the refusal"))
    done = run("solve", net, "--scratchpad", "M_R", "-o", tmp_path / target)
    assert done.exit_code == 2
    assert target in done.stderr


def test_memory_plan_as_csv_is_refused_before_solving(run, net, tmp_path, monkeypatch):
    monkeypatch.setattr("mapc.api.solve", lambda *a, **k: pytest.fail("solved"))
    done = run("solve", net, "--scratchpad", "M_R", "-o", tmp_path / "plan.csv")
    assert (done.exit_code, "plan.csv" in done.stderr) == (2, True)


def test_a_write_that_fails_still_prints_the_result(run, net, tmp_path, monkeypatch):
    from mapc.errors import UsageError

    def write(*args, **kwargs):
        raise UsageError("plan.json: cannot be written: No space left on device")

    monkeypatch.setattr("mapc.api.write", write)
    done = run(
        "solve", net, "--scratchpad", "M_R", "-o", tmp_path / "plan.json", "--json", "--quiet"
    )
    assert done.exit_code == 2
    assert json.loads(done.stdout)["output"] is None
    assert done.stderr.splitlines() == [
        "mapc: error: plan.json: cannot be written: No space left on device"
    ]


# -- signals and terminals -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_returns_the_incumbent(run, start, wide, tmp_path, number):
    plan = tmp_path / "plan.json"
    process = start("solve", wide, "--scratchpad", "M_R", "--time-limit", 300, "--json", "-o", plan)
    for line in process.stderr:
        if " incumbent: " in line:
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    assert (result["interrupted"], result["status"]) == (True, "feasible")
    checked = json.loads(run("check", wide, plan, "--json").stdout)
    assert (checked["valid"], checked["objective"]) == (True, result["objective"])


def test_a_signal_before_a_plan(start, tmp_path):
    pipe = tmp_path / "slow.json"
    os.mkfifo(pipe)
    process = start("solve", pipe, "--scratchpad", "M_R", "-o", tmp_path / "plan.json")
    with open(pipe, "w"):  # returns when the command waits for what to read
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (stdout, stderr) == ("", "mapc: error: interrupted\n")
    assert os.listdir(tmp_path) == ["slow.json"]


def test_interrupted_without_a_plan(run, net, monkeypatch):
    from mapc.solvers.base import Status
    from mapc.solvers.result import Result

    nothing = Result("memory", Status.UNKNOWN, interrupted=True, reason="interrupted before")
    monkeypatch.setattr("mapc.api.solve", lambda *a, **k: nothing)
    done = run("solve", net, "--json")
    assert done.exit_code == 130
    assert json.loads(done.stdout)["interrupted"] is True


def test_reader_that_goes_away(start, net, tmp_path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    plan = tmp_path / "plan.json"
    process = start(
        "solve", net, "--scratchpad", "M_R", "-q", "-o", plan, stdout=write_end, stderr=-1
    )
    os.close(write_end)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert plan.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_standard_output(start, net):
    with open("/dev/full", "w") as full:
        process = start("solve", net, "--scratchpad", "M_R", "-q", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stderr == "mapc: error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal(start, net, no_color):
    master, slave = pty.openpty()
    env = {"TERM": "xterm", "COLUMNS": "80", **({"NO_COLOR": "1"} if no_color else {})}
    process = start(
        "solve", net, "--scratchpad", "M_R", env=env, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"\r\x1b[2K" in shown  # the live line
    assert (b"\x1b[32m" in shown) == (not no_color)
    assert b"extra off-chip traffic" in shown


def test_minimize_writes_the_capacity_it_found(run, net, tmp_path):
    plan = tmp_path / "plan.json"
    done = run("solve", net, "--minimize", "peak", "-q", "-o", plan)
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:2] == ["status optimal", "objective a peak of 16 B"]
    written = json.loads(plan.read_text())
    assert written["instance"]["problem"]["capacity"] == 16
    assert run("check", plan).stdout.startswith("valid: 0 B extra off-chip traffic, capacity 16 B")
    written["result"]["objective"] = 15
    plan.write_text(json.dumps(written))
    assert "recorded objective 15, recomputed 16" in run("check", plan).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minimize", "speed"], "--minimize speed: expected peak"),
        (["--minimize", "peak", "--scratchpad", "16"], "--scratchpad: a capacity"),
        (["--minimize", "peak", "--front"], "--minimize does not apply to --front"),
    ],
)
def test_what_does_not_go_with_minimize(run, net, options, message):
    done = run("solve", net, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_minimize_and_keep_order_elsewhere(run, layers, buffers, tmp_path):
    for option, words in (("--keep-order", "memory"), ("--minimize=peak", "a memory or an alloc")):
        done = run("solve", layers, option)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert "does not apply to bits problems" in done.stderr
        assert words in done.stderr
    written = tmp_path / "out.csv"
    done = run("solve", buffers, "--minimize", "peak", "-q", "-o", written)
    assert "a peak of 12 B" in done.stdout
    assert run("check", written).stdout.startswith("valid: a peak of 12 B")


def test_keep_order(run, tmp_path):
    net = {
        "name": "branches",
        "unit": "bytes",
        "inputs": ["x"],
        "outputs": ["y"],
        "tensors": {"x": 2, "a": 4, "b": 4, "c": 1, "d": 1, "y": 1},
        "ops": [
            {"op": "mix", "name": "wide_a", "ins": ["x"], "outs": ["a"]},
            {"op": "mix", "name": "wide_b", "ins": ["x"], "outs": ["b"]},
            {"op": "mix", "name": "narrow_a", "ins": ["a"], "outs": ["c"]},
            {"op": "mix", "name": "narrow_b", "ins": ["b"], "outs": ["d"]},
            {"op": "mix", "name": "join", "ins": ["c", "d"], "outs": ["y"]},
        ],
    }
    file, plan, free = (tmp_path / name for name in ("net.json", "plan.json", "free.json"))
    file.write_text(json.dumps(net))
    done = run("solve", file, "--scratchpad", 9, "--keep-order", "-q", "-o", plan)
    assert "8 B extra" in done.stdout
    assert run("check", plan).exit_code == 0
    run("solve", file, "--scratchpad", 9, "-q", "-o", free)
    assert run("check", file, free).exit_code == 0
    done = run("check", file, free, "--keep-order")
    assert done.exit_code == 7
    assert "where operator 'wide_b' is next" in done.stdout


def test_names_that_are_no_utf8_are_written_and_told(run, net, tmp_path):
    name = os.fsdecode(b"net\xff.json")
    try:
        shutil.copy(net, tmp_path / name)
    except OSError:
        pytest.skip("the file system has no such names")
    plan, report = tmp_path / os.fsdecode(b"plan\xff.json"), tmp_path / "report.html"
    options = ("--scratchpad", "12", "-q", "-o", plan, "--report", report)
    assert run("solve", tmp_path / name, *options).exit_code == 0
    assert "net\\xff.json" in json.loads(plan.read_bytes())["result"]["command"]
    assert "net\\xff.json" in report.read_text(encoding="utf-8")
    assert run("report", plan, "-o", report).exit_code == 0
    report.read_bytes().decode()
