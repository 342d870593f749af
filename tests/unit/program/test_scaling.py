import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.program import Program
from mapc.program.scaling import (
    MAX_ACTIVITY,
    NARROWEST,
    NO_LOWER,
    NO_UPPER,
    WIDEST,
    clip_range,
    implied_bounds,
    scale_rows,
    whole_bounds,
)

whole = st.integers(-50, 50).map(float)
decimal = st.tuples(st.integers(-9999, 9999), st.integers(1, 4)).map(lambda t: t[0] / 10 ** t[1])
odd = st.floats(-1e3, 1e3, allow_subnormal=False)
large = st.integers(-(2**50), 2**50).map(float)
numbers = st.one_of(whole, decimal, odd, large, st.sampled_from([1 / 3, 2**-20, 1e-7, 1e9, 0.1]))


@st.composite
def rows(draw):
    n = draw(st.integers(1, 3))
    values = draw(st.lists(numbers, min_size=n, max_size=n))
    low = np.array(draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), dtype=float)
    up = low + draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    # sides that a point of the box meets exactly, or nearly, are where points get lost
    point = [draw(st.integers(int(a), int(b))) for a, b in zip(low, up, strict=True)]
    at = sum(float(v) * p for v, p in zip(values, point, strict=True))
    side = draw(st.one_of(st.just(at), st.just(round(at, 4)), numbers))
    return np.array(values), low, up, side


def scaled(values, low, up):
    n = len(values)
    return scale_rows(np.array([0, n]), np.arange(n, dtype=np.int32), values, low, up)


def meant(value):
    """The decimal that a double stands for, where it has at most nine digits."""
    return Fraction(str(value)) if value == round(value, 9) else Fraction(value)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(rows())
def test_no_feasible_point_is_lost_and_errors_are_told(row):
    values, low, up, side = row
    result = scaled(values, low, up)
    whole_low, whole_up = result.sides(np.array([side]), np.array([side]))
    error = Fraction(float(result.errors(np.array([side]), np.array([side]))[0]))
    error = (error + Fraction(1, 10**12)) * max(1, abs(Fraction(side)))
    size = max(1, sum(abs(v) for v in values.tolist()))
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, up, strict=True)]
    for point in itertools.product(*ranges):
        total = sum(c * p for c, p in zip(result.coefficients.tolist(), point, strict=True))
        assert abs(total) <= MAX_ACTIVITY
        below, above = total <= int(whole_up[0]), total >= int(whole_low[0])
        for reading in (meant, Fraction):
            activity = sum(reading(v) * p for v, p in zip(values.tolist(), point, strict=True))
            if reading is Fraction and result.exact[0] and reading(side) != meant(side):
                continue  # an exact row means the decimals
            exact_side = reading(side)
            if reading is meant or not result.exact[0]:
                assert below or activity > exact_side
                assert above or activity < exact_side
            slack = error + Fraction(size) / 10**12
            assert not below or activity <= exact_side + slack
            assert not above or activity >= exact_side - slack


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(whole, decimal), min_size=1, max_size=4))
def test_short_decimals_are_scaled_exactly_and_as_little_as_possible(values):
    values = np.array(values)
    result = scaled(values, np.zeros(len(values)), np.ones(len(values)))
    assert result.exact[0]
    factor = result.factor(0)
    assert [meant(v) * factor for v in values.tolist()] == result.coefficients.tolist()
    assert math.gcd(*result.coefficients.tolist()) in (0, 1)


def test_sides_between_whole_numbers_move_inside():
    result = scaled(np.array([6.0, -10.0]), np.zeros(2), np.ones(2))
    assert result.coefficients.tolist() == [3, -5]
    low, up = result.sides(np.array([-7.0]), np.array([9.0]))
    assert (low[0], up[0]) == (-3, 4)
    low, up = result.sides(np.array([-np.inf]), np.array([np.inf]))
    assert (low[0], up[0]) == (NO_LOWER, NO_UPPER)
    low, up = result.sides(np.array([1.0]), np.array([1.0]))
    assert low[0] > up[0]  # 6 x - 10 y is even


def test_sides_that_are_sums_of_decimals_are_taken_as_meant():
    result = scaled(np.array([0.1, 0.1, 0.1]), np.zeros(3), np.ones(3))
    assert result.coefficients.tolist() == [1, 1, 1]
    low, up = result.sides(np.array([0.1 + 0.2]), np.array([1 - 0.9]))
    assert (low[0], up[0]) == (3, 1)


def test_halves_need_no_rounding_and_thirds_say_how_much():
    result = scaled(np.array([2.0**-20, 3.0]), np.zeros(2), np.ones(2))
    assert result.exact[0]
    assert result.coefficients.tolist() == [1, 3 * 2**20]
    result = scaled(np.array([1 / 3, 1.0]), np.zeros(2), np.ones(2))
    assert not result.exact[0]
    error = result.errors(np.array([-np.inf]), np.array([0.5]))[0]
    assert 0 < error < 1e-9
    assert result.errors(np.array([-np.inf]), np.array([np.inf]))[0] == 0


def test_rows_too_large_for_64_bits_are_scaled_down():
    values = np.array([2.0**50 + 1, 3.0])
    result = scaled(values, np.zeros(2), np.array([2.0**20, 1.0]))
    assert not result.exact[0]
    total = abs(int(result.coefficients[0])) * 2**20 + abs(int(result.coefficients[1]))
    assert total <= MAX_ACTIVITY


def test_empty_rows_and_zero_coefficients_do_no_harm():
    result = scale_rows(
        np.array([0, 0, 2, 2]), np.array([0, 1], np.int32), np.zeros(2), np.zeros(2), np.ones(2)
    )
    assert result.coefficients.tolist() == [0, 0]
    assert result.exact.all()
    low, up = result.sides(np.full(3, -1.5), np.full(3, 0.5))
    assert low.tolist() == [-1] * 3
    assert up.tolist() == [0] * 3


def test_whole_bounds_round_inwards_and_drop_what_is_too_far():
    low, up = whole_bounds(np.array([-0.5, -1e20, 2.0]), np.array([0.5, 1e19, 2.9]))
    assert low.tolist() == [0, -np.inf, 2]
    assert up.tolist() == [0, np.inf, 2]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_implied_bounds_hold_for_every_feasible_point(data):
    """Cut the box wide open and let the rows speak: no feasible point may fall outside."""
    program = Program()
    n = data.draw(st.integers(1, 3))
    program.variables(n, -3, 3)
    factors = st.sampled_from([-2.0, -1.0, 0.0, 0.1, 1.0, 1 / 3, 3.0])
    for _ in range(data.draw(st.integers(1, 3))):
        values = data.draw(st.lists(factors, min_size=n, max_size=n))
        side = data.draw(st.integers(-3, 5)) / data.draw(st.sampled_from([1, 3]))
        low = data.draw(st.sampled_from([-np.inf, side - 2, side]))
        program.rows([range(n)], [values], low, side)
    m = program.matrix
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    low = np.where(data.draw(flags), -np.inf, m.lower)
    up = np.where(data.draw(flags), np.inf, m.upper)
    new_low, new_up = implied_bounds(m, low, up)
    assert np.array_equal(new_low[np.isfinite(low)], low[np.isfinite(low)])
    assert np.array_equal(new_up[np.isfinite(up)], up[np.isfinite(up)])
    for point in itertools.product(range(-3, 4), repeat=n):
        x = np.array(point, dtype=float)
        activity = m.activity(x)
        inside = (activity >= m.row_lower - 1e-9) & (activity <= m.row_upper + 1e-9)
        if inside.all():
            assert (new_low <= x).all()
            assert (x <= new_up).all()


def test_implied_bounds_travel_along_a_chain():
    program = Program()
    x = program.variables(3, 0, [4, np.inf, np.inf])
    program.rows([[x.start, x.start + 1]], [[-2, 1]], upper=1)
    program.rows([[x.start + 1, x.start + 2]], [[3, -1]], lower=-2)
    _, up = implied_bounds(program.matrix, program.matrix.lower, program.matrix.upper)
    assert up.tolist() == [4, 9, 29]


@pytest.mark.parametrize(
    ("weight", "limit"), [(1.0, WIDEST), (2.0**30, 2.0**29), (2.0**50, NARROWEST)]
)
def test_unbounded_columns_are_cut_where_sums_still_fit(weight, limit):
    indptr, indices = np.array([0, 2]), np.array([0, 1], np.int32)
    found = clip_range(indptr, indices, np.array([weight, 1e6]), np.array([True, False]))
    assert found == limit
    assert clip_range(indptr, indices, np.ones(2), np.zeros(2, dtype=bool)) == WIDEST
