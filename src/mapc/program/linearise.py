"""Rewriting CP records into rows, for solvers that take nothing else.

With ``v(l)`` the value of a literal (``x`` or ``1 - x``):

=================  ==============================================================================
record             rows
=================  ==============================================================================
exactly_one        ``sum v(l) == 1``
at_most_one        ``sum v(l) <= 1``
implication        ``v(premise) <= v(conclusion)``
element            one binary per reachable entry ``k``: ``sum z == 1``, ``sum k z == index``,
                   ``sum values[k] z == target``
no_overlap         a disjunction per pair that can collide (`mapc.program.disjunctions`)
no_overlap_2d      the same with up to four directions per pair
cumulative         one row per start of an interval, with binaries that say who runs then
=================  ==============================================================================
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from mapc.program.arrays import IntArray
from mapc.program.disjunctions import add_cumulative, add_no_overlap, add_no_overlap_2d
from mapc.program.model import Program
from mapc.program.records import (
    AtMostOne,
    Cumulative,
    Element,
    ExactlyOne,
    Implication,
    Intervals,
    NoOverlap,
    NoOverlap2D,
)
from mapc.program.terms import Terms


def linearise(program: Program) -> Program:
    """Return an equivalent program without records.

    The original columns keep their numbers and the extra ones follow, so that the first
    ``program.n_columns`` values of a solution are a solution of ``program``; every solution of
    ``program`` extends to one of the result. Extra columns get hints where the hints of the
    columns they depend on settle them.

    Parameters
    ----------
    program : Program
        A program without records is returned as it is.

    Raises
    ------
    ValueError
        For an interval whose start has no finite bounds, or a record that would need more pairs
        than fit into memory; the message names the record.
    """
    if not program.records:
        return program
    result = program.without_records()
    intervals = program.all_intervals
    for record in program.records:
        _rewrite(record, result, intervals)
    return result


@singledispatch
def _rewrite(record: object, program: Program, intervals: Intervals) -> None:
    raise TypeError(f"no linearisation for a {type(record).__name__} record")


@_rewrite.register
def _(record: ExactlyOne, program: Program, intervals: Intervals) -> None:
    _sums(record.literals).append_to(program, 1, 1, name=record.name)


@_rewrite.register
def _(record: AtMostOne, program: Program, intervals: Intervals) -> None:
    _sums(record.literals).append_to(program, upper=1, name=record.name)


@_rewrite.register
def _(record: Implication, program: Program, intervals: Intervals) -> None:
    row = np.arange(len(record.premise))
    terms = Terms(len(row))
    terms.add_literal(row, record.premise)
    terms.add_literal(row, record.conclusion, -1.0)
    terms.append_to(program, upper=0, name=record.name)


@_rewrite.register
def _(record: NoOverlap, program: Program, intervals: Intervals) -> None:
    add_no_overlap(program, intervals, record)


@_rewrite.register
def _(record: NoOverlap2D, program: Program, intervals: Intervals) -> None:
    add_no_overlap_2d(program, intervals, record)


@_rewrite.register
def _(record: Cumulative, program: Program, intervals: Intervals) -> None:
    add_cumulative(program, intervals, record)


@_rewrite.register
def _(record: Element, program: Program, intervals: Intervals) -> None:
    matrix = program.matrix
    values = record.values
    entry = np.arange(len(values))
    reachable = (
        (entry >= matrix.lower[record.index])
        & (entry <= matrix.upper[record.index])
        & (values >= matrix.lower[record.target])
        & (values <= matrix.upper[record.target])
    )
    entry, values = entry[reachable], values[reachable]
    chosen = program.variables(len(entry), name=f"{record.name}.entry").columns
    columns, hinted = program.start_values
    at = np.flatnonzero(columns == record.index)
    if len(at):
        program.hint(chosen, (entry == hinted[at[0]]).astype(np.float64))
    terms = Terms(3)
    terms.add(0, chosen)
    terms.add(1, chosen, entry)
    terms.add(1, record.index, -1.0)
    terms.add(2, chosen, values)
    terms.add(2, record.target, -1.0)
    terms.append_to(program, [1, 0, 0], [1, 0, 0], name=record.name)


def _sums(literals: IntArray) -> Terms:
    terms = Terms(len(literals))
    terms.add_literal(np.arange(len(literals))[:, None], literals)
    return terms
