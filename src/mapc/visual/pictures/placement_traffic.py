"""Tokens that move from rank to rank."""

from __future__ import annotations

import numpy as np

from mapc.models.placement.problem import CHAIN, FloatArray, PlacementProblem
from mapc.visual.figure import Cell, Figure, Mark, Rects, Rule, Scale, Section, Table
from mapc.visual.pictures.placement_heat import heat
from mapc.visual.pictures.placement_layouts import Layout, rank_side
from mapc.visual.pictures.placement_load import Loads
from mapc.visual.words import sentences

MAX_BORDERS = 64
"""Borders of nodes that are drawn; more would hide the cells."""


def traffic_section(loads: Loads, ours: Layout) -> Section:
    """Return the tokens between ranks, where they are paid for."""
    problem = loads.problem
    matrix = tokens_moved(problem, ours, loads.weight)
    how = (
        "from the rank of a token's expert in one layer to that in the next"
        if problem.traffic == CHAIN
        else "from where a token lives to the rank of its expert"
    )
    text = f"Tokens per step {how}, over all layers; those that stay are on the diagonal."
    return Section("traffic", "Traffic", text, (traffic_figure(loads, ours, matrix),))


def tokens_moved(problem: PlacementProblem, layout: Layout, weight: FloatArray) -> FloatArray:
    """float64[G, G]: tokens of a step from rank to rank, over all layers, those that stay too.

    Parameters
    ----------
    weight : float64[P]
        Of the profiles.
    """
    per_window = layout.seen.flow.sum(axis=1)
    return np.asarray(np.tensordot(weight * problem.scale, per_window, axes=1))


def traffic_figure(loads: Loads, ours: Layout, matrix: FloatArray) -> Figure:
    """Return the matrix as a heat map, ranks node by node."""
    problem = loads.problem
    order = problem.live[np.argsort(problem.node[problem.live], kind="stable")]
    node = problem.node[order]
    down, across = rank_side(problem, order, "from "), rank_side(problem, order, "to ")
    shown = matrix[np.ix_(order, order)]
    rects, note = heat(
        shown, down, across, lambda v: f"{v:.6g} tokens per step", by=np.add, many="together "
    )
    marks: list[Mark] = [rects]
    borders = np.flatnonzero(np.diff(node)) + 1
    if len(borders) <= MAX_BORDERS:
        for i, at in enumerate(borders.tolist()):
            name = "" if i else "border of a node"
            marks += [Rule(name, "mark", "x", float(at)), Rule("", "mark", "y", float(at))]
    notes = [note, loads.words]
    if problem.dead.any():
        notes.append(f"Without {int(problem.dead.sum())} dead ranks.")
    return Figure(
        key="traffic",
        title="Tokens from rank to rank",
        summary=_summary(problem, ours),
        x=across.axis("to rank"),
        y=down.axis("from rank", down=True),
        marks=tuple(marks),
        scale=Scale("tokens per step", 0.0, _top(rects)),
        height=480,
        note=sentences(*notes),
        table=_table(problem, matrix),
    )


def _top(rects: Rects) -> float:
    assert rects.values is not None
    return float(rects.values.max()) or 1.0  # of one layer in a chain, nothing moves


def _summary(problem: PlacementProblem, ours: Layout) -> str:
    rank, node = ours.facts["cross_rank"], ours.facts["cross_node"]
    text = f"{100 * rank:.4g} % of the tokens leave their rank"
    if problem.n_nodes > 1:
        text += f": {100 * (rank - node):.4g} % stay within their node, {100 * node:.4g} % leave it"
    return text + (", averaged over profiles by weight." if problem.n_profiles > 1 else ".")


def _table(problem: PlacementProblem, matrix: FloatArray) -> Table:
    total = float(matrix.sum())
    inside = float(matrix[problem.node[:, None] == problem.node].sum())
    stays = float(np.trace(matrix))
    parts = [("stay on their rank", stays), ("to another rank of the node", inside - stays)]
    if problem.n_nodes > 1:
        parts.append(("to another node", total - inside))
    rows: list[tuple[Cell, ...]] = [
        (name, tokens, tokens / total if total else None) for name, tokens in parts
    ]
    return Table("Tokens per step", ("where to", "tokens", "share"), tuple(rows), ("", "", "share"))
