import io
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.cli.output import (
    one_line,
    plain_table,
    print_columns,
    print_json,
    print_table,
    wrapped,
)
from mapc.cli.terminal import cells


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=60), st.text(max_size=300)), min_size=1),
    st.integers(50, 120),
)
def test_plain_table_keeps_everything_within_the_width(rows, width):
    lines = plain_table(rows, width).split("\n")
    for line in lines:  # a word is not broken, wherever it begins
        assert cells(line) <= width or cells(line.split()[-1]) > width - width // 3 - 2
    said = "".join("".join(line.split()) for line in lines)
    assert said == "".join("".join((label + one_line(value)).split()) for label, value in rows)


def test_a_long_label_stands_above_its_value():
    rows = [("short", "one two"), ("l" * 30, "a path"), ("m" * 90, "")]
    assert plain_table(rows, 60).split("\n") == [
        "short  one two",
        "l" * 30,
        "       a path",
        "m" * 90,
    ]


@given(st.text("ab \n漢", max_size=200), st.integers(10, 60))
def test_wrapped(text, width):
    lines = wrapped(text, width, "  ")
    words = text.split()
    assert [word for line in lines for word in line.split()] == words
    for line, following in pairwise(lines):
        assert cells(line) <= width or len(line.split()) == 1
        assert cells(line) + 1 + cells(following.split()[0]) > width  # no line ends early
        assert following.startswith("  ")


@settings(deadline=None)
@given(st.text())
def test_one_line(text):
    line = one_line(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1


def test_json_is_strict(capsys):
    print_json(
        {
            "nan": float("nan"),
            "list": [float("inf"), (1, {"deep": -float("inf")})],
            "int": np.int64(3),
            "float": np.float32("nan"),
            "array": np.arange(2),
            "text": "\u00e9\n",
        }
    )
    out = capsys.readouterr().out

    def refuse(name):
        raise AssertionError(name)

    assert json.loads(out, parse_constant=refuse) == {
        "nan": None,
        "list": [None, [1, {"deep": None}]],
        "int": 3,
        "float": None,
        "array": [0, 1],
        "text": "\u00e9\n",
    }


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_styled_table_fits_the_terminal(monkeypatch, columns):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")  # no styles, so that lengths are lengths
    print_table([("status", "optimal"), ("note", "[red]not markup[/red] " + "word " * 60)])
    lines = terminal.getvalue().rstrip("\n").split("\n")
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert "[red]not markup[/red]" in terminal.getvalue()
    assert terminal.getvalue().count("word") == 60


def test_columns(capsys):
    print_columns(("name", "why"), [("a", "x " * 60), ("longer", "")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name    why"
    assert lines[1].startswith("a       x x")
    assert lines[-1] == "longer"
    assert max(map(len, lines)) <= 80


def test_characters_the_encoding_lacks(start, net):
    net.write_text(net.read_text().replace('"net"', '"\N{SNOWMAN}"'))
    done = start("show", net, env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"})
    stdout, stderr = done.communicate(timeout=60)
    assert (done.returncode, stderr) == (0, "")
    assert "\\u2603" in stdout
