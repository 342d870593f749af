import math

import numpy as np
import pytest

from mapc.solvers.base import Event
from mapc.visual.figure import Points, Steps
from mapc.visual.timeline import ROWS, figure, table, unit_of
from mapc.visual.view import Record, View

EVENTS = (
    Event(0.01, "bound", None, 10.0, "cut"),
    Event(0.02, "note", None, 10.0, "cut", "a note"),
    Event(0.5, "incumbent", 40.0, 10.0, "greedy"),
    Event(3.0, "incumbent", 20.0, 10.0, "search"),
    Event(4.0, "bound", 20.0, 20.0, "search"),
)


def view(events=EVENTS, seconds=4.5, label="plan.json", phrase=str):
    record = Record(status="optimal", seconds=seconds, trajectory=tuple(events))
    return View(label, "memory", None, None, record, None, {}, (), phrase)


def test_levels_hold_until_the_next_step():
    picture = figure([view()])
    bound, objective, plans = picture.marks
    times = [0.01, 0.5, 3, 4, 4.5]
    assert isinstance(bound, Steps)
    assert isinstance(objective, Steps)
    assert bound.x.tolist() == objective.x.tolist() == times
    assert bound.y.tolist() == [10, 10, 10, 20]
    assert np.array_equal(objective.y, [math.nan, 40, 20, 20], equal_nan=True)
    assert isinstance(plans, Points)
    assert list(zip(plans.x, plans.y, strict=True)) == [(0.5, 40), (3, 20)]
    assert plans.titles[1] == "20 by search after 3 s, bound 10"
    assert "2 better plans; gap 0 %" in picture.summary


def test_the_one_run_of_several_that_is_known_is_named():
    picture = figure([view((), label="a.json"), view(label="b.json")])
    assert [mark.name for mark in picture.marks] == [
        "b.json: bound",
        "b.json: objective",
        "b.json: better plans",
    ]
    assert picture.summary.startswith("b.json: 2 better plans")


def test_runs_without_a_bound_have_no_line_for_it():
    events = (Event(1.0, "incumbent", 4.0, None, "a"), Event(2.0, "incumbent", 3.0, None, "b"))
    assert [mark.name for mark in figure([view(events)]).marks] == ["objective", "better plans"]


def test_the_axes_hold_everything():
    picture = figure([view()])
    assert picture.x.log  # from 0.01 to 4.5 seconds
    assert 0 < picture.x.low <= 0.01
    assert picture.x.high >= 4.5
    assert picture.y.low < 10
    assert picture.y.high > 40
    assert not figure([view(EVENTS[2:])]).x.log


def test_times_of_nothing_are_drawn_at_the_start():
    events = (Event(0.0, "incumbent", 4.0, None, "a"), Event(9.0, "bound", 4.0, 1.0, "b"))
    picture = figure([view(events)])
    assert all(np.all(mark.x >= picture.x.low) for mark in picture.marks)


def test_levels_over_decades_are_logarithmic():
    events = (Event(1.0, "incumbent", 1e6, 1.0, "a"), Event(2.0, "incumbent", 10.0, 1.0, "b"))
    assert figure([view(events)]).y.log


def test_odd_values_are_gaps():
    events = (
        Event(1.0, "incumbent", math.inf, -math.inf, "a"),
        Event(2.0, "bound", math.nan, 3.0, "b"),
        Event(3.0, "incumbent", 5.0, 3.0, "b"),
    )
    bound, objective, plans = figure([view(events)]).marks
    assert np.array_equal(bound.y, [math.nan, 3, 3], equal_nan=True)
    assert np.array_equal(objective.y, [math.nan, math.nan, 5], equal_nan=True)
    assert plans.x.tolist() == [3]
    assert [mark.name for mark in figure([view(events[:2])]).marks] == ["bound"]
    assert figure([view(events[:1] * 2)]) is None


@pytest.mark.parametrize("events", [(), EVENTS[:2]])
def test_a_run_of_less_than_two_steps_has_no_picture(events):
    assert figure([view(events)]) is None


def test_runs_beside_each_other_have_names_and_colours_of_their_own():
    picture = figure([view(label="a/one.json"), view(EVENTS[2:], label="a/two.json"), view(())])
    names = [mark.name for mark in picture.marks]
    assert names == [
        f"{run}.json: {what}"
        for run in ("one", "two")
        for what in ("bound", "objective", "better plans")
    ]
    assert not {m.role for m in picture.marks[:3]} & {m.role for m in picture.marks[3:]}


def test_the_table_says_who_found_what_when():
    found = table(view())
    assert found.rows == (
        (0.01, "cut", "bound", None, 10.0, None),
        (0.5, "greedy", "plan", 40.0, 10.0, 0.75),
        (3.0, "search", "plan", 20.0, 10.0, 0.5),
        (4.0, "search", "bound", 20.0, 20.0, 0.0),
    )
    assert table(view(())) is None


def test_long_tables_are_thinned_from_the_first_to_the_last():
    events = [Event(float(i), "incumbent", 1000.0 - i, 0.0, "x") for i in range(900)]
    found = table(view(events))
    assert len(found.rows) == ROWS
    assert (found.rows[0][0], found.rows[-1][0]) == (0, 899)
    assert "900 steps" in found.note


@pytest.mark.parametrize(
    ("phrase", "unit"),
    [
        (lambda value: f"{value / 1024:.0f} KiB extra off-chip traffic", "bytes"),
        (lambda value: f"a step of {value:,} ms", "ms"),
        (lambda value: f"a loss of {value}", "loss"),
        (lambda value: f"a step of {value}", ""),
        (lambda value: 1 / 0, ""),
    ],
)
def test_units_are_read_off_the_words(phrase, unit):
    assert unit_of(view(phrase=phrase)) == unit


def test_nothing_but_zeros_has_an_axis():
    events = (Event(1.0, "bound", None, 0.0, "a"), Event(2.0, "incumbent", 0.0, 0.0, "b"))
    axis = figure([view(events)]).y
    assert axis.low < 0 < axis.high
