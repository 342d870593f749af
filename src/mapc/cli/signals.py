"""Ctrl-C and SIGTERM mean the same: stop searching, keep what was found.

Both raise ``KeyboardInterrupt`` where the program stands. Wrappers such as ``timeout`` and
terminals deliver the same signal more than once; repeats within ``GRACE`` seconds are dropped, so
that they do not cut off the answer to the first. Later ones count again.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

GRACE = 1.0
"""Seconds during which a repeated signal is taken for an echo of the first."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def catch() -> None:
    """Have both signals raise ``KeyboardInterrupt`` from now on.

    Also where the shell that started us has them ignored: scripts do that to their background
    jobs, and ``kill -INT`` of one is meant to end it with what it has.
    """
    last = -float("inf")

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < GRACE:
            return
        last = now
        raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, stop)


def ignore() -> None:
    """Ignore both signals: all that is left is to clean up and leave."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
