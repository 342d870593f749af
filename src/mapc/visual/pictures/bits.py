"""Pictures of a choice of formats: groups, shares, the front of loss, the use of budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.heuristics import uniform_table
from mapc.models.bits.problem import BitsProblem
from mapc.units import PER_BYTE, quantity, share
from mapc.visual.figure import Axis, Cell, Figure, Mark, Rects, Rule, Section, Table, column
from mapc.visual.pictures.bits_front import fronts, uniform_rows
from mapc.visual.pictures.bits_groups import groups, shares
from mapc.visual.pictures.bits_terms import hues, measures, ranked
from mapc.visual.recorded import number_of
from mapc.visual.view import View
from mapc.visual.words import words

_METHODS: Final = ("method", "stage", "status", "loss", "bound", "gap")
_METHOD_UNITS: Final = ("", "", "", "loss", "loss", "share")


def sections(view: View) -> tuple[Section, ...]:
    """Return ``formats``, ``shares``, ``front``, ``budget`` and, where given, ``comparison``.

    None for a plan that the verifier cannot read: of the wrong length, or with options of other
    groups. A plan above a budget, or with forbidden formats, is drawn.
    """
    if view.objective is None:
        return ()
    problem: BitsProblem = view.problem
    option = np.asarray(view.plan.option, dtype=np.int64)
    table = uniform_table(problem)
    order = ranked(problem, table)
    colours, shown = hues(problem, order, option), measures(problem)
    found = [
        Section(
            "formats",
            "Formats and losses",
            _parts(view, option),
            groups(problem, option, colours, shown),
        ),
        Section(
            "shares",
            "What has which format",
            figures=(shares(problem, option, colours, order, shown),),
        ),
        Section(
            "front",
            "Loss and cost",
            figures=fronts(view, table, colours),
            tables=(uniform_rows(view, table, shown),),
        ),
    ]
    if problem.resources:
        found.append(_budgets(problem, option))
    if view.comparison:
        found.append(_comparison(view))
    return tuple(found)


def _parts(view: View, option: IntArray) -> str:
    """Say what the objective is beside the losses of groups."""
    problem: BitsProblem = view.problem
    loss = problem.loss[option]
    if problem.separable:
        return ""
    if problem.objective == "max":
        return "The objective is the largest loss of one group."
    assert view.objective is not None
    rest = float(view.objective) - float(loss.sum())
    return (
        f"Groups lose {words(float(loss.sum()), 'loss')} on their own; what neighbours and pairs "
        f"of groups add to that is {words(rest, 'loss')}."
    )


# -- budgets -------------------------------------------------------------------------------------


def _budgets(problem: BitsProblem, option: IntArray) -> Section:
    used = [int(cost[option].sum()) for cost in problem.cost]
    limited = [at for at in problem.limited.tolist() if problem.budget[at]]
    figures = (_use(problem, used, limited),) if limited else ()
    return Section("budget", "Budgets", figures=figures, tables=(_use_table(problem, used),))


def _use(problem: BitsProblem, used: list[int], limited: list[int]) -> Figure:
    """Return the figure ``budget``: what part of each budget is used."""
    part = column([used[at] / (problem.budget[at] or 1) for at in limited])
    place = column(np.arange(len(limited)))
    titles = [
        f"{problem.resources[at]}: {quantity(used[at], problem.units[at])} of "
        f"{quantity(problem.budget[at] or 0, problem.units[at])} "
        f"({share(used[at], problem.budget[at] or 1)})"
        for at in limited
    ]
    over = np.array([used[at] > (problem.budget[at] or 0) for at in limited])
    marks: list[Mark] = []
    for name, role, mine in (("within", "plan", ~over), ("above", "spill", over)):
        i = np.flatnonzero(mine)
        if len(i):
            names = tuple(titles[at] for at in i.tolist())
            zero = np.zeros(len(i))
            bars = Rects(name, role, zero, part[i], place[i] + 0.2, place[i] + 0.8, names)
            marks.append(bars)
    marks.append(Rule("budget", "limit", "x", 1.0))
    return Figure(
        key="budget",
        title="Use of budgets",
        summary="What part of each budget this plan uses.",
        x=Axis("share of the budget", 0.0, max(1.0, float(part.max())) * 1.05, "share"),
        y=Axis.of_names("resource", [problem.resources[at] for at in limited], down=True),
        marks=tuple(marks),
        height=80 + 40 * len(limited),
    )


def _use_table(problem: BitsProblem, used: list[int]) -> Table:
    weights = int(problem.weights.sum())
    rows: list[tuple[Cell, ...]] = []
    columns = zip(problem.resources, problem.units, problem.budget, used, strict=True)
    for at, (name, unit, budget, taken) in enumerate(columns):
        room = None if budget is None else quantity(budget, unit)
        use = share(taken, budget) if budget else None
        # what takes room and has no weights leaves nothing to divide by
        stray = (problem.weights[problem.group_of] == 0) & (problem.cost[at] > 0)
        per = PER_BYTE.get(unit) if weights and not stray.any() else None
        bits = None if per is None else taken * (8 // per) / weights
        rows.append((name, quantity(taken, unit), room, use, unit, bits))
    return Table(
        "Resources",
        ("resource", "used", "budget", "use", "counted in", "bits per weight"),
        tuple(rows),
        note="Resources without a budget are only counted." if None in problem.budget else "",
    )


# -- methods -------------------------------------------------------------------------------------


def _comparison(view: View) -> Section:
    problem: BitsProblem = view.problem
    limited = problem.limited.tolist()
    rows = [
        (
            *(_text(one.get(key)) for key in _METHODS[:3]),
            *(number_of(one.get(key)) for key in ("objective", "bound", "gap")),
            *(_cost(one, problem.resources[at], problem.units[at]) for at in limited),
            number_of(one.get("seconds")),
        )
        for one in view.comparison
    ]
    table = Table(
        "Methods on this problem",
        (*_METHODS, *(problem.resources[at] for at in limited), "time"),
        tuple(rows),
        (*_METHOD_UNITS, *("" for _ in limited), "s"),
    )
    return Section("comparison", "Methods", tables=(table,))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _cost(one: Mapping[str, Any], name: str, unit: str) -> str | None:
    costs = one.get("cost")
    value = number_of(costs.get(name)) if isinstance(costs, Mapping) else None
    return None if value is None else quantity(value, unit)
