"""Files to write: what cannot be written is refused before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mapc.errors import UsageError
from mapc.files import STREAM


def check_target(path: str | None, suffixes: Sequence[str], source: str = "") -> None:
    """Refuse an output file that could not be written, or that is the input itself.

    Parameters
    ----------
    path : str or None
        None: nothing will be written.
    suffixes : sequence of str
        Endings that say how to write it; empty where any will do.
    source : str
        The file read from.

    Raises
    ------
    UsageError
    """
    if path is None:
        return
    if suffixes and not path.lower().endswith(tuple(suffixes)):
        raise UsageError(f"{path}: unknown kind of file; expected {' or '.join(suffixes)}")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise UsageError(f"{path}: cannot be written: is a folder")
    if not os.path.isdir(folder):
        raise UsageError(f"{path}: cannot be written: no folder {folder}")
    if os.path.exists(target):
        if not os.access(target, os.W_OK):
            raise UsageError(f"{path}: cannot be written: permission denied")
        if os.path.exists(source) and os.path.samefile(source, target):
            raise UsageError(f"{path}: is the file read from; expected another one")
    # the new file is built beside the old one, so the folder counts as well
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: cannot be written: no permission to write in {folder}")


def check_instance_target(output: str, as_json: bool, source: str = "") -> None:
    """Refuse a place for an instance that could not be written, or that ``--json`` needs itself.

    Raises
    ------
    UsageError
    """
    if output == STREAM and as_json:
        raise UsageError("--json and -o -: standard output holds one of them; give a file name")
    if output != STREAM:
        check_target(output, (".json",), source=source)
