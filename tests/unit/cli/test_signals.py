import os
import signal

import pytest

from mapc.cli import signals


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(signals.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_echoes_are_dropped_and_later_ones_count(clock, number):
    signals.catch()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    clock.now = 0.9 * signals.GRACE
    signal.raise_signal(number)
    clock.now = 2.1 * signals.GRACE
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_one_that_was_ignored_counts(clock):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.catch()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_ignored_at_the_end(clock):
    signals.catch()
    signals.ignore()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN
