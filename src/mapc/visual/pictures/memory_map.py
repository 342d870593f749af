"""The map of a memory plan: steps across, addresses up, a rectangle for every residency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.visual.figure import (
    MAX_MARKS,
    Axis,
    Figure,
    Mark,
    Points,
    Rects,
    Rule,
    Table,
    column,
)
from mapc.visual.pictures.extents import (
    address_axis,
    largest,
    limit_note,
    limit_rule,
    short,
    span_words,
)
from mapc.visual.pictures.memory_transfers import (
    ACTIVATION,
    INPUT,
    KINDS,
    OUTPUT,
    WEIGHT,
    Transfers,
    kinds_of,
)
from mapc.visual.view import View
from mapc.visual.words import counted, sentences, words

SERIES = (
    (ACTIVATION, "activations", "c5"),
    (OUTPUT, "network outputs", "c3"),
    (INPUT, "network inputs", "c2"),
    (WEIGHT, "weights", "c4"),
)
"""Kind of tensor, its name in the legend, its colour; in the order in which they are drawn."""
COMPULSORY_DOTS = 400
"""Compulsory loads, or writes, that are marked; more would hide what can be helped."""
ROWS = 20
"""Rows of the table of residencies."""


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What is drawn of one bank: chosen residencies and the steps of chosen workspaces."""

    rows: IntArray
    steps: IntArray
    left_out: int


def map_figures(view: View, moved: Transfers, most: int = MAX_MARKS) -> tuple[Figure, ...]:
    """Return the map of every bank that holds something, or the one map.

    Parameters
    ----------
    view : View
    moved : Transfers
        Of its plan.
    most : int
        Marks of one figure; the largest residencies are drawn.
    """
    banks = moved.problem.options.banks
    if not banks:
        return (_map(view, moved, 0, "memory-map", "Memory map", most),)
    return tuple(
        _map(view, moved, b, f"memory-map-{b}", f"Memory map of bank {short(banks[b][0])}", most)
        for b in moved.used_banks.tolist()
    )


def _map(view: View, moved: Transfers, bank: int, key: str, title: str, most: int) -> Figure:
    problem, plan = moved.problem, moved.plan
    banks = problem.options.banks
    limit = banks[bank][1] if banks else problem.capacity
    top = int(moved.tops(bank).max(initial=0))
    bounds = () if banks else bound_rules(view)
    drawn = _chosen(moved, bank, most)
    y = address_axis(top, limit, "address", [int(rule.at) for rule in bounds])
    lowest = int(plan.address[drawn.rows].min(initial=0))
    y = Axis(y.label, float(min(0, lowest)), y.high, y.unit)
    titles = residency_titles(moved, drawn.rows)
    marks = (
        *_rects(moved, drawn, titles),
        *limit_rule(limit, y),
        *bounds,
        *_used_rule(top, limit),
        *peak_rule(moved.live(bank if banks else None)),
        *_points(moved, drawn.rows),
    )
    here = plan.bank == bank
    return Figure(
        key=key,
        title=title,
        summary=_summary(moved, here, top, limit),
        x=step_axis(moved.n_steps),
        y=y,
        marks=marks,
        height=300 if banks else 440,
        note=sentences(
            _left_out(drawn), _unmarked(moved, drawn.rows), limit_note(limit, y), _in_place(moved)
        ),
        table=residency_table(moved, np.flatnonzero(here)),
    )


def step_axis(n_steps: int) -> Axis:
    """Return the axis of steps."""
    return Axis("step", 0.0, float(max(1, n_steps)), "count")


def bound_rules(view: View) -> tuple[Rule, ...]:
    """Return the lines that no capacity gets below: the largest working set, and what was proven.

    A bound of the run is one on the capacity only where the peak was minimised.
    """
    least = view.problem.smallest_capacity
    rules = [Rule("largest working set (M_R)", "bound", "y", float(least), dashed=True)]
    bound = view.bound
    if view.record.asked.get("minimize") == "peak" and bound is not None and bound > least:
        rules.append(Rule("bound on the peak", "bound", "y", float(bound), dashed=True))
    return tuple(rules)


def peak_rule(live: IntArray) -> tuple[Rule, ...]:
    """Return the line where the step with most bytes in use begins, the first of them."""
    if not len(live):
        return ()
    return (Rule("most bytes in use", "mark", "x", float(live.argmax())),)


def _used_rule(top: int, limit: int | None) -> tuple[Rule, ...]:
    if top == limit:
        return ()
    return (Rule("highest address in use", "plan", "y", float(top)),)


def _chosen(moved: Transfers, bank: int, most: int) -> _Drawn:
    """Choose residencies and workspaces of a bank by their area, as many as may be drawn."""
    plan = moved.plan
    rows = np.flatnonzero(plan.bank == bank)
    steps = np.flatnonzero((moved.workspace_bank == bank) & (moved.workspace > 0))
    area = column(moved.size[rows]) * (plan.stop - plan.start)[rows]
    dots = (moved.loaded | moved.remade).astype(np.int64) + plan.written
    keep = largest(
        np.concatenate([area, column(moved.workspace[steps])]),
        np.concatenate([1 + dots[rows], np.ones(len(steps), dtype=np.int64)]),
        most,
    )
    left_out = int((~keep).sum())
    return _Drawn(rows[keep[: len(rows)]], steps[keep[len(rows) :]], left_out)


def residency_titles(moved: Transfers, rows: IntArray) -> dict[int, str]:
    """Return what there is to say of some residencies, in one short line each: there are many."""
    plan, graph = moved.plan, moved.problem.graph
    said: dict[int, str] = {}
    for r in rows.tolist():
        t = int(plan.tensor[r])
        parts = [
            f"{short(graph.tensor_names[t])}: {words(int(moved.size[r]), 'bytes')} "
            f"at {int(plan.address[r]):,}",
            span_words(int(plan.start[r]), int(plan.stop[r])),
        ]
        producer = int(graph.producer[t])
        made_by = "" if producer < 0 else graph.operator_names[producer]
        if not graph.tensor_names[t].startswith(made_by):
            parts.append(f"made by {short(made_by, 40)}")
        said[r] = ", ".join([*parts, *_moves(moved, r)])
    return said


def _moves(moved: Transfers, r: int) -> list[str]:
    """Return what one residency moves, in words."""
    found = []
    if moved.loaded[r]:
        found.append("reloaded" if moved.reloaded[r] else "loaded")
    if moved.remade[r]:
        found.append("made again")
    if moved.plan.written[r]:
        found.append("spilled" if moved.spilled[r] else "written out")
    return found


def _rects(moved: Transfers, drawn: _Drawn, titles: dict[int, str]) -> list[Mark]:
    plan, graph = moved.plan, moved.problem.graph
    kind = kinds_of(graph)[plan.tensor[drawn.rows]]
    marks: list[Mark] = []
    for which, name, role in SERIES:
        rows = drawn.rows[kind == which]
        if not len(rows):
            continue
        low = column(plan.address[rows])
        high = column(plan.address[rows] + moved.size[rows])
        said = tuple(titles[r] for r in rows.tolist())
        marks.append(
            Rects(name, role, column(plan.start[rows]), column(plan.stop[rows]), low, high, said)
        )
    if len(drawn.steps):
        marks.append(_workspaces(moved, drawn.steps))
    return marks


def _workspaces(moved: Transfers, steps: IntArray) -> Rects:
    plan, graph = moved.plan, moved.problem.graph
    address = plan.workspace_address[plan.runs[steps]]
    size = moved.workspace[steps]
    titles = tuple(
        f"{short(graph.operator_names[plan.order[s]])}: workspace, {words(bytes_, 'bytes')} "
        f"at {at:,}, "
        f"step {s}"
        for s, bytes_, at in zip(steps.tolist(), size.tolist(), address.tolist(), strict=True)
    )
    return Rects(
        "workspaces",
        "c8",
        column(steps),
        column(steps + 1),
        column(address),
        column(address + size),
        titles,
    )


def _points(moved: Transfers, rows: IntArray) -> list[Mark]:
    """Return the dots where residencies begin with a load or end with a write, at mid-height."""
    plan, names = moved.plan, moved.problem.graph.tensor_names
    series: tuple[tuple[str, str, str, IntArray, BoolArray, str], ...] = (
        ("first loads (compulsory)", "quiet", "round", plan.start, moved.load_due, "loaded"),
        ("outputs written (compulsory)", "quiet", "square", plan.stop, moved.write_due, "written"),
        ("made again", "mark", "round", plan.start, moved.remade, "made again"),
        ("reloads", "reload", "round", plan.start, moved.reloaded, "reloaded"),
        ("spills", "spill", "square", plan.stop, moved.spilled, "spilled"),
    )
    marks: list[Mark] = []
    for name, role, shape, step, chosen, verb in series:
        of = rows[chosen[rows]]
        if len(of) and not (role == "quiet" and len(of) > COMPULSORY_DOTS):
            y = column(plan.address[of]) + column(moved.size[of]) / 2
            # what is spilled leaves at the end of the step before
            when = (step[of] - (shape == "square")).tolist()
            who = zip(plan.tensor[of].tolist(), when, moved.size[of].tolist(), strict=True)
            said = tuple(
                f"{short(names[t])}: {verb} at step {s}, {words(size, 'bytes')}"
                for t, s, size in who
            )
            marks.append(Points(name, role, column(step[of]), y, said, shape))
    return marks


def residency_table(moved: Transfers, rows: IntArray) -> Table:
    """Return the largest of some residencies by bytes times steps, in numbers."""
    plan, graph = moved.plan, moved.problem.graph
    kind = kinds_of(graph)
    area = column(moved.size[rows]) * (plan.stop - plan.start)[rows]
    chosen = rows[np.argsort(-area, kind="stable")[:ROWS]]
    found = tuple(
        (
            graph.tensor_names[plan.tensor[r]],
            KINDS[kind[plan.tensor[r]]],
            int(moved.size[r]),
            int(plan.start[r]),
            int(plan.stop[r]) - 1,
            int(plan.address[r]),
            ", ".join(_moves(moved, r)),
        )
        for r in chosen.tolist()
    )
    more = len(rows) - len(chosen)
    return Table(
        caption="Largest residencies, by bytes times steps",
        columns=("tensor", "kind", "bytes", "first step", "last step", "address", "moves"),
        rows=found,
        units=("", "", "bytes", "count", "count", "count", ""),
        note=f"{counted(more, 'more is', 'more are')} not listed." if more else "",
    )


def _summary(moved: Transfers, here: BoolArray, top: int, limit: int | None) -> str:
    counts = [
        counted(int(here.sum()), "residency", "residencies"),
        counted(int((moved.reloaded & here).sum()), "reload"),
        counted(int((moved.spilled & here).sum()), "spill"),
    ]
    used = f"Addresses up to {words(top, 'bytes')} are in use"
    of = "" if limit is None else f", of a capacity of {words(limit, 'bytes')}"
    return (
        f"A rectangle for every stay of a tensor in the memory, over the steps it is there and the "
        f"addresses it takes: {counts[0]}, {counts[1]}, {counts[2]}. {used}{of}."
    )


def _left_out(drawn: _Drawn) -> str:
    if not drawn.left_out:
        return ""
    what = counted(drawn.left_out, "residency or workspace is", "residencies or workspaces are")
    return f"{what} not drawn: the smallest, by bytes times steps."


def _unmarked(moved: Transfers, rows: IntArray) -> str:
    counts = (int(due[rows].sum()) for due in (moved.load_due, moved.write_due))
    hidden = sum(count for count in counts if count > COMPULSORY_DOTS)
    if not hidden:
        return ""
    what = counted(hidden, "compulsory transfer has no dot", "compulsory transfers have no dots")
    return f"{what}: what their rectangles stand for says so."


def _in_place(moved: Transfers) -> str:
    if not moved.problem.options.in_place:
        return ""
    return "An output that takes over an input lies upon it at the step of its operator."
