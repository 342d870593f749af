"""Messages between the process that asks and the child that solves: frames over pipes.

A frame is a fixed header (magic, kind, length) and a pickle. The kind stands in the header so
that a reader can act on a message, a cancellation above all, without unpickling it.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import Any, NamedTuple

HEADER = struct.Struct("<4scQ")
MAGIC = b"mapc"

SOLVE, CANCEL = b"S", b"C"
"""Kinds sent to a child: ``(number, program, limits, start, deadline)`` and ``number``."""
READY, FAILED = b"R", b"F"
"""Kinds a child sends once: its solver's version, or why the solver cannot be loaded."""
INCUMBENT, BOUND, NOTE, DONE = b"I", b"B", b"N", b"D"
"""Kinds a child sends while solving, the last one with the solution."""


class ProtocolError(Exception):
    """Bytes that are no frame: the stream cannot be read any further."""


class Frame(NamedTuple):
    """One message, still pickled."""

    kind: bytes
    payload: bytes

    def load(self) -> Any:
        """Unpickle the message."""
        return pickle.loads(self.payload)


def encode(kind: bytes, message: Any) -> bytes:
    """Return a message as the bytes of a frame."""
    payload = pickle.dumps(message, protocol=5)
    return HEADER.pack(MAGIC, kind, len(payload)) + payload


class Inbox:
    """Cuts a stream of bytes, fed in any pieces, into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, piece: bytes) -> None:
        """Append what was read."""
        self._bytes += piece

    def take(self) -> Frame | None:
        """Return the next complete frame, or None.

        Raises
        ------
        ProtocolError
            When the stream does not stand at the start of a frame.
        """
        if len(self._bytes) < HEADER.size:
            return None
        magic, kind, length = HEADER.unpack_from(self._bytes)
        if magic != MAGIC:
            raise ProtocolError("something other than mapc wrote to the pipe")
        end = HEADER.size + length
        if len(self._bytes) < end:
            return None
        payload = bytes(memoryview(self._bytes)[HEADER.size : end])
        del self._bytes[:end]
        return Frame(kind, payload)


def read_exactly(fd: int, size: int) -> bytes:
    """Read ``size`` bytes from a blocking pipe; ``EOFError`` when it ends before."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = os.read(fd, min(size - len(pieces), 1 << 20))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def read_frame(fd: int) -> Frame:
    """Read one frame from a blocking pipe.

    Raises
    ------
    EOFError
        When the other side is gone.
    ProtocolError
        When the bytes are no frame.
    """
    magic, kind, length = HEADER.unpack(read_exactly(fd, HEADER.size))
    if magic != MAGIC:
        raise ProtocolError("something other than mapc wrote to the pipe")
    return Frame(kind, read_exactly(fd, length))


def write_all(fd: int, data: bytes) -> None:
    """Write all bytes to a blocking pipe."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
