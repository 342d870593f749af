from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mapc.models.placement.problem import EQUAL, NONE, PlacementProblem
from mapc.models.placement.rows import plan_of, rows_of, tables_of
from mapc.models.placement.verify import replay
from oracles.placement_cases import problems, random_plan, random_problem

CHECKED = settings(max_examples=50, deadline=None, derandomize=True)


@CHECKED
@given(problems())
def test_tables_and_plans_say_the_same(problem: PlacementProblem) -> None:
    plan = random_plan(problem, 3)
    tables = tables_of(problem, plan)
    assert tables.shape == (problem.n_layers, len(problem.live), problem.slots)
    split = None if plan.split is None else plan.split[:, :, :, problem.live]
    assert plan_of(problem, tables, split) == plan
    assert (plan_of(problem, tables).slots[:, problem.dead] == -1).all()


@CHECKED
@given(problems(traffic=NONE, dispatch=EQUAL))
def test_items_add_up_to_the_work_of_ranks(problem: PlacementProblem) -> None:
    """A rank's work is the larger of its rows; each is the sum of its items, as often slowed."""
    plan, rows = random_plan(problem, 4), rows_of(problem)
    tables, copies = tables_of(problem, plan), plan.replicas(problem.n_experts)
    for layer, table in enumerate(tables):
        items = rows.items(layer)
        own = items[:, table, copies[layer][table] - 1].sum(axis=2) * rows.slowness
        found = np.zeros((problem.n_profiles, len(table)))
        for row, profile in enumerate(rows.profile):
            found[profile] = np.maximum(found[profile], own[row])
        expected = replay(problem, plan).work[:, layer]
        # a rank's ticks per token and activation are whole, those of a row are not
        most = (problem.counts.sum() + problem.n_experts) / 2
        assert np.allclose(found, expected, rtol=1e-12, atol=most)


def test_rows_come_by_kind_then_profile() -> None:
    problem = random_problem(1, profiles=2, activated=True, token=True)
    rows = rows_of(problem)
    assert rows.profile.tolist() == [0, 1, 0, 1]
    assert rows.activated.tolist() == [False, False, True, True]
    assert rows.n_rows == 4
    only = rows_of(random_problem(1, profiles=2, activated=True, token=False))
    assert only.activated.tolist() == [True, True]
    free = rows_of(random_problem(1, profiles=2, activated=False, token=False))
    assert free.activated.tolist() == [False, False]
    assert not free.work.any()


def test_single_copies_weigh_what_the_whole_expert_does() -> None:
    problem = random_problem(2, activated=True, profiles=2)
    rows = rows_of(problem)
    for layer in range(problem.n_layers):
        assert np.allclose(rows.items(layer)[:, :, 0], rows.work[:, layer])


def test_most_replicas_leave_a_slot_to_every_expert() -> None:
    assert rows_of(random_problem(1, experts=4, ranks=3, slots=2, dead=0)).most == 3
    assert rows_of(random_problem(1, experts=4, ranks=2, slots=2, dead=0)).most == 1
