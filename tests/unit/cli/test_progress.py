import pytest

from mapc.cli.progress import Progress
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


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_a_line_for_every_event(capsys, event, line):
    with Progress(Family, live=False) as progress:
        progress(event)
    assert capsys.readouterr() == ("", f"{line}\n")


def test_live_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with Progress(Family, live=True) as progress:
        for event, _ in EVENTS:
            progress(event)
    out, err = capsys.readouterr()
    assert out == ""
    shown = err.split("\r\x1b[2K")
    assert shown[1] == "0.50 s bound: bound 4 B (thought)"
    assert shown[2] == EVENTS[1][1][:39]
    assert shown[4] == "2.00 s note: a remark\n"  # notes stay
    assert len(shown) == 5


def test_live_line_is_cleared(capsys):
    def search():
        with Progress(Family, live=True) as progress:
            progress(EVENTS[0][0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert capsys.readouterr().err.endswith("\r\x1b[2K")


def test_not_live_off_a_terminal(capsys):
    with Progress(Family) as progress:
        progress(EVENTS[0][0])
    assert "\x1b" not in capsys.readouterr().err
