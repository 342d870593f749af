"""Annealing over profiles: the method, one layer of it, and rounds over layers."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import ADAPTIVE, EQUAL, NONE, WORST, PlacementProblem, StepTime
from mapc.models.placement.profiles.annealing import HEAT, anneal_layer, cooled
from mapc.models.placement.profiles.robust import balancedness
from mapc.models.placement.profiles.rounds import choose, reweighted
from mapc.models.placement.rows import plan_of, rows_of, tables_of
from mapc.models.placement.verify import verify
from oracles.placement_cases import brute_force, problems, random_plan, random_problem

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
needs_counts = pytest.mark.skipif(not COUNTS.exists(), reason="no expert counts; set MAPC_DATA")
some = settings(max_examples=30, deadline=None, derandomize=True)


def real(ranks: int, slots: int, layers: slice, **changes: object) -> PlacementProblem:
    with np.load(COUNTS) as file:
        names = tuple(file)
        counts = np.stack([file[name][layers] for name in names])
    total = counts.sum(axis=(1, 2))
    return PlacementProblem(
        "deepseek-v3",
        counts,
        names,
        np.ones(len(names)),
        total.max() / total,
        DeviceGraph.cluster([8] * (ranks // 8), 1 << 40, 1e11, 1e10),
        slots,
        **changes,
    )


# -- one layer -------------------------------------------------------------------------------------


@some
@given(problems(traffic=NONE, dispatch=EQUAL, rules=False, max_imbalance=0.0, current=False))
def test_a_layer_is_never_worse_by_the_verifier(problem) -> None:
    plan = random_plan(problem, 3)
    tables, rows = tables_of(problem, plan), rows_of(problem)
    better = [anneal_layer(rows, at, table, steps=300) for at, table in enumerate(tables)]
    lam = np.ones(problem.n_profiles)
    one = problem.replace(cost=StepTime(problem.cost.token, problem.cost.expert))
    before = verify(one, plan_of(one, tables))
    after = verify(one, plan_of(one, np.stack(better)))
    assert after.violations == ()
    # a tick of rounding for every layer and profile
    assert after.objective <= before.objective + problem.n_layers * len(lam) * one.tick


def test_weights_of_profiles_decide() -> None:
    problem = random_problem(
        11, experts=5, ranks=3, slots=2, layers=1, profiles=2, traffic=NONE, dispatch=EQUAL,
        dead=0, rules=False, max_imbalance=0.0, token=True, activated=False, speeds=False,
    )  # fmt: skip
    rows, table = rows_of(problem), tables_of(problem, random_plan(problem, 1))[0]

    def peak(lam: list[float]) -> np.ndarray:
        best = anneal_layer(rows, 0, table, lam=np.array(lam), steps=3000)
        copies = np.bincount(best.ravel())
        return rows.items(0)[:, best, copies[best] - 1].sum(axis=2).max(axis=1)

    first, second = peak([1.0, 0.0]), peak([0.0, 1.0])
    assert first[0] < second[0]
    assert second[1] < first[1]


def test_a_clock_that_strikes_leaves_a_table() -> None:
    problem = random_problem(2, traffic=NONE, dispatch=EQUAL, rules=False)
    table = tables_of(problem, random_plan(problem, 1))[0]
    best = anneal_layer(rows_of(problem), 0, table, steps=10**12, done=lambda: True)
    assert sorted(set(best.ravel())) == list(range(problem.n_experts))


@some
@given(st.integers(1, 10**6), st.integers(1, 50_000))
def test_schedules_are_cut_without_a_seam(steps, most) -> None:
    parts = list(cooled(HEAT, steps, most))
    assert steps <= sum(n for n, _ in parts) < steps + len(parts)
    assert max(n for n, _ in parts) <= most
    assert parts[0][1][0, 1] == pytest.approx(HEAT[0, 1])
    assert parts[-1][1][0, 2] == pytest.approx(HEAT[-1, 2])
    for (_, before), (_, after) in itertools.pairwise(parts):
        assert before[0, 2] == after[0, 1]


# -- rounds ----------------------------------------------------------------------------------------


class Known:
    """A layer whose tables are numbers."""

    def __init__(self, costs: np.ndarray) -> None:
        self.costs = list(costs)


@some
@given(st.integers(0, 2**20), st.integers(1, 3), st.integers(1, 3))
def test_tables_are_chosen_for_the_slowest_profile(seed, n_layers, n_profiles) -> None:
    rng = np.random.default_rng(seed)
    layers = [Known(rng.uniform(1, 2, (rng.integers(1, 5), n_profiles))) for _ in range(n_layers)]

    def slowest(chosen) -> float:
        return sum(layer.costs[i] for layer, i in zip(layers, chosen, strict=True)).max()

    chosen, mean = choose(layers, True), choose(layers, False)
    assert slowest(chosen) <= slowest(mean) * (1 + 1e-12)
    options = list(itertools.product(*(range(len(layer.costs)) for layer in layers)))
    near = [o for o in options if sum(a != b for a, b in zip(o, chosen, strict=True)) <= 1]
    assert slowest(chosen) <= min(slowest(o) for o in near) * (1 + 1e-9)
    total = {o: sum(x.costs[i].sum() for x, i in zip(layers, o, strict=True)) for o in options}
    assert total[tuple(mean)] == min(total.values())


def test_weights_rise_where_profiles_are_slow() -> None:
    lam = reweighted(np.ones(3), np.array([10.0, 12.0, 11.0]), 9.0)
    assert lam[1] > lam[2] > lam[0]
    assert lam.mean() == pytest.approx(1)
    assert (reweighted(lam, np.full(3, 9.0), 9.0) == lam).all()


# -- the method ------------------------------------------------------------------------------------


@some
@given(
    problems(traffic=NONE, dispatch=EQUAL, max_imbalance=0.0, current=False, max_moves=-1),
)
def test_small_problems_get_plans(problem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    result = mapc.solve(problem, time_limit=None, methods=["stay", "anneal"])
    assert not mapc.check(problem, result.plan)
    assert result.objective >= best.objective


def test_small_problems_are_mostly_solved() -> None:
    """Not all: where speeds differ, the way to fewer copies of a hot expert can be too steep."""
    solved, seen = 0, 0
    for seed in range(60):
        problem = random_problem(
            seed, traffic=NONE, dispatch=EQUAL, max_imbalance=0.0, current=False, max_moves=-1
        )
        best = brute_force(problem)
        if best is None or problem.cost.profiles == WORST:
            continue
        result = mapc.solve(problem, time_limit=None, methods=["stay", "anneal"])
        rounding = problem.n_layers * problem.n_profiles * problem.tick
        seen, solved = seen + 1, solved + (result.objective <= best.objective + rounding)
    assert seen >= 20
    assert solved >= 0.9 * seen  # 33 of 35


def test_the_load_limit_holds() -> None:
    found = 0
    for seed in range(40):
        problem = random_problem(
            seed, traffic=NONE, dispatch=EQUAL, max_imbalance=1.3, rules=False, max_moves=-1
        )
        start = brute_force(problem)
        if start is None:
            continue
        result = mapc.solve(problem, time_limit=None, methods=["stay", "anneal"])
        if result.plan is not None:
            assert not mapc.check(problem, result.plan)
            assert not any("refused" in note for note in result.notes)
            found += 1
    assert found > 5


def test_other_kinds_of_problems_are_left_alone() -> None:
    class Silent:
        plan, seed, deterministic = None, 0, True

        def done(self) -> bool:
            return False

        def propose(self, plan: object, source: str) -> bool:
            raise AssertionError("nothing to propose")

    from mapc.models.placement.profiles.annealing import run

    run(random_problem(1, dispatch=ADAPTIVE, traffic=NONE), Silent())
    run(random_problem(1, dispatch=EQUAL, traffic="home", transfer=True), Silent())
    run(random_problem(1, dispatch=EQUAL, traffic=NONE, current=True, max_moves=2), Silent())
    run(random_problem(1, dispatch=EQUAL, traffic=NONE, rules=True), Silent())  # no plan yet


@needs_counts
@pytest.mark.parametrize(("ranks", "slots", "least"), [(32, 9, 0.980), (64, 5, 0.960)])
def test_one_placement_serves_six_profiles(ranks: int, slots: int, least: float) -> None:
    layers = slice(5, 58, 20)
    problem = real(ranks, slots, layers, cost=StepTime(profiles=WORST))
    first = mapc.solve(problem, time_limit=None, methods=["anneal"])
    assert first.facts["worst_balancedness"] >= least
    again = mapc.solve(problem, time_limit=None, methods=["anneal"])
    assert first.plan == again.plan
    equal, _ = balancedness(problem, tables_of(problem, first.plan))
    assert equal.min() == pytest.approx(first.facts["worst_balancedness"], rel=1e-12)
