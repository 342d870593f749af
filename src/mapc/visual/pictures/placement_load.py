"""Load of every rank in every layer: of this plan, and beside what else could be in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapc.markup import clean
from mapc.models.placement.problem import WORST, FloatArray, PlacementProblem
from mapc.visual.figure import (
    Axis,
    Figure,
    Mark,
    Rects,
    Scale,
    Section,
    Steps,
    Table,
    column,
)
from mapc.visual.pictures.placement_heat import MAX_CELLS, heat, height_of
from mapc.visual.pictures.placement_layouts import (
    MAX_NAME,
    Layout,
    layer_side,
    profile_steps,
    rank_side,
    shown_profiles,
)
from mapc.visual.words import sentences

ROLES = {"contiguous": "c8", "eplb": "c2", "eplb-global": "c2", "in-force": "c6"}
"""Colours of the baselines where they share a picture."""
MAX_ROWS = 10
MAX_BESIDE = 2_048
"""Cells of heat maps of which there are several."""
DUST = 1e-12
"""Load above the mean, relative to it, that is rounding of sums."""


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
        """float64[L]: the largest load of a layer as a multiple of its mean, 1 at least."""
        peaks = np.tensordot(self.weight, layout.ratio.max(axis=2), axes=1)
        return np.asarray(np.maximum(peaks, 1.0))  # of equal loads, it is a bit less by rounding


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
    figure = load_figure(loads, ours, "load", "Load per rank and layer", largest([ours], loads))
    text = "Load is tokens handled, as a multiple of the layer's mean; 1 is perfect balance."
    if (loads.problem.cluster.speed != loads.problem.cluster.speed[0]).any():
        text += " Tokens are divided by the speed of their rank."
    tables = (_profiles(loads.problem, ours),) if loads.problem.n_profiles > 1 else ()
    closer = excess_figure(loads, ours, others)
    figures = (figure, imbalance_figure(loads, ours, others), *([closer] if closer else []))
    return Section("load", "Load", text, figures, tables)


def load_figure(
    loads: Loads, layout: Layout, key: str, title: str, top: float, beside: bool = False
) -> Figure:
    """Return the heat map of one layout on the scale from 1 to ``top``; smaller beside others."""
    problem = loads.problem
    down, across = layer_side(problem), rank_side(problem)
    cells = loads.cells(layout)
    most = MAX_BESIDE if beside else MAX_CELLS
    rects, note = heat(cells, down, across, lambda v: f"{v:.6g} times the mean", most=most)
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
        scale=Scale(_scale_label(top), 1.0, top),
        height=height_of(problem.n_layers, 400 if beside else 620),
        note=sentences(loads.words, note),
        table=None if beside else _worst_layers(loads, layout),
    )


def _scale_label(top: float) -> str:
    """Return what colours say, and up to what where that is too close to 1 for few digits."""
    text = "load / mean of the layer"
    return f"{text}, up to {top:.8g}" if 1 < top < 1.001 else text


def largest(layouts: Sequence[Layout], loads: Loads) -> float:
    """Return the largest load in heat maps of layouts, as a multiple of the mean; 1 at least."""
    return max(1.0, *(float(np.nanmax(loads.cells(layout))) for layout in layouts))


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
            float(peaks[layer]) - 1.0,
        )
        for layer in order.tolist()
    )
    n = loads.problem.n_layers
    note = f"{len(rows)} of {n} layers." if n > len(rows) else ""
    return Table(
        "Layers with the largest load",
        ("layer", "rank", "above the mean load"),
        rows,
        ("", "", "share"),
        note,
    )


def imbalance_figure(loads: Loads, ours: Layout, others: Sequence[Layout]) -> Figure:
    """Return the largest load of every layer, of all layouts."""
    peaks = [(layout, loads.peaks(layout)) for layout in (*others, ours)]
    top = max(float(peak.max()) for _, peak in peaks)
    told = "; ".join(
        f"{layout.name}: {peak.mean():.6g} on average, {peak.max():.6g} at most"
        for layout, peak in peaks[-1:] + peaks[:-1]
    )
    return Figure(
        key="imbalance",
        title="Largest load of every layer",
        summary=f"Largest load / mean load. {told[:1].upper()}{told[1:]}.",
        x=layer_side(loads.problem).axis(),
        y=Axis("largest load / mean", 1.0, top if top > 1 else 2.0),
        marks=_steps(peaks),
        height=240,
        note=loads.words,
    )


def excess_figure(loads: Loads, ours: Layout, others: Sequence[Layout]) -> Figure | None:
    """Return the same above the mean, by powers of ten; None where `imbalance_figure` says it.

    That is where this plan comes within a tenth of what the worst other has above the mean.
    """
    above = [(layout, loads.peaks(layout) - 1.0) for layout in (*others, ours)]
    excess = [(layout, np.where(more > DUST, more, np.nan)) for layout, more in above]
    shown = np.concatenate([more[~np.isnan(more)] for _, more in excess])
    if not len(shown) or above[-1][1].max() * 10 > max(more.max() for _, more in above):
        return None
    low = 10.0 ** np.floor(np.log10(shown.min()))
    high = 10.0 ** np.ceil(np.log10(shown.max()))
    even = any(np.isnan(more).any() for _, more in excess)
    notes = ("Layers in balance but for rounding have no line." if even else "", loads.words)
    return Figure(
        key="excess",
        title="Largest load of every layer above the mean",
        summary="Largest load / mean load - 1 of every layer, on a logarithmic axis: what lies too "
        "close together in the picture before.",
        x=layer_side(loads.problem).axis(),
        y=Axis("largest load / mean - 1", float(low), float(max(high, 10 * low)), log=True),
        marks=_steps(excess),
        height=240,
        note=sentences(*notes),
    )


def _steps(found: Sequence[tuple[Layout, FloatArray]]) -> tuple[Steps, ...]:
    """Return a line for every layout, the last of which is this plan."""
    x = column(np.arange(len(found[0][1]) + 1))
    return tuple(
        Steps(layout.name, ROLES.get(layout.key, "plan"), x, column(y), dashed=layout.key in ROLES)
        for layout, y in found
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
