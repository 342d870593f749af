"""Pages that are followed step by step, exactly as written, in one shell.

``<!-- step: NAME -->`` before a fenced block is a file the reader saves, ``<!-- step -->`` commands
the reader types. Lines shown have to occur in the output, in order; ``...`` stands for anything,
and the values of lines named in ``VARIES`` are not compared.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

VARIES = ("seconds", "method")

_STEP = re.compile(r"^<!-- step(?:: (?P<file>\S+))? -->\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
_FENCES = re.compile(r"^```(?:console|python|text)$", re.M)

Commands = list[tuple[str, list[str]]]
"""What is typed, and what it is shown to print."""


def steps(page: Path) -> list[tuple[str | None, str]]:
    """Files and commands of a page, in order; every fenced block has to be one of them."""
    text = page.read_text("utf-8")
    found = [(step["file"], step["text"]) for step in _STEP.finditer(text)]
    assert len(found) == len(_FENCES.findall(text)), f"{page.name}: a block that is no step"
    return found


def script(page: Path) -> tuple[str, Commands]:
    """One shell script for the whole page, and its commands."""
    lines, shown = ["set -e"], []
    for file, text in steps(page):
        if file is not None:
            lines += [f"mkdir -p $(dirname {file})", f"cat > {file} <<'END OF FILE'"]
            lines += [text.rstrip("\n"), "END OF FILE"]
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


def follow(page: Path, folder: Path, environment: dict[str, str], seconds: float) -> None:
    """Do all that a page says in a folder; ``seconds`` only end what hangs."""
    text, shown = script(page)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc"],
        input=text,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("the end\n"), done.stdout
    outputs = re.split(r"^command \d+\n", done.stdout, flags=re.M)[1:]
    assert len(outputs) == len(shown)
    for (command, expected), output in zip(shown, outputs, strict=True):
        line = missing(expected, output)
        assert line is None, f"$ {command}\nnot printed: {line}\n{output}"
