"""Rows for intervals that must not overlap, and for intervals that share a capacity.

"``a`` before ``b``" is the row ``start_a + size_a <= start_b``. Where a pair of intervals can
collide at least one of its possible directions must hold; a binary per direction relaxes its row
by the most that the bounds of the starts let it be violated (big-M). What the bounds decide is
decided here: pairs that cannot collide vanish, a pair with one possible direction needs no
binary, and a pair of two with both intervals always present needs one binary only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mapc.program.arrays import FloatArray, IntArray
from mapc.program.model import Program
from mapc.program.records import ALWAYS, NO_COLUMN, Cumulative, Intervals, NoOverlap, NoOverlap2D
from mapc.program.terms import Terms

MAX_PAIRS = 4_000_000
"""Colliding pairs of one record above which a rewriting is refused: it would fill the memory."""

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Spans:
    """The intervals of a record that can be present and take room, with bounds of their starts.

    All arrays int64[n]. ``column`` is ``NO_COLUMN`` where the start is the constant ``offset``.
    """

    column: IntArray
    offset: IntArray
    size: IntArray
    presence: IntArray
    lower: IntArray
    upper: IntArray

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, keep: IntArray | np.ndarray) -> Spans:
        return Spans(
            self.column[keep],
            self.offset[keep],
            self.size[keep],
            self.presence[keep],
            self.lower[keep],
            self.upper[keep],
        )

    def difference(self, i: IntArray, j: IntArray) -> tuple[IntArray, IntArray]:
        """Return the least and the greatest value of ``start_i - start_j``."""
        same = self.column[i] == self.column[j]
        constant = self.offset[i] - self.offset[j]
        low = np.where(same, constant, self.lower[i] - self.upper[j])
        return low, np.where(same, constant, self.upper[i] - self.lower[j])


def spans(program: Program, intervals: Intervals, members: IntArray, name: str) -> Spans:
    """Resolve a record's intervals against the columns' bounds.

    Starts and presences that the bounds fix become constants. Intervals that can never be
    present have presence ``~ALWAYS``.

    Raises
    ------
    ValueError
        For a start without finite bounds.
    """
    matrix = program.matrix
    column, offset = intervals.start_column[members], intervals.offset[members]
    has = column != NO_COLUMN
    safe = np.where(has, column, 0)
    bounds = np.zeros((2, len(members)))
    if matrix.n_columns:
        bounds = np.where(has, [np.ceil(matrix.lower[safe]), np.floor(matrix.upper[safe])], 0.0)
    if not (np.abs(bounds) < 2.0**53).all():
        at = int(np.argmax(~(np.abs(bounds) < 2.0**53).all(axis=0)))
        raise ValueError(
            f"record {name!r}: start {program.column_name(int(column[at]))} needs finite bounds "
            "to be linearised"
        )
    low, up = bounds.astype(np.int64) + offset
    fixed = low == up
    return Spans(
        np.where(fixed, NO_COLUMN, column),
        np.where(fixed, low, offset),
        intervals.size[members],
        _resolved(program, intervals.presence[members]),
        low,
        up,
    )


def _resolved(program: Program, literals: IntArray) -> IntArray:
    """Replace literals on fixed columns by ``ALWAYS`` or ``~ALWAYS``."""
    matrix, result = program.matrix, literals.copy()
    some = np.flatnonzero(literals != ALWAYS)
    columns = np.where(literals < 0, ~literals, literals)[some]
    fixed = np.ceil(matrix.lower[columns]) == np.floor(matrix.upper[columns])
    holds = (np.floor(matrix.upper[columns]) == 1) == (literals[some] >= 0)
    result[some[fixed]] = np.where(holds[fixed], ALWAYS, ~ALWAYS)
    return result


# -- disjoint intervals and rectangles ----------------------------------------------------------


def add_no_overlap(program: Program, intervals: Intervals, record: NoOverlap) -> None:
    """Append rows that keep the record's intervals apart."""
    _add_disjoint(program, [spans(program, intervals, record.intervals, record.name)], record.name)


def add_no_overlap_2d(program: Program, intervals: Intervals, record: NoOverlap2D) -> None:
    """Append rows that keep the record's rectangles apart, in x or in y."""
    axes = [spans(program, intervals, members, record.name) for members in (record.x, record.y)]
    _add_disjoint(program, axes, record.name)


def _add_disjoint(program: Program, axes: list[Spans], name: str) -> None:
    alive = np.ones(len(axes[0]), dtype=np.bool_)
    for axis in axes:
        alive &= (axis.size > 0) & (axis.presence != ~ALWAYS)
    axes = [axis[alive] for axis in axes]
    i, j = _colliding(axes, name)
    if len(i):
        _add_directions(program, _directions(axes, i, j), name)


def _colliding(axes: list[Spans], name: str) -> tuple[IntArray, IntArray]:
    """Return the pairs ``i < j`` that the bounds do not already keep apart."""
    kept: list[tuple[IntArray, IntArray]] = []
    total = 0
    for i, j in _pairs(len(axes[0])):
        for axis in axes:
            low, high = axis.difference(i, j)
            apart = (high + axis.size[i] <= 0) | (axis.size[j] - low <= 0)
            apart |= axis.presence[i] == ~axis.presence[j]
            i, j = i[~apart], j[~apart]
        kept.append((i, j))
        total += len(i)
        if total > MAX_PAIRS:
            raise ValueError(f"record {name!r}: more than {MAX_PAIRS} colliding pairs to linearise")
    if not kept:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([i for i, _ in kept]), np.concatenate([j for _, j in kept])


def _pairs(n: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield all pairs ``i < j`` of ``n`` things, in pieces of bounded size."""
    rows = max(1, _CHUNK // max(n, 1))
    for first in range(0, n - 1, rows):
        i, j = np.triu_indices(min(rows, n - first), 1 + first, n)
        yield i + first, j


@dataclass(frozen=True, eq=False)
class _Directions:
    """The ways in which each of ``k`` pairs may be kept apart, ``d`` to a pair.

    ``x[tail] - x[head] + constant <= 0`` says that one way holds.
    """

    tail: IntArray  # int64[k, d], column or NO_COLUMN
    head: IntArray  # int64[k, d]
    constant: IntArray  # int64[k, d]
    most: IntArray  # int64[k, d]: the left side is never above it
    possible: np.ndarray  # bool[k, d]
    presence: IntArray  # int64[k, a] literals, ALWAYS where there is none


def _directions(axes: list[Spans], i: IntArray, j: IntArray) -> _Directions:
    parts: list[tuple[IntArray, ...]] = []
    for s in axes:
        for a, b in ((i, j), (j, i)):
            low, high = s.difference(a, b)
            constant = s.offset[a] + s.size[a] - s.offset[b]
            possible = (low + s.size[a] <= 0).astype(np.int64)
            parts.append((s.column[a], s.column[b], constant, high + s.size[a], possible))
    tail, head, constant, most, possible = (np.stack(p, axis=1) for p in zip(*parts, strict=True))
    presence = np.stack([s.presence[side] for s in axes for side in (i, j)], axis=1)
    return _Directions(tail, head, constant, most, possible.astype(np.bool_), presence)


def _add_directions(program: Program, ways: _Directions, name: str) -> None:
    k = len(ways.tail)
    optional = ways.presence != ALWAYS
    surely = ~optional.any(axis=1)
    count = ways.possible.sum(axis=1)
    guard, needs_choice = _guards(program, ways, count, surely, name)

    pair, way = np.nonzero(ways.possible)
    row = np.arange(len(pair))
    most = ways.most[pair, way].astype(np.float64)
    terms = Terms(len(pair))
    terms.add(row, ways.tail[pair, way])
    terms.add(row, ways.head[pair, way], -1.0)
    terms.add_constant(row, ways.constant[pair, way])
    guarded = guard[pair, way] != ALWAYS
    terms.add_literal(row[guarded], guard[pair, way][guarded], most[guarded])
    terms.add_constant(row[guarded], -most[guarded])
    # a lone direction has no binary to choose it: absence itself relaxes its row
    lone, side = np.nonzero((count[pair] == 1)[:, None] & optional[pair])
    terms.add_literal(lone, ways.presence[pair[lone], side], most[lone])
    terms.add_constant(lone, -most[lone])
    terms.append_to(program, upper=0, name=name)

    # one of the chosen directions holds, or one of the intervals is absent
    terms = Terms(k)
    chosen, way = np.nonzero(ways.possible & needs_choice[:, None])
    terms.add_literal(chosen, guard[chosen, way], -1.0)
    open_pair = needs_choice | (count == 0)
    at, side = np.nonzero(optional & open_pair[:, None])
    terms.add_literal(at, ways.presence[at, side])
    limit = np.where(open_pair, optional.sum(axis=1) - 1, 0)
    terms.append_to(program, upper=limit, name=f"{name}.choice")


def _guards(
    program: Program, ways: _Directions, count: IntArray, surely: np.ndarray, name: str
) -> tuple[IntArray, np.ndarray]:
    """Return the literal that chooses each direction, and the pairs that need a choice row.

    Two directions of a pair that is always present share one binary; a lone direction has none.
    """
    guard = np.full(ways.tail.shape, ALWAYS)
    shared = (count == 2) & surely
    needs_choice = (count >= 2) & ~shared
    own = ways.possible & needs_choice[:, None]
    first = np.argmax(ways.possible, axis=1)
    last = ways.possible.shape[1] - 1 - np.argmax(ways.possible[:, ::-1], axis=1)
    lead = np.zeros_like(own)
    lead[shared, first[shared]] = True
    block = program.variables(int((own | lead).sum()), name=f"{name}.order")
    guard[own | lead] = block.columns
    guard[shared, last[shared]] = ~guard[shared, first[shared]]

    at = np.nonzero(own | lead)
    hinted = _hinted(program)
    activity = hinted(ways.tail[at]) - hinted(ways.head[at]) + ways.constant[at]
    known = ~np.isnan(activity)
    program.hint(block.columns[known], (activity[known] <= 0).astype(np.float64))
    return guard, needs_choice


class _hinted:  # noqa: N801 - used as a function
    """Hinted values by column: 0 for ``NO_COLUMN``, NaN without a hint."""

    def __init__(self, program: Program) -> None:
        self.values = np.full(program.n_columns + 1, np.nan)
        columns, values = program.start_values
        self.values[columns] = values
        self.values[NO_COLUMN] = 0.0

    def __call__(self, columns: IntArray) -> FloatArray:
        return self.values[columns]


# -- shared capacity ----------------------------------------------------------------------------


def add_cumulative(program: Program, intervals: Intervals, record: Cumulative) -> None:
    """Append rows that keep the demand within the capacity at every start of an interval.

    Demand rises only where an interval starts, so those points are enough. With fixed starts the
    row lists who runs; otherwise interval ``i`` runs at point ``e`` unless it starts later
    (``u``: ``e + 1 <= start_i``) or is over (``v``: ``start_i + size_i <= e``), and the row is
    ``sum demand_i (presence_i - u_i - v_i) <= capacity`` with ``u_i + v_i <= presence_i``.
    """
    s = spans(program, intervals, record.intervals, record.name)
    used = (s.size > 0) & (record.demands > 0) & (s.presence != ~ALWAYS)
    s, demand = s[used], record.demands[used]
    if int(demand.sum()) <= record.capacity:
        return
    if (s.column == NO_COLUMN).all():
        _add_fixed_load(program, s, demand, record)
    else:
        _add_moving_load(program, s, demand, record)


def _add_fixed_load(program: Program, s: Spans, demand: IntArray, record: Cumulative) -> None:
    begin, end = s.offset, s.offset + s.size
    points = np.unique(begin)
    # a start that another start follows before anything ends is dominated by it
    first_end = np.searchsorted(np.unique(end), points, side="right")
    points = points[np.append(first_end[1:] != first_end[:-1], True)]
    low, high = np.searchsorted(points, begin), np.searchsorted(points, end)
    who = np.repeat(np.arange(len(s)), high - low)
    at = np.arange(len(who)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    at += np.repeat(low, high - low)
    load = np.bincount(at, weights=demand[who], minlength=len(points))
    tight = load > record.capacity
    number = np.cumsum(tight) - 1
    keep = tight[at]
    terms = Terms(int(tight.sum()))
    terms.add_literal(number[at[keep]], s.presence[who[keep]], demand[who[keep]])
    terms.append_to(program, upper=record.capacity, name=record.name)


def _add_moving_load(program: Program, s: Spans, demand: IntArray, record: Cumulative) -> None:
    points = s[np.unique(np.stack([s.column, s.offset]), axis=1, return_index=True)[1]]
    if len(points) * len(s) > 16 * MAX_PAIRS:
        raise ValueError(f"record {record.name!r}: {len(s)} intervals are too many to linearise")
    e, i = np.divmod(np.arange(len(points) * len(s)), len(s))
    low, high = _gap(points, s, e, i)
    size = s.size[i]
    may_run = (low <= 0) & (high > -size)
    load = np.bincount(e[may_run], weights=demand[i[may_run]], minlength=len(points))
    keep = may_run & (load > record.capacity)[e]
    e, i, low, high, size = e[keep], i[keep], low[keep], high[keep], size[keep]
    if len(e) > MAX_PAIRS:
        raise ValueError(f"record {record.name!r}: {len(e)} pairs are too many to linearise")

    later, over = high >= 1, low + size <= 0
    terms = Terms(len(points))
    terms.add_literal(e, s.presence[i], demand[i])
    # an absent interval is neither late nor over, and none is both: else its load turned negative
    optional = s.presence[i] != ALWAYS
    state = np.flatnonzero(optional | (later & over))
    both = Terms(len(e))
    both.add_literal(state, s.presence[i[state]], -1.0)
    sides = (
        (later, points.column[e], s.column[i], points.offset[e] + 1 - s.offset[i], 1 - low),
        (over, s.column[i], points.column[e], s.offset[i] + size - points.offset[e], high + size),
    )
    for (where, tail, head, constant, most), word in zip(sides, ("later", "over"), strict=True):
        at = np.flatnonzero(where)
        columns = _implied_order(
            program, tail[at], head[at], constant[at], most[at], f"{record.name}.{word}"
        )
        terms.add(e[at], columns, -demand[i[at]])
        stated = optional[at] | (later & over)[at]
        both.add(at[stated], columns[stated])
    terms.append_to(program, upper=record.capacity, name=record.name)
    both.append_to(program, upper=0, name=f"{record.name}.state")


def _gap(points: Spans, s: Spans, e: IntArray, i: IntArray) -> tuple[IntArray, IntArray]:
    """Return the least and the greatest value of ``start_i - point_e``."""
    same = s.column[i] == points.column[e]
    constant = s.offset[i] - points.offset[e]
    low = np.where(same, constant, s.lower[i] - points.upper[e])
    return low, np.where(same, constant, s.upper[i] - points.lower[e])


def _implied_order(
    program: Program,
    tail: IntArray,
    head: IntArray,
    constant: IntArray,
    most: IntArray,
    name: str,
) -> IntArray:
    """Append a binary each that forces ``x[tail] - x[head] + constant <= 0``."""
    columns = program.variables(len(tail), name=name).columns
    row = np.arange(len(tail))
    terms = Terms(len(tail))
    terms.add(row, tail)
    terms.add(row, head, -1.0)
    terms.add(row, columns, most)
    terms.append_to(program, upper=most - constant, name=name)
    hinted = _hinted(program)
    activity = hinted(tail) - hinted(head) + constant
    known = ~np.isnan(activity)
    program.hint(columns[known], (activity[known] <= 0).astype(np.float64))
    return columns
