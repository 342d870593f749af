"""Distances, integrals and means, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.quality.measures import primal_integral, shifted_geometric_mean, to_best
from mapc.solvers.base import Event


def plan(time: float, objective: float) -> Event:
    return Event(time, "incumbent", objective)


@pytest.mark.parametrize(
    ("objective", "best", "expected"),
    [
        (110, 100, 10 / 110),
        (100, 100, 0.0),
        (0, 0, 0.0),
        (5, 0, 1.0),
        (90, 100, -0.1),
        (-90, -100, 0.1),
        (5, -5, 1.0),
        (-5, 5, -1.0),
        (None, 100, None),
        (100, None, None),
    ],
)
def test_distance_to_the_best_known(
    objective: float | None, best: float | None, expected: float | None
) -> None:
    assert to_best(objective, best) == (None if expected is None else pytest.approx(expected))


def test_the_integral_adds_up_what_each_plan_costs_while_it_is_the_best() -> None:
    # 2 s without a plan, 3 s at 200 for 100, 4 s at 125, the best from 9 s on
    steps = [plan(2, 200), Event(4, "bound", 200, 50), plan(5, 125), plan(9, 100)]
    expected = 2 * 1 + 3 * 0.5 + 4 * 0.2
    assert primal_integral(steps, 100, 9.5, 20) == pytest.approx(expected)
    assert primal_integral(steps, 100, 9.5) == pytest.approx(expected)


def test_a_run_that_ends_early_pays_its_last_gap_until_the_horizon() -> None:
    assert primal_integral([plan(1, 200)], 100, 3, 10) == pytest.approx(1 + 9 * 0.5)
    assert primal_integral([plan(1, 200)], 100, 3) == pytest.approx(1 + 2 * 0.5)


def test_no_plan_costs_all_the_time() -> None:
    assert primal_integral([], 100, 3, 10) == 10
    assert primal_integral([Event(1, "bound", None, 5)], None, 3, 10) is None


def test_a_better_plan_than_the_best_known_is_what_counts() -> None:
    assert primal_integral([plan(1, 100), plan(3, 80)], 100, 5, 5) == pytest.approx(1 + 2 * 0.2)
    assert primal_integral([plan(1, 100)], None, 5, 5) == 1


def test_what_is_found_after_the_horizon_does_not_count() -> None:
    assert primal_integral([plan(1, 200), plan(12, 100)], 100, 12, 10) == pytest.approx(1 + 4.5)
    assert primal_integral([plan(12, 100)], 100, 12, 10) == 10


@given(
    st.lists(st.floats(0, 100), max_size=6),
    st.lists(st.integers(0, 1000), max_size=6),
    st.integers(0, 1000),
)
def test_the_integral_lies_between_nothing_and_the_horizon(
    times: list[float], objectives: list[int], best: int
) -> None:
    steps = [
        plan(time, value)
        for time, value in zip(sorted(times), sorted(objectives, reverse=True), strict=False)
    ]
    found = primal_integral(steps, best, 100, 100)
    assert found is not None
    assert 0 <= found <= 100 + 1e-9


def test_shifted_geometric_mean() -> None:
    assert shifted_geometric_mean([], 1) is None
    assert shifted_geometric_mean([0.0, 0.0], 0.01) == 0
    assert shifted_geometric_mean([3.0, 8.0], 1) == pytest.approx(math.sqrt(4 * 9) - 1)
    assert shifted_geometric_mean([7.0], 10) == pytest.approx(7)
