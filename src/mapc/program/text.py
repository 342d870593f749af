"""What the writers of text formats share: names, numbers, and files written whole."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mapc.program.arrays import FloatArray
from mapc.program.model import Block, Program, RowBlock

StrPath = str | os.PathLike[str]

_MAX_PREFIX = 64
# readers of the LP format take these beginnings for a number, an exponent, infinity or NaN
_RISKY = re.compile(r"^([^A-Za-z]|[eE]|inf|nan)", re.IGNORECASE)


def column_names(program: Program) -> list[str]:
    """Return a name per column, unique, of ``[A-Za-z0-9_.]``: ``keep.3.1`` for ``keep[3,1]``."""
    shapes = [block.shape for block in program.blocks]
    return _names(program.blocks, shapes)


def row_names(program: Program) -> list[str]:
    """Return a name per row, unique, of ``[A-Za-z0-9_.]``: ``capacity.3``."""
    return _names(program.row_blocks, [(block.size,) for block in program.row_blocks])


def _names(blocks: Sequence[Block | RowBlock], shapes: Sequence[tuple[int, ...]]) -> list[str]:
    names: list[str] = []
    used: set[str] = set()
    for block, shape in zip(blocks, shapes, strict=True):
        prefix = _prefix(block.name, used)
        suffixes = [""] if shape else [".0"]
        for extent in shape:
            digits = [f".{i}" for i in range(extent)]
            suffixes = [head + tail for head in suffixes for tail in digits]
        names += [prefix + suffix for suffix in suffixes]
    return names


def _prefix(name: str, used: set[str]) -> str:
    """Return the name in safe letters; no dot, so that indices set apart by dots stay unique."""
    clean = re.sub(r"[^A-Za-z0-9_]", "_", name)[:_MAX_PREFIX]
    if not clean or _RISKY.match(clean):
        clean = f"x_{clean}"
    candidate, count = clean, 1
    while candidate in used:
        count += 1
        candidate = f"{clean}__{count}"
    used.add(candidate)
    return candidate


def number(value: float) -> str:
    """Return the shortest text that reads back as the same double."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def numbers(values: FloatArray) -> list[str]:
    """`number` of every entry; equal entries are formatted once. Finite values only."""
    unique, place = np.unique(values, return_inverse=True)
    words = np.array([number(v) for v in unique.tolist()], dtype=object)
    return list(words[place.ravel()])


@contextmanager
def replacing(path: StrPath, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it takes its place.

    A failure, an interrupt or a crash leaves what was at ``path`` as it was.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{suffix}")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: StrPath, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="ascii", newline="\n")
