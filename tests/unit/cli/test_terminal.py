import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.cli.terminal import (
    can_rewrite,
    cells,
    cut,
    in_colour,
    is_terminal,
    live_width,
    shows,
    table_width,
)

BARS = "▁█"


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),  # empty is not set
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (False, {"FORCE_COLOR": ""}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours(monkeypatch, terminal, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert in_colour(Stream(terminal)) == expected


def test_colours_do_not_make_a_line_live(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not can_rewrite(Stream(False))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert can_rewrite(Stream(True))


def test_no_stream_at_all():
    assert not is_terminal(None)
    assert not can_rewrite(None)
    assert (table_width(None), live_width(None)) == (80, 80)


def test_width_of_tables(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert table_width(Stream(True)) == 120
    assert table_width(Stream(False)) == 80  # the same file, whoever's terminal it is
    assert live_width(Stream(True)) == 120  # this one cannot be asked


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", True),
        ({"LANG": "en_GB.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C"}, "utf-8", False),
        ({"LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"}, "utf-8", False),
        ({"LC_ALL": "C.UTF-8"}, "utf-8", True),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, "utf-8", True),
        ({}, "latin-1", False),
        ({}, "ascii", False),
        ({}, "no such encoding", False),
        ({}, None, False),
    ],
)
def test_what_can_be_shown(monkeypatch, environment, encoding, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    class Encoded:
        pass

    stream = Encoded()
    stream.encoding = encoding
    assert shows(BARS, stream) == expected


@given(st.text(max_size=60), st.integers(0, 60))
def test_cut(text, columns):
    short = cut(text, columns)
    assert cells(short) <= max(0, columns)
    if cells(text) <= columns:
        assert short == text
    else:
        assert text.startswith(short.removesuffix("..."))


def test_wide_and_combining_characters():
    assert [cells(text) for text in ("abc", "漢字", "e\u0301", "")] == [3, 4, 1, 0]
    assert cut("漢字漢字漢字", 8) == "漢字..."


# -- of a table ------------------------------------------------------------------------------------


def test_a_table_in_colour(run, layers):
    plain = run("solve", layers, "-q").stdout
    coloured = run("solve", layers, "-q", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in plain
    assert coloured.startswith("\x1b[1mstatus\x1b[0m         \x1b[32moptimal\x1b[0m\n")
    assert "\x1b" not in run("solve", layers, "-q", env={"NO_COLOR": "1"}).stdout


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_a_whole_run_on_a_terminal_leaves_nothing_behind(start, net):
    master, slave = os.openpty()
    options = ("--scratchpad", "12", "--time-limit", "none")
    process = start("solve", net, *options, stderr=slave, env={"TERM": "xterm", "LANG": "C.UTF-8"})
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # nobody holds the other end any more
            break
        if not part:
            break
        said += part
    os.close(master)
    stdout, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert stdout.startswith("status ")
    assert "\x1b" not in stdout
    text = said.decode()
    assert re.match(r"\r\x1b\[2K\d+ (s|min)", text)  # which steps are drawn depends on the clock
    assert text.endswith("\r\x1b[2K")  # an empty line, and the cursor at its start
    assert "?25" not in text  # the cursor was never hidden
