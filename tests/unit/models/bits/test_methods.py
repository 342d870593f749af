"""The published HAWQ-V3 allocations, the order of methods, the largest loss."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import mapc
from mapc.instances.generators.bits import generate
from mapc.instances.importers.hawq import import_hawq
from mapc.models.bits.budgets import apply_budgets
from mapc.models.bits.methods import METHODS
from mapc.solvers.base import Status
from oracles.bits_bruteforce import problem_of

ROOT = Path(__file__).parents[4]
DATA = Path(os.environ.get("MAPC_DATA", ROOT.parent / "shared" / "data"))
INPUTS = DATA / "bits" / "hawqv3_inputs.json"
needs_inputs = pytest.mark.skipif(not INPUTS.exists(), reason="no HAWQ-V3 inputs; set MAPC_DATA")

LEVELS = ("0.75", "0.5", "0.25")
BEST = {
    ("resnet18", "size"): (0.033441, 0.074506, 0.118300),
    ("resnet18", "bops"): (0.079965, 0.215689, 0.460424),
    ("resnet18", "latency"): (0.079965, 0.202674, 0.460424),
    ("resnet50", "size"): (0.012215, 0.031024, 0.074949),
    ("resnet50", "bops"): (0.024105, 0.056440, 0.148948),
    ("resnet50", "latency"): (0.022658, 0.054861, 0.137505),
}
PUBLISHED = {"size": "modelsize", "bops": "bops", "latency": "latency"}


@needs_inputs
@pytest.mark.parametrize(("model", "resource"), BEST)
def test_published_allocations_are_reproduced_and_proven(model: str, resource: str) -> None:
    configs = json.loads(INPUTS.read_text())[model]["published_bit_config"]
    inputs = import_hawq(INPUTS, model=model)
    for level, best in zip(LEVELS, BEST[model, resource], strict=True):
        problem = apply_budgets(inputs, [f"{resource}={level}"])
        result = mapc.solve(problem, time_limit=None, backends=())
        assert result.status is Status.OPTIMAL
        assert round(result.objective, 6) == best
        chosen = problem.format_of[result.plan.option]
        bits = [int(problem.formats[f].removeprefix("int")) for f in chosen]
        published = configs[f"{PUBLISHED[resource]}_{level}"]
        differ = [i for i, (a, b) in enumerate(zip(bits, published, strict=True)) if a != b]
        if (model, resource, level) == ("resnet50", "size", "0.25"):
            # the published one has a layer at 4 bits that fits the budget at 8
            assert [problem.groups[i] for i in differ] == ["stage3.unit6.quant_convbn1"]
            assert [bits[i] for i in differ] == [8]
        else:
            assert differ == []


@needs_inputs
@pytest.mark.parametrize(
    ("model", "level", "best"),
    [
        ("resnet18", "0.5", 0.215689),
        ("resnet50", "0.75", 0.024143),
        ("resnet50", "0.25", 0.150360),
    ],
)
def test_three_budgets_at_once_are_proven(model: str, level: str, best: float) -> None:
    inputs = import_hawq(INPUTS, model=model)
    problem = apply_budgets(inputs, [f"{r}={level}" for r in PUBLISHED])
    result = mapc.solve(problem, time_limit=None, backends=())
    assert result.status is Status.OPTIMAL
    assert round(result.objective, 6) == best
    assert best >= max(BEST[model, r][LEVELS.index(level)] for r in PUBLISHED)
    exact = mapc.solve(problem, time_limit=None, backends=("cpsat",), methods=["switches"])
    assert exact.plan is None  # the sum is plain: nothing for that method to do


def test_bounds_come_first_and_names_are_distinct() -> None:
    stages = [method.stage for method in METHODS]
    names = [method.name for method in METHODS]
    assert stages[0] == "bound"
    assert len(set(names)) == len(names)
    assert {"uniform", "greedy", "hull-greedy", "core", "cutting"} <= set(names)


def test_budgets_that_exclude_each_other_are_infeasible_with_a_reason() -> None:
    rows = [[(0, 1.0, (0, 9)), (1, 1.0, (9, 0))]] * 3
    result = mapc.solve(problem_of(rows, [13, 13]), time_limit=None)
    assert result.status is Status.INFEASIBLE
    assert "budgets" in result.reason


@pytest.mark.parametrize("budgets", [1, 3])
def test_the_largest_loss_is_proven_without_a_solver(budgets: int) -> None:
    problem = replace(generate(200, 5, budgets, 0), objective="max")
    result = mapc.solve(problem, time_limit=None, backends=())
    assert result.status is Status.OPTIMAL
    assert mapc.check(problem, result.plan) == []
    largest = problem.loss[result.plan.option].max()
    assert abs(result.objective - largest) <= problem.quantum / 2


def test_a_solver_settles_thresholds_that_prices_cannot() -> None:
    # the relaxation can halve every group, a choice cannot
    rows = [[(0, 5.0, (0, 2)), (1, 5.0, (2, 0)), (2, 9.0, (0, 0))]] * 3
    problem = problem_of(rows, [3, 3], objective="max")
    result = mapc.solve(problem, time_limit=None)
    assert result.status is Status.OPTIMAL
    assert result.objective == 9.0
