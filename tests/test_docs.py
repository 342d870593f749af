"""The documentation is run: commands in README and docs, against what they are said to print.

In Markdown, ``<!-- file: NAME -->`` before a fenced block puts its text into a file, and
``<!-- tested -->`` before a console block has its ``$`` commands run, all in one folder per page.
Commands must succeed unless ``$ echo $?`` follows with another code. Each line shown must occur in
the output, in order; ``...`` stands for anything, and the values of lines named in ``VARIES``
(times, who was first) are not compared. A page may show less than a command prints.

``<!-- tested with PACKAGE -->`` is for commands that need a package which is not always there. They
run in a folder of their own, which holds the files of the page and nothing that other blocks made,
and are skipped where the package is not installed.

Commands of the README run as a reader runs them, one process each. On the other pages plain
``mapc`` commands run inside the tests, which saves most of the time: no interpreter to start, no
solver to load again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from mapc.cli import app
from mapc.models import KINDS, family

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODEL = "light_densenet121.onnx"
WITH = "tested with "
VARIES = ("seconds", "build seconds", "gap over time", "method", "SHA-256")

_BLOCK = re.compile(
    r"^<!-- (?P<what>tested(?: with \w+)?|file: \S+) -->\n```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
_SHELL = re.compile(r"""[^\w\s./:=%,'"-]""")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


@dataclass
class Command:
    """A command, what it is shown to print, and the exit code it is shown to have."""

    line: str
    shown: list[str]
    code: int = 0


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found["what"], found["text"]


def commands(text: str) -> list[Command]:
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        else:
            found[-1].shown.append(line)
    result: list[Command] = []
    for command in found:
        if command.line == "echo $?":
            result[-1].code = int(command.shown[0])
        else:
            result.append(command)
    return result


def pattern(line: str) -> re.Pattern[str]:
    """What an output line has to match to be the line shown: spaces and ``...`` are loose."""
    line = " ".join(line.split())
    for label in VARIES:
        if line.startswith(f"{label} "):
            line = f"{label} ..."
    parts = [re.escape(part) for part in line.split("...")]
    return re.compile(".*".join(parts) + r"\Z")


def missing(shown: list[str], output: str) -> str | None:
    """The first shown line that does not occur, in order, or None."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        wanted = pattern(line)
        if line.strip() and not any(wanted.match(found) for found in lines):
            return line
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    onnx = find_spec("onnx")
    if onnx is None or onnx.origin is None:
        pytest.skip("the onnx package, whose models the documentation reads, is not installed")
    models = Path(onnx.origin).parent / "backend" / "test" / "data" / "light"
    (tmp_path / MODEL).symlink_to(models / MODEL)
    return tmp_path


def run(line: str, folder: Path) -> tuple[int, str]:
    """Run a command in a shell; return its exit code and output."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def run_inside(line: str, folder: Path) -> tuple[int, str]:
    """Run a command like `run`, without a process if it needs no shell."""
    if needs_shell(line):
        return run(line, folder)
    done = CliRunner().invoke(app, shlex.split(line)[1:], prog_name="mapc")
    return done.exit_code, done.stdout + done.stderr


def needs_shell(line: str) -> bool:
    return not line.startswith("mapc ") or _SHELL.search(line) is not None


def pages_to_run() -> list[Path]:
    return [page for page in PAGES if any(what == "tested" for what, _ in blocks(page))]


def packages_to_run() -> list[tuple[Path, str]]:
    """Pages with commands that need a package, each with every such package."""
    found = [(page, what) for page in PAGES for what, _ in blocks(page)]
    needed = {(page, what[len(WITH) :]): None for page, what in found if what.startswith(WITH)}
    return list(needed)


@pytest.mark.parametrize("page", pages_to_run(), ids=lambda page: page.name)
def test_commands_do_what_the_page_says(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run_blocks(page, "tested", folder)


@pytest.mark.parametrize(
    ("page", "package"), [pytest.param(p, n, id=f"{p.name}-{n}") for p, n in packages_to_run()]
)
def test_commands_that_need_a_package(
    page: Path, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed, which some commands of {page.name} need")
    monkeypatch.chdir(tmp_path)
    run_blocks(page, WITH + package, tmp_path)


def run_blocks(page: Path, wanted: str, folder: Path) -> None:
    """Write the files of a page, and run the commands of one kind of block."""
    runs = run if page.name == "README.md" else run_inside
    for what, text in blocks(page):
        if what.startswith("file: "):
            (folder / what.removeprefix("file: ")).write_text(text, encoding="utf-8")
        if what != wanted:
            continue
        for command in commands(text):
            code, output = runs(command.line, folder)
            assert code == command.code, f"$ {command.line}\n{output}"
            line = missing(command.shown, output)
            assert line is None, f"$ {command.line}\nnot printed: {line}\n{output}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mapc solve a.json --budget size=4.5bpw -o b.json", False),
        ("mapc check 'my plan.json'", False),
        ("mapc show a.json > b.txt", True),
        ("mapc show a.json | head -1", True),
        ("mapc show *.json", True),
        ("mapc show $FILE", True),
        ("mapc show a.json; echo", True),
        (r"mapc show a\ b.json", True),
        ("python example.py", True),
        ("MAPC_DISABLE=highs mapc solvers", True),
    ],
)
def test_what_needs_a_shell(line: str, expected: bool) -> None:
    assert needs_shell(line) == expected


def test_there_is_something_to_run() -> None:
    names = {page.name for page in pages_to_run()}
    assert {"README.md", "memory.md", "allocation.md", "instances.md"} <= names
    assert ("memory.md", "torch") in {(page.name, package) for page, package in packages_to_run()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_page_lists_its_methods_in_order(kind: str) -> None:
    text = (ROOT / "docs" / "families" / f"{kind}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (bound|heuristic|exact) \|", text, re.M)
    assert rows == [(method.name, method.stage) for method in family(kind).methods]


def test_the_readme_says_which_families_are_here() -> None:
    rows = re.findall(r"^\| \[?`(\w+)`.*\| here \|$", PAGES[0].read_text(encoding="utf-8"), re.M)
    assert rows == list(KINDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = found["target"].partition("#")
        if ":" in target:
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), f"{page.name}: {found['target']}"
        if anchor:
            assert anchor in anchors(other), f"{page.name}: {found['target']}"


def anchors(page: Path) -> set[str]:
    """Names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        (["status optimal"], "status      optimal\ngap 0 %\n", None),
        (["gap 0 %", "status optimal"], "status optimal\ngap 0 %\n", "status optimal"),
        (["bound 392 KiB"], "bound 393 KiB", "bound 392 KiB"),
        (["bound 392 KiB"], "bound 392 KiB, by forced spans", "bound 392 KiB"),
        (["bound 392 KiB, ..."], "bound 392 KiB, by forced spans", None),
        (["seconds 1.00"], "seconds 2.34", None),
        (["seconds 1.00"], "minutes 1.00", "seconds 1.00"),
    ],
)
def test_what_counts_as_printed(shown: list[str], output: str, expected: str | None) -> None:
    assert missing(shown, output) == expected
