"""Whether a point keeps the CP records of a program; shares no code with their lowerings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.program.model import Program
from mapc.program.records import (
    ALWAYS,
    NO_COLUMN,
    AtMostOne,
    Cumulative,
    Element,
    ExactlyOne,
    Implication,
    NoOverlap,
    NoOverlap2D,
    Record,
)

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def broken_record(program: Program, values: FloatArray) -> str:
    """Return the kind and name of the first record that ``values`` break, or an empty string.

    Parameters
    ----------
    program : Program
    values : float64[n_columns]
        Integer columns hold whole numbers.
    """
    if not program.records:
        return ""
    spans = _Spans(program, values)
    for record in program.records:
        if not _holds(record, values, spans):
            return f"{type(record).__name__} {record.name!r}"
    return ""


class _Spans:
    """Intervals as the values place them: begin, end, present."""

    def __init__(self, program: Program, values: FloatArray) -> None:
        intervals = program.all_intervals
        column = intervals.start_column
        moved = np.zeros(len(intervals), dtype=np.int64)
        free = column != NO_COLUMN
        moved[free] = values[column[free]].astype(np.int64)
        self.begin: IntArray = intervals.offset + moved
        self.end: IntArray = self.begin + intervals.size
        self.present: BoolArray = np.ones(len(intervals), dtype=np.bool_)
        optional = intervals.presence != ALWAYS
        self.present[optional] = _true(intervals.presence[optional], values)


def _true(literals: IntArray, values: FloatArray) -> BoolArray:
    """Whether each literal holds."""
    positive = literals >= 0
    held = values[np.where(positive, literals, ~literals)] > 0.5
    return np.asarray(held == positive, dtype=np.bool_)


def _holds(record: Record, values: FloatArray, spans: _Spans) -> bool:
    match record:
        case ExactlyOne():
            return bool((_true(record.literals, values).sum(axis=1) == 1).all())
        case AtMostOne():
            return bool((_true(record.literals, values).sum(axis=1) <= 1).all())
        case Implication():
            return bool((~_true(record.premise, values) | _true(record.conclusion, values)).all())
        case NoOverlap():
            return _disjoint(record, spans)
        case NoOverlap2D():
            return _disjoint_2d(record, spans)
        case Cumulative():
            return _within_capacity(record, spans)
        case Element():
            at = int(values[record.index])
            inside = 0 <= at < len(record.values)
            return inside and int(record.values[at]) == int(values[record.target])


def _disjoint(record: NoOverlap, spans: _Spans) -> bool:
    index = record.intervals
    begin, end = spans.begin[index], spans.end[index]
    used = spans.present[index] & (end > begin)
    order = np.argsort(begin[used], kind="stable")
    begin, end = begin[used][order], end[used][order]
    return bool((begin[1:] >= end[:-1]).all())


def _disjoint_2d(record: NoOverlap2D, spans: _Spans) -> bool:
    """Sweep along x: a rectangle is compared with those that begin before it ends."""
    x, y = record.x, record.y
    used = spans.present[x] & spans.present[y]
    used &= (spans.end[x] > spans.begin[x]) & (spans.end[y] > spans.begin[y])
    x, y = x[used], y[used]
    order = np.argsort(spans.begin[x], kind="stable")
    x, y = x[order], y[order]
    left, right = spans.begin[x], spans.end[x]
    low, high = spans.begin[y], spans.end[y]
    last = np.searchsorted(left, right, side="left")
    for i in range(len(x)):
        beside = slice(i + 1, int(last[i]))
        if ((low[beside] < high[i]) & (low[i] < high[beside])).any():
            return False
    return True


def _within_capacity(record: Cumulative, spans: _Spans) -> bool:
    index = record.intervals
    begin, end = spans.begin[index], spans.end[index]
    used = spans.present[index] & (end > begin)
    demand = record.demands[used]
    times = np.concatenate([begin[used], end[used]])
    change = np.concatenate([demand, -demand])
    points, inverse = np.unique(times, return_inverse=True)
    load = np.zeros(len(points), dtype=np.int64)
    np.add.at(load, inverse, change)
    return bool((np.cumsum(load) <= record.capacity).all())
