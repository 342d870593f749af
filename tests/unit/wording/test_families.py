from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import mapc
from mapc.models import KINDS, family_of
from mapc.wording.families import plan_rows, problem_rows, result_rows

SMALL = {
    "allocation": {"buffers": 6},
    "bits": {"groups": 5},
    "memory": {"network": "layered", "operators": 6},
    "placement": {"layers": 2, "experts": 4, "ranks": 2, "slots": 3},
    "sequence": {"sequences": 12, "ranks": 8},
}
QUICK = {"sequence": ["area", "homogeneous"]}


@cache
def solved(kind):
    problem = mapc.generate(kind, seed=1, **SMALL[kind])
    if kind == "memory":
        problem = family_of(problem).with_capacity(problem, 2**20)
    result = mapc.solve(problem, time_limit=None, methods=QUICK.get(kind))
    assert result.plan is not None
    return problem, result


def test_every_family_is_here() -> None:
    assert set(SMALL) == set(KINDS)


@pytest.mark.parametrize("kind", SMALL)
def test_rows_of_a_problem_and_of_a_plan_are_those_of_a_result(kind) -> None:
    problem, result = solved(kind)
    of_problem = dict(problem_rows(problem))
    of_plan = dict(plan_rows(problem, result.plan, result.facts))
    of_result = dict(result_rows(problem, result))
    assert "kind" not in of_problem
    assert of_plan
    # a budget is one thing as it was asked, and another as it is used
    assert of_problem.keys() & of_plan.keys() <= set(getattr(problem, "resources", ()))
    assert {name: of_result[name] for name in of_plan} == of_plan
    assert of_problem["name"] == of_result["name"]


@pytest.mark.parametrize("kind", ["bits", "placement", "sequence"])
def test_what_could_not_be_told_is_left_out(kind) -> None:
    problem, result = solved(kind)
    known = family_of(problem).facts(problem)
    assert plan_rows(problem, result.plan, known) == []


def test_a_plan_that_breaks_rules_has_rows_as_well() -> None:
    problem, result = solved("sequence")
    broken = replace(result.plan, micro_batch=np.zeros_like(result.plan.micro_batch))
    verdict = family_of(problem).verify(problem, broken)
    assert dict(plan_rows(problem, broken, verdict.facts))["micro-batches"].startswith("1: ")
