import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.cli.live import CLEAR, LiveLine, clock, duration, fitting
from mapc.cli.terminal import cells


class Alarm:
    """Time is up three times; then the clock waits until it is set."""

    def __init__(self, line_time):
        self.left, self.time = 3, line_time
        self.drawn, self.over = threading.Event(), threading.Event()

    def wait(self, timeout):
        if self.left:
            self.left -= 1
            self.time[0] += 1.0
            return False
        self.drawn.set()
        return self.over.wait()

    def set(self):
        self.over.set()


def test_the_clock_goes_on_between_events(capsys):
    time = [0.0]
    alarm = Alarm(time)
    line = LiveLine(lambda seconds: [f"at {seconds:.0f}"], now=lambda: time[0], alarm=alarm)
    before = threading.active_count()
    with line:
        alarm.drawn.wait()
    assert threading.active_count() == before  # the thread is gone
    assert capsys.readouterr().err == f"{CLEAR}at 1{CLEAR}at 2{CLEAR}at 3{CLEAR}"


def test_the_clock_ends_with_the_line(capsys):
    line = LiveLine(lambda seconds: ["x"], alarm=clock())

    def search():
        with line:
            line.draw()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    thread = line._thread
    assert not thread.is_alive()
    assert thread.daemon
    assert capsys.readouterr().err.endswith(CLEAR)


def test_what_stays_stands_above(capsys):
    line = LiveLine(lambda seconds: ["live"], now=lambda: 0.0)
    line.draw()
    line.above("stays")
    line.draw()
    line.clear()
    line.clear()
    assert capsys.readouterr().err == f"{CLEAR}live{CLEAR}stays\n{CLEAR}live{CLEAR}"


@given(st.lists(st.text(max_size=50), min_size=1), st.integers(0, 60))
def test_fitting(texts, columns):
    shown = fitting(texts, columns)
    assert cells(shown) <= columns
    assert shown.isprintable()


@given(st.floats(0, 1e7))
def test_duration(seconds):
    text = duration(seconds)
    numbers = dict(zip(text.split()[1::2], map(int, text.split()[::2]), strict=True))
    back = numbers.get("h", 0) * 3600 + numbers.get("min", 0) * 60 + numbers.get("s", 0)
    assert 0 <= seconds - back < (60 if "h" in numbers else 1)
