import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapc.units import format_bytes
from mapc.visual.figure import UNITS, Axis
from mapc.visual.words import between, counted, plain, sentences, ticks, words

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "bytes", "\N{EN DASH}"),
        (math.nan, "", "\N{EN DASH}"),
        (math.inf, "ms", "∞"),
        (-math.inf, "", "-∞"),
        (10**400, "bytes", "∞"),
        (-(10**400), "", "-∞"),
        ("as it is", "bytes", "as it is"),
        (True, "count", "yes"),
        (1605632, "bytes", "1,568 KiB"),
        (0.5, "share", "50 %"),
        (12, "s", "12 s"),
        (1234567, "count", "1,234,567"),
        (0.5, "loss", "0.5"),
    ],
)
def test_words(value, unit, expected):
    assert words(value, unit) == expected


@given(st.integers(-(10**14), 10**14))
def test_whole_numbers_are_told_in_full(value):
    assert int(plain(float(value)).replace(",", "")) == value


@given(NUMBERS)
def test_numbers_are_told_to_four_digits_at_least(value):
    assert float(plain(value).replace(",", "")) == pytest.approx(value, rel=1e-4, abs=1e-300)


@given(NUMBERS, NUMBERS, st.sampled_from(UNITS), st.integers(1, 12))
def test_ticks_lie_in_the_domain_and_are_few_and_ordered(first, second, unit, most):
    low, high = sorted((first, second))
    assume(high - low > 1e-9 * max(1.0, abs(low), abs(high)))
    found = ticks(Axis("", low, high, unit), most)
    places = [at for at, _ in found]
    assert len(found) <= most + 1
    assert places == sorted(set(places))
    room = 1e-6 * (high - low)
    assert all(low - room <= at <= high + room for at in places)


@given(st.floats(1e-9, 1e9), st.floats(1.5, 1e12), st.integers(2, 9))
def test_logarithmic_ticks_are_powers_or_the_ends(low, ratio, most):
    axis = Axis("", low, low * ratio, log=True)
    found = [at for at, _ in ticks(axis, most)]
    assert 1 <= len(found) <= most + 1
    for at in found:
        power = math.log10(at)
        assert power == pytest.approx(round(power), abs=1e-9) or at in (axis.low, axis.high)


@given(st.integers(1, 500), st.integers(1, 20))
def test_names_stand_at_their_middle(count, most):
    names = [f"n{i}" for i in range(count)]
    found = ticks(Axis.of_names("", names), most)
    assert 1 <= len(found) <= most
    assert all(text == names[int(at)] and at % 1 == 0.5 for at, text in found)


def test_bytes_have_round_binary_ticks():
    found = ticks(Axis("", 0, 4_000_000, "bytes"), 6)
    assert [at for at, _ in found] == [0, 2**20, 2 * 2**20, 3 * 2**20]
    assert [text for _, text in found][1] == format_bytes(2**20)


def test_a_domain_without_length_has_one_tick():
    assert ticks(Axis("", 3, 3)) == [(3, "3")]


def test_numbers_with_their_nouns():
    assert counted(0, "rank") == "0 ranks"
    assert counted(1, "batch", "batches") == "1 batch"
    assert counted(1200, "batch", "batches") == "1,200 batches"


def test_sentences_leave_out_what_is_empty():
    assert sentences("", "One.", "", "Two.") == "One. Two."
    assert sentences() == sentences("") == ""


def test_a_range_with_one_value_is_that_value():
    assert between(0.5, 0.75, "share") == "50 % to 75 %"
    assert between(3, 3, "ms") == "3 ms"
    assert between(1.000000001, 1.000000002) == "1"
