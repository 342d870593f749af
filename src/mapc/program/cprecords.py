"""CP records in CP-SAT's own words."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from mapc.program.arrays import IntArray
from mapc.program.model import Program
from mapc.program.records import (
    ALWAYS,
    NO_COLUMN,
    AtMostOne,
    Cumulative,
    Element,
    ExactlyOne,
    Implication,
    Intervals,
    NoOverlap,
    NoOverlap2D,
)


class _Writer:
    """Appends constraints to a proto; an interval is written when a record first names it."""

    def __init__(self, proto: Any, intervals: Intervals) -> None:
        self.proto = proto
        self.intervals = intervals
        self._number: dict[tuple[int, frozenset[int]], int] = {}

    def add(self) -> Any:
        return self.proto.constraints.add()

    def interval_numbers(self, members: IntArray, *others: IntArray) -> list[int]:
        """Return the constraints that define the intervals.

        An interval is present where it is itself and the intervals beside it in ``others`` are.
        """
        literals = [self.intervals.presence[each].tolist() for each in (members, *others)]
        numbers = []
        for member, *together in zip(members.tolist(), *literals, strict=True):
            key = (member, frozenset(together) - {int(ALWAYS)})
            if key not in self._number:
                self._number[key] = len(self.proto.constraints)
                self._interval(*key)
            numbers.append(self._number[key])
        return numbers

    def _interval(self, member: int, presence: frozenset[int]) -> None:
        block, constraint = self.intervals, self.add()
        constraint.enforcement_literal.extend(sorted(presence))
        interval, column = constraint.interval, int(block.start_column[member])
        offset, size = int(block.offset[member]), int(block.size[member])
        for expression, constant in ((interval.start, offset), (interval.end, offset + size)):
            if column != NO_COLUMN:
                expression.vars.append(column)
                expression.coeffs.append(1)
            expression.offset = constant
        interval.size.offset = size


def add_records(proto: Any, program: Program) -> None:
    """Append the program's records, and the intervals they name, to a ``CpModelProto``."""
    writer = _Writer(proto, program.all_intervals)
    for record in program.records:
        _write(record, writer)


@singledispatch
def _write(record: object, writer: _Writer) -> None:
    raise TypeError(f"CP-SAT has no {type(record).__name__} record")


@_write.register
def _(record: ExactlyOne, writer: _Writer) -> None:
    for literals in record.literals.tolist():
        writer.add().exactly_one.literals.extend(literals)


@_write.register
def _(record: AtMostOne, writer: _Writer) -> None:
    for literals in record.literals.tolist():
        writer.add().at_most_one.literals.extend(literals)


@_write.register
def _(record: Implication, writer: _Writer) -> None:
    pairs = np.stack([~record.premise, record.conclusion], axis=1).tolist()
    for pair in pairs:
        writer.add().bool_or.literals.extend(pair)


@_write.register
def _(record: NoOverlap, writer: _Writer) -> None:
    # CP-SAT keeps empty intervals out of others; here they take no room
    members = record.intervals[writer.intervals.size[record.intervals] > 0]
    if len(members) > 1:
        numbers = writer.interval_numbers(members)
        writer.add().no_overlap.intervals.extend(numbers)


@_write.register
def _(record: NoOverlap2D, writer: _Writer) -> None:
    size = writer.intervals.size
    real = (size[record.x] > 0) & (size[record.y] > 0)
    if real.sum() > 1:
        # CP-SAT 9.15 cuts off solutions where the sides of a rectangle differ in their presence
        x = writer.interval_numbers(record.x[real], record.y[real])
        y = writer.interval_numbers(record.y[real], record.x[real])
        constraint = writer.add().no_overlap_2d
        constraint.x_intervals.extend(x)
        constraint.y_intervals.extend(y)


@_write.register
def _(record: Cumulative, writer: _Writer) -> None:
    used = (writer.intervals.size[record.intervals] > 0) & (record.demands > 0)
    if not used.any():
        return
    numbers = writer.interval_numbers(record.intervals[used])
    constraint = writer.add().cumulative
    constraint.intervals.extend(numbers)
    constraint.capacity.offset = record.capacity
    for demand in record.demands[used].tolist():
        constraint.demands.add().offset = demand


@_write.register
def _(record: Element, writer: _Writer) -> None:
    if not len(record.values):
        writer.add().linear.domain.extend((1, 1))  # an empty sum, which is 0
        return
    element = writer.add().element
    for expression, column in (
        (element.linear_index, record.index),
        (element.linear_target, record.target),
    ):
        expression.vars.append(column)
        expression.coeffs.append(1)
    for value in record.values.tolist():
        element.exprs.add().offset = value
