from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    EQUAL,
    HOME,
    PlacementProblem,
)
from mapc.quality.suite import Suite
from mapc.visual.figure import MAX_MARKS, ROLES, UNITS, Rects, Section, Steps
from mapc.visual.pictures import sections
from oracles.placement_cases import problems, random_plan, random_problem
from oracles.placement_pictures import figures, view_of

CHECKED = settings(max_examples=25, deadline=None, derandomize=True)
LIBRARY = Path(__file__).parents[4] / "instances" / "placement"
SUITE = Suite.read(LIBRARY)


def sound(found: tuple[Section, ...]) -> None:
    """Check what the contracts of figures, tables and axes ask for."""
    shown = [figure for section in found for figure in section.figures]
    assert len({figure.key for figure in shown}) == len(shown)
    for figure in shown:
        assert figure.title
        assert figure.summary
        assert figure.x.low < figure.x.high
        assert figure.y.low < figure.y.high
        assert not figure.y.log or figure.y.low > 0
        marks = 0
        for mark in figure.marks:
            assert mark.role in ROLES
            if isinstance(mark, Rects):
                columns = (mark.x0, mark.x1, mark.y0, mark.y1)
                assert {len(one) for one in columns} == {len(mark.titles)}
                assert (mark.x0 <= mark.x1).all()
                assert (mark.y0 <= mark.y1).all()
                assert mark.role != "heat" or (mark.values is not None and figure.scale)
                marks += len(mark.titles)
            if isinstance(mark, Steps):
                assert len(mark.x) == len(mark.y) + 1
                inside = mark.y[~np.isnan(mark.y)]
                assert (inside >= figure.y.low).all()
                assert (inside <= figure.y.high).all()
        assert marks <= MAX_MARKS
    tables = [table for section in found for table in section.tables]
    for table in [*tables, *(figure.table for figure in shown if figure.table)]:
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert len(table.units) in (0, len(table.columns))
        assert set(table.units) <= set(UNITS)


@CHECKED
@given(problems() | problems(dispatch=ADAPTIVE), st.integers(0, 2**20))
def test_figures_keep_their_contract(problem: PlacementProblem, seed: int) -> None:
    view = view_of(problem, random_plan(problem, seed))
    found = sections(view)
    sound(found)
    assert found[0].key == "load"
    assert found[0].figures[0].key == "load"


@pytest.mark.parametrize("case", list(SUITE), ids=lambda case: case.name)
def test_plans_of_the_library(case: Any) -> None:
    problem = case.problem()
    plan = case.best_plan(problem)
    found = sections(view_of(problem, plan))
    sound(found)
    shown = figures(found)
    assert {"load", "imbalance", "before-contiguous", "before-eplb", "after"} <= set(shown)
    assert ("traffic" in shown) == (not problem.balance_only)
    assert ("replicas" in shown) == (problem.n_slots > problem.n_experts)


def test_close_to_balance_there_is_a_picture_by_powers_of_ten() -> None:
    (case,) = [case for case in SUITE if case.name == "replicas-8x64-8"]
    problem = case.problem()
    shown = figures(sections(view_of(problem, case.best_plan(problem))))
    for line, near in zip(shown["excess"].marks, shown["imbalance"].marks, strict=True):
        assert isinstance(line, Steps)
        assert isinstance(near, Steps)
        assert (line.name, line.role) == (near.name, near.role)
        np.testing.assert_array_equal(line.y[~np.isnan(line.y)] + 1, near.y[~np.isnan(line.y)])
        assert (near.y[np.isnan(line.y)] - 1 <= 1e-12).all()
    assert shown["excess"].y.log


def lose(slots: np.ndarray) -> np.ndarray:
    return np.where(slots == 0, slots.max(), slots)


def overfill(slots: np.ndarray) -> np.ndarray:
    return np.full_like(slots, 10**6)


def halve(slots: np.ndarray) -> np.ndarray:
    return slots[:, :, :1]


@pytest.mark.parametrize("broken", [lose, overfill, halve])
def test_a_plan_that_cannot_be_replayed(broken: Callable[[np.ndarray], np.ndarray]) -> None:
    problem = random_problem(7, experts=4, ranks=2, slots=2, layers=2, dispatch=EQUAL)
    plan = PlacementPlan(broken(random_plan(problem, 0).slots))
    (only,) = sections(view_of(problem, plan))
    assert "cannot be replayed" in only.text
    assert not only.figures


def test_what_was_lost_in_force_is_left_out() -> None:
    problem = random_problem(
        6, experts=4, ranks=3, slots=2, layers=2, dispatch=EQUAL, current=True, max_moves=-1
    )
    assert problem.current is not None
    lost = problem.replace(current=np.where(problem.current == 1, -1, problem.current))
    found = sections(view_of(lost, random_plan(lost, 0)))
    assert "before-in-force" not in figures(found)
    assert "moves" in figures(found)


def test_long_names_leave_room_for_numbers() -> None:
    problem = random_problem(9, experts=3, ranks=2, slots=2, layers=1, dead=0, traffic=HOME)
    cluster = problem.cluster
    names = ("<script>\0" + "x" * 10_000, "\u202e\"'")
    named = type(cluster)(
        names, cluster.memory, cluster.node, cluster.speed, cluster.link_source,
        cluster.link_target, cluster.bandwidth, cluster.latency,
    )  # fmt: skip
    problem = problem.replace(cluster=named)
    shown = figures(sections(view_of(problem, random_plan(problem, 0))))
    assert shown["load"].x.names == names
    for figure in shown.values():
        for mark in figure.marks:
            assert all(len(title) < 200 for title in getattr(mark, "titles", ()))
    heat = shown["load"].marks[-1]
    assert isinstance(heat, Rects)
    assert all(title.endswith("times the mean") for title in heat.titles)
