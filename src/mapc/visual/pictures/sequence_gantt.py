"""Groups as rectangles over time and ranks, with their sequences inside where there is room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray
from mapc.visual.figure import Axis, Cell, Figure, FloatArray, Mark, Rects, Rule, Table, column
from mapc.visual.pictures.sequence_comparison import Bound
from mapc.visual.pictures.sequence_groups import Classes, Groups, ranks
from mapc.visual.words import between, counted, words

MOST_RECTANGLES = 5_000
"""Of groups and their sequences in one picture."""
MOST_RULES = 32
"""Borders of nodes, and of micro-batches."""
MOST_ROWS = 200
"""Of the table of micro-batches."""
HEIGHT = 480
RIBBON, RIBBON_PIXELS = 0.4, 8.0
"""Part of a group's height that shows its sequences, and the most that it may be."""
SHOWN_PIXELS = 8.0
"""Least height of a group whose sequences are shown."""


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Rectangles: one for each group, or for neighbours together. Columns over blocks.

    ``x0`` and ``x1`` are in ms, ``y0`` and ``y1`` in ranks.
    """

    of_class: IntArray
    x0: FloatArray
    x1: FloatArray
    y0: FloatArray
    y1: FloatArray
    title: Callable[[int], str]


def gantt(seen: Groups, bound: Bound | None) -> Figure:
    """Return ranks (down) over time in ms: a rectangle for every group, coloured by degree.

    Beyond `MOST_RECTANGLES` groups, neighbours of one degree in a micro-batch are drawn together,
    up to their mean time, so that what stays empty is still what is idle; where even that is too
    many, only the first micro-batches are drawn. The note says so.
    """
    notes: list[str] = []
    n_ranks, step = seen.problem.n_ranks, seen.step_ms
    blocks = _blocks(seen, notes)
    marks: list[Mark] = [*_rects(blocks, seen.classes), *_ribbons(seen, notes)]
    marks += _nodes(seen, notes) + _borders(seen, notes)
    marks.append(Rule("step", "plan", "x", step))
    if bound is not None:
        marks.append(Rule(bound.name, "bound", "x", bound.ms, dashed=True))
    idle = seen.idle()
    return Figure(
        key="gantt",
        title="Groups of ranks over the step",
        summary=(
            f"{counted(seen.n_batches, 'micro-batch', 'micro-batches')} one after the other, "
            f"{counted(len(seen), 'group')} on {counted(n_ranks, 'rank')}; the step takes "
            f"{words(step, 'ms')}, the longest micro-batch "
            f"{words(float(seen.ms(seen.slowest.max())), 'ms')}; the micro-batches' ranks are "
            f"idle for {between(float(idle.min()), float(idle.max()), 'share')} "
            "of their time."
        ),
        x=Axis("time", 0.0, max(step, bound.ms if bound else 0.0) * 1.01 or 1.0, "ms"),
        y=Axis("rank", 0.0, float(n_ranks), "count", down=True),
        marks=tuple(marks),
        height=HEIGHT,
        note=" ".join(notes),
        table=_table(seen, idle),
    )


# -- groups ----------------------------------------------------------------------------------------


def _blocks(seen: Groups, notes: list[str]) -> _Blocks:
    """Return what to draw of groups, within the cluster."""
    inside = (seen.first < seen.problem.n_ranks) & (seen.first > -seen.degree)
    if not inside.all():
        outside = counted(int((~inside).sum()), "group")
        notes.append(f"{outside} with ranks outside the cluster: not drawn.")
    order = np.lexsort((seen.first, seen.batch))
    order = order[inside[order]]
    if len(order) <= MOST_RECTANGLES:
        return _single(seen, order)
    start = _chains(seen, order)
    if len(start) > MOST_RECTANGLES:
        batch = seen.batch[order]
        shown = int(batch[start[MOST_RECTANGLES]])  # micro-batches that are whole
        notes.append(f"Only the first {shown:,} of {seen.n_batches:,} micro-batches are drawn.")
        order = order[: int(np.searchsorted(batch, shown))]
        start = start[: int(np.searchsorted(start, len(order)))]
    stride = _stride(np.diff(np.append(start, len(order))))
    if stride == 1:
        return _single(seen, order)
    notes.append(
        f"Up to {stride} neighbouring groups of one degree are drawn as one, up to their mean time."
    )
    return _merged(seen, order, _cut(start, len(order), stride))


def _single(seen: Groups, order: IntArray) -> _Blocks:
    x0 = seen.start[seen.batch[order]]
    return _Blocks(
        seen.classes.of_mode[seen.mode[order]],
        column(seen.ms(x0)),
        column(seen.ms(x0 + seen.ticks[order])),
        column(np.maximum(seen.first[order], 0)),
        column(np.minimum(seen.first[order] + seen.degree[order], seen.problem.n_ranks)),
        lambda i: seen.title(int(order[i])),
    )


def _chains(seen: Groups, order: IntArray) -> IntArray:
    """Return where chains of neighbours of one mode in one micro-batch begin."""
    g, before = order[1:], order[:-1]
    breaks = (
        (seen.batch[g] != seen.batch[before])
        | (seen.mode[g] != seen.mode[before])
        | (seen.first[g] != seen.first[before] + seen.degree[before])
    )
    return np.flatnonzero(np.append(True, breaks))


def _stride(lengths: IntArray) -> int:
    """Return the least power of two of neighbours together that leaves few enough blocks."""
    stride = 1
    while stride < lengths.max(initial=1) and int((-(-lengths // stride)).sum()) > MOST_RECTANGLES:
        stride *= 2
    return stride


def _cut(start: IntArray, n: int, stride: int) -> IntArray:
    """Return where blocks begin: chains cut after every ``stride`` groups."""
    lengths = np.diff(np.append(start, n))
    place = np.arange(n) - np.repeat(start, lengths)
    return np.flatnonzero(place % stride == 0)


def _merged(seen: Groups, order: IntArray, start: IntArray) -> _Blocks:
    n = np.diff(np.append(start, len(order)))
    head, tail = order[start], order[start + n - 1]
    ticks = seen.ticks[order].astype(np.float64)
    mean = np.add.reduceat(ticks, start) / n
    least, most = np.minimum.reduceat(ticks, start), np.maximum.reduceat(ticks, start)
    members = np.add.reduceat(seen.members[order], start)
    longest = np.maximum.reduceat(seen.longest[order], start)
    first, stop = seen.first[head], seen.first[tail] + seen.degree[tail]
    x0 = seen.start[seen.batch[head]]

    def title(i: int) -> str:
        if n[i] == 1:
            return seen.title(int(head[i]))
        return (
            f"micro-batch {seen.number[seen.batch[head[i]]]}; {n[i]} groups of degree "
            f"{seen.degree[head[i]]}, {ranks(int(first[i]), int(stop[i] - first[i]))}; "
            f"{counted(int(members[i]), 'sequence')}, longest {counted(int(longest[i]), 'token')}; "
            f"{between(float(seen.ms(least[i])), float(seen.ms(most[i])), 'ms')}"
        )

    return _Blocks(
        seen.classes.of_mode[seen.mode[head]],
        column(seen.ms(x0)),
        column(seen.ms(x0 + mean)),
        column(np.maximum(first, 0)),
        column(np.minimum(stop, seen.problem.n_ranks)),
        title,
    )


def _rects(blocks: _Blocks, classes: Classes) -> list[Rects]:
    found = []
    for number, name in enumerate(classes.names):
        at = np.flatnonzero(blocks.of_class == number)
        if len(at):
            found.append(
                Rects(
                    name,
                    Classes.role(number),
                    blocks.x0[at],
                    blocks.x1[at],
                    blocks.y0[at],
                    blocks.y1[at],
                    tuple(blocks.title(int(i)) for i in at),
                )
            )
    return found


# -- sequences in them -----------------------------------------------------------------------------


def _ribbons(seen: Groups, notes: list[str]) -> list[Rects]:
    """Return the sequences of groups that are high enough, in two alternating greys."""
    problem = seen.problem
    high = seen.degree * (HEIGHT / problem.n_ranks) >= SHOWN_PIXELS
    high &= (seen.first >= 0) & (seen.first <= problem.n_ranks - seen.degree)
    k = np.flatnonzero(high[seen.group])
    if len(k) == 0 or len(k) + len(seen) > MOST_RECTANGLES:
        return []
    ticks = problem.ticks[seen.mode[seen.group[k]], k]
    order = np.lexsort((k, -ticks, seen.group[k]))
    k, ticks = k[order], ticks[order]
    g = seen.group[k]
    head = np.searchsorted(g, g)  # of the group's first
    after = np.cumsum(ticks)
    after -= (after - ticks)[head]
    begin = seen.start[seen.batch[g]] + problem.fixed_ticks[seen.mode[g]]
    x0, x1 = column(seen.ms(begin + (after - ticks))), column(seen.ms(begin + after))
    half = np.minimum(RIBBON * seen.degree[g], RIBBON_PIXELS * problem.n_ranks / HEIGHT) / 2
    middle = seen.first[g] + seen.degree[g] / 2
    y0, y1 = column(middle - half), column(middle + half)
    notes.append(
        "Ribbons in groups: the fixed part of the time, then one sequence after the other, the "
        "slowest first" + ("." if high.all() else "; in groups that are high enough.")
    )
    place = np.arange(len(k)) - head
    found = []
    for odd, (name, role) in enumerate((("sequence", "quiet"), ("", "baseline"))):
        at = np.flatnonzero(place % 2 == odd)
        titles = tuple(
            f"sequence {k[i]}, {counted(int(problem.lengths[k[i]]), 'token')}; "
            f"{words(float(seen.ms(ticks[i])), 'ms')} in group {g[i]}"
            for i in at
        )
        if len(at):
            found.append(Rects(name, role, x0[at], x1[at], y0[at], y1[at], titles))
    return found


# -- borders ---------------------------------------------------------------------------------------


def _nodes(seen: Groups, notes: list[str]) -> list[Mark]:
    ranks_, node = seen.problem.n_ranks, seen.problem.node_ranks
    every = 1
    while ranks_ // (node * every) > MOST_RULES:
        every *= 2
    if ranks_ > node * every:
        notes.append(
            "Lines across: "
            + (
                f"nodes of {counted(node, 'rank')}."
                if every == 1
                else f"every {every} nodes of {counted(node, 'rank')}."
            )
        )
    rows = range(node * every, ranks_, node * every)
    return [Rule("", "quiet", "y", float(at)) for at in rows]


def _borders(seen: Groups, notes: list[str]) -> list[Mark]:
    at = seen.ms(seen.start[1:-1])
    if len(at) > MOST_RULES:
        notes.append("Borders of micro-batches are left out.")
        return []
    return [Rule("", "quiet", "x", float(x), dashed=True) for x in at]


# -- in numbers ------------------------------------------------------------------------------------


def _table(seen: Groups, idle: FloatArray) -> Table:
    """Return a row for each micro-batch, up to `MOST_ROWS`."""
    shown = min(seen.n_batches, MOST_ROWS)
    order = np.argsort(seen.batch, kind="stable")
    edge = np.searchsorted(seen.batch[order], np.arange(shown + 1))
    rows: list[tuple[Cell, ...]] = []
    for b in range(shown):
        g = order[edge[b] : edge[b + 1]]
        slow = int(g[seen.ticks[g].argmax()])
        degree, n = np.unique(seen.degree[g], return_counts=True)
        rows.append(
            (
                int(seen.number[b]),
                len(g),
                ", ".join(f"{c} of {d}" for d, c in zip(degree[::-1], n[::-1], strict=True)),
                int(seen.members[g].sum()),
                int(seen.tokens[g].sum()),
                float(seen.ms(seen.slowest[b])),
                float(idle[b]),
                f"group {slow}, degree {seen.degree[slow]}",
            )
        )
    return Table(
        "Micro-batches",
        (
            *("micro-batch", "groups", "of degree", "sequences", "padded tokens"),
            *("time", "idle", "slowest"),
        ),
        tuple(rows),
        ("count", "count", "", "count", "count", "ms", "share", ""),
        f"The first {shown} of {seen.n_batches:,}." if shown < seen.n_batches else "",
    )
