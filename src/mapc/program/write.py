"""Writing a program in the format that a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mapc.errors import UsageError
from mapc.program.cpsat import write_proto
from mapc.program.lp import write_lp
from mapc.program.model import Program
from mapc.program.mps import write_mps
from mapc.program.text import StrPath

_WRITERS: dict[str, Callable[[Program, StrPath], None]] = {
    ".mps": write_mps,
    ".lp": write_lp,
    ".pb": write_proto,
    ".pb.txt": write_proto,
}


def write_model(program: Program, path: StrPath) -> None:
    """Write a program to a file, whole or not at all.

    Parameters
    ----------
    program : Program
    path : path
        ``.mps`` is free MPS, ``.lp`` the LP format, ``.pb`` and ``.pb.txt`` CP-SAT's model in
        binary and in text.

    Raises
    ------
    UsageError
        For another suffix, a program that the format cannot hold, or a path that cannot be
        written.
    """
    name = Path(path).name.lower()
    writer = next((w for suffix, w in _WRITERS.items() if name.endswith(suffix)), None)
    if writer is None:
        raise UsageError(f"{path}: unknown model format; expected a name in {', '.join(_WRITERS)}")
    try:
        writer(program, path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
