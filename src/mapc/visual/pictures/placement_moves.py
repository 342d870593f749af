"""What a plan changes of the placement in force, and what fits into the memory of ranks."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.markup import clean
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.units import format_bytes
from mapc.visual.figure import Axis, Figure, Mark, Rects, Rule, Scale, Section, Steps, column
from mapc.visual.pictures.placement_heat import heat, height_of
from mapc.visual.pictures.placement_layouts import MAX_NAME, Layout, layer_side, rank_side
from mapc.visual.words import counted, sentences

FAR = 20
"""Times the weights above which a capacity is told, not drawn: the bars would vanish."""


def arrivals(problem: PlacementProblem, slots: IntArray) -> IntArray:
    """int64[L, G]: experts on a rank that it does not hold in the placement in force.

    Parameters
    ----------
    problem : PlacementProblem
        With ``current``.
    slots : int64[L, G, C]
    """
    assert problem.current is not None
    return np.asarray(
        (_held(problem, slots) & ~_held(problem, problem.current)).sum(axis=2), dtype=np.int64
    )


def _held(problem: PlacementProblem, slots: IntArray) -> np.ndarray:
    """bool[L, G, E]."""
    held = np.zeros((*slots.shape[:2], problem.n_experts + 1), dtype=np.bool_)
    np.put_along_axis(held, np.where(slots < 0, problem.n_experts, slots), True, axis=2)
    return held[:, :, :-1]


def moves_section(problem: PlacementProblem, ours: Layout) -> Section:
    """Return what has to be copied to ranks, against the budget."""
    new = arrivals(problem, ours.plan.slots)
    total = int(new.sum())
    text = f"{counted(total, 'expert is', 'experts are')} new on their rank"
    if problem.max_moves is not None:
        text += f", of {problem.max_moves:,} allowed"
    if problem.expert_bytes:
        text += f"; {format_bytes(total * problem.expert_bytes)} to copy"
    figures = (moves_figure(problem, new), budget_figure(problem, new))
    return Section("moves", "Moves", text + ".", figures)


def moves_figure(problem: PlacementProblem, new: IntArray) -> Figure:
    """Return the experts that are new on each rank, layer by layer; new is int64[L, G]."""
    down, across = layer_side(problem), rank_side(problem)
    values = np.where(new > 0, new.astype(np.float64), np.nan)
    rects, note = heat(values, down, across, lambda v: f"{v:.0f} new")
    return Figure(
        key="moves",
        title="New experts per rank and layer",
        summary=f"New experts in {int((new > 0).sum()):,} of "
        f"{counted(new.size, 'pair')} of rank and layer, "
        f"{int(new.max()):,} at most.",
        x=across.axis(),
        y=down.axis(down=True),
        marks=(rects,),
        scale=Scale("new experts", 0.0, float(max(1, new.max())), "count"),
        height=height_of(len(new)),
        note=sentences("Empty where nothing moves.", note),
    )


def budget_figure(problem: PlacementProblem, new: IntArray) -> Figure:
    """Return moves added up from the first layer on, and the budget."""
    sums = new.sum(axis=1).cumsum()
    total = int(sums[-1])
    marks: list[Mark] = [
        Steps("moves", "plan", column(np.arange(len(new) + 1)), column(sums), fill=True)
    ]
    top, summary = float(max(1, total)), f"{counted(total, 'move')} over all layers"
    if problem.max_moves is not None and problem.max_moves <= max(1, total) * FAR:
        marks.append(Rule("budget", "limit", "y", float(problem.max_moves), dashed=True))
        top = max(top, float(problem.max_moves))
    if problem.max_moves is not None:
        summary += f", of {problem.max_moves:,} allowed"
    return Figure(
        key="moves-total",
        title="Moves, added up over layers",
        summary=summary + ".",
        x=layer_side(problem).axis(),
        y=Axis("moves so far", 0.0, top, "count"),
        marks=tuple(marks),
        height=220,
    )


def weight_bytes(problem: PlacementProblem, slots: IntArray) -> FloatArray:
    """float64[G]: bytes of expert weights on every rank, over all layers."""
    return np.asarray((slots >= 0).sum(axis=(0, 2)) * float(problem.expert_bytes))


def memory_section(problem: PlacementProblem, ours: Layout) -> Section:
    """Return the weights on every rank, against its memory."""
    held = weight_bytes(problem, ours.plan.slots)
    names = problem.cluster.names
    at = column(np.arange(problem.n_ranks))
    titles = tuple(
        f"{clean(name, MAX_NAME)}: {format_bytes(int(size))}"
        for name, size in zip(names, held.tolist(), strict=True)
    )
    bars = Rects("expert weights", "plan", at + 0.1, at + 0.9, 0.0 * at, held, titles)
    marks: list[Mark] = [bars]
    memory, most = problem.cluster.memory.astype(np.float64), float(held.max())
    least = float(memory[problem.live].min())
    room = f"the least memory of a rank is {format_bytes(int(least))}"
    top, note = most, ""
    if float(memory.max()) <= FAR * most:
        steps = column(np.arange(problem.n_ranks + 1))
        marks.append(Steps("memory", "limit", steps, memory, dashed=True))
        top = max(top, float(memory.max()))
    else:
        note = f"Capacities are not drawn: {room}."
    figure = Figure(
        key="memory",
        title="Expert weights per rank",
        summary=f"At most {format_bytes(int(most))} of expert weights on a rank; {room}.",
        x=rank_side(problem).axis(),
        y=Axis("bytes", 0.0, max(1.0, top), "bytes"),
        marks=tuple(marks),
        height=240,
        note=note,
    )
    text = f"One expert of one layer takes {format_bytes(problem.expert_bytes)}."
    return Section("memory", "Memory", text, (figure,))
