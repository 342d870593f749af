"""Placement for splits that adapt: beside enumeration, and on real counts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    EQUAL,
    HOME,
    NONE,
    WORST,
    PlacementProblem,
    StepTime,
)
from mapc.models.placement.profiles.splitting import run
from mapc.models.placement.verify import verify
from oracles.placement_cases import brute_force, problems, random_problem

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
needs_counts = pytest.mark.skipif(not COUNTS.exists(), reason="no expert counts; set MAPC_DATA")
some = settings(max_examples=30, deadline=None, derandomize=True)
METHODS = ["floor", "stay", "descent", "split"]


@some
@given(
    problems(
        traffic=NONE, dispatch=ADAPTIVE, max_imbalance=0.0, max_moves=-1, current=False,
        activated=False, token=True, goal="expected",
    )
)  # fmt: skip
def test_small_problems_are_solved(problem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    result = mapc.solve(problem, time_limit=None, methods=METHODS)
    assert not mapc.check(problem, result.plan)
    assert result.objective >= best.objective
    # an even split in fractions of tokens may beat all splits in whole ones, by less than one each
    token = problem.token_ticks[:, problem.live].max() * problem.tick
    assert result.objective <= best.objective + token * problem.n_layers * problem.n_profiles


@some
@given(st.integers(0, 2**20))
def test_every_kind_of_adaptive_problem_gets_a_plan(seed) -> None:
    problem = random_problem(seed, dispatch=ADAPTIVE, traffic=HOME if seed % 2 else NONE)
    result = mapc.solve(problem, time_limit=None, methods=["stay", "descent", "split"])
    assert not any("failed" in note or "refused" in note for note in result.notes), result.notes
    if result.plan is not None:
        assert not mapc.check(problem, result.plan)


def test_other_dispatch_is_left_alone() -> None:
    class Silent:
        plan, seed, deterministic = None, 0, True

        def done(self) -> bool:
            return False

    run(random_problem(1, dispatch=EQUAL, traffic=NONE), Silent())


def test_a_budget_of_moves_keeps_the_tables() -> None:
    problem = random_problem(
        5, dispatch=ADAPTIVE, traffic=NONE, current=True, max_moves=0, rules=False,
        max_imbalance=0.0, experts=4, ranks=3, slots=2, dead=0,
    )  # fmt: skip
    result = mapc.solve(problem, time_limit=None, methods=["stay", "split"])
    assert result.facts["moves"] == 0
    assert result.plan.split is not None
    stayed = mapc.solve(problem, time_limit=None, methods=["stay"])
    assert (np.sort(result.plan.slots) == np.sort(stayed.plan.slots)).all()
    equal = verify(problem, PlacementPlan(result.plan.slots))
    assert result.objective < equal.objective


@needs_counts
@pytest.mark.parametrize(("ranks", "slots", "least"), [(32, 9, 0.998), (64, 5, 0.995)])
def test_splits_adapt_to_six_profiles(ranks: int, slots: int, least: float) -> None:
    with np.load(COUNTS) as file:
        names = tuple(file)
        counts = np.stack([file[name][5::24] for name in names])
    total = counts.sum(axis=(1, 2))
    problem = PlacementProblem(
        "deepseek-v3", counts, names, np.ones(6), total.max() / total,
        DeviceGraph.cluster([8] * (ranks // 8), 1 << 40, 1e11, 1e10), slots,
        cost=StepTime(profiles=WORST), dispatch=ADAPTIVE,
    )  # fmt: skip
    result = mapc.solve(problem, time_limit=None, methods=["floor", "split"])
    assert result.facts["worst_balancedness"] >= least
    assert result.bound <= result.objective <= result.bound / least * 1.001
