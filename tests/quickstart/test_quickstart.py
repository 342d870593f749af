"""``docs/quickstart.md`` done exactly as written, by somebody who has a copy of the repository.

A fresh copy, a fresh home, one shell for all commands, a virtual environment made by the page and a
real installation into it. In the page, ``<!-- step: NAME -->`` before a fenced block is a file the
reader saves, ``<!-- step -->`` commands the reader types; lines shown have to occur in the output,
in order, where ``...`` stands for anything.

It asks the package index, so it runs by `make quickstart` only, which sets ``MAPC_QUICKSTART``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
REPORTS = ("report.html", "same.html", "formats.html", "placement.html", "groups.html")
ENOUGH = 1_800
"""Seconds after which the shell hangs, on any machine."""
VARIES = ("seconds", "method")

_STEP = re.compile(r"^<!-- step(?:: (?P<file>\S+))? -->\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
_FENCES = re.compile(r"^```(?:console|python|text)$", re.M)


def steps() -> list[tuple[str | None, str]]:
    return [(found["file"], found["text"]) for found in _STEP.finditer(PAGE.read_text("utf-8"))]


def script() -> tuple[str, list[tuple[str, list[str]]]]:
    """One shell script for the whole page, and what each command is shown to print."""
    lines, shown = ["set -e"], []
    for file, text in steps():
        if file is not None:
            lines += [f"cat > {file} <<'END OF FILE'", text.rstrip("\n"), "END OF FILE"]
            continue
        for line in text.splitlines():
            if line.startswith("$ "):
                lines += [f"printf '\\n%s\\n' 'command {len(shown)}'", line[2:]]
                shown.append((line[2:], []))
            else:
                shown[-1][1].append(line)
    return "\n".join([*lines, "echo", "echo the end"]) + "\n", shown


def missing(expected: list[str], output: str) -> str | None:
    """The first line shown that does not occur, in order."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in expected:
        words = " ".join(line.split())
        words = next((f"{label} ..." for label in VARIES if words.startswith(label + " ")), words)
        wanted = re.compile(".*".join(re.escape(part) for part in words.split("...")) + r"\Z")
        if not any(wanted.match(found) for found in lines):
            return line
    return None


class Whole(HTMLParser):
    """Elements of a report: what is open at its end, how many of each, what is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.fetched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "link", "br", "hr", "img", "input", "col"):
            self.open.append(tag)
        self.fetched += [
            value
            for name, value in attrs
            if name == "src" or (name == "href" and tag == "link")
            if value is not None and not value.startswith("data:")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def repository(folder: Path) -> Path:
    """A copy of what a reader gets who clones the repository: files under version control."""
    target = folder / "mapc"
    target.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-z", "src", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    subprocess.run(
        f"tar --null -T - -cf - | tar -xf - -C '{target}'",
        shell=True,
        cwd=ROOT,
        input=names,
        check=True,
    )
    return target


def environment(folder: Path) -> dict[str, str]:
    """A fresh home, and ``python3`` as the interpreter this test is run with."""
    home, bin_folder = folder / "home", folder / "bin"
    for path in (home, bin_folder):
        path.mkdir()
    python = bin_folder / "python3"
    python.write_text(f'#!/bin/sh\nexec "{Path(sys.base_prefix) / "bin" / "python3"}" "$@"\n')
    python.chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAPC_", "PYTHON", "VIRTUAL_ENV", "PYTEST"))
    }
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{bin_folder}{os.pathsep}{os.defpath}{os.pathsep}/usr/local/bin",
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def test_every_command_and_file_of_the_page_is_a_step() -> None:
    text = PAGE.read_text("utf-8")
    assert len(steps()) == len(_FENCES.findall(text)) >= 10
    assert len(re.findall(r"^\$ ", text, re.M)) == len(script()[1])
    made = {word for command, _ in script()[1] for word in command.split()}
    assert {report for report in REPORTS if report != "same.html"} <= made


@pytest.mark.skipif(
    "MAPC_QUICKSTART" not in os.environ, reason="installs packages: make quickstart"
)
def test_a_first_time_reader_gets_there(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    text, shown = script()
    done = subprocess.run(
        ["bash", "--noprofile", "--norc"],
        input=text,
        cwd=folder,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ENOUGH,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("the end\n"), done.stdout
    outputs = re.split(r"^command \d+\n", done.stdout, flags=re.M)[1:]
    assert len(outputs) == len(shown)
    for (command, expected), output in zip(shown, outputs, strict=True):
        assert missing(expected, output) is None, f"$ {command}\n{output}"
    for name in REPORTS:
        report = (folder / name).read_text("utf-8")
        page = Whole(report)
        assert page.open == [], name
        assert page.count["svg"] >= 1, name
        assert page.count["table"] >= 1, name
        assert page.fetched == [], name
    assert "my_model" in (folder / "report.html").read_text("utf-8")
