import json
import sys
from types import SimpleNamespace

import pytest

from mapc.deploy import EXPORTERS, Exporter
from mapc.options import Option
from oracles.edited import edited


@pytest.fixture
def plan(run, layers, tmp_path):
    path = tmp_path / "plan.json"
    assert run("solve", layers, "-o", path, "-q").exit_code == 0
    return path


def echo(problem, plan, **options):
    return f"{problem.name} {plan.option.tolist()} {sorted(options.items())}\n"


@pytest.fixture
def runtimes(monkeypatch):
    """Two runtimes, one for each of two families."""
    options = (
        Option("names", "What groups are called.", choices=("gguf", "hf"), default="gguf"),
        Option("rename", "Rules.", many=True),
        Option("fixed", "Bits.", int),
    )
    known = {
        "echo": Exporter("echo", "bits", ".txt", "echo_runtime:echo", options, "Says it."),
        "header": Exporter("header", "memory", ".h", "echo_runtime:echo", (), "A C header."),
    }
    monkeypatch.setattr("mapc.deploy.EXPORTERS", known)
    monkeypatch.setitem(sys.modules, "echo_runtime", SimpleNamespace(echo=echo))


def test_to_standard_output(run, plan, runtimes):
    done = run("export", plan, "--to", "echo")
    assert (done.exit_code, done.stdout) == (0, "layers [1, 2, 4] []\n")
    assert run("export", plan, "--to=echo", "-o", "-").stdout == done.stdout
    assert run("export", "-", "--to", "echo", input=plan.read_text()).stdout == done.stdout


def test_to_a_file(run, plan, runtimes, tmp_path):
    target = tmp_path / "types.anything"
    done = run("export", plan, "--to", "echo", "-o", target, "--json")
    assert target.read_text() == "layers [1, 2, 4] []\n"
    assert json.loads(done.stdout) == {"runtime": "echo", "output": str(target), "bytes": 20}
    assert run("export", plan, "--to", "echo", "-o", target).stdout == ""


@pytest.fixture
def binary(monkeypatch, runtimes):
    """The first runtime writes bytes that are no text."""
    monkeypatch.setitem(sys.modules, "echo_runtime", SimpleNamespace(echo=lambda *_: b"\xff\x00"))


def test_binary_files(run, plan, binary, tmp_path):
    target = tmp_path / "tables.npz"
    done = run("export", plan, "--to", "echo", "-o", target, "--json")
    assert target.read_bytes() == b"\xff\x00"
    assert json.loads(done.stdout)["bytes"] == 2
    assert run("export", plan, "--to", "echo").stdout_bytes == b"\xff\x00"


def test_binary_files_are_kept_from_terminals(run, plan, binary, monkeypatch):
    terminal = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("mapc.cli.export.sys", terminal)
    done = run("export", plan, "--to", "echo")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "echo writes a binary file, no text; give a file name with -o" in done.stderr


def test_options_of_the_runtime_are_flags(run, plan, runtimes):
    done = run(
        "export", plan, "--to", "echo", "--names", "hf", "--rename", "a=>b,c=>d", "--fixed", 8
    )
    assert done.stdout == (
        "layers [1, 2, 4] [('fixed', 8), ('names', 'hf'), ('rename', ['a=>b', 'c=>d'])]\n"
    )
    text = run("export", "--to", "echo", "--help").stdout
    assert "--names [gguf|hf]" in text
    assert "Says it." in text
    assert "--names" not in run("export", "--help").stdout


ERRORS = {
    "nothing": ((), 2, "expected PLAN and --to RUNTIME, or --list"),
    "no runtime": (("PLAN",), 2, "expected PLAN and --to RUNTIME, or --list"),
    "no plan": (("--to", "echo"), 2, "expected PLAN and --to RUNTIME, or --list"),
    "unknown runtime": (("PLAN", "--to", "vllm"), 2, "runtime 'vllm': unknown; expected echo"),
    "wrong family": (
        ("PLAN", "--to", "header"),
        2,
        "runtime 'header': takes no bits plans; expected echo",
    ),
    "unknown option": (("PLAN", "--to", "echo", "--color", "x"), 2, "No such option"),
    "option of another": (("PLAN", "--to", "header", "--names", "hf"), 2, "No such option"),
    "bad choice": (("PLAN", "--to", "echo", "--names", "x"), 2, "'x' is not one of"),
    "json twice": (("PLAN", "--to", "echo", "--json"), 2, "--json without -o"),
    "onto itself": (("PLAN", "--to", "echo", "-o", "PLAN"), 2, "is the file read from"),
    "no folder": (("PLAN", "--to", "echo", "-o", "/nowhere/x"), 2, "no folder"),
    "no such file": (("absent.json", "--to", "echo"), 5, "cannot be read"),
    "an instance": (("INSTANCE", "--to", "echo"), 5, "an instance file without a plan"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(run, plan, layers, runtimes, name):
    args, code, message = ERRORS[name]
    files = {"PLAN": plan, "INSTANCE": layers}
    before = plan.read_text()
    done = run("export", *(files.get(arg, arg) for arg in args))
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.split())
    assert plan.read_text() == before


def test_a_family_without_runtimes_says_so(run, buffers, tmp_path, runtimes):
    placed = tmp_path / "placed.csv"
    run("solve", buffers, "-o", placed, "-q")
    done = run("export", placed, "--to", "echo")
    assert done.exit_code == 2
    assert "takes no allocation plans; expected none: allocation has none" in done.stderr


def test_a_plan_that_breaks_a_rule_is_not_exported(run, plan, runtimes, tmp_path):
    edited(plan, lambda document: document["plan"].update(option=[1, 3, 5]))
    target = tmp_path / "out.txt"
    done = run("export", plan, "--to", "echo", "-o", target)
    assert done.exit_code == 7
    assert "not exported, the plan breaks a rule: resource 'size': 256 bits" in done.stderr
    assert not target.exists()


def test_list(run, runtimes):
    assert run("export", "--list").stdout.splitlines() == [
        "runtime  family  file  what it is",
        "echo     bits    .txt  Says it.",
        "header   memory  .h    A C header.",
    ]
    listed = json.loads(run("export", "--list", "--json").stdout)["runtimes"]
    assert listed[0]["name"] == "echo"
    assert listed[0]["options"]["fixed"] == "Bits."


# -- the runtimes there are ------------------------------------------------------------------------


def test_every_runtime_is_listed(run):
    text = run("export", "--list").stdout
    for name, exporter in EXPORTERS.items():
        assert f"\n{name} " in text
        done = run("export", "--to", name, "--help")
        assert (done.exit_code, exporter.summary.split()[0] in done.stdout) == (0, True)


def test_no_option_of_a_runtime_hides_one_of_the_command():
    own = {"plan", "to", "output", "listing", "list", "json", "as_json", "help"}
    taken = {option.name for exporter in EXPORTERS.values() for option in exporter.options}
    assert not taken & own


def test_widths_arrive_at_the_runtime(run, plan):
    done = run("export", plan, "--to", "autoround", "--rename", "up=>w_up")
    found = json.loads(done.stdout)
    assert {name: entry["bits"] for name, entry in found.items()} == {
        "w_up": 8,
        "gate": 4,
        "down": 4,
    }


def test_formats_a_runtime_lacks_are_refused_by_name(run, plan):
    done = run("export", plan, "--to", "llamacpp")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "llamacpp" in done.stderr
    assert "int8" in done.stderr or "int4" in done.stderr
