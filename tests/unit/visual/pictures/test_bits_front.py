"""The front as drawn: nothing beats it, and what is on it is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import mapc
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from mapc.visual.figure import Figure, Line, Points, Rule
from mapc.visual.loading import front_of, of_plan
from mapc.visual.pictures import bits_front
from mapc.visual.pictures.bits import sections
from mapc.visual.pictures.bits_front import hull
from mapc.visual.view import Record
from oracles.bits_bruteforce import front, problem_of, small_bits_problems


def drawn(problem: BitsProblem, plan: BitsPlan, **more: Any) -> tuple[Figure, ...]:
    record = Record(bound=more.pop("bound", None))
    view = replace(of_plan(problem, plan, record, "plan"), **more)
    return next(section.figures for section in sections(view) if section.key == "front")


def named(figure: Figure) -> dict[str, Any]:
    return {mark.name: mark for mark in figure.marks}


def corners(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Vertices of the lower convex hull of points sorted by cost."""
    found: list[tuple[int, float]] = []
    for cost, loss in points:
        while len(found) > 1:
            (c0, l0), (c1, l1) = found[-2:]
            if (l0 - l1) * (cost - c1) > (l1 - loss) * (c1 - c0):
                break
            found.pop()
        found.append((cost, loss))
    return found


@given(small_bits_problems(resources=(1, 1), edges=False, pairwise=False, objectives=("sum",)))
@settings(max_examples=40)
def test_the_line_is_the_lower_hull_of_all_choices(problem: BitsProblem) -> None:
    free = problem.with_budget([None])
    costs, losses = hull(free, 0, 0)
    exact = [(cost, float(loss)) for cost, loss in front(free)]
    found = list(zip(costs.tolist(), losses.tolist(), strict=True))
    assert set(found) <= set(exact)  # nothing dominates a point of it
    assert set(corners(exact)) <= set(found)


def test_a_long_front_is_thinned_around_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = mapc.generate("bits", groups=300, seed=3)
    monkeypatch.setattr(bits_front, "_THINNED", 10_000)
    whole = hull(problem, 0, 0)
    monkeypatch.setattr(bits_front, "_THINNED", 20)
    for at in (0, len(whole[0]) // 3, len(whole[0]) - 1):
        cost = int(whole[0][at])
        costs, losses = hull(problem, 0, cost)
        assert len(costs) < 80 < len(whole[0])
        pairs = set(zip(whole[0].tolist(), whole[1].tolist(), strict=True))
        assert set(zip(costs.tolist(), losses.tolist(), strict=True)) <= pairs
        assert (np.diff(costs) > 0).all()
        assert (np.diff(losses) < 0).all()
        assert cost in costs
        assert {costs[0], costs[-1]} == {whole[0][0], whole[0][-1]}


def test_plan_bound_budget_and_single_formats() -> None:
    problem = mapc.generate("bits", groups=8, seed=2)
    result = mapc.solve(problem, time_limit=None)
    [figure] = drawn(problem, result.plan, bound=result.bound)
    marks = named(figure)
    cost = int(problem.cost[0][result.plan.option].sum())
    plan = marks["this plan"]
    assert (plan.x.tolist(), plan.y.tolist()) == ([cost / 8], [result.objective])
    assert marks["budget"] == Rule("budget", "limit", "x", problem.budget[0] / 8)
    assert marks["bound"].at == result.bound
    uniform = [m for m in figure.marks if isinstance(m, Points) and m.name.startswith("all ")]
    assert [m.name for m in uniform] == [f"all {name}" for name in problem.formats]
    for at, mark in enumerate(uniform):
        option = problem.start[:-1] + at
        assert mark.x.tolist() == [int(problem.cost[0][option].sum()) / 8]
        assert mark.y[0] == pytest.approx(float(problem.loss[option].sum()))
        fits = problem.cost[0][option].sum() <= problem.budget[0]
        assert mark.titles[0].endswith(", fits") == fits
    line = marks["front"]
    assert isinstance(line, Line)
    # at the plan's cost the hull is at most what the plan loses
    assert np.interp(cost / 8, line.x, line.y) <= result.objective * (1 + 1e-12)


def test_a_plan_on_the_hull_is_on_the_line() -> None:
    problem = mapc.generate("bits", groups=8, seed=2)
    costs, losses = hull(problem, 0, 0)
    middle = len(costs) // 2
    tight = problem.with_budget([int(costs[middle])])
    result = mapc.solve(tight, time_limit=None)
    [figure] = drawn(tight, result.plan)
    line, plan = named(figure)["front"], named(figure)["this plan"]
    at = line.x.tolist().index(plan.x[0])
    assert plan.y[0] == line.y[at] == losses[middle]


ROWS = [[(0, 4.0, (16, 1)), (1, 1.0, (32, 2))], [(0, 2.0, (16, 1)), (1, 0.5, (32, 3))]]


def test_dots_of_a_front_say_amounts_in_the_unit_of_the_problem() -> None:
    rows = [[(0, 4.0, (10**8,)), (1, 1.0, (3 * 10**8,))]]
    problem = problem_of(rows, [None], units=["us"])
    [figure] = drawn(problem, BitsPlan(np.array([0])))
    dots = named(figure)[""]
    assert dots.x.tolist() == [100.0, 300.0]
    assert figure.x.label == "r0 (10⁶ us)"
    assert dots.titles == ("front: loss 4, r0 100,000,000 us", "front: loss 1, r0 300,000,000 us")


def test_several_budgets_have_a_figure_each_without_a_line() -> None:
    problem = problem_of(ROWS, [60, 4], units=["bits", "us"])
    found = drawn(problem, BitsPlan(np.array([1, 2])))
    assert [figure.key for figure in found] == ["front", "front-2"]
    assert [figure.x.label for figure in found] == ["r0", "r1 (us)"]
    assert not any(isinstance(mark, Line) for figure in found for mark in figure.marks)
    assert named(found[1])["this plan"].x.tolist() == [3.0]
    assert named(found[1])["budget"].at == 4.0
    assert "No choice" not in found[0].summary


def test_without_budgets_the_first_resource_is_shown() -> None:
    problem = problem_of(ROWS, [None, None])
    [figure] = drawn(problem, BitsPlan(np.array([0, 2])))
    assert figure.x.label == "r0"
    assert "budget" not in named(figure)
    nothing = problem_of([[(0, 1.0, ())]], [])
    assert drawn(nothing, BitsPlan(np.array([0]))) == ()


def test_a_front_of_a_file_is_drawn_beside() -> None:
    problem = mapc.generate("bits", groups=5, seed=4)
    plan = mapc.solve(problem, time_limit=None).plan
    given_ = dict(front_of(mapc.front(problem, points=4)))
    [figure] = drawn(problem, plan, front=given_)
    mark = named(figure)["front, as given"]
    assert (mark.x * 8).tolist() == given_["cost"]
    assert mark.y.tolist() == given_["loss"]
    assert all(", gap 0 %" in title for title in mark.titles)
    for other in ({**given_, "resource": "bops"}, {**given_, "loss": [None] * 4}):
        [figure] = drawn(problem, plan, front=other)
        assert "front, as given" not in named(figure)


def test_losses_of_nothing_are_on_the_edge_of_a_logarithmic_axis() -> None:
    rows = [[(0, 1000.0, (1,)), (1, 1.0, (2,)), (2, 0.0, (4,))]]
    [figure] = drawn(problem_of(rows, [2]), BitsPlan(np.array([1])))
    assert figure.y.log
    assert named(figure)["front"].y.tolist() == [1000.0, 1.0, figure.y.low]
    assert named(figure)["all fp16"].y.tolist() == [figure.y.low]
    assert "loss 0" in named(figure)["all fp16"].titles[0]
    assert figure.note.startswith("Points on the lower edge")
