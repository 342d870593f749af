import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.topology.selection import best_copies, whole_worth


@st.composite
def choices(draw):
    experts, places = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    worth = draw(
        st.lists(
            st.lists(st.integers(0, 9), min_size=places, max_size=places),
            min_size=experts,
            max_size=experts,
        )
    )
    slots = draw(st.lists(st.integers(0, experts), min_size=places, max_size=places))
    short = experts - sum(slots)
    slots[0] += max(short, 0)
    return np.array(worth), np.array(slots)


def brute(worth, slots):
    """Worth of the best choice of a non-empty set of places for every expert."""
    experts, places = worth.shape
    sets = [s for s in itertools.product((0, 1), repeat=places) if any(s)]
    best = -1
    for choice in itertools.product(sets, repeat=experts):
        on = np.array(choice)
        if (on.sum(axis=0) <= slots).all():
            best = max(best, int((worth * on).sum()))
    return best


@settings(max_examples=60, deadline=None)
@given(choices())
def test_no_choice_is_worth_more(case):
    worth, slots = case
    on = best_copies(worth, slots)
    assert on.any(axis=1).all()
    assert (on.sum(axis=0) <= slots).all()
    assert int((worth * on).sum()) == brute(worth, slots)


def test_single_copies_are_an_assignment():
    worth = np.array([[9, 8], [9, 1]])
    assert best_copies(worth, np.array([1, 1])).tolist() == [[False, True], [True, False]]


def test_too_few_slots_are_refused():
    with pytest.raises(ValueError, match="1 slots for 2 experts"):
        best_copies(np.ones((2, 1), dtype=np.int64), np.array([1]))


def test_costs_that_are_whole_are_kept():
    cost = np.array([[3.0, 7.0], [0.0, 5.0]])
    worth, unit, base = whole_worth(cost)
    assert (unit, base) == (1.0, 7.0)
    assert worth.tolist() == [[4, 0], [7, 2]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=6))
def test_costs_are_never_overstated(costs):
    cost = np.array([costs])
    worth, unit, base = whole_worth(cost)
    kept = base - unit * worth
    assert (worth >= 0).all()
    assert (kept <= cost).all()
    assert (cost - kept <= unit * (1 + 1e-9)).all()
