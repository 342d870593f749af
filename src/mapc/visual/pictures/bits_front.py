"""Loss against what it costs: the front, this plan, one format for everything, the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.bits.heuristics import Uniform
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.sweep import supported, swept_resource
from mapc.visual.figure import (
    Axis,
    Figure,
    FloatArray,
    Line,
    Mark,
    Points,
    Rule,
    Table,
    column,
)
from mapc.visual.pictures.bits_terms import Hue, Measure, loss_axis, measure, short
from mapc.visual.recorded import is_number
from mapc.visual.view import View
from mapc.visual.words import counted, words

_THINNED: Final = 400
"""Points of a long front, evenly chosen by cost and as many by loss."""
_DOTS: Final = 250
"""Points of a front that are drawn one by one."""

Curve = tuple[FloatArray, FloatArray]


def fronts(view: View, table: tuple[Uniform, ...], colours: tuple[Hue, ...]) -> tuple[Figure, ...]:
    """Return a figure for every resource with a budget, or of the first resource without any.

    With one budget, and losses that add up, the front is drawn: the lower convex hull of what all
    choices cost and lose, from one sort; no choice lies below it.
    """
    problem: BitsProblem = view.problem
    at = problem.limited.tolist() or list(range(len(problem.resources)))[:1]
    try:
        swept = swept_resource(problem)
    except UsageError:
        swept = None
    return tuple(
        _front(view, measure(problem, r), table, colours, i, r == swept)
        for i, r in enumerate(at, start=1)
    )


def hull(problem: BitsProblem, at: int, cost: int) -> tuple[IntArray, FloatArray]:
    """Return points of the front of resource ``at``: costs, rising, and losses, falling.

    All supported points where they are few, else some hundreds, evenly chosen on both axes, and
    among them those on both sides of ``cost``.
    """
    found = supported(problem, at)
    costs = np.array(found.columns["cost"], dtype=np.int64)
    losses = column(found.columns["loss"])
    n = len(costs)
    if n <= 2 * _THINNED:
        return costs, losses
    by_cost = np.searchsorted(costs, np.linspace(costs[0], costs[-1], _THINNED))
    positive = losses[losses > 0]
    levels = [np.linspace(losses[-1], losses[0], _THINNED // 2)]
    if len(positive):
        levels.append(np.geomspace(positive[-1], positive[0], _THINNED // 2))
    by_loss = n - 1 - np.searchsorted(losses[::-1], np.concatenate(levels))
    near = np.searchsorted(costs, cost) + np.arange(-1, 2)
    keep = np.unique(np.clip(np.concatenate((by_cost, by_loss, near, [0, n - 1])), 0, n - 1))
    return costs[keep], losses[keep]


def _front(
    view: View,
    one: Measure,
    table: tuple[Uniform, ...],
    colours: tuple[Hue, ...],
    number: int,
    swept: bool,
) -> Figure:
    problem: BitsProblem = view.problem
    used = int(problem.cost[one.at][view.plan.option].sum())
    assert view.objective is not None
    here = (one.shown([used]), column([view.objective]))
    curve, costs = None, np.zeros(0, dtype=np.int64)
    if swept:
        costs, losses = hull(problem, one.at, used)
        curve = (one.shown(costs), losses)
    given = _given(view, one)
    uniform = (one.shown([row.cost[one.at] for row in table]), column([row.loss for row in table]))
    curves = [here, uniform, *([curve] if curve else []), *([given] if given else [])]
    y = loss_axis("loss", np.concatenate([c[1] for c in curves]))
    budget = problem.budget[one.at]
    ends = [c[0] for c in curves] + ([] if budget is None else [one.shown([budget])])
    marks: list[Mark] = []
    if curve:
        marks += _curve(one, curve, costs if given is None else costs[:0], y)
    if given:
        marks.append(_points("front, as given", "baseline", given, _front_titles(view, one), y))
    marks += _uniform(problem, one, table, colours, uniform, y)
    title = f"this plan: loss {words(view.objective, 'loss')}, {one.name} {one.words(used)}"
    marks.append(_points("this plan", "plan", here, (title,), y, "round"))
    marks += _rules(view, y, None if budget is None else float(one.shown(budget)))
    return Figure(
        key="front" if number == 1 else f"front-{number}",
        title=f"Loss against {one.name}",
        summary=_summary(one, curve is not None, len(table)),
        x=_cost_axis(one, np.concatenate(ends)),
        y=y,
        marks=tuple(marks),
        height=340,
        note="Points on the lower edge lose less than the axis shows, or nothing."
        if y.log and any((c[1] < y.low).any() for c in curves)
        else "",
    )


def _summary(one: Measure, curve: bool, n: int) -> str:
    text = (
        f"What this plan and {counted(n, 'plan')} of one format each lose and take of {one.name}."
    )
    return text + (" No choice of formats lies below the line." if curve else "")


def _cost_axis(one: Measure, values: FloatArray) -> Axis:
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or 0.03 * high or 1.0
    return Axis(one.label, max(0.0, low - margin), high + margin, one.unit)


def _on(y: Axis, loss: FloatArray) -> FloatArray:
    """Return losses as far down as the axis reaches."""
    return np.maximum(loss, y.low)


def _points(
    name: str, role: str, at: Curve, titles: Sequence[str], y: Axis, shape: str = "round"
) -> Points:
    return Points(name, role, at[0], _on(y, at[1]), tuple(titles), shape)


def _curve(one: Measure, curve: Curve, costs: IntArray, y: Axis) -> list[Mark]:
    """Return the line, and where they are few dots at ``costs``."""
    marks: list[Mark] = [Line("front", "baseline", curve[0], _on(y, curve[1]))]
    if 0 < len(costs) <= _DOTS:
        titles = [
            f"front: loss {words(v, 'loss')}, {one.name} {one.words(c)}"
            for c, v in zip(costs.tolist(), curve[1].tolist(), strict=True)
        ]
        marks.append(_points("", "baseline", curve, titles, y))
    return marks


def _uniform(
    problem: BitsProblem,
    one: Measure,
    table: tuple[Uniform, ...],
    colours: tuple[Hue, ...],
    at: Curve,
    y: Axis,
) -> list[Mark]:
    known = {problem.formats[f]: hue for hue in colours for f in hue.formats}
    marks: dict[str, list[int]] = {}
    for i, row in enumerate(table):
        marks.setdefault(known[row.format].role, []).append(i)
    found: list[Mark] = []
    for role, members in marks.items():
        hue = known[table[members[0]].format]
        name = f"all {hue.name}" if len(hue.formats) == 1 else "one of the other formats"
        titles = [
            f"all {table[i].format}: loss {words(table[i].loss, 'loss')}, {one.name} "
            f"{one.words(table[i].cost[one.at])}, "
            + ("fits" if table[i].feasible else "does not fit")
            for i in members
        ]
        found.append(_points(name, role, (at[0][members], at[1][members]), titles, y, "square"))
    return found


def _rules(view: View, y: Axis, budget: float | None) -> list[Mark]:
    marks: list[Mark] = []
    if view.bound is not None and y.low <= view.bound <= y.high:
        marks.append(Rule("bound", "bound", "y", float(view.bound), dashed=True))
    if budget is not None:
        marks.append(Rule("budget", "limit", "x", budget))
    return marks


# -- a front from a file -------------------------------------------------------------------------


def _rows(view: View, one: Measure) -> list[dict[str, Any]]:
    """Return the points of ``view.front`` that have a cost and a loss, of this resource."""
    front: Mapping[str, Any] = view.front or {}
    if front.get("resource") != one.name:
        return []
    lists = {key: list(v) for key, v in front.items() if isinstance(v, list) and key != "notes"}
    rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    good = [row for row in rows if _is_amount(row.get("cost")) and _is_amount(row.get("loss"))]
    stride = -(-len(good) // _DOTS) if good else 1
    return good[::stride]


def _is_amount(value: object) -> bool:
    return is_number(value) and value >= 0


def _given(view: View, one: Measure) -> Curve | None:
    rows = _rows(view, one)
    if not rows:
        return None
    return one.shown([row["cost"] for row in rows]), column([row["loss"] for row in rows])


def _front_titles(view: View, one: Measure) -> list[str]:
    titles = []
    for row in _rows(view, one):
        text = f"front: loss {words(row['loss'], 'loss')}, {one.name} {one.words(row['cost'])}"
        if _is_amount(row.get("gap")):
            text += f", gap {words(row['gap'], 'share')}"
        titles.append(text)
    return titles


# -- in numbers ----------------------------------------------------------------------------------


def uniform_rows(view: View, table: tuple[Uniform, ...], shown: tuple[Measure, ...]) -> Table:
    """Return the table of this plan beside one format for everything."""
    problem: BitsProblem = view.problem
    option = view.plan.option
    ours = (
        "this plan",
        view.objective,
        *(float(one.shown(int(problem.cost[one.at][option].sum()))) for one in shown),
        "no" if view.violations else "yes",
        None,
    )
    rows = [
        (
            f"all {short(row.format)}",
            row.loss,
            *(float(one.shown(row.cost[one.at])) for one in shown),
            "yes" if row.feasible else "no",
            row.exceptions,
        )
        for row in table
    ]
    return Table(
        "Beside one format for everything",
        ("formats", "loss", *(one.label for one in shown), "within budgets", "groups without it"),
        (ours, *rows),
        ("", "loss", *(one.unit for one in shown), "", "count"),
    )
