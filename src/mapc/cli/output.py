"""Standard output and standard error: tables, JSON, one-line complaints.

A reader that has gone away (``mapc ... | head``) is no error: what it does not want to read is
dropped and the command ends as it would have.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TextIO

import click

from mapc.cli.terminal import cells, in_colour, table_width
from mapc.errors import UsageError

Rows = Sequence[tuple[str, str]]
LEAST_LABEL = 20
"""Columns that a label may have on any terminal."""


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


def one_line(text: str, *, spaces: bool = False) -> str:
    """Return a text without line breaks and without characters that steer a terminal.

    Runs of white space become one space, unless ``spaces`` are to stay.
    """
    flat = text if spaces else " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text as lines of at most so many columns; a longer word, e.g. a path, stays whole.

    Spaces at the start of the text stay.

    Parameters
    ----------
    text : str
        Becomes `one_line`.
    width : int
    indent : str
        Begins all lines but the first.
    """
    lines: list[str] = []
    line, used = "", 0
    lead = " " * (len(text) - len(text.lstrip(" ")))
    first, *words = one_line(text).split(" ")
    for word in (lead + first, *words):
        wide = cells(word)
        if line and used + 1 + wide > width:
            lines.append(line)
            line, used = indent + word, len(indent) + wide
        else:
            line, used = (f"{line} {word}", used + 1 + wide) if line else (word, wide)
    return [*lines, line]


def say_wrapped(text: str, indent: str = "  ") -> None:
    """Print a sentence on standard output, in lines that fit."""
    say("\n".join(wrapped(text, table_width(sys.stdout), indent)))


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
    """Print labels and values in two columns, as wide as the terminal; coloured where wanted."""
    style = _styled if in_colour(sys.stdout) else None
    say(plain_table(rows, table_width(sys.stdout), style))


def plain_table(
    rows: Rows, width: int, style: Callable[[str, str, bool], str] | None = None
) -> str:
    """Return labels and values in two columns, values wrapped to ``width`` columns.

    A label that would take more than a third of it stands above its value.

    Parameters
    ----------
    rows : sequence of (str, str)
    width : int
        A value that is one long word may be wider.
    style : callable, optional
        ``style(text, label, is_label)`` returns a piece of a line with its colours.
    """
    table = [(one_line(label), value) for label, value in rows]
    most = max(LEAST_LABEL, width // 3)
    left = max((cells(label) for label, _ in table if cells(label) <= most), default=0) + 2
    lines = []
    for label, value in table:
        parts = wrapped(value, max(20, width - left))
        above = cells(label) >= left
        names = [*wrapped(label, width), *[""] * any(parts)] if above else [label]
        for name, part in zip_longest(names, ["" for _ in names[1:]] + parts, fillvalue=""):
            space = " " * max(0, left - cells(name))
            if style is None:
                lines.append(f"{name}{space}{part}".rstrip())
            else:
                lines.append(f"{style(name, label, True)}{space}{style(part, label, False)}")
    return "\n".join(lines)


_STATUS_COLOURS = {
    "optimal": "green",
    "feasible": "yellow",
    "infeasible": "red",
    "unknown": "red",
}


def _styled(text: str, label: str, is_label: bool) -> str:
    if not text:
        return ""
    if is_label:
        return click.style(text, bold=True)
    colour = _STATUS_COLOURS.get(text.split(":")[0].split()[0]) if label == "status" else None
    return click.style(text, fg=colour) if colour else text


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header; the last column takes what is left of the line."""
    width = table_width(sys.stdout)
    table = [list(header), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(cells(row[i]) for row in table) for i in range(len(header) - 1)]
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in table:
        start = "".join(padded(cell, w) + "  " for cell, w in zip(row, widths, strict=False))
        for at, part in enumerate(wrapped(row[-1], max(20, width - indent))):
            lines.append(f"{start if at == 0 else ' ' * indent}{part}".rstrip())
    say("\n".join(lines))


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text with spaces to fill so many columns; ``right``: with the spaces before it."""
    space = " " * max(0, width - cells(text))
    return space + text if right else text + space
