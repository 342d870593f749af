"""Load of every rank in every layer: of this plan, and beside what else could be in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapc.markup import clean
from mapc.models.placement.problem import WORST, FloatArray, PlacementProblem
from mapc.solvers.base import relative_gap
from mapc.visual.figure import (
    Axis,
    Cell,
    Figure,
    Mark,
    Rects,
    Scale,
    Section,
    Steps,
    Table,
    column,
)
from mapc.visual.pictures.placement_heat import heat
from mapc.visual.pictures.placement_layouts import (
    MAX_NAME,
    Layout,
    layer_side,
    profile_steps,
    rank_side,
    shown_profiles,
)
from mapc.visual.view import View

ROLES = {"contiguous": "c8", "eplb": "c2", "eplb-global": "c2", "in-force": "c6"}
"""Colours of the baselines where they share a picture."""
MAX_ROWS = 10


@dataclass(frozen=True, eq=False)
class Loads:
    """Layouts as they are shown: loads of the profiles that count.

    Attributes
    ----------
    problem : PlacementProblem
    weight : float64[P]
        Of the profiles, summing to 1.
    words : str
        Which profiles these are; empty for a single one.
    """

    problem: PlacementProblem
    weight: FloatArray
    words: str

    def cells(self, layout: Layout) -> FloatArray:
        """float64[L, G]: load of every rank as a multiple of its layer's mean; NaN where dead."""
        found = np.full((self.problem.n_layers, self.problem.n_ranks), np.nan)
        found[:, self.problem.live] = np.tensordot(self.weight, layout.ratio, axes=1)
        return found

    def peaks(self, layout: Layout) -> FloatArray:
        """float64[L]: the largest load of a layer as a multiple of its mean."""
        return np.asarray(np.tensordot(self.weight, layout.ratio.max(axis=2), axes=1))


def loads_of(problem: PlacementProblem, layout: Layout) -> Loads:
    """Return which profiles the pictures of a problem show, by its goal and the plan."""
    weight = shown_profiles(problem, layout)
    if problem.n_profiles == 1:
        return Loads(problem, weight, "")
    if problem.cost.profiles == WORST:
        name = clean(problem.profiles[int(weight.argmax())], MAX_NAME)
        return Loads(problem, weight, f"Shown is the slowest profile, {name}.")
    return Loads(problem, weight, "Profiles are averaged by weight.")


def load_section(loads: Loads, ours: Layout, others: Sequence[Layout]) -> Section:
    """Return the heat map of this plan, and the imbalance of its layers beside the others'."""
    figure = load_figure(loads, ours, "load", "Load per rank and layer", _top([ours], loads))
    text = "Load is tokens handled, as a multiple of the layer's mean; 1 is perfect balance."
    if (loads.problem.cluster.speed != loads.problem.cluster.speed[0]).any():
        text += " Tokens are divided by the speed of their rank."
    tables = (_profiles(loads.problem, ours),) if loads.problem.n_profiles > 1 else ()
    return Section("load", "Load", text, (figure, imbalance_figure(loads, ours, others)), tables)


def load_figure(loads: Loads, layout: Layout, key: str, title: str, top: float) -> Figure:
    """Return the heat map of one layout on the scale from 1 to ``top``."""
    problem = loads.problem
    down, across = layer_side(problem), rank_side(problem)
    cells = loads.cells(layout)
    rects, note = heat(cells, down, across, lambda v: f"{v:.6g} times the mean")
    marks: tuple[Mark, ...] = (rects,)
    if problem.dead.any():
        marks = (_dead(problem), rects)
    layer, rank = np.unravel_index(int(np.nanargmax(cells)), cells.shape)
    summary = (
        f"{layout.name[:1].upper()}{layout.name[1:]}: balancedness "
        f"{layout.facts['balancedness']:.6g}; the largest load is {cells[layer, rank]:.6g} times "
        f"the mean, on {across.called[rank]} in layer {down.names[layer]}."
    )
    return Figure(
        key=key,
        title=title,
        summary=summary,
        x=across.axis(),
        y=down.axis(down=True),
        marks=marks,
        scale=Scale("load / mean of the layer", 1.0, top),
        height=_height(problem.n_layers),
        note=" ".join(part for part in (loads.words, note) if part),
        table=_worst_layers(loads, layout) if key == "load" else None,
    )


def _height(n_layers: int) -> int:
    """Return pixels that give a layer some, and a figure no more than a screen."""
    return int(min(620, max(160, 90 + 9 * n_layers)))


def _top(layouts: Sequence[Layout], loads: Loads) -> float:
    return max(float(np.nanmax(loads.cells(layout))) for layout in layouts)


def _dead(problem: PlacementProblem) -> Rects:
    at = np.flatnonzero(problem.dead)
    titles = tuple(f"{clean(problem.cluster.names[g], MAX_NAME)}: dead" for g in at)
    zero = np.zeros(len(at))
    return Rects(
        "dead ranks",
        "quiet",
        column(at),
        column(at + 1),
        zero,
        zero + problem.n_layers,
        titles,
    )


def _worst_layers(loads: Loads, layout: Layout) -> Table:
    cells, peaks = loads.cells(layout), loads.peaks(layout)
    order = np.argsort(-peaks, kind="stable")[:MAX_ROWS]
    names = loads.problem.cluster.names
    rows = tuple(
        (
            str(loads.problem.layer_ids[layer]),
            names[int(np.nanargmax(cells[layer]))],
            float(peaks[layer]),
        )
        for layer in order.tolist()
    )
    n = loads.problem.n_layers
    note = f"{len(rows)} of {n} layers." if n > len(rows) else ""
    return Table(
        "Layers with the largest load", ("layer", "rank", "largest load / mean"), rows, note=note
    )


def imbalance_figure(loads: Loads, ours: Layout, others: Sequence[Layout]) -> Figure:
    """Return the largest load of every layer, of all layouts."""
    side = layer_side(loads.problem)
    x = column(np.arange(loads.problem.n_layers + 1))
    peaks = {layout.key: loads.peaks(layout) for layout in (*others, ours)}
    marks = [
        Steps(layout.name, ROLES.get(layout.key, "baseline"), x, peaks[layout.key], dashed=True)
        for layout in others
    ]
    marks.append(Steps(ours.name, "plan", x, peaks[ours.key]))
    top = max(float(peak.max()) for peak in peaks.values())
    told = "; ".join(
        f"{layout.name}: {peaks[layout.key].mean():.6g} on average, "
        f"{peaks[layout.key].max():.6g} at most"
        for layout in (ours, *others)
    )
    return Figure(
        key="imbalance",
        title="Largest load of every layer",
        summary=f"Largest load / mean load. {told[:1].upper()}{told[1:]}.",
        x=side.axis(),
        y=Axis("largest load / mean", 1.0, top if top > 1 else 2.0),
        marks=tuple(marks),
        height=240,
        note=loads.words,
    )


def _profiles(problem: PlacementProblem, ours: Layout) -> Table:
    steps = profile_steps(problem, ours)
    balance = ours.facts["balancedness_by_profile"]
    rows = tuple(
        (name, float(problem.weight[p]), float(balance[name]), float(steps[p]))
        for p, name in enumerate(problem.profiles)
    )
    shown = rows[: 2 * MAX_ROWS]
    goal = "step time" if problem.cost.profiles == WORST else "part of the objective"
    return Table(
        "Profiles",
        ("profile", "weight", "balancedness", f"{goal} ({problem.cost.unit})"),
        shown,
        ("", "share", "", ""),
        f"{len(shown)} of {len(rows)} profiles." if len(rows) > len(shown) else "",
    )


# -- before and after ------------------------------------------------------------------------------


def before_after_section(
    view: View, loads: Loads, ours: Layout, others: Sequence[Layout], left_out: str
) -> Section:
    """Return this plan beside the others, all on one scale, and their figures in a table.

    Of EPLB's two rules the better one is drawn.
    """
    eplbs = [one for one in others if one.key.startswith("eplb")]
    worse = {one.key for one in sorted(eplbs, key=lambda one: one.objective)[1:]}
    drawn = [one for one in others if one.key not in worse]
    top = _top([*drawn, ours], loads)
    figures = [
        load_figure(loads, one, f"before-{one.key}", f"Before: {one.name}", top) for one in drawn
    ]
    if figures:
        figures.append(load_figure(loads, ours, "after", "After: this plan", top))
    table = comparison_table(view, ours, others)
    text = "The same load under what could be in force instead, all on one scale."
    return Section(
        "before-after",
        "Before and after",
        left_out or text,
        tuple(figures),
        (table,) if len(table.rows) > 1 else (),
    )


COMPARED = ("balancedness", "min_layer_balancedness", "cross_rank", "cross_node")


def comparison_table(view: View, ours: Layout, others: Sequence[Layout]) -> Table:
    """Return objective and figures of this plan, the baselines and the methods compared."""
    rows: list[tuple[Cell, ...]] = [
        (
            one.name,
            one.objective,
            relative_gap(one.objective, view.bound),
            *(float(one.facts[key]) for key in COMPARED),
            one.broken,
        )
        for one in (ours, *others)
    ]
    known = {one.key for one in others}
    for row in view.comparison:
        objective = row.get("objective")
        if not isinstance(objective, int | float) or row.get("method") in known:
            continue
        figures = (row.get(key) for key in COMPARED)
        rows.append(
            (
                str(row.get("method")),
                objective,
                relative_gap(objective, view.bound),
                *(value if isinstance(value, int | float) else None for value in figures),
                None,
            )
        )
    return Table(
        "Placements compared",
        (
            "placement",
            f"objective ({view.problem.cost.unit})",
            "gap to the bound",
            "balancedness",
            "of the worst layer",
            "leave their rank",
            "leave their node",
            "rules broken",
        ),
        tuple(rows),
        ("", "", "share", "", "", "share", "share", "count"),
    )
