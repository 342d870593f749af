import numpy as np
import pytest

from mapc.program import ALWAYS, Program, disjunctions
from mapc.program.linearise import linearise


def flat_no_overlap(bounds, sizes, presence=ALWAYS, flags=0):
    program = Program()
    program.variables(flags, name="flag")
    low, up = np.array(bounds).T
    start = program.variables(len(sizes), low, up)
    program.no_overlap(program.intervals(sizes, start=start[:], presence=presence).indices)
    return program.n_columns, linearise(program).matrix


def test_pairs_that_cannot_collide_vanish():
    n, m = flat_no_overlap([(0, 2), (5, 9)], [3, 4])
    assert (m.n_columns - n, m.n_rows) == (0, 0)


def test_one_possible_order_needs_a_row_and_no_binary():
    n, m = flat_no_overlap([(0, 4), (5, 9)], [3, 6])
    assert m.n_columns == n
    assert m.coefficients.tolist() == [1, -1]
    assert m.row_upper.tolist() == [-3]


def test_two_possible_orders_share_one_binary_with_tight_constants():
    n, m = flat_no_overlap([(0, 8), (1, 6)], [3, 2])
    assert m.n_columns == n + 1
    assert m.n_rows == 2
    # s0 + 3 - s1 is at most 10 (big-M) where s1 goes first, s1 + 2 - s0 at most 8
    assert m.coefficients.tolist() == [1, -1, 10, -1, 1, -8]
    assert m.row_upper.tolist() == [10 - 3, -2]
    assert m.indices.tolist() == [0, 1, 2, 0, 1, 2]


def test_no_possible_order_leaves_presence_to_decide():
    n, m = flat_no_overlap([(0, 1), (0, 1)], [3, 3])
    assert m.n_columns == n
    assert m.nnz == 0
    assert m.row_upper[0] < 0  # a row that nothing satisfies
    n, m = flat_no_overlap([(0, 1), (0, 1)], [3, 3], presence=[0, ~1], flags=2)
    assert m.n_columns == n
    assert m.coefficients.tolist() == [1, -1]
    assert m.row_upper.tolist() == [0]  # x0 + (1 - x1) <= 1


def test_complementary_presence_and_empty_intervals_cost_nothing():
    _, m = flat_no_overlap([(0, 9), (0, 9)], [3, 3], presence=[0, ~0], flags=1)
    assert m.n_rows == 0
    _, m = flat_no_overlap([(0, 9), (0, 9)], [3, 0])
    assert m.n_rows == 0


def test_presence_fixed_by_bounds_is_resolved():
    program = Program()
    program.variables(2, [0, 1], [0, 1], name="fixed")
    start = program.variables(3, 0, 9)
    x = program.intervals([2, 2, 2], start=start[:], presence=[0, 1, ~0]).indices
    program.no_overlap(x)
    flat = linearise(program)
    assert flat.n_columns - program.n_columns == 1  # the second against the third, both present


def test_fixed_axis_removes_rectangles_that_never_meet():
    program = Program()
    n = 60
    address = program.variables(n, 0, 1000, name="address")
    time = program.intervals(np.full(n, 2), offset=np.arange(n) * 2)
    space = program.intervals(np.full(n, 10), start=address[:])
    program.no_overlap_2d(time.indices, space.indices)
    flat = linearise(program)
    assert (flat.n_columns, flat.n_rows) == (n, 0)
    late = program.intervals(np.full(n, 3), offset=np.arange(n) * 2)
    program.no_overlap_2d(late.indices, space.indices)
    flat = linearise(program)
    assert flat.n_columns == n + (n - 1)  # neighbours only, one binary each
    assert flat.n_rows == 2 * (n - 1)


def test_pairs_come_in_pieces(monkeypatch):
    monkeypatch.setattr(disjunctions, "_CHUNK", 7)
    pieces = list(disjunctions._pairs(6))
    assert len(pieces) > 1
    pairs = {(i, j) for a, b in pieces for i, j in zip(a.tolist(), b.tolist(), strict=True)}
    assert pairs == {(i, j) for i in range(6) for j in range(i + 1, 6)}


@pytest.mark.parametrize("record", ["no_overlap", "cumulative"])
def test_too_many_pairs_are_refused_by_name(monkeypatch, record):
    monkeypatch.setattr(disjunctions, "MAX_PAIRS", 5)
    program = Program()
    start = program.variables(12, 0, 99)
    x = program.intervals(np.full(12, 2), start=start[:]).indices
    arguments = {"no_overlap": (x,), "cumulative": (x, 1, 1)}
    getattr(program, record)(*arguments[record], name="machine")
    with pytest.raises(ValueError, match="'machine'"):
        linearise(program)


def test_fixed_loads_have_one_row_per_peak():
    program = Program()
    on = program.variables(4, name="on")
    x = program.intervals([4, 3, 2, 5], offset=[0, 1, 2, 4], presence=on[:]).indices
    program.cumulative(x, [3, 4, 5, 6], 8)
    m = linearise(program).matrix
    # at 2 the first three run, which dominates 0 and 1; at 4 only the last (the others ended)
    assert m.n_columns == 4
    assert m.indices.tolist() == [0, 1, 2]
    assert m.coefficients.tolist() == [3, 4, 5]
    assert m.row_upper.tolist() == [8]


def test_a_capacity_that_all_demands_fit_costs_nothing():
    program = Program()
    start = program.variables(3, 0, 9)
    program.cumulative(program.intervals([4, 4, 4], start=start[:]).indices, [1, 2, 3], 6)
    assert linearise(program).n_rows == 0
