from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mapc.errors import InfeasibleError, UsageError
from mapc.models import family, family_of
from mapc.models.base import phrase_of
from mapc.models.placement import FAMILY
from oracles.placement_cases import random_plan, random_problem


def test_it_is_found_by_kind_and_by_problem() -> None:
    assert family("placement") is FAMILY
    assert family_of(random_problem(1)) is FAMILY


def test_names_of_methods_are_distinct() -> None:
    names = [method.name for method in FAMILY.methods]
    assert len(set(names)) == len(names)


def test_facts_are_plain_json() -> None:
    problem = random_problem(
        7,
        experts=4,
        ranks=3,
        slots=2,
        layers=2,
        profiles=2,
        nodes=2,
        dead=1,
        traffic="home",
        dispatch="local",
        goal="worst",
        rules=False,
        current=False,
        max_imbalance=2.0,
    )
    facts = FAMILY.facts(problem)
    assert json.loads(json.dumps(facts)) == {
        "name": "case 7",
        "profiles": 2,
        "layers": 2,
        "experts": 4,
        "ranks": 4,
        "dead_ranks": 1,
        "nodes": 2,
        "slots": 2,
        "redundant": 2,
        "traffic": "home",
        "dispatch": "local",
        "goal": "worst",
        "unit": "tokens",
        "tokens": {"p0": int(problem.counts[0].sum()), "p1": int(problem.counts[1].sum())},
        "pinned": 0,
        "forbidden": 0,
        "max_moves": None,
        "max_imbalance": 2.0,
    }


def test_details_show_two_layouts() -> None:
    given = {"experts": 4, "ranks": 2, "slots": 2, "layers": 1, "profiles": 1, "dead": 0}
    problem = random_problem(3, **given, current=False, speeds=False, rules=False)
    problem = problem.replace(
        counts=np.array([[[5, 3, 0, 0]]]), sources=None, dispatch="equal", max_imbalance=None
    )
    details = FAMILY.details(problem)
    assert json.loads(json.dumps(details)) == details
    assert details["experts_without_tokens"] == 2
    assert details["hottest_expert"] == {
        "profile": "p0",
        "layer": 0,
        "expert": 0,
        "times_mean": 2.5,
    }
    assert details["contiguous"]["balancedness"] == 0.5
    assert details["in_force"] is None
    even = np.array([[[0, 2], [1, 3]]])
    shown = FAMILY.details(problem.replace(current=even))["in_force"]
    assert shown["balancedness"] == pytest.approx(0.8)
    lost = np.array([[[0, 2], [-1, 3]]])
    assert FAMILY.details(problem.replace(current=lost))["in_force"] is None


def test_precheck_refuses_what_is_impossible() -> None:
    problem = random_problem(4, experts=4, ranks=2, slots=2, layers=1, dead=0, rules=False)
    FAMILY.precheck(problem.replace(max_imbalance=None))
    pins = np.array([[0, 0, 0], [0, 0, 1]])
    with pytest.raises(InfeasibleError, match="pins leave 2 slots for 3 experts"):
        FAMILY.precheck(problem.replace(pinned=pins, current=None, max_moves=None))


def test_it_verifies() -> None:
    problem = random_problem(5)
    assert FAMILY.verify(problem, random_plan(problem)).objective is not None


def test_there_is_no_capacity() -> None:
    with pytest.raises(UsageError, match=r"capacity '4GiB': .* slots, here 2 per layer"):
        FAMILY.with_capacity(random_problem(1, experts=4, ranks=2, slots=2), "4GiB")


def test_objectives_in_words() -> None:
    assert FAMILY.phrase(58.04941234) == "a step time of 58.0494"
    problem = random_problem(5)
    told = phrase_of(FAMILY, problem)(58.04941234)
    assert told == f"a step time of 58.0494 {problem.cost.unit}"
    assert FAMILY.phrase(103154) == "a step time of 103,154"
    unnamed = replace(problem, cost=replace(problem.cost, unit=""))
    assert phrase_of(FAMILY, unnamed)(3) == "a step time of 3"
