import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.models.bits.dual import hull_steps
from mapc.models.bits.parts import Part
from oracles.knapsack_bruteforce import all_points, core_of, least, small_knapsacks

many = settings(max_examples=120, deadline=None, derandomize=True)


def whole_part(groups, budget) -> Part:
    core = core_of(groups, budget)
    return Part.whole(core, hull_steps(core))


def choices_left(part: Part) -> list[tuple[int, int]]:
    """(cost, quanta) in the whole problem of the feasible choices of a part."""
    core = part.reduced
    rows = [
        [(int(core.cost[0][o]), int(core.quanta[o])) for o in range(a, b)]
        for a, b in zip(core.start[:-1], core.start[1:], strict=True)
    ]
    budget = int(core.budget[0])
    return [(c, q + part.quanta) for c, q in all_points(rows) if c <= budget]


@many
@given(small_knapsacks(), st.integers(0, 20))
def test_pegging_keeps_whatever_is_within_the_threshold(case, above):
    groups, budget = case
    assume(sum(q for group in groups for _, q in group) < 2**40)
    part = whole_part(groups, budget)
    aim = int(part.value) + above
    pegged = part.pegged(aim - float(part.value) + 1e-6)
    within = sorted(q for c, q in all_points(groups) if c <= budget and q <= aim)
    if pegged is None:
        assert all(q >= part.base_quanta for q in within)
        return
    assert sorted(q for _, q in choices_left(pegged) if q <= aim) == within
    assert pegged.value >= part.value - 1e-9


@many
@given(small_knapsacks())
def test_a_split_shares_out_the_choices(case):
    groups, budget = case
    part = whole_part(groups, budget)
    assume(part.relaxation.multiplier > 0)
    pieces = part.split()
    together = sorted(q for piece in pieces for _, q in choices_left(piece))
    assert together == sorted(q for c, q in all_points(groups) if c <= budget)
    for piece in pieces:
        assert part.bound <= piece.bound <= min(q for _, q in choices_left(piece))
        options = piece.options(np.zeros(0, dtype=np.int64))
        group = np.searchsorted(part.reduced.start, options, side="right") - 1
        assert sorted(group.tolist()) == list(range(len(groups)))
        assert part.reduced.quanta[options].sum() == piece.base_quanta
        assert part.reduced.cost[0][options].sum() <= budget


def test_a_common_divisor_of_cost_differences_lowers_the_budget():
    """Costs 1, 7, 13 and 2, 8: totals are 3 above multiples of 6, so 20 is as good as 15."""
    groups = [[(1, 90), (7, 30), (13, 0)], [(2, 40), (8, 0)], [(0, 0), (6, 10**6)]]
    part = whole_part(groups, 20)
    pegged = part.pegged(1e9)
    assert pegged is not None
    assert int(pegged.reduced.budget[0]) + 20 - int(part.reduced.budget[0]) == 15
    assert part.bound < pegged.bound <= least(groups, 20)
