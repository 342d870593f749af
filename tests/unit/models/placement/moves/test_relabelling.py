from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.moves.relabelling import interchangeable, relabel
from mapc.models.placement.problem import CHAIN, PlacementProblem
from mapc.models.placement.rows import plan_of, tables_of
from mapc.models.placement.verify import verify
from oracles.placement_cases import random_plan, random_problem

many = settings(max_examples=100, deadline=None, derandomize=True)


def drawn(seed: int, **fixed) -> tuple[PlacementProblem, np.ndarray]:
    default = {"current": True, "max_moves": -1, "max_imbalance": 0.0, "rules": False}
    problem = random_problem(seed, **{**default, **fixed})
    return problem, tables_of(problem, random_plan(problem, seed + 1))


@many
@given(st.integers(0, 2**20))
def test_new_names_keep_the_objective_and_never_add_moves(seed) -> None:
    problem, tables = drawn(seed)
    renamed = relabel(problem, tables)
    before, after = (verify(problem, plan_of(problem, t)) for t in (tables, renamed))
    assert after.violations == before.violations == ()
    assert after.facts["moves"] <= before.facts["moves"]
    # sums over ranks come in another order
    assert abs(after.objective - before.objective) <= 1e-12 * before.objective


@many
@given(st.integers(0, 2**20))
def test_no_names_within_classes_move_less(seed) -> None:
    problem, tables = drawn(seed, ranks=3, layers=1)
    classes = interchangeable(problem)[0]
    fewest = min(
        verify(problem, plan_of(problem, tables[:, list(names)])).facts["moves"]
        for names in itertools.permutations(range(3))
        if (classes[list(names)] == classes).all()
    )
    assert verify(problem, plan_of(problem, relabel(problem, tables))).facts["moves"] == fewest


@many
@given(st.integers(0, 2**20))
def test_permuting_a_class_changes_no_objective(seed) -> None:
    problem, tables = drawn(seed, current=False, ranks=3)
    classes = interchangeable(problem)
    before = verify(problem, plan_of(problem, tables)).objective
    for names in itertools.permutations(range(3)):
        if all((row[list(names)] == row).all() for row in classes):
            after = verify(problem, plan_of(problem, tables[:, list(names)])).objective
            assert abs(after - before) <= 1e-12 * before


@many
@given(st.integers(0, 2**20))
def test_pins_and_forbidden_pairs_hold_under_new_names(seed) -> None:
    problem, _ = drawn(seed, rules=True)
    held = tables_of(problem, random_plan(problem, seed))
    broken = verify(problem, plan_of(problem, held)).violations
    renamed = verify(problem, plan_of(problem, relabel(problem, held))).violations
    assert renamed == broken


def test_chains_rename_all_layers_alike() -> None:
    renamed = 0
    for seed in range(30):
        problem, tables = drawn(seed, traffic=CHAIN, transfer=True, layers=2, ranks=3, nodes=1,
                                whole=True, dispatch="equal")  # fmt: skip
        new = relabel(problem, tables)
        names = [n for n in itertools.permutations(range(3))
                 if (np.sort(tables[:, list(n)]) == np.sort(new)).all()]  # fmt: skip
        assert names
        renamed += names[0] != (0, 1, 2)
    assert renamed


def test_without_a_placement_in_force_names_stay() -> None:
    problem, tables = drawn(1, current=False)
    assert relabel(problem, tables) is tables
