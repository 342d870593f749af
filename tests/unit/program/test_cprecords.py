import pytest

from mapc.program import ALWAYS, NO_COLUMN, Program
from mapc.program.cpsat import to_cp_model

pytest.importorskip("ortools")


def constraints(program):
    return list(to_cp_model(program).model.proto.constraints)


def test_empty_intervals_and_idle_demands_are_left_out():
    program = Program()
    start = program.variables(3, 0, 9)
    x = program.intervals([2, 0, 3], start=start[:])
    program.no_overlap(x.indices)
    program.cumulative(x.indices, [2, 1, 0], 2)
    first, second, no_overlap, cumulative = constraints(program)
    assert list(no_overlap.no_overlap.intervals) == [0, 1]
    assert list(cumulative.cumulative.intervals) == [0]  # the interval is not written again
    assert [first.interval.size.offset, second.interval.size.offset] == [2, 3]


def test_an_empty_interval_may_lie_inside_another(cpsat):
    program = Program()
    inside = program.intervals([4, 0], offset=[0, 2])
    program.no_overlap(inside.indices)
    program.no_overlap_2d(inside.indices, program.intervals([3, 3]).indices)
    program.cumulative(inside.indices, [1, 5], 1)
    assert cpsat(program)[0] == 0


def test_records_of_nothing_are_no_constraints():
    program = Program()
    x = program.intervals([0, 3])
    program.no_overlap(x.indices)
    program.no_overlap_2d(x.indices, x.indices)
    program.cumulative(x.indices, [1, 0], 5)
    assert constraints(program) == []


def test_nothing_points_into_an_empty_table(cpsat, highs):
    program = Program()
    program.variables(2, 0, 3)
    program.element(0, [], 1)
    assert cpsat(program)[0] is None
    assert highs(program)[0] is None


def test_both_sides_of_a_rectangle_are_present_together():
    program = Program()
    program.variables(3, name="flag")
    x = program.intervals([2, 2], presence=[0, 1])
    y = program.intervals([2, 2], presence=[~2, 1])
    program.no_overlap_2d(x.indices, y.indices)
    *sides, _ = constraints(program)
    assert [sorted(c.enforcement_literal) for c in sides] == [[~2, 0], [1], [~2, 0], [1]]


def test_a_rectangle_whose_sides_differ_in_presence_costs_no_solution(brute_force, cpsat):
    """CP-SAT 9.15 calls 21 optimal here when only one side of a rectangle is optional."""
    program = Program()
    flag = program.variables(2, cost=1)
    at = program.variables(1, -2, 2, cost=20).start
    program.at_most_one(~flag[:])
    x = program.intervals(
        [3, 2, 1],
        start=[at, NO_COLUMN, NO_COLUMN],
        offset=[1, 1, -1],
        presence=[ALWAYS, ~flag[0], ~flag[1]],
    )
    y = program.intervals([3, 2, 1], start=[at, NO_COLUMN, at], offset=[2, 1, 3])
    program.no_overlap_2d(x.indices, y.indices)
    assert brute_force(program) == -38
    assert cpsat(program)[0] == -38
