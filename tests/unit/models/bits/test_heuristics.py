from __future__ import annotations

import heapq
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.bits.heuristics import (
    climb,
    greedy,
    hull_greedy,
    least,
    repair,
    uniform,
    uniform_table,
)
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import Reduced, reduce
from mapc.models.bits.verify import verify
from oracles.bits_bruteforce import (
    brute_force,
    choices,
    objective_of,
    problem_of,
    small_bits_problems,
)

many = settings(max_examples=200, deadline=None, derandomize=True)
few = settings(max_examples=100, deadline=None, derandomize=True)

BASELINES = (uniform, greedy, hull_greedy)


@many
@given(small_bits_problems(), st.sampled_from(BASELINES))
def test_plans_are_feasible_and_never_below_the_optimum(problem, find) -> None:
    plan = find(problem)
    best = brute_force(problem)
    if plan is None:
        return
    assert best is not None
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    assert verdict.objective >= best[0]


@few
@given(small_bits_problems(resources=(0, 1)), st.sampled_from((greedy, hull_greedy)))
def test_one_budget_always_gives_a_plan(problem, find) -> None:
    assert (find(problem) is None) == (brute_force(problem) is None)


def test_several_budgets_that_can_be_met_are_nearly_always_met() -> None:
    """Finding a feasible choice is hard in general; on random cases it should not often fail."""
    rng = np.random.default_rng(0)
    met = possible = 0
    for _ in range(60):
        rows = [
            [(f, float(rng.random()), tuple(map(int, rng.integers(0, 20, 3)))) for f in range(3)]
            for _ in range(4)
        ]
        problem = problem_of(rows, [int(b) for b in rng.integers(25, 45, 3)])
        if brute_force(problem) is not None:
            possible += 1
            met += greedy(problem) is not None
    assert possible >= 30
    assert met >= 0.9 * possible


# -- one budget: what hulls promise --------------------------------------------------------------


@few
@given(
    small_bits_problems(
        resources=(1, 1), objectives=("sum",), edges=False, pairwise=False, slack=False
    )
)
def test_the_hull_is_within_one_group_of_the_relaxation(problem: BitsProblem) -> None:
    """The climb up to the first step that does not fit is the relaxation rounded down."""
    plan = hull_greedy(problem)
    if plan is None:
        return
    reduced = reduce(problem)
    quanta = round(Fraction(verify(problem, plan).objective) / Fraction(problem.quantum))
    rows = [reduced.quanta[a:b] for a, b in itertools.pairwise(reduced.start.tolist())]
    assert quanta <= relaxation(reduced) + max(int(np.ptp(row)) for row in rows)


def relaxation(reduced: Reduced) -> Fraction:
    """Least loss over mixtures of two choices that keep the budget on average."""
    (cost,), (budget,) = reduced.cost.tolist(), reduced.budget.tolist()
    ranges = [range(a, b) for a, b in itertools.pairwise(reduced.start.tolist())]
    least: dict[int, int] = {}
    for choice in itertools.product(*ranges):
        total = sum(cost[i] for i in choice)
        loss = int(reduced.quanta[list(choice)].sum())
        least[total] = min(loss, least.get(total, loss))
    inside = [(c, q) for c, q in least.items() if c <= budget]
    outside = [(c, q) for c, q in least.items() if c > budget]
    mixed = [p + Fraction((q - p) * (budget - c), d - c) for c, p in inside for d, q in outside]
    return min([*mixed, *(Fraction(q) for _, q in inside)])


def test_a_poor_next_step_hides_a_good_one_behind_it() -> None:
    rows = [
        [(0, 10.0, (0,)), (1, 9.5, (1,)), (2, 0.0, (2,))],
        [(0, 10.0, (0,)), (1, 8.0, (2,))],
    ]
    problem = problem_of(rows, [2])
    assert verify(problem, greedy(problem)).objective == 18.0
    assert verify(problem, hull_greedy(problem)).objective == 10.0


def heap_greedy(rows, budget: int) -> list[int]:
    """The textbook loop: pop the best step, take it if it fits, push the group's next one."""
    ladders = []
    for row in rows:
        ladder = []
        for cost, loss, form in sorted((cost, loss, form) for form, loss, (cost,) in row):
            if not ladder or loss < ladder[-1][1]:
                ladder.append((cost, loss, form))
        ladders.append(ladder)
    place = [0] * len(rows)
    left = budget - sum(ladder[0][0] for ladder in ladders)
    heap = []

    def push(i: int) -> None:
        if place[i] + 1 < len(ladders[i]):
            (c, q, _), (d, p, _) = ladders[i][place[i] : place[i] + 2]
            heapq.heappush(heap, ((p - q) / (d - c), i))

    for i in range(len(rows)):
        push(i)
    while heap:
        _, i = heapq.heappop(heap)
        step = ladders[i][place[i] + 1][0] - ladders[i][place[i]][0]
        if step <= left:
            left -= step
            place[i] += 1
            push(i)
    return [ladder[at][2] for ladder, at in zip(ladders, place, strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_greedy_is_the_textbook_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        [(f, float(rng.random()), (int(rng.integers(1, 50)),)) for f in range(5)] for _ in range(12)
    ]
    low, high = (int(cost[0]) for cost in problem_of(rows).cost_range)
    problem = problem_of(rows, [int(low + (high - low) * rng.uniform(0.05, 0.6))])
    # options that no budget leaves room for are gone before the climb
    reduced = reduce(problem, dominance=False)
    fitting = [
        [row[m % 5] for m in reduced.members.values.tolist() if m // 5 == i]
        for i, row in enumerate(rows)
    ]
    forms = problem.format_of[greedy(problem).option].tolist()
    assert forms == heap_greedy(fitting, problem.budget[0])


def test_what_does_not_fit_is_skipped() -> None:
    rows = [
        [(0, 100.0, (0,)), (1, 50.0, (5,)), (2, 0.0, (50,))],
        [(0, 9.0, (0,)), (1, 0.0, (3,))],
        [(0, 1.0, (0,)), (1, 0.0, (1,))],
    ]
    problem = problem_of(rows, [9])
    assert greedy(problem).option.tolist() == [1, 4, 6]


@few
@given(small_bits_problems(resources=(1, 3), edges=False, pairwise=False, slack=False))
def test_a_climb_never_loses(problem: BitsProblem) -> None:
    if brute_force(problem) is None:
        return
    reduced = reduce(problem)
    price = reduced.cost.sum(axis=0)
    start = repair(reduced, least(reduced, reduced.quanta))
    if start is None:
        return
    for convex in (False, True):
        end = climb(reduced, price, start, convex=convex)
        assert (reduced.quanta[end] <= reduced.quanta[start]).all()
        assert (reduced.cost[:, end].sum(axis=1) <= reduced.budget).all()
        assert (reduced.group_of[end] == np.arange(reduced.n_groups)).all()


# -- under the max objective ---------------------------------------------------------------------


def test_the_largest_loss_is_lowered_first() -> None:
    rows = [
        [(0, 10.0, (0,)), (1, 9.0, (4,))],
        [(0, 8.0, (0,)), (1, 0.0, (1,))],
        [(0, 9.5, (0,)), (1, 0.0, (4,))],
    ]
    problem = problem_of(rows, [8], objective="max")
    assert verify(problem, greedy(problem)).objective == 9.0


# -- one format ----------------------------------------------------------------------------------

UNEVEN = [
    [(0, 8.0, (4,)), (1, 2.0, (8,)), (2, 0.5, (16,))],
    [(1, 1.0, (80,)), (2, 0.25, (160,))],
    [(0, 4.0, (2,))],
]


def test_uniform_table() -> None:
    rows = uniform_table(problem_of(UNEVEN, [100]))
    assert [row.format for row in rows] == ["int4", "int8", "fp16"]
    assert [row.plan.option.tolist() for row in rows] == [[0, 3, 5], [1, 3, 5], [2, 4, 5]]
    assert [row.loss for row in rows] == [13.0, 7.0, 4.75]
    assert [row.cost for row in rows] == [(86,), (90,), (178,)]
    assert [row.feasible for row in rows] == [True, True, False]
    assert [row.exceptions for row in rows] == [1, 1, 1]


def test_uniform_takes_the_best_that_fits() -> None:
    assert uniform(problem_of(UNEVEN, [100])).option.tolist() == [1, 3, 5]
    assert uniform(problem_of(UNEVEN, [89])).option.tolist() == [0, 3, 5]
    assert uniform(problem_of(UNEVEN, [85])) is None


def test_formats_are_ranked_by_size_where_there_is_one() -> None:
    rows = [[(0, 1.0, (9, 1)), (1, 0.5, (1, 2))]]
    names = {"resources": ("time", "size")}
    assert [row.format for row in uniform_table(problem_of(rows, [3, 3], **names))] == [
        "int4",
        "int8",
    ]
    assert [row.format for row in uniform_table(problem_of(rows, [3, 3]))] == ["int8", "int4"]
    assert [row.format for row in uniform_table(problem_of(rows, [None, 3]))] == ["int4", "int8"]


def test_formats_are_ranked_by_loss_without_resources() -> None:
    rows = [[(0, 0.5, ()), (1, 1.0, ())]]
    assert [row.format for row in uniform_table(problem_of(rows, []))] == ["int8", "int4"]


@few
@given(small_bits_problems(forbid=False))
def test_a_format_that_all_groups_have_is_taken_by_all(problem: BitsProblem) -> None:
    table = {row.format: row for row in uniform_table(problem)}
    common = set.intersection(
        *(
            set(problem.format_of[a:b].tolist())
            for a, b in itertools.pairwise(problem.start.tolist())
        )
    )
    assert 0 in common
    for form in common:
        row = table[problem.formats[form]]
        assert row.exceptions == 0
        assert (problem.format_of[row.plan.option] == form).all()
        assert row.loss == objective_of(problem, row.plan.option)
        assert row.feasible == (tuple(row.plan.option.tolist()) in set(choices(problem)))


@pytest.mark.parametrize("find", BASELINES)
def test_no_budget_at_all(find) -> None:
    assert find(problem_of(UNEVEN, [None])).option.tolist() == [2, 4, 5]


@pytest.mark.parametrize("find", [greedy, hull_greedy])
def test_thousands_of_groups_fill_the_budget(find) -> None:
    rng = np.random.default_rng(1)
    rows = [
        [(f, w * 4.0**-b, (100 * b,)) for f, b in enumerate((2, 3, 4, 8))]
        for w in rng.lognormal(0, 2, 2000).tolist()
    ]
    problem = problem_of(rows, [900_000])
    verdict = verify(problem, find(problem))
    assert 900_000 - 100 < verdict.facts["cost"]["r0"] <= 900_000
    assert verdict.objective < verify(problem, uniform(problem)).objective
