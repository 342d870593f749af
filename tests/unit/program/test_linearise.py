import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.program import NO_COLUMN, Program
from mapc.program.linearise import linearise


def same(left, right):
    return left is right is None or left == pytest.approx(right, abs=1e-6)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(data=st.data())
def test_brute_force_highs_and_cpsat_agree(data, programs, brute_force, highs, cpsat):
    program = data.draw(programs())
    optimum = brute_force(program)
    found, values = highs(program)
    native, bound, _ = cpsat(program)
    assert same(found, optimum)
    assert same(native, optimum)
    if optimum is not None:
        assert bound <= optimum + 1e-9
        own = program.matrix
        assert own.cost @ values[: program.n_columns] + own.offset == pytest.approx(optimum)


@pytest.mark.parametrize("kind", ["no_overlap", "no_overlap_2d", "cumulative", "element"])
def test_rewritten_records_cut_off_no_point_and_let_none_in(kind, programs, feasible_points, highs):
    """Every point of the box, fixed in turn, extends to the new columns iff it is feasible."""

    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    @given(programs(kinds=(kind,), rows=False))
    def check(program):
        feasible = {tuple(p) for p in feasible_points(program).tolist()}
        flat = linearise(program)
        m = flat.matrix
        for point in np.ndindex(*(m.upper - m.lower + 1)[: program.n_columns].astype(int)):
            values = np.array(point) + m.lower[: program.n_columns]
            fixed = flat.without_records()
            columns = np.arange(program.n_columns)
            fixed.rows(columns[:, None], 1.0, values, values)
            optimum, _ = highs(fixed)
            assert (optimum is not None) == (tuple(values.astype(int)) in feasible)

    check()


def test_a_program_without_records_comes_back_itself():
    program = Program()
    program.variables(2)
    program.rows([[0, 1]])
    assert linearise(program) is program


def test_original_columns_keep_their_numbers_names_and_rows():
    program = Program("p")
    start = program.variables(3, 0, 9, name="start", cost=2)
    program.rows([[0, 1]], upper=9, name="mine")
    program.minimise([0], 1, offset=3)
    program.no_overlap(program.intervals([3, 3, 3], start=start[:]).indices, name="machine")
    flat = linearise(program)
    m, own = flat.matrix, program.matrix
    assert flat.records == []
    assert np.array_equal(m.cost, np.append(own.cost, np.zeros(m.n_columns - 3)))
    assert m.offset == 3
    assert np.array_equal(m.upper[:3], own.upper)
    assert flat.row_name(0) == "mine[0]"
    assert flat.column_name(3) == "machine.order[0]"
    assert flat.row_name(1) == "machine[0]"
    assert program.records  # the original is left as it was
    assert program.n_columns == 3


@pytest.mark.parametrize("record", ["no_overlap", "no_overlap_2d", "cumulative"])
def test_a_start_without_finite_bounds_is_refused_by_name(record):
    program = Program()
    start = program.variables(2, 0, [9, np.inf], name="start")
    x = program.intervals([2, 2], start=start[:]).indices
    arguments = {"no_overlap": (x,), "no_overlap_2d": (x, x), "cumulative": (x, 1, 1)}
    getattr(program, record)(*arguments[record], name="machine")
    with pytest.raises(ValueError, match=r"'machine'.*start\[1\] needs finite bounds"):
        linearise(program)


def test_hints_are_carried_over_and_completed(highs):
    program = Program()
    start = program.variables(3, 0, 9, name="start")
    index = program.variables(1, 0, 3)
    target = program.variables(1, 0, 9)
    x = program.intervals([3, 3, 3], start=start[:]).indices
    program.no_overlap(x)
    program.cumulative(x, [1, 1, 1], 2)
    program.element(index.start, [4, 5, 6], target.start)
    hint = [3.0, 0.0, 6.0, 1.0, 5.0]
    program.hint(np.arange(5), hint)
    flat = linearise(program)
    columns, values = flat.start_values
    assert np.array_equal(columns, np.arange(flat.n_columns))
    assert values[:5].tolist() == hint
    m = flat.matrix
    activity = m.activity(values)
    assert (activity >= m.row_lower).all()
    assert (activity <= m.row_upper).all()
    # what the hints leave open stays open
    open_program = Program()
    start = open_program.variables(2, 0, 9)
    open_program.no_overlap(open_program.intervals([3, 3], start=start[:]).indices)
    open_program.hint([0], 4)
    assert linearise(open_program).start_values[0].tolist() == [0]


def test_an_element_has_a_binary_for_each_entry_within_reach():
    program = Program()
    index = program.variables(1, 1, np.inf)
    target = program.variables(1, 5, 8)
    program.element(index.start, [6, 4, 7, 8, 9, 5], target.start, name="size")
    flat = linearise(program)
    assert flat.n_columns - 2 == 3  # entries 2, 3 and 5
    assert flat.blocks[-1].name == "size.entry"


def test_an_unknown_record_is_refused():
    program = Program()
    program.records.append("a word")
    with pytest.raises(TypeError, match="str"):
        linearise(program)


def test_constant_intervals_need_neither_binaries_nor_rows():
    program = Program()
    x = program.intervals([2, 2, 2], start=NO_COLUMN, offset=[0, 2, 4]).indices
    program.no_overlap(x)
    program.cumulative(x, 3, 3)
    flat = linearise(program)
    assert (flat.n_columns, flat.n_rows) == (0, 0)
