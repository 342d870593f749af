"""Files read with a limit and written whole or not at all.

``-`` stands for standard input or output. Whatever goes wrong is one line: `InstanceError` for what
cannot be read, `UsageError` for what cannot be written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path

from mapc.errors import InstanceError, UsageError

STREAM = "-"
MAX_TEXT_BYTES = 2**29
"""Largest text file read (512 MiB): a graph of four million operators."""
MAX_MODEL_BYTES = 2**31
"""Largest ONNX file read (2 GiB), the limit of protobuf; larger models keep weights outside."""

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def display_name(path: str | Path, stream: str = "standard input") -> str:
    """Return how messages call a path: itself, or the stream that ``-`` stands for."""
    return stream if str(path) == STREAM else str(path)


def read_bytes(path: str | Path, limit: int = MAX_MODEL_BYTES) -> bytes:
    """Return the content of a file, a pipe or, for ``-``, standard input.

    Raises
    ------
    InstanceError
        If it is missing, unreadable, a folder, empty, or longer than ``limit`` bytes.
    """
    where = display_name(path)
    try:
        if str(path) == STREAM:
            if sys.stdin is None:  # closed by whoever started us
                raise InstanceError("cannot be read: it is closed", where)
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with open(path, "rb") as file:
                # a pipe has no size: reading one byte past the limit tells as much
                if os.fstat(file.fileno()).st_size > limit:
                    raise InstanceError(*_too_large(where, limit))
                data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InstanceError(f"cannot be read: {reason}", where) from None
    if len(data) > limit:
        raise InstanceError(*_too_large(where, limit))
    if not data:
        raise InstanceError("empty file", where, "an instance")
    return data


def decode_text(data: bytes, where: str) -> str:
    """Return text that is UTF-8 without a byte-order mark.

    Raises
    ------
    InstanceError
        If it is not.
    """
    if data.startswith(_BYTE_ORDER_MARKS):
        raise InstanceError("starts with a byte-order mark", where, "UTF-8 without one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InstanceError(
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8", where, "UTF-8 text"
        ) from None


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file so that no reader ever sees part of it; ``-`` writes to standard output.

    The bytes go to a temporary file in the same folder, reach the disk, and take the place of the
    old file in one step. A symbolic link keeps pointing at its target, which is replaced. What is
    no regular file (a device, a pipe) is written to directly.

    Raises
    ------
    UsageError
        If the file cannot be written; the old one, if any, is untouched.
    """
    if str(path) == STREAM:
        if sys.stdout is None:  # closed by whoever started us
            raise UsageError("standard output: cannot be written: it is closed")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        target = os.path.realpath(path)
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            with open(target, "wb") as file:
                file.write(data)
        else:
            _replace(target, data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: cannot be written: {reason}") from None


def _replace(target: str, data: bytes) -> None:
    temporary = f"{target}.{secrets.token_hex(6)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    # opened by hand rather than by tempfile, so that the user's umask decides the mode
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if os.path.exists(target):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _too_large(where: str, limit: int) -> tuple[str, str, str]:
    return "file too large", where, f"at most {limit} bytes"
