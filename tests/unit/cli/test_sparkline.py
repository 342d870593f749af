import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.cli.sparkline import ASCII, BLOCKS, gap_steps, sampled, sparkline, with_gap_over_time
from mapc.solvers.base import Event, Status
from mapc.solvers.result import Result

steps = st.lists(
    st.tuples(st.floats(0, 1e5), st.one_of(st.just(0.0), st.floats(1e-12, 1e3))), min_size=1
).map(lambda found: sorted(found, key=lambda step: step[0]))


@given(steps, st.floats(0, 1e6), st.integers(1, 60), st.sampled_from([BLOCKS, ASCII]))
def test_heights_follow_the_gap(found, end, width, levels):
    drawn = sparkline(found, end, width, levels)
    assert len(drawn) == width
    heights = [levels.index(character) for character in drawn]
    gaps = sampled(found, end, width)
    assert gaps[-1] == found[-1][1]
    for one, height in zip(gaps, heights, strict=True):
        assert (height == 0) == (one == 0)  # the lowest bar is no gap at all
        for other, above in zip(gaps, heights, strict=True):
            assert height <= above or one > other
    if max(gaps) > 0:
        assert max(heights) == len(levels) - 1


@given(steps, st.integers(2, 60))
def test_the_first_gap_comes_first(found, width):
    gap = [gap for time, gap in found if time == found[0][0]][-1]
    assert sampled(found, found[-1][0] + 1, width)[0] == gap


@pytest.mark.parametrize(
    ("found", "end", "width", "expected"),
    [
        ([(0, 0.5), (1, 0.05), (2, 0.0)], 4, 4, "█▂▁▁"),
        ([(0, 0.5), (1, 0.05), (2, 0.0)], 4, 5, "█▂▁▁▁"),
        ([(0, 0.5)], 0, 3, "███"),
        ([(0, 0.5), (9, 0.4)], 9, 2, "█▇"),  # a little less is a little lower
        ([(0, 1.0), (1, 1e-12)], 1, 2, "█▂"),
        ([(0, 1.0), (1, 1e-3), (2, 1e-12)], 2, 3, "█▅▂"),  # what is tiny hides nothing
        ([(0, 0.0)], 1, 2, "▁▁"),
        ([], 1, 5, ""),
        ([(0, 0.5)], 1, 0, ""),
    ],
)
def test_examples(found, end, width, expected):
    assert sparkline(found, end, width) == expected
    plain = str.maketrans(BLOCKS, ASCII)
    assert sparkline(found, end, width, ASCII) == expected.translate(plain)


def test_steps_of_a_search():
    events = [
        Event(0.1, "bound", None, 4.0),
        Event(0.2, "incumbent", 8.0, 4.0),
        Event(0.3, "bound", 8.0, 8.0),
    ]
    assert gap_steps(events) == [(0.2, 0.5), (0.3, 0.0)]


def result(*events, seconds=2.0):
    return Result("bits", Status.FEASIBLE, seconds=seconds, trajectory=tuple(events))


BEFORE = [("status", "feasible"), ("gap", "10.00 %"), ("seconds", "2.00")]


def test_the_row_of_a_summary(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    run = result(
        Event(0.1, "bound", None, 4.0),
        Event(0.2, "incumbent", 8.0, 4.0),
        Event(1.25, "bound", 8.0, 7.2),
    )
    rows = with_gap_over_time(BEFORE, run)
    # 10 % is 0.7 of the one decade, that there is at least, below 50 %: 4 of 6 steps down
    assert rows[2] == ("gap over time", "@@@@@@@@@+++++++ 50.00 % at 0.20 s, 10.00 % at 1.25 s")
    assert [rows[0], rows[1], rows[3]] == BEFORE


@pytest.mark.parametrize(
    "run",
    [
        result(),
        result(Event(0.1, "incumbent", 8.0, 4.0), Event(0.2, "bound", 8.0, 7.0)),
        result(*(Event(at, "incumbent", 8.0, None) for at in (0.1, 0.2, 0.3))),
        result(*(Event(at, "bound", 8.0, 8.0) for at in (0.1, 0.2, 0.3))),
    ],
    ids=["nothing", "two steps", "no bound", "never open"],
)
def test_nothing_to_draw(run):
    assert with_gap_over_time(BEFORE, run) == BEFORE
