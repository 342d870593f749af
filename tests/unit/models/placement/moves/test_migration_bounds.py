from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError
from mapc.models.placement.moves import migration_bounds
from mapc.models.placement.moves.layer_tables import LayerTables, load_kernels
from mapc.models.placement.moves.migration_bounds import budget_bound, lines, rounding, run
from mapc.models.placement.moves.rules import feasible_tables
from mapc.models.placement.problem import ADAPTIVE, EQUAL, NONE
from mapc.models.placement.rows import rows_of
from oracles.placement_cases import brute_force, random_problem, tables

few = settings(max_examples=40, deadline=None, derandomize=True)


class Recorder:
    seed, deterministic, plan, objective = 0, True, None, None

    def __init__(self) -> None:
        self.bounds: list[float] = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return float("inf")

    def prove(self, bound: float, source: str) -> None:
        self.bounds.append(bound)


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch) -> None:
    """A bound is valid whatever the prices: few steps leave more kinds of them."""
    monkeypatch.setattr(migration_bounds, "ITERATIONS", 20)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**20), st.integers(0, 4))
def test_bounds_are_below_the_optimum(seed, budget) -> None:
    problem = random_problem(seed, current=True, max_moves=budget, dispatch=EQUAL)
    best = brute_force(problem)
    search = Recorder()
    try:
        run(problem, search)
    except InfeasibleError:
        assert best is None
        return
    if best is not None:
        assert search.bounds
        assert max(search.bounds) <= best.objective


@few
@given(st.integers(0, 2**20), st.sampled_from([0.5, 1.0, 3.0]))
def test_curves_are_below_every_table(seed, average) -> None:
    problem = random_problem(
        seed, current=True, max_moves=-1, dispatch=EQUAL, traffic=NONE, layers=1,
        max_imbalance=0.0,
    )  # fmt: skip
    try:
        rules, start = feasible_tables(problem)
    except InfeasibleError:
        assume(False)
    rows = rows_of(problem)
    known = LayerTables(load_kernels(), rows, 0, rules[0])
    known.offer(start[0])
    curve = lines(known, start[0].size, average, rounding(rows))
    for table in tables(problem, 0):
        value = float(known.measure(table).peaks.sum())
        assert (curve[known.new_pairs(table) :] <= value * (1 + 1e-11)).all()


def test_no_move_and_one_move_are_exact() -> None:
    met = 0
    for seed in range(10):
        problem = random_problem(
            seed, current=True, max_moves=1, dispatch=EQUAL, traffic=NONE, dead=0, rules=False,
            max_imbalance=0.0, layers=1, profiles=1, experts=4, ranks=3, slots=2,
        )  # fmt: skip
        best = brute_force(problem).objective
        met += budget_bound(problem) * problem.tick >= best * (1 - 1e-9)
    assert met == 10


def test_prices_bound_more_than_what_holds_for_any_budget(monkeypatch) -> None:
    """Two ranks, one far too hot; each move mends a little, and the bound says how little."""
    monkeypatch.setattr(migration_bounds, "ITERATIONS", 150)
    base = random_problem(
        1, experts=8, ranks=2, slots=5, layers=1, profiles=1, traffic=NONE, dispatch=EQUAL, dead=0,
        rules=False, current=False, whole=True, activated=False, max_imbalance=0.0, sources="none",
    )  # fmt: skip
    current = np.array([[[0, 1, 2, 3, 4], [5, 6, 7, 3, 4]]])
    problem = base.replace(
        counts=np.array([[[9, 9, 9, 1, 1, 1, 1, 1]]]), current=current, max_moves=2
    )
    best = brute_force(problem).objective
    loose = brute_force(problem.replace(max_moves=None)).objective
    bound = budget_bound(problem) * problem.tick
    assert loose < bound <= best


def test_staying_is_proven_by_what_it_costs() -> None:
    problem = random_problem(2, current=True, max_moves=0, dispatch=EQUAL, rules=False, dead=0)
    search = Recorder()
    search.objective = 12.5
    run(problem, search)
    assert search.bounds == [12.5]


def test_adaptive_dispatch_and_problems_without_a_budget_are_left_alone() -> None:
    for fixed in ({"dispatch": ADAPTIVE, "traffic": NONE}, {"max_moves": -1}, {"current": False}):
        search = Recorder()
        run(random_problem(3, **{"current": True, "max_moves": 1, **fixed}), search)
        assert not search.bounds
