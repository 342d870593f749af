"""Reference capacities: M_R, M_P and M_H.

* ``M_R``: the largest working set of one operator; below it nothing runs.
* ``M_P``: the smallest capacity with no extra traffic over all orders. Bracketed by the largest
  working set plus forced-live bytes (below) and the best known order's peak (above); where these
  differ, found by a search over sets of operators. Bytes live at one time, that is: whether they
  can be placed without holes is found out by solving.
* ``M_H``: the middle of ``M_R`` and ``M_P``, rounded down.

Operators that may run again change none of them: every operator runs once, and further runs that
cost nothing may do with less than the upper end of ``M_P``, whose lower end accounts for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.cuts import peak_bound
from mapc.models.memory.exact import least_peak
from mapc.models.memory.kept_order import chained
from mapc.models.memory.methods import candidate_orders
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from mapc.units import format_bytes, parse_bytes

PEAK_STATES = 300_000
"""Sets of operators stored in the search for M_P."""
REFERENCES = ("M_R", "M_H", "M_P")


@dataclass(frozen=True)
class PeakBracket:
    """Bytes between which the smallest peak over all orders lies; ``upper`` has a plan."""

    lower: int
    upper: int
    order: str

    @property
    def proven(self) -> bool:
        """Whether both ends meet."""
        return self.lower == self.upper


def bracket_peak(problem: MemoryProblem) -> PeakBracket:
    """Find M_P, or bracket it.

    The forced-live bytes and the peaks of the known orders decide most networks. Where they
    differ, cuts raise the former, and sets of operators are searched for the smallest peak, up to
    `PEAK_STATES` of them.
    """
    problem = chained(problem)
    lower = ForcedSpans(problem).smallest_peak
    peaks = {name: order_peak(problem, order) for name, order in candidate_orders(problem).items()}
    best = min(peaks, key=lambda name: peaks[name])
    if lower == peaks[best] or not problem.plain:
        return PeakBracket(lower, peaks[best], best)
    cut = peak_bound(problem, [problem.graph.given_order], lower)
    if cut.order is not None:
        lower, name = cut.bound, "order of the narrowest cut"
        peaks[name] = order_peak(problem, cut.order)
        best = min(best, name, key=lambda name: peaks[name])
        if lower == peaks[best]:
            return PeakBracket(lower, peaks[best], best)
    peak = least_peak(problem, lower=lower, known=peaks[best], states=PEAK_STATES)
    if peak.bytes is None:
        return PeakBracket(peak.bound, peaks[best], best)
    return PeakBracket(peak.bound, peak.bytes, "best order found")


def order_peak(problem: MemoryProblem, order: IntArray) -> int:
    """Bytes in which an order runs without extra cost; with options it may do with less."""
    if problem.plain:
        return Schedule(problem, order).peak
    timeline = Timeline(problem, order)
    return int(timeline.occupancy(timeline.at_ease()).max())


def with_capacity(problem: MemoryProblem, text: str | int) -> MemoryProblem:
    """Return the problem with a capacity given in bytes, as a size or as a reference.

    Raises
    ------
    UsageError
        If ``text`` is neither a size nor one of ``REFERENCES``, and for a problem with several
        banks, whose capacities are part of it.
    """
    if problem.options.banks:
        raise UsageError(
            f"scratchpad {text}: this problem has banks instead; expected no scratchpad size, or "
            "the rule banks=none"
        )
    if text == "M_R":
        return replace(problem, capacity=problem.smallest_capacity, capacity_note="M_R")
    if text not in REFERENCES:
        return replace(problem, capacity=parse_bytes(text, REFERENCES), capacity_note="")
    peak = bracket_peak(problem)
    note = f"{text}, with M_P = {format_bytes(peak.upper)} proven"
    if not peak.proven:
        note = (
            f"{text}, with M_P taken as {format_bytes(peak.upper)}, the peak of the {peak.order}; "
            f"the smallest peak lies between {format_bytes(peak.lower)} and that"
        )
    capacity = peak.upper
    if text == "M_H":
        capacity = (problem.smallest_capacity + peak.upper) // 2
    return replace(problem, capacity=capacity, capacity_note=note)
