import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError
from mapc.instances.generators.bits import generate
from mapc.models.bits import core as single
from mapc.models.bits.core import solve_single
from mapc.models.bits.dual import hull_steps, relax
from mapc.models.bits.reduction import reduce
from oracles.knapsack_bruteforce import core_of, least, small_knapsacks

many = settings(max_examples=120, deadline=None, derandomize=True)
few = settings(max_examples=50, deadline=None, derandomize=True)


def checked(core, result):
    """Hold a result to what it says of itself."""
    choice = result.choice
    assert (choice >= core.start[:-1]).all()
    assert (choice < core.start[1:]).all()
    assert int(core.quanta[choice].sum()) == result.quanta
    assert int(core.cost[0][choice].sum()) <= int(core.budget[0])
    assert result.bound <= result.quanta
    return result


def by_cost(groups, budget) -> int:
    """Optimum by a dynamic program over whole costs."""
    best = np.zeros(budget + 1, dtype=np.int64)
    for group in groups:
        grown = np.full(budget + 1, 2**60)
        for cost, quanta in group:
            if cost <= budget:
                grown[cost:] = np.minimum(grown[cost:], best[: budget + 1 - cost] + quanta)
        best = grown
    return int(best[budget])


@st.composite
def medium_knapsacks(draw):
    """Costs small enough for `by_cost`, enough groups that lists are cut and parts split."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, formats = draw(st.integers(6, 25)), draw(st.integers(2, 4))
    bits = np.sort(rng.choice(np.arange(2, 17), formats, replace=False))
    size = rng.integers(1, 12, n) ** draw(st.integers(1, 2))
    noise = np.exp(rng.normal(0, draw(st.sampled_from([0.0, 0.3, 2.0])), (n, formats)))
    loss = np.rint(size[:, None] * 4.0 ** (12 - bits) * noise).astype(np.int64)
    cost = size[:, None] * bits
    groups = [
        [(int(c), int(q)) for c, q in zip(*rows, strict=True)]
        for rows in zip(cost, loss, strict=True)
    ]
    low, high = int(cost.min(axis=1).sum()), int(cost.max(axis=1).sum())
    return groups, draw(st.integers(low, high))


@pytest.fixture(params=["as it is", "short lists", "early splits"])
def tuned(request, monkeypatch):
    """Search as it is, or so that small cases reach what only large ones do."""
    if request.param != "as it is":
        monkeypatch.setattr(single, "_WIDTH", 2)
        monkeypatch.setattr(single, "_WIDEN", 2)
        monkeypatch.setattr(single, "_EFFORT", 4)
        # without the first pairs the search itself has to find the choices
        monkeypatch.setattr(single._Search, "_pair", lambda self, root: None)
    if request.param == "early splits":
        monkeypatch.setattr(single, "_LARGE", 0)
        monkeypatch.setattr(single, "_RISE", -1.0)


@pytest.mark.usefixtures("tuned")
def test_small_cases_are_solved_as_by_enumeration():
    @many
    @given(small_knapsacks())
    def check(case):
        groups, budget = case
        core = core_of(groups, budget)
        result = checked(core, solve_single(core))
        assert result.quanta == result.bound == least(groups, budget)
        assert result.proven

    check()


@pytest.mark.usefixtures("tuned")
def test_medium_cases_are_solved_as_by_a_dynamic_program():
    @few
    @given(medium_knapsacks())
    def check(case):
        groups, budget = case
        core = core_of(groups, budget)
        result = checked(core, solve_single(core))
        assert result.quanta == result.bound == by_cost(groups, budget)

    check()


@pytest.mark.usefixtures("tuned")
def test_limits_leave_a_choice_and_a_bound():
    @few
    @given(medium_knapsacks(), st.integers(0, 300))
    def check(case, limit):
        groups, budget = case
        core = core_of(groups, budget)
        result = checked(core, solve_single(core, state_limit=limit))
        optimum = by_cost(groups, budget)
        assert result.bound <= optimum <= result.quanta
        assert result.proven == (result.bound == result.quanta)

    check()


@pytest.mark.usefixtures("tuned")
def test_a_gap_is_kept():
    @few
    @given(medium_knapsacks(), st.sampled_from([1e-6, 0.01, 0.3, 2.0]))
    def check(case, gap):
        groups, budget = case
        core = core_of(groups, budget)
        result = checked(core, solve_single(core, gap=gap))
        assert result.proven
        assert result.bound <= by_cost(groups, budget)
        assert result.quanta - result.bound <= gap * result.quanta
        assert result.bound >= relax(hull_steps(core), budget).bound

    check()


@few
@given(small_knapsacks(), st.integers(2, 9), st.integers(2, 9))
def test_scaling_changes_nothing(case, cost_factor, loss_factor):
    groups, budget = case
    assume(sum(q for group in groups for _, q in group) < 2**45)
    scaled = [[(c * cost_factor, q * loss_factor) for c, q in group] for group in groups]
    plain = solve_single(core_of(groups, budget))
    result = solve_single(core_of(scaled, budget * cost_factor + cost_factor - 1))
    assert (result.quanta, result.bound) == (plain.quanta * loss_factor,) * 2


@few
@given(small_knapsacks(), st.randoms(use_true_random=False))
def test_order_and_constants_do_not_matter(case, random):
    groups, budget = case
    shuffled = [[(c + 3, q + 5) for c, q in random.sample(group, len(group))] for group in groups]
    random.shuffle(shuffled)
    plain = solve_single(core_of(groups, budget))
    result = solve_single(core_of(shuffled, budget + 3 * len(groups)))
    assert result.quanta == plain.quanta + 5 * len(groups)


@few
@given(small_knapsacks())
def test_losses_below_zero_are_as_good(case):
    """Tied groups with pairwise terms have them."""
    groups, budget = case
    lower = [[(c, q - 7) for c, q in group] for group in groups]
    core = core_of(lower, budget)
    result = checked(core, solve_single(core, gap=0.0))
    assert result.quanta == result.bound == least(groups, budget) - 7 * len(groups)


def test_a_stop_is_heeded_at_once():
    core = reduce(generate(2000, sizes="continuous", seed=7))
    result = checked(core, solve_single(core, stop=lambda: True))
    assert (result.proven, result.states) == (False, 0)
    assert 0 < result.gap < 1e-3


def test_a_state_limit_is_exceeded_by_little():
    core = reduce(generate(5000, sizes="continuous", seed=7))
    assert solve_single(core).states > 100_000
    result = checked(core, solve_single(core, state_limit=2000))
    assert not result.proven
    assert 2000 < result.states < 15_000


def test_two_runs_are_equal():
    core = reduce(generate(3000, sizes="continuous", seed=5))
    one, two = solve_single(core), solve_single(core)
    assert (one.quanta, one.bound, one.states) == (two.quanta, two.bound, two.states)
    assert np.array_equal(one.choice, two.choice)


def test_an_infeasible_budget_names_the_cheapest_choice():
    with pytest.raises(InfeasibleError, match="cheapest choice costs 3"):
        solve_single(core_of([[(2, 7), (5, 1)], [(1, 1)]], 2))


def test_zero_budget_and_free_options():
    core = core_of([[(0, 5), (1, 0)], [(0, 3), (0, 2)]], 0)
    result = checked(core, solve_single(core))
    assert (result.quanta, result.bound, result.gap) == (7, 7, 0.0)
    assert solve_single(core_of([[(0, 0)]], 0)).gap == 0.0


@pytest.mark.parametrize("sizes", ["llm", "continuous"])
def test_five_hundred_groups_with_a_real_gap(sizes):
    """The relaxation leaves 1e-5 to 1e-4 here; the search closes it."""
    for seed in range(5):
        core = reduce(generate(500, sizes=sizes, seed=seed))
        result = checked(core, solve_single(core, state_limit=10**6))
        assert result.quanta == result.bound


@pytest.mark.parametrize("sizes", ["llm", "continuous"])
def test_forty_four_thousand_groups_are_proven(sizes):
    core = reduce(generate(44_000, sizes=sizes, seed=0))
    result = checked(core, solve_single(core, state_limit=2 * 10**6))
    assert result.quanta == result.bound


def test_all_slopes_equal():
    """Every choice is on the relaxation's line: an exact fill is a subset sum."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 10**6, 100).tolist()
    groups = [[(s * j, s * (2 - j) * 1000) for j in range(3)] for s in sizes]
    core = core_of(groups, int(sum(sizes) * 2 * 0.37))
    assert checked(core, solve_single(core)).proven


def test_one_option_each():
    core = core_of([[(4, 2)]] * 5, 20)
    result = checked(core, solve_single(core))
    assert (result.choice.tolist(), result.bound) == ([0, 1, 2, 3, 4], 10)


def test_pairs_alone_are_exact_for_two_groups():
    groups = list(itertools.repeat([(0, 9), (2, 5), (3, 1)], 2))
    core = core_of(groups, 5)
    assert checked(core, solve_single(core)).quanta == 6
