import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.solvers.base import Event, Status
from mapc.solvers.result import MAX_STEPS, Result, thinned
from mapc.visual.recorded import is_number, number_of, record_from, trajectory_from
from mapc.visual.view import record_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
KEYS = ("status", "objective", "bound", "gap", "method", "seconds", "notes", "asked", "versions")
EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(0, 10_000).map(lambda n: n / 100),
        st.sampled_from(["incumbent", "bound"]),
        st.none() | st.integers(0, 99),
        st.none() | st.integers(0, 99),
        st.text(max_size=8),
    ),
    max_size=20,
).map(lambda events: tuple(sorted(events, key=lambda event: event.time)))


@given(EVENTS)
def test_what_a_result_records_is_read_back(trajectory):
    result = Result(
        "memory",
        Status.FEASIBLE,
        object(),
        7,
        5,
        "eviction",
        "cut",
        1.5,
        True,
        notes=("one",),
        trajectory=trajectory,
        asked={"seed": 3, "time_limit": None},
        versions={"mapc": "1"},
        command="mapc solve x",
    )
    section = json.loads(json.dumps(result.record()))
    assert record_from(section) == record_of(result)


@given(st.dictionaries(st.sampled_from([*KEYS, "trajectory", "command", "reason"]), JSON))
def test_any_section_is_taken(section):
    record = record_from(section)
    assert isinstance(record.status, str)
    assert all(isinstance(note, str) for note in record.notes)
    assert all(isinstance(version, str) for version in record.versions.values())
    assert [step.time for step in record.trajectory] == sorted(
        step.time for step in record.trajectory
    )


def test_lists_that_do_not_fit_together_are_no_trajectory():
    columns = {"seconds": [0.1], "kind": ["bound"], "objective": [None], "bound": [1]}
    assert trajectory_from(columns) == ()
    assert len(trajectory_from({**columns, "source": ["cut"]})) == 1
    assert trajectory_from({**columns, "source": ["cut"], "kind": ["other"]}) == ()


@pytest.mark.parametrize("n", [0, 1, MAX_STEPS, MAX_STEPS + 1, 5 * MAX_STEPS + 3])
def test_long_trajectories_are_thinned_between_their_ends(n):
    steps = tuple(Event(float(i), "bound", None, i) for i in range(n))
    kept = thinned(steps)
    assert len(kept) == min(n, MAX_STEPS)
    assert kept[:1] == steps[:1]
    assert kept[-1:] == steps[-1:]
    assert list(kept) == sorted(set(kept), key=lambda step: step.time)


def test_integers_beyond_all_floats_are_left_out():
    huge = 10**400
    record = record_from({"objective": huge, "bound": -huge, "seconds": 3, "gap": 2**64})
    assert (record.objective, record.bound, record.seconds, record.gap) == (None, None, 3, 2**64)
    columns = {"seconds": [1, 2], "kind": ["bound"] * 2, "source": ["", ""]}
    steps = trajectory_from({**columns, "objective": [huge, 5], "bound": [4, huge]})
    assert [(step.objective, step.bound) for step in steps] == [(None, 4), (5, None)]


@pytest.mark.parametrize("value", [True, None, "1", [1], math.nan, math.inf, 10**400])
def test_what_is_no_number_cannot_be_drawn(value):
    assert not is_number(value)
    assert number_of(value) is None


@given(st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_stay_as_they_are(value):
    assert is_number(value)
    assert number_of(value) is value
