"""Broken plans: the verifiers refuse all of them, and one that skips a rule lets some through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import Ragged
from mapc.models import KINDS, family, family_of
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.base import Verdict
from mapc.models.memory.options import Options
from mapc.models.placement.problem import ADAPTIVE, NONE, PlacementProblem
from mapc.quality.breaking import breaches, check_verifier
from oracles.allocation_banks import banked_problems
from oracles.allocation_bruteforce import held_problems
from oracles.bits_bruteforce import small_bits_problems
from oracles.memory_banks import banked_memory
from oracles.memory_cases import chain_with_skip
from oracles.memory_options import optioned_problems
from oracles.placement_cases import problems as placement_problems
from oracles.sequence_cases import problem_of, small_sequence_problems

# -- problems that have every rule -----------------------------------------------------------------


def memory(capacity: int = 64, alignment: int = 1, **options: Any) -> Any:
    problem = chain_with_skip(capacity)
    return replace(problem, alignment=alignment, options=Options(**options))


def memory_with_input(first: tuple[int, ...] = (0,), **options: Any) -> Any:
    """An input that the second of three operators reads, and the first one unless told not to."""
    graph = replace(
        chain_with_skip().graph,
        inputs=Ragged.of([first, [1, 0], [2], []]),
        outputs=Ragged.of([[1], [2], [3], []]),
        workspace=np.array([0, 2, 0, 0]),
    )
    return replace(chain_with_skip(64), graph=graph, options=Options(**options))


def allocation(**fields: Any) -> AllocationProblem:
    columns = ([0, 0, 2, 1], [2, 3, 4, 4], [4, 8, 4, 4])
    lower, upper, size = (np.array(column, dtype=np.int64) for column in columns)
    return AllocationProblem("case", ("p", "q", "r", "s"), lower, upper, size, **fields)


def bits(**fields: Any) -> Any:
    problem = mapc.generate("bits", groups=6, formats=3)
    return mapc.with_budgets(replace(problem, **fields), ["size=4bpw"])


def forbidding() -> Any:
    problem = mapc.generate("bits", groups=4, formats=3)
    allowed = np.ones(problem.n_options, dtype=np.bool_)
    allowed[:3] = [True, False, True]
    return mapc.with_budgets(replace(problem, allowed=allowed), ["size=20bpw"])


def placement(**fields: Any) -> PlacementProblem:
    problem = mapc.generate("placement", layers=1, experts=4, ranks=2, slots=3, seed=5)
    changed: PlacementProblem = problem.replace(**fields)
    return changed


def single(**fields: Any) -> PlacementProblem:
    """No replicas: four experts on two ranks."""
    problem = mapc.generate("placement", layers=1, experts=4, ranks=2, seed=5)
    changed: PlacementProblem = problem.replace(**fields)
    return changed


def pins(*rows: tuple[int, int, int]) -> Any:
    return np.array(rows, dtype=np.int64)


def sequence(**fields: Any) -> Any:
    return problem_of([8, 7, 3, 2, 2, 1], **fields)


PROBLEMS: dict[str, Any] = {
    "memory": memory,
    "memory, tight": lambda: memory(9),
    "memory, aligned": lambda: memory(alignment=4),
    "memory, prefetch": lambda: memory_with_input((), prefetch=1),
    "memory, pinned": lambda: memory_with_input(pinned=(0,)),
    "memory, input": memory_with_input,
    "memory, streamed": lambda: memory_with_input(streamable=((0, 0), (1, 0)), stream_cost=0),
    "memory, in place": lambda: memory(9, in_place=((2, 1, 2),)),
    "memory, banks": lambda: replace(
        memory(banks=(("near", 32), ("far", 32)), confined=((0, 0),)), capacity=None
    ),
    "allocation": allocation,
    "allocation, full": lambda: allocation(capacity=64),
    "allocation, aligned": lambda: allocation(alignment=8),
    "allocation, fixed": lambda: allocation(fixed=np.array([16, -1, -1, -1])),
    "allocation, reserved": lambda: allocation(reserved=np.array([[0, 4, 16, 24]])),
    "allocation, banks": lambda: allocation(
        banks=(("near", 16), ("far", 32)),
        allowed=np.array([[True, False], [True, True], [True, True], [True, True]]),
    ),
    "bits": bits,
    "bits, tied": lambda: bits(ties=Ragged.of([[0, 1]])),
    "bits, forbidden": forbidding,
    "placement": placement,
    "placement, single": single,
    "placement, pinned": lambda: single(pinned=pins((0, 0, 0))),
    "placement, forbidden": lambda: single(forbidden=pins((0, 0, 0))),
    "placement, moves": lambda: single(current=np.array([[[0, 1], [2, 3]]]), max_moves=1),
    "placement, limit": lambda: single(max_imbalance=1.3),
    "placement, split": lambda: placement(dispatch=ADAPTIVE, traffic=NONE),
    "placement, dead": lambda: mapc.generate(
        "placement", layers=1, experts=4, ranks=3, slots=3
    ).replace(dead=np.array([False, True, False])),
    "sequence": sequence,
    "sequence, batches": lambda: problem_of([3, 2, 2, 1], most=1),
    "sequence, short": lambda: problem_of([1, 1]),
    "sequence, long": lambda: problem_of([14, 3]),
}


@cache
def solved(name: str) -> tuple[Any, Any]:
    problem = PROBLEMS[name]()
    quick = name.startswith("sequence")
    plan = next(plans(problem)) if quick else mapc.solve(problem, time_limit=None).plan
    assert plan is not None
    assert mapc.check(problem, plan) == []
    return problem, plan


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_broken_plan_is_refused(name: str) -> None:
    problem, plan = solved(name)
    assert breaches(problem, plan)
    assert check_verifier(problem, plan) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_can_be_broken(kind: str) -> None:
    rules = {one.rule for name in PROBLEMS if name.startswith(kind) for one in rules_of(name)}
    assert len(rules) >= 4


def rules_of(name: str) -> list[Any]:
    return breaches(*solved(name))


# -- verifiers that skip a rule --------------------------------------------------------------------

SKIPPED = {
    "memory": {
        r"not resident$": "a tensor leaves before an operator that needs it",
        r"resident twice": "a tensor is resident twice",
        r"loaded at step .* without": "a tensor is loaded that was never written out",
        r"never written out$": "an output is never written out",
        r"overlaps": "two tensors share bytes at one time",
        r"ends at .*, capacity": "a tensor lies beyond the capacity",
        r"runs each of the|run each of the": "an operator runs twice that may run once",
        r"of 1 banks": "a tensor lies in a bank that is not there",
    },
    "memory, aligned": {r"is not aligned": "an address is not aligned"},
    "memory, prefetch": {r"steps before$": "a load begins too late for the prefetch distance"},
    "memory, pinned": {r"pinned": "a pinned tensor leaves before the end"},
    "memory, input": {
        r"may not stream": "an operator streams what it may not",
        r"overlaps": "a workspace shares bytes with a tensor",
    },
    "memory, streamed": {r"streams a tensor twice": "an operator streams a tensor twice"},
    "memory, in place": {r"overlaps": "what is taken over in place stays"},
    "memory, banks": {r"does not take it": "a tensor lies in a bank that does not take it"},
    "allocation": {
        r"is negative": "an address is negative",
        r"overlap at": "two buffers share bytes at one time",
        r"in bank 1": "a buffer lies in a bank that is not there",
    },
    "allocation, full": {r"above the capacity": "a buffer lies above the capacity"},
    "allocation, aligned": {r"no multiple": "an address is not aligned"},
    "allocation, fixed": {r"instead of the fixed": "a buffer is not where it has to be"},
    "allocation, reserved": {r"reserved during": "a buffer lies in a reserved range"},
    "allocation, banks": {r"not allowed": "a buffer lies in a bank that does not take it"},
    "bits": {
        r"none of its own": "a group takes an option of another one",
        r"resource 'size'": "the budget of size is exceeded",
    },
    "bits, tied": {r"are tied": "tied groups differ"},
    "bits, forbidden": {r"is forbidden": "a forbidden format is chosen"},
    "placement": {
        r"expert 4 in slot": "a slot has an unknown expert",
        r"is there twice": "an expert is on one rank twice",
    },
    "placement, single": {r"is on no rank": "an expert is on no rank"},
    "placement, pinned": {r"where it is pinned": "a pinned expert is elsewhere"},
    "placement, forbidden": {r"where it is forbidden": "an expert is where it is forbidden"},
    "placement, moves": {r"moves, above": "more experts move than may"},
    "placement, limit": {r"above the limit": "a rank has more load than the limit"},
    "placement, split": {
        r"the split has": "the split loses a token",
        r"tokens in slot": "a slot takes fewer tokens than none",
    },
    "placement, dead": {r"it is dead": "a dead rank has an expert"},
    "sequence": {
        r"unknown mode": "a group has an unknown mode",
        r"in no group": "a sequence is in no group",
        r"without gaps": "the numbers of micro-batches have a gap",
        r"leave the cluster": "a group has ranks that are not there",
    },
    "sequence, batches": {r"micro-batches; expected": "there are too many micro-batches"},
    "sequence, short": {r"has no sequence": "a group has no sequence"},
    "sequence, long": {r"padded tokens": "a group has too many tokens"},
}
CASES = [(name, skipped, rule) for name, of in SKIPPED.items() for skipped, rule in of.items()]


def skip(monkeypatch: pytest.MonkeyPatch, problem: Any, pattern: str) -> None:
    """Have the family's verifier say nothing of one rule."""
    one = family_of(problem)
    honest = one.verify

    def verify(problem: Any, plan: Any) -> Verdict:
        verdict = honest(problem, plan)
        left = tuple(text for text in verdict.violations if not re.search(pattern, text))
        return replace(verdict, violations=left)

    monkeypatch.setattr(one, "verify", verify)


@pytest.mark.parametrize(("name", "skipped", "rule"), CASES)
def test_a_verifier_that_skips_a_rule_is_caught(
    name: str, skipped: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, plan = solved(name)
    skip(monkeypatch, problem, skipped)
    caught = [one.expected for one in check_verifier(problem, plan)]
    assert f"refuses a plan in which {rule}" in caught


# -- any problem -----------------------------------------------------------------------------------

STRATEGIES = {
    "memory": st.one_of(optioned_problems(), banked_memory()),
    "allocation": st.one_of(held_problems(), banked_problems()),
    "bits": small_bits_problems(),
    "placement": placement_problems(),
    "sequence": small_sequence_problems(),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(data=st.data())
def test_broken_plans_of_random_problems_are_refused(kind: str, data: st.DataObject) -> None:
    """What the breakers take for broken is broken."""
    problem = data.draw(STRATEGIES[kind])
    for plan in plans(problem):
        assert check_verifier(problem, plan) == []


def plans(problem: Any) -> Iterator[Any]:
    """A quick plan, if there is one."""
    found = family(family_of(problem).kind)
    quick = [m.name for m in found.methods if m.stage == "heuristic" and m.default][:3]
    try:
        result = mapc.solve(problem, time_limit=None, methods=quick, backends=[])
    except mapc.UsageError:
        return
    if result.plan is not None:
        yield result.plan
