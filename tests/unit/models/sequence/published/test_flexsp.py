"""FlexSP's road against enumeration, and how it shares time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.bounds.area import micro_batch_tokens
from mapc.models.sequence.problem import RING, ULYSSES, SequenceProblem
from mapc.models.sequence.published import flexsp
from mapc.models.sequence.published.flexsp import PUBLISHED, Options, blasted, fewest, plans
from mapc.models.sequence.published.flexsp_model import lower
from mapc.models.sequence.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Solution, Status, Stop, polish
from oracles.sequence_cases import (
    best_micro_batch,
    brute_force,
    problem_of,
    small_sequence_problems,
)

EXACT = Options(counts=9, least_degree=1, equality=False, prune=False, buckets=False)
few = settings(max_examples=40, deadline=None)


def exactly(program, lift, starts, *, programs, counts):
    return registry.solve(program, "highs").values


def nothing(program, lift, starts, *, programs, counts):
    return None


class Search:
    """Keeps what is proposed and what time is asked for; every program takes what it is given."""

    seed = 0

    def __init__(self, left: float = np.inf, deterministic: bool = False) -> None:
        self.left, self.deterministic = left, deterministic
        self.found: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.hinted: list[bool] = []

    def done(self) -> bool:
        return self.left <= 0

    def remaining(self) -> float:
        return self.left

    def propose(self, plan, source) -> bool:
        self.found.append((plan, source))
        return True

    def solve(self, program, **limits) -> Solution:
        self.asked.append(limits)
        self.hinted.append(len(program.start_values[0]) == program.n_columns)
        self.left -= limits.get("time", 0.0)
        return Solution(Status.UNKNOWN, Stop.TIME)


def long_and_short(n_ranks: int = 8) -> SequenceProblem:
    """Four micro-batches of memory, a few long sequences and many short ones."""
    lengths = [30, 28, 17, *range(1, 13), *range(1, 13), *range(1, 13)]
    return problem_of(lengths, n_ranks=n_ranks)


# -- micro-batches -------------------------------------------------------------------------------


@few
@given(small_sequence_problems(), st.integers(1, 5))
def test_micro_batches_are_consecutive_in_descending_order(problem, count) -> None:
    parts = blasted(problem, min(count, problem.n_sequences))
    assert len(parts) == min(count, problem.n_sequences)
    lengths = problem.padded[np.concatenate(parts)]
    assert (np.diff(lengths) <= 0).all()
    assert sorted(np.concatenate(parts).tolist()) == list(range(problem.n_sequences))
    assert all(len(part) for part in parts)


@few
@given(small_sequence_problems())
def test_fewest_is_the_first_number_that_fits(problem) -> None:
    try:
        least = fewest(problem)
    except InfeasibleError:
        assert brute_force(problem) is None
        return
    room = micro_batch_tokens(problem)
    most = problem.n_sequences if problem.most is None else problem.most
    fits = [
        count
        for count in range(problem.least, most + 1)
        if all(problem.padded[part].sum() <= room for part in blasted(problem, count))
    ]
    assert least == min(fits, default=None)


# -- the road ------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(small_sequence_problems(max_sequences=4))
def test_every_count_is_solved_to_the_best_of_its_cut(problem) -> None:
    try:
        found = list(plans(problem, exactly, EXACT))
    except InfeasibleError:
        assert brute_force(problem) is None
        return
    fastest = None
    for count, plan in found:
        assert verify(problem, plan).violations == ()
        best = [best_micro_batch(problem, part.tolist()) for part in blasted(problem, count)]
        assert None not in best
        ticks = sum(one[0] for one in best)
        # times lose less than a unit each; a group has 2**24 of them
        slack = 1e-6 * ticks * (problem.n_sequences + 3)
        assert ticks <= step_ticks(problem, plan) <= ticks + slack
        fastest = ticks if fastest is None else min(fastest, ticks)
    if fastest is not None:
        assert fastest >= brute_force(problem).ticks


@settings(max_examples=20, deadline=None)
@given(small_sequence_problems(max_sequences=6, limits=False))
def test_as_published_plans_are_valid_and_no_better_than_the_best(problem) -> None:
    best = brute_force(problem)
    for _, plan in plans(problem, exactly):
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        assert verdict.objective >= best.step_ms


def test_numbers_that_cannot_win_are_left_out() -> None:
    # a second micro-batch only adds its fixed part
    problem = problem_of([8, 8, 8, 8])
    ((count, plan),) = plans(problem, exactly, EXACT)
    assert count == 1
    assert step_ticks(problem, plan) == brute_force(problem).ticks


@few
@given(small_sequence_problems(max_sequences=6, limits=False))
def test_without_an_answer_groups_of_one_degree_are_left(problem) -> None:
    for count, plan in plans(problem, nothing, EXACT):
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        assert verdict.facts["micro_batches"] == count
        for batch in range(count):
            assert len(set(plan.mode[plan.micro_batch == batch].tolist())) == 1


# -- one micro-batch -----------------------------------------------------------------------------


@few
@given(small_sequence_problems(one_micro_batch=True, max_sequences=7), st.sampled_from([False, 2]))
def test_starts_are_feasible_and_plans_no_slower_than_they_say(problem, buckets) -> None:
    program, lift = lower(problem, buckets=buckets)
    starts = flexsp.homogeneous_starts(lift)
    steps = [lift.values(given)[-1] for given in starts]
    assert steps == sorted(steps)
    for given_classes in starts:
        values, objective, broken = polish(program, lift.values(given_classes))
        assert broken == ""
        plan = lift.plan(given_classes)
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        # every class and every fixed part was rounded down to units
        classes = (len(lift.classes.length) + 2) * problem.n_sequences
        assert step_ticks(problem, plan) <= (objective + classes) * lift.unit
        assert np.array_equal(lift.given.of(values), given_classes)


def test_the_shortest_of_a_bucket_go_to_the_slowest_group() -> None:
    one = [(1, ULYSSES, 0.0, 1.0, 0.0, 100)]
    problem = problem_of([10, 7, 7, 4, 1], one, n_ranks=2, most=1)
    _, lift = lower(problem, buckets=1)
    plan = lift.plan(np.array([[3, 2]]))
    # rounded up they take 30 and 20; 1 and 4 make that 15 and 20, then twice 7 makes it 15 and 14
    assert plan.group.tolist() == [0, 1, 1, 0, 0]
    assert verify(problem, plan).objective == 15.0


def test_ranks_are_set_aside_for_what_needs_the_largest_degree() -> None:
    # two sequences need four ranks; 16 - 2 * 4 = 8 are left for smaller groups
    modes = [(d, ULYSSES, 0.0, 1.0 / d, 1.0, 8 * d) for d in (1, 2, 4, 8)]
    problem = problem_of([30, 28, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], modes, n_ranks=16)
    for prune, copies in ((False, [16, 8, 4, 2]), (True, [8, 4, 4, 2])):
        _, lift = lower(problem, prune=prune)
        assert np.bincount(lift.mode).tolist() == copies
    _, lift = lower(problem, prune=True, least_degree=2)
    assert np.bincount(lift.mode, minlength=4).tolist() == [0, 4, 4, 2]


def test_groups_of_one_rank_only_where_they_are_asked_for() -> None:
    modes = [(1, ULYSSES, 0.0, 1.0, 1.0, 8), (2, RING, 0.0, 1.0, 1.0, 4)]
    problem = problem_of([2, 2, 2, 2], modes, n_ranks=2)
    (_, plan), *_ = plans(problem, exactly)
    assert problem.cost.degree[plan.mode].min() == 2
    (_, plan), *_ = plans(problem, exactly, EXACT)
    assert problem.cost.degree[plan.mode].min() == 1
    with pytest.raises(InfeasibleError, match="2 ranks or more"):
        lower(problem_of([8, 2], modes, n_ranks=2), least_degree=2)
    # only one rank holds it, so that groups of one are allowed
    (_, plan), *_ = plans(problem_of([8, 2], modes, n_ranks=2), exactly)
    assert verify(problem_of([8, 2], modes, n_ranks=2), plan).violations == ()


# -- as a method ---------------------------------------------------------------------------------


def test_time_is_shared_by_what_is_to_come() -> None:
    problem, search = long_and_short(), Search(left=60.0)
    least = fewest(problem)
    flexsp.run(problem, search)
    times = [limits["time"] for limits in search.asked]
    assert len(times) > least
    assert times[0] == pytest.approx(60.0 / PUBLISHED.counts / least)
    assert times[1] == pytest.approx(times[0])
    assert search.left == pytest.approx(0.0, abs=1e-9)
    assert search.hinted[0]  # later micro-batches have fewer sequences than ranks to be used
    assert search.found
    for plan, source in search.found:
        verdict = verify(problem, plan)
        assert verdict.violations == ()
        assert source == f"flexsp, micro-batches: {verdict.facts['micro_batches']}"


def test_no_program_has_more_than_the_published_limit() -> None:
    search = Search(left=1e6)
    flexsp.run(long_and_short(), search)
    assert {limits["time"] for limits in search.asked} == {flexsp.SECONDS}


def test_without_a_clock_work_is_limited() -> None:
    search = Search(deterministic=True)
    flexsp.run(long_and_short(), search)
    assert search.asked
    assert all(limits == {"work": flexsp.WORK} for limits in search.asked)


def test_nothing_is_done_for_other_problems_or_when_time_is_up() -> None:
    search = Search(left=0.0)
    flexsp.run(long_and_short(), search)
    flexsp.run("a problem of another family", search)
    assert search.asked == search.found == []


def test_a_limit_on_micro_batches_is_no_proof() -> None:
    # the even consecutive cut has 9 + 9 together, and 16 fit; 9 + 5 twice would do
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 8), (2, ULYSSES, 0.0, 1.0, 0.0, 16)]
    problem = problem_of([9, 9, 5, 5], modes, n_ranks=2, most=2)
    assert fewest(problem) is None
    search = Search()
    flexsp.run(problem, search)
    assert search.found == []
    assert brute_force(problem) is not None
