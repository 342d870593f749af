from __future__ import annotations

import json

import pytest

from mapc.errors import InfeasibleError, UsageError
from mapc.models import family, family_of
from mapc.models.bits import FAMILY
from oracles.bits_bruteforce import problem_of

ROWS = [[(0, 4.0, (4, 1)), (1, 1.0, (8, 2))], [(0, 2.0, (4, 1)), (1, 0.5, (8, 2))]]


def test_it_is_found_by_kind_and_by_problem() -> None:
    problem = problem_of(ROWS, [10, None])
    assert family("bits") is FAMILY
    assert family_of(problem) is FAMILY


def test_precheck_names_the_smallest_feasible_budget() -> None:
    FAMILY.precheck(problem_of(ROWS, [8, None]))
    with pytest.raises(InfeasibleError) as caught:
        FAMILY.precheck(problem_of(ROWS, [7, None]))
    assert str(caught.value) == (
        "budget 'r0': 7 bits, but the cheapest choice takes 8; give at least 8"
    )


def test_facts_are_plain_json() -> None:
    problem = problem_of(ROWS, [10, None], ties=[[0, 1]], edges=[(0, 1, 1.0)], weights=[3, 4])
    facts = FAMILY.facts(problem)
    assert json.loads(json.dumps(facts)) == {
        "name": "case",
        "groups": 2,
        "options": 4,
        "tied_sets": 1,
        "edges": 1,
        "pairwise_terms": 0,
        "goal": "sum",
        "weights": 7,
        "budgets": {"r0": {"unit": "bits", "budget": 10}, "r1": {"unit": "bits", "budget": None}},
    }


def test_details_are_plain_json() -> None:
    details = FAMILY.details(problem_of(ROWS, [12, None]))
    assert json.loads(json.dumps(details)) == {
        "cheapest": {"r0": 8, "r1": 2},
        "costliest": {"r0": 16, "r1": 4},
        "uniform": {
            "int4": {"loss": 6.0, "r0": 8, "r1": 2, "within_budgets": True, "groups_without": 0},
            "int8": {"loss": 1.5, "r0": 16, "r1": 4, "within_budgets": False, "groups_without": 0},
        },
    }


def test_there_is_no_capacity() -> None:
    with pytest.raises(UsageError, match=r"capacity '4KiB': .* give --budget RESOURCE=AMOUNT"):
        FAMILY.with_capacity(problem_of(ROWS, [12, None]), "4KiB")


def test_phrase() -> None:
    assert FAMILY.phrase(0.074949412) == "a loss of 0.0749494"
