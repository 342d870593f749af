from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mapc import api
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    CHAIN,
    EQUAL,
    HOME,
)
from mapc.models.placement.verify import verify
from mapc.visual.loading import of_plan
from mapc.visual.pictures import placement, sections
from mapc.visual.pictures.placement_layouts import baselines, contiguous
from mapc.visual.view import Record, View
from oracles.placement_cases import random_plan, random_problem
from oracles.placement_pictures import cells, figures, view_of


def test_all_are_on_one_scale_and_as_the_methods_give_them() -> None:
    problem = random_problem(
        3, experts=6, ranks=2, slots=3, layers=3, traffic=CHAIN, dispatch=EQUAL, dead=0,
        rules=False, current=True, max_moves=-1, max_imbalance=0.0, nodes=2,
    )  # fmt: skip
    found = sections(view_of(problem, random_plan(problem, 1)))
    shown = list(found[1].figures)
    assert [one.key for one in shown] == [
        "before-contiguous",
        "before-eplb",
        "before-in-force",
        "after",
    ]
    (scale,) = {one.scale for one in shown}
    assert scale is not None
    assert scale.high == max(float(np.nanmax(cells(one))) for one in shown)
    rows = {row[0]: row for row in found[1].tables[0].rows}
    results = api.compare(problem, methods=("contiguous", "eplb-global"), time_limit=None)
    assert rows["contiguous"][1] == results["contiguous"].objective
    assert rows["EPLB"][1] == results["eplb-global"].objective
    held = verify(problem, PlacementPlan(np.asarray(problem.current)))
    assert rows["in force"][1] == held.objective


def test_the_better_of_the_two_eplbs_is_drawn() -> None:
    problem = api.generate("placement", layers=6, experts=32, ranks=8, slots=5, nodes=4, seed=2)
    problem = problem.replace(groups=8)
    found = sections(view_of(problem, contiguous(problem)))
    rows = {row[0]: row[1] for row in found[1].tables[0].rows}
    results = api.compare(problem, methods=("eplb", "eplb-global"), time_limit=None)
    assert rows["EPLB, groups on nodes"] == results["eplb"].objective
    assert rows["EPLB, global"] == results["eplb-global"].objective
    assert rows["EPLB, groups on nodes"] != rows["EPLB, global"]
    drawn = figures(found)["before-eplb"]
    better = min("EPLB, groups on nodes", "EPLB, global", key=rows.__getitem__)
    assert drawn.title == f"Before: {better}"


def test_methods_compared_are_rows_of_the_table() -> None:
    problem = random_problem(5, traffic=HOME, dispatch=EQUAL, rules=False, max_imbalance=0.0)
    view = view_of(problem, random_plan(problem, 0))
    mine = sections(view)[1].tables[0].rows
    methods = (
        {"method": "contiguous", "objective": 1.0},
        {"method": "eplb", "objective": 1.0},
        {"method": "floor", "objective": None},
        {"method": "<anneal>", "objective": 5.0, "balancedness": 0.5, "cross_rank": "x"},
    )
    record = Record(bound=4.0)
    with_rows = View(
        view.label, view.kind, problem, view.plan, record, view.objective, view.facts,
        view.violations, view.phrase, comparison=methods,
    )  # fmt: skip
    rows = sections(with_rows)[1].tables[0].rows
    assert len(rows) == len(mine) + 1
    assert rows[-1][:7] == ("<anneal>", 5.0, 0.2, 0.5, None, None, None)


def test_no_bound_holds_for_what_breaks_rules() -> None:
    problem = random_problem(
        8, experts=4, ranks=2, slots=2, layers=2, dead=0, rules=False, max_imbalance=0.0,
        current=True, max_moves=0, traffic=HOME, dispatch=EQUAL,
    )  # fmt: skip
    plan = PlacementPlan(np.asarray(problem.current))
    view = of_plan(problem, plan, Record(bound=0.0), "plan.json")
    table = sections(view)[1].tables[0]
    assert table.columns[-1] == "rules broken"
    assert table.note
    gaps = {row[0]: (row[2], row[-1]) for row in table.rows}
    assert gaps["this plan"] == gaps["in force"] == (1.0, 0)
    assert (None, 1) in gaps.values()


def test_large_placements_go_without_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(1, rules=False)
    view = view_of(problem, random_plan(problem, 0))
    monkeypatch.setattr(placement, "MAX_EFFORT", 0.0)
    found = sections(view)
    assert found[1].text == placement.TOO_LARGE
    assert not found[1].figures
    assert len(found[1].tables[0].rows) == 1
    assert len(figures(found)["imbalance"].marks) == 1


def test_baselines_are_those_of_the_methods_where_nodes_take_turns() -> None:
    problem = api.generate("placement", layers=3, experts=16, ranks=4, slots=5, nodes=2, seed=2)
    turns = replace(problem.cluster, node=np.array([0, 1, 0, 1]))
    problem = problem.replace(cluster=turns, groups=4)
    found = {layout.key: layout.plan for layout in baselines(problem)}
    assert list(found) == ["contiguous", "eplb", "eplb-global"]
    results = api.compare(problem, methods=tuple(found), time_limit=None)
    for name, plan in found.items():
        assert plan == results[name].plan
