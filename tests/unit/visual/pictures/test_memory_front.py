"""Capacity against extra traffic, with a front and without."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.models.memory.capacities import order_peak
from mapc.models.memory.options import Options
from mapc.models.memory.problem import MemoryProblem
from mapc.visual.figure import Figure, Points, Rule, Steps
from mapc.visual.loading import of_plan
from mapc.visual.pictures.memory import sections
from mapc.visual.pictures.memory_front import DRAWN, front_figure, in_bytes, kept_peak
from mapc.visual.pictures.memory_transfers import Transfers
from mapc.visual.view import Record, View
from oracles.memory_bruteforce import small_problems
from oracles.memory_cases import chain_with_skip, spilled_chain

FRONT = {
    "points": "all",
    "cost": [6, 10],
    "traffic": [10, 0],
    "bound": [10, 0],
    "gap": [0.0, 0.0],
    "status": ["optimal", "optimal"],
}


def chain(**record: object) -> View:
    """The chain with a skip in 9 bytes, where t0 is spilled and comes back: 10 bytes."""
    return of_plan(*spilled_chain(), Record(**record), "plan.json")


def figure_of(view: View) -> Figure:
    figure = front_figure(view, Transfers(view.problem, view.plan))
    assert figure is not None
    return figure


def steps(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    return {
        mark.name: (mark.x.tolist(), mark.y.tolist())
        for mark in figure.marks
        if isinstance(mark, Steps)
    }


def points(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    return {
        mark.name: list(zip(mark.x.tolist(), mark.y.tolist(), strict=True))
        for mark in figure.marks
        if isinstance(mark, Points)
    }


def rules(figure: Figure) -> set[tuple[str, str, float]]:
    return {(mark.role, mark.axis, mark.at) for mark in figure.marks if isinstance(mark, Rule)}


def test_a_proven_front_is_its_own_bound() -> None:
    view = replace(chain(), front=FRONT)
    figure = figure_of(view)
    (name,) = steps(figure)
    x, y = steps(figure)[name]
    assert (x[:2], y) == ([6, 10], [10, 0])
    assert x[2] == figure.x.high > 10
    assert points(figure) == {"points of the front": [(6, 10), (10, 0)], "this plan": [(9, 10)]}
    assert figure.table is not None
    assert figure.table.rows == ((6, 10, 10), (10, 0, 0))
    assert "All of it is proven." in figure.summary
    assert rules(figure) == {("bound", "x", 9.0), ("limit", "x", 9.0)}


def test_of_a_long_front_some_points_are_drawn() -> None:
    n = DRAWN + 500
    front = {**FRONT, "cost": [6 + i for i in range(n)], "traffic": [n - i for i in range(n)]}
    figure = figure_of(replace(chain(), front={**front, "bound": [0] * n}))
    drawn = points(figure)["points of the front"]
    assert len(drawn) == DRAWN
    assert (drawn[0], drawn[-1]) == ((6, n), (5 + n, 1))
    assert figure.note == f"{DRAWN:,} of {n:,} points, evenly chosen."
    assert figure.table is not None
    assert f"of {n:,}" in figure.table.note


def test_a_bound_holds_up_to_its_capacity() -> None:
    front = {**FRONT, "points": "certified", "budget": [6, 8, 10], "cost": [6, 6, 10]}
    front |= {"traffic": [10, 10, 0], "bound": [10, 4, 0]}
    figure = figure_of(replace(chain(), front=front))
    x, y = steps(figure)["bound"]
    assert (x[1:], y) == ([6, 8, 10], [10, 4, 0])
    assert x[0] == figure.x.low < 6


def test_what_is_no_number_or_no_plan_is_left_out() -> None:
    front = {**FRONT, "points": "open", "traffic": [2**62, "many"], "bound": [None, 0]}
    figure = figure_of(replace(chain(), front=front))
    assert "points of the front" not in points(figure)
    front |= {"traffic": [10, 0]}
    _, y = steps(figure_of(replace(chain(), front=front)))["bound"]
    assert np.isnan(y[0])
    assert y[1] == 0


def test_without_a_front_there_is_what_is_known() -> None:
    view = chain(bound=4)
    figure = figure_of(view)
    known = steps(figure)
    assert known["enough, by this plan"] == ([9, figure.x.high], [10])
    assert known["bound up to the capacity"] == ([figure.x.low, 9], [4])
    assert points(figure) == {"this order with nothing lost": [(10, 0)], "this plan": [(9, 10)]}
    text = sections(view)[-1].text
    assert "--front" in text
    assert "--front" not in sections(replace(view, front=FRONT))[-1].text


def test_a_bound_on_the_peak_is_none_on_the_traffic() -> None:
    figure = figure_of(chain(bound=7, asked={"minimize": "peak"}))
    assert steps(figure)["bound up to the capacity"][1] == [0]
    assert ("bound", "x", 7.0) in rules(figure)


def test_other_costs_are_plain_numbers() -> None:
    view = chain()
    dear = replace(view, problem=replace(view.problem, options=Options(read_cost=3)))
    figure = figure_of(dear)
    assert figure.y.unit == ""
    assert points(figure)["this plan"] == [(9, 20)]
    assert figure_of(view).y.unit == "bytes"


@pytest.mark.parametrize(
    ("options", "bytes_"),
    [
        (Options(), True),
        (Options(stream_cost=2), True),
        (Options(stream_cost=2, streamable=((3, 0),)), False),
        (Options(write_cost=2), False),
        (Options(recompute=((0, 1),)), False),
    ],
)
def test_units_are_those_of_the_family(options: Options, bytes_: bool) -> None:
    from mapc.models.base import phrase_of
    from mapc.models.memory import FAMILY

    problem = replace(chain_with_skip(9), options=options)
    assert in_bytes(problem) is bytes_
    assert ("units" not in phrase_of(FAMILY, problem)(5)) is bytes_


def test_several_banks_have_no_front() -> None:
    view = chain()
    banked = replace(view.problem, capacity=None, options=Options(banks=(("a", 9), ("b", 4))))
    found = sections(replace(view, problem=banked))
    assert found[-1].key == "front"
    assert found[-1].figures == ()


@settings(max_examples=60, deadline=None)
@given(problem=small_problems())
def test_an_order_with_nothing_lost_takes_what_the_family_says(problem: MemoryProblem) -> None:
    order = problem.graph.given_order
    assert kept_peak(problem, order) == order_peak(problem, order)
