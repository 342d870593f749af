"""Which experts have several replicas, and how many."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.problem import FloatArray
from mapc.visual.figure import Axis, Cell, Figure, Rects, Scale, Section, Table, column
from mapc.visual.pictures.placement_heat import Side, heat, height_of
from mapc.visual.pictures.placement_layouts import Layout, layer_side
from mapc.visual.pictures.placement_load import Loads
from mapc.visual.words import counted, sentences

HOTTEST = 20
"""Experts of the table."""


def copies_section(loads: Loads, ours: Layout) -> Section:
    """Return the replicas of experts and the hottest experts."""
    problem = loads.problem
    copies = ours.plan.replicas(problem.n_experts)
    tables = (hottest_table(loads, copies),)
    redundant = problem.n_slots - problem.n_experts
    if not redundant:
        text = "Every expert has one copy: there are as many slots as experts."
        return Section("replicas", "Replicas", text, (), tables)
    text = (
        f"{problem.n_slots:,} slots per layer for {problem.n_experts:,} experts: "
        f"{counted(redundant, 'further copy', 'further copies')} in every layer."
    )
    figures = (copies_figure(loads, copies), histogram_figure(copies))
    return Section("replicas", "Replicas", text, figures, tables)


def copies_figure(loads: Loads, copies: IntArray) -> Figure:
    """Return experts of more than one copy, layer by layer; copies is int64[L, E]."""
    down = layer_side(loads.problem)
    across = Side("expert", "experts", tuple(map(str, range(loads.problem.n_experts))))
    values = np.where(copies > 1, copies.astype(np.float64), np.nan)
    rects, note = heat(values, down, across, lambda v: f"{v:.0f} copies")
    layer, expert = np.unravel_index(int(copies.argmax()), copies.shape)
    several = int((copies > 1).sum())
    return Figure(
        key="replicas",
        title="Copies per expert and layer",
        summary=f"{several:,} of {copies.size:,} experts have more than one copy; expert {expert} "
        f"of layer {down.names[layer]} has most, {copies.max():,}.",
        x=across.axis(),
        y=down.axis(down=True),
        marks=(rects,),
        scale=Scale("copies", 1.0, float(copies.max()), "count"),
        height=height_of(len(copies)),
        note=sentences("Experts of one copy are left empty.", note),
    )


def histogram_figure(copies: IntArray) -> Figure:
    """Return how many experts, over all layers, have how many copies."""
    number = np.bincount(copies.ravel())[1:]
    at = column(np.arange(len(number)))
    names = tuple(str(k + 1) for k in range(len(number)))
    titles = tuple(
        f"{counted(int(number[k]), 'expert')} of {counted(k + 1, 'copy', 'copies')}"
        for k in range(len(number))
    )
    bars = Rects("", "plan", at + 0.1, at + 0.9, 0.0 * at, column(number), titles)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (k + 1, int(n), float(n / copies.size)) for k, n in enumerate(number) if n
    )
    return Figure(
        key="copies",
        title="Experts by their copies",
        summary=f"{int(number[0]):,} of {copies.size:,} experts, counted in every layer, have one "
        f"copy; {len(number):,} copies are the most.",
        x=Axis.of_names("copies", names),
        y=Axis("experts, over all layers", 0.0, float(number.max()), "count"),
        marks=(bars,),
        height=220,
        table=Table(
            "Experts by their copies",
            ("copies", "experts", "share"),
            rows,
            ("count", "count", "share"),
        ),
    )


def expert_ratio(loads: Loads) -> FloatArray:
    """float64[L, E]: tokens of every expert as a multiple of its layer's mean."""
    counts = loads.problem.counts
    ratio = counts / counts.mean(axis=2, keepdims=True)
    return np.asarray(np.tensordot(loads.weight, ratio, axes=1))


def hottest_table(loads: Loads, copies: IntArray) -> Table:
    """Return the experts with most tokens, by the mean of their layer."""
    ratio = expert_ratio(loads)
    order = np.argsort(-ratio, axis=None, kind="stable")[:HOTTEST]
    rows = []
    for layer, expert in zip(*np.unravel_index(order, ratio.shape), strict=True):
        load, held = float(ratio[layer, expert]), int(copies[layer, expert])
        row: tuple[Cell, ...] = (
            str(loads.problem.layer_ids[layer]),
            str(expert),
            load,
            held,
            load / held,
        )
        rows.append(row)
    more = ratio.size - len(rows)
    return Table(
        "Hottest experts",
        ("layer", "expert", "load / mean expert of the layer", "copies", "per copy"),
        tuple(rows),
        ("", "", "", "count", ""),
        f"{len(rows)} of {ratio.size:,} experts." if more else "",
    )
