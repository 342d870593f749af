import fcntl
import os
import re
import struct
import sys
import termios

import pytest

from mapc.cli.progress import MOST_STEPS, Progress
from mapc.solvers.base import Event


class Family:
    @staticmethod
    def phrase(value):
        return f"{value} B of traffic"


EVENTS = [
    (Event(0.5, "bound", None, 4, "thought"), "0.50 s bound: bound 4 B (thought)"),
    (
        Event(1.0, "incumbent", 8, 4, "luck"),
        "1.00 s incumbent: 8 B of traffic, bound 4 B, gap 50.00 % (luck)",
    ),
    (Event(1.5, "incumbent", 8, None, "luck"), "1.50 s incumbent: 8 B of traffic (luck)"),
    (Event(2.0, "note", 8, 4, "", "a\nremark"), "2.00 s note: a remark"),
]


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


class Screen:
    """What a terminal shows of what is written to it: CR, LF, `erase line`, and wrapping."""

    TOKENS = re.compile(r"\r|\n|\x1b\[[0-9;?]*[A-Za-z]|[^\r\n\x1b]")

    def __init__(self, columns):
        self.columns, self.lines, self.at = columns, [""], 0

    def write(self, text):
        assert "".join(self.TOKENS.findall(text)) == text
        for token in self.TOKENS.findall(text):
            if token == "\r":
                self.at = 0
            elif token == "\n":
                self.lines.append("")
            elif token.startswith("\x1b"):
                assert token == "\x1b[2K"  # nothing else is known here: no cursor is hidden
                self.lines[-1] = ""
            else:
                if self.at == self.columns:
                    self.lines.append("")
                    self.at = 0
                line = self.lines[-1].ljust(self.at)
                self.lines[-1] = line[: self.at] + token + line[self.at + 1 :]
                self.at += 1


class Terminal:
    """A pseudo-terminal as standard error."""

    def __init__(self, monkeypatch, columns):
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        self.stream = open(slave, "w", encoding="utf-8")  # noqa: SIM115 - closed by the fixture
        self.screen = Screen(columns)
        self.resize(columns)
        monkeypatch.setattr(sys, "stderr", self.stream)

    def resize(self, columns):
        self.screen.columns = columns
        fcntl.ioctl(self.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shown(self):
        """All lines so far, the one with the cursor last."""
        try:
            while data := os.read(self.master, 65536):
                self.screen.write(data.decode())
        except BlockingIOError:
            pass
        return self.screen.lines

    def close(self):
        self.stream.close()
        os.close(self.master)


@pytest.fixture
def terminal(monkeypatch):
    opened = []

    def make(columns):
        opened.append(Terminal(monkeypatch, columns))
        return opened[-1]

    for name in ("LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    yield make
    monkeypatch.undo()
    for one in opened:
        one.close()


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_a_line_for_every_event(capsys, event, line):
    with Progress(Family, live=False) as progress:
        progress(event)
    assert capsys.readouterr() == ("", f"{line}\n")


def test_not_live_off_a_terminal(capsys):
    with Progress(Family) as progress:
        progress(EVENTS[0][0])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("term", ["dumb", ""])
def test_not_live_on_a_dumb_terminal(terminal, monkeypatch, term):
    screen = terminal(80)
    monkeypatch.setenv("TERM", term)
    with Progress(Family) as progress:
        progress(EVENTS[0][0])
        progress(EVENTS[1][0])
    assert screen.shown() == [EVENTS[0][1], EVENTS[1][1], ""]


def test_the_live_line_on_a_terminal(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        clock.time += 0.5
        progress(EVENTS[0][0])
        assert screen.shown() == ["0 s  bound 4 B (thought)"]
        clock.time += 0.5
        progress(EVENTS[1][0])
        said = "1 s  8 B of traffic (luck), bound 4 B (thought), gap 50.00 %"
        assert screen.shown() == [f"{said}  ████████████████"]
        clock.time += 1.0
        progress(EVENTS[3][0])  # notes stay, above
        assert screen.shown() == ["2.00 s note: a remark", ""]
        clock.time += 65
        progress(Event(67.0, "bound", 8, 8, "proof"))
        last = "1 min 07 s  8 B of traffic (luck), bound 8 B (proof), gap 0 %  ███████████████▁"
        assert screen.shown() == ["2.00 s note: a remark", last]
    assert screen.shown() == ["2.00 s note: a remark", ""]  # cleared, the cursor at its start


def test_what_is_left_out_on_a_narrow_terminal(terminal):
    events = [
        Event(0.5, "bound", None, 3_000_000, "a long proof"),
        Event(1.0, "incumbent", 4_000_000, 3_000_000, "search for neighbours"),
    ]
    shown = {}
    for columns in (120, 80, 60, 45, 30, 12, 2, 1):
        screen, clock = terminal(columns), Clock()
        with Progress(Family, now=clock, ticking=False) as progress:
            for event in events:
                clock.time += 0.5
                progress(event)
            assert len(screen.shown()) == 1, columns  # never wraps
            shown[columns] = screen.shown()[-1]
            assert len(shown[columns]) < max(2, columns)
    assert shown[120].startswith(
        "1 s  4000000 B of traffic (search for neighbours), bound 3000000 B"
    )
    assert shown[120].endswith("(a long proof), gap 25.00 %  ████████████████")
    assert shown[80] == (
        "1 s  4000000 B (search for neighbours), bound 3000000 B, gap 25.00 %  ████████"
    )
    assert shown[60] == "1 s  4000000 B, bound 3000000 B, gap 25.00 %  ████████"
    assert shown[45] == "1 s  4000000 B, bound 3000000 B, gap 25.00 %"
    assert shown[30] == "1 s  4000000 B, gap 25.00 %"
    assert shown[12] == "1 s  400..."
    assert shown[2] == "1"
    assert shown[1] == ""


def test_no_bars_where_the_gap_was_never_open(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        progress(Event(0.0, "incumbent", 8, 8, "luck"))
        assert screen.shown() == ["0 s  8 B of traffic (luck), bound 8 B, gap 0 %"]


def test_a_terminal_that_is_resized(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        clock.time += 1
        progress(EVENTS[1][0])
        wide = screen.shown()[-1]
        screen.resize(30)
        clock.time += 1
        progress(EVENTS[1][0])
        assert screen.shown()[-1] == "2 s  8 B, gap 50.00 %"
        screen.resize(80)
        clock.time += 1
        progress(EVENTS[1][0])
        assert screen.shown()[-1] == wide.replace("1 s", "3 s")


def test_many_events_are_not_all_drawn(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        progress(Event(0.0, "incumbent", 9, 4, "luck"))
        progress(Event(0.0, "incumbent", 8, 4, "luck"))
        assert screen.shown()[-1].startswith("0 s  9 B of traffic")
        clock.time += 0.1
        progress(Event(0.1, "incumbent", 7, 4, "luck"))
        assert screen.shown()[-1].startswith("0 s  7 B of traffic")


def test_a_long_run_keeps_few_steps(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        for number in range(5 * MOST_STEPS):
            progress(Event(number, "incumbent", 10**6 - number, 1, "luck"))
        assert len(progress._steps) <= MOST_STEPS
        assert progress._steps[0][0] == 0
        assert progress._steps[-1][0] == 5 * MOST_STEPS - 1
    assert screen.shown() == [""]


def test_bars_that_an_encoding_lacks(terminal, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        clock.time += 1
        progress(EVENTS[1][0])
        assert screen.shown()[-1].endswith("gap 50.00 %  @@@@@@@@@@@@@@@@")


def test_names_do_not_steer_the_terminal(terminal):
    screen, clock = terminal(80), Clock()
    with Progress(Family, now=clock, ticking=False) as progress:
        progress(Event(0, "incumbent", 8, 4, "\x1b[31m\r\nluck\x07"))
        assert len(screen.shown()) == 1  # the screen refuses sequences it does not know
        assert "luck" in screen.shown()[0]


def test_the_live_line_is_cleared_after_an_interrupt(terminal):
    screen = terminal(80)

    def search():
        with Progress(Family) as progress:
            progress(EVENTS[0][0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert screen.shown() == [""]
