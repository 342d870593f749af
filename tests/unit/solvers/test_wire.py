"""Frames survive any cutting of the stream, and nothing else passes for one."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.solvers.wire import (
    BOUND,
    CANCEL,
    SOLVE,
    Inbox,
    ProtocolError,
    encode,
    read_frame,
    write_all,
)

messages = st.lists(
    st.tuples(
        st.sampled_from([SOLVE, CANCEL, BOUND]),
        st.one_of(st.binary(max_size=80), st.integers(), st.text(), st.none()),
    ),
    max_size=6,
)


@given(messages, st.lists(st.integers(1, 40), min_size=1))
def test_inbox_puts_pieces_together(sent, sizes):
    stream = b"".join(encode(kind, message) for kind, message in sent)
    inbox, received, at = Inbox(), [], 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        inbox.feed(stream[at : at + size])
        at += size
        while (frame := inbox.take()) is not None:
            received.append((frame.kind, frame.load()))
    assert received == sent


def test_inbox_refuses_foreign_bytes():
    inbox = Inbox()
    inbox.feed(b"Presolving model: 3 rows, 4 cols")
    with pytest.raises(ProtocolError):
        inbox.take()


def test_pipes_carry_more_than_they_hold():
    read, write = os.pipe()
    data = os.urandom(1 << 20)
    sender = threading.Thread(target=write_all, args=(write, encode(SOLVE, data)))
    sender.start()
    frame = read_frame(read)
    sender.join()
    assert frame.kind == SOLVE
    assert frame.load() == data
    os.write(write, b"mapc")
    os.close(write)
    with pytest.raises(EOFError):
        read_frame(read)
    os.close(read)


def test_reading_foreign_bytes_is_refused():
    read, write = os.pipe()
    os.write(write, b"Set parameter Username\n")
    with pytest.raises(ProtocolError):
        read_frame(read)
    os.close(read)
    os.close(write)
