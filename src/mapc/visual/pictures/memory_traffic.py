"""Bytes of a memory plan over its steps: what is in use, and what is moved."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.visual.figure import (
    Axis,
    Figure,
    Mark,
    Rects,
    Steps,
    Table,
    column,
)
from mapc.visual.pictures.extents import (
    MARGIN,
    address_axis,
    limit_note,
    limit_rule,
    short,
    span_words,
)
from mapc.visual.pictures.memory_map import bound_rules, peak_rule, step_axis
from mapc.visual.pictures.memory_transfers import KINDS, Transfers, kinds_of
from mapc.visual.view import View
from mapc.visual.words import counted, sentences, words

SERIES = (
    ("reloaded", "reloads", "reload"),
    ("spilled", "spills", "spill"),
    ("streamed", "streamed reads", "c2"),
    ("compulsory", "compulsory", "quiet"),
)
"""Column of `Transfers.per_step`, its name in the legend, its colour; from the bottom up."""
BARS = 1_000
"""Bars beside each other: more are thinner than a pixel."""
MOST_MOVED = 20
"""Tensors in the table of traffic."""
FULLEST = 10
"""Steps in the table of bytes in use."""
BANK_LINES = 7
"""Banks with a line of their own."""


# -- bytes in use --------------------------------------------------------------------------------


def live_figure(view: View, moved: Transfers) -> Figure:
    """Return the bytes in use at every step, beside what its operator needs."""
    problem, banks = moved.problem, moved.problem.options.banks
    live = moved.live()
    need = problem.working_set[moved.plan.order]
    edges = column(np.arange(moved.n_steps + 1))
    top = int(live.max(initial=0))
    marks: list[Mark] = [
        # banks have the colours of categories
        Steps("working set of the operator", "c8" if banks else "c2", edges, column(need)),
        Steps("bytes in use", "plan", edges, column(live), fill=True),
    ]
    if banks:
        names = [name for name, _ in banks[:BANK_LINES]]
        marks += [
            Steps(f"in bank {short(name, 40)}", f"c{b + 1}", edges, column(moved.live(b)))
            for b, name in enumerate(names)
        ]
    else:
        tops = moved.tops()
        top = max(top, int(tops.max(initial=0)))
        marks.append(Steps("highest address in use", "baseline", edges, column(tops), dashed=True))
    bounds = bound_rules(view)
    y = address_axis(top, problem.capacity, "bytes", [int(rule.at) for rule in bounds])
    return Figure(
        key="live-bytes",
        title="Bytes in use at every step",
        summary=_live_summary(moved, live),
        x=step_axis(moved.n_steps),
        y=y,
        marks=(*marks, *limit_rule(problem.capacity, y), *bounds, *peak_rule(live)),
        note=sentences(_gap_note(bool(banks), len(banks)), limit_note(problem.capacity, y)),
        table=_fullest(moved, live, need),
    )


def _gap_note(banks: bool, n: int) -> str:
    if banks:
        more = n - BANK_LINES
        return f"{counted(more, 'more bank is', 'more banks are')} in the sum." if more > 0 else ""
    return "What is between bytes in use and the highest address is holes."


def _live_summary(moved: Transfers, live: IntArray) -> str:
    step = int(live.argmax())
    operator = short(moved.problem.graph.operator_names[moved.plan.order[step]])
    mean = words(round(float(live.mean())), "bytes")
    return (
        f"At most {words(int(live[step]), 'bytes')} are in use, at step {step} ({operator}); "
        f"{mean} on average over {counted(len(live), 'step')}."
    )


def _fullest(moved: Transfers, live: IntArray, need: IntArray) -> Table:
    names, order = moved.problem.graph.operator_names, moved.plan.order
    steps = np.argsort(-live, kind="stable")[:FULLEST].tolist()
    return Table(
        caption="Steps with most bytes in use",
        columns=("step", "operator", "in use", "working set", "workspace"),
        rows=tuple(
            (s, names[order[s]], int(live[s]), int(need[s]), int(moved.workspace[s])) for s in steps
        ),
        units=("count", "", "bytes", "bytes", "bytes"),
    )


# -- traffic -------------------------------------------------------------------------------------


def traffic_figure(moved: Transfers, most: int = BARS) -> Figure:
    """Return the bytes that every step moves, as bars: extra ones from the ground, then the rest.

    Parameters
    ----------
    moved : Transfers
    most : int
        Bars beside each other; several steps share one where there would be more.
    """
    columns = moved.per_step()
    n = moved.n_steps
    width = -(-n // most)
    starts = np.arange(0, n, width)
    summed = {key: np.add.reduceat(values, starts) for key, values in columns.items()}
    high = int(np.sum(list(summed.values()), axis=0).max(initial=0))
    note = (
        "A load counts at the step where the tensor comes in, a write at the last step before "
        "it leaves."
    )
    return Figure(
        key="traffic",
        title="Traffic of every step" if width == 1 else f"Traffic of every {width} steps",
        summary=_traffic_summary(columns),
        x=step_axis(n),
        y=Axis("bytes moved", 0.0, max(1.0, high * MARGIN), "bytes"),
        marks=_bars(moved, summed, starts, np.minimum(starts + width, n)),
        note=note,
        table=_most_moved(moved),
    )


def _bars(
    moved: Transfers, summed: dict[str, IntArray], starts: IntArray, stops: IntArray
) -> tuple[Mark, ...]:
    """Return the bars of every kind of traffic that there is, one kind upon the other."""
    names, order = moved.problem.graph.operator_names, moved.plan.order
    ground = np.zeros(len(starts), dtype=np.int64)
    marks = []
    for key, name, role in SERIES:
        size = summed[key]
        at = np.flatnonzero(size)
        if len(at):
            titles = []
            for i in at.tolist():
                steps = span_words(int(starts[i]), int(stops[i]))
                who = f", {short(names[order[starts[i]]])}" if stops[i] - starts[i] == 1 else ""
                titles.append(f"{steps}{who}: {name} {words(int(size[i]), 'bytes')}")
            low, high = column(ground[at]), column(ground[at] + size[at])
            x = column(starts[at]), column(stops[at])
            marks.append(Rects(name, role, *x, low, high, tuple(titles)))
        ground = ground + size
    return tuple(marks)


def _traffic_summary(columns: dict[str, IntArray]) -> str:
    total = {key: int(values.sum()) for key, values in columns.items()}
    extra = columns["reloaded"] + columns["spilled"] + columns["streamed"]
    moved = ", ".join(
        f"{words(total[key], 'bytes')} {key}"
        for key, _, _ in SERIES
        if total[key] or key != "streamed"
    )
    most = int(extra.max(initial=0))
    if not most:
        return f"Bytes moved to and from the memory: {moved}. None of them are extra."
    return (
        f"Bytes moved to and from the memory: {moved}. Most extra traffic, "
        f"{words(most, 'bytes')}, is at step {int(extra.argmax())}; there is some at "
        f"{counted(int((extra > 0).sum()), 'step')} of {len(extra):,}."
    )


def _most_moved(moved: Transfers) -> Table:
    graph, size = moved.problem.graph, moved.problem.sizes
    kind, count = kinds_of(graph), moved.per_tensor()
    total = (count["loads"] + count["writes"] + count["streams"]) * size
    extra = count["extra"] * size
    busy = np.flatnonzero(total)
    chosen = busy[np.lexsort((-total[busy], -extra[busy]))][:MOST_MOVED]
    more = len(busy) - len(chosen)
    return Table(
        caption="Tensors that move most: by extra bytes, then by all",
        columns=("tensor", "kind", "bytes", "loads", "writes", "streamed", "extra", "moved"),
        rows=tuple(
            (
                graph.tensor_names[t],
                KINDS[kind[t]],
                int(size[t]),
                int(count["loads"][t]),
                int(count["writes"][t]),
                int(count["streams"][t]),
                int(extra[t]),
                int(total[t]),
            )
            for t in chosen.tolist()
        ),
        units=("", "", "bytes", "count", "count", "count", "bytes", "bytes"),
        note=f"{counted(more, 'more tensor moves', 'more tensors move')} less." if more else "",
    )
