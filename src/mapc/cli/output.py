"""Standard output and standard error: tables, JSON, one-line complaints.

A reader that has gone away (``mapc ... | head``) is no error: what it does not want to read is
dropped and the command ends as it would have.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import click

from mapc.errors import UsageError

WIDTH = 80
"""Columns of a table that does not go to a terminal."""

Rows = Sequence[tuple[str, str]]


def lenient() -> None:
    """Let both streams print any character; what their encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print and flush.

    Raises
    ------
    UsageError
        When standard output cannot be written to, e.g. because the disk is full.
    """
    with streaming(err=err):
        # color=True: what steers the terminal here is meant; foreign text went through one_line
        click.echo(text, err=err, nl=nl, color=True)


@contextlib.contextmanager
def streaming(*, err: bool = False) -> Iterator[None]:
    """Write to a standard stream within this, also a whole file.

    Raises
    ------
    UsageError
        When standard output cannot be written to, e.g. because the disk is full.
    """
    try:
        yield
    except BrokenPipeError:
        _silence(sys.stderr if err else sys.stdout)
    except OSError as error:
        _silence(sys.stderr if err else sys.stdout)
        if not err:
            raise UsageError(f"standard output: cannot be written: {error.strerror}") from None


def finish() -> None:
    """Flush both streams, so that the interpreter has nothing left to fail at."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send the rest of a stream nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(message: str, kind: str = "error") -> None:
    """Print one line on standard error."""
    say(f"mapc: {kind}: {one_line(message)}", err=True)


def one_line(text: str) -> str:
    """Return a text without line breaks and without characters that steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _flat(text))


def _flat(text: str) -> str:
    return " ".join(text.split())


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON does not know become null."""
    say(json.dumps(_finite(document), indent=2, default=_plain, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """Return a numpy scalar or array as what JSON knows."""
    return _finite(value.tolist())


def print_table(rows: Rows) -> None:
    """Print labels and values in two columns: styled on a terminal, plain text elsewhere."""
    if sys.stdout is not None and sys.stdout.isatty():
        _print_styled(rows)
    else:
        say(plain_table(rows, WIDTH))


def plain_table(rows: Rows, width: int) -> str:
    """Return labels and values in two columns, values wrapped to ``width`` characters."""
    left = max((len(label) for label, _ in rows), default=0) + 2
    lines = []
    for label, value in rows:
        wrapped = textwrap.wrap(one_line(value), max(20, width - left)) or [""]
        for at, part in enumerate(wrapped):
            lines.append(f"{label if at == 0 else '':<{left}}{part}".rstrip())
    return "\n".join(lines)


def _print_styled(rows: Rows) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        style = _STYLES.get(value.split(":")[0], "") if label == "status" else ""
        table.add_row(label, Text(one_line(value), style=style))  # Text: names are not markup
    # rich looks at NO_COLOR and TERM by itself
    columns, lines = shutil.get_terminal_size((WIDTH, 24))
    console = Console(file=sys.stdout, width=columns, height=lines)
    with console.capture() as captured:
        console.print(table)
    say(captured.get(), nl=False)


_STYLES = {"optimal": "green", "feasible": "yellow", "infeasible": "red", "unknown": "red"}


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header; the last column takes what is left of the line."""
    cells = [list(header), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header) - 1)]
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in cells:
        start = "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), ""])
        for at, part in enumerate(textwrap.wrap(row[-1], max(20, WIDTH - indent)) or [""]):
            lines.append(f"{start if at == 0 else ' ' * indent}{part}".rstrip())
    say("\n".join(lines))
