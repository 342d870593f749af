"""Pictures of bits say what problem, plan and verifier say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.models.bits import FAMILY
from mapc.models.bits.heuristics import uniform_table
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from mapc.quality.suite import Suite
from mapc.visual.figure import MAX_MARKS, ROLES, UNITS, Figure, Line, Points, Rects, Rule, Steps
from mapc.visual.loading import comparison_of, of_plan
from mapc.visual.pictures.bits import sections
from mapc.visual.view import Record, View
from oracles.bits_bruteforce import problem_of, small_bits_problems

LIBRARY = Path(__file__).parents[4] / "instances" / "bits"


def view_of(problem: BitsProblem, option: list[int], record: Record | None = None) -> View:
    plan = BitsPlan(np.array(option, dtype=np.int64))
    return of_plan(problem, plan, record or Record(), "plan")


def figures(view: View) -> dict[str, Figure]:
    found = [figure for section in sections(view) for figure in section.figures]
    assert len({figure.key for figure in found}) == len(found)
    return {figure.key: figure for figure in found}


def sound(view: View) -> None:
    """Hold every figure to what the contract says of figures."""
    for figure in figures(view).values():
        assert figure.x.low < figure.x.high
        assert figure.y.low < figure.y.high
        assert figure.summary.endswith(".")
        assert sum(len(getattr(mark, "titles", ())) for mark in figure.marks) <= MAX_MARKS
        for mark in figure.marks:
            assert mark.role in ROLES
            if isinstance(mark, Rule):
                continue
            assert not isinstance(mark, Steps)
            if isinstance(mark, Rects):
                assert len(mark.titles) == len(mark.x0) > 0
                assert (mark.x0 <= mark.x1).all()
                assert (mark.y0 <= mark.y1).all()
                x, y = (mark.x0, mark.x1), (mark.y0, mark.y1)
            else:
                assert isinstance(mark, Line) or len(mark.titles) == len(mark.x)
                x, y = (mark.x, mark.x), (mark.y, mark.y)
            assert min(x[0].min(), figure.x.low) == figure.x.low
            assert max(x[1].max(), figure.x.high) == figure.x.high
            assert min(y[0].min(), figure.y.low) == figure.y.low
            assert max(y[1].max(), figure.y.high) == figure.y.high
    for section in sections(view):
        for table in (*section.tables, *(f.table for f in section.figures if f.table)):
            assert {len(row) for row in table.rows} <= {len(table.columns)}
            assert len(table.units) in (0, len(table.columns))
            assert set(table.units) <= set(UNITS)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Problems of every kind with any choice at all, also those above budgets."""
    problem = draw(small_bits_problems())
    bounds = zip(problem.start[:-1].tolist(), problem.start[1:].tolist(), strict=True)
    return view_of(problem, [draw(st.integers(a, b - 1)) for a, b in bounds])


def shares_hold(view: View) -> None:
    """Shares sum to one, and groups to the verifier's counts."""
    figure = figures(view)["shares"]
    parts = sum(float(mark.y1.sum()) for mark in figure.marks if isinstance(mark, Rects))
    assert parts == pytest.approx(1.0, rel=1e-12)
    assert figure.table is not None
    counted = {str(row[0]): row[1] for row in figure.table.rows if row[1]}
    assert counted == view.facts["formats"]


def resources_hold(view: View) -> None:
    """What is used of every resource is what the verifier counts."""
    budget = {section.key: section for section in sections(view)}.get("budget")
    if not view.problem.resources:
        assert budget is None
        return
    assert budget is not None
    used = [
        f"{cost / 8:,.3f}".rstrip("0").rstrip(".") + " B" for cost in view.facts["cost"].values()
    ]
    assert [row[1] for row in budget.tables[0].rows] == used


@given(views())
@settings(max_examples=60)
def test_every_problem_has_sound_pictures_that_say_what_the_verifier_says(view: View) -> None:
    sound(view)
    shares_hold(view)
    resources_hold(view)


def test_use_of_budgets_and_what_is_above() -> None:
    rows = [[(0, 1.0, (80, 3)), (1, 0.0, (160, 7))]]
    view = view_of(problem_of(rows, [100, 10], units=["bits", "us"]), [1])
    figure = figures(view)["budget"]
    within, above = (mark for mark in figure.marks if isinstance(mark, Rects))
    assert (above.role, above.x1.tolist()) == ("spill", [1.6])
    assert above.titles == ("r0: 20 B of 12.5 B (160.00 %)",)
    assert (within.x1.tolist(), within.titles) == ([0.7], ("r1: 7 us of 10 us (70.00 %)",))
    assert figure.x.high > 1.6


def test_no_share_of_a_budget_of_nothing() -> None:
    view = view_of(problem_of([[(0, 1.0, (0,))]], [0]), [0])
    assert "budget" not in figures(view)
    table = {section.key: section for section in sections(view)}["budget"].tables[0]
    assert table.rows == (("r0", "0 B", "0 B", None, "bits", 0.0),)


def test_bits_per_weight_only_where_all_that_takes_room_has_weights() -> None:
    rows = [[(0, 1.0, (9,))], [(0, 1.0, (7,))]]
    for weights, expected in (([2, 2], 4.0), ([4, 0], None)):
        view = view_of(problem_of(rows, [99], weights=weights), [0, 1])
        table = {section.key: section for section in sections(view)}["budget"].tables[0]
        assert table.rows[0][-1] == expected


def test_a_plan_that_cannot_be_read_has_no_pictures() -> None:
    problem = problem_of([[(0, 1.0, (1,))], [(0, 1.0, (1,))]], [9])
    assert sections(view_of(problem, [0])) == ()
    assert sections(view_of(problem, [1, 0])) == ()
    assert len(sections(view_of(problem, [0, 1]))) == 4


def test_what_pairs_and_switches_add_is_said() -> None:
    rows = [[(0, 1.0, (1,)), (1, 2.0, (1,))], [(0, 1.0, (1,)), (1, 2.0, (1,))]]
    view = view_of(problem_of(rows, [9], edges=[(0, 1, 0.5)]), [0, 3])
    assert sections(view)[0].text == (
        "Groups lose 3 on their own; what neighbours and pairs of groups add to that is 0.5."
    )
    worst = view_of(problem_of(rows, [9], objective="max"), [0, 3])
    assert sections(worst)[0].text == "The objective is the largest loss of one group."


def test_methods_stand_beside_each_other() -> None:
    problem = mapc.generate("bits", groups=6, seed=1)
    results = {
        name: mapc.solve(problem, time_limit=None, methods=[name]) for name in ("uniform", "core")
    }
    plan = results["core"].plan
    view = replace(
        of_plan(problem, plan, Record(), "plan"),
        comparison=(*comparison_of(results), {"method": "x", "cost": None, "bound": "none"}),
    )
    table = sections(view)[-1].tables[0]
    assert [row[0] for row in table.rows] == ["uniform", "core", "x"]
    assert [row[3] for row in table.rows[:2]] == [one.objective for one in results.values()]
    assert table.rows[1][table.columns.index("gap")] == 0
    assert table.rows[2] == ("x", None, None, None, None, None, None, None)


def test_all_plans_of_the_library_are_drawn() -> None:
    seen = set()
    for case in Suite.read(LIBRARY, tiers=[1, 2]):
        problem = case.problem()
        plan = case.best_plan(problem)
        if plan is None:
            continue
        view = of_plan(problem, plan, Record(), case.name)
        assert view.violations == ()
        sound(view)
        seen.add(len(problem.limited))
    assert seen >= {1, 2, 3}


def test_many_groups() -> None:
    """Of 44,000 groups every picture stays small, and nothing of them is lost."""
    problem = mapc.generate("bits", groups=44_000, seed=0)
    view = of_plan(problem, uniform_table(problem)[1].plan, Record(), "plan")
    sound(view)
    found = figures(view)
    widths = np.zeros(44_000)
    for mark in found["formats"].marks:
        assert isinstance(mark, Rects)
        height = np.repeat(mark.y1 - mark.y0, (mark.x1 - mark.x0).astype(int))
        at = np.concatenate([np.arange(a, b) for a, b in zip(mark.x0, mark.x1, strict=True)])
        widths[at.astype(int)] += height
    assert np.allclose(widths, 1.0, rtol=0, atol=1e-12)
    [bars] = found["losses"].marks
    assert isinstance(bars, Rects)
    assert float(bars.y1.sum()) == pytest.approx(float(view.facts["loss"]), rel=1e-12)
    line = next(mark for mark in found["front"].marks if isinstance(mark, Line))
    assert 100 < len(line.x) < 1_000
    dots = [mark for mark in found["front"].marks if isinstance(mark, Points)]
    assert [len(mark.x) for mark in dots] == [1] * 6
    assert FAMILY.kind == view.kind
