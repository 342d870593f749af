"""``docs/quickstart.md`` done exactly as written, by somebody who has a copy of the repository.

A fresh copy, a fresh home, one shell for all commands, a virtual environment made by the page and a
real installation into it.

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

from following import follow, script

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
REPORTS = ("report.html", "same.html", "formats.html", "placement.html", "groups.html")
ENOUGH = 1_800
"""Seconds after which the shell hangs, on any machine."""


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
    """A copy of what a reader gets who clones the repository, without what git ignores."""
    target = folder / "mapc"
    target.mkdir()
    names = subprocess.run(
        [
            "git",
            "ls-files",
            "-coz",
            "--exclude-standard",
            "src",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ],
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


def test_every_command_of_the_page_is_a_step() -> None:
    _, commands = script(PAGE)
    assert len(commands) == len(re.findall(r"^\$ ", PAGE.read_text("utf-8"), re.M)) >= 20
    made = {word for command, _ in commands for word in command.split()}
    assert {report for report in REPORTS if report != "same.html"} <= made


@pytest.mark.skipif(
    "MAPC_QUICKSTART" not in os.environ, reason="installs packages; run by make quickstart"
)
def test_a_first_time_reader_gets_there(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    follow(PAGE, folder, environment(tmp_path), ENOUGH)
    for name in REPORTS:
        page = Whole((folder / name).read_text("utf-8"))
        assert page.open == [], name
        assert page.count["svg"] >= 1, name
        assert page.count["table"] >= 1, name
        assert page.fetched == [], name
    assert "my_model" in (folder / "report.html").read_text("utf-8")
