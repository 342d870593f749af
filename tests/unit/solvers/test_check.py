"""Records are judged as their definitions say, point by point and pair by pair."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapc.program.model import Program
from mapc.solvers.check import broken_record

bits = st.lists(st.integers(0, 1), min_size=4, max_size=4)
literals = st.lists(
    st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=4, unique_by=lambda p: p[0]
)


def program_of(n=4, upper=1):
    program = Program()
    program.variables(n, 0, upper)
    return program


def holds(program, values):
    return broken_record(program, np.array(values, dtype=np.float64)) == ""


@given(bits, literals)
def test_literals(values, chosen):
    codes = [column if positive else ~column for column, positive in chosen]
    count = sum(bool(values[column]) == positive for column, positive in chosen)
    exactly, at_most = program_of(), program_of()
    exactly.exactly_one(codes)
    at_most.at_most_one(codes)
    assert holds(exactly, values) == (count == 1)
    assert holds(at_most, values) == (count <= 1)


@given(bits, st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans())
def test_implication(values, premise, conclusion, left, right):
    program = program_of()
    program.implication(premise if left else ~premise, conclusion if right else ~conclusion)
    broken = bool(values[premise]) == left and bool(values[conclusion]) != right
    assert holds(program, values) == (not broken)


@given(st.integers(0, 5), st.integers(-3, 3), st.lists(st.integers(-3, 3), max_size=5))
def test_element(index, target, table):
    program = Program()
    program.variables(2, -10, 10)
    program.element(0, table, 1)
    assert holds(program, [index, target]) == (index < len(table) and table[index] == target)


spans = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=2, max_size=5
)


def intervals_of(program, items, first):
    """Append intervals with start columns ``first..`` and presence columns after them."""
    n = len(items)
    return program.intervals(
        [size for _, size, _ in items],
        start=np.arange(first, first + n),
        offset=-2,
        presence=np.arange(first + n, first + 2 * n),
    ).indices


def values_of(items):
    return [start for start, _, _ in items] + [int(present) for _, _, present in items]


def cells(item):
    start, size, present = item
    return set(range(start - 2, start - 2 + size)) if present else set()


def columns_of(program, n):
    program.variables(n, 0, 6)
    program.variables(n)


@given(spans)
def test_no_overlap(items):
    program = Program()
    columns_of(program, len(items))
    program.no_overlap(intervals_of(program, items, 0))
    clash = any(cells(a) & cells(b) for i, a in enumerate(items) for b in items[:i])
    assert holds(program, values_of(items)) == (not clash)


@given(spans, st.lists(st.integers(0, 4), min_size=5, max_size=5), st.integers(0, 8))
def test_cumulative(items, demands, capacity):
    program = Program()
    columns_of(program, len(items))
    demands = demands[: len(items)]
    program.cumulative(intervals_of(program, items, 0), demands, capacity)
    loads = [
        sum(d for item, d in zip(items, demands, strict=True) if t in cells(item))
        for t in range(-2, 12)
    ]
    assert holds(program, values_of(items)) == (max(loads) <= capacity)


@given(st.lists(st.tuples(spans.map(lambda s: s[0]), spans.map(lambda s: s[0])), max_size=5))
def test_no_overlap_2d(rectangles):
    program = Program()
    xs, ys = [x for x, _ in rectangles], [y for _, y in rectangles]
    n = len(rectangles)
    columns_of(program, n)
    columns_of(program, n)
    program.no_overlap_2d(intervals_of(program, xs, 0), intervals_of(program, ys, 2 * n))
    taken = [{(a, b) for a in cells(x) for b in cells(y)} for x, y in rectangles]
    clash = any(p & q for i, p in enumerate(taken) for q in taken[:i])
    assert holds(program, values_of(xs) + values_of(ys)) == (not clash)


def test_the_broken_record_is_named():
    program = program_of()
    program.at_most_one([0, 1], name="first")
    program.exactly_one([2, 3], name="second")
    assert broken_record(program, np.array([1.0, 0.0, 1.0, 1.0])) == "ExactlyOne 'second'"
