"""The format of every group, and what it loses; how much of the network each format has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.markup import LIMIT
from mapc.models.bits.problem import MAX, BitsProblem
from mapc.visual.figure import Axis, Figure, FloatArray, Points, Rects, Table, column
from mapc.visual.pictures.bits_terms import Hue, Measure, loss_axis, short
from mapc.visual.words import counted, words

MOST: Final = 4_000
"""Groups with a bar each; of more, neighbours share one."""
_BLOCKS: Final = 400
_NAMED: Final = 60
"""Groups whose names stand on the axis."""
_FORMATS: Final = 16
"""Formats that have a bar even where no group has them."""


def groups(
    problem: BitsProblem, option: IntArray, colours: tuple[Hue, ...], shown: tuple[Measure, ...]
) -> tuple[Figure, ...]:
    """Return the figure ``formats``; of many groups also ``losses``."""
    if problem.n_groups > MOST:
        return _merged(problem, option, colours)
    return (_single(problem, option, colours, shown),)


def _group_axis(problem: BitsProblem) -> Axis:
    if problem.n_groups <= _NAMED:
        return Axis.of_names("group", problem.groups)
    return Axis("group, in the order of the file", 0.0, float(problem.n_groups), "count")


# -- a bar for each ------------------------------------------------------------------------------


def _single(
    problem: BitsProblem, option: IntArray, colours: tuple[Hue, ...], shown: tuple[Measure, ...]
) -> Figure:
    loss = problem.loss[option]
    axis = loss_axis("loss", loss)
    bars = loss > axis.low if axis.log else loss > 0
    titles, chosen = group_titles(problem, option, shown), problem.format_of[option]
    inset = 0.08 if problem.n_groups <= 5 * _NAMED else 0.0
    marks: list[Rects | Points] = []
    for hue in colours:
        mine = np.isin(chosen, hue.formats)
        at, flat = np.flatnonzero(mine & bars), np.flatnonzero(mine & ~bars)
        if len(at):
            low, names = np.full(len(at), axis.low), tuple(titles[i] for i in at.tolist())
            x0, x1 = column(at + inset), column(at + 1 - inset)
            marks.append(Rects(hue.name, hue.role, x0, x1, low, loss[at], names))
        if len(flat):
            low, names = np.full(len(flat), axis.low), tuple(titles[i] for i in flat.tolist())
            name = "" if len(at) else hue.name  # once in the legend
            marks.append(Points(name, hue.role, column(flat + 0.5), low, names, "square"))
    return Figure(
        key="formats",
        title="Format and loss of every group",
        summary=(
            f"A bar for each of {counted(problem.n_groups, 'group')}, in the order of the file: "
            "its height is the loss in the format it has, its colour the format. "
            f"{_counted(colours, chosen)}"
        ),
        x=_group_axis(problem),
        y=axis,
        marks=tuple(marks),
        note=_flat_note(~bars, loss, axis),
        table=_largest(problem, option),
    )


def _counted(colours: tuple[Hue, ...], chosen: IntArray) -> str:
    """Return how many groups have each format, in a sentence."""
    counts = ((int(np.isin(chosen, hue.formats).sum()), short(hue.name)) for hue in colours)
    return "; ".join(f"{name}: {count:,}" for count, name in counts if count) + "."


def _flat_note(flat: BoolArray, loss: FloatArray, axis: Axis) -> str:
    """Say what the squares on the lower edge are."""
    none = int((loss == 0).sum())
    little = int(flat.sum()) - none
    parts = [f"{none:,} lose nothing"] if none else []
    parts += [f"{little:,} lose less than {words(axis.low, 'loss')}"] if little else []
    return f"Squares on the lower edge: {', '.join(parts)}." if parts else ""


_ROWS: Final = 12


def _largest(problem: BitsProblem, option: IntArray) -> Table:
    loss = problem.loss[option]
    order = np.argsort(-loss, kind="stable")[:_ROWS].tolist()
    total = float(loss.sum())
    rest = problem.n_groups - len(order)
    return Table(
        "Groups that lose most",
        ("group", "format", "loss", "share of all losses"),
        tuple(
            (
                problem.groups[i],
                problem.formats[int(problem.format_of[option[i]])],
                float(loss[i]),
                float(loss[i]) / total if total else None,
            )
            for i in order
        ),
        ("", "", "loss", "share"),
        f"{counted(rest, 'more group is', 'more groups are')} not listed." if rest else "",
    )


def neighbours(problem: BitsProblem, option: IntArray) -> tuple[IntArray, IntArray]:
    """Return the options next to the chosen ones by loss: the next better, the next worse.

    Returns
    -------
    int64[n] twice
        Allowed options of the same group; -1 where there is none.
    """
    now = problem.loss[option][problem.group_of]
    less = problem.allowed & (problem.loss < now)
    more = problem.allowed & (problem.loss > now)
    return _first(problem, less, -problem.loss), _first(problem, more, problem.loss)


def _first(problem: BitsProblem, among: BoolArray, key: FloatArray) -> IntArray:
    """Return the option of least key of every group among some, -1 without any."""
    key = np.where(among, key, np.inf)
    least = np.minimum.reduceat(key, problem.start[:-1])
    at = np.flatnonzero(among & (key == least[problem.group_of]))
    found = np.full(problem.n_groups, -1, dtype=np.int64)
    found[problem.group_of[at[::-1]]] = at[::-1]  # written backwards, the first of equals stays
    return found


_COSTS: Final = 3
"""Resources in a title."""


def group_titles(
    problem: BitsProblem, option: IntArray, shown: Sequence[Measure]
) -> tuple[str, ...]:
    """Return what hovering over a group says: what it has, and what the next formats would do."""
    names = [problem.formats[at] for at in problem.format_of.tolist()]
    loss = problem.loss.tolist()
    cost = [(one, problem.cost[one.at].tolist()) for one in shown[:_COSTS]]

    def said(at: int, resources: int) -> str:
        amounts = "".join(f", {one.name} {one.words(c[at])}" for one, c in cost[:resources])
        return f"loss {words(loss[at], 'loss')}{amounts}"

    better, worse = (found.tolist() for found in neighbours(problem, option))
    titles = []
    for i, at in enumerate(option.tolist()):
        head, tail = f"{short(problem.groups[i])}: {names[at]}, ", ""
        for word, other in (("better", better[i]), ("worse", worse[i])):
            if other >= 0:
                tail += f"; {word}: {names[other]}, {said(other, 1)}"
        texts = (head + said(at, count) + tail for count in range(len(cost), 0, -1))
        # what does not fit costs the last resources first
        fitting = (text for text in texts if len(text) <= LIMIT)
        titles.append(next(fitting, head + said(at, 1) + tail))
    return tuple(titles)


# -- many groups ---------------------------------------------------------------------------------


def _merged(
    problem: BitsProblem, option: IntArray, colours: tuple[Hue, ...]
) -> tuple[Figure, Figure]:
    n = problem.n_groups
    size = -(-n // _BLOCKS)
    first = np.arange(0, n, size, dtype=np.int64)
    last = np.minimum(first + size, n)
    note = f"{n:,} groups; {size:,} neighbours share a bar."
    spans = [
        f"groups {a + 1:,} to {b:,} ({short(problem.groups[a])} to {short(problem.groups[b - 1])})"
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
    shares = Figure(
        key="formats",
        title="Formats along the network",
        summary=(
            f"{n:,} groups in the order of the file, {size:,} to a bar: what part of them has "
            f"which format. {_counted(colours, problem.format_of[option])}"
        ),
        x=_group_axis(problem),
        y=Axis("share of the groups", 0.0, 1.0, "share"),
        marks=_stacked(problem, option, colours, first, last, spans),
        note=note,
    )
    return shares, _losses(problem, option, first, last, spans, note)


def _stacked(
    problem: BitsProblem,
    option: IntArray,
    colours: tuple[Hue, ...],
    first: IntArray,
    last: IntArray,
    spans: list[str],
) -> tuple[Rects, ...]:
    size = int(last[0] - first[0])
    below = np.zeros(len(first), dtype=np.int64)
    marks = []
    for hue in colours:
        mine = np.flatnonzero(np.isin(problem.format_of[option], hue.formats))
        count = np.bincount(mine // size, minlength=len(first))
        at = np.flatnonzero(count)
        of, top = (last - first)[at], (below + count)[at]
        if len(at):
            titles = tuple(
                f"{spans[i]}: {hue.name}, {count[i]:,} of {last[i] - first[i]:,} groups" for i in at
            )
            x0, x1 = column(first[at]), column(last[at])
            marks.append(Rects(hue.name, hue.role, x0, x1, below[at] / of, top / of, titles))
        below = below + count
    return tuple(marks)


def _losses(
    problem: BitsProblem,
    option: IntArray,
    first: IntArray,
    last: IntArray,
    spans: list[str],
    note: str,
) -> Figure:
    worst = problem.objective == MAX
    loss = (np.maximum if worst else np.add).reduceat(problem.loss[option], first)
    axis = loss_axis("largest loss of a bar" if worst else "loss of a bar", loss)
    bars = loss > axis.low if axis.log else loss > 0
    titles = [f"{s}: loss {words(v, 'loss')}" for s, v in zip(spans, loss.tolist(), strict=True)]
    at, flat = np.flatnonzero(bars), np.flatnonzero(~bars)
    marks: list[Rects | Points] = [
        Rects(
            "",
            "plan",
            column(first[at]),
            column(last[at]),
            np.full(len(at), axis.low),
            loss[at],
            tuple(titles[i] for i in at),
        )
    ]
    if len(flat):
        middle, floor = (first[flat] + last[flat]) / 2, np.full(len(flat), axis.low)
        marks.append(Points("", "plan", middle, floor, tuple(titles[i] for i in flat), "square"))
    return Figure(
        key="losses",
        title="Loss along the network",
        summary="What the groups of each bar lose " + ("at most." if worst else "together."),
        x=_group_axis(problem),
        y=axis,
        marks=tuple(marks),
        height=220,
        note=" ".join(filter(None, (note, _flat_note(~bars, loss, axis)))),
        table=_largest(problem, option),
    )


# -- how much has which format -------------------------------------------------------------------


def shares(
    problem: BitsProblem,
    option: IntArray,
    colours: tuple[Hue, ...],
    order: list[int],
    shown: tuple[Measure, ...],
) -> Figure:
    """Return the figure ``shares``: the share of weights (else of groups) that has each format."""
    chosen, width = problem.format_of[option], len(problem.formats)
    count = np.bincount(chosen, minlength=width)
    weights = _sums(problem.weights, chosen, width)
    whole = int(weights.sum())
    part = weights / whole if whole else count / problem.n_groups
    if width > _FORMATS:
        order = [at for at in order if count[at]]
    place = {at: i for i, at in enumerate(order)}
    of = "weights" if whole else "groups"
    marks = []
    for hue in colours:
        mine = np.array([at for at in hue.formats if at in place and count[at]], dtype=np.int64)
        x = column([place[at] for at in mine.tolist()])
        titles = tuple(
            f"{problem.formats[at]}: {words(float(part[at]), 'share')} of the {of}, "
            f"{counted(int(count[at]), 'group')}"
            for at in mine.tolist()
        )
        zero = np.zeros(len(mine))
        marks.append(Rects("", hue.role, x + 0.15, x + 0.85, zero, part[mine], titles))
    return Figure(
        key="shares",
        title=f"{of.capitalize()} in each format",
        summary=f"What part of the {of} has each format, the cheapest format first.",
        x=Axis.of_names("format", [problem.formats[at] for at in order]),
        y=Axis(f"share of the {of}", 0.0, 1.0, "share"),
        marks=tuple(mark for mark in marks if len(mark.x0)),
        height=240,
        table=_format_table(problem, option, order, weights, shown),
    )


def _sums(values: IntArray, key: IntArray, width: int) -> IntArray:
    """Return exact sums by key, int64[width]."""
    found = np.zeros(width, dtype=np.int64)
    np.add.at(found, key, values)
    return found


def _format_table(
    problem: BitsProblem,
    option: IntArray,
    order: list[int],
    weights: IntArray,
    shown: tuple[Measure, ...],
) -> Table:
    chosen, width, n = problem.format_of[option], len(problem.formats), problem.n_groups
    count = np.bincount(chosen, minlength=width)
    loss = np.bincount(chosen, weights=problem.loss[option], minlength=width)
    whole = int(weights.sum())
    costs = [(one, _sums(problem.cost[one.at][option], chosen, width)) for one in shown]
    rows = tuple(
        (
            problem.formats[at],
            int(count[at]),
            int(count[at]) / n,
            int(weights[at]) if whole else None,
            int(weights[at]) / whole if whole else None,
            float(loss[at]),
            *(float(one.shown(cost[at])) for one, cost in costs),
        )
        for at in order
    )
    head = ("format", "groups", "share of groups", "weights", "share of weights", "loss of groups")
    units = ("", "count", "share", "count", "share", "loss")
    columns, own = (one.label for one in shown), (one.unit for one in shown)
    return Table("Formats in numbers", (*head, *columns), rows, (*units, *own))
