"""The whole road of sequence problems: solve, verify, write, read, check; beside enumeration."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.instances import read_plan
from mapc.models import family_of
from mapc.models.sequence.methods import METHODS
from mapc.models.sequence.packing import search as packing
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.solvers.portfolio import Portfolio
from mapc.solvers.result import Result
from oracles import judging
from oracles.sequence_cases import Best, brute_force, problem_of, small_sequence_problems

NAMES = [method.name for method in METHODS]
BOUNDS = [method.name for method in METHODS if method.stage == "bound"]
QUICK = [name for name in NAMES if name not in ("step", "flexsp")]
"""Methods that set up few programs at most."""
EXAMPLES = {"packing": 15, "aggregate": 15, "step": 12, "flexsp": 12}


@pytest.fixture(autouse=True)
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that stop after counted work have what tiny problems need."""
    monkeypatch.setattr(packing, "WORK", 400_000)


def judge(problem: SequenceProblem, result: Result, best: Best | None) -> None:
    """What holds for whatever methods ran."""
    judging.judge(problem, result, None if best is None else best.step_ms, verify)


# -- beside enumeration ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_method_alone_is_sound(name: str) -> None:
    @settings(max_examples=EXAMPLES.get(name, 25), deadline=None, derandomize=True, database=None)
    @given(problem=small_sequence_problems(), start=st.booleans(), seed=st.integers(0, 3))
    def check(problem: SequenceProblem, start: bool, seed: int) -> None:
        # bounds compare with a plan where there is one
        names = ["homogeneous", name] if start else [name]
        result = mapc.solve(problem, time_limit=None, methods=names, seed=seed)
        judge(problem, result, brute_force(problem))

    check()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=small_sequence_problems(), seed=st.integers(0, 3))
def test_the_default_methods_are_sound(problem: SequenceProblem, seed: int) -> None:
    result = mapc.solve(problem, time_limit=None, seed=seed)
    best = brute_force(problem)
    judge(problem, result, best)
    if result.plan is not None:
        assert result.bound is not None
    if problem.most is None and problem.least == 1:
        # without a limit on micro-batches, one sequence after another is a plan
        assert best is not None
        assert result.plan is not None


@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=small_sequence_problems(max_sequences=4, limits=False))
def test_the_default_methods_end_near_the_optimum(problem: SequenceProblem) -> None:
    result = mapc.solve(problem, time_limit=None)
    best = brute_force(problem)
    assert best is not None
    assert result.objective is not None
    assert result.objective <= 1.05 * best.step_ms


@pytest.mark.parametrize("name", NAMES)
def test_a_method_answers(name: str) -> None:
    """Without that the tests above would hold for a method that never says anything."""
    problem = problem_of([20, 9, 7, 5, 3, 2, 2], n_ranks=4)
    names = [name] if name not in ("step", "columns") else ["homogeneous", name]
    result = mapc.solve(problem, time_limit=None, methods=names)
    assert (result.bound if name in [*BOUNDS, "step"] else result.plan) is not None
    judge(problem, result, brute_force(problem))


class Impatient(Portfolio):
    """A run that is over after it has been asked a number of times."""

    asked = 0
    patience = 0

    def done(self) -> bool:
        self.asked += 1
        return self.asked > self.patience or super().done()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    problem=small_sequence_problems(),
    patience=st.integers(0, 40),
    method=st.sampled_from([None, *NAMES]),
)
def test_a_run_may_end_at_any_moment(
    problem: SequenceProblem, patience: int, method: str | None
) -> None:
    run = Impatient(family_of(problem), problem, time_limit=None)
    run.patience = patience
    judge(
        problem, run.run(None if method is None else ["homogeneous", method]), brute_force(problem)
    )


def test_an_interrupt_leaves_the_best_plan_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of([20, 9, 7, 5, 3, 2, 2])

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "found", interrupted)
    result = mapc.solve(problem, time_limit=None, methods=["area", "homogeneous", "packing"])
    assert result.interrupted
    assert result.plan is not None
    judge(problem, result, brute_force(problem))


# -- what must not matter --------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
def test_names_of_sequences_do_not_matter(name: str) -> None:
    @settings(max_examples=12, deadline=None, derandomize=True, database=None)
    @given(problem=small_sequence_problems(max_sequences=7), order=st.randoms())
    def check(problem: SequenceProblem, order: Any) -> None:
        places = list(range(problem.n_sequences))
        order.shuffle(places)
        other = replace(problem, lengths=problem.lengths[places].copy())
        one, two = (mapc.solve(each, time_limit=None, methods=[name]) for each in (problem, other))
        assert (one.status, one.objective, one.bound) == (two.status, two.objective, two.bound)
        if two.plan is not None:
            assert verify(other, two.plan).violations == ()

    check()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(problem=small_sequence_problems(max_sequences=6), power=st.integers(-8, 8))
def test_the_unit_of_time_does_not_matter(problem: SequenceProblem, power: int) -> None:
    factor, cost = 2.0**power, problem.cost
    scaled = {name: getattr(cost, name) * factor for name in ("quadratic", "linear", "fixed")}
    other = replace(problem, cost=replace(cost, **scaled))
    methods = ["area", "homogeneous", "megatron", "packing"]
    one, two = (mapc.solve(each, time_limit=None, methods=methods) for each in (problem, other))
    if one.objective is None:
        assert two.objective is None
        return
    assert two.objective == one.objective * factor
    assert two.bound == one.bound * factor
    assert two.plan == one.plan


def test_equal_seeds_give_equal_runs() -> None:
    rng = np.random.default_rng(5)
    problem = problem_of(rng.integers(1, 33, 40).tolist(), n_ranks=8, padding=2)
    runs = [mapc.solve(problem, time_limit=None, methods=QUICK, seed=s) for s in (0, 0, 1)]
    assert runs[0].plan == runs[1].plan
    assert [e.objective for e in runs[0].trajectory] == [e.objective for e in runs[1].trajectory]
    assert [e.bound for e in runs[0].trajectory] == [e.bound for e in runs[1].trajectory]
    for run in runs:
        judge(problem, run, None if run.plan is None else Best(0, run.objective or 0.0, run.plan))


# -- from file to file -----------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=small_sequence_problems(limits=False))
def test_from_file_to_file(problem: SequenceProblem) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, plan_file = Path(folder) / "instance.json", Path(folder) / "plan.json"
        mapc.write(problem, file)
        assert json.loads(file.read_bytes())["kind"] == "sequence"
        again = mapc.read(file)
        result = mapc.solve(again, time_limit=None, methods=["area", "homogeneous", "packing"])
        assert result.plan is not None
        mapc.write(result, plan_file, problem=again)
        _, plan, info = read_plan(plan_file)
        assert info.result["objective"] == result.objective
        assert plan == result.plan
        assert mapc.check(problem, plan) == []


# -- sizes that enumeration cannot do --------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["lognormal", "pareto"])
def test_a_batch_of_real_size(distribution: str) -> None:
    problem = mapc.generate(
        "sequence", sequences=256, ranks=32, max_length="128K", distribution=distribution, seed=2
    )
    methods = ["area", "homogeneous", "megatron", "static", "packing"]
    result = mapc.solve(problem, time_limit=None, methods=methods)
    assert result.objective is not None
    assert result.bound is not None
    assert verify(problem, result.plan).violations == ()
    for name in ("homogeneous", "megatron", "static"):
        alone = mapc.solve(problem, time_limit=None, methods=[name])
        if alone.objective is not None:
            assert result.objective <= alone.objective
            assert alone.objective >= result.bound


def test_bounds_hold_for_each_other_s_plans() -> None:
    problem = mapc.generate("sequence", sequences=48, ranks=8, max_length="16K", seed=4)
    found = [
        mapc.solve(problem, time_limit=None, methods=["homogeneous", name])
        for name in QUICK
        if name != "homogeneous"
    ]
    least = min(one.objective for one in found if one.objective is not None)
    assert max(one.bound for one in found if one.bound is not None) <= least
