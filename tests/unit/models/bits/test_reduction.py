from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import Reduced, check_feasible, merge, reduce
from mapc.models.bits.verify import verify
from oracles.bits_bruteforce import brute_force, choices, costs_of, problem_of, small_bits_problems

many = settings(max_examples=250, deadline=None, derandomize=True)
few = settings(max_examples=100, deadline=None, derandomize=True)


def all_choices(reduced: Reduced) -> Iterator[np.ndarray]:
    """All choices of the core within its budgets."""
    ranges = [range(a, b) for a, b in itertools.pairwise(reduced.start.tolist())]
    for choice in itertools.product(*ranges):
        at = np.array(choice)
        if (reduced.cost[:, at].sum(axis=1) <= reduced.budget).all():
            yield at


def quanta_of(reduced: Reduced, choice: np.ndarray) -> int:
    """Loss of a choice of the core, by the meaning of its columns."""
    if reduced.objective == "max":
        return int(reduced.quanta[choice].max())
    total = int(reduced.quanta[choice].sum())
    for (a, b), switch in zip(reduced.edges, reduced.switch_quanta, strict=True):
        total += int(switch) * (reduced.format_of[choice[a]] != reduced.format_of[choice[b]])
    for (a, b), table in zip(reduced.pairs, reduced.tables, strict=True):
        total += int(table[choice[a] - reduced.start[a], choice[b] - reduced.start[b]])
    return total


@many
@given(small_bits_problems(), st.booleans())
def test_the_optimum_stays(problem: BitsProblem, dominance: bool) -> None:
    best = brute_force(problem)
    try:
        reduced = reduce(problem, dominance=dominance)
    except InfeasibleError:
        assert best is None
        return
    found = min((quanta_of(reduced, choice) for choice in all_choices(reduced)), default=None)
    assert (found is None) == (best is None)
    if best is not None:
        assert found * problem.quantum == best[0]


@many
@given(small_bits_problems())
def test_every_choice_lifts_to_a_plan_of_the_same_loss(problem: BitsProblem) -> None:
    try:
        reduced = reduce(problem)
    except InfeasibleError:
        assume(False)
    for choice in itertools.islice(all_choices(reduced), 12):
        plan = reduced.lift(problem, choice)
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        assert verdict.objective == quanta_of(reduced, choice) * problem.quantum
        used = [verdict.facts["cost"][problem.resources[r]] for r in reduced.resources]
        assert (reduced.cost[:, choice].sum(axis=1) * reduced.scale).tolist() == used
        assert reduced.choice_of(problem, plan).tolist() == choice.tolist()


@few
@given(small_bits_problems())
def test_without_dominance_every_feasible_choice_is_there(problem: BitsProblem) -> None:
    feasible = list(choices(problem))
    assume(feasible)
    reduced = reduce(problem, dominance=False)
    for choice in feasible:
        here = reduced.choice_of(problem, BitsPlan(np.array(choice)))
        assert (here >= 0).all()
        assert reduced.lift(problem, here).option.tolist() == list(choice)
    assert sum(1 for _ in all_choices(reduced)) == len(feasible)


@few
@given(small_bits_problems(edges=False, pairwise=False))
def test_no_option_is_left_that_another_beats(problem: BitsProblem) -> None:
    try:
        reduced = reduce(problem)
    except InfeasibleError:
        assume(False)
    for a, b in itertools.pairwise(reduced.start.tolist()):
        for i, j in itertools.permutations(range(a, b), 2):
            costs = reduced.cost[:, i] <= reduced.cost[:, j]
            assert not (costs.all() and reduced.quanta[i] <= reduced.quanta[j])


@few
@given(small_bits_problems(resources=(1, 3)))
def test_the_smallest_feasible_budget_is_named(problem: BitsProblem) -> None:
    low = problem.cost_range[0].tolist()
    short = [r for r, budget in enumerate(problem.budget) if budget is not None and budget < low[r]]
    if not short:
        check_feasible(problem)
        return
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(problem)
    name = problem.resources[short[0]]
    assert str(caught.value).startswith(f"budget {name!r}: {problem.budget[short[0]]} bits")
    assert str(caught.value).endswith(f"give at least {low[short[0]]}")
    # the number named is right: it can be met, one less cannot
    alone = [None] * len(low)
    alone[short[0]] = low[short[0]]
    assert any(True for _ in choices(problem.with_budget(alone)))
    alone[short[0]] -= 1
    assert brute_force(problem.with_budget(alone)) is None


# -- by hand -------------------------------------------------------------------------------------


def test_tied_groups_are_summed_over_common_allowed_formats() -> None:
    problem = problem_of(
        [
            [(0, 4.0, (4,)), (1, 1.0, (8,)), (2, 0.0, (16,))],
            [(0, 7.0, (1,))],
            [(2, 0.5, (16,)), (1, 1.0, (8,)), (0, 2.0, (4,))],
        ],
        ties=[[2, 0]],
        forbidden=[2],
    )
    merged = merge(problem)
    assert merged.home.tolist() == [0, 1, 0]
    assert merged.start.tolist() == [0, 2, 3]
    assert (merged.quanta * problem.quantum).tolist() == [6.0, 2.0, 7.0]
    assert merged.cost.tolist() == [[8, 16, 1]]
    assert merged.format_of.tolist() == [0, 1, 0]
    assert [sorted(merged.members[i].tolist()) for i in range(3)] == [[0, 6], [1, 5], [3]]


def test_under_the_max_objective_the_largest_of_tied_losses_counts() -> None:
    rows = [[(0, 4.0, (4,))], [(0, 7.0, (4,))]]
    problem = problem_of(rows, ties=[[0, 1]], objective="max")
    assert (merge(problem).quanta * problem.quantum).tolist() == [7.0]


def test_edges_are_summed_between_merged_groups_and_gone_inside() -> None:
    rows = [[(0, 1.0, (1,)), (1, 0.0, (2,))]] * 4
    problem = problem_of(
        rows,
        ties=[[0, 1]],
        edges=[(0, 1, 8.0), (2, 0, 1.0), (1, 2, 2.0), (3, 2, 4.0), (3, 0, 0.0)],
    )
    merged = merge(problem)
    assert merged.edges.tolist() == [[0, 1], [1, 2]]
    assert (merged.switch_quanta * problem.quantum).tolist() == [3.0, 4.0]


def test_dominance_leaves_groups_with_interactions_alone() -> None:
    rows = [[(0, 1.0, (1,)), (1, 2.0, (2,))]] * 3
    problem = problem_of(rows, [9], edges=[(0, 1, 1.0)])
    assert np.diff(reduce(problem).start).tolist() == [2, 2, 1]


def test_of_equal_options_one_stays() -> None:
    rows = [[(f, 1.0, (3, 5)) for f in range(4)], [(0, 1.0, (1, 2)), (1, 1.0, (2, 1))]]
    reduced = reduce(problem_of(rows, [50, 50]))
    assert reduced.start.tolist() == [0, 1, 3]
    assert reduced.members.values.tolist() == [0, 4, 5]


def test_costs_are_divided_and_budgets_floored() -> None:
    rows = [[(0, 4.0, (6, 5)), (1, 1.0, (12, 0))], [(0, 2.0, (18, 0))]]
    reduced = reduce(problem_of(rows, [35, 7]))
    assert reduced.scale.tolist() == [6, 5]
    assert reduced.cost.tolist() == [[1, 2, 3], [1, 0, 0]]
    assert reduced.budget.tolist() == [5, 1]


def test_unlimited_resources_are_left_out() -> None:
    rows = [[(0, 4.0, (6, 5, 1)), (1, 1.0, (7, 6, 1))]]
    reduced = reduce(problem_of(rows, [None, 9, None]))
    assert reduced.resources.tolist() == [1]
    assert reduced.cost.tolist() == [[5, 6]]


def test_options_no_budget_leaves_room_for_go_again_and_again() -> None:
    # without 12 the first group takes at least 5 of r1; then the second has no room for its 6
    rows = [[(0, 1.0, (12, 0)), (1, 9.0, (1, 5))], [(0, 0.0, (1, 6)), (1, 8.0, (1, 1))]]
    reduced = reduce(problem_of(rows, [10, 8]), dominance=False)
    assert reduced.members.values.tolist() == [1, 3]


def test_budgets_that_exclude_each_other() -> None:
    rows = [[(0, 1.0, (9, 0)), (1, 1.0, (0, 9))]]
    with pytest.raises(InfeasibleError, match="group 'g0': each of its options exceeds some"):
        reduce(problem_of(rows, [5, 5]))
    rows = [[(0, 1.0, (20, 0)), (1, 9.0, (1, 2))]] * 2
    with pytest.raises(InfeasibleError, match=r"budget 'r1': 3 bits, .* give at least 4, or"):
        reduce(problem_of(rows, [15, 3]))


def test_terms_within_a_tied_set_join_its_losses() -> None:
    rows = [[(0, 1.0, (1,)), (1, 0.0, (2,))], [(1, 0.0, (2,)), (0, 1.0, (1,))]]
    problem = problem_of(rows, ties=[[0, 1]], terms=[(0, 1, [[1.0, 2.0], [4.0, 8.0]])])
    merged = merge(problem)
    assert merged.pairs.tolist() == []
    # rows are int4, int8; columns int8, int4
    assert (merged.quanta * problem.quantum).tolist() == [1 + 1 + 2.0, 0 + 0 + 4.0]


def test_a_problem_of_many_formats_in_one_group() -> None:
    rng = np.random.default_rng(0)
    width = 300
    rows = [
        [(f, float(rng.integers(50)), (int(rng.integers(50)),)) for f in range(width)],
        [(0, 1.0, (1,))],
    ]
    problem = problem_of(rows, [60], formats=[f"f{i}" for i in range(width)])
    left = reduce(problem)
    points = sorted({(c, q) for _, q, (c,) in rows[0]})
    front = [p for i, p in enumerate(points) if all(p[1] < other[1] for other in points[:i])]
    found = sorted(zip(left.cost[0] * left.scale[0], left.quanta * problem.quantum, strict=True))
    assert sorted([*front, (1, 1.0)]) == found
    assert costs_of(problem, reduce(problem).lift(problem, left.start[:-1]).option)[0] <= 60
