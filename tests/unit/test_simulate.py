"""Several ways to plan the same steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.oracles.sequence_cases import problem_of

from mapc import simulate as simulation
from mapc.errors import CheckError, UsageError
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy, static
from mapc.models.sequence.verify import verify
from mapc.simulate import WAYS, Limits, Outcome, Simulation, Way, choose, simulate

COUNTED = Limits(None, None, None, work=20_000)


def solved(monkeypatch, interrupted: bool = False, **figures):
    """Have searches end at once with these figures; return a list of what they are given."""
    seen = []

    def solve(problem, **options):
        seen.append(options)
        return SimpleNamespace(interrupted=interrupted, **figures)

    monkeypatch.setattr(simulation.api, "solve", solve)
    return seen


def problems(n: int = 3):
    rng = np.random.default_rng(0)
    return [problem_of(rng.integers(1, 17, 12)) for _ in range(n)]


def test_ways_are_chosen_by_name_in_the_order_of_tables() -> None:
    assert [way.name for way in choose(None)] == ["static", "homogeneous", "megatron", "packing"]
    assert [way.name for way in choose([])] == ["static", "homogeneous", "megatron", "packing"]
    assert [way.name for way in choose(["packing", "static"])] == ["static", "packing"]
    assert choose(["static", "all"]) == list(WAYS.values())
    with pytest.raises(UsageError, match=r"way 'x': unknown; expected static, .*flexsp or all"):
        choose(["x"])


def test_outcomes_are_those_of_the_methods() -> None:
    found = simulate(problems(), choose(["static", "homogeneous", "megatron", "packing"]), COUNTED)
    assert not found.interrupted
    assert found.steps == ["case"] * 3
    for number, problem in enumerate(problems()):
        tick = problem.tick
        for name, make in (
            ("static", static),
            ("homogeneous", best_homogeneous),
            ("megatron", megatron_greedy),
        ):
            outcome = found.outcomes[name][number]
            assert outcome.step_ms == verify(problem, make(problem)).objective
            assert outcome.bound_ms is None
        packed = found.outcomes["packing"][number].step_ms
        assert found.best_ms()[number] == packed
        assert found.bound_ms[number] == step_bound(problem) * tick <= packed


def test_the_best_bound_counts(monkeypatch) -> None:
    """A search with a bound of its own raises the one of areas, a worse one does not."""
    solved(monkeypatch, objective=200.0, bound=150.0)
    found = simulate(problems(1), choose(["static", "solve"]), COUNTED)
    assert found.bound_ms == [150.0]
    assert found.outcomes["solve"][0].step_ms == 200.0
    solved(monkeypatch, objective=200.0, bound=1.0)
    area = [step_bound(one) * one.tick for one in problems(1)]
    assert simulate(problems(1), choose(["solve"]), COUNTED).bound_ms == area
    assert 1.0 < area[0] < 150.0


def test_figures_of_a_way() -> None:
    found = Simulation(
        ["a", "b", "c"],
        [8.0, 10.0, 1.0],
        {
            "x": [Outcome(10.0, None, 1.0), Outcome(20.0, None, 3.0), Outcome(None, None, 2.0)],
            "y": [Outcome(20.0, 8.0, 0.0), Outcome(None, None, 0.0), Outcome(None, None, 0.0)],
        },
    )
    assert found.best_ms() == [10.0, 20.0, None]
    assert found.figures("x") == {
        "plans": 2,
        "mean_ms": 15.0,
        "times_best": 1.0,
        "worst_times_best": 1.0,
        "mean_gap": pytest.approx(0.35),
        "seconds": 2.0,
    }
    assert found.figures("y")["times_best"] == found.figures("y")["worst_times_best"] == 2.0
    empty = Simulation(["a"], [1.0], {"x": [Outcome(None, None, 0.5)]})
    assert empty.figures("x") == {
        "plans": 0,
        "mean_ms": None,
        "times_best": None,
        "worst_times_best": None,
        "mean_gap": None,
        "seconds": 0.5,
    }


def test_outcomes_are_told_as_they_come() -> None:
    told = []
    simulate(problems(2), choose(["megatron", "static"]), COUNTED, lambda *one: told.append(one))
    assert [(number, name) for number, name, _ in told] == [
        (0, "static"), (0, "megatron"), (1, "static"), (1, "megatron"),
    ]  # fmt: skip


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_interrupt_leaves_the_steps_that_were_finished(at: int) -> None:
    calls = []

    def run(problem, limits):
        calls.append(problem)
        if len(calls) == at + 1:
            raise KeyboardInterrupt
        return 5.0, None

    ways = [Way("one", "", run), Way("two", "", run)]
    found = simulate(problems(), ways, COUNTED)
    assert found.interrupted
    assert len(found.steps) == len(found.bound_ms) == at // 2
    assert [len(row) for row in found.outcomes.values()] == [at // 2] * 2


def test_an_interrupt_inside_the_portfolio_counts(monkeypatch) -> None:
    solved(monkeypatch, objective=1.0, bound=1.0, interrupted=True)
    found = simulate(problems(), choose(["solve"]), COUNTED)
    assert (found.interrupted, found.steps) == (True, [])


def test_limits_reach_the_ways(monkeypatch) -> None:
    seen = solved(monkeypatch, objective=1e9, bound=1.0)
    simulate(problems(1), choose(["solve", "flexsp"]), Limits(0.1, 3.0, 7.0, seed=4))
    assert seen == [
        {"time_limit": 3.0, "methods": None, "seed": 4},
        {"time_limit": 7.0, "methods": ["flexsp"], "seed": 4},
    ]
    made = simulation._planner(problems(1)[0], Limits(0.1, seed=4))
    assert (made.deadline, made.work, made.seed, made.warm_start) == (0.1, None, 4, False)
    assert simulation._planner(problems(1)[0], COUNTED).work == 20_000


def test_a_way_without_a_plan_has_none() -> None:
    """Memory for two micro-batches, but no two sequences fit one."""
    tight = problem_of([9, 9, 9], [(1, "ring", 0.0, 1.0, 1.0, 16)], n_ranks=1, most=2)
    found = simulate([tight], choose(["static", "homogeneous", "megatron", "packing"]), COUNTED)
    assert [row[0].step_ms for row in found.outcomes.values()] == [None] * 4
    assert found.best_ms() == [None]


def test_broken_baselines_are_not_counted(monkeypatch) -> None:
    def broken(problem):
        plan = megatron_greedy(problem)
        object.__setattr__(plan, "first_rank", plan.first_rank - 100)
        return plan

    monkeypatch.setattr(simulation.baselines, "static", broken)
    with pytest.raises(CheckError, match="a baseline breaks a rule: group 0: ranks from -"):
        simulate(problems(1), choose(["static"]), COUNTED)
