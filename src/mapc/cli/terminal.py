"""What a stream can show: its width, colours, a line written over, and which characters.

``NO_COLOR`` (not empty) turns colours off, also on a terminal; ``FORCE_COLOR`` (neither empty nor
``0``) turns them on, also off one; where both are set, ``NO_COLOR`` holds. ``TERM=dumb``, or none,
is a terminal that can neither be coloured nor written over.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from typing import TextIO

WIDTH = 80
"""Columns of what does not go to a terminal."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream goes to a terminal, of whatever kind."""
    return stream is not None and stream.isatty()


def can_rewrite(stream: TextIO | None) -> bool:
    """Whether a line on a stream can be written over."""
    return is_terminal(stream) and os.environ.get("TERM", "dumb") not in ("", "dumb")


def in_colour(stream: TextIO | None) -> bool:
    """Whether colours are wanted on a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return can_rewrite(stream)


def table_width(stream: TextIO | None) -> int:
    """Return how wide tables may be: as the terminal, or as ``COLUMNS`` has it; else `WIDTH`."""
    if is_terminal(stream):
        return shutil.get_terminal_size((WIDTH, 24)).columns
    return WIDTH


def live_width(stream: TextIO | None) -> int:
    """Return the columns a terminal has right now: it may be resized during a run."""
    try:
        if stream is not None:
            columns = os.get_terminal_size(stream.fileno()).columns
            if columns > 0:
                return columns
    except (OSError, ValueError):  # no terminal, or no file at all
        pass
    return shutil.get_terminal_size((WIDTH, 24)).columns


def shows(text: str, stream: TextIO | None) -> bool:
    """Whether a stream can show a text: its encoding has it, and the locale does not forbid it.

    Python takes the locale ``C`` for UTF-8, but who asks for ``C`` asks for plain characters.
    """
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    if next((name for name in names if name), "") in ("C", "POSIX"):
        return False
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cells(text: str) -> int:
    """Return how many columns a text takes: wide characters two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return as much of a text as fits into so many columns, with dots where it was cut.

    >>> cut("a long text", 8), cut("short", 8), cut("tiny", 2)
    ('a lon...', 'short', 'ti')
    """
    if cells(text) <= columns:
        return text
    dots = "..." if columns > 5 else ""
    used, end = len(dots), 0
    for character in text:
        used += _cells_of(character)
        if used > columns:
            break
        end += 1
    return text[:end] + dots
