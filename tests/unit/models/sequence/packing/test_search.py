"""Local search: valid, never worse than the baselines, the same every time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from tests.oracles.plain_python import both_ways
from tests.oracles.sequence_cases import brute_force, problem_of, small_sequence_problems

from mapc.instances.generators.lengths import generate
from mapc.kernels import load, stream
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.packing import search as packing
from mapc.models.sequence.packing import starts
from mapc.models.sequence.packing.search import found, pack, plans
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy
from mapc.models.sequence.verify import verify

WORK = 200_000


@settings(max_examples=40, deadline=None)
@given(small_sequence_problems(max_sequences=5))
def test_plans_are_valid_and_between_the_best_and_the_baselines(problem) -> None:
    best, plan = brute_force(problem), pack(problem, work=WORK)
    if plan is None:
        assert best_homogeneous(problem) is None
        return
    assert best is not None
    verdict = verify(problem, plan)
    assert not verdict.violations
    assert verdict.objective == step_ticks(problem, plan) * problem.tick
    assert verdict.objective >= best.ticks * problem.tick
    for other in (best_homogeneous(problem), megatron_greedy(problem)):
        if other is not None:
            assert step_ticks(problem, plan) <= step_ticks(problem, other)


def mixed(n: int = 60, seed: int = 3):
    """Problem where one degree for everything is poor: a few long sequences, many short ones."""
    lengths = np.minimum(np.random.default_rng(seed).lognormal(1.0, 1.0, n).astype(int) + 1, 64)
    return problem_of(
        lengths,
        [(2**e, "ulysses", 0.25 / 2**e, 1.0 / 2**e + 0.1 * e, 4.0, 20 * 2**e) for e in range(5)],
        n_ranks=16,
        node_ranks=4,
    )


def test_mixing_degrees_pays() -> None:
    problem = mixed()
    plan = pack(problem, work=1_000_000)
    assert not verify(problem, plan).violations
    assert len(set(plan.mode.tolist())) > 1
    assert step_ticks(problem, plan) < 0.9 * step_ticks(problem, best_homogeneous(problem))


def test_steps_only_get_better() -> None:
    problem = mixed()
    found = [step_ticks(problem, plan) for plan, _ in plans(problem, work=1_000_000)]
    assert len(found) > 1
    assert found == sorted(set(found), reverse=True)


def test_a_seed_gives_one_plan() -> None:
    problem = mixed()
    assert pack(problem, seed=5, work=300_000) == pack(problem, seed=5, work=300_000)


def test_small_problems_end_near_their_optimum() -> None:
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(30):
        problem = problem_of(rng.integers(1, 17, 5))
        ratios.append(step_ticks(problem, pack(problem, work=500_000)) / brute_force(problem).ticks)
    assert min(ratios) == 1.0
    assert np.mean(ratios) < 1.005


def test_a_search_that_is_over_still_gives_the_baselines() -> None:
    problem = mixed()
    plan = pack(problem, done=lambda: True)
    assert step_ticks(problem, plan) <= step_ticks(problem, best_homogeneous(problem))


def test_a_search_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="give work or done"):
        pack(mixed(), work=None)


def test_no_plan_is_no_plan() -> None:
    assert pack(problem_of([8] * 9, most=2), work=WORK) is None


class Search:
    """Keeps what is proposed; over after some plans."""

    seed = 1
    objective = None
    plan = None

    def __init__(self, deterministic: bool = True, plans: int = 3) -> None:
        self.deterministic, self.most = deterministic, plans
        self.steps = []

    def done(self) -> bool:
        return len(self.steps) > self.most

    def remaining(self) -> float:
        return np.inf

    def propose(self, plan, source) -> bool:
        self.steps.append((plan, source))
        return True


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_method_proposes_and_stops(deterministic: bool) -> None:
    search = Search(deterministic)
    packing.run(mixed(), search)
    assert len(search.steps) >= 4
    assert not verify(mixed(), search.steps[-1][0]).violations


def test_the_method_begins_at_what_is_known() -> None:
    problem = mixed()
    search = Search()
    search.plan = best_homogeneous(problem)
    search.objective = step_ticks(problem, search.plan) * problem.tick
    packing.run(problem, search)
    assert {source for _, source in search.steps} == {"packing"}
    for plan, _ in search.steps:
        assert step_ticks(problem, plan) * problem.tick < search.objective


def test_the_method_leaves_other_problems_alone() -> None:
    search = Search()
    packing.run(object(), search)
    assert search.steps == []


def test_a_search_ends_when_nothing_better_comes_up() -> None:
    problem = problem_of([8, 5, 4, 3])
    last = list(found(problem, work=None, done=lambda: False, stale=1e6))[-1]
    assert last.ticks == brute_force(problem).ticks


@settings(max_examples=30, deadline=None)
@given(small_sequence_problems(max_sequences=5))
def test_every_plan_is_what_it_says(problem) -> None:
    for one in found(problem, work=20_000):
        assert one.ticks == step_ticks(problem, one.plan)
        assert one.hint.target.sum() >= one.ticks
        assert (one.hint.premium is None) == (one.source != "packing")


def test_only_better_plans_than_the_known_are_given() -> None:
    problem = mixed()
    first = list(found(problem, work=300_000))
    least = first[len(first) // 2].ticks
    again = [one.ticks for one in found(problem, work=300_000, baselines=False, least=least)]
    assert all(ticks < least for ticks in again)
    assert list(found(problem, work=300_000, baselines=False, least=1)) == []


def test_a_good_hint_leads_to_a_good_plan_at_once() -> None:
    problem = mixed(120)
    long = list(found(problem, work=4_000_000))[-1]
    hinted = pack(problem, work=60_000, hint=long.hint)
    assert step_ticks(problem, hinted) <= 1.03 * long.ticks


def test_targets_far_above_the_area_are_found_in_little_work() -> None:
    problem = generate(sequences=2000, ranks=512, max_length="192K", distribution="pareto")
    plan = pack(problem, work=10_000_000)
    assert not verify(problem, plan).violations
    # one micro-batch as long as the longest sequence asks for; starts near the area end at 1.55
    assert step_ticks(problem, plan) < 1.42 * step_bound(problem)


PLAIN = """
import json
import numpy as np
from mapc.models.sequence.packing.search import plans
from mapc.models.sequence.problem import GroupCost, SequenceProblem
rng = np.random.default_rng(2)
lengths = np.minimum(rng.lognormal(1.0, 1.0, 14).astype(int) + 1, 64)
degree = 2 ** np.arange(4)
cost = GroupCost(degree, ("ulysses",) * 4, 0.25 / degree, 1.0 / degree + 0.1 * np.arange(4),
                 np.full(4, 4.0), 12 * degree)
problem = SequenceProblem("tiny", lengths.astype(np.int64), 8, 4, cost)
print(json.dumps([[source, *(getattr(plan, name).tolist() for name in
      ("micro_batch", "mode", "first_rank", "group"))] for plan, source in
      plans(problem, work=200_000)]))
"""


def test_kernels_do_the_same_as_plain_python() -> None:
    answers = [json.loads(printed) for printed in both_ways(PLAIN)]
    assert len(answers[0]) > 1
    assert answers[0] == answers[1]


def test_a_start_that_is_a_plan_is_that_plan() -> None:
    problem = mixed()
    order = np.argsort(-problem.padded, kind="stable")
    plan = pack(problem, work=200_000)
    kernels = load(packing.KERNELS)
    start = starts.Sizes(problem, order).given(kernels, stream(0, 1), plan, order)
    assert start.step == step_ticks(problem, plan)
    assert start.excess(kernels) == 0.0
    assert start.reached().sum() == start.step
    start.improve(kernels, 200_000)
    assert start.step <= step_ticks(problem, plan)


def test_a_search_goes_on_with_the_plan_it_is_given() -> None:
    problem = mixed()
    plan = pack(problem, seed=7, work=2_000_000)
    ticks = step_ticks(problem, plan)
    alone = [f.ticks for f in found(problem, work=300_000, least=ticks, baselines=False)]
    onward = found(problem, work=300_000, least=ticks, baselines=False, start=plan)
    steps = [one.ticks for one in onward]
    assert steps
    assert not alone or steps[-1] <= alone[-1]
