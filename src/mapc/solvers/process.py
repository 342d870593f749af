"""A child process and the pipes to it: start, send, receive, kill, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from mapc.solvers.wire import Frame, Inbox

TAIL = 8192
"""Bytes of the child's standard error that are kept."""


class Process:
    """One child that serves one backend.

    It leads a session and process group of its own: Ctrl-C in the terminal does not reach it, and
    killing it takes along whatever its solver started. The write end of a *lifeline* pipe stays
    here; when this process ends, however it ends, the kernel closes it and the child goes too.
    """

    def __init__(self, backend: str) -> None:
        self._owner = os.getpid()
        lifeline, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "mapc.solvers.child", backend, str(lifeline)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(lifeline,),
                env=_environment(),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        self._open = True
        self._in, self._out, self._err = self._pipes()
        self._poll = select.poll()
        for fd in (self._out, self._err):
            self._poll.register(fd, select.POLLIN)
        self._inbox = Inbox()
        self._tail = bytearray()
        self._listening = True  # its standard error is open
        self._oom_kills = _oom_kills()

    def _pipes(self) -> tuple[int, int, int]:
        streams = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        fds = tuple(stream.fileno() for stream in streams if stream is not None)
        for fd in fds:
            os.set_blocking(fd, False)
        return fds[0], fds[1], fds[2]

    @property
    def pid(self) -> int:
        """Process number of the child."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs and can be talked to."""
        return self._open and self._popen.poll() is None

    def send(self, data: bytes, until: float) -> None:
        """Write a frame.

        Raises
        ------
        BrokenPipeError
            When the child is gone.
        TimeoutError
            When it has not taken the frame at ``until`` (``time.monotonic``).
        """
        view = memoryview(data)
        writable = select.poll()
        writable.register(self._in, select.POLLOUT)
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                # the child may be busy writing: keep its pipes moving meanwhile
                self._drain()
                if not writable.poll(20) and time.monotonic() > until:
                    raise TimeoutError from None

    def receive(self, until: float) -> Frame | None:
        """Return the next frame, or None when there is none at ``until`` (``time.monotonic``).

        Raises
        ------
        EOFError
            When the child is gone and everything it wrote has been read.
        """
        while True:
            frame = self._inbox.take()
            if frame is not None:
                return frame
            wait = until - time.monotonic()
            if not self._poll.poll(max(0.0, min(wait, 60.0)) * 1e3):
                if wait <= 60.0:
                    return None
                continue
            if not self._drain():
                raise EOFError

    def _drain(self) -> bool:
        """Read what there is; False at the end of the child's messages."""
        if self._listening:
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(self._err, 65536):
                    self._tail = (self._tail + piece)[-TAIL:]
                self._poll.unregister(self._err)
                self._listening = False
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._out, 1 << 20):
                self._inbox.feed(piece)
            return False
        return True

    def kill(self) -> None:
        """End the child and all it started, and free the pipes. Safe to call again."""
        if not self._open:
            return
        self._open = False
        if os.getpid() == self._owner:  # a forked copy of this object owns no child
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        os.close(self._lifeline)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()

    def obituary(self) -> tuple[bool, str]:
        """Wait for a child that closed its pipe; say whether memory was the cause, and how."""
        try:
            code = self._popen.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            return False, "closed its pipe without an answer"
        with contextlib.suppress(ValueError, OSError):
            self._drain()
        lines = self._tail.decode(errors="replace").strip().splitlines()
        said = lines[-1].strip()[:300] if lines else ""
        starved = any("bad_alloc" in line or "MemoryError" in line for line in lines[-20:])
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return True, "killed by the system, which was out of memory"
        how = f"exited with code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        return starved, f"{how}: {said}" if said else how


def _environment() -> dict[str, str]:
    """Return this process's environment, with its module path, for the child."""
    path = [entry or os.getcwd() for entry in sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        # numpy's thread pool would cost a child start-up time and counted memory
        environment.setdefault(name, "1")
    return environment


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _oom_kills() -> int:
    """How often this Linux killed a process for want of memory since it started; else 0."""
    return next(_kernel_counts("oom_kill"), 0)


def _kernel_counts(name: str) -> Iterator[int]:
    with contextlib.suppress(OSError), open("/proc/vmstat", encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(" ")
            if key == name:
                yield int(value)
