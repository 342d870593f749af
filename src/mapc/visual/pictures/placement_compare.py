"""A placement before and after: beside what could be in force instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapc.solvers.base import relative_gap
from mapc.visual.figure import Cell, Section, Table
from mapc.visual.pictures.placement_layouts import Layout
from mapc.visual.pictures.placement_load import Loads, largest, load_figure
from mapc.visual.recorded import is_number, number_of
from mapc.visual.view import View

COMPARED = {
    "balancedness": "balancedness",
    "min_layer_balancedness": "of the worst layer",
    "cross_rank": "leave their rank",
    "cross_node": "leave their node",
}
"""Facts of the table, and their columns."""


def before_after_section(
    view: View, loads: Loads, ours: Layout, others: Sequence[Layout], left_out: str
) -> Section:
    """Return this plan beside the others, all on one scale, and their figures in a table.

    Of EPLB's two rules the better one is drawn.
    """
    eplbs = [one for one in others if one.key.startswith("eplb")]
    worse = {one.key for one in sorted(eplbs, key=lambda one: one.objective)[1:]}
    drawn = [one for one in others if one.key not in worse]
    top = largest([*drawn, ours], loads)
    figures = [
        load_figure(loads, one, f"before-{short}", f"Before: {one.name}", top, beside=True)
        for one in drawn
        for short in [one.key.removesuffix("-global")]
    ]
    if figures:
        figures.append(load_figure(loads, ours, "after", "After: this plan", top, beside=True))
    table = comparison_table(view, ours, others)
    text = "The load under what could be in force instead, all on one scale."
    return Section("before-after", "Before and after", left_out or text, tuple(figures), (table,))


def comparison_table(view: View, ours: Layout, others: Sequence[Layout]) -> Table:
    """Return objective and figures of this plan, the baselines and the methods compared."""
    rows = [_own_row(view, one) for one in (ours, *others)]
    known = {one.key for one in others}
    if "eplb-global" in known:
        known.add("eplb")  # here by its own name, or no other than the global one
    rows += [
        _method_row(view, row)
        for row in view.comparison
        if row.get("method") not in known and is_number(row.get("objective"))
    ]
    rules = any(one.broken for one in (ours, *others))
    return Table(
        "Placements compared",
        (
            "placement",
            f"objective ({view.problem.cost.unit})",
            "gap to the bound",
            *COMPARED.values(),
            *(("rules broken",) if rules else ()),
        ),
        tuple(row if rules else row[:-1] for row in rows),
        ("", "", "share", "", "", "share", "share", *(("count",) if rules else ())),
        "No bound holds for what breaks rules." if rules else "",
    )


def _own_row(view: View, one: Layout) -> tuple[Cell, ...]:
    return (
        one.name,
        one.objective,
        None if one.broken else relative_gap(one.objective, view.bound),
        *(float(one.facts[key]) for key in COMPARED),
        one.broken,
    )


def _method_row(view: View, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        str(row.get("method")),
        row["objective"],
        relative_gap(row["objective"], view.bound),
        *(number_of(row.get(key)) for key in COMPARED),
        0,  # a method's plan has passed the verifier
    )
