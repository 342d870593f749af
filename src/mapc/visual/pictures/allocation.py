"""Pictures of an allocation plan: its map, and the load over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.visual.figure import (
    MAX_MARKS,
    Axis,
    Figure,
    Mark,
    Rects,
    Rule,
    Section,
    Steps,
    Table,
    column,
)
from mapc.visual.pictures.extents import (
    address_axis,
    covered,
    largest,
    limit_note,
    limit_rule,
    short,
    tops,
)
from mapc.visual.view import View
from mapc.visual.words import counted, sentences, words

CLASSES = ("c5", "c3", "c2", "c4", "c1", "c6")
"""Colours of the classes of sizes, from small to large."""
FIXED = "c8"
"""Colour of buffers whose address is fixed."""
ROWS = 20
"""Rows of the table of buffers."""
BANK_LINES = 7
"""Banks with a line of their own."""


def sections(view: View) -> tuple[Section, ...]:
    """Return the sections of an allocation plan, the map first.

    Parameters
    ----------
    view : View
        Of an allocation problem and a plan of it. A plan that breaks rules is drawn if it has an
        address and a bank for every buffer; else one section says that it has not.
    """
    problem, plan = view.problem, view.plan
    shapes = {np.shape(plan.offset), np.shape(plan.bank)}
    banks = max(1, len(problem.banks))
    if shapes != {(problem.n_buffers,)} or ((plan.bank < 0) | (plan.bank >= banks)).any():
        text = "The plan cannot be drawn: it has no address in a bank for every buffer."
        return (Section("buffer-map", "Buffer map", text),)
    if not problem.n_buffers:
        return (Section("buffer-map", "Buffer map", "There are no buffers."),)
    placed = Placed(problem, plan)
    return (
        Section(
            "buffer-map",
            "Buffer map",
            _fragmentation(placed),
            map_figures(placed),
            (_largest_buffers(placed),),
        ),
        Section("live-bytes", "Bytes in use", figures=(live_figure(view, placed),)),
    )


@dataclass(frozen=True, eq=False)
class Placed:
    """An allocation problem and where its buffers lie."""

    problem: AllocationProblem
    plan: AllocationPlan

    @property
    def times(self) -> IntArray:
        """int64[p]: where the set of buffers alive changes, ascending."""
        return self.problem.load[0]

    def between(self, members: IntArray) -> tuple[IntArray, IntArray]:
        """int64[k] each: the lifetimes of some buffers, as indices into `times`."""
        low = np.searchsorted(self.times, self.problem.lower[members])
        return low, np.searchsorted(self.times, self.problem.upper[members])

    def inside(self, bank: int) -> IntArray:
        """int64[k]: the buffers in a bank."""
        return np.flatnonzero(self.plan.bank == bank)

    def load(self, members: IntArray) -> IntArray:
        """int64[p - 1]: bytes of some buffers alive from each of `times` to the next."""
        low, high = self.between(members)
        return covered(low, high, self.problem.padded[members], len(self.times) - 1)

    def tops(self, members: IntArray) -> IntArray:
        """int64[p - 1]: the highest byte of some buffers from each of `times` to the next."""
        solid = members[self.problem.padded[members] > 0]
        low, high = self.between(solid)
        above = self.plan.offset[solid] + self.problem.padded[solid]
        return tops(low, high, above, len(self.times) - 1)

    def limit(self, bank: int) -> int | None:
        """Return the bytes that a bank has."""
        return self.problem.banks[bank][1] if self.problem.banks else self.problem.capacity


def _time_axis(placed: Placed) -> Axis:
    return Axis("time", float(placed.times[0]), float(placed.times[-1]), "count")


# -- map -----------------------------------------------------------------------------------------


def map_figures(placed: Placed, most: int = MAX_MARKS) -> tuple[Figure, ...]:
    """Return the map of every bank that holds something, or the one map.

    Parameters
    ----------
    placed : Placed
    most : int
        Marks of one figure; the largest buffers are drawn.
    """
    if not placed.problem.banks:
        return (_map(placed, 0, "buffer-map", "Buffer map", most),)
    return tuple(
        _map(placed, b, f"buffer-map-{b}", f"Buffer map of bank {short(name)}", most)
        for b, (name, _) in enumerate(placed.problem.banks)
        if len(placed.inside(b))
    )


def _map(placed: Placed, bank: int, key: str, title: str, most: int) -> Figure:
    problem, limit = placed.problem, placed.limit(bank)
    members = placed.inside(bank)
    load, heights = placed.load(members), placed.tops(members)
    peak, most_alive = int(heights.max()), int(load.max())
    x = _time_axis(placed)
    y = address_axis(max(peak, most_alive), limit, "address")
    lowest = int(placed.plan.offset[members].min(initial=0))
    y = Axis(y.label, float(min(0, lowest)), y.high, y.unit)
    reserved = _reserved(problem, bank, x, y)
    taken = 0 if reserved is None else len(reserved.titles)
    life = problem.upper[members] - problem.lower[members]
    area = column(problem.padded[members]) * column(life)
    drawn = members[largest(area, np.ones(len(members), dtype=np.int64), most - taken)]
    left = len(members) - len(drawn)
    marks: list[Mark] = [] if reserved is None else [reserved]
    marks += _rects(placed, drawn)
    marks += limit_rule(limit, y)
    marks.append(Rule("most bytes alive", "bound", "y", float(most_alive), dashed=True))
    marks.append(Rule("peak", "mark", "y", float(peak)))
    note = (
        f"{counted(left, 'buffer is', 'buffers are')} not drawn: the smallest, by bytes times time."
    )
    return Figure(
        key=key,
        title=title,
        summary=(
            f"A rectangle for every buffer, over its lifetime and the addresses it takes: "
            f"{counted(len(members), 'buffer')}, addresses up to {words(peak, 'bytes')}, at most "
            f"{words(most_alive, 'bytes')} alive at one time."
        ),
        x=x,
        y=y,
        marks=tuple(marks),
        height=300 if problem.banks else 440,
        note=sentences(note if left else "", limit_note(limit, y)),
    )


def _rects(placed: Placed, members: IntArray) -> list[Rects]:
    """Return the buffers, one series for every class of sizes; fixed ones apart."""
    problem, offset = placed.problem, placed.plan.offset
    fixed = np.zeros(problem.n_buffers, np.bool_) if problem.fixed is None else problem.fixed >= 0
    series = [
        (name, role, members[chosen & ~fixed[members]])
        for name, role, chosen in size_classes(problem.padded[members])
    ]
    series.append(("fixed address", FIXED, members[fixed[members]]))
    return [
        Rects(
            name,
            role,
            column(problem.lower[rows]),
            column(problem.upper[rows]),
            column(offset[rows]),
            column(offset[rows] + problem.padded[rows]),
            _titles(placed, rows),
        )
        for name, role, rows in series
        if len(rows)
    ]


def size_classes(size: IntArray) -> list[tuple[str, str, BoolArray]]:
    """Sort sizes into at most six classes between powers of two, about as wide each.

    Returns
    -------
    list of (name, role, bool[n])
        From small to large; every size is in one.
    """
    power = np.ceil(np.log2(np.maximum(size, 1))).astype(np.int64)
    power += (np.int64(1) << power) < size  # logarithms of large sizes round
    low, high = int(power.min()), int(power.max())
    width = -(-(high - low + 1) // len(CLASSES))
    found = []
    for i, role in enumerate(CLASSES):
        first, last = low + i * width, min(low + (i + 1) * width - 1, high)
        chosen = (first <= power) & (power <= last)
        if chosen.any():
            found.append((f"up to {words(2**last, 'bytes')}", role, chosen))
    return found


def _titles(placed: Placed, members: IntArray) -> tuple[str, ...]:
    problem, offset = placed.problem, placed.plan.offset
    return tuple(
        f"{short(problem.names[i])}: {words(int(problem.padded[i]), 'bytes')} "
        f"at {int(offset[i]):,}, "
        f"time {int(problem.lower[i])} to {int(problem.upper[i])}"
        for i in members.tolist()
    )


def _reserved(problem: AllocationProblem, bank: int, x: Axis, y: Axis) -> Rects | None:
    """Return the ranges that stay free in a bank, as far as they are within the picture."""
    if problem.reserved is None:
        return None
    rows = problem.reserved
    if problem.banks:
        of = problem.reserved_bank
        rows = rows[(np.zeros(len(rows)) if of is None else of) == bank]
    low, high, base, top = (np.asarray(part, dtype=np.float64) for part in rows.T)
    seen = (low < x.high) & (high > x.low) & (base < y.high)
    if not seen.any():
        return None
    titles = tuple(
        f"reserved: addresses {base:,} to {top:,}, time {lower} to {upper}"
        for lower, upper, base, top in rows[seen].tolist()
    )
    ends = np.clip(low, x.low, x.high), np.clip(high, x.low, x.high)
    return Rects(
        "reserved",
        "quiet",
        ends[0][seen],
        ends[1][seen],
        base[seen],
        np.minimum(top, y.high)[seen],
        titles,
    )


# -- words and numbers ---------------------------------------------------------------------------


def _fragmentation(placed: Placed) -> str:
    """Return how far above the bytes alive the addresses go, bank by bank."""
    problem = placed.problem
    parts = []
    for b, (name, _) in enumerate(problem.banks or (("", 0),)):
        members = placed.inside(b)
        where = f"Bank {name}: the" if problem.banks else "The"
        if not len(members):
            parts.append(f"Bank {name} is empty.")
            continue
        peak, load = int(placed.tops(members).max()), int(placed.load(members).max())
        if peak <= load:
            how = "no byte is lost to holes"
        elif not load:
            how = "nothing is alive"
        else:
            how = f"{words(peak - load, 'bytes')} more, {words(peak / load - 1, 'share')}"
        parts.append(
            f"{where} peak is {words(peak, 'bytes')}, the largest load {words(load, 'bytes')}: "
            f"{how}."
        )
    return " ".join(parts)


def _largest_buffers(placed: Placed) -> Table:
    problem, plan = placed.problem, placed.plan
    chosen = np.argsort(-problem.padded, kind="stable")[:ROWS]
    more = problem.n_buffers - len(chosen)
    banked = bool(problem.banks)
    return Table(
        caption="Largest buffers",
        columns=("buffer", "bytes", "from", "to", "address", *["bank"][:banked]),
        rows=tuple(
            (
                problem.names[i],
                int(problem.padded[i]),
                int(problem.lower[i]),
                int(problem.upper[i]),
                int(plan.offset[i]),
                *[problem.banks[plan.bank[i]][0] for _ in range(banked)],
            )
            for i in chosen.tolist()
        ),
        units=("", "bytes", "count", "count", "count", *[""][:banked]),
        note=f"{counted(more, 'more is', 'more are')} not listed." if more else "",
    )


# -- load ----------------------------------------------------------------------------------------


def live_figure(view: View, placed: Placed) -> Figure:
    """Return the bytes alive over time, beside what there is room for."""
    problem = placed.problem
    edges, everything = column(placed.times), np.arange(problem.n_buffers)
    load = placed.load(everything)
    at = int(load.argmax())
    top = int(load[at])
    marks: list[Mark] = [Steps("bytes alive", "plan", edges, column(load), fill=True)]
    if problem.banks:
        marks += [
            Steps(
                f"in bank {short(name, 40)}",
                f"c{b + 1}",
                edges,
                column(placed.load(placed.inside(b))),
            )
            for b, (name, _) in enumerate(problem.banks[:BANK_LINES])
        ]
    else:
        heights = placed.tops(everything)
        top = max(top, int(heights.max()))
        marks.append(
            Steps("highest address in use", "baseline", edges, column(heights), dashed=True)
        )
    bounds = _peak_bound(view)
    y = address_axis(top, problem.capacity, "bytes", [int(rule.at) for rule in bounds])
    mean = float(load @ np.diff(edges) / (edges[-1] - edges[0]))
    return Figure(
        key="live-bytes",
        title="Bytes alive over time",
        summary=(
            f"At most {words(int(load[at]), 'bytes')} are alive, from time {int(edges[at])} to "
            f"{int(edges[at + 1])}; {words(round(mean), 'bytes')} on average."
        ),
        x=_time_axis(placed),
        y=y,
        marks=(
            *marks,
            *limit_rule(problem.capacity, y),
            *bounds,
            Rule("most bytes alive", "mark", "x", float(edges[at])),
        ),
        note=sentences(
            "" if problem.banks else "What is between the two lines is holes.",
            limit_note(problem.capacity, y),
        ),
    )


def _peak_bound(view: View) -> tuple[Rule, ...]:
    """Return the bound that was proven on the peak, where that is what is minimised."""
    bound = view.bound
    if view.problem.capacity is not None or bound is None:
        return ()
    return (Rule("bound on the peak", "bound", "y", float(bound), dashed=True),)
