import numpy as np
import pytest
from hypothesis import given, settings

from mapc.program import Program
from mapc.program.lp import lp_text, write_lp

FILE = """\
Minimize
 objective: + 2 x.0 - 0.1 y.0 + 0 y.1 + 0 z.0
  + 0 w.0 - 1.5
Subject To
 cap.0.lo: + 1 x.0 + 3 y.0 >= -1
 cap.0.up: + 1 x.0 + 3 y.0 <= 4
 same.0: + 1 x.0 - 1 x.1 = 0
 none.0: 0 x.0 <= 2
Bounds
 0 <= y.0
 y.1 free
 -inf <= z.0 <= -3
 w.0 = 2
Binaries
 x.0
 x.1
Generals
 z.0
 w.0
End
"""


def test_every_section_reads_as_the_format_says():
    program = Program("small")
    x = program.variables(2, cost=[2, 0], name="x")
    y = program.variables(2, [0, -np.inf], np.inf, integer=False, cost=[-0.1, 0], name="y")
    program.variables(1, -np.inf, -3, name="z")
    program.variables(1, 2, 2, name="w")
    program.minimise([], [], offset=-1.5)
    program.rows([[x[0], y[0]]], [1, 3], -1, 4, name="cap")
    program.rows([x[:]], [1, -1], 0, 0, name="same")
    program.rows(np.zeros((1, 0)), upper=2, name="none")
    program.rows([y[:]], name="idle")
    assert lp_text(program) == FILE


def test_highs_and_scip_read_back_the_same_optimum(mixed, highs, scip, tmp_path):
    @settings(max_examples=80, deadline=None, derandomize=True, database=None)
    @given(mixed())
    def check(program):
        expected, _ = highs(program)
        path = tmp_path / "model.lp"
        write_lp(program, path)
        found, _ = highs(None, path)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))
        found = scip(path)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))

    check()


def test_no_line_is_longer_than_readers_take():
    program = Program()
    program.variables(300, cost=0.123456789, name="n" * 300)
    program.rows([range(300)], np.pi, upper=7, name="wide")
    lines = lp_text(program).splitlines()
    assert 100 < max(map(len, lines)) <= 510


def test_a_program_without_columns_is_a_file_too(highs, tmp_path):
    program = Program()
    program.minimise([], [], offset=2)
    write_lp(program, tmp_path / "empty.lp")
    assert highs(None, tmp_path / "empty.lp")[0] == 2
    program.rows(np.zeros((1, 0)), lower=1)
    write_lp(program, tmp_path / "empty.lp")
    assert highs(None, tmp_path / "empty.lp")[0] is None
