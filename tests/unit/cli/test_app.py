import subprocess
import sys

import pytest

import mapc
from mapc.cli.app import COMMANDS
from mapc.errors import ExitCode, MapcError

HEAVY = ("numpy", "ortools", "highspy", "pyomo", "onnx", "networkx", "msgspec")


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["solve", "--help"], ["solve"], ["nonsense"]]
)
def test_nothing_heavy_is_imported(args):
    script = f"""
import sys
from mapc.cli import main
sys.argv = ["mapc", *{args!r}]
try:
    main()
except SystemExit as end:
    code = end.code
print([name for name in {HEAVY!r} if name in sys.modules], code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    code = 2 if args in (["solve"], ["nonsense"]) else 0
    assert done.stdout.splitlines()[-1] == f"[] {code}"


def test_help_lists_every_command(run):
    help_text = run("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in help_text
        assert run(name, "--help").exit_code == 0
        summary = run(name, "--help").stdout.split("\n\n")[1].strip()
        assert f"  {summary}\n" in help_text  # not cut off


def test_version(run):
    assert run("--version").stdout == f"mapc {mapc.__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["solve"],
        ["solve", "x", "--seed", "many"],
        ["solve", "x", "--workers", "0"],
        ["solve", "x", "--alignment", "0"],
        ["solve", "x", "--time-limit", "-1"],
        ["solve", "x", "--time-limit", "nan"],
        ["solve", "x", "--time-limit", "inf"],
        ["solve", "x", "--dim", "batch"],
        ["solve", "x", "--dim", "batch=-1"],
        ["solve", "x", "--dim", "batch=1", "--dim", "batch=2"],
        ["check"],
        ["check", "a", "b", "c"],
        ["import", "x"],
        ["schema", "universe"],
    ],
)
def test_usage_errors(run, args):
    done = run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_every_kind_of_error_has_its_exit_code(run, monkeypatch):
    for code in ExitCode:
        if code is ExitCode.OK:
            continue
        error = MapcError("two\nlines \x1b[31m")
        error.exit_code = code

        def read(*args, error=error, **kwargs):
            raise error

        monkeypatch.setattr("mapc.api.read", read)
        done = run("show", "x")
        assert done.exit_code == code
        assert done.stderr == "mapc: error: two lines \N{REPLACEMENT CHARACTER}[31m\n"


def raise_from_read(monkeypatch, error):
    def read(*args, **kwargs):
        raise error

    monkeypatch.setattr("mapc.api.read", read)


def test_internal_error(run, monkeypatch):
    raise_from_read(monkeypatch, ZeroDivisionError("by\nnothing"))
    monkeypatch.delenv("MAPC_DEBUG", raising=False)
    done = run("show", "x")
    assert done.exit_code == 1
    assert done.stderr == (
        "mapc: internal error: ZeroDivisionError: by nothing; set MAPC_DEBUG=1 to see where\n"
    )


def test_internal_error_with_traceback(monkeypatch):
    from click.testing import CliRunner

    from mapc.cli import app

    raise_from_read(monkeypatch, ZeroDivisionError())
    done = CliRunner().invoke(app, ["show", "x"], env={"MAPC_DEBUG": "1"})
    assert done.exit_code == 1
    assert done.stderr.startswith("Traceback ")
    assert done.stderr.endswith("mapc: internal error: ZeroDivisionError\n")


def test_interrupt(run, monkeypatch):
    raise_from_read(monkeypatch, KeyboardInterrupt())
    done = run("show", "x")
    assert (done.exit_code, done.stderr) == (130, "mapc: error: interrupted\n")


def test_as_a_module(start):
    process = start("--version")
    assert process.communicate(timeout=60)[0] == f"mapc {mapc.__version__}\n"
