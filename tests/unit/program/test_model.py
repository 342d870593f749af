import numpy as np
import pytest

from mapc.program import Program


@pytest.fixture
def program():
    program = Program("sample")
    program.variables((2, 3), name="keep")
    program.variables(0, name="none")
    program.variables(2, -5, 5, name="start")
    program.variables(1, 0, np.inf, integer=False, name="real")
    return program


def test_blocks_number_their_columns(program):
    keep, none, start, real = program.blocks
    assert keep[1].tolist() == [3, 4, 5]
    assert none.size == 0
    assert start.columns.tolist() == [6, 7]
    assert real[0] == 8
    assert program.n_columns == 9
    assert keep.of(np.arange(9.0)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_names_say_block_and_position(program):
    assert program.column_name(4) == "keep[1,1]"
    assert program.column_name(6) == "start[0]"
    program.rows(np.zeros((0, 2)), name="empty")
    program.rows([[0], [1]], name="room", labels=["conv", "relu"])
    program.rows([[2]], name="plain")
    assert [program.row_name(i) for i in range(3)] == ["room[conv]", "room[relu]", "plain[0]"]


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(2, 1), (np.nan, 1), (0, np.nan), (np.inf, np.inf), (-np.inf, -np.inf)],
)
def test_bounds_that_hold_nothing_are_refused(program, lower, upper):
    with pytest.raises(ValueError, match="'bad'"):
        program.variables(2, [0, lower], [1, upper], name="bad")
    with pytest.raises(ValueError, match="'bad'"):
        program.rows([[0], [1]], 1.0, [0, lower], [1, upper], name="bad")
    assert program.n_columns == 9
    assert program.n_rows == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coefficients_and_costs_are_finite(program, value):
    with pytest.raises(ValueError, match="finite"):
        program.rows([[0, 1]], [[1, value]])
    with pytest.raises(ValueError, match="finite"):
        program.variables(1, cost=value)
    with pytest.raises(ValueError, match="finite"):
        program.minimise([0], value)
    with pytest.raises(ValueError, match="finite"):
        program.hint([0, 1], [1, value])


@pytest.mark.parametrize("width", [2, 12])
def test_a_column_twice_in_a_row_is_refused(program, width):
    program.variables(width)
    columns = np.tile(np.arange(width), (3, 1))
    columns[1, -1] = columns[1, 0]
    with pytest.raises(ValueError, match="twice"):
        program.rows(columns)
    with pytest.raises(ValueError, match="twice"):
        program.ragged_rows([0, 2, 4], [0, 1, 5, 5])
    program.ragged_rows([0, 2, 4], [0, 1, 1, 0])  # the same column in two rows is fine
    with pytest.raises(ValueError, match="twice"):
        program.exactly_one([0, 1, ~0])
    with pytest.raises(ValueError, match="twice"):
        program.at_most_one([[0, 1], [2, 2]])


@pytest.mark.parametrize("column", [-1, 9])
def test_columns_out_of_range_are_refused(program, column):
    with pytest.raises(ValueError, match="outside"):
        program.rows([[column]])
    with pytest.raises(ValueError, match="outside"):
        program.hint([column], 0)
    with pytest.raises(ValueError, match="outside"):
        program.element(0, [1], column)


def test_ragged_rows_need_a_fitting_start(program):
    for start in ([0, 2], [1, 3], [0, 3, 2, 3]):
        with pytest.raises(ValueError, match="start"):
            program.ragged_rows(start, [0, 1, 2])
    with pytest.raises(ValueError, match="2 labels for 1 rows"):
        program.rows([[0]], labels=["a", "b"])
    with pytest.raises(ValueError, match="rows, entries"):
        program.rows([0, 1])


def test_records_take_the_columns_they_can(program):
    with pytest.raises(ValueError, match="'start' is not binary"):
        program.at_most_one([0, 6])
    with pytest.raises(ValueError, match="'real' is not integer"):
        program.implication([0], [8])
    with pytest.raises(ValueError, match="'real' is not integer"):
        program.intervals(3, start=8)
    with pytest.raises(ValueError, match="'start' is not binary"):
        program.intervals(3, presence=~7)
    with pytest.raises(ValueError, match="negative size"):
        program.intervals(-1)
    with pytest.raises(ValueError, match="interval outside"):
        program.no_overlap([0])
    here = program.intervals([1, 2], start=[6, 7])
    with pytest.raises(ValueError, match="differ in length"):
        program.no_overlap_2d(here.indices, [0])
    with pytest.raises(ValueError, match="negative demand"):
        program.cumulative(here.indices, [1, -1], 3)
    for values in ([[1, 2]], 3):
        with pytest.raises(ValueError, match="int\\[k\\]"):
            program.element(6, values, 7)
    with pytest.raises(ValueError, match="int\\[r\\]"):
        program.implication([0, 1], [2])
    assert program.records == []


def test_matrix_holds_what_was_appended(program):
    program.minimise([0, 0, 6], [1, 2, -1], offset=4)
    program.rows([[0, 6], [1, 7]], [[1, 2], [3, 4]], upper=[5, 6])
    program.ragged_rows([0, 0, 3], [2, 0, 8], [1, 2, 3], lower=[-1, 7])
    m = program.matrix
    assert m.cost.tolist() == [3, 0, 0, 0, 0, 0, -1, 0, 0]
    assert m.offset == 4
    assert m.indptr.tolist() == [0, 2, 4, 4, 7]
    assert m.indices.tolist() == [0, 6, 1, 7, 2, 0, 8]
    assert m.coefficients.tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert m.row_upper.tolist() == [5, 6, np.inf, np.inf]
    assert m.activity(np.arange(9.0)).tolist() == [12, 31, 0, 26]
    assert program.statistics() == {
        "rows": 4,
        "columns": 9,
        "integers": 8,
        "nonzeros": 7,
        "intervals": 0,
        "records": 0,
    }
    before = program.matrix
    program.variables(1)
    assert program.matrix.n_columns == before.n_columns + 1


def test_later_hints_win(program):
    program.hint([3, 1], [1, 0])
    program.hint([1], 1)
    columns, values = program.start_values
    assert columns.tolist() == [1, 3]
    assert values.tolist() == [1, 1]


def test_integral_means_every_objective_is_whole():
    program = Program()
    program.variables(2, cost=3)
    program.variables(1, integer=False)
    assert program.integral
    program.minimise([0], 0.5)
    assert not program.integral
    program.minimise([0], 0.5)
    assert program.integral
    program.minimise([2], 1)
    assert not program.integral


def test_a_copy_without_records_shares_nothing_that_grows(program):
    program.at_most_one([0, 1])
    program.intervals([1])
    program.rows([[0]], name="one")
    program.hint([0], 1)
    twin = program.without_records()
    assert (twin.records, twin.n_intervals, twin.n_rows) == ([], 0, 1)
    twin.variables(3)
    twin.rows([[10]], name="two")
    twin.minimise([0], 7)
    twin.hint([1], 1)
    assert program.n_columns == 9
    assert program.matrix.n_rows == 1
    assert program.matrix.cost[0] == 0
    assert program.start_values[0].tolist() == [0]
    assert twin.row_name(1) == "two[0]"
