"""Completion, asked for as shells ask: each loads the script and completes by its own means.

No shell reads the files of the user who runs the tests.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mapc.cli import app
from mapc.cli.app import COMMANDS
from mapc.deploy import EXPORTERS
from mapc.instances.generators import GENERATORS
from mapc.instances.importers import IMPORTERS
from mapc.models import KINDS, family

BIN = Path(sys.executable).parent

BASH = """
eval "$(mapc completion bash)"
compopt() {{ printf 'compopt %s %s\n' "$@"; }}
COMP_WORDS=({words}) COMP_CWORD={at}
complete -p mapc >&2
_mapc_completion mapc
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -U compinit
compinit -u -D
eval "$(mapc completion zsh)"
print -u2 -- $_comps[mapc]
compadd() {{ print -rl -- ${{(P)@[-1]}} }}
_describe() {{ print -rl -- "${{(@)${{(P)@[-2]}}%%:*}}" }}
_path_files() {{ print -- "files $*" }}
words=({words}) CURRENT={at}+1
$_comps[mapc]
"""
FISH = """
mapc completion fish | source
complete -C "{line}"
"""


@pytest.fixture
def shell(tmp_path):
    """``shell("bash", "mapc so")``: what is offered for the last word, and what it said besides."""
    environment = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }

    def complete(name, line):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        *words, last = line.split(" ")
        quoted = " ".join([*words, last or "''"])
        command, text = {
            "bash": (["bash", "--norc", "--noprofile"], BASH),
            "zsh": (["zsh", "-f"], ZSH),
            "fish": (["fish", "--no-config"], FISH),
        }[name]
        done = subprocess.run(
            [*command, "-c", text.format(words=quoted, at=len(words), line=line)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        found = [row.split("\t")[0] for row in done.stdout.splitlines() if row]
        return found, done.stderr

    return complete


SHELLS = pytest.mark.parametrize("name", ["bash", "zsh", "fish"])


@SHELLS
def test_commands(shell, name):
    found, said = shell(name, "mapc so")
    assert sorted(found) == ["solve", "solvers"]
    if name != "fish":
        assert "_mapc_completion" in said  # it is what the shell calls for mapc
    else:
        assert said == ""


@SHELLS
def test_runtimes(shell, name):
    found, _ = shell(name, "mapc export --to ")
    assert sorted(found) == sorted(EXPORTERS)


@SHELLS
def test_options(shell, name):
    found, _ = shell(name, "mapc solve --time")
    assert found == ["--time-limit"]


@SHELLS
def test_files(shell, name, tmp_path):
    (tmp_path / "some-plan.json").touch()
    found, _ = shell(name, "mapc check some")
    offered = {"bash": ["compopt -o default", ""], "zsh": ["files -f"], "fish": ["some-plan.json"]}
    assert found == [row for row in offered[name] if row]


@pytest.fixture
def offered(run):
    """``offered("solve", "--me")``: the words offered for the last one, as bash is told them."""

    def complete(*words):
        done = run(
            env={
                "_MAPC_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(["mapc", *words]),
                "COMP_CWORD": str(len(words)),
            }
        )
        assert (done.exit_code, done.stderr) == (0, "")
        rows = [row.split(",", 1) for row in done.stdout.splitlines() if row]
        return [value if kind == "plain" else kind for kind, value in rows]

    return complete


METHODS = {method.name for kind in KINDS for method in family(kind).methods}
FORMULATIONS = {name for kind in KINDS for name in family(kind).formulations}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], set(COMMANDS)),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["schema", ""], {"instance", "plan"}),
        (["generate", ""], set(GENERATORS)),
        (["generate", "bits", "--gr"], {"--groups"}),
        (["import", ""], set(IMPORTERS)),
        (["import", "hawq", "--mo"], {"--model"}),
        (["import", "./"], {"file"}),
        (["export", "--to", "sg"], {"sglang"}),
        (["export", "--to", "llamacpp", "--sep"], {"--separator"}),
        (["solve", "--method", ""], METHODS),
        (["compare", "x.json", "--method", "eplb"], {"eplb", "eplb-global"}),
        (["record", "--method", "eplb"], {"eplb", "eplb-global"}),
        (["record", "--kind", "b"], {"bits"}),
        (["regress", "--kind", ""], set(KINDS)),
        (["lower", "--formulation", ""], FORMULATIONS),
        (["record", "--model", "ga"], {name for name in FORMULATIONS if name.startswith("ga")}),
        (["solve", "some"], {"file"}),
        (["solve", "x.json", "-o", "some"], {"file"}),
        (["check", "a", "b"], {"file"}),
        (["solve", "--no-such-option"], set()),
        (["no-such"], set()),
    ],
    # sets have no order of their own, and workers have to agree on names
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_offered(offered, words, expected):
    found = offered(*words)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_an_error_offers_nothing(offered, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(type(app), "list_commands", broken)
    assert offered("so") == []


def test_a_command_name_needs_no_numpy():
    code = (
        "import sys\n"
        "from mapc.cli import app\n"
        "try:\n    app.main([], prog_name='mapc')\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'msgspec') if name in sys.modules])"
    )
    asked = {"_MAPC_COMPLETE": "bash_complete", "COMP_WORDS": "mapc so", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.splitlines() == ["plain,solve", "plain,solvers", "[]"]


@SHELLS
def test_the_script_names_no_path(run, name):
    done = run("completion", name)
    assert done.exit_code == 0
    assert "_mapc_completion" in done.stdout
    assert str(BIN) not in done.stdout


def test_a_shell_has_to_be_named(run):
    assert run("completion").exit_code == 2
    assert run("completion", "ksh").exit_code == 2
