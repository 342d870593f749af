from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.verify import MAX_LINES, verify
from oracles.sequence_cases import (
    brute_force,
    every_plan,
    problem_of,
    small_sequence_problems,
    ticks_of,
    tokens_of,
)

COLUMNS = ("micro_batch", "mode", "first_rank", "group")


def plan(*columns: Any) -> SequencePlan:
    return SequencePlan(*(np.array(column, dtype=np.int64) for column in columns))


# eight ranks in two nodes; modes: degrees 1, 2, 4, 8 with memory for 8 tokens per rank
CASE = problem_of(
    [3, 5, 8, 20, 2, 30],
    [(d, ULYSSES, 0.25 / d, 1.0 / d, 4.0, 8 * d) for d in (1, 2, 4, 8)],
    n_ranks=8,
    node_ranks=4,
    padding=2,
    most=3,
)
GOOD = plan([0, 0, 0, 1], [2, 1, 0, 2], [4, 0, 3, 0], [2, 1, 1, 0, 2, 3])


def changed(**columns: Any) -> SequencePlan:
    return dataclasses.replace(GOOD, **{name: np.array(column) for name, column in columns.items()})


def test_facts_of_a_case_by_hand() -> None:
    verdict = verify(CASE, GOOD)
    # group 0, degree 4: 4 + 100/4 * ... = 4 + (0.25 * 400 + 20) / 4; group 1, degree 2: 6 + 8;
    # group 2, degree 1: 4 + 2; group 3, degree 4: 30
    times = [4 + 30.0, 4 + (0.25 * (36 + 64) + 14) / 2, 4 + 0.25 * (16 + 4) + 6, 4 + 255 / 4]
    step = times[0] + times[3]
    busy = 4 * times[0] + 2 * times[1] + times[2] + 4 * times[3]
    assert verdict.violations == ()
    assert verdict.objective == step
    assert verdict.facts == {
        "step_ms": step,
        "micro_batches": 2,
        "groups": 4,
        "micro_batch_ms": [times[0], times[3]],
        "degrees": {1: 1, 2: 1, 4: 2},
        "tokens": 68,
        "padded_tokens": 70,
        "padding_share": 2 / 70,
        "idle_rank_share": pytest.approx(1 - busy / (8 * step), rel=1e-12),
        "memory_share": 30 / 32,
    }


BROKEN = [
    # too broken to replay
    ({"group": [2, 1, 1, 0, 2]}, "group: 5 entries; expected 6", False),
    ({"mode": [2, 1, 0]}, "micro_batch: 4 entries; expected 3", False),
    ({"mode": [2.0, 1.0, 0.0, 2.0]}, "mode: no row of whole numbers", False),
    ({"mode": [[2, 1, 0, 2]]}, "mode: no row of whole numbers", False),
    ({"mode": [2, 1, 0, 4]}, "group 3: unknown mode 4; expected 0 to 3", False),
    ({"mode": [2, -1, 0, 2]}, "group 1: unknown mode -1; expected 0 to 3", False),
    ({"group": [2, 1, -1, 0, 2, 3]}, "sequence 2: in no group of the plan, -1 is none", False),
    ({"group": [2, 1, 1, 0, 2, 4]}, "sequence 5: in no group of the plan, 4 is none of", False),
    # rules
    ({"group": [1, 1, 1, 0, 1, 3]}, "group 2: has no sequence", True),
    ({"group": [2, 2, 1, 0, 2, 3]}, "group 2: 12 padded tokens, above the 8 that fit", True),
    ({"mode": [2, 1, 0, 1]}, "group 3: 30 padded tokens, above the 16", True),
    ({"mode": [2, 2, 0, 2]}, "micro-batch 0: groups of 9 ranks together, above 8", True),
    ({"first_rank": [5, 0, 3, 0]}, "group 0: ranks from 5 on, 4 of them, leave the", True),
    ({"first_rank": [4, -2, 3, 0]}, "group 1: ranks from -2 on, 2 of them, leave", True),
    ({"first_rank": [4, 0, 3, 2**63 - 1]}, "group 3: ranks from 9223372036854775807 on", True),
    ({"first_rank": [4, 1, 3, 0]}, "group 1: starts at rank 1, no multiple of its 2", True),
    ({"first_rank": [2, 0, 3, 0]}, "group 0: ranks 2 to 5 straddle nodes of 4", True),
    ({"first_rank": [4, 0, 1, 0]}, "groups 1 and 2 of micro-batch 0: both have rank 1", True),
    ({"first_rank": [4, 0, 7, 0]}, "groups 0 and 2 of micro-batch 0: both have rank 7", True),
    ({"micro_batch": [0, 0, 0, 2]}, "micro-batch 2: comes where 1 should", True),
    ({"micro_batch": [1, 1, 1, 2]}, "micro-batch 1: comes where 0 should", True),
    ({"micro_batch": [0, 0, 0, -1]}, "micro-batch -1: comes where 0 should", True),
]


@pytest.mark.parametrize(("columns", "line", "replayed"), BROKEN)
def test_names_what_is_broken(columns: dict[str, Any], line: str, replayed: bool) -> None:
    verdict = verify(CASE, changed(**columns))
    assert any(violation.startswith(line) for violation in verdict.violations), verdict.violations
    assert (verdict.objective is not None) == replayed
    assert bool(verdict.facts) == replayed


def test_one_fault_gives_one_line() -> None:
    only = [
        {"group": [2, 2, 1, 0, 2, 3]},
        {"first_rank": [4, 0, 1, 0]},
        {"micro_batch": [0, 0, 0, 5]},
        {"mode": [2, 1, 0, 1]},
    ]
    assert [len(verify(CASE, changed(**columns)).violations) for columns in only] == [1] * 4


@pytest.mark.parametrize(("least", "most", "right"), [(3, 5, False), (1, 1, False), (2, 2, True)])
def test_number_of_micro_batches(least: int, most: int, right: bool) -> None:
    verdict = verify(dataclasses.replace(CASE, least=least, most=most), GOOD)
    assert verdict.violations == (
        () if right else (f"2 micro-batches; expected {least} to {most}",)
    )


def test_a_wide_group_may_straddle() -> None:
    problem = problem_of([1], [(4, ULYSSES, 1.0, 1.0, 1.0, 9)], n_ranks=8, node_ranks=2)
    assert verify(problem, plan([0], [0], [4], [0])).violations == ()


def test_overlap_with_a_range_that_is_not_the_last_one() -> None:
    problem = problem_of([1] * 3, [(1, ULYSSES, 0, 0, 1.0, 1), (4, ULYSSES, 0, 0, 1.0, 4)])
    verdict = verify(problem, plan([0] * 3, [1, 0, 0], [0, 1, 3], [0, 1, 2]))
    assert verdict.violations == (
        "micro-batch 0: groups of 6 ranks together, above 4",
        "groups 0 and 1 of micro-batch 0: both have rank 1",
        "groups 0 and 2 of micro-batch 0: both have rank 3",
    )


def test_many_faults_are_counted() -> None:
    n = MAX_LINES + 7
    problem = problem_of([1] * n, n_ranks=4)
    verdict = verify(problem, plan([0], [0], [0], [1] * n))
    assert len(verdict.violations) == MAX_LINES + 1
    assert verdict.violations[-1] == "and 7 more"


def test_a_step_without_time() -> None:
    problem = problem_of([1], [(1, ULYSSES, 0.0, 0.0, 0.0, 1)])
    verdict = verify(problem, plan([0], [0], [0], [0]))
    assert (verdict.violations, verdict.objective) == ((), 0.0)
    assert verdict.facts["idle_rank_share"] == 0.0


class Hostile:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no array")


GARBAGE = [None, "text", 7, [], [[1], [1, 2]], [None], object(), Hostile(), {1: 2}, [2**70], [True]]
GARBAGE += [np.array(["a"]), np.array([2**64 - 1], dtype=np.uint64), np.array(3), [1j], [np.nan]]


@pytest.mark.parametrize(
    "value", GARBAGE, ids=[f"{type(g).__name__}{i}" for i, g in enumerate(GARBAGE)]
)
@pytest.mark.parametrize("name", COLUMNS)
def test_garbage_in_a_column(name: str, value: Any) -> None:
    verdict = verify(CASE, dataclasses.replace(GOOD, **{name: value}))
    assert verdict.violations
    assert verdict.objective is None


@pytest.mark.parametrize(
    "value", GARBAGE, ids=[f"{type(g).__name__}{i}" for i, g in enumerate(GARBAGE)]
)
def test_garbage_for_a_plan(value: Any) -> None:
    verdict = verify(CASE, value)
    assert verdict.violations
    assert verdict.objective is None


WILD = st.one_of(
    st.integers(-2, 7), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**62, -(2**63)])
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_wild_numbers_are_judged(data: st.DataObject) -> None:
    groups = data.draw(st.integers(0, 5))
    row = st.lists(WILD, min_size=groups, max_size=groups)
    modes = st.lists(st.integers(0, 3), min_size=groups, max_size=groups)
    members = st.lists(st.integers(0, max(groups - 1, 0)), min_size=6, max_size=6)
    wild = plan(data.draw(row), data.draw(modes), data.draw(row), data.draw(members))
    verdict = verify(CASE, wild)
    assert (verdict.objective is None) == (groups == 0)
    assert (not verdict.violations) == follows_the_rules(CASE, wild)


# -- against plain Python --------------------------------------------------------------------------


def follows_the_rules(problem: SequenceProblem, plan: SequencePlan) -> bool:
    """The rules of `SequenceProblem`, rank by rank, for plans whose modes and groups exist."""
    batches, modes = plan.micro_batch.tolist(), plan.mode.tolist()
    if sorted(set(batches)) != list(range(len(set(batches)))) or not batches:
        return False
    if not problem.least <= len(set(batches)) <= (problem.most or problem.n_sequences):
        return False
    taken: set[tuple[int, int]] = set()
    for g, (batch, j, first) in enumerate(
        zip(batches, modes, plan.first_rank.tolist(), strict=True)
    ):
        degree, members = int(problem.cost.degree[j]), np.flatnonzero(plan.group == g).tolist()
        if not members or tokens_of(problem, members) > problem.cost.tokens[j]:
            return False
        if first % degree or not 0 <= first <= problem.n_ranks - degree:
            return False
        ranks = {(batch, rank) for rank in range(first, first + degree)}
        if ranks & taken:
            return False
        taken |= ranks
    return True


def ticks_of_plan(problem: SequenceProblem, plan: SequencePlan) -> int:
    total = 0
    for batch in set(plan.micro_batch.tolist()):
        groups = np.flatnonzero(plan.micro_batch == batch).tolist()
        members = [np.flatnonzero(plan.group == g).tolist() for g in groups]
        modes = plan.mode[groups].tolist()
        total += ticks_of(problem, list(zip(modes, map(tuple, members), strict=True)))
    return total


@settings(max_examples=150, deadline=None, derandomize=True)
@given(small_sequence_problems(max_ranks=8), st.data())
def test_agrees_with_plain_python(problem: SequenceProblem, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, problem.n_sequences))

    def row(least: int, most: int, size: int = groups) -> list[int]:
        return data.draw(st.lists(st.integers(least, most), min_size=size, max_size=size))

    members = [*range(groups), *row(0, groups - 1, problem.n_sequences - groups)]
    drawn = plan(
        row(0, min(groups - 1, 2)),
        row(0, problem.n_modes - 1),
        row(0, problem.n_ranks - 1),
        data.draw(st.permutations(members)),
    )
    verdict = verify(problem, drawn)
    assert (not verdict.violations) == follows_the_rules(problem, drawn)
    assert verdict.objective == ticks_of_plan(problem, drawn) * problem.tick
    assert verdict.facts["step_ms"] == verdict.objective == sum(verdict.facts["micro_batch_ms"])
    assert sum(verdict.facts["degrees"].values()) == verdict.facts["groups"] == groups
    if not verdict.violations:
        assert 0 <= verdict.facts["idle_rank_share"] < 1
        assert 0 < verdict.facts["memory_share"] <= 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_sequence_problems(max_sequences=3))
def test_enumeration_finds_the_least_of_all_plans(problem: SequenceProblem) -> None:
    verdicts = [verify(problem, p) for p in itertools.islice(every_plan(problem), 4000)]
    assert all(verdict.violations == () for verdict in verdicts)
    best = brute_force(problem)
    assert (best is None) == (not verdicts)
    if best is not None:
        assert best.step_ms == min(verdict.objective for verdict in verdicts)  # type: ignore[type-var]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_sequence_problems(limits=False), st.randoms(use_true_random=False))
def test_names_of_groups_and_micro_batches_do_not_matter(
    problem: SequenceProblem, random: Any
) -> None:
    best = brute_force(problem)
    assert best is not None  # one sequence after another always fits
    order, numbers = list(range(len(best.plan.mode))), list(range(best.plan.micro_batch.max() + 1))
    random.shuffle(order)
    random.shuffle(numbers)
    renamed = SequencePlan(
        np.array(numbers)[best.plan.micro_batch][order],
        best.plan.mode[order],
        best.plan.first_rank[order],
        np.argsort(order)[best.plan.group],
    )
    first, second = verify(problem, best.plan), verify(problem, renamed)
    assert (second.violations, second.objective) == ((), first.objective)
    same = set(first.facts) - {"micro_batch_ms"}
    assert {name: second.facts[name] for name in same} == {name: first.facts[name] for name in same}
