"""Records as JSON lines, each on disk before the next task: an interrupted suite goes on later.

A line is written by one call and reaches the disk; what a crash leaves of a line is dropped by
the next writer, and ignored by readers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from mapc.errors import InstanceError, UsageError
from mapc.files import MAX_TEXT_BYTES, read_bytes
from mapc.quality.machine import versions
from mapc.quality.running import ASKED, Record, Task

BEGINNING: Final = b'{"schema":"mapc/bench",'
"""Of every line: what tells half a line from the file of somebody else."""
DECIDE: Final = ("mapc", "highspy", "ortools", "pyomo")
"""Packages of whose versions a record must be to count as done."""


class Journal:
    """A file of records that is read at first, then appended to.

    Use it as a context manager; within, no other process writes to the file.

    Parameters
    ----------
    path : path
        Made if missing.

    Attributes
    ----------
    records : list of Record
        What it held when opened, and what has been appended.

    Raises
    ------
    InstanceError
        If it holds something else.
    UsageError
        If it cannot be written, or is being written by another run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.records: list[Record] = []
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Open the file, read it, and drop half a line at its end."""
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from None
        try:
            _lock(self._descriptor, self.path)
            if os.fstat(self._descriptor).st_size:
                data = read_bytes(self.path, MAX_TEXT_BYTES)
                self.records, whole = _parse(data, str(self.path))
                os.ftruncate(self._descriptor, whole)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._close()

    def append(self, record: Record) -> None:
        """Write a record, whole.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        line = encode_line(record)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from None
        self.records.append(record)

    def done(self, tasks: Iterable[Task]) -> dict[int, Record]:
        """Return, by position, the records of tasks that need not be run again.

        A record counts for a task that asks for the same in every respect, if the versions of
        mapc and of the solvers are those of today. A failed one does not count.
        """
        found = {
            _key(record): record
            for record in self.records
            if record.error is None and _of_today(record)
        }
        return {at: found[key] for at, key in enumerate(map(_key, tasks)) if key in found}

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)  # frees the lock as well
            self._descriptor = -1


def read_records(path: str | Path) -> list[Record]:
    """Read the records of a journal, in the order in which they were made.

    Raises
    ------
    InstanceError
        If it cannot be read, or a line is none: which one, and what is wrong. Half a line at the
        end is what an interruption leaves, and no error.
    """
    return _parse(read_bytes(path, MAX_TEXT_BYTES), str(path))[0]


def encode_line(record: Record) -> bytes:
    """Return a record as a line of a journal."""
    return msgspec.json.encode(record) + b"\n"


def _parse(data: bytes, where: str) -> tuple[list[Record], int]:
    """Return the records, and how many bytes their lines take."""
    records = list(_decoded(data, where))
    whole = data.rfind(b"\n") + 1
    rest = data[whole:]
    if not (rest.startswith(BEGINNING) or BEGINNING.startswith(rest)):
        line = data.count(b"\n") + 1
        raise InstanceError("no record of a bench", f"{where}: line {line}", "a file of mapc bench")
    return records, whole


def _decoded(data: bytes, where: str) -> Iterator[Record]:
    decoder = msgspec.json.Decoder(Record)
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            raise InstanceError(
                str(error), f"{where}: line {number}", "a record of mapc bench"
            ) from None


def _key(one: Task | Record) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name in ASKED)


def _of_today(record: Record) -> bool:
    now = versions()
    return all(record.versions.get(name) == now.get(name) for name in DECIDE)


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # a system without it: two runs at a time are the user's to avoid
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{path}: another run writes it; expected another file") from None
    except OSError:  # a file system without locks
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
