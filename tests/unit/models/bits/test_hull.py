import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapc.models.bits.hull import compare_products, lower_hull
from oracles.knapsack_bruteforce import core_of, lower_left_hull, small_knapsacks

many = settings(max_examples=120, deadline=None, derandomize=True)
whole = st.integers(0, 2**63 - 1)


def sign(value: int) -> int:
    return (value > 0) - (value < 0)


def rows(groups):
    core = core_of(groups)
    hull = lower_hull(core.start, core.cost[0], core.quanta)
    assert len(hull) == len(groups)
    for i, row in enumerate(hull):
        assert ((row >= core.start[i]) & (row < core.start[i + 1])).all()
    points = [
        [(int(core.cost[0][option]), int(core.quanta[option])) for option in row] for row in hull
    ]
    return points, [row.tolist() for row in hull]


@many
@given(st.lists(st.tuples(whole, whole, whole, whole), min_size=1, max_size=8))
@example([(2**63 - 1, 2**63 - 1, 2**63 - 1, 2**63 - 2), (0, 5, 5, 0), (2**62, 3, 3, 2**62)])
def test_products_compare_as_python_integers_do(factors):
    columns = [np.array(column, dtype=np.int64) for column in zip(*factors, strict=True)]
    expected = [sign(a * b - c * d) for a, b, c, d in factors]
    assert compare_products(*columns).tolist() == expected


@many
@given(st.integers(2**31, 2**62), st.integers(-9, 9), st.integers(-9, 9))
def test_products_that_float64_cannot_tell_apart(a, apart, shift):
    """``a b`` and ``(a + s)(b - s)`` with b near a: a handful of units of up to 2**124."""
    b = a + apart
    factors = (a, b, a + shift, b - shift)
    columns = [np.array([factor], dtype=np.int64) for factor in factors]
    expected = sign(a * b - (a + shift) * (b - shift))
    assert compare_products(*columns).tolist() == [expected]


@many
@given(small_knapsacks())
def test_hulls_of_all_groups_are_those_of_each(case):
    groups, _ = case
    points, _ = rows(groups)
    assert points == [lower_left_hull(group) for group in groups]


@many
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=20, max_size=40))
def test_one_large_group_among_many_small_ones(options):
    groups = [[(1, 1)]] * 30 + [options] + [[(2, 0), (1, 5)]] * 30
    points, _ = rows(groups)
    assert points == [lower_left_hull(group) for group in groups]


def test_of_equal_options_the_first_stands():
    _, indices = rows([[(3, 2), (1, 5), (1, 5), (3, 2)], [(0, 0), (0, 0)]])
    assert indices == [[1, 0], [4]]


def test_options_on_an_edge_of_the_hull_do_not_stand():
    points, _ = rows([[(c, 100 - 7 * c) for c in range(11)]])
    assert points == [[(0, 100), (10, 30)]]


def test_a_difference_beyond_float64_decides():
    """The middle lies one unit below, on, or above the chord of numbers near 2**50."""
    far = 2**50
    for shift, stands in ((-1, True), (0, False), (1, False)):
        points, _ = rows([[(0, far), (far // 2, far // 2 + shift), (far, 0)]])
        assert ((far // 2, far // 2 + shift) in points[0]) == stands
