import numpy as np

from mapc.program import ALWAYS, NO_COLUMN, Program
from mapc.program.terms import Terms


def test_terms_on_one_column_add_up_and_constants_move_aside():
    program = Program()
    program.variables(3)
    terms = Terms(2)
    terms.add([0, 0, 1], [2, 2, 1], [1, 3, -1])
    terms.add([0, 1], [NO_COLUMN, 0], [100, 5])
    terms.add_literal([0, 0, 1], [~0, ALWAYS, ~1], [2, 10, 1])
    terms.add([1], [0], [-5])
    terms.append_to(program, [0, -3], 20, name="row")
    m = program.matrix
    # 4 x2 + 2 (1 - x0) + 10 and -x1 + (1 - x1), the entries of x0 cancel
    assert m.indptr.tolist() == [0, 2, 3]
    assert m.indices.tolist() == [0, 2, 1]
    assert m.coefficients.tolist() == [-2, 4, -2]
    assert m.row_lower.tolist() == [-12, -4]
    assert m.row_upper.tolist() == [8, 19]


def test_rows_without_columns_go_when_they_hold_and_stay_when_they_do_not():
    program = Program()
    program.variables(1)
    terms = Terms(3)
    terms.add_constant([0, 1], [2, 3])
    terms.add([2, 2], 0, [1, -1])
    terms.append_to(program, upper=[2, 2, 0], name="row")
    assert program.matrix.row_upper.tolist() == [-1]
    assert program.matrix.nnz == 0
    Terms(2).append_to(program, upper=0, name="idle")
    assert program.n_rows == 1
    assert np.array_equal(program.matrix.row_lower, [-np.inf])
