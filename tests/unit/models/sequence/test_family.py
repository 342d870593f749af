from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.errors import InfeasibleError, UsageError
from mapc.models import family, family_of
from mapc.models.sequence import FAMILY, milliseconds, mode_name
from mapc.models.sequence.problem import RING, ULYSSES
from mapc.solvers.base import Status
from oracles.sequence_cases import brute_force, problem_of


def test_it_is_found_by_kind_and_by_problem() -> None:
    assert family("sequence") is FAMILY
    assert family_of(problem_of([1])) is FAMILY


def test_names_of_methods_are_distinct_and_of_formulations_their_own() -> None:
    names = [method.name for method in FAMILY.methods]
    assert len(set(names)) == len(names)
    assert {name: one.name for name, one in FAMILY.formulations.items()} == {
        name: name for name in FAMILY.formulations
    }


@pytest.mark.parametrize("method", FAMILY.methods, ids=lambda m: m.name)
def test_methods_leave_other_problems_alone(method: Any) -> None:
    method.run(object(), None)  # a search it may not touch


def test_facts_are_plain_json() -> None:
    modes = [(2, RING, 0.5, 1.0, 4.0, 9), (4, ULYSSES, 0.25, 1.0, 4.0, 20)]
    problem = problem_of([3, 5, 9], modes, n_ranks=8, node_ranks=4, padding=2, least=2, most=3)
    facts = FAMILY.facts(problem)
    assert json.loads(json.dumps(facts)) == facts
    assert facts == {
        "name": "case",
        "sequences": 3,
        "tokens": 17,
        "longest": 9,
        "padding": 2,
        "ranks": 8,
        "nodes": 2,
        "allowed_degrees": [2, 4],
        "sharing": ["ulysses", "ring"],
        "tokens_per_rank": 5,
        "least_micro_batches": 2,
        "most_micro_batches": 3,
    }
    assert FAMILY.facts(problem_of([1]))["most_micro_batches"] is None


def test_details_say_what_lengths_need_and_what_one_degree_gives() -> None:
    # three ranks' worth of memory: 16 fits degrees 2 and 4 alone; 4 tokens take 4 + 4 + 4 ms on one
    problem = problem_of([4, 4, 4, 16])
    details = FAMILY.details(problem)
    json.dumps(details)
    assert details["lengths"] == {"median": 4, "p90": 16, "p99": 16, "longest": 16}
    assert details["least_degree"] == {1: 3, 2: 1}
    assert details["micro_batch_tokens"] == 32
    assert details["needed_micro_batches"] == 1
    assert details["homogeneous"]["1"] is None
    # 28 tokens at degree 4: 4 + 304 / 16 + 14
    assert details["homogeneous"]["4"] == 37.0
    best = brute_force(problem)
    assert best is not None
    assert 0 < details["bound_step_ms"] <= best.step_ms <= details["homogeneous"]["4"]


def test_two_kinds_of_a_degree_are_told_apart() -> None:
    modes = [(1, ULYSSES, 1.0, 1.0, 1.0, 9), (2, RING, 0.5, 1.0, 4.0, 9)]
    problem = problem_of([3], modes)
    assert [mode_name(problem, mode) for mode in (0, 1)] == ["1 ulysses", "2 ring"]
    assert mode_name(problem_of([3]), 2) == "4"


def test_precheck_refuses_fewer_micro_batches_than_memory_asks_for() -> None:
    FAMILY.precheck(problem_of([8] * 5, most=2))
    problem = problem_of([8] * 9, most=2)
    message = "case: 72 padded tokens need 3 micro-batches of at most 32 tokens, 2 allowed"
    with pytest.raises(InfeasibleError) as refused:
        FAMILY.precheck(problem)
    assert str(refused.value) == message
    result = mapc.solve(problem)
    assert (result.status, result.reason) == (Status.INFEASIBLE, message)


def test_baselines_are_methods_of_their_own() -> None:
    problem = problem_of([1, 2, 3, 8, 20], n_ranks=8, node_ranks=4)
    found = {
        name: mapc.solve(problem, time_limit=None, methods=[name])
        for name in ("homogeneous", "megatron", "static")
    }
    assert found["homogeneous"].method.startswith("homogeneous, degree ")
    assert found["megatron"].method == "Megatron's greedy"
    assert found["static"].method == "largest degree"
    degrees = {name: set(one.facts["degrees"]) for name, one in found.items()}
    assert degrees["static"] == {4}
    assert degrees["megatron"] == {1, 4}
    objective = [found[name].objective for name in ("homogeneous", "static")]
    assert objective[0] <= objective[1]


def test_there_is_no_capacity() -> None:
    with pytest.raises(UsageError, match=r"capacity '80GiB': .* --memory-limit-gb or --tokens"):
        FAMILY.with_capacity(problem_of([1]), "80GiB")


def test_objectives_in_words() -> None:
    assert FAMILY.phrase(3200.0625) == "a step of 3,200.1 ms"
    assert FAMILY.phrase(np.float64(12.3456)) == "a step of 12.35 ms"
    assert milliseconds(0.000123456) == "0.0001235 ms"
