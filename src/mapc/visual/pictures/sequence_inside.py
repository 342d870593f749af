"""Lengths by the degree they run at, and time and memory of every group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.visual.figure import Axis, Figure, FloatArray, Mark, Rects, Rule, Table, column
from mapc.visual.pictures.sequence_groups import Classes, Groups
from mapc.visual.words import between, counted, words

BINS = 32
"""About how many bins a histogram of lengths has."""
FINEST = 8
"""Most bins to a doubling."""
MOST_BARS = 1_500
"""Groups in one picture; where there are more, every second one or fewer."""
MOST_RULES = 64


# -- lengths ---------------------------------------------------------------------------------------


def lengths(seen: Groups) -> Figure:
    """Return how many sequences have which length, stacked by the degree they run at."""
    problem = seen.problem
    edges = bin_edges(int(problem.lengths.min()), int(problem.lengths.max()))
    counts = _counts(seen, edges)
    total = counts.sum(axis=0)
    marks: list[Mark] = []
    base = np.zeros(len(total))
    for number, row in enumerate(counts):
        at = np.flatnonzero(row)
        if len(at):
            marks.append(_stacked(seen, number, edges, row, base, at))
        base = base + row
    marks += _limits(seen, float(edges[0]), float(edges[-1]))
    extent = int(problem.lengths.min()), int(problem.lengths.max())
    middle = int(np.percentile(problem.lengths, 50, method="nearest"))
    return Figure(
        key="lengths",
        title="Sequence lengths by degree",
        summary=(
            f"{counted(len(seen.group), 'sequence')} of {between(*extent)} tokens, half of them up "
            f"to {middle:,}; colours are the degrees of their groups."
        ),
        x=Axis("tokens", float(edges[0]), float(edges[-1]), "count", log=True),
        y=Axis("sequences", 0.0, float(total.max()) * 1.05, "count"),
        marks=tuple(marks),
        note=(
            f"Lengths before padding to multiples of {problem.padding}."
            if problem.padding > 1
            else ""
        ),
        table=_degrees(seen),
    )


def bin_edges(shortest: int, longest: int) -> IntArray:
    """Return whole edges of bins of about equal width on a logarithmic axis, for whole lengths.

    Bin i has lengths from ``edges[i]`` up to ``edges[i + 1] - 1``; the first begins at or below
    ``shortest``, the last ends above ``longest``.
    """
    doublings = max(np.log2((longest + 1) / shortest), 1e-9)
    fine = int(np.clip(BINS // max(1.0, doublings), 1, FINEST))
    low, high = int(np.floor(fine * np.log2(shortest))), int(np.ceil(fine * np.log2(longest + 1)))
    edges = np.unique(np.rint(2.0 ** (np.arange(low, high + 1) / fine)).astype(np.int64))
    # rounding leaves empty bins at the ends of few short lengths
    first, last = np.searchsorted(edges, [shortest, longest], side="right")
    return edges[first - 1 : last + 1]


def _counts(seen: Groups, edges: IntArray) -> IntArray:
    """Return int64[classes, bins]: sequences of every class and length."""
    of_class = seen.classes.of_mode[seen.mode[seen.group]]
    at = np.searchsorted(edges, seen.problem.lengths, side="right") - 1
    counts = np.zeros((len(seen.classes.names), len(edges) - 1), dtype=np.int64)
    np.add.at(counts, (of_class, at), 1)
    return counts


def _stacked(
    seen: Groups, number: int, edges: IntArray, row: IntArray, base: FloatArray, at: IntArray
) -> Rects:
    name = seen.classes.names[number]
    return Rects(
        name,
        Classes.role(number),
        column(edges[at]),
        column(edges[at + 1]),
        base[at],
        base[at] + row[at],
        tuple(
            f"{name}; {edges[i]:,} to {edges[i + 1] - 1:,} tokens: "
            f"{counted(int(row[i]), 'sequence')}"
            for i in at
        ),
    )


def _limits(seen: Groups, low: float, high: float) -> list[Mark]:
    """Return rules where a sequence outgrows a degree."""
    cost = seen.problem.cost
    room = np.unique(cost.tokens)
    room = room[(room > low) & (room < high)]
    return [
        Rule("" if i else "most that a degree holds", "limit", "x", float(at), dashed=True)
        for i, at in enumerate(room)
    ]


def _degrees(seen: Groups) -> Table:
    """Return a row for each degree that is used."""
    rows = []
    for degree in np.unique(seen.degree):
        g = np.flatnonzero(seen.degree == degree)
        k = np.flatnonzero(seen.degree[seen.group] == degree)
        of_k = seen.problem.lengths[k]
        rank_ms = float(seen.ms((degree * seen.ticks[g].astype(np.float64)).sum()))
        rows.append(
            (
                int(degree),
                len(g),
                len(k),
                int(of_k.min()) if len(k) else None,
                int(of_k.max()) if len(k) else None,
                int(of_k.sum()),
                rank_ms,
            )
        )
    return Table(
        "Degrees",
        ("degree", "groups", "sequences", "shortest", "longest", "tokens", "rank-time"),
        tuple(rows),
        ("count", "count", "count", "count", "count", "count", "ms"),
    )


# -- groups one by one -----------------------------------------------------------------------------


def groups(seen: Groups) -> Figure:
    """Return the time of every group, micro-batch by micro-batch, the slowest first."""
    order, note = _in_turn(seen)
    ms = column(seen.ms(seen.ticks))
    return Figure(
        key="groups",
        title="Time of every group",
        summary=(
            f"{counted(len(seen), 'group')} by micro-batch (dashed lines), the slowest first; "
            f"{between(float(ms.min()), float(ms.max()), 'ms')}. What a bar lacks "
            "to the first of its micro-batch, its ranks wait."
        ),
        x=_of_groups(order),
        y=Axis("time", 0.0, float(ms.max()) * 1.05 or 1.0, "ms"),
        marks=(*_bars(seen, order, ms[order], seen.title), *_borders(seen, order)),
        note=note,
    )


def memory(seen: Groups) -> Figure:
    """Return how full every group is, in the order of `groups`."""
    order, note = _in_turn(seen)
    share = seen.tokens / seen.room

    def title(g: int) -> str:
        return f"{words(float(share[g]), 'share')} full; {seen.title(g)}"

    return Figure(
        key="memory",
        title="Memory of every group",
        summary=(
            "Padded tokens of each group as a share of the most that its ranks hold: "
            f"{between(float(share.min()), float(share.max()), 'share')}, in "
            "the order of the times."
        ),
        x=_of_groups(order),
        y=Axis("tokens / most tokens", 0.0, max(1.0, float(share.max())) * 1.05, "share"),
        marks=(
            *_bars(seen, order, column(share[order]), title),
            *_borders(seen, order),
            Rule("most that fit", "limit", "y", 1.0, dashed=True),
        ),
        height=220,
        note=note,
    )


def _in_turn(seen: Groups) -> tuple[IntArray, str]:
    """Return groups by micro-batch, the slowest first, and what to say of those left out."""
    order = np.lexsort((np.arange(len(seen)), -seen.ticks, seen.batch))
    if len(order) <= MOST_BARS:
        return order, ""
    size = np.bincount(seen.batch)
    place = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    stride = 2
    while stride < size.max() and int((-(-size // stride)).sum()) > MOST_BARS:
        stride *= 2
    shown = order[place % stride == 0]
    note = f"One of {stride} groups is shown, the slowest of each micro-batch among them."
    if len(shown) > MOST_BARS:
        note = f"The slowest group of each of the first {MOST_BARS:,} micro-batches."
    return shown[:MOST_BARS], note


def _of_groups(order: IntArray) -> Axis:
    return Axis("groups by micro-batch", 0.0, float(len(order)), "count")


def _bars(
    seen: Groups, order: IntArray, height: FloatArray, title: Callable[[int], str]
) -> list[Mark]:
    of_class = seen.classes.of_mode[seen.mode[order]]
    found: list[Mark] = []
    for number, name in enumerate(seen.classes.names):
        at = np.flatnonzero(of_class == number)
        if len(at):
            found.append(
                Rects(
                    name,
                    Classes.role(number),
                    column(at),
                    column(at + 1),
                    np.zeros(len(at)),
                    height[at],
                    tuple(title(int(order[i])) for i in at),
                )
            )
    return found


def _borders(seen: Groups, order: IntArray) -> list[Mark]:
    at = np.flatnonzero(np.diff(seen.batch[order])) + 1
    if len(at) > MOST_RULES:
        return []
    return [Rule("", "quiet", "x", float(x), dashed=True) for x in at]
