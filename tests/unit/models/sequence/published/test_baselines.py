"""What frameworks do today, judged by the verifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import brute_force, problem_of, small_sequence_problems

from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.problem import ULYSSES
from mapc.models.sequence.published import baselines
from mapc.models.sequence.published.baselines import (
    best_homogeneous,
    homogeneous,
    megatron_greedy,
    static,
)
from mapc.models.sequence.verify import verify

few = settings(max_examples=60, deadline=None)


class Search:
    """Keeps what is proposed."""

    def __init__(self) -> None:
        self.plans = []

    def done(self) -> bool:
        return False

    def propose(self, plan, source) -> bool:
        self.plans.append((plan, source))
        return True


def check(problem, plan) -> float:
    verdict = verify(problem, plan)
    assert not verdict.violations
    assert verdict.objective == step_ticks(problem, plan) * problem.tick
    return verdict.objective


@few
@given(small_sequence_problems(max_sequences=5))
def test_plans_are_valid_and_no_better_than_the_best(problem) -> None:
    best = brute_force(problem)
    for plan in (best_homogeneous(problem), static(problem), megatron_greedy(problem)):
        if plan is not None:
            assert best is not None
            assert check(problem, plan) >= best.ticks * problem.tick


@few
@given(small_sequence_problems(max_sequences=6))
def test_a_homogeneous_plan_has_one_mode(problem) -> None:
    steps = []
    for mode in range(problem.n_modes):
        plan = homogeneous(problem, mode)
        if plan is None:
            continue
        assert set(plan.mode.tolist()) == {mode}
        steps.append(check(problem, plan))
    best = best_homogeneous(problem)
    assert (best is None) == (not steps)
    if best is not None:
        assert check(problem, best) == min(steps)


@few
@given(small_sequence_problems(max_sequences=6, limits=False))
def test_some_degree_always_does_where_micro_batches_are_free(problem) -> None:
    fits_all = problem.fits.all(axis=1) & (problem.cost.degree <= problem.n_ranks)
    for mode in np.flatnonzero(fits_all):
        assert homogeneous(problem, int(mode)) is not None


def test_even_lengths_are_shared_evenly() -> None:
    problem = problem_of([4] * 8)
    plan = homogeneous(problem, 0)
    # two of 4 tokens on each of four ranks: 4 + 2 * (16 / 4 + 4)
    assert check(problem, plan) == 20.0
    assert np.bincount(plan.group).tolist() == [2, 2, 2, 2]


def test_static_takes_the_largest_degree() -> None:
    plan = static(problem_of([4] * 8))
    assert set(plan.mode.tolist()) == {2}


def test_memory_comes_before_balance() -> None:
    # by time the longest lie apart and 2 + 2 + 2 + 2 stay; only pairs of 5 + 3 fill all of it
    problem = problem_of([5, 5, 5, 5, 3, 3, 3, 3], most=1)
    assert np.bincount(homogeneous(problem, 0).group).tolist() == [2, 2, 2, 2]


def test_megatron_uses_the_least_degree_that_holds_a_sequence() -> None:
    problem = problem_of([16, 9, 8, 3])
    plan = megatron_greedy(problem)
    check(problem, plan)
    assert plan.mode[plan.group].tolist() == [1, 1, 0, 0]
    assert plan.micro_batch[plan.group].tolist() == [0, 0, 1, 1]


def test_megatron_does_not_see_the_linear_term() -> None:
    modes = [(1, ULYSSES, 1.0, 0.0, 0.0, 8), (2, ULYSSES, 0.5, 9.0, 0.0, 16)]
    linear = [(1, ULYSSES, 1.0, 7.0, 0.0, 8), (2, ULYSSES, 0.5, 0.0, 0.0, 16)]
    lengths = [8, 7, 6, 5, 4, 9]
    assert megatron_greedy(problem_of(lengths, modes)) == megatron_greedy(
        problem_of(lengths, linear)
    )


@few
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6), st.data())
def test_ranges_are_aligned_and_disjoint(groups, data) -> None:
    problem = problem_of([1] * 8, n_ranks=64)
    batch, mode = np.array(groups).T
    group = np.array([data.draw(st.integers(0, len(groups) - 1)) for _ in range(8)])
    plan = assemble(problem, batch, mode, group)
    assert not verify(problem, plan).violations
    assert plan.mode[plan.group].tolist() == mode[group].tolist()
    same = batch[group][:, None] == batch[group]
    assert np.array_equal(
        plan.micro_batch[plan.group][:, None] == plan.micro_batch[plan.group], same
    )
    assert np.array_equal(plan.group[:, None] == plan.group, group[:, None] == group)


def test_the_method_proposes_every_baseline() -> None:
    search = Search()
    baselines.run(problem_of([4] * 8), search)
    assert [source for _, source in search.plans] == [
        "homogeneous 4", "homogeneous 2", "homogeneous 1", "megatron greedy",
    ]  # fmt: skip


@pytest.mark.parametrize("most", [1, 2])
def test_too_few_micro_batches_are_no_plan(most: int) -> None:
    problem = problem_of([8] * 9, most=most)
    assert best_homogeneous(problem) is None
    assert megatron_greedy(problem) is None


def soonest_by_scanning(tokens, ticks, n_groups: int, room: int) -> list[int] | None:
    load, held, group = [0] * n_groups, [0] * n_groups, []
    for size, time in zip(tokens, ticks, strict=True):
        can = [(load[g], g) for g in range(n_groups) if held[g] + size <= room]
        if not can:
            return None
        g = min(can)[1]
        load[g] += time
        held[g] += size
        group.append(g)
    return group


@few
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(12, 40),
)
def test_groups_set_aside_come_back(lengths, n_groups, room) -> None:
    tokens = sorted(lengths, reverse=True)
    ticks = [size * size for size in tokens]
    found = baselines._soonest(tokens, ticks, n_groups, room)
    assert found == soonest_by_scanning(tokens, ticks, n_groups, room)


@few
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), min_size=1, max_size=40))
def test_the_lightest_group_with_room_is_found(asked) -> None:
    groups, plain = baselines._Alike(), {}
    for number, (size, work) in enumerate(sorted(asked, reverse=True)):
        can = [(w, n, left) for n, (w, left) in plain.items() if left >= size]
        lightest = groups.lightest(size)
        assert lightest == min(can, default=None)
        if lightest is None or number % 3 == 0:
            groups.put(float(work), number, 30 - size)
            plain[number] = (float(work), 30 - size)
        else:
            w, n, left = lightest
            groups.replace(w + work, n, left - size)
            plain[n] = (w + work, left - size)
