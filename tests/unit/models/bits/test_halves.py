import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.models.bits.dual import hull_steps
from mapc.models.bits.halves import Halves
from mapc.models.bits.parts import Part
from oracles.knapsack_bruteforce import core_of, least, small_knapsacks

many = settings(max_examples=120, deadline=None, derandomize=True)


def search_of(groups, budget, slack=1e-6):
    """A search for anything better than the base choice, and its part."""
    core = core_of(groups, budget)
    part = Part.whole(core, hull_steps(core))
    return part, Halves(part.steps, part.relaxation, part.deviations, 0, lambda b: b - 1, slack)


@many
@given(small_knapsacks())
def test_penalties_are_not_negative_and_rise_within_and_over_groups(case):
    part, _ = search_of(*case)
    deviations = part.deviations
    noise = 1e-12 * float(np.abs(deviations.quanta).max(initial=0))
    assert (deviations.penalty >= -noise).all()
    rows = [
        deviations.penalty[a:b].tolist() for a, b in itertools.pairwise(deviations.start.tolist())
    ]
    assert all(row == sorted(row) for row in rows)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for a, b in itertools.pairwise(deviations.start.tolist()):
        assert len(set(deviations.group[a:b].tolist())) == 1
    assert len(deviations.option) == len(part.reduced.quanta) - part.reduced.n_groups


@many
@given(small_knapsacks())
def test_a_complete_search_finds_the_optimum(case):
    groups, budget = case
    part, halves = search_of(groups, budget, slack=1e4)
    halves.run(10**6, 10**9, lambda: False)
    assert halves.open == np.inf
    optimum = least(groups, budget)
    assert halves.best == optimum - part.base_quanta
    if halves.chosen is not None:
        options = part.options(np.array(halves.chosen, dtype=np.int64))
        assert part.reduced.quanta[options].sum() == optimum
        assert part.reduced.cost[0][options].sum() <= budget


@many
@given(small_knapsacks(), st.integers(1, 3), st.integers(0, 60))
def test_a_cut_search_never_claims_too_much(case, width, work):
    """Whatever was left out, no choice below the relaxation plus ``open`` was missed."""
    groups, budget = case
    assume(sum(q for group in groups for _, q in group) < 2**40)
    part, halves = search_of(groups, budget)
    halves.run(width, work, lambda: False)
    optimum = least(groups, budget)
    found = part.base_quanta + halves.best
    assert found >= optimum
    assert optimum >= min(found, float(part.value) + halves.open - 1e-3)


@many
@given(small_knapsacks(), st.data())
def test_the_curve_is_below_what_a_change_of_cost_takes(case, data):
    groups, budget = case
    assume(sum(q for group in groups for _, q in group) < 2**40)
    part, halves = search_of(groups, budget)
    n = len(groups)
    inside = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    curve = halves._curve(inside)
    multiplier = float(part.relaxation.multiplier)
    base = [(int(part.reduced.cost[0][o]), int(part.reduced.quanta[o])) for o in part.base]
    outside = [group if not inside[i] else [base[i]] for i, group in enumerate(groups)]
    for choice in itertools.product(*outside):
        change = sum(c - b for (c, _), (b, _) in zip(choice, base, strict=True))
        penalty = sum(
            q - p + multiplier * (c - b) for (c, q), (b, p) in zip(choice, base, strict=True)
        )
        for room in (change, change + 1, change + 7):
            paid = penalty + multiplier * (room - change)
            assert np.interp(float(room), *curve) <= paid + 1e-6 * max(1.0, paid)


@pytest.mark.parametrize("stopped", [0, 1, 3])
def test_a_stopped_search_is_open(stopped):
    groups = [[(0, 50 + i), (7 + i, 0)] for i in range(8)]
    calls = iter(range(100))
    part, halves = search_of(groups, 30)
    halves.run(1000, 10**9, lambda: next(calls) >= stopped)
    assert halves.open < halves.threshold
    assert float(part.value) + halves.open <= least(groups, 30) + 1e-3
